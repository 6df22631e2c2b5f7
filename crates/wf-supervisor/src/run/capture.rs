//! Reads what workers write: pipe → redaction → log, and tells the console where in the log it is.
//!
//! One task per attempt on the supervisor's single thread, one read at a time, so that the control loop is never far
//! away. Bytes never wait for a terminal; only output that has outgrown its log does (see [`log::ItemLog`]).

mod log;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot};
use wf_core::AttemptId;

use self::log::ItemLog;
use crate::console::Stream;
use crate::console::redact::{Redactor, StreamRedactor};
use crate::console::terminal::{AttemptOutput, Console};

/// Bytes read at a time, into one buffer that all attempts share.
const READ_BYTES: usize = 256 * 1024;

/// What a pipe holds when it is made (Linux, `pipe(7)`). A stream that fills it is fast.
const PIPE_BYTES: usize = 64 * 1024;

/// What the pipe of a fast stream is made to hold: the largest size a user may ask for unless an administrator says
/// otherwise.
const WIDE_PIPE_BYTES: i32 = 1024 * 1024;

/// Reads that find the pipe full before it is widened.
const FULL_READS: u32 = 8;

/// Pipes widened at once. All pipes of a user share 64 MiB; beyond it every new pipe holds a page or two.
const MAX_WIDE_PIPES: usize = 16;

/// How often activity of one attempt is reported at most.
const ACTIVITY_EVERY: Duration = Duration::from_millis(100);

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
    buffers: Mutex<Buffers>,
    wide_pipes: AtomicUsize,
}

#[derive(Debug)]
struct Buffers {
    read: Vec<u8>,
    redacted: Vec<u8>,
}

/// Keeps a capture going. Dropping it is the same as [`CaptureHandle::stop`].
#[derive(Debug)]
pub struct CaptureHandle(oneshot::Sender<()>);

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
        Capture(Arc::new(Shared {
            run_dir,
            max_log_bytes,
            redactor,
            console,
            events,
            buffers: Mutex::new(Buffers { read: vec![0; READ_BYTES], redacted: Vec::new() }),
            wide_pipes: AtomicUsize::new(0),
        }))
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
        let reading = Reading {
            attempt,
            stdout: Some(Source::new(Stream::Stdout, stdout, &self.0.redactor)?),
            stderr: Some(Source::new(Stream::Stderr, stderr, &self.0.redactor)?),
            stderr_first: false,
            sink: Destination { log, console: self.0.console.open(attempt.item, label), showing: None },
            activity: Activity::default(),
            failure: None,
            shared: Arc::clone(&self.0),
        };
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(reading.run(stopped));
        Ok(CaptureHandle(stop))
    }
}

impl Shared {
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pipe.
struct Source {
    stream: Stream,
    pipe: Receiver,
    redactor: StreamRedactor,
    full_reads: u32,
    /// Counted in `wide_pipes`.
    is_wide: bool,
}

impl Source {
    fn new(stream: Stream, pipe: OwnedFd, redactor: &Redactor) -> io::Result<Source> {
        // The other end is another description and stays blocking.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let pipe = Receiver::from_owned_fd_unchecked(pipe)?;
        Ok(Source { stream, pipe, redactor: redactor.stream(), full_reads: 0, is_wide: false })
    }

    /// Gives a fast stream a larger pipe: fewer switches between its worker and us. Quiet ones never pay for it.
    fn widen_if_fast(&mut self, read: usize, wide_pipes: &AtomicUsize) {
        if read < PIPE_BYTES || self.full_reads > FULL_READS {
            return;
        }
        self.full_reads += 1;
        if self.full_reads > FULL_READS && wide_pipes.load(Ordering::Relaxed) < MAX_WIDE_PIPES {
            #[cfg(target_os = "linux")]
            if fcntl(self.pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(WIDE_PIPE_BYTES)).is_ok() {
                self.is_wide = true;
                wide_pipes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Where redacted bytes go.
struct Destination {
    log: ItemLog,
    console: AttemptOutput,
    /// Bytes that are in no log are on their way to the terminal.
    showing: Option<oneshot::Receiver<()>>,
}

/// One attempt being captured.
struct Reading {
    attempt: AttemptId,
    stdout: Option<Source>,
    stderr: Option<Source>,
    /// Whose turn it is, so that neither stream starves the other.
    stderr_first: bool,
    sink: Destination,
    activity: Activity,
    /// To be reported.
    failure: Option<io::Error>,
    shared: Arc<Shared>,
}

impl Reading {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let read = tokio::select! {
                biased;
                _ = &mut stopped => {
                    self.read_the_rest();
                    break;
                }
                read = poll_fn(|cx| self.poll_read(cx)) => read,
            };
            let Some(bytes) = read else { break };
            self.report(bytes).await;
            if let Some(shown) = self.sink.wait_for() {
                tokio::select! {
                    biased;
                    _ = &mut stopped => {
                        self.read_the_rest();
                        break;
                    }
                    _ = shown => {}
                }
            }
            if bytes >= PIPE_BYTES {
                // More is there; but others are, too.
                tokio::task::yield_now().await;
            }
        }
        self.close(Stream::Stdout);
        self.close(Stream::Stderr);
        self.report(0).await;
        let Reading { attempt, sink, shared, .. } = self;
        // The console completes the last line before anyone hears of the end.
        drop(sink);
        // Without a driver nobody needs to hear.
        let _ = shared.events.send(CaptureEvent::OutputEnded(attempt)).await;
    }

    /// Reads once from whichever pipe has something; the bytes read, or `None` when both have ended.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.stderr_first = !self.stderr_first;
        let order = if self.stderr_first {
            [Stream::Stderr, Stream::Stdout]
        } else {
            [Stream::Stdout, Stream::Stderr]
        };
        for stream in order {
            match self.poll_stream(stream, cx) {
                Poll::Ready(Some(0)) => self.close(stream),
                Poll::Ready(Some(bytes)) => return Poll::Ready(Some(bytes)),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        if self.stdout.is_none() && self.stderr.is_none() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Bytes read and passed on; 0 at the end; `None` when it was closed before.
    fn poll_stream(&mut self, stream: Stream, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let shared = Arc::clone(&self.shared);
        let Some(source) = self.source(stream).as_mut() else { return Poll::Ready(None) };
        let mut buffers = shared.buffers();
        let Buffers { read, redacted } = &mut *buffers;
        let mut buffer = ReadBuf::new(read);
        // A pipe that cannot be read has ended for us.
        if ready!(Pin::new(&mut source.pipe).poll_read(cx, &mut buffer)).is_err() {
            return Poll::Ready(Some(0));
        }
        let bytes = buffer.filled();
        source.widen_if_fast(bytes.len(), &shared.wide_pipes);
        let certain = source.redactor.push(bytes, redacted);
        let count = bytes.len();
        self.pass_on(stream, certain);
        Poll::Ready(Some(count))
    }

    /// Reads what the pipes hold and nothing that is written later: whoever holds them may write for ever.
    fn read_the_rest(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut buffers = shared.buffers();
        let Buffers { read, redacted } = &mut *buffers;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let Some(mut source) = self.source(stream).take() else { continue };
            let mut left = if source.is_wide { WIDE_PIPE_BYTES as usize } else { PIPE_BYTES };
            while left > 0 {
                let want = left.min(read.len());
                match nix::unistd::read(source.pipe.as_fd(), &mut read[..want]) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => {
                        left -= n;
                        let certain = source.redactor.push(&read[..n], redacted);
                        self.pass_on(stream, certain);
                    }
                }
            }
            *self.source(stream) = Some(source);
        }
    }

    /// Ends a stream: what its redaction withheld is passed on.
    fn close(&mut self, stream: Stream) {
        let Some(mut source) = self.source(stream).take() else { return };
        let shared = Arc::clone(&self.shared);
        if source.is_wide {
            shared.wide_pipes.fetch_sub(1, Ordering::Relaxed);
        }
        let mut buffers = shared.buffers();
        let rest = source.redactor.finish(&mut buffers.redacted);
        self.pass_on(stream, rest);
    }

    fn pass_on(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Err(error) = self.sink.take(stream, bytes, &self.shared.console) {
            self.failure = Some(error);
        }
    }

    fn source(&mut self, stream: Stream) -> &mut Option<Source> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Tells the driver of activity and of a log that failed.
    async fn report(&mut self, bytes: usize) {
        if let Some(error) = self.failure.take() {
            let path = self.sink.log.path().to_owned();
            let event = CaptureEvent::LogFailed { attempt: self.attempt, path, error };
            let _ = self.shared.events.send(event).await;
        }
        if bytes > 0 {
            let now = Instant::now();
            let event = CaptureEvent::Output(self.attempt);
            if self.activity.is_due(now) && self.shared.events.try_send(event).is_ok() {
                self.activity.reported = Some(now);
            }
        }
    }
}

/// When the driver last heard of activity. It is told at once when an attempt speaks after a silence, and then often
/// enough for a watchdog of seconds.
#[derive(Debug, Default)]
struct Activity {
    reported: Option<Instant>,
}

impl Activity {
    fn is_due(&self, now: Instant) -> bool {
        self.reported.is_none_or(|last| now.duration_since(last) >= ACTIVITY_EVERY)
    }
}

impl Destination {
    /// Appends to the log and tells the console. An error is returned once, when the log fails.
    fn take(&mut self, stream: Stream, bytes: &[u8], console: &Console) -> io::Result<()> {
        let appended = self.log.append(bytes);
        if appended.len > 0 {
            self.console.segment(stream, appended.offset, appended.len);
        }
        if appended.reached_limit {
            console.coordinator(&self.log.limit_notice(self.console.shows_unlogged()));
        }
        let rest = &bytes[appended.len as usize..];
        if !rest.is_empty() && self.may_show() {
            self.showing = self.console.unlogged(stream, rest.to_vec());
        }
        appended.failure.map_or(Ok(()), Err)
    }

    /// When the log has failed, the pipes must be drained whatever the terminal does: bytes it is too slow for are
    /// dropped. Else they wait, so there is nothing on its way when more comes.
    fn may_show(&mut self) -> bool {
        !self.log.has_failed()
            || self
                .showing
                .as_mut()
                .is_none_or(|shown| shown.try_recv() != Err(oneshot::error::TryRecvError::Empty))
    }

    /// What to wait for before more is read.
    fn wait_for(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.log.has_failed() { None } else { self.showing.take() }
    }
}
