//! Watchdogs: a bound on time that can be paused, fed and credited.

use std::time::Duration;

use crate::Time;

/// One deadline. It counts time while it is not paused and has expired when the count reaches its limit.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    limit: Duration,
    spent: Duration,
    /// Since when it has been counting; `None` while paused.
    since: Option<Time>,
}

impl Watchdog {
    /// Starts to count at `now`.
    pub fn start(limit: Duration, now: Time) -> Watchdog {
        Watchdog { limit, spent: Duration::ZERO, since: Some(now) }
    }

    /// When it expires, unless something happens first; `None` while paused.
    pub fn deadline(&self) -> Option<Time> {
        self.since.map(|since| since + self.limit.saturating_sub(self.spent))
    }

    /// Whether it has expired by `now`.
    pub fn has_expired(&self, now: Time) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// Stops counting. Pausing twice is pausing once.
    pub fn pause(&mut self, now: Time) {
        if let Some(since) = self.since.take() {
            self.spent += now.since(since);
        }
    }

    /// Counts on from where it was paused.
    pub fn resume(&mut self, now: Time) {
        self.since.get_or_insert(now);
    }

    /// Begins again from nothing: there was a sign of life. A paused watchdog stays paused.
    pub fn feed(&mut self, now: Time) {
        self.spent = Duration::ZERO;
        self.since = self.since.map(|_| now);
    }

    /// Takes `lost` off the count: time in which nobody could have seen a sign of life.
    pub fn credit(&mut self, lost: Duration) {
        self.since = self.since.map(|since| since + lost);
    }

    /// The bound it was given.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn it_counts_only_while_it_is_not_paused() {
        let mut dog = Watchdog::start(Duration::from_millis(100), at(0));
        assert_eq!(dog.deadline(), Some(at(100)));
        dog.pause(at(40));
        dog.pause(at(60));
        assert_eq!(dog.deadline(), None);
        assert!(!dog.has_expired(at(10_000)));
        dog.resume(at(1_000));
        dog.resume(at(1_010));
        assert_eq!(dog.deadline(), Some(at(1_060)));
        assert!(!dog.has_expired(at(1_059)));
        assert!(dog.has_expired(at(1_060)));
    }

    #[test]
    fn food_starts_it_again_and_credit_moves_it() {
        let mut dog = Watchdog::start(Duration::from_millis(100), at(0));
        dog.feed(at(90));
        assert_eq!(dog.deadline(), Some(at(190)));
        dog.credit(Duration::from_millis(500));
        assert_eq!(dog.deadline(), Some(at(690)));
        dog.pause(at(600));
        dog.feed(at(650));
        assert_eq!(dog.deadline(), None, "fed while paused, it stays paused");
        dog.resume(at(700));
        assert_eq!(dog.deadline(), Some(at(800)));
    }
}
