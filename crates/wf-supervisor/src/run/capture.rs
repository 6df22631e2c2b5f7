//! Reads what workers write: pipe → redaction → log, and tells the console where in the log it is.
//!
//! One task per attempt, one read at a time. Attempts begin on the supervisor's own thread, where a quiet one costs
//! next to nothing. A stream that proves to be fast moves to a thread of its own kind ([`lanes`]), so that neither a
//! flood of output nor a slow disk keeps the control loop waiting.
//!
//! Bytes never wait for a terminal; only output that has outgrown its log does (see [`destination`]).

mod destination;
mod lanes;
mod log;
mod reading;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wf_core::AttemptId;

use self::destination::Destination;
use self::lanes::Lanes;
use self::log::ItemLog;
use self::reading::Reading;
use crate::console::redact::Redactor;
use crate::console::terminal::Console;

/// What the driver hears.
#[derive(Debug)]
pub enum CaptureEvent {
    /// The attempt wrote something, within the last 100 ms.
    Output(AttemptId),
    /// Both streams ended, or were told to, and everything is in the log. Nothing follows for this attempt.
    OutputEnded(AttemptId),
    /// The log cannot be written: the run has to end. What the attempt writes is still read.
    LogFailed {
        /// Whose log it is.
        attempt: AttemptId,
        /// Its path.
        path: PathBuf,
        /// What went wrong, such as a full disk.
        error: io::Error,
    },
}

/// What all captures of a run share.
#[derive(Clone, Debug)]
pub struct Capture(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    run_dir: PathBuf,
    max_log_bytes: u64,
    redactor: Redactor,
    console: Console,
    events: mpsc::Sender<CaptureEvent>,
    lanes: Lanes,
    /// Cloned for every pipe that was widened, to count them.
    wide_pipes: Arc<()>,
}

/// Keeps a capture going. Dropping it is the same as [`CaptureHandle::stop`].
#[derive(Debug)]
pub struct CaptureHandle {
    _stop: oneshot::Sender<()>,
}

impl CaptureHandle {
    /// Ends the capture although someone still holds the pipes: what they contain is read, then they are closed.
    /// [`CaptureEvent::OutputEnded`] follows.
    pub fn stop(self) {
        drop(self);
    }
}

/// A pipe for one stream of a worker: the end to read, for [`Capture::start`], and the end to write, which blocks as
/// any worker expects. Both are closed on exec.
pub fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

impl Capture {
    /// Logs go to `LABEL.log` in `run_dir`, at most `max_log_bytes` each. Events go to `events`; activity is dropped
    /// while it is full, the others wait.
    pub fn new(
        run_dir: PathBuf,
        max_log_bytes: u64,
        redactor: Redactor,
        console: Console,
        events: mpsc::Sender<CaptureEvent>,
    ) -> Capture {
        let lanes = Lanes::default();
        let wide_pipes = Arc::new(());
        Capture(Arc::new(Shared { run_dir, max_log_bytes, redactor, console, events, lanes, wide_pipes }))
    }

    /// Opens the item's log, which exists from now on, and reads both pipes until their end. To be called within the
    /// runtime, before the worker is spawned. An error is about the log or the descriptors.
    pub fn start(
        &self,
        attempt: AttemptId,
        label: Arc<str>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> io::Result<CaptureHandle> {
        let log = ItemLog::open(&self.0.run_dir, &label, self.0.max_log_bytes)?;
        self.start_into(log, attempt, label, stdout, stderr)
    }

    fn start_into(
        &self,
        log: ItemLog,
        attempt: AttemptId,
        label: Arc<str>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> io::Result<CaptureHandle> {
        let destination = Destination::new(log, self.0.console.open(attempt.item, label));
        let reading = Reading::new(attempt, stdout, stderr, destination, Arc::clone(&self.0))?;
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(reading.run(stopped));
        Ok(CaptureHandle { _stop: stop })
    }
}
