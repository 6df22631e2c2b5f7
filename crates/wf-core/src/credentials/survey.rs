//! Where a call can go now, or else what it waits for.

use super::breaker::BreakerGate;
use super::hold::HoldGate;
use super::key::KeyGate;
use super::pool::{Pick, Pool};
use super::quota::{Need, QuotaGate};
use super::types::{KeyIndex, WaitReason};
use crate::Time;

/// What a waiting call can use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) need: Need,
    /// Keys that refused it.
    pub(super) avoid: &'a [KeyIndex],
    /// The group that served its workflow last.
    pub(super) stay: Option<usize>,
}

/// What keeps a call waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) reason: WaitReason,
    /// When to look again even if nothing happens; without it, only a returned lease can change something.
    pub(super) wake: Option<Time>,
    /// What the worker is told.
    pub(super) until: Option<Time>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survey {
    /// It can go here.
    Go(Pick),
    /// It has to wait.
    Wait(Stuck),
    /// Nothing will ever serve it without the operator.
    Hopeless,
}

/// How good a choice is; the least is taken. Doubtful keys come after good ones and probes last; then the workflow's own
/// group, then the one that could have served longest, then the least used key.
///
/// Staying with a group (tests/quota.rs, known limits): 441 changes of the group in 1,200 calls instead of 874, at the
/// same makespan.
type Rank = (u8, bool, Time, u32, u64);

const DOUBTFUL: u8 = 1;
const PROBE: u8 = 2;

/// The best key of a group.
struct Best {
    level: u8,
    in_flight: u32,
    last_lease: u64,
    key: KeyIndex,
}

/// What a group's keys have to offer.
#[derive(Default)]
struct Offer {
    best: Option<Best>,
    /// Whether one can serve when its leases are back.
    is_reserved: bool,
    /// When a quarantined one may be probed.
    probe_at: Option<Time>,
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl Pool {
    fn offer(&self, group: usize, avoid: &[KeyIndex], now: Time) -> Offer {
        let mut offer = Offer::default();
        for index in self.groups[group].keys.iter().copied().filter(|k| !avoid.contains(k)) {
            let key = self.key(index);
            let level = match key.gate(now) {
                KeyGate::Free => 0,
                KeyGate::Doubtful => DOUBTFUL,
                KeyGate::Probe => PROBE,
                KeyGate::Reserved => {
                    offer.is_reserved = true;
                    continue;
                }
                KeyGate::Shut(until) => {
                    offer.probe_at = earliest(offer.probe_at, Some(until).filter(|t| *t < Time::NEVER));
                    continue;
                }
            };
            let rank = (level, key.in_flight, key.last_lease);
            if offer.best.as_ref().is_none_or(|b| rank < (b.level, b.in_flight, b.last_lease)) {
                let (in_flight, last_lease) = (key.in_flight, key.last_lease);
                offer.best = Some(Best { level, in_flight, last_lease, key: index });
            }
        }
        offer
    }

    /// Looks through the groups of a class for the best place for a call. O(keys of the provider).
    pub(super) fn survey(&self, class: usize, wish: Wish<'_>, now: Time) -> Survey {
        let (class_index, class) = (class, &self.classes[class]);
        let provider = &self.providers[class.provider];
        let mut best: Option<(Rank, Pick)> = None;
        let (mut hope, mut is_reserved, mut is_paced) = (false, false, false);
        let (mut wake, mut paced_until, mut limited_until) = (None, None, None);
        for (position, (group, quota)) in provider.groups.iter().zip(&class.quotas).enumerate() {
            let group_level = match self.groups[*group].gate(now) {
                None => 0,
                Some(HoldGate::Probe) => PROBE,
                Some(HoldGate::Probing) => {
                    (hope, is_reserved) = (true, true);
                    continue;
                }
                Some(HoldGate::Shut(until)) => {
                    wake = earliest(wake, Some(until));
                    continue;
                }
            };
            let gate = quota.gate(wish.need, now);
            if gate == QuotaGate::Barred {
                continue;
            }
            let offer = self.offer(*group, wish.avoid, now);
            wake = earliest(wake, offer.probe_at);
            if offer.best.is_none() && !offer.is_reserved {
                continue;
            }
            hope = true;
            let (quota_level, ready) = match gate {
                QuotaGate::Limited { wake: at, until } => {
                    wake = earliest(wake, Some(at));
                    limited_until = earliest(limited_until, Some(until));
                    continue;
                }
                _ if offer.best.is_none() => {
                    is_reserved = true;
                    continue;
                }
                QuotaGate::Pacing(at) => {
                    wake = earliest(wake, Some(at));
                    paced_until = earliest(paced_until, Some(at));
                    is_paced = true;
                    continue;
                }
                QuotaGate::Ramp(at) => {
                    wake = earliest(wake, at);
                    is_paced = true;
                    continue;
                }
                QuotaGate::Probe => (PROBE, Time::ZERO),
                QuotaGate::Open(ready) => (0, ready),
                QuotaGate::Barred => continue,
            };
            if let Some(found) = offer.best {
                let level = found.level.max(group_level).max(quota_level);
                let rank = (level, wish.stay != Some(*group), ready, found.in_flight, found.last_lease);
                if best.is_none_or(|(least, _)| rank < least) {
                    best = Some((rank, Pick { class: class_index, position, key: found.key }));
                }
            }
        }
        if !hope {
            return Survey::Hopeless;
        }
        let held = match provider.breaker.gate(provider.in_flight, now) {
            BreakerGate::Open(until) => Some((WaitReason::Overloaded, Some(until))),
            BreakerGate::Probing => Some((WaitReason::Overloaded, None)),
            BreakerGate::Ramp => Some((WaitReason::Pacing, None)),
            BreakerGate::Closed | BreakerGate::Probe => None,
        };
        if let Some((reason, until)) = held {
            return Survey::Wait(Stuck { reason, wake: until, until });
        }
        if let Some((_, pick)) = best {
            return Survey::Go(pick);
        }
        let (reason, until) = if is_paced {
            (WaitReason::Pacing, paced_until)
        } else if is_reserved {
            (WaitReason::AllReserved, None)
        } else {
            (WaitReason::RateLimited, limited_until)
        };
        Survey::Wait(Stuck { reason, wake, until })
    }

    /// Whether anything may serve a class without the operator.
    pub(super) fn has_hope(&self, class: usize, now: Time) -> bool {
        let wish = Wish { need: Need::Call(0), avoid: &[], stay: None };
        self.survey(class, wish, now) != Survey::Hopeless
    }
}
