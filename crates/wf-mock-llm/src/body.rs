//! The body of a reply on its way out: whole, trickling, or cut in the middle.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::engine::Delivery;

/// How many pieces a slow reply comes in.
const PIECES: usize = 8;

/// How long a cut reply stays open after its last byte, so that what was sent leaves the buffers.
const BEFORE_THE_CUT: Duration = Duration::from_millis(20);

/// A body with a declared length, which it keeps unless it is cut, or a stream, which has none. `done` is called once, when the last byte it will
/// ever give has been given.
pub struct ReplyBody<F: FnMut()> {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    /// What is left of a declared length; a stream declares none.
    left: Option<u64>,
    end: End,
    done: Option<F>,
}

/// What comes after the last piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Proper,
    /// The connection closes.
    Cut,
    /// Nothing, for as long as the client likes.
    Stall,
}

impl<F: FnMut()> ReplyBody<F> {
    /// The body of a reply that is delivered in this way; a stream goes out event by event.
    pub fn new(text: String, is_stream: bool, delivery: Delivery, done: F) -> ReplyBody<F> {
        let ends = event_ends(&text).filter(|_| is_stream);
        let ends: Vec<usize> = ends.collect();
        let whole = Bytes::from(text);
        let left = (!is_stream).then_some(whole.len() as u64);
        let cut_at = |ends: Vec<usize>, most: usize| -> VecDeque<Bytes> {
            let ends = ends.into_iter().filter(|end| *end < most).chain([most]);
            let mut from = 0;
            let pieces = ends.map(|end| whole.slice(std::mem::replace(&mut from, end)..end));
            pieces.filter(|piece| !piece.is_empty()).collect()
        };
        let (pieces, pause, end) = match delivery {
            Delivery::Whole => (cut_at(ends, whole.len()), Duration::ZERO, End::Proper),
            Delivery::Slow(pause) => {
                let size = whole.len().div_ceil(PIECES).max(1);
                let ends = if is_stream { ends } else { (size..whole.len()).step_by(size).collect() };
                (cut_at(ends, whole.len()), pause, End::Proper)
            }
            Delivery::Cut | Delivery::Dropped => (cut_at(ends, whole.len() / 2), BEFORE_THE_CUT, End::Cut),
            Delivery::Stalled => (cut_at(ends, whole.len() / 2), Duration::ZERO, End::Stall),
        };
        ReplyBody { pieces, pause, sleep: None, left, end, done: Some(done) }
    }
}

/// Where the events of a stream end.
fn event_ends(text: &str) -> impl Iterator<Item = usize> {
    let blank = if text.contains("\r\n\r\n") { "\r\n\r\n" } else { "\n\n" };
    text.match_indices(blank).map(|(at, mark)| at + mark.len()).collect::<Vec<_>>().into_iter()
}

impl<F: FnMut() + Unpin> Body for ReplyBody<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(pause) = &mut self.sleep {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        let Some(piece) = self.pieces.pop_front() else {
            return match self.end {
                End::Proper => Poll::Ready(None),
                // A connection with bytes still to come can only be closed.
                End::Cut => Poll::Ready(Some(Err(io::Error::other("cut on purpose")))),
                // Nothing wakes it; the client's end of the connection closes it.
                End::Stall => Poll::Pending,
            };
        };
        self.left = self.left.map(|left| left - piece.len() as u64);
        if self.pieces.is_empty()
            && self.end != End::Stall
            && let Some(mut done) = self.done.take()
        {
            done();
        }
        if !self.pause.is_zero() {
            self.sleep = Some(Box::pin(sleep(self.pause)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Proper
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
