//! Everything that can ever happen to a run, and everything it can ever do.

use std::time::Duration;

use crate::credentials::{
    CallId, CallOutcome, DenyCause, KeyIndex, KeySpec, LeaseId, LeaseRequest, WaitReason,
};
use crate::{AttemptEnd, AttemptId, ItemIndex, Leftover, Outcome, OutputRef, Record, Slot, Time, Verdict};

/// Something happened outside.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins. The first event, and only that.
    Begin,
    /// A deadline may have passed.
    Tick,
    /// An attempt's process exists.
    Spawned {
        /// Whose.
        attempt: AttemptId,
        /// Its process id.
        pid: u32,
    },
    /// An attempt's process could not be started.
    SpawnFailed {
        /// Whose.
        attempt: AttemptId,
        /// Whether the machine is short of processes, descriptors or memory, so that a later try may succeed.
        shortage: bool,
        /// Why, in words for a person.
        why: String,
    },
    /// A worker said hello with its token.
    Connected {
        /// Which.
        attempt: AttemptId,
    },
    /// A worker's connection is gone.
    Disconnected {
        /// Which.
        attempt: AttemptId,
    },
    /// A worker, or a process below it, wrote something.
    Output {
        /// Which.
        attempt: AttemptId,
    },
    /// Nothing more can come: both of its pipes are at their end, or reading was stopped.
    OutputEnded {
        /// Which.
        attempt: AttemptId,
    },
    /// A worker's process ended.
    Exited {
        /// Which.
        attempt: AttemptId,
        /// How.
        end: AttemptEnd,
        /// Whether it was the last of its tree and is already reaped, so that no sweep is needed.
        alone: bool,
    },
    /// Nothing of an attempt is left, but for what is named as not killed.
    Swept {
        /// Which.
        attempt: AttemptId,
        /// What outlived the worker.
        leftovers: Vec<Leftover>,
        /// How many more there were than are named.
        unnamed: u32,
    },
    /// The warden above an attempt is gone; the attempt's tree was swept.
    WardenLost {
        /// Whose.
        attempt: AttemptId,
        /// What was left of the tree.
        leftovers: Vec<Leftover>,
        /// How many more there were than are named.
        unnamed: u32,
    },
    /// A worker asks for a lease.
    Acquire {
        /// Which.
        attempt: AttemptId,
        /// What it asks for.
        request: LeaseRequest,
    },
    /// A worker returns a lease.
    Release {
        /// Which.
        attempt: AttemptId,
        /// The lease.
        lease: LeaseId,
        /// What became of the call.
        outcome: CallOutcome,
    },
    /// A worker's workflow entered a node.
    Progress {
        /// Which.
        attempt: AttemptId,
        /// The node's name.
        node: String,
        /// Which round, from 1.
        iteration: u32,
        /// How far it has come, in thousandths.
        share: u16,
    },
    /// A worker made a node's result durable.
    Checkpointed {
        /// Which.
        attempt: AttemptId,
        /// The node's name.
        node: String,
    },
    /// A worker says how it went, before it exits.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// How it went.
        verdict: Verdict,
        /// Why, in words for a person.
        detail: String,
        /// The file it vouches for.
        output: Option<OutputRef>,
    },
    /// The operator stops the run.
    Signal(StopSignal),
    /// The operator suspends the run (SIGTSTP).
    Suspend,
    /// The run goes on (SIGCONT).
    Continue,
    /// The supervisor cannot do its work: disk full, a broken database.
    Trouble {
        /// What and where, in words for a person.
        what: String,
    },
    /// A key appeared or its secret changed while the run waits.
    KeyChanged(KeySpec),
    /// The key sources were read as [`Effect::ReadKeys`] asks, and what changed was told before.
    KeysRead,
}

/// A signal that stops a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT: the second signal at once.
    Quit,
    /// SIGTERM.
    Terminate,
}

impl StopSignal {
    /// The supervisor's exit code after it: 128 and the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            StopSignal::Hangup => 129,
            StopSignal::Interrupt => 130,
            StopSignal::Quit => 131,
            StopSignal::Terminate => 143,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            StopSignal::Hangup => "SIGHUP",
            StopSignal::Interrupt => "SIGINT",
            StopSignal::Quit => "SIGQUIT",
            StopSignal::Terminate => "SIGTERM",
        }
    }
}

/// What the shell must do now, in this order.
#[must_use = "effects that are not carried out leave the run stuck"]
#[derive(Debug, Default)]
pub struct Effects(pub Vec<Effect>);

impl Effects {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One thing the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start the attempt's process in the slot. Answered by [`Event::Spawned`] or [`Event::SpawnFailed`].
    Start {
        /// Which.
        attempt: AttemptId,
        /// Where.
        slot: Slot,
        /// Keys leased for the whole attempt (`--with-key`), to be handed over in the environment.
        keys: Vec<KeyIndex>,
    },
    /// Ask the worker to stop: by a message if it said hello, else SIGTERM and SIGCONT to its group.
    Ask {
        /// Which.
        attempt: AttemptId,
        /// Where.
        slot: Slot,
        /// Whether it said hello.
        connected: bool,
        /// Why.
        cause: StopCause,
        /// How long until it is killed.
        grace: Duration,
    },
    /// SIGKILL to the worker's group.
    Kill {
        /// Which.
        attempt: AttemptId,
        /// Where.
        slot: Slot,
    },
    /// Kill and reap what is left of the attempt. Answered by [`Event::Swept`].
    Sweep {
        /// Which.
        attempt: AttemptId,
        /// Where.
        slot: Slot,
    },
    /// The warden of the slot does not answer: kill it. Answered by [`Event::WardenLost`].
    ReplaceWarden {
        /// The slot.
        slot: Slot,
    },
    /// Read no more of its output: something out of reach holds the pipe. Answered by [`Event::OutputEnded`].
    StopReading {
        /// Which.
        attempt: AttemptId,
    },
    /// Tell a worker what became of its request.
    Tell {
        /// Which.
        attempt: AttemptId,
        /// What.
        reply: Reply,
    },
    /// The attempt is over: revoke its token, close its connection, free what it held.
    Close {
        /// Which.
        attempt: AttemptId,
        /// Where it ran.
        slot: Slot,
    },
    /// Stop every worker's tree (SIGSTOP), then the supervisor itself. Answered by [`Event::Continue`].
    Suspend,
    /// Let every worker's tree go on (SIGCONT).
    Resume,
    /// Read the key sources again now: the pool is dead, and an operator may have changed something since they were read.
    /// Answered by [`Event::KeyChanged`] for each change, and [`Event::KeysRead`].
    ReadKeys,
    /// Append to the journal.
    Record(Record),
    /// Tell people.
    Say(Saying),
    /// The run is over. The last effect of a run.
    Finish {
        /// The supervisor's exit code.
        exit: u8,
    },
}

/// An answer to a worker's request for a lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The call may be sent.
    Granted {
        /// The call.
        call: CallId,
        /// The lease.
        lease: LeaseId,
        /// The key.
        key: KeyIndex,
        /// For how long.
        expires_in: Duration,
    },
    /// The call waits.
    Waiting {
        /// The call.
        call: CallId,
        /// Why.
        reason: WaitReason,
        /// For about how long, where known.
        wait: Option<Duration>,
    },
    /// The call will not be made.
    Denied {
        /// The call.
        call: CallId,
        /// Why.
        cause: DenyCause,
    },
}

/// Why a worker is asked to stop, or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// It ran longer than `--timeout`.
    Timeout,
    /// It was silent longer than `--idle-timeout`.
    Idle,
    /// No usable key is left.
    PoolDead,
    /// `--run-timeout`.
    RunTimeout,
    /// The operator.
    Operator,
    /// The supervisor cannot do its work.
    Trouble,
}

impl StopCause {
    /// Whether the cause lies in the attempt itself rather than in the run.
    pub fn is_watchdog(self) -> bool {
        matches!(self, StopCause::Timeout | StopCause::Idle)
    }
}

/// Something people are told. The shell makes the words: it knows the wall clock, the labels and the key names.
#[derive(Clone, Debug, PartialEq)]
pub enum Saying {
    /// An item ended badly, or is tried again.
    ItemTrouble {
        /// Which.
        item: ItemIndex,
        /// How it ended.
        outcome: Outcome,
        /// Why.
        why: String,
        /// When it is tried again, if it is.
        retry_in: Option<Duration>,
    },
    /// A command says by its exit code that now is not the time (`--tempfail`): it is tried again.
    PutOff {
        /// Which item.
        item: ItemIndex,
        /// The code.
        code: u8,
        /// For how long.
        wait: Duration,
    },
    /// Processes outlived their worker.
    Leftovers {
        /// Whose.
        item: ItemIndex,
        /// Which.
        leftovers: Vec<Leftover>,
        /// How many more there were than are named.
        unnamed: u32,
    },
    /// A watchdog asks a worker to stop.
    Watchdog {
        /// Which.
        item: ItemIndex,
        /// Which watchdog.
        cause: StopCause,
        /// Its bound.
        limit: Duration,
    },
    /// A worker did not stop within the grace period and is killed.
    GraceOver {
        /// Which.
        item: ItemIndex,
        /// The grace period.
        grace: Duration,
    },
    /// A worker says more than it may have recorded; the rest is left out. Said once for an attempt.
    Chatter {
        /// Whose.
        item: ItemIndex,
    },
    /// The machine is short of processes, descriptors or memory: starts are delayed.
    Shortage {
        /// Which item waits.
        item: ItemIndex,
        /// What is short.
        why: String,
        /// For how long.
        wait: Duration,
    },
    /// The run stops and its workers were asked to.
    Stopping {
        /// Why.
        cause: StopCause,
        /// The signal, when an operator's.
        signal: Option<StopSignal>,
        /// Workers still running.
        workers: usize,
        /// The grace period.
        grace: Duration,
    },
    /// The run stops now: all workers are killed.
    Killing {
        /// Workers still running.
        workers: usize,
    },
    /// `--max-fail`: nothing more is started.
    MaxFail {
        /// Failures so far.
        failures: u32,
    },
    /// The supervisor cannot do its work.
    Trouble {
        /// What and where.
        what: String,
    },
    /// An episode of the pool.
    Pool {
        /// What.
        notice: crate::credentials::Notice,
        /// When it was noticed, for times relative to it.
        now: Time,
    },
}
