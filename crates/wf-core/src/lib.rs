//! The rules of a run: what starts, what waits, what is stopped, and how it all ends.
//!
//! This crate does no I/O. It has no clock, no thread and no randomness of its own: time comes in as an argument
//! ([`Time`]), and so does the seed for jitter. [`Supervisor::handle`] takes one [`Event`] and answers with
//! [`Effects`]; everything in between is ordinary data, so a test can run an eight-hour batch in milliseconds.

#![warn(missing_docs)]

mod attempt;
mod batch;
mod chatter;
pub mod credentials;
mod crew;
mod event;
mod item;
mod record;
pub mod resume;
mod retry;
mod shutdown;
mod supervisor;
mod time;
mod watchdog;

pub use attempt::{Kind, signal_name, words};
pub use batch::Planned;
pub use chatter::PER_SECOND as RECORDS_PER_SECOND;
pub use event::{Effect, Effects, Event, Reply, Saying, StopCause, StopSignal};
pub use item::{AttemptId, Item, ItemId, ItemIdError, ItemIndex, Outcome, Slot, Verdict};
pub use record::{AttemptEnd, Counts, Leftover, OutputRef, PlanAction, Record};
pub use supervisor::{ANSWER, Bounds, DRAIN, Supervisor};
pub use time::Time;
