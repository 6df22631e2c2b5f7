//! The observer of the simulation: sees every decision and every truth, and knows what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::midnights;
use super::*;
use crate::credentials::bucket::MINUTE;

/// One model's quota in one group, as seen from outside.
#[derive(Default)]
struct Seen {
    granted: Vec<Time>,
    /// Tokens by the time of their call's grant.
    used: Vec<(Time, u64)>,
    blocked_until: Time,
    /// Calls out when the latest block began, and refusals since.
    out_at_block: usize,
    refusals: usize,
    block_began: u64,
    out: usize,
}

struct Open {
    key: usize,
    model: String,
    granted: Time,
    order: u64,
}

/// What the observer has to know of a group.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The configured limits, as far as the coordinator was told.
    pub(super) rpm: Option<u64>,
    pub(super) tpm: Option<u64>,
    pub(super) rpd: Option<u64>,
}

pub(super) struct Observer {
    limits: Vec<Limits>,
    group_of: Vec<usize>,
    bound_of: Vec<Option<u32>>,
    seen: BTreeMap<(usize, String), Seen>,
    open: BTreeMap<LeaseId, Open>,
    ended: BTreeSet<LeaseId>,
    out_by_key: Vec<u32>,
    quarantined: BTreeMap<usize, Time>,
    /// Groups that cannot pay.
    unpaid: BTreeMap<usize, Time>,
    overloaded_until: Time,
    probe: Option<LeaseId>,
    is_ramping: bool,
    order: u64,
    pub(super) longest_wait: Duration,
    pub(super) grants: usize,
}

impl Observer {
    pub(super) fn new(limits: Vec<Limits>, group_of: Vec<usize>, bound_of: Vec<Option<u32>>) -> Observer {
        let keys = group_of.len();
        Observer {
            limits,
            group_of,
            bound_of,
            seen: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            out_by_key: vec![0; keys],
            quarantined: BTreeMap::new(),
            unpaid: BTreeMap::new(),
            overloaded_until: Time::ZERO,
            probe: None,
            is_ramping: false,
            order: 0,
            longest_wait: Duration::ZERO,
            grants: 0,
        }
    }

    /// Another supervisor took over; what the providers saw stays seen.
    pub(super) fn restarted(&mut self) {
        self.open.clear();
        self.ended.clear();
        self.out_by_key.fill(0);
        self.seen.values_mut().for_each(|seen| seen.out = 0);
        self.overloaded_until = Time::ZERO;
        self.probe = None;
        self.is_ramping = false;
        // A run that could do nothing without may try them.
        self.unpaid.clear();
        if self.quarantined.len() == self.group_of.len() {
            // Otherwise the new run could do nothing at all: it may try each key once.
            self.quarantined.clear();
        }
    }

    fn seen(&mut self, key: usize, model: &str) -> &mut Seen {
        self.seen.entry((self.group_of[key], model.to_owned())).or_default()
    }

    pub(super) fn granted(
        &mut self,
        lease: LeaseId,
        key: KeyIndex,
        model: &str,
        waited: Duration,
        now: Time,
    ) {
        let key = usize::from(key.0);
        let limits = self.limits[self.group_of[key]];
        self.order += 1;
        self.grants += 1;
        let order = self.order;
        self.longest_wait = self.longest_wait.max(waited);
        let fresh = self.open.insert(lease, Open { key, model: model.to_owned(), granted: now, order });
        assert!(fresh.is_none() && !self.ended.contains(&lease), "lease {lease:?} is granted twice");
        self.out_by_key[key] += 1;
        let bound = self.bound_of[key].unwrap_or(u32::MAX);
        assert!(self.out_by_key[key] <= bound, "key {key} has more leases out than it may");
        if let Some(at) = self.quarantined.get(&key) {
            assert!(now.since(*at) >= secs(3600), "a call on the quarantined key {key}");
        }
        if let Some(at) = self.unpaid.get(&self.group_of[key]) {
            assert!(now.since(*at) >= secs(3600), "a call on a group that cannot pay");
        }
        assert!(now >= self.overloaded_until, "a call to an overloaded provider");
        if self.overloaded_until > Time::ZERO && !self.is_ramping {
            assert!(self.probe.is_none(), "more than one probe of an overloaded provider");
            self.probe = Some(lease);
        }
        let seen = self.seen(key, model);
        assert!(now >= seen.blocked_until, "a call on a limited bucket");
        seen.out += 1;
        seen.granted.push(now);
        if let Some(rpd) = limits.rpd {
            let midnight = midnights().filter(|at| *at <= now).last().unwrap_or_default();
            let today = seen.granted.len() - seen.granted.partition_point(|at| *at < midnight);
            assert!(today as u64 <= rpd, "{today} calls of a day, {rpd} may be");
        }
        if let Some(rpm) = limits.rpm {
            let from = seen.granted.partition_point(|at| *at + MINUTE < now);
            let minute = (seen.granted.len() - from) as u64;
            assert!(minute <= rpm, "{minute} calls within a minute, {rpm} may be");
        }
    }

    pub(super) fn returned(&mut self, lease: LeaseId) {
        let open = self.open.remove(&lease).expect("only what was granted returns, and only once");
        assert!(self.ended.insert(lease));
        self.out_by_key[open.key] -= 1;
        self.seen(open.key, &open.model).out -= 1;
        if self.probe == Some(lease) {
            self.probe = None;
        }
    }

    /// A worker is about to return a lease with this outcome. True when a block begins with it: the call was granted
    /// after the block before.
    pub(super) fn outcome(&mut self, lease: LeaseId, outcome: &CallOutcome) -> bool {
        let Some(open) = self.open.get(&lease) else { return false };
        let (key, model, granted, order) = (open.key, open.model.clone(), open.granted, open.order);
        self.order += 1;
        let next = self.order;
        let says_nothing = matches!(
            outcome,
            CallOutcome::Overloaded { .. } | CallOutcome::Transient { .. } | CallOutcome::Abandoned
        );
        if self.probe == Some(lease) && !says_nothing {
            self.is_ramping = true;
        }
        let seen = self.seen(key, &model);
        if let CallOutcome::Ok { tokens_in, tokens_out, .. } = outcome {
            seen.used.push((granted, tokens_in + tokens_out));
        }
        if !matches!(outcome, CallOutcome::Limited { .. }) {
            return false;
        }
        let begins = order > seen.block_began;
        if begins {
            (seen.block_began, seen.out_at_block, seen.refusals) = (next, seen.out, 0);
        }
        seen.refusals += 1;
        assert!(seen.refusals <= seen.out_at_block, "more refusals in a block than calls out before it");
        begins
    }

    /// A block is known to last until then.
    pub(super) fn blocked(&mut self, place: &(usize, String), until: Time) {
        self.seen.entry(place.clone()).or_default().blocked_until = until;
    }

    pub(super) fn notice(&mut self, notice: &Notice, now: Time) {
        match notice {
            Notice::Quarantined { key, .. } => {
                self.quarantined.insert(usize::from(key.0), now);
            }
            Notice::Billing { key, .. } => {
                self.unpaid.insert(self.group_of[usize::from(key.0)], now);
            }
            Notice::Overloaded { wait, .. } => {
                self.overloaded_until = now + *wait;
                (self.probe, self.is_ramping) = (None, false);
            }
            _ => {}
        }
    }

    /// Group and model of a lease whose return was not seen yet.
    pub(super) fn place(&self, lease: LeaseId) -> Option<(usize, String)> {
        let open = self.open.get(&lease)?;
        Some((self.group_of[open.key], open.model.clone()))
    }

    pub(super) fn is_out(&self, lease: LeaseId) -> bool {
        self.open.contains_key(&lease)
    }

    pub(super) fn leases_out(&self) -> usize {
        self.open.len()
    }

    /// After all is over: the tokens of every minute.
    pub(super) fn check_tokens(&mut self) {
        for ((group, model), seen) in &mut self.seen {
            let Some(tpm) = self.limits[*group].tpm else { continue };
            seen.used.sort_unstable();
            let (mut from, mut sum) = (0, 0);
            for (at, tokens) in &seen.used {
                sum += tokens;
                while seen.used[from].0 + MINUTE < *at {
                    sum -= seen.used[from].1;
                    from += 1;
                }
                assert!(sum <= tpm, "{sum} tokens of {model} within a minute, {tpm} may be");
            }
        }
    }
}
