//! Where the bytes of an item's streams lie in its log.

use std::collections::VecDeque;
use std::io;

use super::record::{numbered_stream, stream_number, take};
use crate::console::Stream;
use crate::console::spill::{BLOCK_BYTES, Block, Spill};

/// A run of bytes of one stream. In a collected output one of length 0 ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The stream they came from.
    pub stream: Stream,
    /// Where they begin, in bytes from the beginning of the log.
    pub offset: u64,
    /// How many they are.
    pub len: u32,
}

/// Bytes of a segment on disk.
const SEGMENT_BYTES: usize = 13;

impl Segment {
    /// Grows by `next` where it follows directly and the sum is at most `max_bytes`; says whether it did.
    pub fn merge(&mut self, next: Segment, max_bytes: u32) -> bool {
        let sum = self.len.saturating_add(next.len);
        let follows = self.stream == next.stream && self.offset + u64::from(self.len) == next.offset;
        let merges = follows && sum <= max_bytes && self.len > 0 && next.len > 0;
        if merges {
            self.len = sum;
        }
        merges
    }

    /// Appends the form on disk.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(stream_number(self.stream));
        out.extend(self.offset.to_le_bytes());
        out.extend(self.len.to_le_bytes());
    }

    /// Takes one segment off the beginning of `bytes`.
    pub fn decode(bytes: &mut &[u8]) -> Option<Segment> {
        Some(Segment {
            stream: numbered_stream(take::<1>(bytes)?[0])?,
            offset: u64::from_le_bytes(take(bytes)?),
            len: u32::from_le_bytes(take(bytes)?),
        })
    }
}

/// Segments of an item while it runs and is loud, kept in memory.
const MAX_IN_MEMORY: usize = BLOCK_BYTES / SEGMENT_BYTES;

/// Segments of an item that ended and waits for the terminal, kept in memory.
const MAX_AT_REST: usize = 32;

/// A list of segments in order, the older ones on disk when there are many.
#[derive(Debug, Default)]
pub struct Segments {
    spilled: VecDeque<Block>,
    newest: Vec<Segment>,
}

impl Segments {
    /// Appends a segment. On an error it is kept in memory all the same.
    pub fn push(&mut self, segment: Segment, spill: &mut Spill) -> io::Result<()> {
        if self.newest.last_mut().is_some_and(|last| last.merge(segment, u32::MAX)) {
            return Ok(());
        }
        let full = self.newest.len() >= MAX_IN_MEMORY && self.newest.len().is_multiple_of(MAX_IN_MEMORY);
        let spilled = if full { self.spill_newest(spill) } else { Ok(()) };
        self.newest.push(segment);
        spilled
    }

    /// Makes the list small, for nothing more will come soon.
    pub fn compact(&mut self, spill: &mut Spill) -> io::Result<()> {
        let spilled = if self.newest.len() > MAX_AT_REST { self.spill_newest(spill) } else { Ok(()) };
        self.newest.shrink_to_fit();
        self.spilled.shrink_to_fit();
        spilled
    }

    /// The next segments in order; empty at the end.
    pub fn take(&mut self, spill: &mut Spill) -> io::Result<Vec<Segment>> {
        let Some(block) = self.spilled.pop_front() else {
            return Ok(std::mem::take(&mut self.newest));
        };
        let mut bytes = Vec::new();
        spill.take(block, &mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut segments = Vec::with_capacity(bytes.len() / SEGMENT_BYTES);
        while !rest.is_empty() {
            segments.push(Segment::decode(&mut rest).ok_or(io::ErrorKind::InvalidData)?);
        }
        Ok(segments)
    }

    fn spill_newest(&mut self, spill: &mut Spill) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        while !self.newest.is_empty() {
            let count = self.newest.len().min(MAX_IN_MEMORY);
            bytes.clear();
            for segment in &self.newest[..count] {
                segment.encode(&mut bytes);
            }
            self.spilled.push_back(spill.put(&bytes)?);
            self.newest.drain(..count);
        }
        Ok(())
    }
}
