//! Standard output and standard error as the writer sees them: two ends that may block, break, or be the same.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Stream;
use super::progress::{Bar, BarUpdate};

/// Bytes collected before a `write`.
const BUFFER_BYTES: usize = 128 * 1024;

/// The columns assumed where a terminal does not say.
const DEFAULT_COLUMNS: usize = 80;

/// One of our two streams. Once it fails it stays closed: the run goes on without it.
#[derive(Debug)]
struct Sink {
    file: Option<File>,
    is_terminal: bool,
    /// How often something was taken.
    taken: Arc<AtomicU64>,
}

impl Sink {
    fn new(file: File, taken: Arc<AtomicU64>) -> Sink {
        let is_terminal = file.is_terminal();
        Sink { file: Some(file), is_terminal, taken }
    }

    /// Writes everything, waiting as long as it takes. An error other than a closed pipe is returned, once.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return self.fail(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Another program that shares the terminal made it non-blocking.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut ready, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(e) => return self.fail(e.into()),
                    }
                }
                Err(e) => return self.fail(e),
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: io::Error) -> io::Result<()> {
        self.file = None;
        // `| head -1` is no error, and a terminal that is gone cannot be told of anything.
        let is_end =
            error.kind() == io::ErrorKind::BrokenPipe || error.raw_os_error() == Some(Errno::EIO as i32);
        if is_end { Ok(()) } else { Err(error) }
    }
}

/// Both streams, with whole lines collected for one of them at a time, and the bar below them.
#[derive(Debug)]
pub struct Outputs {
    stdout: Sink,
    stderr: Sink,
    /// Both are the same terminal, pipe or file: one `write` for both keeps their order.
    same: bool,
    buffer: Vec<u8>,
    /// Where `buffer` goes.
    current: Stream,
    bar: Bar,
}

impl Outputs {
    /// Takes the two streams, and what is to count how often one of them took something.
    pub fn new(stdout: File, stderr: File, taken: &Arc<AtomicU64>) -> Outputs {
        use std::os::unix::fs::MetadataExt as _;
        let same = match (stdout.metadata(), stderr.metadata()) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino(), a.rdev()) == (b.dev(), b.ino(), b.rdev()),
            _ => false,
        };
        Outputs {
            stdout: Sink::new(stdout, Arc::clone(taken)),
            stderr: Sink::new(stderr, Arc::clone(taken)),
            same,
            buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4),
            current: Stream::Stderr,
            bar: Bar::default(),
        }
    }

    /// Whether a stream is shown on a terminal.
    pub fn is_terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout.is_terminal,
            Stream::Stderr => self.stderr.is_terminal,
        }
    }

    /// Whether what goes to `stream` stands with what goes to standard error.
    pub fn is_beside_stderr(&self, stream: Stream) -> bool {
        self.same || stream == Stream::Stderr
    }

    /// Where whole lines for `stream` are to be appended.
    pub fn lines(&mut self, stream: Stream) -> io::Result<&mut Vec<u8>> {
        if stream != self.current && !self.same {
            self.flush()?;
        }
        self.current = stream;
        Ok(&mut self.buffer)
    }

    /// Writes when enough is collected.
    pub fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes all that is collected, and the bar below it.
    pub fn flush(&mut self) -> io::Result<()> {
        let beside_bar = self.is_beside_stderr(self.current);
        if beside_bar && (!self.buffer.is_empty() || self.bar.has_changed()) {
            let columns = Self::columns(&self.stderr);
            let mut erased = Vec::new();
            self.bar.erase(columns, &mut erased);
            self.buffer.splice(0..0, erased);
            self.bar.draw(columns, &mut self.buffer);
        }
        self.write_buffer()
    }

    /// Shows another state of the run in the bar, with the next flush.
    pub fn update_bar(&mut self, update: BarUpdate) -> io::Result<()> {
        self.lines(Stream::Stderr)?;
        self.bar.update(update);
        Ok(())
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let sink = match self.current {
            Stream::Stdout if !self.same => &mut self.stdout,
            Stream::Stdout | Stream::Stderr => &mut self.stderr,
        };
        let written = sink.write(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(4 * BUFFER_BYTES);
        written
    }

    fn columns(sink: &Sink) -> usize {
        let size = sink.file.as_ref().and_then(terminal_size::terminal_size_of);
        size.map(|(width, _)| usize::from(width.0)).filter(|&w| w > 0).unwrap_or(DEFAULT_COLUMNS)
    }
}
