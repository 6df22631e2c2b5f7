//! What a run is made of: items, their attempts, and how they end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of an item. It becomes part of file and branch names, so its form is narrow:
/// `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`, without `..`, a dot or `.lock` at its end (what git takes for a branch's name, see
/// `git check-ref-format`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemId(String);

/// Why a text is not an [`ItemId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemIdError {
    /// Nothing at all.
    Empty,
    /// More than 128 characters.
    TooLong,
    /// The first character outside `[A-Za-z0-9_.-]`, or a leading `-` or `.`.
    BadCharacter(char),
    /// Two dots in a row.
    TwoDots,
    /// A dot or `.lock` at its end.
    BadEnd(&'static str),
}

impl fmt::Display for ItemIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemIdError::Empty => f.write_str("an empty id"),
            ItemIdError::TooLong => f.write_str("an id longer than 128 characters"),
            ItemIdError::BadCharacter(c @ ('-' | '.')) => write!(f, "an id may not begin with {c:?}"),
            ItemIdError::TwoDots => f.write_str("an id may not have \"..\" in it"),
            ItemIdError::BadEnd(end) => write!(f, "an id may not end in {end:?}"),
            ItemIdError::BadCharacter(c) => {
                write!(f, "{c:?} is not allowed in an id (letters, digits, '_', '-' and '.' are)")
            }
        }
    }
}

impl std::error::Error for ItemIdError {}

impl ItemId {
    /// The longest id, in bytes (ids are ASCII).
    pub const MAX_LEN: usize = 128;

    /// Checks `text` and makes it an id.
    pub fn new(text: &str) -> Result<ItemId, ItemIdError> {
        let bad = |(i, c): &(usize, char)| {
            !(c.is_ascii_alphanumeric() || *c == '_' || (matches!(c, '-' | '.') && *i > 0))
        };
        if text.is_empty() {
            return Err(ItemIdError::Empty);
        }
        if let Some((_, c)) = text.char_indices().find(bad) {
            return Err(ItemIdError::BadCharacter(c));
        }
        if text.contains("..") {
            return Err(ItemIdError::TwoDots);
        }
        let lower = text.to_ascii_lowercase();
        if let Some(end) = [".", ".lock"].into_iter().find(|end| lower.ends_with(end)) {
            return Err(ItemIdError::BadEnd(end));
        }
        if text.len() > Self::MAX_LEN {
            return Err(ItemIdError::TooLong);
        }
        Ok(ItemId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name people see: the workflow's prefix (`LLD-`) and the id, the prefix never twice.
    pub fn label(&self, prefix: &str) -> String {
        if self.0.starts_with(prefix) { self.0.clone() } else { format!("{prefix}{}", self.0) }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ItemId {
    type Error = ItemIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        ItemId::new(&text)
    }
}

impl From<ItemId> for String {
    fn from(id: ItemId) -> String {
        id.0
    }
}

/// The position of an item in its run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemIndex(pub u32);

/// One of the places a worker can run in, from 0: there are as many as `--parallel` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// One try at one item: its process, its token, its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The item.
    pub item: ItemIndex,
    /// Which try it is within this run, from 1.
    pub number: u32,
}

/// An item as the core knows it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// Its own limit on an attempt's time (`timeout` in a `.jsonl` file), else the run's.
    pub timeout: Option<std::time::Duration>,
}

/// How an item ended in a run. The order is from best to worst for the reader of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A built-in workflow ended with an approved document.
    Approved,
    /// A command ended with exit code 0.
    Succeeded,
    /// Done by an earlier run.
    Skipped,
    /// The iteration limit was reached without approval, or a person must decide.
    NeedsRevision,
    /// Stopped with its state kept; the next run goes on from there.
    Interrupted,
    /// Never begun.
    NotStarted,
    /// The work went wrong.
    Failed,
    /// A watchdog ended it.
    TimedOut,
}

impl Outcome {
    /// The word used in messages, `summary.json` and the journal.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Approved => "approved",
            Outcome::Succeeded => "succeeded",
            Outcome::Skipped => "skipped",
            Outcome::NeedsRevision => "needs-revision",
            Outcome::Interrupted => "interrupted",
            Outcome::NotStarted => "not-started",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed-out",
        }
    }

    /// Whether a later run with the same inputs skips the item.
    pub fn is_done(self) -> bool {
        matches!(self, Outcome::Approved | Outcome::Succeeded | Outcome::Skipped)
    }

    /// Whether it counts for `--max-fail` and exit code 1.
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed | Outcome::TimedOut)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a worker that speaks the protocol says of its own end, before it exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Done and approved.
    Approved,
    /// The limit of iterations, or a question for a person.
    NeedsRevision,
    /// Stopped, its state saved.
    Interrupted,
    /// It cannot be done.
    Failed,
}
