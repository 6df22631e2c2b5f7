//! Which part of an item's log is of which attempt, as the journal has it.

use std::ops::Range;

use jiff::Timestamp;
use wf_core::Record;

/// The attempts of an item whose parts of the log are known.
#[derive(Debug, Default)]
pub struct Parts {
    /// The attempt, when it began, and where its part begins.
    begun: Vec<(u32, Timestamp, u64)>,
    /// Where the part of the last attempt that ended ends.
    end: Option<u64>,
}

impl Parts {
    /// Takes in the next record about the item.
    pub fn note(&mut self, record: &Record, at: Timestamp) {
        match record {
            Record::AttemptStarted { attempt: attempt @ 1, .. } => self.begun.push((*attempt, at, 0)),
            Record::AttemptStarted { attempt, .. } => {
                // A journal of an earlier version does not tell where.
                self.begun.extend(self.end.map(|end| (*attempt, at, end)));
            }
            Record::AttemptEnded { log_bytes, .. } => self.end = *log_bytes,
            _ => {}
        }
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.begun.len() > 1
    }

    /// The attempts whose parts begin at this byte; more than one where some wrote nothing.
    pub fn begins_at(&self, at: u64) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        self.begun.iter().filter(move |(.., from)| *from == at).map(|(attempt, began, _)| (*attempt, *began))
    }

    /// Where the next part after this byte begins.
    pub fn next_after(&self, at: u64) -> u64 {
        self.begun.iter().map(|(.., from)| *from).filter(|from| *from > at).min().unwrap_or(u64::MAX)
    }

    /// The part of an attempt; the last one's may still grow.
    pub fn of(&self, attempt: u32) -> Option<Range<u64>> {
        let place = self.begun.iter().position(|(number, ..)| *number == attempt)?;
        let end = self.begun.get(place + 1).map_or(u64::MAX, |(.., from)| *from);
        Some(self.begun[place].2..end)
    }
}
