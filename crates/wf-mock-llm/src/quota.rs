//! A provider's quotas, pure: time comes in as an argument, as a distance from the server's start.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Limits;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How a limit per minute is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Counted anew at every full minute of the server's clock.
    Fixed,
    /// Counted over the last minute.
    Sliding,
    /// A bucket that starts full and fills evenly.
    Bucket,
}

/// One limit: so many units in a period.
#[derive(Clone, Debug)]
pub struct Meter {
    limit: u64,
    period: Duration,
    used: Used,
}

#[derive(Clone, Debug)]
enum Used {
    /// The window's number, and what was taken in it.
    Fixed(u128, u64),
    /// When how much was taken, oldest first, and the sum.
    Sliding(VecDeque<(Duration, u64)>, u64),
    /// What is in the bucket, and as of when. Below zero where refused calls count.
    Bucket(f64, Duration),
}

impl Meter {
    /// A limit of `limit` units per `period`, nothing of it used.
    pub fn new(window: Window, limit: u64, period: Duration) -> Meter {
        let used = match window {
            Window::Fixed => Used::Fixed(0, 0),
            Window::Sliding => Used::Sliding(VecDeque::new(), 0),
            Window::Bucket => Used::Bucket(limit as f64, Duration::ZERO),
        };
        Meter { limit, period, used }
    }

    /// Units per period.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How long until `units` fit; zero when they do now. For more than the limit, which never fit, a period.
    pub fn wait(&mut self, now: Duration, units: u64) -> Duration {
        self.settle(now);
        if units > self.limit {
            return self.period;
        }
        let over = |used: u64| used.saturating_add(units).saturating_sub(self.limit);
        match &self.used {
            Used::Fixed(_, used) if over(*used) == 0 => Duration::ZERO,
            Used::Fixed(..) => self.window_ends_in(now),
            Used::Sliding(taken, used) => {
                // As many of the oldest must leave the window as are in the way.
                let mut in_the_way = over(*used);
                let mut wait = Duration::ZERO;
                for (at, units) in taken {
                    if in_the_way == 0 {
                        break;
                    }
                    in_the_way = in_the_way.saturating_sub(*units);
                    wait = (*at + self.period).saturating_sub(now);
                }
                wait
            }
            Used::Bucket(level, _) => self.fill_time(units as f64 - level),
        }
    }

    /// Takes `units`, whether they fit or not: a refused call may count too.
    pub fn take(&mut self, now: Duration, units: u64) {
        self.settle(now);
        let limit = self.limit as f64;
        match &mut self.used {
            Used::Fixed(_, used) => *used = used.saturating_add(units),
            Used::Sliding(taken, used) => {
                taken.push_back((now, units));
                *used = used.saturating_add(units);
            }
            // A debt beyond one period would outlast any real provider's patience.
            Used::Bucket(level, _) => *level = (*level - units as f64).max(-limit),
        }
    }

    /// What is left.
    pub fn remaining(&mut self, now: Duration) -> u64 {
        self.settle(now);
        match &self.used {
            Used::Fixed(_, used) | Used::Sliding(_, used) => self.limit.saturating_sub(*used),
            Used::Bucket(level, _) => level.max(0.0) as u64,
        }
    }

    /// How long until all of it is there again, if nothing more is taken.
    pub fn full_in(&mut self, now: Duration) -> Duration {
        self.settle(now);
        match &self.used {
            Used::Fixed(_, 0) => Duration::ZERO,
            Used::Fixed(..) => self.window_ends_in(now),
            Used::Sliding(taken, _) => {
                taken.back().map_or(Duration::ZERO, |(at, _)| (*at + self.period).saturating_sub(now))
            }
            Used::Bucket(level, _) => self.fill_time(self.limit as f64 - level),
        }
    }

    fn window_ends_in(&self, now: Duration) -> Duration {
        let into = now.as_nanos() % self.period.as_nanos();
        self.period.saturating_sub(Duration::from_nanos(into as u64))
    }

    fn fill_time(&self, missing: f64) -> Duration {
        if missing <= 0.0 || self.limit == 0 {
            return Duration::ZERO;
        }
        // Rounded up to a nanosecond, so that whoever waits this long finds enough.
        self.period.mul_f64(missing / self.limit as f64) + Duration::from_nanos(1)
    }

    /// Forgets what is over.
    fn settle(&mut self, now: Duration) {
        match &mut self.used {
            Used::Fixed(window, used) => {
                let current = now.as_nanos() / self.period.as_nanos();
                if current > *window {
                    (*window, *used) = (current, 0);
                }
            }
            Used::Sliding(taken, used) => {
                while let Some((at, units)) = taken.front()
                    && now >= *at + self.period
                {
                    *used = used.saturating_sub(*units);
                    taken.pop_front();
                }
            }
            Used::Bucket(level, as_of) => {
                let rate = self.limit as f64 / self.period.as_secs_f64();
                let gained = now.saturating_sub(*as_of).as_secs_f64() * rate;
                *level = (*level + gained).min(self.limit as f64);
                *as_of = now.max(*as_of);
            }
        }
    }
}

/// Which limit of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute, input and output together.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Requests at once.
    Concurrency,
}

/// A call did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which limit.
    pub dimension: Dimension,
    /// The limit.
    pub limit: u64,
    /// When the call would fit, if nobody else took its place.
    pub retry_after: Duration,
}

/// What the quota headers say of one meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Units per minute.
    pub limit: u64,
    /// Units left.
    pub remaining: u64,
    /// Time until all are left.
    pub full_in: Duration,
}

/// The quota of one group for one model.
#[derive(Clone, Debug)]
pub struct GroupQuota {
    requests: Option<Meter>,
    tokens: Option<Meter>,
    day: Option<Meter>,
    count_refused: bool,
}

impl GroupQuota {
    /// Quotas as configured. A day is always counted from midnight, as providers do; the server starts at midnight.
    pub fn new(limits: Limits, window: Window, count_refused: bool) -> GroupQuota {
        GroupQuota {
            requests: limits.rpm.map(|rpm| Meter::new(window, u64::from(rpm), MINUTE)),
            tokens: limits.tpm.map(|tpm| Meter::new(window, tpm, MINUTE)),
            day: limits.rpd.map(|rpd| Meter::new(Window::Fixed, u64::from(rpd), DAY)),
            count_refused,
        }
    }

    /// Takes one request of `tokens` tokens, or says what stands against it: the limit that lasts longest.
    pub fn admit(&mut self, now: Duration, tokens: u64) -> Result<(), Excess> {
        let mut worst: Option<Excess> = None;
        let meters = [
            (Dimension::RequestsPerMinute, &mut self.requests, 1),
            (Dimension::TokensPerMinute, &mut self.tokens, tokens),
            (Dimension::RequestsPerDay, &mut self.day, 1),
        ];
        for (dimension, meter, units) in meters {
            let Some(meter) = meter else { continue };
            let wait = meter.wait(now, units);
            if !wait.is_zero() && worst.is_none_or(|worst| wait > worst.retry_after) {
                worst = Some(Excess { dimension, limit: meter.limit(), retry_after: wait });
            }
        }
        if worst.is_some() && !self.count_refused {
            return worst.map_or(Ok(()), Err);
        }
        let tokens = if worst.is_some() { 0 } else { tokens };
        for (meter, units) in [(&mut self.requests, 1), (&mut self.tokens, tokens), (&mut self.day, 1)] {
            if let Some(meter) = meter {
                meter.take(now, units);
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Requests per minute, as the headers show them.
    pub fn requests(&mut self, now: Duration) -> Option<Level> {
        self.requests.as_mut().map(|meter| level(meter, now))
    }

    /// Tokens per minute, as the headers show them.
    pub fn tokens(&mut self, now: Duration) -> Option<Level> {
        self.tokens.as_mut().map(|meter| level(meter, now))
    }
}

fn level(meter: &mut Meter, now: Duration) -> Level {
    Level { limit: meter.limit(), remaining: meter.remaining(now), full_in: meter.full_in(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When each of `n` requests, sent one after the other as soon as it fits, is admitted; in seconds.
    fn schedule(window: Window, limit: u64, n: usize) -> Vec<u64> {
        let mut meter = Meter::new(window, limit, MINUTE);
        let mut now = s(10);
        (0..n)
            .map(|_| {
                now += meter.wait(now, 1);
                meter.take(now, 1);
                now.as_secs()
            })
            .collect()
    }

    #[test]
    fn three_windows_admit_differently() {
        assert_eq!(schedule(Window::Fixed, 2, 5), [10, 10, 60, 60, 120]);
        assert_eq!(schedule(Window::Sliding, 2, 5), [10, 10, 70, 70, 130]);
        assert_eq!(schedule(Window::Bucket, 2, 5), [10, 10, 40, 70, 100]);
    }

    #[test]
    fn the_headers_tell_what_is_left() {
        let limits = Limits { rpm: Some(60), tpm: Some(1_000), rpd: None };
        let mut quota = GroupQuota::new(limits, Window::Bucket, false);
        quota.admit(s(0), 250).unwrap();
        assert_eq!(quota.requests(s(0)).unwrap().remaining, 59);
        assert_eq!(quota.requests(s(0)).unwrap().full_in.as_millis(), 1_000);
        assert_eq!(quota.tokens(s(0)).unwrap().remaining, 750);
        assert_eq!(quota.tokens(s(0)).unwrap().full_in.as_millis(), 15_000);
        assert_eq!(quota.tokens(s(60)).unwrap().remaining, 1_000);
    }

    #[test]
    fn the_limit_that_lasts_longest_is_named() {
        let limits = Limits { rpm: Some(1), tpm: Some(100), rpd: Some(2) };
        let mut quota = GroupQuota::new(limits, Window::Fixed, false);
        assert_eq!(quota.admit(s(0), 90), Ok(()));
        let excess = quota.admit(s(15), 5).unwrap_err();
        assert_eq!(excess, Excess { dimension: Dimension::RequestsPerMinute, limit: 1, retry_after: s(45) });
        assert_eq!(quota.admit(s(60), 100), Ok(()));
        let excess = quota.admit(s(61), 5).unwrap_err();
        assert_eq!(excess.dimension, Dimension::RequestsPerDay);
        assert_eq!(excess.retry_after + s(61), DAY);
        assert_eq!(quota.admit(DAY, 5), Ok(()));
    }

    #[test]
    fn a_call_larger_than_the_limit_never_fits() {
        let mut quota =
            GroupQuota::new(Limits { tpm: Some(100), ..Limits::default() }, Window::Bucket, false);
        assert_eq!(quota.admit(s(0), 101).unwrap_err().retry_after, MINUTE);
        assert_eq!(quota.admit(s(600), 101).unwrap_err().retry_after, MINUTE);
        assert_eq!(quota.admit(s(600), 100), Ok(()));
    }

    #[test]
    fn where_refused_calls_count_hammering_never_gets_through() {
        for window in [Window::Sliding, Window::Bucket] {
            for (count_refused, admitted) in [(false, true), (true, false)] {
                let limits = Limits { rpm: Some(2), ..Limits::default() };
                let mut quota = GroupQuota::new(limits, window, count_refused);
                let mut ok = (0..2).all(|_| quota.admit(s(0), 0).is_ok());
                assert!(ok);
                ok = (1..120).any(|second| quota.admit(s(second), 0).is_ok());
                assert_eq!(ok, admitted, "{window:?}, refused calls counted: {count_refused}");
            }
        }
    }

    fn window() -> impl Strategy<Value = Window> {
        prop::sample::select(vec![Window::Fixed, Window::Sliding, Window::Bucket])
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_its_limit(
            window in window(),
            limit in 1_u64..20,
            gaps in prop::collection::vec((0_u64..20_000, 1_u64..4), 1..200),
        ) {
            let mut meter = Meter::new(window, limit, MINUTE);
            let mut now = Duration::ZERO;
            let mut admitted: Vec<(Duration, u64)> = Vec::new();
            for (gap_ms, units) in gaps {
                now += Duration::from_millis(gap_ms);
                if meter.wait(now, units).is_zero() {
                    meter.take(now, units);
                    admitted.push((now, units));
                }
            }
            for (from, _) in &admitted {
                let within = admitted.iter().filter(|(at, _)| at >= from && *at < *from + MINUTE);
                let sum: u64 = match window {
                    Window::Fixed => {
                        let minute = from.as_secs() / 60;
                        admitted.iter().filter(|(at, _)| at.as_secs() / 60 == minute).map(|(_, n)| n).sum()
                    }
                    _ => within.map(|(_, n)| n).sum(),
                };
                // A bucket that starts full gives its fill and what flows in meanwhile.
                let most = if window == Window::Bucket { 2 * limit } else { limit };
                prop_assert!(sum <= most, "{sum} from {from:?}");
            }
        }

        #[test]
        fn whoever_waits_as_told_is_admitted(
            window in window(),
            limit in 1_u64..20,
            steps in prop::collection::vec((0_u64..30_000, 1_u64..20), 1..60),
        ) {
            let mut meter = Meter::new(window, limit, MINUTE);
            let mut now = Duration::ZERO;
            for (gap_ms, units) in steps {
                let units = units.min(limit);
                now += Duration::from_millis(gap_ms);
                let wait = meter.wait(now, units);
                prop_assert!(wait <= MINUTE + Duration::from_nanos(1));
                now += wait;
                prop_assert!(meter.wait(now, units).is_zero());
                meter.take(now, units);
                prop_assert!(meter.remaining(now) <= limit);
                let full = meter.full_in(now);
                prop_assert_eq!(meter.clone().remaining(now + full), limit);
            }
        }
    }
}
