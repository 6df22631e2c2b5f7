//! The run's clock: monotonic time for decisions, wall time for people.

use std::time::Instant;

use jiff::Timestamp;
use wf_core::Time;

/// Where the run's time begins.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall: Timestamp,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now(), wall: Timestamp::now() }
    }

    /// The run's time.
    pub fn now(&self) -> Time {
        Time::from_start(self.origin.elapsed())
    }

    /// The wall clock at the beginning of the run.
    pub fn wall_origin(&self) -> Timestamp {
        self.wall
    }

    /// Waits until `due`; for ever when there is nothing to wait for.
    pub async fn until(&self, due: Option<Time>) {
        // A deadline that no clock can hold is none.
        match due.and_then(|due| self.origin.checked_add(due.since_start())) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}
