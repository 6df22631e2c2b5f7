//! Framing and encoding: the one file that knows there is `bincode` underneath.
//!
//! A frame is a length (`u32`, little-endian) and a body of that many bytes. Reading is incremental and does no I/O: the
//! supervisor's asynchronous side and the worker's synchronous one feed the same [`Decoder`].

use std::marker::PhantomData;

use bincode::config::{self, Config};
use bincode::enc::write::SizeWriter;
use bincode::error::{DecodeError, EncodeError};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::limits::MAX_FRAME_BYTES;
use crate::{ToSupervisor, ToWorker};

/// Bytes of a frame's length.
const HEADER_BYTES: usize = 4;

/// What can be framed: [`ToSupervisor`] and [`ToWorker`], and nothing else.
pub trait Message: Serialize + DeserializeOwned + sealed::Sealed {}

impl Message for ToSupervisor {}
impl Message for ToWorker {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ToSupervisor {}
    impl Sealed for crate::ToWorker {}
}

/// Why a stream of bytes is no stream of messages. After one, nothing more can be read from the connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The header announces more than may come, or a message would need more.
    #[error("a frame of {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// What the header announced, or the message needs.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The body is not a message.
    #[error("a frame that is no message: {what}")]
    Malformed {
        /// What is wrong with it, without any of its content.
        what: String,
    },
    /// The body goes on after the message.
    #[error("a frame with {bytes} bytes after its message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The stream ended inside a frame.
    #[error("the connection ended {missing} bytes before the end of a frame")]
    Truncated {
        /// How many bytes are missing, at least.
        missing: usize,
    },
}

/// Little-endian, variable-length integers. The decode limit counts memory as well as bytes (an `u64` of one byte on
/// the wire counts eight), so it is twice the frame's: no true message of a legal frame meets it.
fn encoding() -> impl Config {
    config::standard().with_limit::<{ 2 * MAX_FRAME_BYTES }>()
}

/// A message as a whole frame, to be written in one piece. Its memory is overwritten when it is dropped, because it may
/// hold a key.
pub fn encode<M: Message>(message: &M) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    // Measured first: a buffer that grows while it is filled would leave copies of a secret behind.
    let mut size = SizeWriter::default();
    bincode::serde::encode_into_writer(message, &mut size, encoding())
        .map_err(|error| unencodable(&error))?;
    let bytes = size.bytes_written;
    let announced = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_FRAME_BYTES);
    let Some(announced) = announced else {
        return Err(FrameError::TooLarge { bytes, limit: MAX_FRAME_BYTES });
    };
    let mut frame = Zeroizing::new(vec![0; HEADER_BYTES + bytes]);
    let (header, body) = frame.split_at_mut(HEADER_BYTES);
    header.copy_from_slice(&announced.to_le_bytes());
    bincode::serde::encode_into_slice(message, body, encoding()).map_err(|error| unencodable(&error))?;
    Ok(frame)
}

fn unencodable(error: &EncodeError) -> FrameError {
    FrameError::Malformed { what: error.to_string() }
}

/// Cuts a stream of bytes into messages.
///
/// It holds what was pushed and not yet read, and nothing beyond: the length that a header announces is compared with
/// the limit, never allocated. Call [`next`](Decoder::next) until it has nothing more after every
/// [`push`](Decoder::push), and what it holds stays under one frame and one push.
#[derive(Debug)]
pub struct Decoder<M> {
    buffer: Buffer,
    limit: usize,
    failed: Option<FrameError>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Decoder<M> {
    /// A decoder that refuses bodies of more than `limit` bytes (and of more than [`MAX_FRAME_BYTES`] in any case).
    pub fn new(limit: usize) -> Decoder<M> {
        let limit = limit.min(MAX_FRAME_BYTES);
        Decoder { buffer: Buffer::default(), limit, failed: None, message: PhantomData }
    }

    /// Changes the limit for the frames that were not read yet.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_FRAME_BYTES);
    }

    /// Takes bytes as they came. After a failure they are thrown away.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.push(bytes);
        }
    }

    /// The next message, `None` while its frame is incomplete. An error is final: every later call repeats it.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` means not yet, not the end")]
    pub fn next(&mut self) -> Result<Option<M>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = self.take_frame();
        if let Err(error) = &next {
            self.failed = Some(error.clone());
            self.buffer = Buffer::default();
        }
        next
    }

    /// Says whether the stream may end here: only between two frames.
    pub fn finish(&self) -> Result<(), FrameError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.buffer.unread().is_empty() => Ok(()),
            None => {
                let held = self.buffer.unread().len();
                let whole = self.announced().map_or(HEADER_BYTES, |bytes| HEADER_BYTES.saturating_add(bytes));
                Err(FrameError::Truncated { missing: whole.saturating_sub(held) })
            }
        }
    }

    /// What the header in front announces, once it is there.
    fn announced(&self) -> Option<usize> {
        let header = self.buffer.unread().first_chunk::<HEADER_BYTES>()?;
        // On a target whose `usize` is smaller the length is over every limit anyway.
        Some(usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX))
    }

    fn take_frame(&mut self) -> Result<Option<M>, FrameError> {
        let Some(bytes) = self.announced() else { return Ok(None) };
        if bytes > self.limit {
            return Err(FrameError::TooLarge { bytes, limit: self.limit });
        }
        let Some(body) = self.buffer.unread().get(HEADER_BYTES..HEADER_BYTES + bytes) else {
            return Ok(None);
        };
        let (message, used) =
            bincode::serde::decode_from_slice::<M, _>(body, encoding()).map_err(malformed)?;
        if used != bytes {
            return Err(FrameError::Trailing { bytes: bytes - used });
        }
        self.buffer.consume(HEADER_BYTES + bytes);
        Ok(Some(message))
    }
}

/// The reason in words that carry nothing of the body, because it may hold a secret and ends up in a log.
fn malformed(error: DecodeError) -> FrameError {
    let what = match error {
        DecodeError::UnexpectedEnd { .. } => "it ends too early".to_owned(),
        DecodeError::LimitExceeded => "it needs more memory than a message may".to_owned(),
        DecodeError::InvalidIntegerType { expected, found } => {
            format!("an {found:?} where an {expected:?} belongs")
        }
        DecodeError::Utf8 { .. } => "a string that is not UTF-8".to_owned(),
        DecodeError::UnexpectedVariant { type_name, found, .. } => {
            format!("{type_name} has no variant {found}")
        }
        // Serde's words, such as "invalid value: integer `9`, expected variant index 0 <= i < 6".
        DecodeError::OtherString(words) => words,
        other => format!("{other:?}"),
    };
    FrameError::Malformed { what }
}

/// Bytes that came and were not read yet; overwritten as soon as they are read, moved or dropped.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the unread part begins.
    start: usize,
}

impl Buffer {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn push(&mut self, more: &[u8]) {
        if self.bytes.len() + more.len() > self.bytes.capacity() {
            // Growing in place would free the old memory as it is. Half of the room beyond what is needed keeps the
            // cost of many small pushes linear.
            let unread = self.unread();
            let needed = unread.len() + more.len();
            let mut moved = Vec::with_capacity(needed + needed / 2);
            moved.extend_from_slice(unread);
            self.bytes.zeroize();
            *self = Buffer { bytes: moved, start: 0 };
        }
        self.bytes.extend_from_slice(more);
    }

    fn consume(&mut self, count: usize) {
        let end = self.start + count;
        self.bytes[self.start..end].zeroize();
        self.start = end;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes unread)", self.unread().len())
    }
}

#[cfg(test)]
mod tests;
