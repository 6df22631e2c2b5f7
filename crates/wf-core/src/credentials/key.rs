//! One key: how many leases it has out, and whether its provider still takes it.

use super::hold::{Hold, HoldGate};
use super::types::{CallId, KeySpec, LeaseId};
use crate::{AttemptId, Time};

/// Whether the provider takes the key.
#[derive(Clone, Debug)]
pub(super) enum Health {
    /// As far as is known.
    Good,
    /// One call was refused with it. The request may be to blame, so it stays in use, one call at a time and last of
    /// all, until a second call decides.
    Suspect {
        /// The refused call.
        by: (AttemptId, CallId),
        /// The refused lease: only a later one can clear the key.
        lease: LeaseId,
        /// The provider's words.
        detail: String,
    },
    /// Proved bad.
    Quarantined(Hold),
}

/// What a key has to offer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyGate {
    /// A lease.
    Free,
    /// A lease, if nothing better is to be had.
    Doubtful,
    /// One probe.
    Probe,
    /// Nothing until a lease returns.
    Reserved,
    /// Nothing before then, and perhaps never.
    Shut(Time),
}

/// A key of the pool.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) spec: KeySpec,
    pub(super) group: usize,
    pub(super) health: Health,
    pub(super) in_flight: u32,
    /// The number of the last lease: the least recently used of equals is next.
    pub(super) last_lease: u64,
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) refusals: u64,
    /// Replaced by a key of the same name in another group or of another provider.
    pub(super) retired: bool,
}

impl Key {
    pub(super) fn new(spec: KeySpec, group: usize) -> Key {
        Key {
            spec,
            group,
            health: Health::Good,
            in_flight: 0,
            last_lease: 0,
            calls: 0,
            tokens: 0,
            refusals: 0,
            retired: false,
        }
    }

    /// How many leases may be out at once. Zero would be a key that is never used and never missed: it counts as one.
    fn bound(&self) -> u32 {
        self.spec.max_in_flight.map_or(u32::MAX, |n| n.max(1))
    }

    pub(super) fn gate(&self, now: Time) -> KeyGate {
        if self.retired {
            return KeyGate::Shut(Time::NEVER);
        }
        match &self.health {
            Health::Quarantined(hold) => match hold.gate(now) {
                HoldGate::Shut(until) => KeyGate::Shut(until),
                // What was in flight when it was quarantined comes back first.
                HoldGate::Probe if self.in_flight == 0 => KeyGate::Probe,
                HoldGate::Probe | HoldGate::Probing => KeyGate::Reserved,
            },
            Health::Suspect { .. } if self.in_flight > 0 => KeyGate::Reserved,
            Health::Suspect { .. } => KeyGate::Doubtful,
            Health::Good if self.in_flight >= self.bound() => KeyGate::Reserved,
            Health::Good => KeyGate::Free,
        }
    }

    /// Whether it can serve without the operator, now or when a lease returns.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        !matches!(self.gate(now), KeyGate::Shut(_))
    }

    /// Whether it is in full standing: neither quarantined nor replaced.
    pub(super) fn is_good(&self) -> bool {
        !self.retired && !matches!(self.health, Health::Quarantined(_))
    }

    /// Whether all its leases are out.
    pub(super) fn is_reserved(&self, now: Time) -> bool {
        self.gate(now) == KeyGate::Reserved
    }

    /// It has another secret: whatever was held against the old one is void.
    pub(super) fn renew(&mut self) {
        self.health = Health::Good;
    }

    /// The words it was refused with, if it was.
    pub(super) fn refusal(&self) -> Option<&str> {
        match &self.health {
            Health::Good => None,
            Health::Suspect { detail, .. } | Health::Quarantined(Hold { detail, .. }) => Some(detail),
        }
    }

    /// A call was answered with it. True when that ends its quarantine.
    pub(super) fn accepted(&mut self, with: LeaseId) -> bool {
        let (is_cleared, was_quarantined) = match &self.health {
            Health::Good => (false, false),
            // A call sent before the refusal proves nothing of the key after it.
            Health::Suspect { lease, .. } => (with > *lease, false),
            Health::Quarantined(hold) => (hold.is_probe(with), true),
        };
        if is_cleared {
            self.health = Health::Good;
        }
        is_cleared && was_quarantined
    }

    /// A call was refused with it. True when that puts it into quarantine.
    pub(super) fn refused(
        &mut self,
        by: (AttemptId, CallId),
        with: LeaseId,
        detail: &str,
        now: Time,
    ) -> bool {
        self.refusals += 1;
        match &mut self.health {
            Health::Good => {
                self.health = Health::Suspect { by, lease: with, detail: detail.to_owned() };
                false
            }
            Health::Suspect { by: first, .. } if *first == by => false,
            Health::Suspect { .. } => {
                self.health = Health::Quarantined(Hold::new(detail.to_owned(), now));
                true
            }
            Health::Quarantined(hold) => {
                if hold.is_probe(with) {
                    hold.probe_failed(now);
                }
                false
            }
        }
    }

    /// The call that was refused with it was answered with another key: the request was not to blame.
    /// Returns the provider's words when that puts it into quarantine.
    pub(super) fn call_worked_elsewhere(&mut self, call: (AttemptId, CallId), now: Time) -> Option<String> {
        let detail = match &self.health {
            Health::Suspect { by, detail, .. } if *by == call => detail.clone(),
            _ => return None,
        };
        self.health = Health::Quarantined(Hold::new(detail.clone(), now));
        Some(detail)
    }

    /// A lease came back without a word on the key.
    pub(super) fn inconclusive(&mut self, with: LeaseId, now: Time) {
        if let Health::Quarantined(hold) = &mut self.health
            && hold.is_probe(with)
        {
            hold.probe_lost(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemIndex;

    fn key() -> Key {
        let spec = KeySpec {
            name: "a".into(),
            provider: "gemini".into(),
            quota_group: None,
            max_in_flight: Some(2),
        };
        Key::new(spec, 0)
    }

    fn call(n: u64) -> (AttemptId, CallId) {
        (AttemptId { item: ItemIndex(n as u32), number: 1 }, CallId(n))
    }

    const NOW: Time = Time::from_millis(5_000);

    #[test]
    fn one_call_cannot_quarantine_a_key_however_often_it_is_refused() {
        let mut key = key();
        assert!(!key.refused(call(1), LeaseId(1), "bad", NOW));
        assert!(!key.refused(call(1), LeaseId(2), "bad", NOW));
        assert_eq!(key.gate(NOW), KeyGate::Doubtful);
        assert!(key.refused(call(2), LeaseId(3), "bad", NOW));
        assert!(matches!(key.gate(NOW), KeyGate::Shut(_)));
    }

    #[test]
    fn a_later_answer_clears_a_suspect_and_an_earlier_one_does_not() {
        let mut key = key();
        key.refused(call(1), LeaseId(5), "bad", NOW);
        key.accepted(LeaseId(4));
        assert_eq!(key.gate(NOW), KeyGate::Doubtful);
        key.accepted(LeaseId(6));
        assert_eq!(key.gate(NOW), KeyGate::Free);
    }

    #[test]
    fn the_same_call_answered_elsewhere_is_proof() {
        let mut key = key();
        key.refused(call(1), LeaseId(1), "bad", NOW);
        assert_eq!(key.call_worked_elsewhere(call(2), NOW), None);
        assert_eq!(key.call_worked_elsewhere(call(1), NOW).as_deref(), Some("bad"));
        assert!(!key.is_good());
    }

    #[test]
    fn a_quarantined_key_gets_one_rare_probe_and_then_a_rarer_one() {
        let mut key = key();
        key.refused(call(1), LeaseId(1), "bad", NOW);
        key.refused(call(2), LeaseId(2), "bad", NOW);
        let KeyGate::Shut(first) = key.gate(NOW) else { panic!("shut") };
        assert_eq!(first.since(NOW).as_secs(), 3600);
        assert_eq!(key.gate(first), KeyGate::Probe);
        let Health::Quarantined(hold) = &mut key.health else { panic!("quarantined") };
        hold.begin_probe(LeaseId(9));
        assert_eq!(key.gate(first), KeyGate::Reserved);
        key.refused(call(3), LeaseId(9), "bad", first);
        let KeyGate::Shut(second) = key.gate(first) else { panic!("shut") };
        assert_eq!(second.since(first).as_secs(), 7200);
    }
}
