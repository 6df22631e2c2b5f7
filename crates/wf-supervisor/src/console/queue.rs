//! What waits for the terminal: small records in memory, then on disk. Handing one over never waits for a terminal.

mod record;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;

use tokio::sync::oneshot;

pub use record::{MAX_RECORD_TEXT_BYTES, Record};
pub use segments::{Segment, Segments};

use super::Stream;
use super::progress::BarUpdate;
use super::spill::{BLOCK_BYTES, Block, Spill};

/// Records kept in memory before they go to disk.
const MAX_RECORDS: usize = 4096;

/// Bytes of texts kept in memory before they go to disk with the records around them.
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// The longest segment that adjacent ones grow to, in bytes. It bounds how long one item has the terminal to itself
/// when much has piled up.
const MAX_MERGED_BYTES: u32 = 1024 * 1024;

/// Bytes that are in no log, because it has reached its limit or cannot be written.
#[derive(Debug)]
pub struct Unlogged {
    /// The bytes themselves.
    pub bytes: Vec<u8>,
    /// Told (or dropped) when they have been shown.
    pub shown: oneshot::Sender<()>,
}

/// The output of one item that is shown when it ends.
#[derive(Debug)]
pub struct Group {
    /// The item.
    pub item: u32,
    /// The item's label.
    pub label: Box<str>,
    /// Where its bytes lie in its log.
    pub segments: Segments,
}

/// The queue. It is shared behind a lock that is held for moments only.
#[derive(Debug)]
pub struct Queue {
    /// The newest records.
    newest: Vec<Record>,
    newest_text_bytes: usize,
    /// Older ones, in order.
    spilled: VecDeque<Block>,
    /// Where in `newest` the last segment of a stream is, as long as later bytes may be shown with it.
    mergeable: HashMap<(u32, Stream), usize>,
    spill: Spill,
    /// Why records had to stay in memory; told once.
    spill_error: Option<io::Error>,
    may_spill: bool,
    unlogged: HashMap<u64, Unlogged>,
    next_unlogged: u64,
    /// Items whose output is collected, by item.
    collecting: HashMap<u32, Group>,
    /// Groups that are ready to be shown, by the number in their record.
    ready: HashMap<u64, Group>,
    next_group: u64,
    /// What is to become of the bar: only the last word counts.
    bar: Option<BarUpdate>,
    /// Nothing is taken any more.
    closed: bool,
    /// The writer sleeps and must be woken.
    pub writer_waits: bool,
}

impl Queue {
    /// An empty queue that spills to an unlinked file in `dir`.
    pub fn new(dir: PathBuf) -> Queue {
        Queue {
            newest: Vec::new(),
            newest_text_bytes: 0,
            spilled: VecDeque::new(),
            mergeable: HashMap::new(),
            spill: Spill::new(dir),
            spill_error: None,
            may_spill: true,
            unlogged: HashMap::new(),
            next_unlogged: 0,
            collecting: HashMap::new(),
            ready: HashMap::new(),
            next_group: 0,
            bar: None,
            closed: false,
            writer_waits: false,
        }
    }

    /// Appends a record; a segment that continues the last one of its stream is merged with it.
    pub fn push(&mut self, record: Record) {
        if self.closed {
            return;
        }
        match record {
            Record::Segment { item, segment } => {
                if let Some(&at) = self.mergeable.get(&(item, segment.stream))
                    && let Some(Record::Segment { segment: last, .. }) = self.newest.get_mut(at)
                    && last.merge(segment, MAX_MERGED_BYTES)
                {
                    return;
                }
                self.mergeable.insert((item, segment.stream), self.newest.len());
            }
            Record::Close { item } | Record::Unlogged { item, .. } => {
                self.mergeable.remove(&(item, Stream::Stdout));
                self.mergeable.remove(&(item, Stream::Stderr));
            }
            // What happens after a message is not shown before it.
            Record::Line { .. } | Record::Tail { .. } | Record::Text(_) => self.mergeable.clear(),
            Record::Open { .. } | Record::Group { .. } | Record::Finish => {}
        }
        self.newest_text_bytes += record.text_bytes();
        self.newest.push(record);
        if self.newest.len() >= MAX_RECORDS || self.newest_text_bytes >= MAX_TEXT_BYTES {
            self.spill_newest();
        }
    }

    /// Appends bytes that are in no log. The receiver ends when they are shown, or never will be.
    pub fn push_unlogged(&mut self, item: u32, stream: Stream, bytes: Vec<u8>) -> oneshot::Receiver<()> {
        let (shown, receiver) = oneshot::channel();
        if !self.closed {
            let id = self.next_unlogged;
            self.next_unlogged += 1;
            self.unlogged.insert(id, Unlogged { bytes, shown });
            self.push(Record::Unlogged { item, stream, id });
        }
        receiver
    }

    /// Adds to what is shown when the item ends.
    pub fn collect(&mut self, item: u32, label: &str, segment: Segment) {
        if self.closed {
            return;
        }
        let group = self.collecting.entry(item).or_insert_with(|| Group {
            item,
            label: label.into(),
            segments: Segments::default(),
        });
        if let Err(error) = group.segments.push(segment, &mut self.spill) {
            self.spill_error.get_or_insert(error);
        }
    }

    /// The item ended: what was collected is shown.
    pub fn release(&mut self, item: u32) {
        let Some(mut group) = self.collecting.remove(&item) else { return };
        if let Err(error) = group.segments.compact(&mut self.spill) {
            self.spill_error.get_or_insert(error);
        }
        let id = self.next_group;
        self.next_group += 1;
        self.ready.insert(id, group);
        self.push(Record::Group { id });
    }

    /// Releases every item, in their order, and ends the queue.
    pub fn finish(&mut self) {
        let mut items: Vec<u32> = self.collecting.keys().copied().collect();
        items.sort_unstable();
        for item in items {
            self.release(item);
        }
        self.push(Record::Finish);
        self.closed = true;
    }

    /// Forgets everything and takes nothing more.
    pub fn discard(&mut self) {
        let spill = std::mem::replace(&mut self.spill, Spill::new(PathBuf::new()));
        *self = Queue { spill, closed: true, writer_waits: self.writer_waits, ..Queue::new(PathBuf::new()) };
    }

    /// Says what is to become of the bar.
    pub fn update_bar(&mut self, update: BarUpdate) {
        self.bar = Some(update);
    }

    /// What is to become of the bar, once.
    pub fn take_bar_update(&mut self) -> Option<BarUpdate> {
        self.bar.take()
    }

    /// Whether there is anything for the writer to do.
    pub fn is_idle(&self) -> bool {
        self.newest.is_empty() && self.spilled.is_empty() && self.bar.is_none()
    }

    /// Moves the oldest records to `batch`, which is empty. An error says that records which were on disk are lost.
    pub fn take(&mut self, batch: &mut Vec<Record>) -> io::Result<()> {
        let Some(block) = self.spilled.pop_front() else {
            std::mem::swap(&mut self.newest, batch);
            self.newest_text_bytes = 0;
            self.mergeable.clear();
            return Ok(());
        };
        let mut bytes = Vec::new();
        self.spill.take(block, &mut bytes)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            batch.push(Record::decode(&mut rest).ok_or(io::ErrorKind::InvalidData)?);
        }
        Ok(())
    }

    /// Bytes that are in no log.
    pub fn take_unlogged(&mut self, id: u64) -> Option<Unlogged> {
        self.unlogged.remove(&id)
    }

    /// A group that is ready.
    pub fn take_group(&mut self, id: u64) -> Option<Group> {
        self.ready.remove(&id)
    }

    /// The next segments of a group, in order; empty at its end.
    pub fn take_segments(&mut self, segments: &mut Segments) -> io::Result<Vec<Segment>> {
        segments.take(&mut self.spill)
    }

    /// Why records or segments had to stay in memory, once.
    pub fn take_spill_error(&mut self) -> Option<io::Error> {
        self.spill_error.take()
    }

    /// Moves the newest records to disk; keeps them when that fails, rather than lose a line.
    fn spill_newest(&mut self) {
        if !self.may_spill {
            return;
        }
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let mut written = 0;
        let mut encoded = Vec::new();
        for (at, record) in self.newest.iter().enumerate() {
            encoded.clear();
            record.encode(&mut encoded);
            if block.len() + encoded.len() > BLOCK_BYTES {
                match self.spill.put(&block) {
                    Ok(place) => self.spilled.push_back(place),
                    Err(error) => return self.keep_from(written, error),
                }
                block.clear();
                written = at;
            }
            block.extend_from_slice(&encoded);
        }
        match self.spill.put(&block) {
            Ok(place) => self.spilled.push_back(place),
            Err(error) => return self.keep_from(written, error),
        }
        self.newest.clear();
        self.newest_text_bytes = 0;
        self.mergeable.clear();
    }

    fn keep_from(&mut self, written: usize, error: io::Error) {
        self.newest.drain(..written);
        self.mergeable.clear();
        self.may_spill = false;
        self.spill_error.get_or_insert(error);
    }
}
