//! A provider in trouble is left alone: nothing, then one probe, then a ramp.

use std::time::Duration;

use super::dice::Dice;
use super::retry::LONGEST_HINT;
use super::types::LeaseId;
use crate::Time;

/// Refusals in a row, without an answer between them, that open the breaker. One alone is everyday life with all
/// providers; a provider that says how long to wait is believed at once.
const STRIKES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A ramp this wide is none.
const RAMP_END: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { strikes: u32 },
    Open { until: Time },
    Probing(LeaseId),
    Ramp { at_once: u32 },
}

/// What a provider's breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerGate {
    /// Calls.
    Closed,
    /// One call.
    Probe,
    /// Nothing before then.
    Open(Time),
    /// Nothing until the probe is back.
    Probing,
    /// Nothing until a call is back: as many are out as the ramp allows.
    Ramp,
}

/// One provider's breaker.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    state: State,
    /// Openings in a row, without an answer between them.
    openings: u32,
    /// Counts openings: a call granted before the latest says nothing of what came after.
    epoch: u32,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker { state: State::Closed { strikes: 0 }, openings: 0, epoch: 0 }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn gate(&self, in_flight: u32, now: Time) -> BreakerGate {
        match self.state {
            State::Open { until } if now < until => BreakerGate::Open(until),
            State::Open { .. } => BreakerGate::Probe,
            State::Probing(_) => BreakerGate::Probing,
            State::Ramp { at_once } if in_flight >= at_once => BreakerGate::Ramp,
            State::Closed { .. } | State::Ramp { .. } => BreakerGate::Closed,
        }
    }

    /// A call is granted: after an open time it is the probe.
    pub(super) fn granted(&mut self, lease: LeaseId) {
        if let State::Open { .. } = self.state {
            self.state = State::Probing(lease);
        }
    }

    /// The provider answered, if only with a refusal of its own: it is alive.
    pub(super) fn answered(&mut self, lease: LeaseId, epoch: u32) {
        if epoch != self.epoch {
            return;
        }
        match self.state {
            State::Closed { .. } => self.state = State::Closed { strikes: 0 },
            State::Probing(probe) if probe == lease => {
                self.openings = 0;
                self.state = State::Ramp { at_once: 2 };
            }
            State::Open { .. } | State::Probing(_) => {}
            State::Ramp { at_once } if at_once >= RAMP_END => self.state = State::Closed { strikes: 0 },
            State::Ramp { at_once } => self.state = State::Ramp { at_once: at_once + 1 },
        }
    }

    /// The provider was overloaded. The time it is left alone, when that begins with this call and people should hear
    /// of it.
    pub(super) fn overloaded(
        &mut self,
        epoch: u32,
        retry_after: Option<Duration>,
        dice: &mut Dice,
        now: Time,
    ) -> Option<Duration> {
        if epoch != self.epoch {
            return None;
        }
        let is_news = match self.state {
            State::Closed { strikes } if retry_after.is_none() && strikes + 1 < STRIKES => {
                self.state = State::Closed { strikes: strikes + 1 };
                return None;
            }
            State::Closed { .. } => true,
            // Open: cannot be, the epoch would differ. A refused probe or ramp prolongs the same episode.
            State::Open { .. } | State::Probing(_) | State::Ramp { .. } => false,
        };
        let own = FIRST_WAIT.saturating_mul(1 << self.openings.min(8)).min(LONGEST_WAIT);
        let wait = dice.stretched(own.max(retry_after.unwrap_or_default().min(LONGEST_HINT)));
        self.openings += 1;
        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::Open { until: now + wait };
        is_news.then_some(wait)
    }

    /// A call came back without a word on the provider: lost on the way, or never sent.
    pub(super) fn inconclusive(&mut self, lease: LeaseId, dice: &mut Dice, now: Time) {
        if self.state == State::Probing(lease) {
            self.state = State::Open { until: now + dice.stretched(FIRST_WAIT) };
        }
    }

    /// Until when nothing is sent, if that is so.
    pub(super) fn until(&self, now: Time) -> Option<Time> {
        match self.state {
            State::Open { until } if now < until => Some(until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn three_in_a_row_open_it_then_one_probe_then_a_ramp() {
        let (mut b, mut dice) = (Breaker::new(), Dice::new(1));
        assert_eq!(b.overloaded(0, None, &mut dice, at(1)), None);
        b.answered(LeaseId(1), 0);
        for _ in 0..2 {
            assert_eq!(b.overloaded(0, None, &mut dice, at(2)), None);
        }
        let wait = b.overloaded(0, None, &mut dice, at(3)).expect("opens");
        assert!(wait >= FIRST_WAIT);
        assert_eq!(b.overloaded(0, None, &mut dice, at(3)), None, "a straggler extends nothing");
        assert_eq!(b.gate(0, at(3)), BreakerGate::Open(at(3) + wait));
        assert_eq!(b.gate(0, at(10)), BreakerGate::Probe);
        b.granted(LeaseId(7));
        assert_eq!(b.gate(1, at(10)), BreakerGate::Probing);
        b.answered(LeaseId(7), b.epoch());
        assert_eq!((b.gate(1, at(11)), b.gate(2, at(11))), (BreakerGate::Closed, BreakerGate::Ramp));
        b.answered(LeaseId(8), b.epoch());
        assert_eq!(b.gate(2, at(11)), BreakerGate::Closed);
    }

    #[test]
    fn a_refused_probe_waits_longer_and_is_no_news() {
        let (mut b, mut dice) = (Breaker::new(), Dice::new(1));
        let first = b.overloaded(0, Some(Duration::from_secs(1)), &mut dice, at(0)).expect("told to wait");
        b.granted(LeaseId(1));
        assert_eq!(b.overloaded(b.epoch(), None, &mut dice, at(10)), None);
        let BreakerGate::Open(until) = b.gate(0, at(10)) else { panic!("open") };
        assert!(until.since(at(10)) > first);
    }

    #[test]
    fn a_lost_probe_is_followed_by_another() {
        let (mut b, mut dice) = (Breaker::new(), Dice::new(1));
        b.overloaded(0, Some(Duration::from_secs(1)), &mut dice, at(0));
        b.granted(LeaseId(1));
        b.inconclusive(LeaseId(1), &mut dice, at(10));
        assert!(matches!(b.gate(0, at(10)), BreakerGate::Open(_)));
        assert_eq!(b.gate(0, at(20)), BreakerGate::Probe);
    }
}
