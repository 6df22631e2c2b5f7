//! The book of open calls: what each has gone through, and what its worker gets when it asks again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::WaiterId;
use super::types::{CallId, DenyCause, KeyIndex, LeaseId, MAX_OPEN_CALLS};
use crate::{AttemptId, Time};

/// What a refused call gets when its worker asks again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// A place in line.
    Line,
    /// A place in line, not before then.
    After(Time),
    /// A refusal, and the same one each time.
    Denied(DenyCause),
}

/// Where an open call is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whereabouts {
    /// In the queue.
    Waiting(WaiterId),
    /// With its worker.
    Leased(LeaseId),
    /// Refused, and its worker has not asked again.
    Refused(Next),
}

/// An open call: asked for, and neither answered nor forgotten.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) whereabouts: Whereabouts,
    /// Times it was granted.
    pub(super) attempts: u32,
    /// Refusals by quota.
    pub(super) limited: u32,
    /// Passing faults.
    pub(super) faults: u32,
    /// Refusals because a group cannot pay.
    pub(super) billing: u32,
    /// Keys that were refused with it.
    pub(super) refused_keys: Vec<KeyIndex>,
    /// Time spent in the queue before it was granted last.
    pub(super) waited: Duration,
}

/// What is known of an attempt while it has open calls or has been served.
#[derive(Clone, Debug, Default)]
struct Open {
    calls: u32,
    /// The group that served it last; prompt caches make going back to it worth something.
    served_by: Option<usize>,
}

/// All open calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    calls: BTreeMap<(AttemptId, CallId), Call>,
    attempts: BTreeMap<AttemptId, Open>,
}

impl Calls {
    pub(super) fn get(&self, id: (AttemptId, CallId)) -> Option<&Call> {
        self.calls.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: (AttemptId, CallId)) -> Option<&mut Call> {
        self.calls.get_mut(&id)
    }

    /// Whether the attempt may open one more call.
    pub(super) fn has_room(&self, who: AttemptId) -> bool {
        self.attempts.get(&who).is_none_or(|open| open.calls < MAX_OPEN_CALLS)
    }

    /// Enters a call as waiting: a new one, or one that its worker asks for again.
    pub(super) fn wait(&mut self, id: (AttemptId, CallId), waiter: WaiterId) {
        let whereabouts = Whereabouts::Waiting(waiter);
        if let Some(call) = self.calls.get_mut(&id) {
            call.whereabouts = whereabouts;
            return;
        }
        self.attempts.entry(id.0).or_default().calls += 1;
        self.calls.insert(
            id,
            Call {
                whereabouts,
                attempts: 0,
                limited: 0,
                faults: 0,
                billing: 0,
                refused_keys: Vec::new(),
                waited: Duration::ZERO,
            },
        );
    }

    /// A call was answered: it is open no more, and its number may be used anew.
    pub(super) fn close(&mut self, id: (AttemptId, CallId)) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(open) = self.attempts.get_mut(&id.0) {
            open.calls = open.calls.saturating_sub(1);
        }
        Some(call)
    }

    /// The attempt's open calls.
    pub(super) fn of(&self, who: AttemptId) -> impl Iterator<Item = (CallId, &Call)> {
        self.calls.range((who, CallId(0))..=(who, CallId(u64::MAX))).map(|((_, id), call)| (*id, call))
    }

    /// Forgets the attempt; all its calls must be closed.
    pub(super) fn forget(&mut self, who: AttemptId) {
        self.attempts.remove(&who);
    }

    pub(super) fn served_by(&self, who: AttemptId) -> Option<usize> {
        self.attempts.get(&who)?.served_by
    }

    pub(super) fn set_served_by(&mut self, who: AttemptId, group: usize) {
        self.attempts.entry(who).or_default().served_by = Some(group);
    }
}
