//! What a damaged journal proves although it does not say it: an item whose attempt ended well is done, also where the
//! line that says so cannot be read. Without this it would be paid for again.

use std::collections::BTreeMap;

use wf_core::{AttemptEnd, ItemId, Outcome, Record, Verdict};

use super::journal_reader::Entry;

/// The ends of items that are still to be read, as far as their attempts tell them. It holds no more than the items
/// between two records of theirs: those at work.
#[derive(Debug, Default)]
pub struct Proven {
    is_command: bool,
    ends: BTreeMap<ItemId, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// It was asked to stop, and many programs exit with 0 then.
    asked: bool,
    end: Option<Entry>,
}

impl Proven {
    /// Takes in the next record.
    pub fn see(&mut self, entry: &Entry) {
        match &entry.record {
            Record::RunStarted { workflow, .. } => {
                *self = Proven { is_command: workflow == "command", ..Proven::default() };
            }
            Record::AttemptStarted { item, .. } => {
                self.ends.insert(item.clone(), Seen::default());
            }
            Record::Asked { item, .. } => self.ends.entry(item.clone()).or_default().asked = true,
            Record::ItemEnded { item, .. } => {
                self.ends.remove(item);
            }
            Record::AttemptEnded { item, attempt, end, verdict, wall_ms, .. } => {
                let seen = self.ends.entry(item.clone()).or_default();
                let said = match verdict {
                    Some(verdict) => *verdict == Verdict::Approved,
                    None => self.is_command && !seen.asked,
                };
                if said && *end == (AttemptEnd::Exited { code: 0 }) {
                    let outcome = if self.is_command { Outcome::Succeeded } else { Outcome::Approved };
                    let record = Record::ItemEnded {
                        item: item.clone(),
                        outcome,
                        attempts: *attempt,
                        wall_ms: *wall_ms,
                        waited_ms: 0,
                        calls: 0,
                        retries: 0,
                        tokens_in: 0,
                        tokens_out: 0,
                        detail: "its attempt ended well; the journal's line with its sums cannot be read"
                            .to_owned(),
                        output: None,
                    };
                    seen.end = Some(Entry { at: entry.at, record });
                }
            }
            _ => {}
        }
    }

    /// The next end that was proven and not read. Each is told once.
    pub fn next(&mut self) -> Option<Entry> {
        while let Some((_, seen)) = self.ends.pop_first() {
            if seen.end.is_some() {
                return seen.end;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use wf_core::Slot;

    use super::super::testing::at;
    use super::*;

    fn see(proven: &mut Proven, record: Record) {
        proven.see(&Entry { at: at(0), record });
    }

    fn ended(item: &str, code: u8, verdict: Option<Verdict>) -> Record {
        Record::AttemptEnded {
            item: ItemId::new(item).unwrap(),
            attempt: 1,
            end: AttemptEnd::Exited { code },
            verdict,
            wall_ms: 5,
            leftovers: Vec::new(),
            unnamed: 0,
            log_bytes: None,
        }
    }

    #[test]
    fn only_an_attempt_that_ended_well_proves_its_item() {
        let mut proven = Proven { is_command: true, ..Proven::default() };
        let item = |name: &str| ItemId::new(name).unwrap();
        see(&mut proven, ended("good", 0, None));
        see(&mut proven, ended("bad", 1, None));
        see(&mut proven, Record::Asked { item: item("asked"), attempt: 1, why: String::new() });
        see(&mut proven, ended("asked", 0, None));
        see(&mut proven, ended("again", 0, None));
        see(&mut proven, Record::AttemptStarted { item: item("again"), attempt: 2, slot: Slot(1) });
        let found: Vec<Entry> = std::iter::from_fn(|| proven.next()).collect();
        assert!(
            matches!(&found[..], [Entry { record: Record::ItemEnded { item, outcome: Outcome::Succeeded, .. }, .. }]
                if item.as_str() == "good"),
            "{found:?}"
        );

        let mut proven = Proven::default();
        see(&mut proven, ended("silent", 0, None));
        see(&mut proven, ended("approved", 0, Some(Verdict::Approved)));
        assert_eq!(std::iter::from_fn(|| proven.next()).count(), 1);
    }
}
