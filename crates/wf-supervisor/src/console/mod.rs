//! What people see: one thread that owns stdout and stderr, and what goes through it.
//!
//! ```text
//! capture ──segment──▶ queue ──▶ writer thread ──▶ prefixer ──▶ stdout, stderr
//!    └──bytes──▶ LABEL.log ──read back──┘
//! ```
//!
//! Nothing that hands something to the console ever waits for a terminal: what piles up are small records, first in
//! memory and then in an unlinked file, while the bytes lie in the items' logs.

pub mod prefixer;
pub mod progress;
mod queue;
pub mod redact;
mod sink;
mod spill;
pub mod style;
pub mod terminal;
mod writer;

/// One of the two streams of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; goes to ours.
    Stdout,
    /// Standard error; goes to ours.
    Stderr,
}

/// How the output of workers is shown (`--output`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputMode {
    /// Live, line by line.
    #[default]
    Prefixed,
    /// An item's output in one piece when it ends.
    Grouped,
    /// Not at all; it is in the logs.
    None,
}
