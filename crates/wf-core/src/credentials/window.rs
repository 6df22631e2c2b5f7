//! An exact count of the tokens of the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Time;

/// What 98 % of a minute's rate needs for a whole limit. The two per cent absorb that calls granted a minute apart may
/// reach the provider a little less than a minute apart.
const SPAN: Duration = Duration::from_nanos(60_000_000_000 / 98 * 100 + 100);
/// Calls this close together are counted as one, at the time of the last: memory stays bounded however small they are.
const GRAIN: Duration = Duration::from_millis(250);
/// Into how many equal parts the unknown minute before the start is cut.
const PARTS: u32 = 60;

/// Calls within one [`GRAIN`].
#[derive(Clone, Debug)]
struct Entry {
    opened: Time,
    leaves: Time,
    tokens: u64,
}

/// The tokens admitted within the last [`SPAN`].
#[derive(Clone, Debug)]
pub(super) struct Window {
    limit: u64,
    entries: VecDeque<Entry>,
    sum: u64,
}

impl Window {
    /// A window as after a minute of full, even use.
    pub(super) fn drained(limit: u64, now: Time) -> Window {
        Window::after(limit, limit, now)
    }

    /// A window as after a minute in which `used` was used evenly.
    pub(super) fn after(used: u64, limit: u64, now: Time) -> Window {
        let share = |i: u32| (u128::from(used) * u128::from(i) / u128::from(PARTS)) as u64;
        let entries = (0..PARTS)
            .map(|i| Entry {
                opened: Time::ZERO,
                leaves: now + SPAN * (i + 1) / PARTS,
                tokens: share(i + 1) - share(i),
            })
            .collect();
        Window { limit, entries, sum: used }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// A smaller limit counts at once, a larger one too.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// What is left now.
    pub(super) fn left(&self, now: Time) -> u64 {
        let gone: u64 = self.entries.iter().take_while(|e| e.leaves <= now).map(|e| e.tokens).sum();
        self.limit.saturating_sub(self.sum - gone)
    }

    /// From when on `tokens` more fit.
    pub(super) fn ready_at(&self, tokens: u64, now: Time) -> Time {
        let room = self.limit - tokens.min(self.limit);
        let mut sum = self.sum;
        let mut ready = now;
        for entry in &self.entries {
            if entry.leaves > now {
                if sum <= room {
                    break;
                }
                ready = entry.leaves;
            }
            sum -= entry.tokens;
        }
        ready
    }

    pub(super) fn admit(&mut self, now: Time, tokens: u64) {
        while let Some(entry) = self.entries.front().filter(|e| e.leaves <= now) {
            self.sum -= entry.tokens;
            self.entries.pop_front();
        }
        // The sum of all entries must stay a number, whatever is asked for.
        let tokens = tokens.min(u64::MAX - self.sum);
        self.sum += tokens;
        match self.entries.back_mut() {
            Some(last) if last.opened > Time::ZERO && now.since(last.opened) < GRAIN => {
                last.leaves = now + SPAN;
                last.tokens += tokens;
            }
            _ => self.entries.push_back(Entry { opened: now, leaves: now + SPAN, tokens }),
        }
    }

    /// Replaces a reservation made at `granted` by what was used; nothing to do when it has left the window.
    pub(super) fn settle(&mut self, granted: Time, reserved: u64, used: u64) {
        let at = self.entries.partition_point(|e| e.leaves < granted + SPAN);
        if let Some(entry) = self.entries.get_mut(at) {
            let settled = entry.tokens.saturating_sub(reserved).saturating_add(used);
            let settled = settled.min(u64::MAX - (self.sum - entry.tokens));
            self.sum = self.sum - entry.tokens + settled;
            entry.tokens = settled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_start_room_comes_back_evenly() {
        let window = Window::drained(6_000, Time::ZERO);
        let wait = |tokens| window.ready_at(tokens, Time::ZERO).since_start().as_millis();
        assert_eq!((wait(1), wait(100), wait(101), wait(6_000)), (1_020, 1_020, 2_040, 61_224));
        assert_eq!(wait(9_999), 61_224, "a call above the limit waits for an empty minute, not for ever");
    }

    #[test]
    fn what_was_not_used_is_free_at_once() {
        let start = Time::from_millis(100_000);
        let mut window = Window::drained(1_000, Time::ZERO);
        window.admit(start, 900);
        assert!(window.ready_at(200, start) > start);
        window.settle(start, 900, 100);
        assert_eq!(window.ready_at(900, start), start);
        assert_eq!(window.left(start), 900);
    }

    #[test]
    fn many_small_calls_need_little_memory() {
        let mut window = Window::drained(1_000_000, Time::ZERO);
        for i in 0..200_000 {
            window.admit(Time::from_millis(60_000 + i), 1);
        }
        assert!(window.entries.len() < 300, "{}", window.entries.len());
    }
}
