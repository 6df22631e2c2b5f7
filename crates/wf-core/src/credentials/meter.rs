//! How much of what was sent within the last minute was accepted: what learning a limit builds on.
//!
//! A call counts from the moment it is granted and is taken out again when it is refused: counting answers as they
//! come would miss all that is in flight, a sixth of a minute with answers that take ten seconds.

use std::time::Duration;

use crate::Time;

const SLOT: Duration = Duration::from_secs(1);
const SLOTS: usize = 60;

/// Counts by slots of a second, a minute of them.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    slots: [u64; SLOTS],
    /// The number of the newest slot, counted from the beginning of the run.
    newest: u64,
    /// The number of the first slot that counted anything.
    first: Option<u64>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { slots: [0; SLOTS], newest: 0, first: None }
    }
}

impl Meter {
    fn slot(now: Time) -> u64 {
        now.since_start().as_secs() / SLOT.as_secs()
    }

    fn turn_to(&mut self, slot: u64) {
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for i in 1..=passed {
            self.slots[((self.newest + i) % SLOTS as u64) as usize] = 0;
        }
        if passed == SLOTS as u64 {
            self.slots = [0; SLOTS];
        }
        self.newest = self.newest.max(slot);
    }

    /// Counts `amount` sent now.
    pub(super) fn count(&mut self, now: Time, amount: u64) {
        let slot = Meter::slot(now);
        self.turn_to(slot);
        self.first.get_or_insert(slot);
        let cell = &mut self.slots[(slot % SLOTS as u64) as usize];
        *cell = cell.saturating_add(amount);
    }

    /// Of what was sent at `sent`, `counted` turns out to be `settled`.
    pub(super) fn settle(&mut self, sent: Time, counted: u64, settled: u64) {
        let slot = Meter::slot(sent);
        if slot <= self.newest && self.newest - slot < SLOTS as u64 {
            let cell = &mut self.slots[(slot % SLOTS as u64) as usize];
            *cell = cell.saturating_sub(counted).saturating_add(settled);
        }
    }

    /// What the last minute held.
    pub(super) fn last_minute(&self, now: Time) -> u64 {
        let gone = Meter::slot(now).saturating_sub(self.newest).min(SLOTS as u64);
        // Nothing was before slot 0.
        let kept = (0..SLOTS as u64 - gone).map_while(|back| self.newest.checked_sub(back));
        kept.fold(0, |sum: u64, slot| sum.saturating_add(self.slots[(slot % SLOTS as u64) as usize]))
    }

    /// Whether a whole minute has been watched, without which a count says little of a rate.
    pub(super) fn has_seen_a_minute(&self, now: Time) -> bool {
        self.first.is_some_and(|first| Meter::slot(now) - first.min(Meter::slot(now)) >= SLOTS as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_measured_and_forgotten_again() {
        let mut meter = Meter::default();
        for second in 100..200 {
            meter.count(Time::from_millis(second * 1000), 2);
        }
        let now = Time::from_millis(199_999);
        assert_eq!(meter.last_minute(now), 120);
        assert!(meter.has_seen_a_minute(now));
        assert_eq!(meter.last_minute(now + Duration::from_secs(30)), 60);
        assert_eq!(meter.last_minute(now + Duration::from_secs(3_000)), 0);
    }

    #[test]
    fn what_was_sent_in_the_first_second_counts_once() {
        let mut meter = Meter::default();
        meter.count(Time::ZERO, 3);
        assert_eq!(meter.last_minute(Time::ZERO), 3);
        meter.count(Time::from_millis(30_000), 1);
        assert_eq!(meter.last_minute(Time::from_millis(30_000)), 4);
    }

    #[test]
    fn the_first_minute_is_known_to_be_partial() {
        let mut meter = Meter::default();
        meter.count(Time::from_millis(100_000), 5);
        assert!(!meter.has_seen_a_minute(Time::from_millis(150_000)));
    }

    #[test]
    fn what_was_refused_was_never_sent() {
        let mut meter = Meter::default();
        meter.count(Time::from_millis(100_000), 5);
        meter.count(Time::from_millis(110_000), 7);
        meter.settle(Time::from_millis(100_000), 5, 2);
        let now = Time::from_millis(120_000);
        assert_eq!(meter.last_minute(now), 9);
        meter.settle(Time::from_millis(39_000), 9, 0);
        meter.settle(Time::from_millis(500_000), 9, 0);
        assert_eq!(meter.last_minute(now), 9, "too long ago, or never");
    }
}
