//! What people are told of the pool: one line per episode, however many calls it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::coordinator::{CredentialCoordinator, Lease};
use super::key::KeyGate;
use super::notice::Notice;
use super::types::{Decision, KeyIndex, WaitReason};
use crate::Time;

/// Keys that were all reserved and are again within this time are still the same episode: with a worker more than keys
/// every call would be one otherwise.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// A provider's keys all being reserved.
#[derive(Clone, Copy, Debug, Default)]
struct Reserved {
    is_so: bool,
    ended: Option<Time>,
}

/// What was told, so that it is not told again.
#[derive(Clone, Debug, Default)]
pub(super) struct Episodes {
    /// Classes that were asked for and that nothing can serve.
    dead: BTreeSet<usize>,
    /// By provider.
    reserved: BTreeMap<usize, Reserved>,
    /// By provider: until when it was told that all keys are limited.
    limited: BTreeMap<usize, Time>,
    /// By class: the kind of wait its line was told.
    kinds: BTreeMap<usize, Kind>,
}

/// Kinds of waits. Within one kind the reason may change from call to call, and nobody needs to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Turn,
    Limited,
    Overloaded,
    Other,
}

impl Kind {
    fn of(reason: WaitReason) -> Kind {
        match reason {
            WaitReason::AllReserved | WaitReason::Pacing => Kind::Turn,
            WaitReason::RateLimited => Kind::Limited,
            WaitReason::Overloaded => Kind::Overloaded,
            WaitReason::Backoff | WaitReason::NoUsableKey => Kind::Other,
        }
    }
}

impl Episodes {
    /// Whether anything that was asked for is dead.
    pub(super) fn is_dead(&self) -> bool {
        !self.dead.is_empty()
    }
}

impl CredentialCoordinator {
    /// After a key's or group's standing has changed: tells who is dead, and who no longer is.
    pub(super) fn check_standing(&mut self, now: Time, out: &mut Vec<Decision>) {
        for class in 0..self.pool.classes.len() {
            if self.pool.classes[class].is_asked_for {
                self.check_standing_of(class, now, out);
            }
        }
    }

    /// The same for one class. False when it is dead.
    pub(super) fn check_standing_of(&mut self, class: usize, now: Time, out: &mut Vec<Decision>) -> bool {
        let has_hope = self.pool.has_hope(class, now);
        if has_hope {
            self.episodes.dead.remove(&class);
            return true;
        }
        if !self.episodes.dead.insert(class) {
            return false;
        }
        let provider = self.pool.classes[class].provider;
        // Another model of the same dead keys is the same news.
        let is_known = self.pool.providers[provider].classes.iter().any(|other| {
            let barred = self.pool.classes[*other].quotas.iter().any(|quota| quota.is_barred(now));
            *other != class && !barred && self.episodes.dead.contains(other)
        });
        if !is_known {
            let keys = self.pool.keys_of(provider);
            let reasons = keys.map(|key| (key, self.pool.reason(key, Some(class), now))).collect();
            let provider = self.pool.name_where_needed(provider);
            out.push(Decision::Notice(Notice::Dead { provider, reasons }));
        }
        false
    }

    /// After all that could be served was served: tells workers why they wait, and people what the pool is short of.
    pub(super) fn tell(&mut self, now: Time, out: &mut Vec<Decision>) {
        self.tell_reserved(now, out);
        for class in 0..self.stuck.len() {
            let untold = self.queue.take_untold(class);
            let Some(stuck) = self.stuck[class] else { continue };
            if let (WaitReason::RateLimited, Some(until)) = (stuck.reason, stuck.until) {
                self.tell_limited(class, until, now, out);
            }
            let kind = Kind::of(stuck.reason);
            let is_news = self.episodes.kinds.insert(class, kind) != Some(kind);
            let audience = if is_news { self.queue.everybody(class) } else { untold };
            for id in audience {
                if self.queue.tell(id, stuck.reason)
                    && let Some(waiter) = self.queue.get(id)
                {
                    let (who, call) = (waiter.who, waiter.call);
                    out.push(Decision::Waiting { who, call, reason: stuck.reason, until: stuck.until });
                }
            }
        }
    }

    /// Whether the group that was just blocked is one of several that have a quota in common.
    pub(super) fn look_for_sharing(
        &mut self,
        lease: &Lease,
        wait: Duration,
        now: Time,
        out: &mut Vec<Decision>,
    ) {
        let class = &mut self.pool.classes[lease.class];
        let groups = &self.pool.providers[class.provider].groups;
        if self.pool.groups[groups[lease.position]].is_named {
            return;
        }
        let Some(together) =
            class.coincidences.blocked(lease.position, lease.ticket.granted, now, now + wait)
        else {
            return;
        };
        let keys = together.into_iter().flat_map(|position| self.pool.groups[groups[position]].keys.clone());
        let keys: Vec<KeyIndex> = keys.filter(|key| !self.pool.key(*key).retired).collect();
        out.push(Decision::Notice(Notice::SharedQuota { keys }));
    }

    fn tell_limited(&mut self, class: usize, until: Time, now: Time, out: &mut Vec<Decision>) {
        let provider = self.pool.classes[class].provider;
        let told = self.episodes.limited.get(&provider).copied();
        if told.is_none_or(|told| told <= now) {
            self.episodes.limited.insert(provider, until);
            let provider = self.pool.name_where_needed(provider);
            out.push(Decision::Notice(Notice::AllLimited { provider, until }));
        }
    }

    fn tell_reserved(&mut self, now: Time, out: &mut Vec<Decision>) {
        for provider in 0..self.pool.providers.len() {
            let classes = &self.pool.providers[provider].classes;
            let is_so = classes
                .iter()
                .any(|class| self.stuck[*class].is_some_and(|stuck| stuck.reason == WaitReason::AllReserved));
            let episode = self.episodes.reserved.entry(provider).or_default();
            let was_so = std::mem::replace(&mut episode.is_so, is_so);
            if was_so && !is_so {
                episode.ended = Some(now);
            }
            let is_recent = episode.ended.is_some_and(|ended| now.since(ended) < RECOVERED_AFTER);
            if is_so && !was_so && !is_recent {
                let waiting = classes.iter().map(|class| self.queue.in_line(*class)).sum();
                let keys = self.pool.keys_of(provider);
                let keys = keys.filter(|key| self.pool.key(*key).gate(now) == KeyGate::Reserved).count();
                let provider = self.pool.name_where_needed(provider);
                out.push(Decision::Notice(Notice::Exhausted { provider, keys, waiting }));
            }
        }
    }
}
