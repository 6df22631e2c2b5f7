//! Calls that wait: in which order, since when, and until when at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::quota::Need;
use super::types::{CallId, KeyIndex, WaitReason};
use crate::{AttemptId, Time};

/// A waiting call's number. They rise, so that equals are served in the order of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaiterId(u64);

/// A whole workflow's progress is worth this much waiting: one that has just begun goes before one that is nearly done
/// unless that has waited so much longer. Nobody is overtaken by calls asked for later than this.
///
/// What it gains (tests/quota.rs): 4,800 calls end at 1.04 of the bound instead of 1.09 without it, 1,200 at 1.07 instead of
/// 1.09, because no workflow is left over at the end.
const WORTH_OF_PROGRESS: Duration = Duration::from_secs(600);

/// A place in the line: repetitions of calls already admitted first, among them those refused least, lest one call be
/// the first after every block and use up its attempts; then by time of asking moved back by progress.
/// Because everyone ages alike, the order of two calls never changes and a sorted set can hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    is_new: bool,
    refusals: u32,
    turn: Time,
    id: WaiterId,
}

/// A waiting call.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) who: AttemptId,
    pub(super) call: CallId,
    pub(super) class: usize,
    pub(super) need: Need,
    /// Tokens it counts for against the run's budget.
    pub(super) tokens: u64,
    pub(super) share: u16,
    /// Whether it was admitted before.
    pub(super) is_retry: bool,
    /// How often a quota refused it.
    pub(super) refusals: u32,
    /// Keys that refused it.
    pub(super) avoid: Vec<KeyIndex>,
    pub(super) since: Time,
    pub(super) deadline: Time,
    /// Until when it is not in line.
    pub(super) aside: Option<Time>,
    /// The reason its worker was told.
    pub(super) told: Option<WaitReason>,
}

/// The line of one class: the calls that compete for the same keys.
#[derive(Clone, Debug, Default)]
struct Line {
    plain: BTreeSet<Place>,
    /// Those that cannot take just any key. They are few and stand aside, so that none blocks the line.
    picky: BTreeSet<Place>,
    /// Those nobody was told about yet.
    untold: Vec<WaiterId>,
}

/// All waiting calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiters: BTreeMap<WaiterId, Waiter>,
    lines: Vec<Line>,
    deadlines: BTreeSet<(Time, WaiterId)>,
    /// Calls that are not in line before a time.
    backoff: BTreeSet<(Time, WaiterId)>,
    untold_aside: Vec<WaiterId>,
    next: u64,
}

impl Queue {
    /// One more class.
    pub(super) fn add_line(&mut self) {
        self.lines.push(Line::default());
    }

    fn place(id: WaiterId, waiter: &Waiter) -> Place {
        let handicap = WORTH_OF_PROGRESS * u32::from(waiter.share.min(1000)) / 1000;
        let (is_new, refusals) = (!waiter.is_retry, waiter.refusals);
        Place { is_new, refusals, turn: waiter.since + handicap, id }
    }

    /// Takes a call in: into the line, or aside first.
    pub(super) fn push(&mut self, waiter: Waiter) -> WaiterId {
        let id = WaiterId(self.next);
        self.next += 1;
        self.deadlines.insert((waiter.deadline, id));
        match waiter.aside {
            Some(due) => {
                self.backoff.insert((due, id));
                self.untold_aside.push(id);
            }
            None => self.stand_in_line(id, &waiter),
        }
        self.waiters.insert(id, waiter);
        id
    }

    fn stand_in_line(&mut self, id: WaiterId, waiter: &Waiter) {
        let line = &mut self.lines[waiter.class];
        let places = if waiter.avoid.is_empty() { &mut line.plain } else { &mut line.picky };
        places.insert(Queue::place(id, waiter));
        line.untold.push(id);
    }

    /// The next call whose time aside is over, and when that is.
    pub(super) fn next_backoff(&self) -> Option<(Time, WaiterId)> {
        self.backoff.first().copied()
    }

    /// Moves a call from aside into its line.
    pub(super) fn end_backoff(&mut self, due: Time, id: WaiterId) {
        if self.backoff.remove(&(due, id))
            && let Some(mut waiter) = self.waiters.remove(&id)
        {
            waiter.aside = None;
            self.stand_in_line(id, &waiter);
            self.waiters.insert(id, waiter);
        }
    }

    /// The earliest end of anybody's patience.
    pub(super) fn next_deadline(&self) -> Option<(Time, WaiterId)> {
        self.deadlines.first().copied()
    }

    /// Those in line of a class whose patience ends before then.
    pub(super) fn leaving_before(&self, then: Time, class: usize) -> Vec<WaiterId> {
        let early = self.deadlines.range(..(then, WaiterId(0))).map(|(_, id)| *id);
        let is_in_line = |id: &WaiterId| {
            self.waiters.get(id).is_some_and(|waiter| waiter.class == class && waiter.aside.is_none())
        };
        early.filter(is_in_line).collect()
    }

    /// Takes a call out, wherever it stands.
    pub(super) fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.deadlines.remove(&(waiter.deadline, id));
        if let Some(due) = waiter.aside {
            self.backoff.remove(&(due, id));
        } else {
            let place = Queue::place(id, &waiter);
            let line = &mut self.lines[waiter.class];
            let _ = line.plain.remove(&place) || line.picky.remove(&place);
        }
        Some(waiter)
    }

    pub(super) fn get(&self, id: WaiterId) -> Option<&Waiter> {
        self.waiters.get(&id)
    }

    /// The first of a class's line.
    pub(super) fn head(&self, class: usize) -> Option<(Place, WaiterId)> {
        self.lines.get(class)?.plain.first().map(|place| (*place, place.id))
    }

    /// Those of a class that cannot take just any key, in order.
    pub(super) fn picky(&self, class: usize) -> Vec<WaiterId> {
        self.lines.get(class).map_or_else(Vec::new, |line| line.picky.iter().map(|place| place.id).collect())
    }

    /// Whether anything of a class is in line.
    pub(super) fn has_line(&self, class: usize) -> bool {
        self.lines.get(class).is_some_and(|line| !line.plain.is_empty() || !line.picky.is_empty())
    }

    /// How many of a class are in line.
    pub(super) fn in_line(&self, class: usize) -> usize {
        self.lines.get(class).map_or(0, |line| line.plain.len() + line.picky.len())
    }

    /// Everybody in line of a class, in order.
    pub(super) fn everybody(&self, class: usize) -> Vec<WaiterId> {
        let line = &self.lines[class];
        let mut places: Vec<Place> = line.plain.union(&line.picky).copied().collect();
        places.sort_unstable();
        places.into_iter().map(|place| place.id).collect()
    }

    /// Those of a class nobody was told about yet, and that still wait; afterwards there are none.
    pub(super) fn take_untold(&mut self, class: usize) -> Vec<WaiterId> {
        let untold = std::mem::take(&mut self.lines[class].untold);
        untold.into_iter().filter(|id| self.waiters.contains_key(id)).collect()
    }

    /// Those aside nobody was told about yet; afterwards there are none.
    pub(super) fn take_untold_aside(&mut self) -> Vec<WaiterId> {
        let untold = std::mem::take(&mut self.untold_aside);
        untold.into_iter().filter(|id| self.waiters.get(id).is_some_and(|w| w.aside.is_some())).collect()
    }

    /// Notes the reason a worker is told. False when it knows it already.
    pub(super) fn tell(&mut self, id: WaiterId, reason: WaitReason) -> bool {
        self.waiters.get_mut(&id).is_some_and(|waiter| waiter.told.replace(reason) != Some(reason))
    }

    /// All that wait, in the order of asking.
    pub(super) fn all(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    /// How many wait at all.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemIndex;

    fn waiter(item: u32, at_s: u64, share: u16, is_retry: bool) -> Waiter {
        Waiter {
            who: AttemptId { item: ItemIndex(item), number: 1 },
            call: CallId(1),
            class: 0,
            need: Need::Call(1),
            tokens: 1,
            share,
            is_retry,
            refusals: 0,
            avoid: Vec::new(),
            since: Time::from_millis(at_s * 1000),
            deadline: Time::from_millis(1_000_000),
            aside: None,
            told: None,
        }
    }

    fn served(queue: &mut Queue) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some((_, id)) = queue.head(0) {
            order.push(queue.remove(id).expect("it is the head").who.item.0);
        }
        order
    }

    #[test]
    fn repetitions_first_then_the_least_progress_then_the_longest_wait() {
        let mut queue = Queue::default();
        queue.add_line();
        for (item, at, share, retry) in
            [(1, 0, 900, false), (2, 1, 100, false), (3, 2, 100, false), (4, 3, 950, true)]
        {
            queue.push(waiter(item, at, share, retry));
        }
        assert_eq!(served(&mut queue), [4, 2, 3, 1]);
        assert_eq!((queue.len(), queue.next_deadline()), (0, None));
    }

    #[test]
    fn who_has_waited_long_enough_is_no_longer_overtaken() {
        let mut queue = Queue::default();
        queue.add_line();
        queue.push(waiter(0, 0, 1000, false));
        for second in [1, 599, 601, 700] {
            queue.push(waiter(second, u64::from(second), 0, false));
        }
        assert_eq!(served(&mut queue), [1, 599, 0, 601, 700]);
    }
}
