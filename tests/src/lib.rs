//! The end-to-end tests' harness: the real binaries, a project of its own for every test, and the proof that nothing
//! is left running.
//!
//! A test makes a [`Project`], puts files into it, runs `wf-supervisor` there to its end ([`Project::run`]) or watches
//! it live ([`Project::start`]). Whenever a supervisor has ended, and again at the end of the test, the harness looks
//! through the system for processes that the project caused. Tests wait for the thing they need, with a bound
//! ([`wait_until`]); they never sleep.

mod binaries;
mod call;
mod finished;
pub mod fixture;
pub mod mock;
pub mod processes;
mod project;
mod running;
mod small_disk;
mod terminal;
mod waiting;

pub use call::{Call, Stdout, Words};
pub use finished::Finished;
pub use project::{Project, files_below, lines};
pub use running::Running;
pub use small_disk::SmallDisk;
pub use terminal::Terminal;
pub use waiting::{PATIENCE, wait_until};
