//! What contenders for keys are told, and what they answer: the same JSON for this program and for Python scripts.

use serde::{Deserialize, Serialize};

/// What all contenders are told, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lane {
    /// Where the provider listens.
    pub base_url: String,
    /// Workflows at once.
    pub workflows: u32,
    /// Calls of each.
    pub calls: u32,
    /// Requests per minute of a quota group.
    pub rpm: u32,
    /// After so many seconds nothing more is begun.
    pub give_up_s: f64,
    /// A workflow that saw a failure goes on after so many seconds, as if somebody had started it again.
    pub after_failure_s: f64,
    /// The keys.
    pub keys: Vec<LaneKey>,
}

/// A key of a lane.
#[derive(Debug, Serialize, Deserialize)]
pub struct LaneKey {
    /// What is sent.
    pub secret: String,
    /// Whose limits it shares.
    pub group: String,
}

/// What came of a lane, as JSON.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// From the first call to the last answer.
    pub seconds: f64,
    /// Calls that were answered.
    pub answered: u64,
    /// Failures that a workflow got to see.
    pub failures: u64,
    /// Calls that were never answered.
    pub unfinished: u64,
}
