//! Providers of the quota simulation: what they admit, what they refuse, and what they say of it.

use std::collections::VecDeque;

use super::*;
use crate::credentials::bucket::MINUTE;

/// How a provider counts requests per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Counted anew every minute of the provider's clock.
    Fixed,
    /// Counted over the last minute.
    Sliding,
    /// A bucket that starts full and fills evenly.
    Bucket,
}

/// A provider's manners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    pub(super) name: &'static str,
    pub(super) window: Window,
    /// Whether replies carry quota headers.
    pub(super) headers: bool,
    /// Whether refusals say how long to wait.
    pub(super) tells_wait: bool,
    pub(super) counts_refused: bool,
}

/// One group's quota as it really is.
pub(super) struct Truth {
    manners: Manners,
    limit: f64,
    /// Where in its minute the provider's clock stands when the run begins.
    phase: Duration,
    window: u64,
    level: f64,
    as_of: Time,
    /// Requests of the last minute, for a sliding window.
    taken: VecDeque<Time>,
}

impl Truth {
    pub(super) fn new(manners: Manners, limit: u64, phase: Duration) -> Truth {
        let limit = limit as f64;
        Truth { manners, limit, phase, window: 0, level: limit, as_of: Time::ZERO, taken: VecDeque::new() }
    }

    fn since_window_began(&self, now: Time) -> Duration {
        let clock = (now + self.phase).since_start();
        Duration::from_nanos((clock.as_nanos() % MINUTE.as_nanos()) as u64)
    }

    fn settle(&mut self, now: Time) {
        match self.manners.window {
            Window::Fixed => {
                let window = (now + self.phase).since_start().as_secs() / 60;
                if window > self.window {
                    (self.window, self.level) = (window, self.limit);
                }
            }
            Window::Sliding => {
                while self.taken.front().is_some_and(|at| *at + MINUTE <= now) {
                    self.taken.pop_front();
                }
                self.level = self.limit - self.taken.len() as f64;
            }
            Window::Bucket => {
                let gained = now.since(self.as_of).as_secs_f64() * self.limit / 60.0;
                self.level = (self.level + gained).min(self.limit);
            }
        }
        self.as_of = now;
    }

    fn time_of(&self, units: f64) -> Duration {
        MINUTE.mul_f64((units / self.limit).max(0.0))
    }

    /// One request arrives: the outcome its worker will report.
    pub(super) fn arrives(&mut self, now: Time) -> CallOutcome {
        self.settle(now);
        let fits = self.level >= 1.0;
        let wait = match self.manners.window {
            Window::Fixed => MINUTE.saturating_sub(self.since_window_began(now)),
            Window::Sliding => self.taken.front().map_or(Duration::ZERO, |at| (*at + MINUTE).since(now)),
            Window::Bucket => self.time_of(1.0 - self.level),
        };
        if fits || self.manners.counts_refused {
            // A debt beyond one minute would outlast any real provider's patience.
            self.level = (self.level - 1.0).max(-self.limit);
            self.taken.push_back(now);
        }
        let dimension = Dimension::RequestsPerMinute;
        if !fits {
            let retry_after = self.manners.tells_wait.then_some(wait);
            return CallOutcome::Limited {
                dimension: Some(dimension),
                retry_after,
                limit: None,
                slow_down: false,
                hints: Vec::new(),
            };
        }
        let hint = QuotaHint {
            dimension,
            limit: Some(self.limit as u64),
            remaining: Some(self.level.max(0.0) as u64),
            reset: Some(match self.manners.window {
                Window::Fixed | Window::Sliding => wait,
                Window::Bucket => self.time_of(self.limit - self.level),
            }),
        };
        let hints = if self.manners.headers { vec![hint] } else { Vec::new() };
        CallOutcome::Ok { tokens_in: 900, tokens_out: 600, hints }
    }
}
