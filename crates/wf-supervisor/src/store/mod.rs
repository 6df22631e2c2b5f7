//! What lies on disk: the state directory, the journals, and what derives from them.
//!
//! The journals are the truth. `history.db`, `summary.json` and `audit.jsonl` can be made again from them (and from
//! the archive that `clean` leaves), so a reader that finds one missing rebuilds it, and one that finds it damaged
//! says so and leaves it alone.

pub mod archive;
pub mod atomic;

pub mod audit;
pub mod board;
pub mod error;
pub mod history;

pub mod joblog;
pub mod journal;
pub mod journal_reader;
pub mod layout;
pub mod lines;
pub mod lock;
pub mod moment;
pub mod name;
mod proven;
pub mod run_dir;
pub mod socket_dir;
pub mod summary;

pub mod tail;
#[cfg(test)]
pub mod testing;
pub mod text;

pub mod upkeep;
pub mod work;

pub use error::StoreError;
