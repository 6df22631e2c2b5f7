//! `history.db`: an index of the journals.
