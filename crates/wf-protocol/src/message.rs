//! The messages. A change here is a change of [`VERSION`], and of `docs/protocol.md`.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// The protocol's version. Both sides must have the same one.
pub const VERSION: u16 = 2;

/// From a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// The first message of every connection, and only that.
    Hello {
        /// The worker's [`VERSION`].
        version: u16,
        /// `WF_TOKEN`: 32 hexadecimal digits.
        token: Secret,
    },
    /// May this call be sent? Answered with [`ToWorker::Granted`] or [`ToWorker::Denied`], after any number of
    /// [`ToWorker::Waiting`]. Sent again with the same `call` when the call is to be repeated.
    Acquire(LeaseRequest),
    /// What became of the call. Sent once per lease.
    Release {
        /// From [`ToWorker::Granted`].
        lease: u64,
        /// What the worker saw.
        outcome: CallOutcome,
    },
    /// The workflow entered a node.
    Progress {
        /// Its name, such as `N1_draft`: 1 to 64 bytes without control characters.
        node: String,
        /// Which round of the revise loop, from 1.
        iteration: u32,
        /// How far the workflow has come, in thousandths; at most 1000.
        share: u16,
    },
    /// A node's result is durable.
    Checkpointed {
        /// The node's name, as in `Progress`.
        node: String,
    },
    /// The worker is about to exit.
    Finished {
        /// How it went.
        verdict: JobVerdict,
        /// Why, in words for a person; at most 4 KiB.
        detail: String,
        /// The output's path, relative to the project where it lies inside it, at most 4 KiB; and its SHA-256 as 64
        /// hexadecimal digits.
        output: Option<(String, String)>,
    },
}

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to a good hello.
    Welcome {
        /// The supervisor's [`VERSION`].
        version: u16,
        /// The job's settings as JSON: for a built-in workflow what `wf.toml` says of it, for a command `{}`.
        job: String,
    },
    /// The answer to a bad hello, or to nonsense; the connection is closed after it.
    Refused {
        /// What was wrong.
        code: RefusalCode,
        /// The same in words.
        detail: String,
    },
    /// The call may be sent now.
    Granted {
        /// From the request.
        call: u64,
        /// To be named in [`ToSupervisor::Release`].
        lease: u64,
        /// The key's name.
        key: String,
        /// The key itself. Never logged, never stored, dropped with the lease.
        secret: Secret,
        /// Milliseconds after which the lease is taken back.
        expires_ms: u64,
    },
    /// The call waits.
    Waiting {
        /// From the request.
        call: u64,
        /// Why.
        reason: WaitReason,
        /// For about how long, where known, in milliseconds.
        wait_ms: Option<u64>,
    },
    /// The call will not be made.
    Denied {
        /// From the request.
        call: u64,
        /// Why.
        cause: DenyCause,
        /// The same in words.
        detail: String,
        /// Whether a later run may succeed: the item is then *interrupted*, else *failed*.
        passing: bool,
    },
    /// Finish nothing new, keep what is done, exit with code 75.
    Stop {
        /// Why.
        reason: StopReason,
        /// Milliseconds until the worker is killed.
        grace_ms: u64,
    },
}

/// What a worker asks for before a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The worker's own number for the call; stays the same while the call is repeated.
    pub call: u64,
    /// The provider's name in the configuration: 1 to 64 bytes without control characters.
    pub provider: String,
    /// The model: 1 to 128 bytes without control characters.
    pub model: String,
    /// Estimated tokens, input and expected output together.
    pub tokens: u64,
    /// How far the workflow has come, in thousandths; at most 1000.
    pub share: u16,
}

/// Which of a group's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dimension {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
}

/// What a reply's headers say of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaHint {
    /// The bucket.
    pub dimension: Dimension,
    /// The limit, where stated.
    pub limit: Option<u64>,
    /// What is left of it, where stated.
    pub remaining: Option<u64>,
    /// Milliseconds until it is full again, where stated.
    pub reset_ms: Option<u64>,
}

/// What became of a call. Texts are at most 4 KiB and free of secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CallOutcome {
    /// It was answered.
    Ok {
        /// Tokens of the input.
        tokens_in: u64,
        /// Tokens of the output.
        tokens_out: u64,
        /// What the headers said; at most 16.
        hints: Vec<QuotaHint>,
    },
    /// 429: a quota is used up.
    Limited {
        /// Which one, where stated.
        dimension: Option<Dimension>,
        /// The latest of all hints, in milliseconds.
        retry_after_ms: Option<u64>,
        /// The limit, where stated.
        limit: Option<u64>,
        /// Whether the provider asks for a lower rate than its own limit.
        slow_down: bool,
        /// What the headers said; at most 16.
        hints: Vec<QuotaHint>,
    },
    /// The provider's trouble; no key is to blame.
    Overloaded {
        /// As told, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The key was refused as invalid.
    KeyRefused {
        /// The provider's words.
        detail: String,
    },
    /// The account cannot pay.
    Billing {
        /// The provider's words.
        detail: String,
    },
    /// The request itself was refused.
    RequestRefused {
        /// The provider's words.
        detail: String,
    },
    /// A 5xx, a lost connection, a time-out.
    Transient {
        /// What happened.
        detail: String,
    },
    /// The call was not made, or nobody knows what became of it.
    Abandoned,
}

/// Why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitReason {
    /// Every usable key is reserved.
    AllReserved,
    /// The next call fits soon.
    Pacing,
    /// Every usable key is rate-limited.
    RateLimited,
    /// The provider is overloaded.
    Overloaded,
    /// The wait before a call is repeated.
    Backoff,
    /// No usable key is left; an operator may add one.
    NoUsableKey,
}

/// Why a call will not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DenyCause {
    /// It waited longer than `--max-wait`.
    MaxWait,
    /// It would cross `--budget-tokens`.
    Budget,
    /// No usable key is left.
    PoolDead,
    /// No key of that provider is configured.
    NoSuchProvider,
    /// Refused with 429 as often as is allowed.
    RateLimited,
    /// The provider stayed overloaded or out of reach.
    Unreachable,
    /// The request itself was refused.
    Refused,
    /// The key was refused, and no other was left to try.
    KeyRefused,
}

/// How a job went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobVerdict {
    /// Done and approved.
    Approved,
    /// The limit of iterations, or a question for a person.
    NeedsRevision,
    /// Stopped, its state saved.
    Interrupted,
    /// It cannot be done.
    Failed,
}

/// Why a worker is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The operator stopped the run, or its time is up.
    Shutdown,
    /// A watchdog ended the attempt.
    Watchdog,
    /// No usable key is left.
    PoolDead,
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCode {
    /// Another [`VERSION`].
    Version,
    /// An unknown token, or one that is in use or over.
    Token,
    /// A frame over the limit.
    TooLarge,
    /// A frame that is not a message, or not allowed at this point.
    Malformed,
}
