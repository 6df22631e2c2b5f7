//! The only notion of time the core has.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the run's monotonic clock: the time since the run began.
///
/// The shell makes it from a monotonic clock, tests make it from thin air. It never goes backwards and knows
/// nothing of calendars, so a jump of the wall clock cannot change a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Time = Time(Duration::ZERO);
    /// Later than anything: "not before the operator does something".
    pub const NEVER: Time = Time(Duration::MAX);

    /// The point `since_start` after the beginning of the run.
    pub const fn from_start(since_start: Duration) -> Time {
        Time(since_start)
    }

    /// The point `ms` milliseconds after the beginning of the run.
    pub const fn from_millis(ms: u64) -> Time {
        Time(Duration::from_millis(ms))
    }

    /// How long after the beginning of the run this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(d))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(d))
    }
}
