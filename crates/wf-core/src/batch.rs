//! The items of a run: which are waiting, which run, how each ended.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::{AttemptId, Counts, Item, ItemId, ItemIndex, Outcome, OutputRef, PlanAction, Record, Slot, Time};

/// An item together with what the plan says of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The item.
    pub item: Item,
    /// What happens to it.
    pub action: PlanAction,
    /// Why, where the plan ends it before it starts.
    pub detail: String,
}

/// What an item cost so far, over all its attempts in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Wall time of its attempts.
    pub wall: Duration,
    /// Of that, time spent waiting for quota.
    pub waited: Duration,
    /// API calls sent.
    pub calls: u32,
    /// Of those, calls that were refused or lost.
    pub retries: u32,
    /// Tokens of all inputs.
    pub tokens_in: u64,
    /// Tokens of all outputs.
    pub tokens_out: u64,
}

#[derive(Debug)]
enum State {
    /// Waits for a slot, or for the end of a backoff.
    Queued,
    /// An attempt of it runs in this slot.
    Running(Slot),
    Ended,
}

#[derive(Debug)]
struct Entry {
    item: Item,
    state: State,
    attempts: u32,
    /// Tries that ended because the machine was short of something; they are not attempts.
    shortages: u32,
    /// Tries that ended because the time was not right; they are not attempts either. And since when that is so.
    put_offs: u32,
    not_now_since: Option<Time>,
    is_put_off: bool,
    /// How the last attempt failed, in case no other follows.
    last_failure: Option<(Outcome, String)>,
    costs: Costs,
}

impl Entry {
    /// Attempts that count as such.
    fn counted(&self) -> u32 {
        self.attempts - self.shortages - self.put_offs
    }
}

/// The items of a run and the slots they run in. Owns the facts, decides nothing about time but what is ready.
#[derive(Debug)]
pub struct Batch {
    entries: Vec<Entry>,
    ready: VecDeque<ItemIndex>,
    /// Items that may start again at a time.
    later: BTreeSet<(Time, ItemIndex)>,
    free: BTreeSet<Slot>,
    counts: Counts,
    open: usize,
    put_off: usize,
}

impl Batch {
    /// A batch with `parallel` slots. Items that the plan ends are ended by [`Batch::settle`].
    pub fn new(plan: &[Planned], parallel: u16) -> Batch {
        let entry = |p: &Planned| Entry {
            item: p.item.clone(),
            state: State::Queued,
            attempts: 0,
            shortages: 0,
            put_offs: 0,
            not_now_since: None,
            is_put_off: false,
            last_failure: None,
            costs: Costs::default(),
        };
        let starts =
            |p: &Planned| matches!(p.action, PlanAction::Run | PlanAction::Resume | PlanAction::Rerun);
        let index =
            |i: usize| ItemIndex(u32::try_from(i).expect("items are counted in 32 bits when they are read"));
        Batch {
            entries: plan.iter().map(entry).collect(),
            ready: (0..plan.len()).filter(|i| starts(&plan[*i])).map(index).collect(),
            later: BTreeSet::new(),
            free: (0..parallel).map(Slot).collect(),
            counts: Counts::default(),
            open: plan.len(),
            put_off: 0,
        }
    }

    /// The name of an item.
    pub fn id(&self, item: ItemIndex) -> &ItemId {
        &self.entry(item).item.id
    }

    /// The item's own limit on an attempt's time.
    pub fn timeout(&self, item: ItemIndex) -> Option<Duration> {
        self.entry(item).item.timeout
    }

    /// How many items ended how.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every item has its outcome.
    pub fn is_over(&self) -> bool {
        self.open == 0
    }

    /// The slot in which the attempt runs, if it is the item's current one.
    pub fn slot_of(&self, attempt: AttemptId) -> Option<Slot> {
        let entry = self.entries.get(attempt.item.0 as usize)?;
        match entry.state {
            State::Running(slot) if entry.attempts == attempt.number => Some(slot),
            _ => None,
        }
    }

    /// Whether [`Batch::begin_next`] would begin one.
    pub fn can_begin(&self, now: Time) -> bool {
        let is_due = self.later.first().is_some_and(|(at, _)| *at <= now);
        !self.free.is_empty() && (is_due || !self.ready.is_empty())
    }

    /// Takes the next ready item and a free slot, and makes them an attempt.
    pub fn begin_next(&mut self, now: Time) -> Option<(AttemptId, Slot)> {
        while let Some(&(at, item)) = self.later.first().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, item));
            self.ready.push_back(item);
        }
        let slot = *self.free.first()?;
        let item = self.ready.pop_front()?;
        self.free.remove(&slot);
        let entry = self.entry_mut(item);
        entry.attempts += 1;
        entry.state = State::Running(slot);
        let number = entry.attempts;
        self.no_more_put_off(item);
        Some((AttemptId { item, number }, slot))
    }

    /// When an item becomes ready by the passing of time, provided that a slot is free.
    pub fn next_ready(&self) -> Option<Time> {
        if self.free.is_empty() { None } else { self.later.first().map(|(at, _)| *at) }
    }

    /// An attempt is over without having begun: the machine was short of something. It does not count; the item
    /// waits until `at`, which is computed from how often that has happened.
    pub fn put_back(&mut self, attempt: AttemptId, at: impl FnOnce(u32) -> Time) {
        let entry = self.entry_mut(attempt.item);
        entry.shortages += 1;
        let at = at(entry.shortages);
        self.release_slot(attempt.item);
        self.later.insert((at, attempt.item));
    }

    /// Attempts of the item so far, those that never began for want of something or were put off not counted.
    pub fn attempts(&self, item: ItemIndex) -> u32 {
        self.entry(item).counted()
    }

    /// How often the item could not start for want of something.
    pub fn shortages(&self, item: ItemIndex) -> u32 {
        self.entry(item).shortages
    }

    /// An attempt failed, or was put off, and the item is tried again at `at`; without that it ends as `outcome` for this reason.
    pub fn retry(&mut self, item: ItemIndex, at: Time, outcome: Outcome, why: String) {
        self.entry_mut(item).last_failure = Some((outcome, why));
        self.release_slot(item);
        self.later.insert((at, item));
    }

    /// An attempt found that now is not the time. Answers since when that has been so, and how often it was said.
    pub fn not_now(&mut self, item: ItemIndex, now: Time) -> (Time, u32) {
        let entry = self.entry_mut(item);
        entry.put_offs += 1;
        (*entry.not_now_since.get_or_insert(now), entry.put_offs)
    }

    /// The item is tried again at `at`; without that it is interrupted for this reason.
    pub fn put_off(&mut self, item: ItemIndex, at: Time, why: String) {
        self.retry(item, at, Outcome::Interrupted, why);
        self.entry_mut(item).is_put_off = true;
        self.put_off += 1;
    }

    /// How many items are put off now.
    pub fn put_off_now(&self) -> usize {
        self.put_off
    }

    /// When the next of the items that wait for a time is due, whether or not a slot is free.
    pub fn next_later(&self) -> Option<Time> {
        self.later.first().map(|(at, _)| *at)
    }

    fn no_more_put_off(&mut self, item: ItemIndex) {
        let entry = self.entry_mut(item);
        let was = std::mem::take(&mut entry.is_put_off);
        self.put_off -= usize::from(was);
    }

    /// The costs of an item, to be added to.
    pub fn costs_mut(&mut self, item: ItemIndex) -> &mut Costs {
        &mut self.entry_mut(item).costs
    }

    /// The item has its outcome. Answers with the record of it.
    pub fn end(
        &mut self,
        item: ItemIndex,
        outcome: Outcome,
        detail: String,
        output: Option<OutputRef>,
    ) -> Record {
        self.release_slot(item);
        self.no_more_put_off(item);
        let entry = self.entry_mut(item);
        debug_assert!(!matches!(entry.state, State::Ended), "an item ends once");
        entry.state = State::Ended;
        let costs = entry.costs;
        let record = Record::ItemEnded {
            item: entry.item.id.clone(),
            outcome,
            attempts: entry.counted(),
            wall_ms: whole_ms(costs.wall),
            waited_ms: whole_ms(costs.waited),
            calls: costs.calls,
            retries: costs.retries,
            tokens_in: costs.tokens_in,
            tokens_out: costs.tokens_out,
            detail,
            output,
        };
        self.counts.add(outcome);
        self.open -= 1;
        record
    }

    /// Ends every item that the plan ends: done ones, kept ones, ones that cannot start.
    pub fn settle(&mut self, plan: &[Planned]) -> Vec<Record> {
        let mut records = Vec::new();
        for (i, planned) in plan.iter().enumerate() {
            let outcome = match planned.action {
                PlanAction::Run | PlanAction::Resume | PlanAction::Rerun => continue,
                PlanAction::Skip | PlanAction::Keep => Outcome::Skipped,
                PlanAction::NeedsRevision => Outcome::NeedsRevision,
                PlanAction::Fail => Outcome::Failed,
            };
            records.push(self.end(ItemIndex(i as u32), outcome, planned.detail.clone(), None));
        }
        records
    }

    /// Ends all that waits: it will not start in this run. Items that failed before and were to be tried again keep
    /// their failure.
    pub fn end_waiting(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        self.later.clear();
        self.ready.clear();
        for i in 0..self.entries.len() {
            if matches!(self.entries[i].state, State::Queued) {
                let (outcome, why) =
                    self.entries[i].last_failure.take().unwrap_or((Outcome::NotStarted, String::new()));
                records.push(self.end(ItemIndex(i as u32), outcome, why, None));
            }
        }
        records
    }

    fn release_slot(&mut self, item: ItemIndex) {
        if let State::Running(slot) = std::mem::replace(&mut self.entry_mut(item).state, State::Queued) {
            self.free.insert(slot);
        }
    }

    fn entry(&self, item: ItemIndex) -> &Entry {
        &self.entries[item.0 as usize]
    }

    fn entry_mut(&mut self, item: ItemIndex) -> &mut Entry {
        &mut self.entries[item.0 as usize]
    }
}

/// Whole milliseconds, as the journal counts.
pub(crate) fn whole_ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
