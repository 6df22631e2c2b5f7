//! The hands of the core: carries out what it decided.

mod closing;
mod pool;
mod recording;
mod watching;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;

use jiff::Timestamp;
use wf_core::credentials::KeyIndex;
use wf_core::{
    AttemptEnd, AttemptId, Counts, Effect, Event, ItemIndex, Record, Reply, Saying, Slot, Supervisor,
};
use wf_protocol::{Secret, ToWorker};
use wf_warden::{Order, own};

use self::watching::Watch;
use super::capture::{Capture, CaptureEvent, CaptureHandle, output_pipe};
use super::clock::Clock;
use super::ipc::Ipc;
use super::janitor::Janitor;
use super::launch::{LaunchError, Launcher};
use super::pool_window::PoolWindow;
use super::signals::Signals;
use super::slots::Slots;
use super::telling::Teller;
use super::translate;
use super::words::{Line, Speaker};
use crate::console::redact::Redactor;
use crate::console::terminal::Console;
use crate::exit;
use crate::keys::{KeyRing, Secret as KeySecret};
use crate::store::history::HistoryWriter;
use crate::store::joblog::{Job, JobLog};
use crate::store::journal::Journal;
use crate::store::summary::RunSummary;

/// What a run is given to touch the world with.
#[derive(Debug)]
pub struct Parts {
    /// The run's clock.
    pub clock: Clock,
    /// The wardens.
    pub slots: Slots,
    /// The socket.
    pub ipc: Ipc,
    /// The terminal.
    pub console: Console,
    /// What reads the workers' output.
    pub capture: Capture,
    /// Every secret the run has known.
    pub secrets: Vec<KeySecret>,
    /// What must never appear: these.
    pub redactor: Redactor,
    /// What makes an attempt's command.
    pub launcher: Launcher,
    /// The keys and their secrets, by the core's index.
    pub ring: KeyRing,
    /// What makes words of sayings.
    pub speaker: Speaker,
    /// The truth on disk.
    pub journal: Journal,
    /// The index of it.
    pub history: HistoryWriter,
    /// The run in figures.
    pub summary: RunSummary,
    /// How the pool is shown while the run lives.
    pub window: PoolWindow,
    /// Whether the next run is to know what this one learned of the pool.
    pub keeps_pool: bool,
    /// `--joblog`.
    pub joblog: Option<JobLog>,
    /// What removes the checkpoints of finished items.
    pub janitor: Janitor,
}

/// Everything of a run that touches the world.
#[derive(Debug)]
pub struct Hands {
    parts: Parts,
    /// The attempts that run.
    open: HashMap<AttemptId, Open>,
    /// How many items ended how, as far as it is on record.
    counts: Counts,
    /// What was told of the pool.
    teller: Teller,
    /// What the attempts that ended in this turn wrote: their parts of the items' logs.
    parts_written: HashMap<ItemIndex, Range<u64>>,
    /// Who runs since when, and is silent since when.
    watch: Watch,
    /// Returned leases that are not on record yet. Nothing waits for that, so they go in one write with what comes at once.
    held: Vec<Record>,
    /// The journal could not be written: nothing more is recorded, and the run ends.
    broken: bool,
}

/// What an open attempt holds here.
#[derive(Debug)]
pub struct Open {
    capture: Option<CaptureHandle>,
    started: Timestamp,
    command: String,
    /// What the item's log held before, from earlier attempts.
    log_before: u64,
    end: Option<AttemptEnd>,
}

/// What came of carrying out a turn's effects.
#[derive(Debug, Default)]
pub struct Done {
    /// What happened meanwhile, to be handed to the core next.
    pub follow_ups: Vec<Event>,
    /// The run is over.
    pub exit: Option<u8>,
    /// The supervisor is to stop itself now.
    pub suspend: bool,
    /// The key sources are to be read again now.
    pub read_keys: bool,
}

impl Hands {
    /// With these parts.
    pub fn new(parts: Parts) -> Hands {
        Hands {
            parts,
            open: HashMap::new(),
            counts: Counts::default(),
            teller: Teller::default(),
            parts_written: HashMap::new(),
            watch: Watch::default(),
            held: Vec::new(),
            broken: false,
        }
    }

    /// What the shell must know of an event before the core handles it.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Spawned { attempt, pid } => self.parts.ipc.set_pid(*attempt, *pid),
            Event::Output { attempt } => self.watch.heard(*attempt, self.parts.clock.now()),
            _ => {}
        }
    }

    /// What a capture tells, as an event.
    pub fn heard(&self, told: CaptureEvent) -> Event {
        match told {
            CaptureEvent::Output(attempt) => Event::Output { attempt },
            CaptureEvent::OutputEnded(attempt) => Event::OutputEnded { attempt },
            CaptureEvent::LogFailed { attempt, path, error } => {
                let label = self.parts.launcher.label(attempt.item);
                Event::Trouble {
                    what: format!("cannot write the log of {label}, {}: {error}", path.display()),
                }
            }
        }
    }

    /// Carries out a turn: first all records, so that the journal knows of a thing before it happens.
    pub fn carry_out(&mut self, effects: Vec<Effect>, supervisor: &Supervisor) -> Done {
        let mut done = Done::default();
        if !effects.is_empty() {
            self.parts.window.touch();
        }
        let (mut records, mut notices) = (Vec::new(), Vec::new());
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Record(record) => records.push(record),
                Effect::Say(Saying::Pool { notice, .. }) => notices.push(notice),
                other => rest.push(other),
            }
        }
        if rest.is_empty() && notices.is_empty() && self.may_wait(&records) {
            self.held.append(&mut records);
            return done;
        }
        records.splice(..0, self.held.drain(..));
        let lines = self.tell_pool(&mut records, &notices, supervisor);
        let any_record = !records.is_empty();
        self.record(records, supervisor, &mut done);
        self.say_lines(&lines);
        for effect in rest {
            self.carry_out_one(effect, &mut done);
        }
        if any_record {
            self.parts.console.progress(|| self.state(supervisor));
        }
        done
    }

    fn carry_out_one(&mut self, effect: Effect, done: &mut Done) {
        match effect {
            Effect::Start { attempt, slot, keys } => {
                if let Err(failed) = self.start(attempt, slot, &keys) {
                    done.follow_ups.extend(failed);
                }
            }
            Effect::Ask { attempt, slot, connected, cause, grace } => {
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                let stop = ToWorker::Stop { reason: translate::stop_reason(cause), grace_ms };
                if !(connected && self.parts.ipc.tell(attempt, stop)) {
                    // A stopped process takes no SIGTERM until it goes on.
                    self.parts.slots.order(slot, Order::Signal(nix::libc::SIGTERM));
                    self.parts.slots.order(slot, Order::Signal(nix::libc::SIGCONT));
                }
            }
            Effect::Kill { slot, .. } => self.parts.slots.order(slot, Order::Kill),
            Effect::Sweep { slot, .. } => self.parts.slots.order(slot, Order::Sweep),
            Effect::ReplaceWarden { slot } => self.parts.slots.replace(slot),
            Effect::StopReading { attempt } => {
                if let Some(capture) = self.open.get_mut(&attempt).and_then(|open| open.capture.take()) {
                    capture.stop();
                } else {
                    done.follow_ups.push(Event::OutputEnded { attempt });
                }
            }
            Effect::Tell { attempt, reply } => self.tell(attempt, reply),
            Effect::Close { attempt, .. } => self.close(attempt, done),
            Effect::Suspend => done.suspend = true,
            Effect::ReadKeys => done.read_keys = true,
            Effect::Resume => self.parts.slots.thaw(),
            Effect::Say(saying) => self.say(&saying),
            Effect::Finish { exit } => done.exit = Some(exit),
            Effect::Record(_) => unreachable!("records were taken out before"),
        }
    }

    /// Starts an attempt: its token, its pipes, its process. The error are the events of the failure.
    fn start(&mut self, attempt: AttemptId, slot: Slot, keys: &[KeyIndex]) -> Result<(), Vec<Event>> {
        let failed = |shortage: bool, why: String| vec![Event::SpawnFailed { attempt, shortage, why }];
        // Where nothing can be written, the run has to end, and the item is none the worse for it.
        let broken = |what: String| {
            vec![
                Event::Trouble { what: what.clone() },
                Event::SpawnFailed { attempt, shortage: true, why: what },
            ]
        };
        let short =
            |error: io::Error| failed(is_shortage(&error), format!("cannot capture its output: {error}"));
        let job = self.parts.launcher.job(attempt);
        let own_process_only = self.parts.launcher.is_built_in();
        let token = self.parts.ipc.register(attempt, job, own_process_only);
        let token = token.map_err(|error| failed(false, format!("cannot make its token: {error}")))?;
        let handed: Vec<_> = keys.iter().filter_map(|key| self.parts.ring.secret(*key)).collect();
        let spawn = self.parts.launcher.spawn(attempt, slot, &token, &handed);
        let spawn = spawn.map_err(|error| match error {
            LaunchError::Item(why) => failed(false, why),
            LaunchError::State(what) => broken(what),
        })?;
        let (stdout, stdout_writer) = output_pipe().map_err(short)?;
        let (stderr, stderr_writer) = output_pipe().map_err(short)?;
        let label = self.parts.launcher.label(attempt.item);
        let capture = self.parts.capture.start(attempt, label, stdout, stderr);
        let capture = capture.map_err(|error| {
            if !is_of_the_disk(&error) {
                return short(error);
            }
            let label = self.parts.launcher.label(attempt.item);
            let dir = self.parts.launcher.run_dir().display();
            broken(format!("cannot open the log of {label} in {dir}: {error}"))
        })?;
        // Only the job log asks for it.
        let command = match &self.parts.joblog {
            Some(_) => self.parts.redactor.redact(&Launcher::shown(&spawn)).into_owned(),
            None => String::new(),
        };
        let log_before = if attempt.number > 1 { self.parts.launcher.log_bytes(attempt.item) } else { 0 };
        let open = Open { capture: Some(capture), started: Timestamp::now(), command, log_before, end: None };
        self.open.insert(attempt, open);
        self.watch.began(attempt, self.parts.clock.now());
        self.parts.slots.start(slot, attempt, &spawn, stdout_writer.as_fd(), stderr_writer.as_fd()).map_err(
            |error| failed(error.kind() == io::ErrorKind::WouldBlock, format!("cannot start it: {error}")),
        )
    }

    fn tell(&mut self, attempt: AttemptId, reply: Reply) {
        let ring = &self.parts.ring;
        let secret = |key: KeyIndex| {
            let secret = ring.secret(key).expect("the pool has only keys with a secret");
            (secret.name().to_owned(), Secret::from(secret.expose()))
        };
        let message = translate::reply(reply, secret);
        self.parts.ipc.tell(attempt, message);
    }

    fn close(&mut self, attempt: AttemptId, done: &mut Done) {
        self.parts.ipc.revoke(attempt);
        self.watch.ended(attempt, self.parts.clock.now());
        let Some(open) = self.open.remove(&attempt) else { return };
        if let (Some(joblog), Some(end)) = (&mut self.parts.joblog, &open.end) {
            let started = open.started;
            let runtime = Timestamp::now().duration_since(started).unsigned_abs();
            let job = Job {
                seq: attempt.item.0 + 1,
                started,
                runtime,
                received_bytes: self.parts.launcher.log_bytes(attempt.item).saturating_sub(open.log_before),
                end,
                command: &open.command,
            };
            if let Err(error) = joblog.add(&job) {
                done.follow_ups.push(Event::Trouble { what: error.to_string() });
            }
        }
    }

    fn say(&mut self, saying: &Saying) {
        for line in self.parts.speaker.lines(saying) {
            match line {
                Line::Coordinator(text) => self.parts.console.coordinator(&text),
                Line::Item(item, text) => {
                    self.parts.console.item_line(&self.parts.launcher.shown_name(item), &text);
                }
            }
        }
        if let Saying::ItemTrouble { item, outcome, .. } = saying
            && outcome.is_failure()
        {
            self.quote_end(*item);
        }
    }

    /// Stops all trees, then the supervisor itself, unless it was told to go on meanwhile. Returns when it is to go on.
    pub async fn suspend(&mut self, signals: &mut Signals) {
        self.parts.slots.freeze().await;
        if signals.was_continued() {
            return;
        }
        if let Err(error) = own::stop_self() {
            log::warn!("cannot stop: {error}");
        }
    }

    /// The exit code of a run whose last turn met trouble, which is said here.
    pub fn last_trouble(&self, follow_ups: &[Event]) -> Option<u8> {
        let trouble = follow_ups.iter().find_map(|event| match event {
            Event::Trouble { what } => Some(what),
            _ => None,
        })?;
        self.parts.console.coordinator(&format!("ERROR: {trouble}"));
        Some(exit::BROKEN)
    }
}

/// Whether a later try may succeed because somebody gave back what is short.
fn is_shortage(error: &io::Error) -> bool {
    use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOMEM};
    error.raw_os_error().is_some_and(|code| [EAGAIN, EMFILE, ENFILE, ENOMEM].contains(&code))
}

/// Whether it is about where the log lies, not about this log.
fn is_of_the_disk(error: &io::Error) -> bool {
    use nix::libc::{EACCES, EDQUOT, EIO, ENOENT, ENOSPC, ENOTDIR, EROFS, ESTALE};
    let known = [ENOSPC, EDQUOT, EROFS, ENOENT, ENOTDIR, EACCES, EIO, ESTALE];
    error.raw_os_error().is_some_and(|code| known.contains(&code))
}
