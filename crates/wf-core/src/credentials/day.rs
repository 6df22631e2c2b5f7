//! One quota group's requests of the provider's day, for one model.
//!
//! Where a provider's midnights are known they come as data, from the calendar of the shell: its days are then 23, 24 or
//! 25 hours long as they should be, and no wall clock is asked again while the run goes on. Other providers count a
//! rolling day, or do not say: there a day is 24 hours from the first moment it was counted.

use std::sync::Arc;
use std::time::Duration;

use crate::Time;

/// A day's length where no calendar says otherwise.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The count of a day, and its bound where one is known.
#[derive(Clone, Debug)]
pub(super) struct Day {
    limit: Option<u64>,
    count: u64,
    ends: Time,
    /// The provider's midnights, earliest first; none where they are unknown.
    midnights: Arc<[Time]>,
}

impl Day {
    pub(super) fn new(limit: Option<u64>, midnights: Arc<[Time]>, now: Time) -> Day {
        let limit = limit.filter(|n| *n > 0);
        let mut day = Day { limit, count: 0, ends: now + DAY, midnights };
        if day.has_midnights() {
            day.ends = now;
            day.ends = day.ends(now);
        }
        day
    }

    /// Whether it is known when the provider's day ends.
    pub(super) fn has_midnights(&self) -> bool {
        !self.midnights.is_empty()
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
        if let Some(next) = self.midnights.iter().find(|midnight| **midnight > now) {
            return *next;
        }
        let last = self.midnights.last().map_or(self.ends, |last| self.ends.max(*last));
        let days = now.since(last).as_secs() / DAY.as_secs() + 1;
        last + DAY * u32::try_from(days).unwrap_or(u32::MAX)
    }

    /// An earlier run's day goes on and ends then, where no calendar knows better.
    pub(super) fn go_on_until(&mut self, ends: Time) {
        if !self.has_midnights() {
            self.ends = ends;
        }
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
        let mut day = Day::new(Some(2), [midnight].into(), Time::ZERO);
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
    fn a_day_is_as_long_as_the_calendar_says() {
        let hours = |n: u64| Time::ZERO + Duration::from_secs(3600 * n);
        let midnights = [hours(8), hours(8 + 25), hours(8 + 25 + 24)];
        let mut day = Day::new(Some(1), midnights.into(), Time::ZERO);
        for (at, ends) in [(0, 8), (8, 33), (32, 33), (33, 57), (60, 81), (105, 129)] {
            assert_eq!(day.ends(hours(at)), hours(ends), "{at} hours after the beginning");
        }
        day.admit(hours(9));
        assert_eq!(day.used_up_until(hours(32)), Some(hours(33)), "the hour that autumn adds belongs to it");
        assert_eq!(day.used_up_until(hours(33)), None);
    }

    #[test]
    fn without_a_limit_only_the_count_is_kept() {
        let mut day = Day::new(None, [].into(), Time::ZERO);
        day.at_least(7);
        assert_eq!((day.left(Time::ZERO), day.count(Time::ZERO)), (None, 7));
        day.state(0);
        day.state(10);
        assert_eq!(day.left(Time::ZERO), Some(3));
        assert_eq!(day.ends(Time::ZERO), Time::ZERO + DAY);
    }
}
