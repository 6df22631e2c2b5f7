//! A small world in virtual time: providers with true limits, workers that call, and everything that goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::observer::{Limits, Observer};
use super::plan::{Scenario, spec};
use super::*;
use crate::credentials::bucket::MINUTE;
use crate::credentials::dice::Dice;

/// Something a worker does.
#[derive(Clone, Debug)]
enum Act {
    /// Asks for its next call, or again for one that was refused.
    Ask,
    /// Returns a lease.
    Return(LeaseId, CallOutcome),
}

struct Worker {
    attempt: u32,
    done: u64,
    call: u64,
    lease: Option<LeaseId>,
    is_over: bool,
}

/// How it all ended.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) limited: u64,
    pub(super) on_revoked: u64,
    pub(super) denied: BTreeMap<String, u64>,
    pub(super) took: Duration,
    pub(super) longest_wait: Duration,
}

pub(super) struct World {
    plan: Scenario,
    pool: CredentialCoordinator,
    now: Time,
    dice: Dice,
    acts: BTreeMap<(Time, u64), (u32, u32, Act)>,
    next_act: u64,
    workers: Vec<Worker>,
    /// By group and model: what the provider counts.
    counted: BTreeMap<(usize, String), Vec<Time>>,
    group_of: Vec<usize>,
    observer: Observer,
    tally: Tally,
    asked: BTreeSet<String>,
}

impl World {
    pub(super) fn new(plan: Scenario) -> World {
        let spec = spec(&plan);
        let group_of: Vec<usize> =
            plan.groups.iter().enumerate().flat_map(|(g, group)| (0..group.keys).map(move |_| g)).collect();
        let limits = (0..plan.groups.len())
            .map(|g| {
                let told = spec.limits[&format!("g{g}")][&None];
                Limits {
                    rpm: told.rpm,
                    rpd: told.rpd,
                    tpm: told.tpm.filter(|_| plan.faults.restart_after.is_none()),
                }
            })
            .collect();
        let bounds = spec.keys.iter().map(|key| key.max_in_flight).collect();
        let worker = |_| Worker { attempt: 1, done: 0, call: 1, lease: None, is_over: false };
        let policy = Policy { seed: plan.seed, lease_time: secs(90), ..policy() };
        let mut world = World {
            pool: CredentialCoordinator::new(spec, policy, Time::ZERO),
            now: Time::ZERO,
            dice: Dice::new(!plan.seed),
            acts: BTreeMap::new(),
            next_act: 0,
            workers: (0..plan.workers).map(worker).collect(),
            counted: BTreeMap::new(),
            observer: Observer::new(limits, group_of.clone(), bounds),
            group_of,
            tally: Tally::default(),
            asked: BTreeSet::new(),
            plan,
        };
        for item in 0..world.plan.workers {
            let soon = world.delay(0, 3_000);
            world.act(item, soon, Act::Ask);
        }
        world
    }

    fn delay(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        self.dice.between(Duration::from_millis(from_ms), Duration::from_millis(to_ms))
    }

    fn chance(&mut self, per_thousand: u64) -> bool {
        self.delay(0, 1000) < Duration::from_millis(per_thousand)
    }

    fn act(&mut self, item: u32, after: Duration, act: Act) {
        self.next_act += 1;
        let attempt = self.workers[item as usize].attempt;
        self.acts.insert((self.now + after, self.next_act), (item, attempt, act));
    }

    fn who(&self, item: u32) -> AttemptId {
        AttemptId { item: ItemIndex(item), number: self.workers[item as usize].attempt }
    }

    /// Runs until every worker is over.
    pub(super) fn run(mut self) -> Tally {
        let mut restart = self.plan.faults.restart_after.map(|s| Time::ZERO + secs(s));
        for step in 0.. {
            assert!(step < 200_000, "it does not end: {:?}", self.tally);
            let act = self.acts.keys().next().copied();
            let due = self.pool.next_deadline();
            assert!(due.is_none_or(|due| due > self.now), "a deadline that has passed is a busy loop");
            if step % 16 == 0 {
                self.check_no_wake_is_lost(due);
            }
            let wake = due.unwrap_or(Time::NEVER).min(act.map_or(Time::NEVER, |(at, _)| at));
            if restart.is_some_and(|at| at <= wake) && wake < Time::NEVER {
                self.now = restart.take().unwrap_or_default();
                self.restart();
                continue;
            }
            if wake == Time::NEVER {
                break;
            }
            self.now = wake;
            let paused = matches!(self.pool.condition(wake), Condition::Limited(until) if until > wake);
            let grants = self.observer.grants;
            let models = self.asked.len();
            match act.filter(|(at, _)| *at == wake).and_then(|at| self.acts.remove(&at)) {
                Some((item, attempt, act)) if attempt == self.workers[item as usize].attempt => {
                    self.perform(item, act);
                }
                Some(_) => {}
                None => {
                    let mut out = Vec::new();
                    self.pool.advance(wake, &mut out);
                    self.learn(out);
                }
            }
            let is_first_of_model = self.asked.len() > models;
            assert!(
                !paused || is_first_of_model || self.observer.grants == grants,
                "a call while all was limited"
            );
            self.check_idle_keys();
        }
        self.end()
    }

    fn end(mut self) -> Tally {
        assert!(self.workers.iter().all(|w| w.is_over), "somebody waits for ever: {:?}", self.tally);
        for item in 0..self.plan.workers {
            let mut out = Vec::new();
            self.pool.forget(self.who(item), self.now, &mut out);
            self.learn(out);
        }
        assert_eq!((self.pool.leases_out(), self.observer.leases_out()), (0, 0));
        assert_eq!((self.pool.waiting_calls(), self.pool.next_deadline()), (0, None));
        assert!(self.pool.status(self.now).iter().all(|key| key.in_flight == 0));
        self.observer.check_tokens();
        self.tally.took = self.now.since_start();
        self.tally.longest_wait = self.observer.longest_wait;
        self.tally
    }

    fn perform(&mut self, item: u32, act: Act) {
        let who = self.who(item);
        let mut out = Vec::new();
        match act {
            Act::Ask => {
                let worker = &self.workers[item as usize];
                let model = format!("m{}", (u64::from(item) + worker.call) % self.plan.models);
                let request = LeaseRequest {
                    call: CallId(worker.call),
                    model: model.clone(),
                    tokens: 100 + worker.call % 7 * 150,
                    share: (worker.done * 1000 / self.plan.calls) as u16,
                    ..wish(1)
                };
                self.asked.insert(model);
                assert_eq!(self.pool.request(who, request, self.now, &mut out), Asked::Accepted);
                self.learn(out);
            }
            Act::Return(lease, outcome) => self.give_back(item, lease, &outcome),
        }
    }

    fn give_back(&mut self, item: u32, lease: LeaseId, outcome: &CallOutcome) {
        let who = self.who(item);
        let mut out = Vec::new();
        let expected = if self.observer.is_out(lease) { Release::Taken } else { Release::NotOut };
        let mut begins = false;
        if expected == Release::Taken {
            if self.chance(self.plan.faults.duplicate) {
                let stranger = attempt(u32::MAX);
                assert_eq!(self.pool.release(stranger, lease, outcome, self.now, &mut out), Release::Foreign);
                assert_eq!(out, []);
            }
            begins = self.observer.outcome(lease, outcome);
        }
        let before = self.pool.status(self.now);
        assert_eq!(self.pool.release(who, lease, outcome, self.now, &mut out), expected);
        if expected == Release::Taken {
            self.check_reach(&before, lease, outcome, begins);
        }
        self.learn(out);
        if self.chance(self.plan.faults.duplicate) {
            let mut out = Vec::new();
            assert_eq!(self.pool.release(who, lease, outcome, self.now, &mut out), Release::NotOut);
            assert_eq!(out, []);
        }
        let worker = &mut self.workers[item as usize];
        if worker.lease.take_if(|own| *own == lease).is_none() {
            return;
        }
        if matches!(outcome, CallOutcome::Ok { .. }) && expected == Release::Taken {
            worker.done += 1;
            worker.call += 1;
            self.tally.answered += 1;
        }
        if self.workers[item as usize].done == self.plan.calls {
            self.over(item);
        } else {
            let pause = self.delay(0, 500);
            self.act(item, pause, Act::Ask);
        }
    }

    fn over(&mut self, item: u32) {
        let who = self.who(item);
        self.workers[item as usize].is_over = true;
        let mut out = Vec::new();
        self.pool.forget(who, self.now, &mut out);
        self.learn(out);
    }

    fn learn(&mut self, out: Vec<Decision>) {
        for decision in out {
            match decision {
                Decision::Granted { who, lease, key, model, waited, .. } => {
                    self.observer.granted(lease, key, &model, waited, self.now);
                    assert_eq!(who, self.who(who.item.0), "a grant for an attempt that is over");
                    self.send(who.item.0, lease, key, &model);
                }
                Decision::Returned { lease, .. } => self.observer.returned(lease),
                Decision::Denied { who, cause, .. } => {
                    *self.tally.denied.entry(format!("{cause:?}")).or_default() += 1;
                    self.over(who.item.0);
                }
                Decision::Notice(notice) => self.observer.notice(&notice, self.now),
                Decision::Waiting { .. } => {}
            }
        }
    }

    /// The call goes to the provider; what it will answer is decided on arrival.
    fn send(&mut self, item: u32, lease: LeaseId, key: KeyIndex, model: &str) {
        self.workers[item as usize].lease = Some(lease);
        let outcome = self.answer(key, model);
        // A refusal is quick: it costs the provider no work.
        let slowest = if matches!(outcome, CallOutcome::Ok { .. }) { 15_000 } else { 500 };
        let latency = self.delay(100, slowest);
        if self.chance(self.plan.faults.crash) {
            let after = self.delay(0, 5_000);
            // The attempt ends without a word; the item is tried again.
            self.act(item, after, Act::Return(LeaseId(0), CallOutcome::Abandoned));
            let who = self.who(item);
            let mut out = Vec::new();
            self.pool.forget(who, self.now, &mut out);
            self.workers[item as usize].attempt += 1;
            self.workers[item as usize].lease = None;
            self.learn(out);
            self.act(item, after, Act::Ask);
        } else if self.chance(self.plan.faults.hang) {
            // It comes back long after the lease was taken away, and the worker asks again.
            self.act(item, secs(200), Act::Return(lease, outcome));
        } else {
            self.act(item, latency, Act::Return(lease, outcome));
        }
    }

    fn answer(&mut self, key: KeyIndex, model: &str) -> CallOutcome {
        let group = self.group_of[usize::from(key.0)];
        let truth = self.plan.groups[group].clone();
        let faults = self.plan.faults.clone();
        if usize::from(key.0) < faults.revoked_keys {
            self.tally.on_revoked += 1;
            return key_refused();
        }
        if faults.overload && self.now >= Time::ZERO + MINUTE && self.now < Time::ZERO + MINUTE * 2 {
            return CallOutcome::Overloaded { retry_after: None };
        }
        if group == 0 && faults.unpaid_after.is_some_and(|s| self.now >= Time::ZERO + secs(s)) {
            return CallOutcome::Billing { detail: "no credit".into() };
        }
        let now = self.now;
        let counted = self.counted.entry((group, model.to_owned())).or_default();
        let from = counted.partition_point(|at| *at + MINUTE < now);
        let is_full = truth.rpm.is_some_and(|rpm| (counted.len() - from) as u64 >= rpm);
        if !is_full || truth.counts_refused {
            counted.push(now);
        }
        let oldest = counted.get(from).copied().unwrap_or(now);
        if is_full || self.chance(faults.storm) {
            self.tally.limited += 1;
            let hint = (oldest + MINUTE).since(now).max(secs(1));
            let dimension = Some(Dimension::RequestsPerMinute);
            return CallOutcome::Limited {
                dimension,
                retry_after: truth.hints.then_some(hint),
                limit: None,
                slow_down: false,
                hints: Vec::new(),
            };
        }
        if self.chance(faults.transient) {
            return TRANSIENT;
        }
        if self.chance(faults.bad_request) {
            return CallOutcome::RequestRefused { detail: String::new() };
        }
        // Less than was estimated, as it should be.
        let tokens_in = 60;
        CallOutcome::Ok { tokens_in, tokens_out: self.next_act % 40, hints: Vec::new() }
    }

    /// The supervisor is killed with all its workers; another one goes on.
    fn restart(&mut self) {
        let kept = self.pool.snapshot(self.now);
        let policy = Policy { seed: self.plan.seed, lease_time: secs(90), ..policy() };
        self.pool = CredentialCoordinator::new(spec(&self.plan), policy, self.now);
        self.pool.restore(&kept, self.now);
        self.observer.restarted();
        self.acts.clear();
        self.asked.clear();
        for item in 0..self.plan.workers {
            let worker = &mut self.workers[item as usize];
            worker.attempt += 1;
            worker.lease = None;
            if !worker.is_over {
                self.act(item, Duration::ZERO, Act::Ask);
            }
        }
    }

    /// Nothing that could be served waits now, nor becomes servable before the next deadline.
    fn check_no_wake_is_lost(&self, due: Option<Time>) {
        let mut pool = self.pool.clone();
        let mut out = Vec::new();
        pool.advance(self.now, &mut out);
        let almost = due.map_or(self.now + secs(7200), |due| due - Duration::from_millis(1));
        pool.advance(almost.max(self.now), &mut out);
        assert!(grants(&out).is_empty() && denials(&out).is_empty(), "somebody was overlooked: {out:?}");
    }

    /// Seen from outside: a key that is free, not paced and alone with its group does nothing while calls wait for it.
    fn check_idle_keys(&self) {
        if self.plan.faults.overload || self.pool.waiting_calls() == 0 {
            return;
        }
        let waits_in_line = (0..self.plan.workers).any(|item| {
            let worker = &self.workers[item as usize];
            worker.lease.is_none()
                && self.pool.waiting(self.who(item))
                && self.plan.faults.is_without_retries()
        });
        let status = self.pool.status(self.now);
        let idle = status.iter().filter(|key| key.state == KeyState::Available).find(|key| {
            let is_held = |q: &QuotaStatus| q.requests.is_some() || q.tokens.is_some() || q.until.is_some();
            let is_paced = key.quotas.iter().any(is_held);
            let out: u32 = status.iter().filter(|other| other.group == key.group).map(|k| k.in_flight).sum();
            !is_paced && out == 0
        });
        assert!(!waits_in_line || idle.is_none(), "{idle:?} is free and somebody waits");
    }

    /// A refusal reaches what it concerns and nothing else.
    fn check_reach(&mut self, before: &[KeyStatus], lease: LeaseId, outcome: &CallOutcome, begins: bool) {
        let after = self.pool.status(self.now);
        let place = self.observer.place(lease).expect("its return is not told yet");
        for (old, new) in before.iter().zip(&after) {
            for (was, is) in old.quotas.iter().zip(&new.quotas) {
                if is.day_left == Some(0) {
                    // The lease that came free may have gone to the last call of the day.
                    continue;
                }
                let is_concerned = new.group == format!("g{}", place.0) && place.1 == is.model;
                if !(begins && is_concerned) {
                    assert_eq!(was.until, is.until, "{outcome:?} reached {} for {}", new.name, is.model);
                    continue;
                }
                let until = is.until.expect("a block begins for every key of the group");
                assert!(was.until <= is.until, "an end moved earlier");
                if let CallOutcome::Limited { retry_after: Some(hint), .. } = outcome {
                    let told = self.now + *hint;
                    let most = self.now + hint.mul_f64(1.1);
                    assert!(until >= told && until <= most, "{until:?} for a hint of {hint:?}");
                }
                self.observer.blocked(&place, until);
            }
            let is_unpaid = |state| state == KeyState::OutOfCredit;
            let is_billing = matches!(outcome, CallOutcome::Billing { .. });
            if is_unpaid(new.state) && !is_unpaid(old.state) {
                assert!(
                    is_billing && new.group == format!("g{}", place.0),
                    "{outcome:?} reached {}",
                    new.name
                );
            }
            let is_bad = |state| matches!(state, KeyState::Suspect | KeyState::Quarantined);
            if matches!(outcome, CallOutcome::RequestRefused { .. }) {
                assert!(is_bad(old.state) || !is_bad(new.state), "a bad request made {} suspect", new.name);
            }
        }
    }
}
