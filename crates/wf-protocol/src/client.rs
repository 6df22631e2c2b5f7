//! The worker's end: synchronous, for plain threads.
//!
//! A [`Client`] is one connection. A call that waits for its lease reads it; while none does, a thread of its own, so a stop
//! request arrives also while the worker is busy elsewhere. Losing the supervisor counts as a stop request, because nothing of a worker goes on without it; so sending
//! has no error of its own.

mod link;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use self::link::{Answer, Link, Ticket};
use crate::limits::{FULL_SHARE, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TEXT_BYTES};
use crate::socket::SocketPathError;
use crate::validate::{clean_name, clip_text};
use crate::{
    CallOutcome, DenyCause, FieldError, FrameError, JobVerdict, LeaseRequest, RefusalCode, Secret,
    StopReason, ToSupervisor, VERSION, WaitReason,
};

/// A connection to the supervisor. Clones share it; it is closed when the last clone and the last [`Grant`] are gone.
#[derive(Clone)]
pub struct Client {
    session: Arc<Session>,
}

/// Closes the connection when nobody uses it any more. The watching thread holds the link alone, so it does not count.
struct Session {
    link: Arc<Link>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.hang_up();
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The process was not started by a supervisor.
    #[error("{variable} is not set: this program is started by `wf-supervisor run`, not by hand")]
    NotAWorker {
        /// `WF_SOCKET` or `WF_TOKEN`.
        variable: &'static str,
    },
    /// `WF_TOKEN` is no token.
    #[error("WF_TOKEN is unusable: {0}")]
    Token(FieldError),
    /// `WF_SOCKET` is no path for a socket.
    #[error("WF_SOCKET is unusable: {0}")]
    Path(#[from] SocketPathError),
    /// Nobody listens there.
    #[error("cannot connect to the supervisor at {path:?}: {reason}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The supervisor does not want this worker.
    #[error("the supervisor refused the connection ({code:?}): {detail}")]
    Refused {
        /// The reason as a code.
        code: RefusalCode,
        /// The reason as a sentence.
        detail: String,
    },
    /// The supervisor is of another version.
    #[error(
        "the supervisor speaks version {supervisor} of the protocol, this worker {VERSION}: install both together"
    )]
    Version {
        /// Its version.
        supervisor: u16,
    },
    /// No answer to the hello in time.
    #[error("the supervisor did not answer within {} s", crate::limits::ANSWER_TIMEOUT.as_secs())]
    NoAnswer,
    /// The answer is nonsense.
    #[error("the supervisor's answer cannot be read: {0}")]
    Nonsense(#[from] FrameError),
    /// The answer is a message, but none that answers a hello.
    #[error("the supervisor's first message is not an answer to the hello")]
    OutOfTurn,
    /// The connection broke before the answer.
    #[error("the connection to the supervisor broke: {0}")]
    Broken(#[from] io::Error),
}

/// Why a call may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AcquireError {
    /// The supervisor says no.
    #[error("{detail}")]
    Denied {
        /// Why.
        cause: DenyCause,
        /// The same in words.
        detail: String,
        /// Whether a later run may succeed: the item is then *interrupted*, else *failed*.
        passing: bool,
    },
    /// The worker is to stop.
    #[error("asked to stop ({0:?})")]
    Stopped(StopReason),
    /// The supervisor is gone.
    #[error("the connection to the supervisor is lost")]
    Lost,
    /// The request is out of bounds; it was not sent.
    #[error("the request for a key is unusable: {0}")]
    Invalid(#[from] FieldError),
    /// Another thread waits for the same call.
    #[error("call {0} is already waiting for a key")]
    InProgress(u64),
}

/// Why a call waits, and for about how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why.
    pub reason: WaitReason,
    /// For about how long, where known.
    pub wait: Option<Duration>,
}

impl Client {
    /// Connects as the environment says: `WF_SOCKET` and `WF_TOKEN`. Returns the job's settings (JSON) too.
    pub fn from_env() -> Result<(Client, String), ClientError> {
        let variable = |variable| std::env::var_os(variable).ok_or(ClientError::NotAWorker { variable });
        let path = PathBuf::from(variable("WF_SOCKET")?);
        // What is not UTF-8 is no token either way, and the check of it says so.
        let token = variable("WF_TOKEN")?.into_string().unwrap_or_default();
        Client::connect(&path, &Secret::from(token))
    }

    /// Connects, says hello, and waits (up to [`ANSWER_TIMEOUT`](crate::limits::ANSWER_TIMEOUT)) for the answer. Returns
    /// the job's settings (JSON) too.
    pub fn connect(path: &Path, token: &Secret) -> Result<(Client, String), ClientError> {
        let hello = ToSupervisor::Hello { version: VERSION, token: token.clone() };
        hello.validate().map_err(ClientError::Token)?;
        let (link, job) = link::open(path, &hello)?;
        Ok((Client { session: Arc::new(Session { link }) }, job))
    }

    /// Asks for a key and waits until it is there. `on_waiting` is called, in this thread, each time the supervisor says
    /// that and why the call waits. A stop request or the loss of the supervisor ends the wait at once; the supervisor's
    /// `--max-wait` bounds it.
    pub fn acquire(
        &self,
        request: &LeaseRequest,
        on_waiting: &mut dyn FnMut(Waiting),
    ) -> Result<Grant, AcquireError> {
        request.validate()?;
        let link = &self.session.link;
        let place = link.queue(request.call)?;
        link.send(&ToSupervisor::Acquire(request.clone()));
        loop {
            match place.answer()? {
                Answer::Waiting(waiting) => on_waiting(waiting),
                Answer::Denied { cause, detail, passing } => {
                    return Err(AcquireError::Denied { cause, detail, passing });
                }
                Answer::Granted(ticket) => {
                    return Ok(Grant { session: Arc::clone(&self.session), ticket, returned: false });
                }
            }
        }
    }

    /// Returns a lease with what became of its call.
    pub fn release(&self, grant: Grant, outcome: CallOutcome) {
        grant.release(outcome);
    }

    /// Says that the workflow entered a node. `share` is in thousandths, `iteration` counts from 1.
    pub fn progress(&self, node: &str, iteration: u32, share: u16) {
        let node = clean_name(node, MAX_NAME_BYTES);
        self.session.link.send(&ToSupervisor::Progress { node, iteration, share: share.min(FULL_SHARE) });
    }

    /// Says that a node's result is durable.
    pub fn checkpointed(&self, node: &str) {
        self.session.link.send(&ToSupervisor::Checkpointed { node: clean_name(node, MAX_NAME_BYTES) });
    }

    /// Says how the job went: the worker's last word. `output` is the path and its SHA-256 in hexadecimal; a path too
    /// long for the protocol is left out.
    pub fn finished(&self, verdict: JobVerdict, detail: &str, output: Option<(String, String)>) {
        let mut detail = detail.to_owned();
        clip_text(&mut detail, MAX_TEXT_BYTES);
        let output = output.filter(|(path, _)| path.len() <= MAX_PATH_BYTES);
        self.session.link.send(&ToSupervisor::Finished { verdict, detail, output });
    }

    /// Whether the worker is to stop, and why. The first reason stays; a lost supervisor reads as
    /// [`StopReason::Shutdown`].
    pub fn stop_requested(&self) -> Option<StopReason> {
        self.session.link.stop_requested()
    }

    /// How the connection was lost, if it was.
    pub fn loss(&self) -> Option<String> {
        self.session.link.loss()
    }

    /// Makes a stop request of the worker's own (its SIGTERM handler's), as if the supervisor had sent it: wakes a
    /// waiting [`acquire`](Client::acquire) and calls what [`on_stop`](Client::on_stop) registered.
    pub fn stop(&self, reason: StopReason) {
        self.session.link.stop(reason);
    }

    /// Has `wake` called once, when the worker is to stop; at once if that is so already. It runs in the thread that
    /// learned of the stop, so it must be short.
    pub fn on_stop(&self, wake: Box<dyn Fn(StopReason) + Send + Sync>) {
        self.session.link.on_stop(wake);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stop_requested", &self.stop_requested()).finish_non_exhaustive()
    }
}

/// A lease: one call may be sent with its key. It is returned exactly once: by [`release`](Grant::release), or when it
/// is dropped, then as [`CallOutcome::Abandoned`].
pub struct Grant {
    session: Arc<Session>,
    ticket: Ticket,
    returned: bool,
}

impl Grant {
    /// The lease's number.
    pub fn lease(&self) -> u64 {
        self.ticket.lease
    }

    /// The key's name.
    pub fn key(&self) -> &str {
        &self.ticket.key
    }

    /// The key.
    pub fn secret(&self) -> &Secret {
        &self.ticket.secret
    }

    /// How long until the supervisor takes the lease back by itself.
    pub fn left(&self) -> Duration {
        self.ticket.lifetime.saturating_sub(Instant::now().saturating_duration_since(self.ticket.came))
    }

    /// Returns the lease with what became of its call.
    pub fn release(mut self, outcome: CallOutcome) {
        self.give_back(outcome);
    }

    fn give_back(&mut self, outcome: CallOutcome) {
        if !std::mem::replace(&mut self.returned, true) {
            self.session.link.release(self.ticket.lease, outcome);
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.give_back(CallOutcome::Abandoned);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("lease", &self.ticket.lease)
            .field("key", &self.ticket.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
