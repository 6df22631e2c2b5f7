//! One quota group's requests of the provider's day, for one model.

use std::time::Duration;

use crate::Time;

/// A day's length. Twice a year a provider's day is an hour longer or shorter: the shell's calendar corrects it.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The count of a day, and its bound where one is known.
#[derive(Clone, Debug)]
pub(super) struct Day {
    limit: Option<u64>,
    count: u64,
    ends: Time,
}

impl Day {
    pub(super) fn new(limit: Option<u64>, ends: Time) -> Day {
        Day { limit: limit.filter(|n| *n > 0), count: 0, ends }
    }

    /// Requests of the day that is running at `now`.
    pub(super) fn count(&self, now: Time) -> u64 {
        if now < self.ends { self.count } else { 0 }
    }

    /// The most requests of a day, where that is known.
    pub(super) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Requests left, where the limit is known.
    pub(super) fn left(&self, now: Time) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.count(now)))
    }

    /// When the day ends, if nothing is left of it.
    pub(super) fn used_up_until(&self, now: Time) -> Option<Time> {
        (self.left(now) == Some(0)).then_some(self.ends)
    }

    /// The next midnight of the provider.
    pub(super) fn ends(&self, now: Time) -> Time {
        if now < self.ends {
            return self.ends;
        }
        let days = now.since(self.ends).as_secs() / DAY.as_secs() + 1;
        self.ends + DAY * u32::try_from(days).unwrap_or(u32::MAX)
    }

    /// The calendar's word on the next midnight.
    pub(super) fn set_end(&mut self, ends: Time, now: Time) {
        (self.count, self.ends) = (self.count(now), ends);
    }

    /// One more request.
    pub(super) fn admit(&mut self, now: Time) {
        (self.count, self.ends) = (self.count(now) + 1, self.ends(now));
    }

    /// The provider names its limit; the stricter counts. Zero stands for "unknown".
    pub(super) fn state(&mut self, limit: u64) {
        if limit > 0 {
            self.limit = Some(self.limit.map_or(limit, |old| old.min(limit)));
        }
    }

    /// The provider, or an earlier run, has counted this many.
    pub(super) fn at_least(&mut self, count: u64) {
        self.count = self.count.max(count);
    }

    /// A new day has been proved to have begun.
    pub(super) fn restart(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_starts_anew_at_midnight_and_every_day_after() {
        let midnight = Time::from_millis(3_600_000);
        let mut day = Day::new(Some(2), midnight);
        day.admit(Time::ZERO);
        assert_eq!(day.used_up_until(Time::ZERO), None);
        day.admit(Time::ZERO);
        assert_eq!(day.used_up_until(Time::ZERO), Some(midnight));
        assert_eq!(day.left(midnight), Some(2));
        let later = midnight + DAY * 3 + Duration::from_secs(5);
        day.admit(later);
        assert_eq!((day.left(later), day.ends(later)), (Some(1), midnight + DAY * 4));
    }

    #[test]
    fn without_a_limit_only_the_count_is_kept() {
        let mut day = Day::new(None, Time::from_millis(1));
        day.at_least(7);
        assert_eq!((day.left(Time::ZERO), day.count(Time::ZERO)), (None, 7));
        day.state(0);
        day.state(10);
        assert_eq!(day.left(Time::ZERO), Some(3));
    }
}
