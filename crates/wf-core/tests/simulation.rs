//! Whole batches in virtual time: a world of workers, wardens and a provider around the real supervisor.
//!
//! The world is an agenda of things to come. Whatever the supervisor orders puts more on the agenda; the loop takes the
//! earliest thing, moves the clock there, and hands it over. Eight hours pass in milliseconds, and what must always
//! hold is checked after every step.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use wf_core::credentials::{
    Budget, CallId, CallOutcome, Dimension, KeySpec, LeaseId, LeaseRequest, Policy, PoolSpec,
};
use wf_core::{
    AttemptEnd, AttemptId, Bounds, Effect, Event, Item, ItemId, Kind, Leftover, Outcome, PlanAction, Planned,
    Record, Reply, Slot, StopSignal, Supervisor, Time, Verdict,
};

/// Numbers from a seed: every run of a seed is the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// What a simulated worker is up to.
struct Worker {
    connected: bool,
    calls_left: u64,
    next_call: u64,
    hangs: bool,
    deaf: bool,
    dead: bool,
    /// Whether something it started outlives it.
    leaks: bool,
}

/// How a world behaves, in percent where it is a chance.
#[derive(Clone, Copy)]
struct Weather {
    items: u32,
    fails: u64,
    hangs: u64,
    limited: u64,
    transient: u64,
    crashes: u64,
    not_spawned: u64,
    wardens_lost: u64,
    leaks: u64,
    interrupt_at: Option<Duration>,
    suspend_at: Option<Duration>,
}

const CALM: Weather = Weather {
    items: 1_000,
    fails: 0,
    hangs: 0,
    limited: 0,
    transient: 0,
    crashes: 0,
    not_spawned: 0,
    wardens_lost: 0,
    leaks: 0,
    interrupt_at: None,
    suspend_at: None,
};

const STORM: Weather = Weather {
    fails: 5,
    hangs: 2,
    limited: 5,
    transient: 5,
    crashes: 3,
    not_spawned: 3,
    wardens_lost: 1,
    leaks: 10,
    ..CALM
};

struct World {
    now: Time,
    dice: Dice,
    weather: Weather,
    agenda: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    workers: HashMap<AttemptId, Worker>,
    leases: HashSet<LeaseId>,
    leases_seen: HashSet<LeaseId>,
    occupied: HashMap<Slot, AttemptId>,
    records: Vec<Record>,
    exit: Option<u8>,
    suspended: bool,
    most_workers: usize,
}

impl World {
    fn new(seed: u64, weather: Weather) -> World {
        World {
            now: Time::ZERO,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32),
            weather,
            agenda: BTreeMap::new(),
            sequence: 0,
            workers: HashMap::new(),
            leases: HashSet::new(),
            leases_seen: HashSet::new(),
            occupied: HashMap::new(),
            records: Vec::new(),
            exit: None,
            suspended: false,
            most_workers: 0,
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.agenda.insert((self.now + delay, self.sequence), event);
    }

    /// Carries out what the supervisor ordered.
    fn obey(&mut self, effect: Effect) {
        assert!(self.exit.is_none(), "the end is the last effect, then came {effect:?}");
        match effect {
            Effect::Start { attempt, slot, .. } => {
                assert!(!self.suspended, "nothing starts while the run is suspended");
                assert!(self.occupied.insert(slot, attempt).is_none(), "one attempt per slot");
                self.most_workers = self.most_workers.max(self.occupied.len());
                let delay = self.dice.ms(1, 5);
                if self.dice.chance(self.weather.not_spawned) {
                    let shortage = self.dice.chance(70);
                    self.after(delay, Event::SpawnFailed { attempt, shortage, why: "no".into() });
                    return;
                }
                let worker = Worker {
                    connected: false,
                    calls_left: self.dice.below(4),
                    next_call: 0,
                    hangs: self.dice.chance(self.weather.hangs),
                    deaf: self.dice.chance(20),
                    dead: false,
                    leaks: self.dice.chance(self.weather.leaks),
                };
                self.workers.insert(attempt, worker);
                self.after(delay, Event::Spawned { attempt, pid: 7 });
                let connect = delay + self.dice.ms(1, 50);
                self.after(connect, Event::Connected { attempt });
                if self.dice.chance(self.weather.wardens_lost) {
                    let delay = self.dice.ms(1, 60_000);
                    self.after(delay, Event::WardenLost { attempt, leftovers: Vec::new(), unnamed: 0 });
                }
            }
            Effect::Ask { attempt, .. } => {
                let delay = self.dice.ms(1, 900);
                if self.workers.get(&attempt).is_some_and(|w| !w.deaf) {
                    self.after(
                        delay,
                        Event::Exited { attempt, end: AttemptEnd::Exited { code: 75 }, alone: true },
                    );
                }
            }
            Effect::Kill { attempt, .. } => {
                let end = AttemptEnd::Signalled { signal: 9 };
                self.after(Duration::from_millis(1), Event::Exited { attempt, end, alone: false });
            }
            Effect::Sweep { attempt, .. } => {
                let delay = self.dice.ms(1, 100);
                let leak = self.workers.get(&attempt).is_some_and(|w| w.leaks);
                let leftovers = leak
                    .then(|| Leftover { pid: 9, name: "sleep".into(), killed: true })
                    .into_iter()
                    .collect();
                self.after(delay, Event::Swept { attempt, leftovers, unnamed: 0 });
                self.after(delay, Event::OutputEnded { attempt });
            }
            Effect::StopReading { attempt } => self.after(Duration::ZERO, Event::OutputEnded { attempt }),
            Effect::ReplaceWarden { slot } => {
                if let Some(attempt) = self.occupied.get(&slot).copied() {
                    self.after(
                        Duration::from_millis(5),
                        Event::WardenLost { attempt, leftovers: Vec::new(), unnamed: 0 },
                    );
                }
            }
            Effect::Tell { attempt, reply } => self.told(attempt, &reply),
            Effect::Close { attempt, slot } => {
                assert_eq!(self.occupied.remove(&slot), Some(attempt), "what is closed was open");
                self.workers.remove(&attempt);
            }
            Effect::Suspend => {
                self.suspended = true;
                self.after(Duration::from_secs(3_600), Event::Continue);
            }
            Effect::Resume => self.suspended = false,
            Effect::Record(record) => {
                match &record {
                    Record::LeaseGranted { lease, .. } => {
                        let lease = LeaseId(*lease);
                        assert!(self.leases_seen.insert(lease), "a lease's number is used once");
                        self.leases.insert(lease);
                    }
                    Record::LeaseReturned { lease, .. } => {
                        assert!(self.leases.remove(&LeaseId(*lease)), "a lease returns once");
                    }
                    _ => {}
                }
                self.records.push(record);
            }
            Effect::Say(_) => {}
            Effect::ReadKeys => self.after(Duration::from_millis(3), Event::KeysRead),
            Effect::Finish { exit } => self.exit = Some(exit),
        }
    }

    /// A worker's answer to what it was told.
    fn told(&mut self, attempt: AttemptId, reply: &Reply) {
        if self.workers.get(&attempt).is_none_or(|w| w.dead) {
            return;
        }
        match reply {
            Reply::Granted { lease, .. } => {
                let delay = self.dice.ms(50, 8_000);
                let outcome = if self.dice.chance(self.weather.limited) {
                    CallOutcome::Limited {
                        dimension: Some(Dimension::RequestsPerMinute),
                        retry_after: Some(self.dice.ms(500, 40_000)),
                        limit: None,
                        slow_down: false,
                        hints: Vec::new(),
                    }
                } else if self.dice.chance(self.weather.transient) {
                    CallOutcome::Transient { detail: "reset".into() }
                } else {
                    CallOutcome::Ok { tokens_in: 100, tokens_out: 50, hints: Vec::new() }
                };
                self.after(delay, Event::Release { attempt, lease: *lease, outcome: outcome.clone() });
                if self.dice.chance(10) {
                    // A worker that returns its lease twice.
                    self.after(delay, Event::Release { attempt, lease: *lease, outcome: outcome.clone() });
                }
                if self.dice.chance(self.weather.crashes) {
                    let end = AttemptEnd::Signalled { signal: 11 };
                    self.after(delay / 2, Event::Exited { attempt, end, alone: true });
                }
                if let Some(worker) = self.workers.get_mut(&attempt) {
                    // Refused, it is the same call again.
                    if let CallOutcome::Ok { .. } = outcome {
                        worker.calls_left -= 1;
                        worker.next_call += 1;
                    }
                }
                self.go_on(attempt, delay + Duration::from_millis(5));
            }
            Reply::Waiting { .. } => {}
            Reply::Denied { cause, .. } => {
                let code = if cause.is_passing() { 75 } else { 1 };
                self.after(
                    Duration::from_millis(20),
                    Event::Exited { attempt, end: AttemptEnd::Exited { code }, alone: true },
                );
            }
        }
    }

    /// The worker's next step after `delay`: another call, or its end.
    fn go_on(&mut self, attempt: AttemptId, delay: Duration) {
        let Some(worker) = self.workers.get(&attempt) else { return };
        if worker.hangs {
            return;
        }
        if worker.calls_left > 0 {
            let call = CallId(worker.next_call);
            let request = LeaseRequest {
                call,
                provider: "p".into(),
                model: "m".into(),
                tokens: 150,
                share: 100,
                whole_attempt: false,
            };
            self.after(delay, Event::Acquire { attempt, request });
            return;
        }
        let leaks = worker.leaks;
        let code = u8::from(self.dice.chance(self.weather.fails));
        let verdict = if code == 0 { Verdict::Approved } else { Verdict::Failed };
        self.after(delay, Event::Finished { attempt, verdict, detail: String::new(), output: None });
        let exit = delay + Duration::from_millis(2);
        self.after(exit, Event::Exited { attempt, end: AttemptEnd::Exited { code }, alone: !leaks });
    }

    /// What the world does by itself when an event of its own comes due.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Connected { attempt } => {
                if let Some(worker) = self.workers.get_mut(attempt) {
                    worker.connected = true;
                }
                self.go_on(*attempt, Duration::from_millis(10));
            }
            Event::Exited { attempt, alone, .. } => {
                let attempt = *attempt;
                if let Some(worker) = self.workers.get_mut(&attempt) {
                    worker.dead = true;
                    if *alone {
                        self.after(Duration::from_millis(1), Event::OutputEnded { attempt });
                    }
                }
            }
            Event::WardenLost { attempt, .. } => {
                let attempt = *attempt;
                self.after(Duration::from_millis(1), Event::OutputEnded { attempt });
            }
            _ => {}
        }
    }

    /// Runs a whole batch and answers with how every item ended.
    fn run(&mut self, bounds: Bounds) -> BTreeMap<String, Outcome> {
        let plan = (0..self.weather.items).map(|i| Planned {
            item: Item { id: ItemId::new(&format!("i{i}")).unwrap(), timeout: None },
            action: PlanAction::Run,
            detail: String::new(),
        });
        let parallel = usize::from(bounds.parallel);
        let mut supervisor = Supervisor::new(bounds, plan.collect(), pool(), policy());
        self.after(Duration::ZERO, Event::Begin);
        if let Some(at) = self.weather.interrupt_at {
            self.after(at, Event::Signal(StopSignal::Interrupt));
        }
        if let Some(at) = self.weather.suspend_at {
            self.after(at, Event::Suspend);
        }
        let mut steps = 0u32;
        while self.exit.is_none() {
            steps += 1;
            assert!(steps < 400_000, "the run does not come to an end");
            let due = supervisor.next_deadline();
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let event = match (next, due) {
                (Some(at), due) if due.is_none_or(|due| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, event) = self.agenda.pop_first().unwrap();
                    let is_workers = !matches!(event, Event::Continue | Event::Signal(_));
                    if self.suspended && is_workers {
                        // Stopped workers do nothing; it happens once they go on.
                        self.after(Duration::from_secs(3_600), event);
                        continue;
                    }
                    self.note(&event);
                    event
                }
                (_, Some(due)) => {
                    assert!(due >= self.now, "a deadline in the past is never served");
                    self.now = due;
                    Event::Tick
                }
                _ => panic!("nothing will ever happen again, and the run is not over"),
            };
            let told = format!("{event:?}");
            for effect in supervisor.handle(event, self.now) {
                self.obey(effect);
            }
            assert!(self.occupied.len() <= parallel, "after {told}");
            assert_eq!(self.occupied.len(), supervisor.workers(), "after {told}");
        }
        assert!(self.leases.is_empty(), "every lease is back: {:?}", self.leases);
        // Silence after the end.
        assert!(supervisor.handle(Event::Tick, self.now).0.is_empty());
        assert_eq!(supervisor.next_deadline(), None);
        self.check_records()
    }

    /// Every item ends in exactly one outcome, every attempt has one end.
    fn check_records(&self) -> BTreeMap<String, Outcome> {
        let mut outcomes = BTreeMap::new();
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for record in &self.records {
            match record {
                Record::ItemEnded { item, outcome, .. } => {
                    assert!(outcomes.insert(item.to_string(), *outcome).is_none(), "{item} ended twice");
                }
                Record::AttemptStarted { item, attempt, .. } => begun.push((item.clone(), *attempt)),
                Record::AttemptEnded { item, attempt, .. } => ended.push((item.clone(), *attempt)),
                _ => {}
            }
        }
        begun.sort();
        ended.sort();
        assert_eq!(begun, ended, "every attempt has its end");
        assert_eq!(outcomes.len(), self.weather.items as usize, "every item has its outcome");
        let Some(Record::RunEnded { counts, exit, .. }) = self.records.last() else {
            panic!("the last record is the end of the run");
        };
        assert_eq!(counts.total(), self.weather.items);
        assert_eq!(Some(*exit), self.exit);
        outcomes
    }
}

fn pool() -> PoolSpec {
    let key = |n: u32| KeySpec {
        name: format!("k{n}"),
        provider: "p".into(),
        quota_group: Some(format!("g{}", n % 2)),
        max_in_flight: Some(8),
    };
    PoolSpec { keys: (0..4).map(key).collect(), ..PoolSpec::default() }
}

fn policy() -> Policy {
    Policy {
        max_wait: Duration::from_secs(86_400),
        max_retries: Some(5),
        lease_time: Duration::from_secs(600),
        budget: Budget::Unlimited,
        seed: 1,
    }
}

fn bounds() -> Bounds {
    Bounds {
        parallel: 20,
        kind: Kind::Workflow,
        timeout: Some(Duration::from_secs(1_800)),
        idle_timeout: Some(Duration::from_secs(300)),
        run_timeout: None,
        grace: Duration::from_secs(5),
        item_retries: 0,
        tempfail: Vec::new(),
        max_fail: None,
        with_keys: Vec::new(),
        seed: 1,
    }
}

fn count(outcomes: &BTreeMap<String, Outcome>, outcome: Outcome) -> usize {
    outcomes.values().filter(|o| **o == outcome).count()
}

#[test]
fn a_calm_batch_ends_with_every_item_approved() {
    let mut world = World::new(1, CALM);
    let outcomes = world.run(bounds());
    assert_eq!(count(&outcomes, Outcome::Approved), 1_000);
    assert_eq!(world.exit, Some(0));
    assert_eq!(world.most_workers, 20, "the slots are used");
}

#[test]
fn storms_over_many_seeds_keep_every_promise() {
    for seed in 0..12 {
        let mut world = World::new(seed, Weather { items: 300, ..STORM });
        let outcomes = world.run(Bounds { item_retries: 2, ..bounds() });
        let done = count(&outcomes, Outcome::Approved);
        assert!(done > 200, "seed {seed}: only {done} of 300 got through");
    }
}

#[test]
fn ctrl_c_in_a_storm_leaves_nothing_running_and_nothing_undecided() {
    for seed in 0..12 {
        let at = Duration::from_secs(20 + seed * 7);
        let mut world = World::new(seed, Weather { interrupt_at: Some(at), ..STORM });
        let outcomes = world.run(bounds());
        assert_eq!(world.exit, Some(130), "seed {seed}");
        assert!(
            count(&outcomes, Outcome::NotStarted) > 0,
            "seed {seed}: the stop came too late to test anything"
        );
        // Grace, the kill, and the sweep bound the way down.
        assert!(world.now.since(Time::ZERO + at) < Duration::from_secs(30), "seed {seed}: {:?}", world.now);
    }
}

#[test]
fn a_hang_is_ended_by_its_watchdog_and_only_by_it() {
    let mut world = World::new(3, Weather { items: 40, hangs: 100, ..CALM });
    let outcomes = world.run(bounds());
    assert_eq!(count(&outcomes, Outcome::TimedOut), 40);
    assert_eq!(world.exit, Some(1));
}

#[test]
fn an_hour_of_suspension_times_nothing_out() {
    let weather = Weather { items: 200, suspend_at: Some(Duration::from_secs(5)), ..CALM };
    let mut world = World::new(5, weather);
    let outcomes = world.run(bounds());
    assert_eq!(count(&outcomes, Outcome::Approved), 200);
    assert!(world.now > Time::from_millis(3_600_000));
}

#[test]
fn after_enough_failures_nothing_more_starts() {
    let mut world = World::new(9, Weather { fails: 100, ..CALM });
    let outcomes = world.run(Bounds { max_fail: Some(10), ..bounds() });
    let failed = count(&outcomes, Outcome::Failed);
    assert!((10..30).contains(&failed), "{failed}: ten, and those that were running");
    assert_eq!(count(&outcomes, Outcome::NotStarted), 1_000 - failed);
    assert_eq!(world.exit, Some(75));
}

#[test]
fn the_time_of_a_run_is_bounded() {
    let mut world = World::new(11, CALM);
    let limit = Duration::from_secs(60);
    let outcomes = world.run(Bounds { run_timeout: Some(limit), ..bounds() });
    assert_eq!(world.exit, Some(124));
    assert!(count(&outcomes, Outcome::NotStarted) > 0);
    assert!(world.now.since_start() < limit + Duration::from_secs(30));
}

#[test]
fn an_item_of_the_plan_that_cannot_start_fails_alone() {
    let plan = |action, detail: &str, id| Planned {
        item: Item { id: ItemId::new(id).unwrap(), timeout: None },
        action,
        detail: detail.into(),
    };
    let plan = vec![
        plan(PlanAction::Fail, "input issues/43.md not found", "43"),
        plan(PlanAction::Skip, "done in run 7f3a", "44"),
        plan(PlanAction::NeedsRevision, "the limit of 5 iterations", "45"),
    ];
    let mut supervisor = Supervisor::new(bounds(), plan, PoolSpec::default(), policy());
    let effects = supervisor.handle(Event::Begin, Time::ZERO);
    let exit = effects.0.iter().find_map(|e| match e {
        Effect::Finish { exit } => Some(*exit),
        _ => None,
    });
    assert_eq!(exit, Some(1));
    let said = effects.0.iter().filter(|e| matches!(e, Effect::Say(_))).count();
    assert_eq!(said, 1, "one line names the item that fails");
}
