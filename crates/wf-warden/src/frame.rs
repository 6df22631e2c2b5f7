//! Messages on a byte stream: four bytes of length, little-endian, then the message.
//!
//! A stream and not `SOCK_SEQPACKET`: a command line may have megabytes, and a packet must fit into the socket's buffer
//! as a whole. Descriptors ride on the first byte of their frame, and the kernel never moves them past it, so they
//! arrive not later than the frame and in the order of the frames.

use std::io;

use zeroize::Zeroize;

use crate::message::Malformed;

/// The largest message. Linux allows arguments and environment 6 MiB together (three quarters of `_STK_LIM`, see
/// `execve(2)`), so what does not fit here could not be executed either.
pub(crate) const MOST_BYTES: usize = 8 << 20;

const HEADER: usize = 4;

/// How much is asked for by one read: more than any usual message.
const READ_BYTES: usize = 64 << 10;

/// One frame around what `encode` writes; `None` when that is over [`MOST_BYTES`].
pub(crate) fn frame(encode: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    encode(&mut bytes);
    let length = bytes.len() - HEADER;
    if length > MOST_BYTES {
        bytes.zeroize();
        return None;
    }
    bytes[..HEADER].copy_from_slice(&(length as u32).to_le_bytes());
    Some(bytes)
}

/// Bytes that have arrived and are not yet handed out as messages. They are wiped as they go: a command's environment
/// may hold a key.
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    filled: usize,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.filled)
    }
}

impl Incoming {
    /// Lets `read` put bytes behind what is there; it returns how many it put. Zero is the end of the stream.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let room = self.length().map_or(0, |length| (HEADER + length).saturating_sub(self.filled));
        let wanted = self.filled + room.max(READ_BYTES);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        let count = read(&mut self.bytes[self.filled..])?;
        self.filled += count;
        Ok(count)
    }

    /// The next whole message, decoded; `None` when more bytes must come first.
    pub(crate) fn next<T>(
        &mut self,
        decode: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > MOST_BYTES {
            return Err(Malformed);
        }
        let end = HEADER + length;
        if self.filled < end {
            return Ok(None);
        }
        let message = decode(&self.bytes[HEADER..end]);
        self.bytes[..end].zeroize();
        self.bytes.copy_within(end..self.filled, 0);
        self.filled -= end;
        if self.bytes.len() > READ_BYTES + self.filled {
            // One huge command line is no reason to keep its megabytes; nor is its tail, now twice in the buffer.
            self.bytes[self.filled..].zeroize();
            self.bytes.truncate(READ_BYTES + self.filled);
            self.bytes.shrink_to_fit();
        }
        message.map(Some)
    }

    fn length(&self) -> Option<usize> {
        let header = self.bytes[..self.filled].first_chunk::<HEADER>()?;
        Some(u32::from_le_bytes(*header) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn message(bytes: &[u8]) -> Vec<u8> {
        frame(|out| out.extend_from_slice(bytes)).unwrap()
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(
            messages in vec(vec(any::<u8>(), 0..300), 0..10),
            cuts in vec(1..50usize, 1..20),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|bytes| message(bytes)).collect();
            let mut incoming = Incoming::default();
            let mut arrived = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                rest = tail;
                incoming
                    .fill(|into| {
                        into[..head.len()].copy_from_slice(head);
                        Ok(head.len())
                    })
                    .unwrap();
                while let Some(bytes) = incoming.next(|bytes| Ok(bytes.to_vec())).unwrap() {
                    arrived.push(bytes);
                }
            }
            prop_assert_eq!(arrived, messages);
        }
    }

    #[test]
    fn too_long_a_message_is_refused_on_both_sides() {
        assert!(frame(|out| out.resize(out.len() + MOST_BYTES, 7)).is_some());
        assert!(frame(|out| out.resize(out.len() + MOST_BYTES + 1, 7)).is_none());
        let mut incoming = Incoming::default();
        incoming
            .fill(|into| {
                into[..4].copy_from_slice(&(MOST_BYTES as u32 + 1).to_le_bytes());
                Ok(4)
            })
            .unwrap();
        assert_eq!(incoming.next(|_| Ok(())), Err(Malformed));
    }

    #[test]
    fn what_was_handed_out_is_wiped() {
        let mut incoming = Incoming::default();
        let bytes = message(b"sk-secret");
        incoming
            .fill(|into| {
                into[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            })
            .unwrap();
        assert_eq!(incoming.next(|bytes| Ok(bytes.len())), Ok(Some(9)));
        assert!(incoming.bytes.iter().all(|byte| *byte == 0));
    }
}
