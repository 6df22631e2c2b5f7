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

/// A body with a declared length, which it keeps unless it is cut. `done` is called once, when the last byte it will
/// ever give has been given.
pub struct ReplyBody<F: FnMut()> {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    left: u64,
    cut: bool,
    done: Option<F>,
}

impl<F: FnMut()> ReplyBody<F> {
    /// The body of a reply that is delivered in this way.
    pub fn new(text: String, delivery: Delivery, done: F) -> ReplyBody<F> {
        let whole = Bytes::from(text);
        let left = whole.len() as u64;
        let (pieces, pause, cut) = match delivery {
            Delivery::Whole => (VecDeque::from([whole]), Duration::ZERO, false),
            Delivery::Slow(pause) => {
                let size = whole.len().div_ceil(PIECES).max(1);
                let starts = (0..whole.len()).step_by(size);
                (starts.map(|from| whole.slice(from..(from + size).min(whole.len()))).collect(), pause, false)
            }
            Delivery::Cut | Delivery::Dropped => {
                (VecDeque::from([whole.slice(..whole.len() / 2)]), BEFORE_THE_CUT, true)
            }
        };
        ReplyBody { pieces, pause, sleep: None, left, cut, done: Some(done) }
    }
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
            // A connection with bytes still to come can only be closed.
            return Poll::Ready(self.cut.then(|| Err(io::Error::other("cut on purpose"))));
        };
        self.left -= piece.len() as u64;
        if self.pieces.is_empty()
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
        self.pieces.is_empty() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
