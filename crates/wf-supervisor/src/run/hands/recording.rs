//! What happened goes on record: into the journal first, then into the history, the summary and the progress shown.

use std::time::Duration;

use jiff::Timestamp;
use wf_core::{AttemptId, Event, ItemId, ItemIndex, Outcome, Record, Supervisor};

use super::super::redaction::redact;
use super::{Done, Hands};

/// Returned leases that wait for company, at most.
const MOST_HELD: usize = 64;

impl Hands {
    /// Whether a turn's records, which come with nothing to do, may go with those of the next one.
    pub(super) fn may_wait(&self, records: &[Record]) -> bool {
        let is_return = |record: &Record| matches!(record, Record::LeaseReturned { .. });
        self.held.len() < MOST_HELD && records.iter().all(is_return)
    }

    /// Whether records wait for [`write_held`](Hands::write_held).
    pub fn holds_records(&self) -> bool {
        !self.held.is_empty()
    }

    /// Writes the records that waited for company.
    pub fn write_held(&mut self, supervisor: &Supervisor) -> Vec<Event> {
        let mut done = Done::default();
        let mut records = std::mem::take(&mut self.held);
        let lines = self.tell_pool(&mut records, &[], supervisor);
        self.record(records, supervisor, &mut done);
        self.say_lines(&lines);
        self.parts.console.progress(|| self.state(supervisor));
        done.follow_ups
    }

    pub(super) fn record(&mut self, mut records: Vec<Record>, supervisor: &Supervisor, done: &mut Done) {
        if records.is_empty() {
            return;
        }
        let at = Timestamp::now();
        self.measure_logs(&mut records);
        redact(&mut records, &self.parts.redactor);
        if !self.broken {
            if let Err(error) = self.parts.journal.append(&records, at) {
                self.broken = true;
                done.follow_ups.push(Event::Trouble { what: error.to_string() });
            } else {
                // The history gives up their claims.
                for item in records.iter().filter_map(done_here) {
                    self.parts.janitor.discard(&self.parts.launcher.checkpoint(item));
                }
                self.parts.history.send(&records, at);
            }
        }
        for record in &records {
            self.parts.summary.fold(record, at);
            match record {
                Record::ItemEnded { item, outcome, attempts, wall_ms, .. } => {
                    self.counts.add(*outcome);
                    // What was done before is said in one line at the start; what never began is in the summary.
                    if !matches!(outcome, Outcome::Skipped | Outcome::NotStarted)
                        && let Some(index) = self.parts.launcher.index(item)
                    {
                        let label = self.parts.launcher.shown_name(index);
                        let took = Duration::from_millis(*wall_ms);
                        let state = self.state(supervisor);
                        self.parts.console.finished(&label, *outcome, took, *attempts, state);
                        self.parts.console.close(index);
                    }
                }
                Record::AttemptEnded { item, attempt, end, .. } => {
                    if let Some(item) = self.parts.launcher.index(item)
                        && let Some(open) = self.open.get_mut(&AttemptId { item, number: *attempt })
                    {
                        open.end = Some(end.clone());
                    }
                }
                _ => {}
            }
        }
    }
}

impl Hands {
    /// Notes with each attempt that ended where its part of the log ends.
    fn measure_logs(&mut self, records: &mut [Record]) {
        self.parts_written.clear();
        for record in records {
            if let Record::AttemptEnded { item, attempt, log_bytes, .. } = record
                && let Some(item) = self.parts.launcher.index(item)
            {
                let end = self.parts.launcher.log_bytes(item);
                *log_bytes = Some(end);
                let open = self.open.get(&AttemptId { item, number: *attempt });
                self.parts_written.insert(item, open.map_or(0, |open| open.log_before)..end);
            }
        }
    }

    /// Quotes what an attempt wrote last, after the line that says how it failed.
    pub(super) fn quote_end(&self, item: ItemIndex) {
        if let Some(part) = self.parts_written.get(&item).filter(|part| !part.is_empty()) {
            self.parts.console.tail(item, &self.parts.launcher.label(item), part.start, part.end);
        }
    }
}

/// The item that this run has finished by that: nothing of it will be resumed.
fn done_here(record: &Record) -> Option<&ItemId> {
    match record {
        Record::ItemEnded { item, outcome, attempts, .. } if outcome.is_done() && *attempts > 0 => Some(item),
        _ => None,
    }
}
