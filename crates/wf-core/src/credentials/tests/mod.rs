//! Tests of the coordinator as a whole: what one sees at its counter.
//!
//! What must always hold is asserted at every step of random worlds, `simulation::whatever_goes_wrong_the_rules_hold` (W) and
//! `simulation::with_true_limits_nothing_is_refused` (T), by the functions named here, and by tests of their own:
//!
//! | property | where |
//! |---|---|
//! | no bucket admits more than its limit in any minute, no day more than its own | W, T: `Observer::granted`, `check_tokens`; `bucket::tests` |
//! | no call on a limited bucket, a quarantined key, an unpaid group or an overloaded provider, but the one probe | W: `Observer::granted` |
//! | `until` never moves earlier without proof | W: `World::check_reach`; `quotas::a_probe_that_is_answered_ends_the_day_early` |
//! | every lease returns exactly once under crash, time-out and duplicate return | W: `Observer::returned`, `World::give_back`; `hostile` |
//! | a 429 on one key blocks its whole group for that model, and nothing else | W: `World::check_reach` |
//! | a bad request quarantines no key | W: `World::check_reach` |
//! | no lost wake-up | W, T: `World::check_no_wake_is_lost`, `check_idle_keys` |
//! | no starvation | T: the bound on the longest wait; `queue::tests` |
//! | refusals per block ≤ calls in flight when it began | W: `Observer::outcome` |
//! | while the pool is paused, no call | W: `World::run` |
//! | a restart causes no burst | W: `Observer` outlives `World::restart`; `restart::a_restart_causes_no_burst` |
//! | a wall-clock jump changes nothing | there is none here: `xtask tidy`; `day::tests::a_day_is_as_long_as_the_calendar_says` |
//!
//! What the coordinator gains by its heuristics is measured in `quota`.

mod hostile;
mod leases;
mod observer;
mod plan;
mod provider;
mod quota;
mod quotas;
mod refusals;
mod restart;
mod simulation;
mod world;

use std::time::Duration;

use super::*;
use crate::{AttemptId, ItemIndex, Time};

/// A counter with a clock of its own. Each test says what it expects of every answer, so nothing is decided unseen.
struct Desk {
    pool: CredentialCoordinator,
    now: Time,
}

fn attempt(n: u32) -> AttemptId {
    AttemptId { item: ItemIndex(n), number: 1 }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key(name: &str, group: Option<&str>, max_in_flight: Option<u32>) -> KeySpec {
    KeySpec {
        name: name.into(),
        provider: "gemini".into(),
        quota_group: group.map(Into::into),
        max_in_flight,
    }
}

/// Keys `a`, `b`, ..., each alone in its group, one call at a time, without known limits.
fn exclusive(n: u8) -> PoolSpec {
    let keys = (0..n).map(|i| key(&char::from(b'a' + i).to_string(), None, Some(1))).collect();
    PoolSpec { keys, ..PoolSpec::default() }
}

fn limits(group: &str, limits: QuotaLimits) -> PoolSpec {
    let mut spec = PoolSpec { keys: vec![key("a", Some(group), None)], ..PoolSpec::default() };
    spec.limits.entry(group.into()).or_default().insert(None, limits);
    spec
}

fn policy() -> Policy {
    Policy {
        max_wait: secs(24 * 3600),
        max_retries: Some(5),
        lease_time: secs(600),
        budget: Budget::Unlimited,
        seed: 1,
    }
}

fn wish(call: u64) -> LeaseRequest {
    LeaseRequest {
        call: CallId(call),
        provider: "gemini".into(),
        model: "flash".into(),
        tokens: 100,
        share: 0,
        whole_attempt: false,
    }
}

const OK: CallOutcome = CallOutcome::Ok { tokens_in: 50, tokens_out: 10, hints: Vec::new() };
const TRANSIENT: CallOutcome = CallOutcome::Transient { detail: String::new() };

fn limited(retry_after: Option<u64>) -> CallOutcome {
    CallOutcome::Limited {
        dimension: Some(Dimension::RequestsPerMinute),
        retry_after: retry_after.map(secs),
        limit: None,
        slow_down: false,
        hints: Vec::new(),
    }
}

fn key_refused() -> CallOutcome {
    CallOutcome::KeyRefused { detail: "API key not valid".into() }
}

impl Desk {
    fn new(spec: PoolSpec) -> Desk {
        Desk::with(spec, policy())
    }

    fn with(spec: PoolSpec, policy: Policy) -> Desk {
        Desk { pool: CredentialCoordinator::new(spec, policy, Time::ZERO), now: Time::ZERO }
    }

    fn ask(&mut self, item: u32) -> Vec<Decision> {
        self.ask_for(item, wish(1))
    }

    fn ask_for(&mut self, item: u32, request: LeaseRequest) -> Vec<Decision> {
        let mut out = Vec::new();
        assert_eq!(self.pool.request(attempt(item), request, self.now, &mut out), Asked::Accepted);
        out
    }

    /// Asks and must be served.
    fn lease(&mut self, item: u32) -> (LeaseId, KeyIndex) {
        let out = self.ask(item);
        one_grant(&out).unwrap_or_else(|| panic!("not one grant: {out:?}"))
    }

    /// Returns a lease. The return itself is left out of the answer.
    fn give_back(&mut self, item: u32, lease: LeaseId, outcome: &CallOutcome) -> Vec<Decision> {
        let mut out = Vec::new();
        assert_eq!(self.pool.release(attempt(item), lease, outcome, self.now, &mut out), Release::Taken);
        assert!(matches!(&out[0], Decision::Returned { lease: back, .. } if *back == lease));
        out.remove(0);
        out
    }

    /// One call from the request to its outcome.
    fn call(&mut self, item: u32, outcome: &CallOutcome) -> (KeyIndex, Vec<Decision>) {
        let (lease, key) = self.lease(item);
        (key, self.give_back(item, lease, outcome))
    }

    fn forget(&mut self, item: u32) -> Vec<Decision> {
        let mut out = Vec::new();
        self.pool.forget(attempt(item), self.now, &mut out);
        out
    }

    fn advance(&mut self, to: Time) -> Vec<Decision> {
        self.now = to;
        let mut out = Vec::new();
        self.pool.advance(to, &mut out);
        out
    }

    fn wait(&mut self, by: Duration) -> Vec<Decision> {
        self.advance(self.now + by)
    }

    /// Sleeps until the next deadline.
    fn sleep(&mut self) -> Vec<Decision> {
        let next = self.pool.next_deadline().expect("something to wait for");
        assert!(next > self.now, "a deadline that has passed is a busy loop");
        self.advance(next)
    }
}

fn grants(out: &[Decision]) -> Vec<(u32, LeaseId, KeyIndex)> {
    let grants = out.iter().filter_map(|d| match d {
        Decision::Granted { who, lease, key, .. } => Some((who.item.0, *lease, *key)),
        _ => None,
    });
    grants.collect()
}

/// The only decision, which must be a grant.
fn one_grant(out: &[Decision]) -> Option<(LeaseId, KeyIndex)> {
    match out {
        [Decision::Granted { lease, key, .. }] => Some((*lease, *key)),
        _ => None,
    }
}

fn notices(out: &[Decision]) -> Vec<&Notice> {
    let notices = out.iter().filter_map(|d| match d {
        Decision::Notice(notice) => Some(notice),
        _ => None,
    });
    notices.collect()
}

fn waits(out: &[Decision]) -> Vec<(u32, WaitReason)> {
    let waits = out.iter().filter_map(|d| match d {
        Decision::Waiting { who, reason, .. } => Some((who.item.0, *reason)),
        _ => None,
    });
    waits.collect()
}

fn denials(out: &[Decision]) -> Vec<(u32, &DenyCause)> {
    let denials = out.iter().filter_map(|d| match d {
        Decision::Denied { who, cause, .. } => Some((who.item.0, cause)),
        _ => None,
    });
    denials.collect()
}

fn state(desk: &Desk) -> Vec<KeyState> {
    desk.pool.status(desk.now).into_iter().map(|key| key.state).collect()
}
