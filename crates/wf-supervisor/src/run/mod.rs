//! A run: the driver and what it drives.
//!
//! `commands/run.rs` prepares it; [`driver::drive`] is the loop.

pub mod capture;
pub mod clock;
pub mod driver;
pub mod environment;
pub mod hands;
pub mod ipc;
pub mod janitor;
mod key_watch;
pub mod launch;
pub mod mock;
pub mod opening;
pub mod pool_memory;
pub mod pool_window;
pub mod prepare;
pub mod program;
pub mod provider_days;
pub mod redaction;
pub mod signals;
pub mod slots;
mod telling;
mod translate;
mod usage;
pub mod words;
