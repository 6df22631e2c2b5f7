//! Pacing of one bucket: when the next call fits.
//!
//! GCRA (the generic cell rate algorithm of ITU-T I.371): one instant, the *theoretical arrival time*, says all there is
//! to know. Paced at 98 % of the limit a bucket is safe whether the provider counts in fixed windows, sliding windows
//! or token buckets.

use std::time::Duration;

use super::window::Window;
use crate::Time;

/// The minute every per-minute limit speaks of.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// How much of a limit is used. The rest absorbs that calls do not arrive as evenly as they were granted.
pub(super) const SHARE: f64 = 0.98;

/// How fast a bucket may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Thousandths of a unit per minute; never zero.
    milli_per_minute: u64,
    /// Units that may come at once.
    burst: u64,
}

impl Rate {
    /// 98 % of a limit in requests per minute. Two may come at once where the two per cent leave room for the second;
    /// below 51 a minute they do not.
    pub(super) fn of_requests(limit: u64) -> Rate {
        Rate { milli_per_minute: limit.saturating_mul(980).max(1), burst: if limit < 51 { 1 } else { 2 } }
    }

    /// 98 % of a limit in tokens per minute; what is left is the tolerance.
    pub(super) fn of_tokens(limit: u64) -> Rate {
        Rate { milli_per_minute: limit.saturating_mul(980).max(1), burst: (limit / 50).max(1) }
    }

    /// A rate that was measured: used as it is, one at a time.
    pub(super) fn measured(per_minute: f64) -> Rate {
        // `as` saturates, and makes NaN zero.
        Rate { milli_per_minute: ((per_minute * 1000.0) as u64).max(1), burst: 1 }
    }

    /// The time `units` take. Rounded up, so that rounding never admits early.
    fn spacing(self, units: u64) -> Duration {
        let nanos =
            (MINUTE.as_nanos() * 1000 * u128::from(units)).div_ceil(u128::from(self.milli_per_minute));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One bucket's pace.
#[derive(Clone, Debug)]
pub(super) struct Gcra {
    rate: Rate,
    tolerance: Duration,
    /// When the bucket would be empty again if nothing more came.
    arrival: Time,
}

impl Gcra {
    /// A bucket that counts as just drained: nobody knows what was sent before this run began.
    pub(super) fn drained(rate: Rate, now: Time) -> Gcra {
        let tolerance = rate.spacing(rate.burst - 1);
        Gcra { rate, tolerance, arrival: now + tolerance + rate.spacing(1) }
    }

    /// From when on the next unit fits.
    pub(super) fn ready_at(&self) -> Time {
        self.arrival - self.tolerance
    }

    /// Counts `units` admitted now.
    pub(super) fn admit(&mut self, now: Time, units: u64) {
        self.arrival = self.arrival.max(now) + self.rate.spacing(units);
    }

    /// Replaces what was reserved by what was used.
    pub(super) fn settle(&mut self, reserved: u64, used: u64) {
        self.arrival = if used >= reserved {
            self.arrival + self.rate.spacing(used - reserved)
        } else {
            self.arrival - self.rate.spacing(reserved - used)
        };
    }

    /// Nothing before `until`, and no burst right after.
    pub(super) fn hold_until(&mut self, until: Time) {
        self.arrival = self.arrival.max(until + self.tolerance);
    }

    /// Another rate from now on; what was admitted stays admitted.
    pub(super) fn set_rate(&mut self, rate: Rate, now: Time) {
        if rate != self.rate {
            let tolerance = rate.spacing(rate.burst - 1);
            // A wider tolerance must not open a burst by itself.
            let ready = self.ready_at().max(now);
            self.arrival = ready + tolerance;
            self.rate = rate;
            self.tolerance = tolerance;
        }
    }

    /// The time `units` take at this pace.
    pub(super) fn spacing(&self, units: u64) -> Duration {
        self.rate.spacing(units)
    }
}

/// A bucket of tokens: calls of very different sizes, so the pace alone could let a large one overfill a minute. An exact
/// count of the last minute stands beside it.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    pace: Gcra,
    window: Window,
}

impl TokenBucket {
    /// A bucket of `limit` tokens per minute that counts as just drained.
    pub(super) fn drained(limit: u64, now: Time) -> TokenBucket {
        let mut pace = Gcra::drained(Rate::of_tokens(limit), now);
        pace.arrival = now + pace.tolerance;
        TokenBucket { pace, window: Window::drained(limit.max(1), now) }
    }

    /// The provider says what was used of the minute before anything of it was counted here.
    pub(super) fn count_from(&mut self, used: u64, now: Time) {
        let limit = self.window.limit();
        self.window = Window::after(used.min(limit), limit, now);
    }

    /// From when on a call of `tokens` fits. One larger than the limit fits when nothing else is in the minute: whether
    /// it can be served at all is the provider's to say.
    pub(super) fn ready_at(&self, tokens: u64, now: Time) -> Time {
        self.pace.ready_at().max(self.window.ready_at(tokens, now))
    }

    /// Reserves `tokens` now.
    pub(super) fn admit(&mut self, now: Time, tokens: u64) {
        let tokens = tokens.min(self.window.limit());
        self.pace.admit(now, tokens);
        self.window.admit(now, tokens);
    }

    /// Settles a reservation made at `granted`.
    pub(super) fn settle(&mut self, granted: Time, reserved: u64, used: u64) {
        let (reserved, used) = (reserved.min(self.window.limit()), used.min(self.window.limit()));
        self.pace.settle(reserved, used);
        self.window.settle(granted, reserved, used);
    }

    /// See [`Gcra::hold_until`].
    pub(super) fn hold_until(&mut self, until: Time) {
        self.pace.hold_until(until);
    }

    /// Another limit from now on, with the pace that goes with it.
    pub(super) fn set_limit(&mut self, limit: u64, rate: Rate, now: Time) {
        self.pace.set_rate(rate, now);
        self.window.set_limit(limit.max(1));
    }

    /// Tokens that are left of the last minute.
    pub(super) fn left(&self, now: Time) -> u64 {
        self.window.left(now)
    }

    /// The time `tokens` take at this pace.
    pub(super) fn spacing(&self, tokens: u64) -> Duration {
        self.pace.spacing(tokens)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest sum of `(time, amount)` in any closed minute.
    fn fullest_minute(admitted: &[(Time, u64)]) -> u64 {
        let mut most = 0;
        let (mut from, mut sum) = (0, 0);
        for (at, amount) in admitted {
            sum += amount;
            while admitted[from].0 + MINUTE < *at {
                sum -= admitted[from].1;
                from += 1;
            }
            most = most.max(sum);
        }
        most
    }

    #[test]
    fn a_bucket_that_is_always_wanted_comes_close_to_its_limit_and_never_over_it() {
        for limit in [1, 2, 5, 49, 50, 51, 52, 60, 99, 100, 149, 1000, 4000] {
            let mut bucket = Gcra::drained(Rate::of_requests(limit), Time::ZERO);
            let mut admitted = Vec::new();
            let mut now = Time::ZERO;
            while now < Time::from_millis(600_000) {
                now = now.max(bucket.ready_at());
                bucket.admit(now, 1);
                admitted.push((now, 1));
            }
            assert!(fullest_minute(&admitted) <= limit, "{limit} per minute");
            assert!(admitted.len() as u64 >= limit * 10 * 97 / 100, "{limit} per minute is used");
        }
    }

    #[test]
    fn a_start_waits_one_spacing_and_sends_no_burst() {
        let mut bucket = Gcra::drained(Rate::of_requests(60), Time::ZERO);
        let first = bucket.ready_at();
        assert_eq!(first.since_start().as_millis(), 1020);
        bucket.admit(first, 1);
        assert_eq!(bucket.ready_at().since(first).as_millis(), 1020);
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit(
            limit in 1_u64..300,
            gaps in proptest::collection::vec(0_u64..3_000, 1..600),
        ) {
            let mut bucket = Gcra::drained(Rate::of_requests(limit), Time::ZERO);
            let mut now = Time::ZERO;
            let mut admitted = Vec::new();
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                while bucket.ready_at() <= now {
                    bucket.admit(now, 1);
                    admitted.push((now, 1));
                }
            }
            prop_assert!(fullest_minute(&admitted) <= limit);
        }

        #[test]
        fn no_minute_holds_more_tokens_than_the_limit(
            limit in 100_u64..10_000,
            calls in proptest::collection::vec((0_u64..2_000, 1_u64..4_000, 0_u64..100), 1..200),
        ) {
            let mut bucket = TokenBucket::drained(limit, Time::ZERO);
            let mut now = Time::ZERO;
            let mut used = Vec::new();
            for (gap, tokens, per_cent) in calls {
                now = now + Duration::from_millis(gap);
                now = now.max(bucket.ready_at(tokens, now));
                prop_assert!(bucket.ready_at(tokens, now) <= now);
                let tokens = tokens.min(limit);
                let actual = tokens * per_cent / 100;
                bucket.admit(now, tokens);
                bucket.settle(now, tokens, actual);
                used.push((now, actual));
            }
            prop_assert!(fullest_minute(&used) <= limit);
        }

        #[test]
        fn hostile_numbers_do_not_panic(limit: u64, tokens: u64, used: u64, at: u64) {
            let now = Time::from_millis(at);
            let mut requests = Gcra::drained(Rate::of_requests(limit), now);
            requests.admit(now, tokens);
            requests.settle(tokens, used);
            requests.set_rate(Rate::measured(f64::NAN), now);
            let mut bucket = TokenBucket::drained(limit, now);
            bucket.admit(now, tokens);
            bucket.settle(now, tokens, used);
            bucket.set_limit(used, Rate::of_tokens(used), now);
            let _ = bucket.ready_at(tokens, now);
        }
    }
}
