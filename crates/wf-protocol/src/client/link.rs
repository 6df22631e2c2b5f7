//! One connection: its socket, and what all who use it know of it.

mod reading;

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use interprocess::local_socket::traits::Stream as _;
use interprocess::local_socket::{ConnectOptions, Stream};
use zeroize::Zeroizing;

use self::reading::{Inbox, Turns};
use super::{AcquireError, ClientError, Waiting};
use crate::limits::{ANSWER_TIMEOUT, MAX_FRAME_BYTES};
use crate::{
    CallOutcome, Decoder, DenyCause, Secret, StopReason, ToSupervisor, ToWorker, VERSION, encode, socket_name,
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Waits for the socket are counted in slices of this length, so that a worker that was stopped (SIGSTOP) for an hour
/// has used up one slice and not its patience.
const SLICE: Duration = Duration::from_secs(1);

/// Everybody who uses the connection meets here. Of its locks, that of the inbox may be held when another is taken; no other.
pub(super) struct Link {
    stream: Stream,
    /// False once a write failed: a frame may be cut, nothing can follow it.
    writable: Mutex<bool>,
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
    /// For calls that wait while another one reads.
    changed: Condvar,
    /// For the watching thread.
    rested: Condvar,
    /// Holds a byte once there is an end, for whoever waits for the socket.
    ended: (PipeReader, PipeWriter),
}

struct State {
    /// Set once, never changed.
    end: Option<End>,
    /// How the connection was lost, also when a stop request came before.
    loss: Option<String>,
    /// Calls that wait for a key, with the answers that came for them.
    calls: HashMap<u64, Answers>,
    turns: Turns,
    wakers: Vec<Box<dyn Fn(StopReason) + Send + Sync>>,
}

#[derive(Clone, Copy)]
enum End {
    Stop(StopReason),
    Lost,
}

impl End {
    /// A lost supervisor reads as its shutdown.
    fn reason(self) -> StopReason {
        match self {
            End::Stop(reason) => reason,
            End::Lost => StopReason::Shutdown,
        }
    }
}

impl From<End> for AcquireError {
    fn from(end: End) -> AcquireError {
        match end {
            End::Stop(reason) => AcquireError::Stopped(reason),
            End::Lost => AcquireError::Lost,
        }
    }
}

/// What came for one call: of the reasons to wait only the latest counts.
#[derive(Default)]
struct Answers {
    waiting: Option<Waiting>,
    last: Option<Answer>,
}

/// An answer to a request for a key.
pub(super) enum Answer {
    Waiting(Waiting),
    Granted(Ticket),
    Denied { cause: DenyCause, detail: String, passing: bool },
}

/// A lease as it came. Whoever holds one has to see to its release.
pub(super) struct Ticket {
    pub(super) lease: u64,
    pub(super) key: String,
    pub(super) secret: Secret,
    pub(super) came: Instant,
    pub(super) lifetime: Duration,
}

/// Connects, says hello, reads the answer, and starts the watching thread. The connecting itself waits for the
/// supervisor's queue of connections to have room, or for its end.
pub(super) fn open(path: &Path, hello: &ToSupervisor) -> Result<(Arc<Link>, String), ClientError> {
    let name = socket_name(path)?;
    let cannot = |reason| ClientError::Connect { path: path.to_owned(), reason };
    let stream = ConnectOptions::new().name(name).connect_sync().map_err(cannot)?;
    stream.set_recv_timeout(Some(SLICE))?;
    stream.set_send_timeout(Some(SLICE))?;
    // A supervisor that refuses at once may have closed before the hello is written; its reason is there to be read.
    let unsent = write_whole(&stream, &encode(hello)?).err();
    let mut decoder = Decoder::new(MAX_FRAME_BYTES);
    let job = match read_answer(&stream, &mut decoder) {
        Ok(ToWorker::Welcome { version: VERSION, job }) => job,
        Ok(ToWorker::Welcome { version, .. }) => return Err(ClientError::Version { supervisor: version }),
        Ok(ToWorker::Refused { code, detail }) => return Err(ClientError::Refused { code, detail }),
        Ok(_) => return Err(ClientError::OutOfTurn),
        Err(error) => return Err(unsent.map_or(error, ClientError::Broken)),
    };
    stream.set_recv_timeout(None)?;
    let state =
        State { end: None, loss: None, calls: HashMap::new(), turns: Turns::default(), wakers: Vec::new() };
    let link = Arc::new(Link {
        stream,
        writable: Mutex::new(true),
        inbox: Mutex::new(Inbox::new(decoder)),
        state: Mutex::new(state),
        changed: Condvar::new(),
        rested: Condvar::new(),
        ended: io::pipe()?,
    });
    let watching = Arc::clone(&link);
    thread::Builder::new().name("supervisor".to_owned()).spawn(move || watching.watch())?;
    Ok((link, job))
}

fn read_answer(stream: &Stream, decoder: &mut Decoder<ToWorker>) -> Result<ToWorker, ClientError> {
    let mut chunk = Zeroizing::new([0; CHUNK_BYTES]);
    let mut slices_left = slices(ANSWER_TIMEOUT);
    loop {
        if let Some(message) = decoder.next()? {
            return Ok(message);
        }
        match (&*stream).read(&mut chunk[..]) {
            Ok(0) => return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => decoder.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                slices_left -= 1;
                if slices_left == 0 {
                    return Err(ClientError::NoAnswer);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes all of it; gives up after [`ANSWER_TIMEOUT`] in which the supervisor took nothing.
fn write_whole(stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    let mut slices_left = slices(ANSWER_TIMEOUT);
    while !bytes.is_empty() {
        match (&*stream).write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                slices_left = slices(ANSWER_TIMEOUT);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) && slices_left > 1 => slices_left -= 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn slices(timeout: Duration) -> u64 {
    timeout.as_secs() / SLICE.as_secs()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Link {
    /// Sends a message. A failure is the loss of the supervisor, which the state tells.
    pub(super) fn send(&self, message: &ToSupervisor) {
        let sent = match encode(message) {
            Ok(frame) => {
                let mut writable = lock(&self.writable);
                if !*writable {
                    return;
                }
                let written = write_whole(&self.stream, &frame);
                *writable = written.is_ok();
                written.map_err(|error| format!("writing to the supervisor failed: {error}"))
            }
            Err(error) => Err(format!("a message cannot be sent: {error}")),
        };
        if let Err(loss) = sent {
            self.lose(loss);
        }
    }

    /// Returns a lease.
    pub(super) fn release(&self, lease: u64, mut outcome: CallOutcome) {
        outcome.clip();
        self.send(&ToSupervisor::Release { lease, outcome });
    }

    /// Takes a place for the answers to one call.
    pub(super) fn queue(&self, call: u64) -> Result<Place<'_>, AcquireError> {
        let mut state = lock(&self.state);
        if let Some(end) = state.end {
            return Err(end.into());
        }
        if state.calls.contains_key(&call) {
            return Err(AcquireError::InProgress(call));
        }
        state.calls.insert(call, Answers::default());
        Ok(Place { link: self, call })
    }

    pub(super) fn stop_requested(&self) -> Option<StopReason> {
        lock(&self.state).end.map(End::reason)
    }

    pub(super) fn loss(&self) -> Option<String> {
        lock(&self.state).loss.clone()
    }

    pub(super) fn stop(&self, reason: StopReason) {
        self.end(End::Stop(reason), None);
    }

    pub(super) fn on_stop(&self, wake: Box<dyn Fn(StopReason) + Send + Sync>) {
        let mut state = lock(&self.state);
        match state.end {
            None => state.wakers.push(wake),
            Some(end) => {
                drop(state);
                wake(end.reason());
            }
        }
    }

    /// Closes the connection in both directions, which also ends the watching thread.
    pub(super) fn hang_up(&self) {
        let Stream::UdSocket(stream) = &self.stream;
        // The only failure is that it is closed already.
        let _ = stream.inner().shutdown(Shutdown::Both);
    }

    fn lose(&self, loss: String) {
        self.end(End::Lost, Some(loss));
        self.hang_up();
    }

    /// The first end stays; who waits for one is woken outside of the lock, because a waker may call the client.
    fn end(&self, end: End, loss: Option<String>) {
        let mut state = lock(&self.state);
        if state.loss.is_none() {
            state.loss = loss;
        }
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        // An empty pipe has room for a byte, and nobody takes it out.
        let _ = (&self.ended.1).write_all(&[0]);
        for wake in wakers {
            wake(end.reason());
        }
    }

    /// Acts on one message; an error is the reason to hang up.
    fn take(&self, message: ToWorker) -> Result<(), String> {
        match message {
            ToWorker::Granted { call, lease, key, secret, expires_ms } => {
                let lifetime = Duration::from_millis(expires_ms);
                self.file(
                    call,
                    Answer::Granted(Ticket { lease, key, secret, came: Instant::now(), lifetime }),
                );
            }
            ToWorker::Waiting { call, reason, wait_ms } => {
                let wait = wait_ms.map(Duration::from_millis);
                self.file(call, Answer::Waiting(Waiting { reason, wait }));
            }
            ToWorker::Denied { call, cause, detail, passing } => {
                self.file(call, Answer::Denied { cause, detail, passing });
            }
            ToWorker::Stop { reason, grace_ms: _ } => self.stop(reason),
            ToWorker::Refused { code, detail } => {
                return Err(format!("the supervisor refused this worker ({code:?}): {detail}"));
            }
            ToWorker::Welcome { .. } => return Err("the supervisor sent a second welcome".to_owned()),
        }
        Ok(())
    }

    /// Puts an answer where its call waits. A lease for which nobody waits any more goes back.
    fn file(&self, call: u64, answer: Answer) {
        let mut state = lock(&self.state);
        let unwanted = match (state.calls.get_mut(&call), answer) {
            (Some(answers), Answer::Waiting(waiting)) => {
                answers.waiting = Some(waiting);
                None
            }
            (Some(answers), answer) if answers.last.is_none() => {
                answers.last = Some(answer);
                None
            }
            (_, answer) => Some(answer),
        };
        let others_wait = state.calls.len() > 1;
        drop(state);
        if others_wait {
            self.changed.notify_all();
        }
        if let Some(Answer::Granted(ticket)) = unwanted {
            self.release(ticket.lease, CallOutcome::Abandoned);
        }
    }
}

/// A call's place in the queue. Leaving it, in whatever way, returns a lease that came for it and was not taken.
pub(super) struct Place<'a> {
    link: &'a Link,
    call: u64,
}

impl Place<'_> {
    /// Waits for the next answer, and reads the connection for it and all others if nobody does. A stop comes before any
    /// answer: nothing new is begun after it.
    pub(super) fn answer(&self) -> Result<Answer, AcquireError> {
        let mut state = lock(&self.link.state);
        loop {
            if let Some(end) = state.end {
                return Err(end.into());
            }
            let answers = state.calls.get_mut(&self.call).expect("only the place itself removes its entry");
            if let Some(last) = answers.last.take() {
                return Ok(last);
            }
            if let Some(waiting) = answers.waiting.take() {
                return Ok(Answer::Waiting(waiting));
            }
            state = self.link.read_or_wait(state);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let answers = lock(&self.link.state).calls.remove(&self.call);
        if let Some(Answers { last: Some(Answer::Granted(ticket)), .. }) = answers {
            self.link.release(ticket.lease, CallOutcome::Abandoned);
        }
    }
}

/// A panic in a waker leaves the state as consistent as any return, so a poisoned lock is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
