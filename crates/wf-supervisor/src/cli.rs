//! The command line: every verb, option, default and help text.
