//! The words of the pool: what is asked, what is told, what is decided.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use crate::{AttemptId, Time};

/// A key's position in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(pub u16);

/// A lease's number within the run; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A worker's own number for one API call; it stays the same while the call is repeated after refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A key as configured. Its secret is not here: the core never sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What logs and people call it.
    pub name: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// Keys of one group share its limits; `None` gives the key a group of its own.
    pub quota_group: Option<String>,
    /// Leases at once on this key; `None` leaves it to pacing.
    pub max_in_flight: Option<u32>,
}

/// A quota group's configured limits; what is absent is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
    /// Requests per day.
    pub rpd: Option<u64>,
}

/// Everything the pool starts from.
#[derive(Clone, Debug, Default)]
pub struct PoolSpec {
    /// The keys, in the order of the configuration.
    pub keys: Vec<KeySpec>,
    /// Limits by quota group and, within it, by model; the model `None` holds for all others.
    pub limits: BTreeMap<String, BTreeMap<Option<String>, QuotaLimits>>,
    /// The midnights of providers that count their days by one, earliest first, by the calendar of the shell at the start
    /// of the run. Enough of them for the longest run; after the last a day has 24 hours. A provider without any has no
    /// known midnight.
    pub midnights: BTreeMap<String, Vec<Time>>,
}

/// The bounds a run puts on its calls.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The longest wait for quota of one call (`--max-wait`).
    pub max_wait: Duration,
    /// How often one call is repeated that is refused with 429 although paced (`--max-retries`). Without it only the time
    /// that it waits is bounded: others may use the same quota, and it moves on for all of them.
    pub max_retries: Option<u32>,
    /// How long a lease may be out before it is taken back.
    pub lease_time: Duration,
    /// Tokens of the whole run (`--budget-tokens`), those of earlier runs of the same items already subtracted.
    pub budget: Budget,
    /// Seed of the jitter.
    pub seed: u64,
}

/// A bound on tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// None.
    Unlimited,
    /// This many are left; the lease that would cross it is refused.
    Tokens(u64),
}

/// What a worker asks for before a call.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRequest {
    /// The worker's number for the call.
    pub call: CallId,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model as the provider knows it.
    pub model: String,
    /// Estimated tokens, input and expected output together.
    pub tokens: u64,
    /// How far the workflow has come, in thousandths: the least advanced is served first.
    pub share: u16,
    /// The key is wanted for the whole attempt of a command (`--with-key`), not for one call: the lease has no deadline,
    /// and pacing, which sees none of its calls, does not apply.
    pub whole_attempt: bool,
}

/// Which of a group's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimension {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
}

impl Dimension {
    /// The words used in messages.
    pub fn words(self) -> &'static str {
        match self {
            Dimension::RequestsPerMinute => "requests per minute",
            Dimension::TokensPerMinute => "tokens per minute",
            Dimension::RequestsPerDay => "requests per day",
        }
    }
}

/// What a reply's headers say of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaHint {
    /// The bucket.
    pub dimension: Dimension,
    /// The limit, where stated.
    pub limit: Option<u64>,
    /// What is left of it, where stated.
    pub remaining: Option<u64>,
    /// When it is full again, counted from the reply.
    pub reset: Option<Duration>,
}

/// What became of a call, as its worker saw it.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// It was answered.
    Ok {
        /// Tokens of the input.
        tokens_in: u64,
        /// Tokens of the output.
        tokens_out: u64,
        /// What the headers said.
        hints: Vec<QuotaHint>,
    },
    /// 429: a quota is used up.
    Limited {
        /// Which one, where stated.
        dimension: Option<Dimension>,
        /// The latest of all hints, where there is one.
        retry_after: Option<Duration>,
        /// The limit, where stated.
        limit: Option<u64>,
        /// The provider asks for a lower rate, not only for a pause.
        slow_down: bool,
        /// What the headers said.
        hints: Vec<QuotaHint>,
    },
    /// 503, 529, or a capacity reason: the provider's trouble, no key is to blame.
    Overloaded {
        /// As told.
        retry_after: Option<Duration>,
    },
    /// The key was refused as invalid.
    KeyRefused {
        /// The provider's words, already bounded and free of secrets.
        detail: String,
    },
    /// The account behind the key's group cannot pay.
    Billing {
        /// The provider's words.
        detail: String,
    },
    /// The request itself was refused: repeating it is pointless.
    RequestRefused {
        /// The provider's words.
        detail: String,
    },
    /// A 5xx, a lost connection, a time-out.
    Transient {
        /// What happened.
        detail: String,
    },
    /// The worker gave the lease back without having called, or cannot say what became of the call.
    Abandoned,
}

impl CallOutcome {
    /// The word the journal uses.
    pub fn word(&self) -> &'static str {
        match self {
            CallOutcome::Ok { .. } => "ok",
            CallOutcome::Limited { .. } => "limited",
            CallOutcome::Overloaded { .. } => "overloaded",
            CallOutcome::KeyRefused { .. } => "key-refused",
            CallOutcome::Billing { .. } => "billing",
            CallOutcome::RequestRefused { .. } => "request-refused",
            CallOutcome::Transient { .. } => "transient",
            CallOutcome::Abandoned => "abandoned",
        }
    }
}

/// Why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// Every usable key is reserved.
    AllReserved,
    /// Pacing: the next call fits soon.
    Pacing,
    /// Every usable key is rate-limited.
    RateLimited,
    /// The provider is overloaded.
    Overloaded,
    /// The wait before the call is repeated after a passing fault.
    Backoff,
    /// No usable key is left; an operator may add one.
    NoUsableKey,
}

impl WaitReason {
    /// The words people see.
    pub fn words(self) -> &'static str {
        match self {
            WaitReason::AllReserved => "all keys are reserved",
            WaitReason::Pacing => "its turn comes soon",
            WaitReason::RateLimited => "rate-limited",
            WaitReason::Overloaded => "the provider is overloaded",
            WaitReason::Backoff => "to be repeated",
            WaitReason::NoUsableKey => "no usable key",
        }
    }
}

/// Why a call will not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenyCause {
    /// It waited longer than `--max-wait`.
    MaxWait,
    /// It would have to wait longer than `--max-wait`, as is known now.
    Beyond {
        /// For how long.
        wait: Duration,
        /// `--max-wait`.
        max_wait: Duration,
    },
    /// It would cross `--budget-tokens`.
    Budget,
    /// No usable key is left; each key's reason is in the text.
    PoolDead(String),
    /// No key of that provider was ever in the pool.
    NoSuchProvider(String),
    /// It was refused with 429 as often as is allowed.
    RateLimited {
        /// Attempts made.
        attempts: u32,
    },
    /// The provider stayed overloaded or out of reach.
    Unreachable {
        /// Attempts made.
        attempts: u32,
        /// The last thing that happened.
        detail: String,
    },
    /// The request itself was refused.
    Refused(String),
    /// The key was refused, and no other was left to try.
    KeyRefused(String),
}

impl DenyCause {
    /// Whether the item is *interrupted* (quota, overload, network: resumed by the next run) rather than *failed*.
    pub fn is_passing(&self) -> bool {
        !matches!(self, DenyCause::Refused(_) | DenyCause::NoSuchProvider(_))
    }
}

/// What the coordinator wants done. Decisions are in the order they were made.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The call may be sent now.
    Granted {
        /// Whose call.
        who: AttemptId,
        /// The call.
        call: CallId,
        /// The new lease.
        lease: LeaseId,
        /// The key.
        key: KeyIndex,
        /// The model asked for.
        model: String,
        /// How long the call waited, since it was asked for this time.
        waited: Duration,
        /// When the lease is taken back.
        expires: Time,
    },
    /// The call waits. Sent once when it begins to wait and again when the reason changes.
    Waiting {
        /// Whose call.
        who: AttemptId,
        /// The call.
        call: CallId,
        /// Why.
        reason: WaitReason,
        /// Until when, as far as is known.
        until: Option<Time>,
    },
    /// The call will not be made.
    Denied {
        /// Whose call.
        who: AttemptId,
        /// The call.
        call: CallId,
        /// Why.
        cause: DenyCause,
    },
    /// A lease is back, once for each that was granted: returned by its worker, taken back at its deadline, or left by an
    /// attempt that is over.
    Returned {
        /// Whose lease.
        who: AttemptId,
        /// The call.
        call: CallId,
        /// The lease.
        lease: LeaseId,
        /// The key.
        key: KeyIndex,
        /// [`CallOutcome::word`]; `abandoned` when the coordinator took it back itself.
        outcome: &'static str,
        /// Tokens of the input, where the provider said so.
        tokens_in: u64,
        /// Tokens of the output, where the provider said so.
        tokens_out: u64,
    },
    /// Something people should know of the pool: one per episode, not per call.
    Notice(Notice),
}

/// What a request was taken for. Anything but `Accepted` is a worker out of step with the protocol, and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A new call, or the repetition of one: the decisions say what became of it.
    Accepted,
    /// That call waits already.
    AlreadyWaiting,
    /// That call has a lease out.
    AlreadyLeased,
    /// More open calls than [`MAX_OPEN_CALLS`] of one attempt.
    TooMany,
}

/// Calls of one attempt that may be open at once: waiting, sent, or refused and not given up. The built-in workflows
/// have one; the bound keeps a runaway worker from filling the supervisor's memory.
pub const MAX_OPEN_CALLS: u32 = 64;

/// What the return of a lease was taken for. Anything but `Taken` changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The lease is back.
    Taken,
    /// It was back before, or there never was one of that number.
    NotOut,
    /// It belongs to another attempt.
    Foreign,
}
