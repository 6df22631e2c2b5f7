//! Who waits for the pool, why, and until when: for those who look.

use super::coordinator::CredentialCoordinator;
use super::types::WaitReason;
use crate::{AttemptId, Time};

/// A waiting call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whose.
    pub who: AttemptId,
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: WaitReason,
    /// Until when, as far as is known.
    pub until: Option<Time>,
}

impl CredentialCoordinator {
    /// Every call that waits, in the order of asking.
    pub fn waits(&self) -> impl Iterator<Item = Wait> {
        self.queue.all().map(|waiter| {
            let stuck = self.stuck.get(waiter.class).copied().flatten();
            let (reason, until) = match (waiter.aside, stuck) {
                (Some(due), _) => (WaitReason::Backoff, Some(due)),
                (None, Some(stuck)) => (stuck.reason, stuck.until),
                // Of a line that moves: its turn comes with the next lease.
                (None, None) => (WaitReason::Pacing, None),
            };
            Wait { who: waiter.who, since: waiter.since, reason, until }
        })
    }
}
