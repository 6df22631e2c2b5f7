//! The task that reads the two pipes of one attempt.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use wf_core::AttemptId;

use super::destination::Destination;
use super::lanes::Buffers;
use super::{CaptureEvent, Shared};
use crate::console::Stream;
use crate::console::redact::{Redactor, StreamRedactor};

/// What a pipe holds when it is made (Linux, `pipe(7)`). A stream that fills it is fast.
const PIPE_BYTES: usize = 64 * 1024;

/// What the pipe of a fast stream is made to hold: the largest size a user may ask for unless an administrator says
/// otherwise.
pub const WIDE_PIPE_BYTES: i32 = 1024 * 1024;

/// Pipes widened at once.
const MAX_WIDE_PIPES: usize = 16;

/// Reads that find the pipe full before the attempt counts as fast.
const FULL_READS: u32 = 8;

/// How often activity of one attempt is reported at most.
const ACTIVITY_EVERY: Duration = Duration::from_millis(100);

/// One attempt being captured.
pub struct Reading {
    attempt: AttemptId,
    stdout: Option<Source>,
    stderr: Option<Source>,
    /// Whose turn it is, so that neither stream starves the other.
    stderr_first: bool,
    destination: Destination,
    activity: Activity,
    /// To be reported.
    failure: Option<io::Error>,
    /// Of the thread it runs on.
    buffers: Buffers,
    /// It has left the supervisor's own thread, or cannot.
    moved: bool,
    shared: Arc<Shared>,
}

/// One pipe.
struct Source {
    pipe: Receiver,
    redactor: StreamRedactor,
    /// What the pipe holds at most.
    capacity_bytes: usize,
    /// Reads that found it full.
    full_reads: u32,
    /// Held by every pipe that was widened, to count them.
    wide: Option<Arc<()>>,
}

impl Source {
    fn new(pipe: OwnedFd, redactor: &Redactor) -> io::Result<Source> {
        // The other end is another description and stays blocking.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let pipe = Receiver::from_owned_fd_unchecked(pipe)?;
        Ok(Source {
            pipe,
            redactor: redactor.stream(),
            capacity_bytes: PIPE_BYTES,
            full_reads: 0,
            wide: None,
        })
    }

    /// Registers with the runtime that is entered now, and widens the pipe of a fast stream: fewer switches between
    /// worker and reader. All pipes of a user share 64 MiB, and beyond it every new one holds a page or two, so quiet
    /// ones stay as they are, and so does this one where the kernel refuses.
    fn settle(mut self, wide_pipes: &Arc<()>) -> io::Result<Source> {
        let pipe = self.pipe.into_nonblocking_fd()?;
        #[cfg(target_os = "linux")]
        if self.full_reads > 0
            && Arc::strong_count(wide_pipes) <= MAX_WIDE_PIPES
            && let Ok(size) = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(WIDE_PIPE_BYTES))
        {
            self.capacity_bytes = usize::try_from(size).unwrap_or(PIPE_BYTES);
            self.wide = Some(Arc::clone(wide_pipes));
        }
        self.pipe = Receiver::from_owned_fd_unchecked(pipe)?;
        Ok(self)
    }
}

/// Why reading pauses.
enum Turn {
    /// So many bytes were read.
    Read(usize),
    /// Both pipes have ended.
    Ended,
    /// Whoever holds the pipes is not waited for.
    Stopped,
}

impl Reading {
    /// A task for these pipes, to be run on the current runtime.
    pub fn new(
        attempt: AttemptId,
        stdout: OwnedFd,
        stderr: OwnedFd,
        destination: Destination,
        shared: Arc<Shared>,
    ) -> io::Result<Reading> {
        Ok(Reading {
            attempt,
            stdout: Some(Source::new(stdout, &shared.redactor)?),
            stderr: Some(Source::new(stderr, &shared.redactor)?),
            stderr_first: false,
            destination,
            activity: Activity::default(),
            failure: None,
            buffers: shared.lanes.home(),
            moved: false,
            shared,
        })
    }

    /// Reads until both pipes end, or `stopped` does.
    pub async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            match self.turn(&mut stopped).await {
                Turn::Read(bytes) => {
                    self.report(bytes).await;
                    if self.is_fast() {
                        return self.move_to_lane(stopped);
                    }
                    if bytes >= PIPE_BYTES {
                        // More is there; but others are, too.
                        tokio::task::yield_now().await;
                    }
                }
                Turn::Stopped => {
                    self.read_the_rest();
                    break;
                }
                Turn::Ended => break,
            }
        }
        self.end().await;
    }

    /// Waits for the console where it must, then for bytes.
    async fn turn(&mut self, stopped: &mut oneshot::Receiver<()>) -> Turn {
        if let Some(shown) = self.destination.wait_for() {
            tokio::select! {
                biased;
                _ = &mut *stopped => return Turn::Stopped,
                _ = shown => {}
            }
        }
        tokio::select! {
            biased;
            _ = stopped => Turn::Stopped,
            read = poll_fn(|cx| self.poll_read(cx)) => read.map_or(Turn::Ended, Turn::Read),
        }
    }

    fn is_fast(&self) -> bool {
        let full = |source: &Option<Source>| source.as_ref().is_some_and(|s| s.full_reads >= FULL_READS);
        !self.moved && (full(&self.stdout) || full(&self.stderr))
    }

    /// Goes on at another thread.
    fn move_to_lane(mut self, stopped: oneshot::Receiver<()>) {
        self.moved = true;
        let shared = Arc::clone(&self.shared);
        let Ok(lane) = shared.lanes.least_busy() else {
            // No thread is to be had: it stays, and is not asked again.
            tokio::spawn(self.run_on(stopped));
            return;
        };
        let entered = lane.runtime.enter();
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A pipe that cannot be registered has ended for us; the worker is told by SIGPIPE.
            let settled =
                self.source(stream).take().and_then(|source| source.settle(&shared.wide_pipes).ok());
            *self.source(stream) = settled;
        }
        self.buffers = lane.buffers;
        lane.runtime.spawn(self.run_on(stopped));
        drop(entered);
    }

    /// [`Self::run`] as a named future: a task that spawns itself has no finite type.
    fn run_on(self, stopped: oneshot::Receiver<()>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.run(stopped))
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
        let buffers = self.buffers.clone();
        let Some(source) = self.source(stream).as_mut() else { return Poll::Ready(None) };
        let buffers = &mut *buffers.lock();
        let mut buffer = ReadBuf::new(&mut buffers.read);
        // A pipe that cannot be read has ended for us.
        if ready!(Pin::new(&mut source.pipe).poll_read(cx, &mut buffer)).is_err() {
            return Poll::Ready(Some(0));
        }
        let count = buffer.filled().len();
        source.full_reads += u32::from(count >= PIPE_BYTES && source.full_reads < FULL_READS);
        let certain = source.redactor.push(&buffers.read[..count], &mut buffers.redacted);
        self.pass_on(stream, certain);
        Poll::Ready(Some(count))
    }

    /// Reads what the pipes hold and nothing that is written later: whoever holds them may write for ever.
    fn read_the_rest(&mut self) {
        let buffers = self.buffers.clone();
        let buffers = &mut *buffers.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let Some(mut source) = self.source(stream).take() else { continue };
            let mut left = source.capacity_bytes;
            while left > 0 {
                let want = left.min(buffers.read.len());
                match nix::unistd::read(source.pipe.as_fd(), &mut buffers.read[..want]) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        left -= count;
                        let certain = source.redactor.push(&buffers.read[..count], &mut buffers.redacted);
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
        let buffers = self.buffers.clone();
        let rest = source.redactor.finish(&mut buffers.lock().redacted).to_vec();
        self.pass_on(stream, &rest);
    }

    fn pass_on(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Err(error) = self.destination.take(stream, bytes, &self.shared.console) {
            self.failure = Some(error);
        }
    }

    fn source(&mut self, stream: Stream) -> &mut Option<Source> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Tells the driver of activity and of a log that failed. Without a driver nobody needs to hear.
    async fn report(&mut self, bytes: usize) {
        if let Some(error) = self.failure.take() {
            let path = self.destination.log().path().to_owned();
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

    async fn end(mut self) {
        self.close(Stream::Stdout);
        self.close(Stream::Stderr);
        self.report(0).await;
        let Reading { attempt, destination, shared, .. } = self;
        // The console completes the last line before anyone hears of the end.
        drop(destination);
        let _ = shared.events.send(CaptureEvent::OutputEnded(attempt)).await;
    }
}

/// When the driver last heard of activity. It is told at once when an attempt speaks after a silence, and then often
/// enough for a watchdog of seconds.
#[derive(Debug, Default)]
pub struct Activity {
    /// When that was.
    pub reported: Option<Instant>,
}

impl Activity {
    /// Whether to tell it again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.reported.is_none_or(|last| now.duration_since(last) >= ACTIVITY_EVERY)
    }
}
