//! The limits of one quota group for one model: pacing, blocks, the day, and the ramp after a block.

use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Gcra, MINUTE, Rate, TokenBucket};
use super::day::{DAY, Day};
use super::limit::{Limit, LimitOrigin};
use super::meter::Meter;
use super::retry::LONGEST_HINT;
use super::types::{Dimension, LeaseId, QuotaHint, QuotaLimits};
use crate::Time;

mod replies;

use replies::{BARRED, DAY_PROBE};
pub(super) use replies::{Blocked, Refusal};

/// Calls at once in a group whose limits nobody told, until they are answered.
const UNKNOWN_START: u32 = 8;
/// The same where requests are paced: whether a group can be used at all, one call may show before the next is due, and one
/// call less is lost to a day that was used up before the run.
const KNOWN_START: u32 = 1;
/// A ramp this wide is none.
const RAMP_END: u32 = 64;
/// Where requests are paced, one answered call is proof enough, and pacing sees to the rest.
const PACED_RAMP_END: u32 = 2;

/// Bounds on how long a call that is not refused is waited for before the next one goes out.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// What a lease is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// One call of so many tokens.
    Call(u64),
    /// A whole attempt of a command, whose calls nobody here sees: blocks hold it back, pacing cannot.
    Attempt,
}

/// What a quota lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotaGate {
    /// The call; the time says since when, and the earliest is served first.
    Open(Time),
    /// One probe of a blocked day.
    Probe,
    /// Blocked, or the day is used up: nothing before `wake`, and by what is known nothing before `until`.
    Limited { wake: Time, until: Time },
    /// The next call fits then.
    Pacing(Time),
    /// The ramp: nothing until a call is back, or then.
    Ramp(Option<Time>),
    /// The provider gives this group nothing of this model.
    Barred,
}

/// A time nothing is sent.
#[derive(Clone, Debug)]
struct Block {
    until: Time,
    dimension: Option<Dimension>,
    probe_at: Option<Time>,
    probing: Option<LeaseId>,
}

/// What a call was granted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) lease: LeaseId,
    pub(super) granted: Time,
    /// The block count at the grant.
    pub(super) epoch: u32,
    /// Tokens reserved.
    pub(super) tokens: u64,
}

/// One quota group's limits for one model.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    requests_limit: Limit,
    tokens_limit: Limit,
    requests: Option<Gcra>,
    tokens: Option<TokenBucket>,
    day: Day,
    block: Option<Block>,
    /// Counts blocks, so that stragglers are known.
    epoch: u32,
    /// Refusals in a row that gave no hint.
    bare: u32,
    /// Probes in a row that found the day still used up.
    day_probes: u32,
    /// Whether any call was ever answered.
    answered: bool,
    /// When the latest call went out, and whether nothing had for a minute before it.
    latest: Option<(Time, bool)>,
    ramp: Option<u32>,
    /// When the first call after the latest block went out.
    resumed: Option<Time>,
    /// How long refusals take: whoever is not refused by three times as long will be answered.
    refusal_took: Duration,
    /// The provider gives this group nothing of this model; looked at again then.
    barred_until: Option<Time>,
    in_flight: u32,
    /// Of those, calls granted since the latest block.
    fresh_in_flight: u32,
    tokens_in_flight: u64,
    accepted: Meter,
    accepted_tokens: Meter,
}

impl Quota {
    /// A quota nothing has been asked of yet; every bucket counts as just drained.
    pub(super) fn new(limits: QuotaLimits, midnights: Arc<[Time]>, now: Time) -> Quota {
        let mut quota = Quota {
            requests_limit: Limit::configured(limits.rpm),
            tokens_limit: Limit::configured(limits.tpm),
            requests: None,
            tokens: None,
            day: Day::new(limits.rpd, midnights, now),
            block: None,
            epoch: 0,
            bare: 0,
            day_probes: 0,
            answered: false,
            latest: None,
            ramp: Some(if limits.rpm.is_some() { KNOWN_START } else { UNKNOWN_START }),
            resumed: None,
            refusal_took: Duration::ZERO,
            barred_until: None,
            in_flight: 0,
            fresh_in_flight: 0,
            tokens_in_flight: 0,
            accepted: Meter::default(),
            accepted_tokens: Meter::default(),
        };
        quota.retune(now);
        quota
    }

    /// Makes the buckets agree with what is believed of the limits.
    fn retune(&mut self, now: Time) {
        if let Some(rate) = self.requests_limit.rate(Rate::of_requests) {
            match &mut self.requests {
                Some(bucket) => bucket.set_rate(rate, now),
                None => self.requests = Some(Gcra::drained(rate, now)),
            }
        }
        if let (Some(rate), Some(limit)) =
            (self.tokens_limit.rate(Rate::of_tokens), self.tokens_limit.expected())
        {
            self.tokens.get_or_insert_with(|| TokenBucket::drained(limit, now)).set_limit(limit, rate, now);
        }
    }

    /// Until when nothing may be sent because a limit was met, if that is so.
    pub(super) fn limited_until(&self, now: Time) -> Option<Time> {
        let block = self.block.as_ref().map(|b| b.until).filter(|until| now < *until);
        block.max(self.day.used_up_until(now))
    }

    /// Which limit is met, where that is known.
    pub(super) fn limited_by(&self, now: Time) -> Option<Dimension> {
        match &self.block {
            Some(block) if now < block.until => block.dimension,
            _ => self.day.used_up_until(now).map(|_| Dimension::RequestsPerDay),
        }
    }

    /// Requests left of the day.
    pub(super) fn day_left(&self, now: Time) -> Option<u64> {
        self.day.left(now)
    }

    /// What is believed of a minute's requests, and what is left of them.
    pub(super) fn minute_requests(&self, now: Time) -> Option<(u64, u64)> {
        let limit = self.requests_limit.expected()?;
        Some((limit, limit.saturating_sub(self.accepted.last_minute(now))))
    }

    /// What is believed of a minute's tokens, and what is left of them.
    pub(super) fn minute_tokens(&self, now: Time) -> Option<(u64, u64)> {
        Some((self.tokens_limit.expected()?, self.tokens.as_ref()?.left(now)))
    }

    pub(super) fn is_barred(&self, now: Time) -> bool {
        self.barred_until.is_some_and(|until| now < until)
    }

    /// Somebody started a run that can do nothing without: it may be tried.
    pub(super) fn unbar(&mut self) {
        self.barred_until = None;
    }

    /// Whether requests are paced by a limit that the operator or the provider told.
    pub(super) fn is_told(&self) -> bool {
        self.requests_limit.told().is_some()
    }

    /// Where the limits of a minute's requests and tokens are known from.
    pub(super) fn origins(&self) -> (Option<LimitOrigin>, Option<LimitOrigin>) {
        (self.requests_limit.origin(), self.tokens_limit.origin())
    }

    /// Requests per day, where the limit is known.
    pub(super) fn day_limit(&self) -> Option<u64> {
        self.day.limit()
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn gate(&self, need: Need, now: Time) -> QuotaGate {
        if self.is_barred(now) {
            return QuotaGate::Barred;
        }
        if let Some(block) = self.block.as_ref().filter(|b| now < b.until) {
            let probe = block.probe_at.filter(|_| block.probing.is_none());
            return match probe {
                Some(at) if at <= now && need != Need::Attempt => QuotaGate::Probe,
                Some(at) if need != Need::Attempt => {
                    QuotaGate::Limited { wake: at.min(block.until), until: block.until }
                }
                _ => QuotaGate::Limited { wake: block.until, until: block.until },
            };
        }
        if let Some(until) = self.day.used_up_until(now) {
            return QuotaGate::Limited { wake: until, until };
        }
        let Need::Call(tokens) = need else { return QuotaGate::Open(Time::ZERO) };
        if let Some(gate) = self.ramp_gate(now) {
            return gate;
        }
        let requests = self.requests.as_ref().map_or(Time::ZERO, Gcra::ready_at);
        match &self.tokens {
            Some(bucket) if bucket.ready_at(tokens, now) > now => {
                QuotaGate::Pacing(requests.max(bucket.ready_at(tokens, now)))
            }
            _ if requests > now => QuotaGate::Pacing(requests),
            _ => QuotaGate::Open(requests),
        }
    }

    /// What the ramp holds back. Where requests are paced, a call that was not refused for a while widens it as an answer
    /// does: refusals are quick, answers are not. Waiting for the answer cost a tenth of the makespan where the limit has
    /// to be learned (tests/quota.rs, sliding windows: 1.18 instead of 1.08 of the bound).
    fn ramp_gate(&self, now: Time) -> Option<QuotaGate> {
        self.ramp.filter(|at_once| self.fresh_in_flight >= *at_once)?;
        let opens = self.resumed.filter(|_| self.requests.is_some()).map(|at| at + self.patience());
        if opens.is_some_and(|at| at <= now) { None } else { Some(QuotaGate::Ramp(opens)) }
    }

    fn patience(&self) -> Duration {
        match &self.requests {
            // A start is no return from a block: pacing makes up for this, and a run of a few calls need not pay for it.
            Some(bucket) if self.epoch == 0 => bucket.spacing(1).min(LEAST_PATIENCE),
            _ => (self.refusal_took * 3).clamp(LEAST_PATIENCE, MOST_PATIENCE),
        }
    }

    /// A call goes out.
    pub(super) fn admit(&mut self, lease: LeaseId, tokens: u64, now: Time) {
        match &mut self.block {
            Some(block) if now < block.until => block.probing = Some(lease),
            _ => self.block = None,
        }
        self.day.admit(now);
        self.latest = Some((now, self.latest.is_none_or(|(before, _)| now.since(before) >= MINUTE)));
        self.in_flight += 1;
        self.fresh_in_flight += 1;
        self.resumed.get_or_insert(now);
        self.accepted.count(now, 1);
        self.accepted_tokens.count(now, tokens);
        self.tokens_in_flight = self.tokens_in_flight.saturating_add(tokens);
        if let Some(bucket) = &mut self.requests {
            bucket.admit(now, 1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.admit(now, tokens);
        }
    }

    /// A call is back, whatever became of it. Its reservation stays until [`Quota::accepted`] settles it: what a refused
    /// or lost call cost, only the provider knows.
    pub(super) fn returned(&mut self, ticket: Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.epoch == self.epoch {
            self.fresh_in_flight = self.fresh_in_flight.saturating_sub(1);
        }
        self.tokens_in_flight = self.tokens_in_flight.saturating_sub(ticket.tokens);
        if let Some(block) = &mut self.block
            && block.probing == Some(ticket.lease)
        {
            block.probing = None;
        }
    }

    /// A call was answered.
    pub(super) fn accepted(
        &mut self,
        ticket: Ticket,
        used: u64,
        hints: &[QuotaHint],
        probe: bool,
        now: Time,
    ) {
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(ticket.granted, ticket.tokens, used);
        }
        self.accepted_tokens.settle(ticket.granted, ticket.tokens, used);
        self.requests_limit.accepted(1);
        self.tokens_limit.accepted(used);
        self.answered = true;
        if ticket.epoch == self.epoch {
            (self.bare, self.day_probes) = (0, 0);
            let end = if self.requests.is_some() { PACED_RAMP_END } else { RAMP_END };
            self.ramp = self.ramp.map(|at_once| at_once + 1).filter(|at_once| *at_once < end);
        }
        if probe {
            // The proof that lets a block end early.
            self.block = None;
            self.day_probes = 0;
            self.day.restart();
        }
        for hint in hints {
            self.hint(*hint, ticket.tokens, now);
        }
        self.retune(now);
    }

    /// What the next run should know: the block's rest and dimension, the day's count and rest, and learned rates.
    pub(super) fn facts(&self, now: Time) -> Facts {
        let block = self.block.as_ref().filter(|b| now < b.until);
        Facts {
            blocked_for: block.map(|b| b.until.since(now)),
            barred_for: self.barred_until.filter(|until| now < *until).map(|until| until.since(now)),
            dimension: block.and_then(|b| b.dimension),
            day_count: self.day.count(now),
            day_left: self.day.ends(now).since(now),
            learned_rpm: self.requests_limit.learned(),
            learned_tpm: self.tokens_limit.learned(),
        }
    }

    /// Takes over what an earlier run knew. Blocks are not shortened, and buckets stay drained.
    pub(super) fn restore(&mut self, facts: &Facts, now: Time) {
        if let Some(rpm) = facts.learned_rpm {
            self.requests_limit.restore(rpm);
        }
        if let Some(tpm) = facts.learned_tpm {
            self.tokens_limit.restore(tpm);
        }
        self.retune(now);
        self.barred_until = facts.barred_for.map(|rest| now + rest.min(BARRED));
        self.day.go_on_until(now + facts.day_left.min(DAY));
        self.day.at_least(facts.day_count);
        if let Some(rest) = facts.blocked_for.filter(|rest| !rest.is_zero()) {
            let until = now + rest.min(LONGEST_HINT);
            let is_day = facts.dimension == Some(Dimension::RequestsPerDay);
            let probe_at = is_day.then(|| now + DAY_PROBE).filter(|at| *at < until);
            self.block = Some(Block { until, dimension: facts.dimension, probe_at, probing: None });
            self.epoch = self.epoch.wrapping_add(1);
            self.ramp = Some(1);
            if let Some(bucket) = &mut self.requests {
                bucket.hold_until(until);
            }
            if let Some(bucket) = &mut self.tokens {
                bucket.hold_until(until);
            }
        }
    }

    /// Whether a lease is the probe of a blocked day.
    pub(super) fn is_probe(&self, lease: LeaseId) -> bool {
        self.block.as_ref().is_some_and(|b| b.probing == Some(lease))
    }
}

/// What outlives a run, in durations from a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) blocked_for: Option<Duration>,
    pub(super) barred_for: Option<Duration>,
    pub(super) dimension: Option<Dimension>,
    pub(super) day_count: u64,
    pub(super) day_left: Duration,
    pub(super) learned_rpm: Option<f64>,
    pub(super) learned_tpm: Option<f64>,
}

impl Facts {
    pub(super) fn is_worth_keeping(&self) -> bool {
        let is_learned = self.learned_rpm.is_some() || self.learned_tpm.is_some();
        self.blocked_for.is_some() || self.barred_for.is_some() || self.day_count > 0 || is_learned
    }
}
