//! How often and how soon a refused call is repeated. Nothing retries for ever.

use std::time::Duration;

use super::dice::Dice;
use crate::Time;

/// No provider's hint is believed beyond this; `--max-wait` ends a wait long before.
pub(super) const LONGEST_HINT: Duration = Duration::from_secs(400 * 24 * 3600);

/// Repetitions of one call after passing faults: 5xx, 529, a lost connection, a time-out.
pub(super) const FAULTS: u32 = 3;
/// Repetitions of one call whose key was refused, on another key.
pub(super) const KEY_REFUSALS: u32 = 1;
/// Repetitions of one call whose group cannot pay. Each such refusal takes a group out of use, so this bound is only
/// there to be one.
pub(super) const BILLING: u32 = 8;

const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The first repetition comes within this, each further one within four times as long.
const FIRST_CEILING: Duration = Duration::from_secs(5);

/// The wait before a call is repeated after its `faults`th fault: anywhere between half a second and a ceiling that
/// rises to twenty, because calls that failed together must not return together.
pub(super) fn spacing(faults: u32, dice: &mut Dice) -> Duration {
    let ceiling =
        FIRST_CEILING.saturating_mul(4_u32.saturating_pow(faults.saturating_sub(1))).min(LONGEST_WAIT);
    dice.between(SHORTEST_WAIT, ceiling)
}

const MILLI: u64 = 1000;
/// What the budget holds at the start, and what one minute adds.
const PER_MINUTE: u64 = 10 * MILLI;
/// What one success adds.
const PER_SUCCESS: u64 = MILLI / 10;
/// More than this is never saved up.
const MOST: u64 = 30 * MILLI;

/// The pool's budget for repetitions after faults: 10 % of successes and 10 per minute. A provider that is down gets a
/// trickle, not every worker's three more tries.
#[derive(Clone, Debug)]
pub(super) struct RetryBudget {
    level: u64,
    filled: Time,
}

impl RetryBudget {
    pub(super) fn new(now: Time) -> RetryBudget {
        RetryBudget { level: PER_MINUTE, filled: now }
    }

    fn fill(&mut self, now: Time) {
        // 10 per minute is one unit of a thousandth in 6 ms; what is left of one stays for the next time.
        let units = now.since(self.filled).as_millis() / 6;
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.filled = if units > MOST { now } else { self.filled + Duration::from_millis(units * 6) };
        self.level = self.level.saturating_add(units).min(MOST);
    }

    pub(super) fn success(&mut self) {
        self.level = (self.level + PER_SUCCESS).min(MOST);
    }

    /// One repetition, if there is room for it.
    pub(super) fn take(&mut self, now: Time) -> bool {
        self.fill(now);
        let enough = self.level >= MILLI;
        if enough {
            self.level -= MILLI;
        }
        enough
    }

    /// From when on there is room for one, as things stand.
    pub(super) fn ready_at(&self) -> Time {
        self.filled + Duration::from_millis(MILLI.saturating_sub(self.level) * 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_ten_a_minute_and_a_tenth_of_the_successes() {
        let mut budget = RetryBudget::new(Time::ZERO);
        let taken = (0..100).filter(|_| budget.take(Time::ZERO)).count();
        assert_eq!(taken, 10);
        let next = budget.ready_at();
        assert_eq!(next, Time::from_millis(6_000));
        assert!(!budget.take(next - Duration::from_millis(1)));
        assert!(budget.take(next));
        (0..20).for_each(|_| budget.success());
        assert_eq!((0..100).filter(|_| budget.take(next)).count(), 2);
        let much_later = Time::from_millis(u64::MAX / 2);
        assert_eq!((0..100).filter(|_| budget.take(much_later)).count(), 30);
    }

    #[test]
    fn waits_grow_and_stay_within_half_a_second_and_twenty() {
        let mut dice = Dice::new(3);
        for (faults, ceiling) in [(1, 5), (2, 20), (3, 20), (u32::MAX, 20)] {
            let waits: Vec<Duration> = (0..500).map(|_| spacing(faults, &mut dice)).collect();
            assert!(waits.iter().all(|w| *w >= SHORTEST_WAIT && *w < Duration::from_secs(ceiling)));
            assert!(waits.iter().any(|w| *w > Duration::from_secs(ceiling) * 9 / 10));
        }
    }
}
