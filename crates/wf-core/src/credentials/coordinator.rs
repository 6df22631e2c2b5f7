//! The coordinator: one owner of every fact about keys, leases and waiting calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::calls::{Calls, Next, Whereabouts};
use super::dice::Dice;
use super::episodes::Episodes;
use super::hold::HoldGate;
use super::notice::Condition;
use super::pool::Pool;
use super::queue::{Queue, Waiter};
use super::quota::{Need, Ticket};
use super::retry::RetryBudget;
use super::spending::Spending;
use super::survey::Stuck;
use super::types::{
    Asked, CallId, CallOutcome, Decision, DenyCause, KeyIndex, KeySpec, LeaseId, LeaseRequest, Policy,
    PoolSpec, Release,
};
use crate::{AttemptId, Time};

/// A key out with a worker.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) who: AttemptId,
    pub(super) call: CallId,
    pub(super) key: KeyIndex,
    pub(super) class: usize,
    /// The group's position among those of the provider.
    pub(super) position: usize,
    pub(super) need: Need,
    pub(super) ticket: Ticket,
    /// The breaker's count of openings at the grant.
    pub(super) breaker_epoch: u32,
    pub(super) expires: Time,
}

/// Who may call, with which key, and when.
///
/// Every method that can decide something appends to `out`, in the order decided. All is settled when it returns: nothing
/// that could be granted at `now` still waits. Between calls nothing changes but by time, and
/// [`next_deadline`](Self::next_deadline) says when [`advance`](Self::advance) is due.
#[derive(Clone, Debug)]
pub struct CredentialCoordinator {
    pub(super) pool: Pool,
    pub(super) policy: Policy,
    pub(super) queue: Queue,
    pub(super) calls: Calls,
    pub(super) leases: BTreeMap<LeaseId, Lease>,
    /// Leases that are taken back at a time; those of whole attempts are not among them.
    pub(super) expiries: BTreeSet<(Time, LeaseId)>,
    pub(super) next_lease: u64,
    pub(super) dice: Dice,
    pub(super) retries: RetryBudget,
    pub(super) spending: Spending,
    pub(super) episodes: Episodes,
    /// Whether calls that nothing can serve wait for a key that the operator may bring.
    pub(super) is_patient: bool,
    /// What keeps each class's line waiting, as of the last decision; `None` for a class without a line.
    pub(super) stuck: Vec<Option<Stuck>>,
}

impl CredentialCoordinator {
    /// A pool at the start of a run: nothing in flight, every bucket just drained.
    pub fn new(pool: PoolSpec, policy: Policy, now: Time) -> CredentialCoordinator {
        CredentialCoordinator {
            pool: Pool::new(pool, now),
            queue: Queue::default(),
            calls: Calls::default(),
            leases: BTreeMap::new(),
            expiries: BTreeSet::new(),
            next_lease: 1,
            dice: Dice::new(policy.seed),
            retries: RetryBudget::new(now),
            spending: Spending::new(policy.budget),
            episodes: Episodes::default(),
            is_patient: false,
            stuck: Vec::new(),
            policy,
        }
    }

    /// A worker asks whether a call may be sent. The same `call` asked for again after a refused lease is the repetition of
    /// that call and counts against its bounds; after an answered one it is a new call.
    pub fn request(
        &mut self,
        who: AttemptId,
        request: LeaseRequest,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Asked {
        let call = request.call;
        let Some(provider) = self.pool.provider(&request.provider) else {
            out.push(Decision::Denied { who, call, cause: DenyCause::NoSuchProvider(request.provider) });
            return Asked::Accepted;
        };
        let (mut aside, mut is_retry, mut refusals) = (None, false, 0);
        let (mut waited, mut avoid) = (Duration::ZERO, Vec::new());
        match self.calls.get((who, call)) {
            None if !self.calls.has_room(who) => return Asked::TooMany,
            None => {}
            Some(known) => {
                match &known.whereabouts {
                    Whereabouts::Waiting(_) => return Asked::AlreadyWaiting,
                    Whereabouts::Leased(_) => return Asked::AlreadyLeased,
                    Whereabouts::Refused(Next::Denied(cause)) => {
                        out.push(Decision::Denied { who, call, cause: cause.clone() });
                        return Asked::Accepted;
                    }
                    Whereabouts::Refused(Next::After(due)) => aside = Some(*due),
                    Whereabouts::Refused(Next::Line) => {}
                }
                is_retry = known.attempts > 0;
                refusals = known.limited;
                waited = known.waited;
                avoid.clone_from(&known.refused_keys);
            }
        }
        let class = self.class(provider, &request.model);
        self.pool.classes[class].is_asked_for = true;
        let place = self.queue.push(Waiter {
            who,
            call,
            class,
            need: if request.whole_attempt { Need::Attempt } else { Need::Call(request.tokens) },
            tokens: if request.whole_attempt { 0 } else { request.tokens },
            share: request.share,
            is_retry,
            refusals,
            avoid,
            since: now,
            deadline: now + self.policy.max_wait.saturating_sub(waited),
            aside,
            told: None,
        });
        self.calls.wait((who, call), place);
        self.settle(now, out);
        Asked::Accepted
    }

    /// The class of calls to that model of that provider.
    pub(super) fn class(&mut self, provider: usize, model: &str) -> usize {
        let (class, is_new) = self.pool.class_or_new(provider, model);
        if is_new {
            self.queue.add_line();
            self.stuck.push(None);
        }
        class
    }

    /// A worker returns a lease with what it saw.
    pub fn release(
        &mut self,
        who: AttemptId,
        lease: LeaseId,
        outcome: &CallOutcome,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Release {
        match self.leases.get(&lease) {
            None => Release::NotOut,
            Some(known) if known.who != who => Release::Foreign,
            Some(_) => {
                self.finish(lease, outcome, now, out);
                self.settle(now, out);
                Release::Taken
            }
        }
    }

    /// The attempt can neither return a lease nor hear of a grant any more: its calls end as in [`forget`](Self::forget).
    /// What is leased for its whole life stays with it.
    pub fn hang_up(&mut self, who: AttemptId, now: Time, out: &mut Vec<Decision>) {
        self.end_calls(who, |need| need != Need::Attempt, now, out);
        self.settle(now, out);
    }

    /// The attempt is over: its leases are back, and its calls wait no more. Nothing is decided for it any longer.
    pub fn forget(&mut self, who: AttemptId, now: Time, out: &mut Vec<Decision>) {
        self.end_calls(who, |_| true, now, out);
        self.calls.forget(who);
        self.settle(now, out);
    }

    fn end_calls(
        &mut self,
        who: AttemptId,
        which: impl Fn(Need) -> bool,
        now: Time,
        out: &mut Vec<Decision>,
    ) {
        let open: Vec<(CallId, Whereabouts)> =
            self.calls.of(who).map(|(id, call)| (id, call.whereabouts.clone())).collect();
        for (call, whereabouts) in open {
            if !self.need(&whereabouts).is_none_or(&which) {
                continue;
            }
            match whereabouts {
                Whereabouts::Waiting(waiter) => {
                    self.queue.remove(waiter);
                }
                Whereabouts::Leased(lease) => self.finish(lease, &CallOutcome::Abandoned, now, out),
                Whereabouts::Refused(_) => {}
            }
            self.calls.close((who, call));
        }
    }

    /// What an open call is for; a refused one is for a call.
    fn need(&self, whereabouts: &Whereabouts) -> Option<Need> {
        match whereabouts {
            Whereabouts::Leased(lease) => self.leases.get(lease).map(|lease| lease.need),
            Whereabouts::Waiting(_) | Whereabouts::Refused(_) => None,
        }
    }

    /// Time has come: leases run out, blocks lift, patience ends.
    pub fn advance(&mut self, now: Time, out: &mut Vec<Decision>) {
        self.settle(now, out);
    }

    /// When [`advance`](Self::advance) is due: `None` while nothing waits and no lease can run out.
    pub fn next_deadline(&self) -> Option<Time> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let patience = self.queue.next_deadline().map(|(at, _)| at);
        let aside = self.queue.next_backoff().map(|(due, _)| due.max(self.retries.ready_at()));
        let wakes = self.stuck.iter().flatten().filter_map(|stuck| stuck.wake);
        wakes.chain(expiry).chain(patience).chain(aside).min()
    }

    /// Whether the attempt does nothing but wait for the pool: its watchdogs are paused then.
    pub fn waiting(&self, who: AttemptId) -> bool {
        let (mut waits, mut works) = (false, false);
        for (_, call) in self.calls.of(who) {
            match call.whereabouts {
                Whereabouts::Waiting(_) => waits = true,
                // A key for its whole life is no call that it is busy with.
                Whereabouts::Leased(_) => works |= self.need(&call.whereabouts) != Some(Need::Attempt),
                Whereabouts::Refused(_) => {}
            }
        }
        waits && !works
    }

    /// Calls that wait, over all attempts.
    pub fn waiting_calls(&self) -> usize {
        self.queue.len()
    }

    /// Leases that are out.
    pub fn leases_out(&self) -> usize {
        self.leases.len()
    }

    /// Keys that can serve: neither quarantined, nor out of credit, nor rate-limited for every model that was asked for.
    pub fn usable_keys(&self, now: Time) -> usize {
        self.all_keys()
            .filter(|k| self.pool.is_in_standing(*k) && self.pool.limited_until(*k, now).is_none())
            .count()
    }

    /// Whether anything was asked of it in this run.
    pub fn is_asked_of(&self) -> bool {
        self.pool.classes.iter().any(|class| class.is_asked_for)
    }

    /// The keys that do the run's work, those of providers it has asked something of (of all before it asks): how many can
    /// serve, and how many there are.
    pub fn crew(&self, now: Time) -> (usize, usize) {
        let is_any = self.is_asked_of();
        let is_asked = |provider: usize| {
            self.pool.providers[provider].classes.iter().any(|class| self.pool.classes[*class].is_asked_for)
        };
        let (mut usable, mut all) = (0, 0);
        for key in self.all_keys() {
            let provider = self.pool.groups[self.pool.key(key).group].provider;
            if is_any && !is_asked(provider) {
                continue;
            }
            all += 1;
            usable +=
                usize::from(self.pool.is_in_standing(key) && self.pool.limited_until(key, now).is_none());
        }
        (usable, all)
    }

    /// When the next key that is rate-limited can serve again.
    pub fn next_usable_at(&self, now: Time) -> Option<Time> {
        let keys = self.all_keys().filter(|key| self.pool.is_in_standing(*key));
        keys.filter_map(|key| self.pool.limited_until(key, now)).min()
    }

    /// All keys but replaced ones, in the order of the configuration.
    pub(super) fn all_keys(&self) -> impl Iterator<Item = KeyIndex> {
        let keys = self.pool.keys.iter().zip(0..=u16::MAX);
        keys.filter(|(key, _)| !key.retired).map(|(_, index)| KeyIndex(index))
    }

    /// Keys in the pool, usable or not.
    pub fn total_keys(&self) -> usize {
        self.all_keys().count()
    }

    /// Whether something that is asked for can never be served without the operator.
    pub fn is_dead(&self) -> bool {
        self.episodes.is_dead()
    }

    /// The pool's condition as a whole.
    pub fn condition(&self, now: Time) -> Condition {
        if self.is_dead() {
            return Condition::Dead;
        }
        let (mut until, mut is_any, mut is_reserved) = (None, false, false);
        for key in self.all_keys().filter(|key| self.pool.key(*key).is_usable(now)) {
            let is_held = self.pool.groups[self.pool.key(key).group].gate(now);
            if matches!(is_held, Some(HoldGate::Shut(_))) {
                continue;
            }
            is_any = true;
            match self.pool.limited_until(key, now) {
                Some(end) => until = Some(until.map_or(end, |least: Time| least.min(end))),
                None if self.pool.key(key).is_reserved(now) => is_reserved = true,
                None => return Condition::Usable,
            }
        }
        match until {
            _ if is_reserved => Condition::Exhausted,
            Some(until) => Condition::Limited(until),
            // A pool without any key is not dead: nothing is asked of it.
            None if is_any || self.pool.keys.is_empty() => Condition::Usable,
            None => Condition::Dead,
        }
    }

    /// Whether calls that nothing can serve without the operator wait, or are denied. At first they are denied; whoever
    /// has the key sources read again when the pool is dead lets them wait for that.
    pub fn wait_for_operator(&mut self, waits: bool, now: Time, out: &mut Vec<Decision>) {
        self.is_patient = waits;
        self.settle(now, out);
    }

    /// What logs and people call a key.
    pub fn key_name(&self, key: KeyIndex) -> &str {
        self.pool.keys.get(usize::from(key.0)).map_or("?", |key| key.spec.name.as_str())
    }

    /// An operator adds a key, or a key's source has changed. A key of that name is replaced; with a changed secret it gets a
    /// new chance, and so does its group's credit. `None` when the pool holds as many keys as can be numbered (65,536).
    pub fn add_or_replace_key(
        &mut self,
        spec: KeySpec,
        changed_secret: bool,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Option<KeyIndex> {
        let known = self.pool.keys.iter().position(|key| !key.retired && key.spec.name == spec.name);
        let same_place = known.filter(|at| {
            let old = &self.pool.keys[*at].spec;
            old.provider == spec.provider && old.quota_group == spec.quota_group
        });
        let index = if let Some(at) = same_place {
            self.pool.keys[at].spec.max_in_flight = spec.max_in_flight;
            KeyIndex(u16::try_from(at).ok()?)
        } else {
            let index = self.pool.add_key(spec)?;
            if let Some(at) = known {
                self.pool.keys[at].retired = true;
            }
            index
        };
        if changed_secret || same_place.is_none() {
            self.pool.key_mut(index).renew();
            let group = self.pool.key(index).group;
            self.pool.groups[group].hold = None;
        }
        self.check_standing(now, out);
        self.settle(now, out);
        Some(index)
    }
}
