//! The one owner of a run's facts: takes an event and the time, answers with what to do.
//!
//! [`Supervisor::handle`] is total: an event that no longer fits (about an attempt that is over, say) changes nothing.
//! The table of states and events is in `docs/architecture.md`.

mod ending;
mod leases;
mod starting;
mod stopping;

use std::time::Duration;

use crate::attempt::{Attempt, Kind, Phase};
use crate::batch::{Batch, Planned, whole_ms};
use crate::credentials::{CredentialCoordinator, Policy, PoolSpec};
use crate::crew::Crew;
use crate::event::{Effect, Effects, Event, Saying, StopCause};
use crate::retry::mix;
use crate::shutdown::{Ladder, Stage};
use crate::{AttemptId, Counts, ItemIndex, Outcome, Record, Time};

/// The bounds of a run. See `wf-supervisor run --help` for what each means to its user.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Workers at once, at least 1.
    pub parallel: u16,
    /// What an exit code means.
    pub kind: Kind,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--idle-timeout`.
    pub idle_timeout: Option<Duration>,
    /// `--run-timeout`.
    pub run_timeout: Option<Duration>,
    /// `--grace`.
    pub grace: Duration,
    /// `--item-retries`.
    pub item_retries: u32,
    /// `--tempfail`: exit codes by which a command says that now is not the time. Such an attempt is put off.
    pub tempfail: Vec<u8>,
    /// `--max-fail`.
    pub max_fail: Option<u32>,
    /// Providers of `--with-key`: one key of each is leased for every attempt's whole life.
    pub with_keys: Vec<String>,
    /// Seed of the jitter.
    pub seed: u64,
}

/// After a worker's exit its last output is read for at most this long before its leftovers are killed.
pub const DRAIN: Duration = Duration::from_millis(500);
/// A warden that owes an answer for this long is taken for lost. Above the ten seconds its own sweep may take.
pub const ANSWER: Duration = Duration::from_secs(30);
/// A killed worker that has not ended by then is left to the sweep, which names what cannot be killed.
const KILL: Duration = Duration::from_secs(5);
/// A deadline noticed this much late means that the supervisor itself was stopped: nobody was watching.
const LATE: Duration = Duration::from_secs(1);
/// The longest the key sources may take to be read again before a dead pool ends the run. Above what the shell allows a
/// command that prints a secret.
const LAST_READING: Duration = Duration::from_secs(15);
/// Tries to start an item while the machine is short of something, before the item fails.
const SHORTAGES: u32 = 20;
/// Calls of `--with-key` are numbered from here, out of the way of the worker's own.
const OWN_CALLS: u64 = 1 << 63;

/// A run.
#[derive(Debug)]
pub struct Supervisor {
    bounds: Bounds,
    /// Until the run begins.
    plan: Option<Vec<Planned>>,
    batch: Batch,
    pool: CredentialCoordinator,
    ladder: Ladder,
    crew: Crew,
    run_deadline: Option<Time>,
    /// How long an item may be put off in a row.
    max_wait: Duration,
    /// The pool is dead and the key sources are being read once more: until then at the latest.
    reading_until: Option<Time>,
    frozen_since: Option<Time>,
    worked: Duration,
    waited: Duration,
    overhead: Duration,
    /// Items that are ready are held back, because few keys are usable; and when the next key can serve again.
    is_short: bool,
    short_until: Option<Time>,
    finished: bool,
    out: Effects,
}

impl Supervisor {
    /// A run over these items with this pool. Nothing happens before [`Event::Begin`].
    pub fn new(bounds: Bounds, plan: Vec<Planned>, pool: PoolSpec, policy: Policy) -> Supervisor {
        let (parallel, max_wait) = (bounds.parallel.max(1), policy.max_wait);
        let mut pool = CredentialCoordinator::new(pool, policy, Time::ZERO);
        // Nothing waits yet, so nothing is decided by it.
        pool.wait_for_operator(true, Time::ZERO, &mut Vec::new());
        Supervisor {
            batch: Batch::new(&plan, parallel),
            plan: Some(plan),
            pool,
            ladder: Ladder::new(),
            crew: Crew::new(parallel),
            run_deadline: bounds.run_timeout.map(|d| Time::ZERO + d),
            max_wait,
            reading_until: None,
            frozen_since: None,
            worked: Duration::ZERO,
            waited: Duration::ZERO,
            overhead: Duration::ZERO,
            is_short: false,
            short_until: None,
            finished: false,
            out: Effects::default(),
            bounds,
        }
    }

    /// Takes over what an earlier run knew of the pool. To be called before [`Event::Begin`].
    pub fn recall_pool(&mut self, known: &crate::credentials::PoolSnapshot) {
        self.pool.restore(known, Time::ZERO);
    }

    /// Takes in what happened and answers with what to do. Total; after [`Effect::Finish`] it answers nothing.
    pub fn handle(&mut self, event: Event, now: Time) -> Effects {
        self.handle_all([event], now)
    }

    /// Takes in all that has happened by now, in its order, before any deadline is looked at: whoever has ended is not
    /// stopped for being late, whichever of the two is heard first.
    pub fn handle_all(&mut self, events: impl IntoIterator<Item = Event>, now: Time) -> Effects {
        if self.finished {
            return Effects::default();
        }
        self.credit_if_late(now);
        for event in events {
            // What happens while the run stands still finds deadlines that have been moved already.
            if let Some(since) = self.frozen_since {
                self.frozen_since = Some(now);
                self.credit(now.since(since));
            }
            self.take_in(event, now);
        }
        self.watch(now);
        self.fill_slots(now);
        self.finish_if_over(now);
        self.crew.take_note();
        std::mem::take(&mut self.out)
    }

    /// When [`Event::Tick`] is due if nothing happens before. `None`: nothing will happen by the passing of time.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.finished || self.frozen_since.is_some() {
            return None;
        }
        let may_start = self.ladder.stage() == Stage::Running;
        let ready = self.batch.next_ready().filter(|_| may_start && !self.is_short);
        let run = self.run_deadline.filter(|_| self.ladder.stage() < Stage::Asking);
        let short = self.short_until.filter(|_| may_start);
        [self.crew.next_deadline(), ready, run, short, self.reading_until, self.pool.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// How many items ended how, so far.
    pub fn counts(&self) -> Counts {
        self.batch.counts()
    }

    /// Attempts that are not over.
    pub fn workers(&self) -> usize {
        self.crew.len()
    }

    /// Of those, attempts that wait for quota.
    pub fn paused(&self) -> usize {
        self.crew.paused()
    }

    /// Items that were put off, and when the next of those that wait for a time is tried again.
    pub fn put_off(&self) -> (usize, Option<Time>) {
        (self.batch.put_off_now(), self.batch.next_later())
    }

    /// The pool, to be shown.
    pub fn pool(&self) -> &CredentialCoordinator {
        &self.pool
    }

    fn take_in(&mut self, event: Event, now: Time) {
        match event {
            Event::Begin => self.begin(),
            Event::Tick => {}
            Event::Spawned { attempt, pid } => self.spawned(attempt, pid, now),
            Event::SpawnFailed { attempt, shortage, why } => self.spawn_failed(attempt, shortage, why, now),
            Event::Connected { attempt } => self.connected(attempt, now),
            Event::Disconnected { attempt } => self.disconnected(attempt, now),
            Event::Output { attempt } => {
                self.alive(attempt, now);
            }
            Event::OutputEnded { attempt } => self.output_ended(attempt, now),
            Event::Exited { attempt, end, alone } => self.exited(attempt, end, alone, now),
            Event::Swept { attempt, leftovers, unnamed } => self.swept(attempt, leftovers, unnamed, now),
            Event::WardenLost { attempt, leftovers, unnamed } => {
                self.warden_lost(attempt, leftovers, unnamed, now);
            }
            Event::Acquire { attempt, request } => self.acquire(attempt, request, now),
            Event::Release { attempt, lease, outcome } => self.release(attempt, lease, &outcome, now),
            Event::Progress { attempt, node, iteration, share } => {
                if let Some(item) = self.heard(attempt, now) {
                    self.record(Record::Progress { item, attempt: attempt.number, node, iteration, share });
                }
            }
            Event::Checkpointed { attempt, node } => {
                if let Some(item) = self.heard(attempt, now) {
                    self.record(Record::Checkpointed { item, attempt: attempt.number, node });
                }
            }
            Event::Finished { attempt, verdict, detail, output } => {
                self.alive(attempt, now);
                if let Some(a) = self.attempt(attempt) {
                    a.finished = Some((verdict, detail, output));
                }
            }
            Event::Signal(signal) => {
                if let Some(stage) = self.ladder.signal(signal, now) {
                    self.stop_by_signal(stage, signal, now);
                }
            }
            Event::Suspend => {
                if self.frozen_since.is_none() {
                    self.frozen_since = Some(now);
                    self.out.push(Effect::Suspend);
                }
            }
            Event::Continue => {
                if self.frozen_since.take().is_some() {
                    self.out.push(Effect::Resume);
                }
            }
            Event::Trouble { what } => self.trouble(what, now),
            Event::KeysRead => self.keys_read(now),
            Event::KeyChanged(spec) => {
                self.ask_pool(now, |pool, out| {
                    pool.add_or_replace_key(spec, true, now, out);
                });
            }
        }
    }

    fn begin(&mut self) {
        let Some(plan) = self.plan.take() else { return };
        for record in self.batch.settle(&plan) {
            self.record(record);
        }
        for (i, planned) in plan.iter().enumerate() {
            if planned.action == crate::PlanAction::Fail {
                let (item, why) = (ItemIndex(i as u32), planned.detail.clone());
                let outcome = Outcome::Failed;
                self.out.push(Effect::Say(Saying::ItemTrouble { item, outcome, why, retry_in: None }));
            }
        }
        self.stop_at_max_fail();
    }

    fn watch(&mut self, now: Time) {
        if self.frozen_since.is_some() {
            return;
        }
        if self.run_deadline.is_some_and(|at| now >= at) && self.ladder.stage() < Stage::Asking {
            self.stop(Stage::Asking, StopCause::RunTimeout, now);
        }
        if self.reading_until.is_some_and(|at| now >= at) {
            self.keys_read(now);
        }
        self.crew.take_note();
        for slot in self.crew.overdue(now) {
            let Some(attempt) = self.crew.at(slot) else { continue };
            let (id, warden) = (attempt.id, attempt.slot);
            if attempt.answer_by.is_some_and(|at| now >= at) {
                attempt.answer_by = Some(now + ANSWER);
                self.out.push(Effect::ReplaceWarden { slot: warden });
            } else if attempt.kill_at.is_some_and(|at| now >= at) {
                let cause = attempt.stop.unwrap_or(StopCause::Operator);
                if !attempt.killed {
                    let grace = self.bounds.grace;
                    self.out.push(Effect::Say(Saying::GraceOver { item: id.item, grace }));
                }
                attempt.kill_at = None;
                self.kill(id, cause, now);
            } else if let Some((cause, limit)) = attempt.expired(now) {
                self.out.push(Effect::Say(Saying::Watchdog { item: id.item, cause, limit }));
                self.ask(id, cause, now);
            } else if let Phase::Draining(until) = attempt.phase {
                if now >= until {
                    self.sweep(id, now);
                }
            } else if let Phase::Closing(until) = attempt.phase
                && now >= until
            {
                // Somebody out of reach holds the pipe. Reading on could take for ever.
                attempt.phase = Phase::Closing(Time::NEVER);
                self.out.push(Effect::StopReading { attempt: id });
            }
        }
        if self.pool.next_deadline().is_some_and(|at| now >= at) {
            self.ask_pool(now, |pool, out| pool.advance(now, out));
        }
    }

    /// The supervisor itself was stopped from outside, or the machine slept: no watchdog counts that time, nor the moment it
    /// takes until all is heard that happened meanwhile.
    fn credit_if_late(&mut self, now: Time) {
        let late = self.next_deadline().map_or(Duration::ZERO, |due| now.since(due));
        if late > LATE {
            self.credit(late + LATE);
        }
    }

    fn credit(&mut self, lost: Duration) {
        self.crew.credit(lost);
        self.run_deadline = self.run_deadline.map(|at| at + lost);
        self.reading_until = self.reading_until.map(|at| at + lost);
    }

    fn finish_if_over(&mut self, now: Time) {
        if self.workers() > 0 {
            return;
        }
        if self.ladder.stage() > Stage::Running {
            for record in self.batch.end_waiting() {
                self.record(record);
            }
        }
        if self.batch.is_over() && self.plan.is_none() {
            self.finished = true;
            let counts = self.batch.counts();
            let exit = self.ladder.exit_code(&counts);
            self.record(Record::RunEnded {
                exit,
                counts,
                wall_ms: whole_ms(now.since_start()),
                worked_ms: whole_ms(self.worked),
                waited_ms: whole_ms(self.waited),
                overhead_us: u64::try_from(self.overhead.as_micros()).unwrap_or(u64::MAX),
            });
            self.out.push(Effect::Finish { exit });
        }
    }

    fn attempt(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        let slot = self.batch.slot_of(id)?;
        self.crew.find(slot, id)
    }

    fn record(&mut self, record: Record) {
        self.out.push(Effect::Record(record));
    }

    fn seed(&self, item: ItemIndex) -> u64 {
        mix(self.bounds.seed, u64::from(item.0))
    }
}
