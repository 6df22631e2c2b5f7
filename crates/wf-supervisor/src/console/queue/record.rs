//! One thing for the writer to do, and its form on disk.

use super::Segment;
use crate::console::Stream;

/// The longest text of one record, in bytes; longer ones are divided or cut before.
pub const MAX_RECORD_TEXT_BYTES: usize = 16 * 1024;

/// One thing for the writer to do. Items go by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An attempt begins to write. Its log lies in the run's directory, under its label.
    Open {
        /// The item.
        item: u32,
        /// Its label.
        label: Box<str>,
    },
    /// Bytes in the item's log.
    Segment {
        /// The item.
        item: u32,
        /// Where the bytes are.
        segment: Segment,
    },
    /// Bytes in no log.
    Unlogged {
        /// The item.
        item: u32,
        /// The stream they came from.
        stream: Stream,
        /// Their number in the queue.
        id: u64,
    },
    /// The attempt has written all; an unfinished line is completed.
    Close {
        /// The item.
        item: u32,
    },
    /// An item's collected output.
    Group {
        /// Its number in the queue.
        id: u64,
    },
    /// A line of our own, for standard error.
    Line {
        /// Whose line it is.
        label: Box<str>,
        /// Without prefix and line end.
        text: Box<str>,
    },
    /// The end of what an item wrote, to be quoted under a line about it, unless it stands just above.
    Tail {
        /// The item.
        item: u32,
        /// Its label.
        label: Box<str>,
        /// Where in its log that begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// Text for standard error as it is.
    Text(Box<str>),
    /// Everything is said.
    Finish,
}

const OPEN: u8 = 0;
const SEGMENT: u8 = 1;
const UNLOGGED: u8 = 2;
const CLOSE: u8 = 3;
const GROUP: u8 = 4;
const LINE: u8 = 5;
const TEXT: u8 = 6;
const FINISH: u8 = 7;
const TAIL: u8 = 8;

impl Record {
    /// Bytes of text the record holds.
    pub fn text_bytes(&self) -> usize {
        match self {
            Record::Open { label, .. } | Record::Tail { label, .. } => label.len(),
            Record::Line { label, text } => label.len() + text.len(),
            Record::Text(text) => text.len(),
            Record::Segment { .. }
            | Record::Unlogged { .. }
            | Record::Close { .. }
            | Record::Group { .. }
            | Record::Finish => 0,
        }
    }

    /// Appends the record's form on disk. The file never outlives the process, so the form has no version.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Open { item, label } => {
                out.push(OPEN);
                out.extend(item.to_le_bytes());
                put_text(label, out);
            }
            Record::Segment { item, segment } => {
                out.push(SEGMENT);
                out.extend(item.to_le_bytes());
                segment.encode(out);
            }
            Record::Unlogged { item, stream, id } => {
                out.push(UNLOGGED);
                out.extend(item.to_le_bytes());
                out.push(stream_number(*stream));
                out.extend(id.to_le_bytes());
            }
            Record::Close { item } => {
                out.push(CLOSE);
                out.extend(item.to_le_bytes());
            }
            Record::Group { id } => {
                out.push(GROUP);
                out.extend(id.to_le_bytes());
            }
            Record::Line { label, text } => {
                out.push(LINE);
                put_text(label, out);
                put_text(text, out);
            }
            Record::Tail { item, label, from, to } => {
                out.push(TAIL);
                out.extend(item.to_le_bytes());
                put_text(label, out);
                out.extend(from.to_le_bytes());
                out.extend(to.to_le_bytes());
            }
            Record::Text(text) => {
                out.push(TEXT);
                put_text(text, out);
            }
            Record::Finish => out.push(FINISH),
        }
    }

    /// Takes one record off the beginning of `bytes`; `None` when they are not what [`Self::encode`] writes.
    pub fn decode(bytes: &mut &[u8]) -> Option<Record> {
        Some(match take::<1>(bytes)?[0] {
            OPEN => Record::Open { item: u32::from_le_bytes(take(bytes)?), label: take_text(bytes)? },
            SEGMENT => {
                Record::Segment { item: u32::from_le_bytes(take(bytes)?), segment: Segment::decode(bytes)? }
            }
            UNLOGGED => Record::Unlogged {
                item: u32::from_le_bytes(take(bytes)?),
                stream: numbered_stream(take::<1>(bytes)?[0])?,
                id: u64::from_le_bytes(take(bytes)?),
            },
            CLOSE => Record::Close { item: u32::from_le_bytes(take(bytes)?) },
            GROUP => Record::Group { id: u64::from_le_bytes(take(bytes)?) },
            LINE => Record::Line { label: take_text(bytes)?, text: take_text(bytes)? },
            TAIL => Record::Tail {
                item: u32::from_le_bytes(take(bytes)?),
                label: take_text(bytes)?,
                from: u64::from_le_bytes(take(bytes)?),
                to: u64::from_le_bytes(take(bytes)?),
            },
            TEXT => Record::Text(take_text(bytes)?),
            FINISH => Record::Finish,
            _ => return None,
        })
    }
}

/// The first `N` bytes, taken off.
pub fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// A stream's number on disk.
pub fn stream_number(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

/// The stream of a number.
pub fn numbered_stream(number: u8) -> Option<Stream> {
    match number {
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        _ => None,
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<Box<str>> {
    let len = u32::from_le_bytes(take(bytes)?) as usize;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok().map(Into::into)
}
