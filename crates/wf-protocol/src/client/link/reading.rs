//! Who reads the connection: a call that waits for its answer, or else the watching thread.
//!
//! A call that reads by itself has its answer without a second thread having to be woken for it first, which costs more
//! than all the rest of a lease. The watching thread is there for what comes while no call waits: a stop request, the
//! supervisor's end. It keeps away while a call reads and for a [`NAP`] after it, so that it is not woken for each answer.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use interprocess::local_socket::Stream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use zeroize::Zeroizing;

use super::{CHUNK_BYTES, Link, State, lock};
use crate::{Decoder, ToWorker};

/// How long after a call has read the watching thread leaves the connection alone: the most by which a stop request comes
/// late. A person does not notice it, and a worker's calls to a model take longer.
const NAP: Duration = Duration::from_millis(20);

/// What has come in, up to a message that is not whole yet.
pub(super) struct Inbox {
    decoder: Decoder<ToWorker>,
    chunk: Box<Zeroizing<[u8; CHUNK_BYTES]>>,
}

impl Inbox {
    /// With what came along with the answer to the hello.
    pub(super) fn new(decoder: Decoder<ToWorker>) -> Inbox {
        Inbox { decoder, chunk: Box::new(Zeroizing::new([0; CHUNK_BYTES])) }
    }
}

/// Whose turn it is: whoever reads has the turn, or a message would be taken from under a call that waits for the socket.
#[derive(Default)]
pub(super) struct Turns {
    /// Somebody reads, or is about to.
    is_taken: bool,
    /// A call did, since the watching thread looked last.
    was_a_calls: bool,
    /// The watching thread waits for the turn to end.
    is_awaited: bool,
}

/// The right to read. It ends also when reading panics (in what somebody registered for a stop).
struct Turn<'a> {
    link: &'a Link,
    is_a_calls: bool,
}

impl<'a> Turn<'a> {
    /// `None` where somebody else has it.
    fn take(link: &'a Link, state: &mut State, is_a_calls: bool) -> Option<Turn<'a>> {
        let is_free = !std::mem::replace(&mut state.turns.is_taken, true);
        is_free.then(|| Turn { link, is_a_calls })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.link.state);
        state.turns.is_taken = false;
        state.turns.was_a_calls |= self.is_a_calls;
        let is_awaited = std::mem::take(&mut state.turns.is_awaited);
        // A call that had the turn looks for its answer by itself.
        let others_wait = state.calls.len() > usize::from(self.is_a_calls);
        drop(state);
        if is_awaited {
            self.link.rested.notify_one();
        }
        if others_wait {
            self.link.changed.notify_all();
        }
    }
}

impl Link {
    /// For a call that has no answer yet: reads until something came, or waits for whoever does.
    pub(super) fn read_or_wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(turn) = Turn::take(self, &mut state, true) else {
            return self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let Stream::UdSocket(stream) = &self.stream;
        let read = wait_for([stream.as_fd(), self.ended.0.as_fd()]).and_then(|()| self.take_in());
        if let Err(loss) = read {
            self.lose(loss);
        }
        drop(turn);
        lock(&self.state)
    }

    /// The watching thread: until the connection is lost.
    pub(super) fn watch(&self) {
        // A message may have come along with the answer to the hello.
        let mut read = self.deliver(&mut lock(&self.inbox));
        while read.is_ok() && self.wait_for_turn() {
            let Stream::UdSocket(stream) = &self.stream;
            read = wait_for([stream.as_fd()]);
            // By now the message may be the one a call waits for.
            let turn = Turn::take(self, &mut lock(&self.state), false);
            if read.is_ok() && turn.is_some() {
                read = self.take_in();
            }
        }
        if let Err(loss) = read {
            self.lose(loss);
        }
    }

    /// Waits until no call reads, and none did just now; `false` when the connection is lost.
    fn wait_for_turn(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.loss.is_some() {
                return false;
            }
            if state.turns.is_taken {
                state.turns.is_awaited = true;
                state = self.rested.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if std::mem::take(&mut state.turns.was_a_calls) {
                state = self.rested.wait_timeout(state, NAP).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                return true;
            }
        }
    }

    /// Takes in what there is without waiting for more. An error is the reason to hang up.
    fn take_in(&self) -> Result<(), String> {
        let mut inbox = lock(&self.inbox);
        let Stream::UdSocket(stream) = &self.stream;
        match recv(stream.as_fd().as_raw_fd(), &mut inbox.chunk[..], MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return Err("the supervisor closed the connection".to_owned()),
            Ok(count) => {
                let Inbox { decoder, chunk } = &mut *inbox;
                decoder.push(&chunk[..count]);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(format!("reading from the supervisor failed: {error}")),
        }
        self.deliver(&mut inbox)
    }

    fn deliver(&self, inbox: &mut Inbox) -> Result<(), String> {
        loop {
            match inbox.decoder.next() {
                Ok(Some(message)) => self.take(message)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(format!("the supervisor's message cannot be read: {error}")),
            }
        }
    }
}

/// Waits, however long, until one of them can be read or is at its end.
fn wait_for<const N: usize>(files: [BorrowedFd<'_>; N]) -> Result<(), String> {
    let mut polled = files.map(|file| PollFd::new(file, PollFlags::POLLIN));
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Err(format!("waiting for the supervisor failed: {}", io::Error::from(error)));
            }
        }
    }
}
