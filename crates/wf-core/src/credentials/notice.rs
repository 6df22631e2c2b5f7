//! What people are told of the pool, and its condition as a whole.

use std::time::Duration;

use super::types::{Dimension, KeyIndex};
use crate::Time;

/// An episode of the pool that the console and the journal tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A quota refused a call and its bucket is blocked.
    RateLimit {
        /// The key that was refused.
        key: KeyIndex,
        /// Which quota, where stated.
        dimension: Option<Dimension>,
        /// How long nothing is sent.
        wait: Duration,
        /// Keys of the provider that can still serve the model.
        usable: usize,
        /// Keys of the provider.
        total: usize,
    },
    /// Keys without a configured quota group behave as if they had one quota together.
    SharedQuota {
        /// The keys.
        keys: Vec<KeyIndex>,
    },
    /// Every usable key is reserved.
    Exhausted {
        /// The provider whose keys these are; `None` when the pool has only one.
        provider: Option<String>,
        /// Keys reserved.
        keys: usize,
        /// Calls that wait.
        waiting: usize,
    },
    /// Every usable key is rate-limited.
    AllLimited {
        /// The provider whose keys these are; `None` when the pool has only one.
        provider: Option<String>,
        /// The earliest end of a block.
        until: Time,
    },
    /// A key was refused by its provider and is used no more.
    Quarantined {
        /// The key.
        key: KeyIndex,
        /// The provider's words.
        detail: String,
    },
    /// A quota group cannot pay.
    Billing {
        /// A key of the group.
        key: KeyIndex,
        /// The provider's words.
        detail: String,
    },
    /// A quota group has a limit of zero for a model: it is not for this project.
    NoQuota {
        /// A key of the group.
        key: KeyIndex,
        /// The group's name; the key's own for one that is alone.
        group: String,
        /// The model.
        model: String,
    },
    /// A provider is overloaded and left alone for a while.
    Overloaded {
        /// Its name.
        provider: String,
        /// For how long.
        wait: Duration,
    },
    /// No usable key is left.
    Dead {
        /// The provider whose keys these are; `None` when the pool has only one.
        provider: Option<String>,
        /// Each key with its reason.
        reasons: Vec<(KeyIndex, String)>,
    },
}

/// The pool's condition as a whole: three different things, three different messages.
///
/// With several providers it is that of the best one, but for `Dead`: one provider that is asked for and has no usable key
/// left is enough, since no workflow that needs it can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At least one key can serve now or soon.
    Usable,
    /// All are reserved.
    Exhausted,
    /// All are rate-limited until then.
    Limited(Time),
    /// None will ever serve without the operator.
    Dead,
}
