//! A reply while it comes in, streamed or not, and what it was when it is over.

use std::time::Duration;

use crate::reply::{Assembly, read_reply};
use crate::{Dialect, EventReader, Refusal, Reply, StreamEvent, clean_message};

/// The longest reply that is read, in bytes after decompression, streamed or not.
pub const LONGEST_REPLY_BYTES: usize = 32 << 20;

/// How much of a stream without events is kept: it may be no stream at all, whatever its header says.
const KEPT_BYTES: usize = 64 << 10;

/// Whether more of a reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Read on.
    More,
    /// All is in; what may still come is nothing of the answer.
    Nothing,
}

/// How a reply's bytes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the server said they would, or after [`Wanted::Nothing`].
    AsAnnounced,
    /// Before that, with the reason in words.
    Cut(String),
}

/// A reply that is coming in. Feed it the bytes as they arrive, then ask what it was.
///
/// Whether it is a stream is for the server to say: one that was asked for a stream and answers with plain JSON is
/// understood too.
#[derive(Debug)]
pub struct Incoming {
    dialect: Dialect,
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    bytes: usize,
    too_large: bool,
}

#[derive(Debug)]
enum Body {
    Whole(Vec<u8>),
    Stream(Box<Stream>),
}

#[derive(Debug)]
struct Stream {
    events: EventReader,
    assembly: Assembly,
    /// Whether an event was in it.
    has_event: bool,
    /// The beginning, as long as none was.
    unread: Vec<u8>,
}

impl Incoming {
    /// A reply whose status and headers are in. Header names are compared without regard to case.
    pub fn new(dialect: Dialect, status: u16, headers: Vec<(String, String)>) -> Incoming {
        let is_stream = (200..300).contains(&status)
            && headers.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("content-type")
                    && value
                        .trim_start()
                        .get(..17)
                        .is_some_and(|v| v.eq_ignore_ascii_case("text/event-stream"))
            });
        let body =
            if is_stream { Body::Stream(Box::new(Stream::new(dialect))) } else { Body::Whole(Vec::new()) };
        Incoming { dialect, status, headers, body, bytes: 0, too_large: false }
    }

    /// Takes more of the body.
    pub fn push(&mut self, piece: &[u8]) -> Wanted {
        self.bytes = self.bytes.saturating_add(piece.len());
        self.too_large |= self.bytes > LONGEST_REPLY_BYTES;
        if self.too_large {
            return Wanted::Nothing;
        }
        match &mut self.body {
            Body::Whole(body) => {
                body.extend_from_slice(piece);
                Wanted::More
            }
            Body::Stream(stream) => {
                let mut found = Vec::new();
                self.too_large |= stream.events.push(piece, &mut found).is_err();
                stream.take(piece, found);
                if self.too_large || stream.assembly.is_over() { Wanted::Nothing } else { Wanted::More }
            }
        }
    }

    /// What the reply was. `now_unix` is the wall-clock time since the Unix epoch at which it began.
    pub fn finish(self, end: End, now_unix: Duration) -> Reply {
        if self.too_large {
            // Asking again would bring the same flood.
            let detail = format!("the reply is larger than {} MiB", LONGEST_REPLY_BYTES >> 20);
            return Reply::Refused(Refusal::RequestRefused { detail });
        }
        let is_success = (200..300).contains(&self.status);
        let read = |body: &[u8]| read_reply(self.dialect, self.status, &self.headers, body, now_unix);
        match (self.body, end) {
            (Body::Whole(_), End::Cut(why)) if is_success => cut(self.status, &why),
            // The status, the headers and the first words of a refusal say enough.
            (Body::Whole(body), _) => read(&body),
            (Body::Stream(mut stream), end) => {
                if end == End::AsAnnounced {
                    let last = std::mem::take(&mut stream.events).finish();
                    stream.take(&[], last.into_iter().collect());
                }
                match end {
                    End::AsAnnounced if !stream.has_event => read(&stream.unread),
                    End::AsAnnounced => stream.assembly.reply(self.status, &self.headers, now_unix),
                    // The model had stopped: what did not come is the end mark, which some servers never send.
                    End::Cut(_) if stream.assembly.is_over() || stream.assembly.has_stopped() => {
                        stream.assembly.reply(self.status, &self.headers, now_unix)
                    }
                    End::Cut(why) => cut(self.status, &why),
                }
            }
        }
    }
}

impl Stream {
    fn new(dialect: Dialect) -> Stream {
        Stream {
            events: EventReader::new(),
            assembly: Assembly::new(dialect),
            has_event: false,
            unread: Vec::new(),
        }
    }

    fn take(&mut self, piece: &[u8], events: Vec<StreamEvent>) {
        if !self.has_event {
            let room = KEPT_BYTES - self.unread.len();
            self.unread.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        for event in events {
            self.has_event = true;
            self.unread = Vec::new();
            self.assembly.take(&event);
        }
    }
}

/// A part of an answer is no answer.
fn cut(status: u16, why: &str) -> Reply {
    Reply::Refused(Refusal::Transient {
        detail: clean_message(&format!("HTTP {status}: the reply was cut off: {why}")),
    })
}
