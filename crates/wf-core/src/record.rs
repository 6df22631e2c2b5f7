//! The facts of a run, as the journal keeps them: one [`Record`] per line, in the order they became true.
//!
//! Everything else on disk (`history.db`, `summary.json`, the job log) derives from these.

use serde::{Deserialize, Serialize};

use crate::{ItemId, Outcome, Slot, Verdict};

/// What the plan says of one item at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanAction {
    /// It starts from the beginning.
    Run,
    /// It goes on from a checkpoint.
    Resume,
    /// It was done or begun, but its input, text or command changed since.
    Rerun,
    /// It has an output that is not ours: nothing is replaced.
    Keep,
    /// It is done.
    Skip,
    /// It ended as `needs-revision` before; that is reported again without paying again.
    NeedsRevision,
    /// It cannot start: its input is missing, or another run holds it.
    Fail,
}

/// A file a worker wrote and vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// Relative to the project directory where it lies inside it.
    pub path: String,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// A process that outlived its worker and was killed, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// Its process id.
    pub pid: u32,
    /// Its command name as the kernel has it (at most 15 bytes).
    pub name: String,
    /// Whether it is gone; another user's process or one in an uninterruptible wait may stay.
    pub killed: bool,
}

/// How an attempt's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum AttemptEnd {
    /// It exited by itself.
    Exited {
        /// Its exit code, 0 to 255.
        code: u8,
    },
    /// A signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It never began.
    NotSpawned {
        /// Why, in words for a person.
        why: String,
    },
    /// The process above it was lost, and its end with it.
    Lost,
}

/// What is nothing is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How many items ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// See [`Outcome::Approved`].
    pub approved: u32,
    /// See [`Outcome::Succeeded`].
    pub succeeded: u32,
    /// See [`Outcome::Skipped`].
    pub skipped: u32,
    /// See [`Outcome::NeedsRevision`].
    pub needs_revision: u32,
    /// See [`Outcome::Interrupted`].
    pub interrupted: u32,
    /// See [`Outcome::NotStarted`].
    pub not_started: u32,
    /// See [`Outcome::Failed`].
    pub failed: u32,
    /// See [`Outcome::TimedOut`].
    pub timed_out: u32,
}

impl Counts {
    /// Counts one more item with this outcome.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Approved => &mut self.approved,
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Skipped => &mut self.skipped,
            Outcome::NeedsRevision => &mut self.needs_revision,
            Outcome::Interrupted => &mut self.interrupted,
            Outcome::NotStarted => &mut self.not_started,
            Outcome::Failed => &mut self.failed,
            Outcome::TimedOut => &mut self.timed_out,
        } += 1;
    }

    /// All items counted.
    pub fn total(&self) -> u32 {
        self.approved
            + self.succeeded
            + self.skipped
            + self.needs_revision
            + self.interrupted
            + self.not_started
            + self.failed
            + self.timed_out
    }

    /// Failed and timed out together.
    pub fn failures(&self) -> u32 {
        self.failed + self.timed_out
    }
}

/// One line of `journal.jsonl`. The shell adds `ts` (wall clock, RFC 3339) to each.
///
/// Durations are whole milliseconds of the run's monotonic clock. Readers ignore fields they do not know and skip
/// events they do not know, so a newer journal can be listed by an older program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record {
    /// The first line of every journal.
    RunStarted {
        /// The run's id, which is also its directory's name.
        run: String,
        /// The supervisor's process id.
        pid: u32,
        /// The program's version.
        version: String,
        /// `issue`, `lld`, `implement`, or `command`.
        workflow: String,
        /// What makes an id of this run the same work as in another one: the workflow's name, or `command:` and a
        /// hash of the command template and its directory. Empty in journals that have no such field: then the
        /// workflow's name.
        #[serde(default)]
        work: String,
        /// What precedes an id in messages and file names (`LLD-`, or nothing).
        prefix: String,
        /// The command line as typed.
        argv: Vec<String>,
        /// Workers at once.
        parallel: u16,
        /// Items in the run, those to be skipped included.
        items: u32,
        /// Whether the embedded mock provider answers.
        mock: bool,
        /// What its user calls it (`--name`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// What was decided for an item before anything started.
    ItemPlanned {
        /// The item.
        item: ItemId,
        /// What happens to it.
        action: PlanAction,
        /// SHA-256 over all that makes the item the same work: workflow or command, text, environment, input.
        fingerprint: String,
        /// It was done, or waited for a person, and `--redo` has it worked on again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redo: bool,
        /// Why, in words for a person.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// An attempt is registered: its token exists and its process is about to start.
    AttemptStarted {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// Where it runs.
        slot: Slot,
    },
    /// Its process exists.
    Spawned {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// Process id, also the id of its process group.
        pid: u32,
    },
    /// It said hello with its token.
    Connected {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
    },
    /// Its workflow entered a node.
    Progress {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// The node's name, such as `N1_draft`.
        node: String,
        /// Which round of the revise loop, from 1.
        iteration: u32,
        /// How far the workflow has come, in thousandths.
        share: u16,
    },
    /// A node's result is durable.
    Checkpointed {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// The node's name.
        node: String,
    },
    /// A call may be sent.
    LeaseGranted {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// The lease's number within the run.
        lease: u64,
        /// The key's name.
        key: String,
        /// The model it is for.
        model: String,
        /// How long the call waited.
        waited_ms: u64,
    },
    /// A lease came back.
    LeaseReturned {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// The lease's number within the run.
        lease: u64,
        /// The key's name.
        key: String,
        /// `ok`, `limited`, `overloaded`, `key-refused`, `billing`, `request-refused`, `transient`, `abandoned`.
        outcome: String,
        /// Tokens of the input, where the provider said so.
        tokens_in: u64,
        /// Tokens of the output, where the provider said so.
        tokens_out: u64,
    },
    /// Something became true of the pool: a block, a quarantine, an exhausted or dead pool.
    Pool {
        /// The same sentence the console shows.
        message: String,
    },
    /// What a run made of a key, beside the calls that [`Record::LeaseReturned`] tells: written once for each, before
    /// the run's last line.
    KeyUsed {
        /// The key's name.
        key: String,
        /// Its provider's.
        provider: String,
        /// Its quota group's; the key's own name for one that shares its limits with none.
        group: String,
        /// For how long its group was limited.
        limited_ms: u64,
        /// What its calls were of the group's tightest known quota over the run's time (a minute at least), in
        /// thousandths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share: Option<u32>,
    },
    /// A worker was asked to stop.
    Asked {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// A worker's process group was killed.
    Killed {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// An attempt is over and nothing of it is left.
    AttemptEnded {
        /// The item.
        item: ItemId,
        /// From 1.
        attempt: u32,
        /// How its process ended.
        end: AttemptEnd,
        /// What it said of itself, if it speaks the protocol.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<Verdict>,
        /// From its registration to this record.
        wall_ms: u64,
        /// Processes that outlived it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leftovers: Vec<Leftover>,
        /// How many more there were than are named.
        #[serde(default, skip_serializing_if = "is_zero")]
        unnamed: u32,
        /// How much the item's log held then, in bytes: where the next attempt's part begins. The shell knows; nobody
        /// else does, and journals of earlier versions do not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_bytes: Option<u64>,
    },
    /// An item has its outcome.
    ItemEnded {
        /// The item.
        item: ItemId,
        /// How it ended.
        outcome: Outcome,
        /// Attempts made in this run.
        attempts: u32,
        /// Sum of its attempts' wall time.
        wall_ms: u64,
        /// Of that, time spent waiting for quota.
        waited_ms: u64,
        /// API calls sent.
        calls: u32,
        /// Of those, calls that were refused or lost and had to be repeated.
        retries: u32,
        /// Tokens of all inputs.
        tokens_in: u64,
        /// Tokens of all outputs.
        tokens_out: u64,
        /// Why, in words for a person; empty where there is nothing to say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
        /// What it wrote, if it vouched for a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<OutputRef>,
    },
    /// The run starts nothing more.
    Stopping {
        /// Why.
        why: String,
    },
    /// The last line of every journal of a run that was not killed.
    RunEnded {
        /// The supervisor's exit code.
        exit: u8,
        /// How many items ended how.
        counts: Counts,
        /// The run's wall time.
        wall_ms: u64,
        /// Sum of all attempts' wall time.
        worked_ms: u64,
        /// Sum of all waits for quota.
        waited_ms: u64,
        /// Of `worked_ms`, what was the supervisor's own doing, in microseconds.
        overhead_us: u64,
    },
}

impl Record {
    /// Whose attempt begins or ends with it.
    pub fn attempt_of(&self) -> Option<&ItemId> {
        match self {
            Record::AttemptStarted { item, .. } | Record::AttemptEnded { item, .. } => Some(item),
            _ => None,
        }
    }
}
