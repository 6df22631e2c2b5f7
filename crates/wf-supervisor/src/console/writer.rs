//! The one thread that writes to stdout and stderr, and the only one that a terminal can block.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::fcntl::OFlag;

use super::Stream;
use super::prefixer::Prefixer;
use super::progress::BarUpdate;
use super::queue::{Record, Segment};
use super::sink::Outputs;
use super::style::{self, COORDINATOR};
use super::terminal::Shared;

/// Bytes read back from a log at a time.
const READ_BYTES: usize = 64 * 1024;

/// Bytes given to the prefixer at a time. It bounds what it makes of them: a piece of empty lines grows by the length
/// of the prefix for every byte.
const PREFIX_BYTES: usize = 8 * 1024;

/// Logs kept open for reading.
const MAX_OPEN_LOGS: usize = 16;

/// One item whose output is being shown.
struct View {
    label: Box<str>,
    stdout: Option<Prefixer>,
    stderr: Option<Prefixer>,
    /// Its log could not be read, and that was said.
    unreadable: bool,
}

impl View {
    fn new(label: Box<str>) -> View {
        View { label, stdout: None, stderr: None, unreadable: false }
    }
}

/// Whoever waits for the end is let go however the thread ends.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.everything_is_said();
    }
}

/// What the thread owns.
pub struct Writer {
    shared: Arc<Shared>,
    outputs: Outputs,
    /// Colours for lines on stdout and stderr.
    colours: [bool; 2],
    run_dir: PathBuf,
    views: HashMap<u32, View>,
    /// Open logs, the latest used last.
    logs: Vec<(Box<str>, File)>,
    read_buffer: Vec<u8>,
}

impl Writer {
    /// A writer for the queue in `shared`.
    pub fn new(shared: Arc<Shared>, outputs: Outputs, colours: [bool; 2], run_dir: PathBuf) -> Writer {
        Writer {
            shared,
            outputs,
            colours,
            run_dir,
            views: HashMap::new(),
            logs: Vec::new(),
            read_buffer: vec![0; READ_BYTES],
        }
    }

    /// Writes until everything is said, or the rest is to be skipped.
    pub fn run(mut self) {
        let mut records = Vec::new();
        loop {
            let work = self.shared.wait_for_work(&mut records);
            if self.shared.skip.load(Ordering::Relaxed) {
                break;
            }
            if let Some(error) = work.spill_error {
                self.note(&format!(
                    "the output that waits for this terminal is kept in memory, because {error}"
                ));
            }
            if let Err(error) = work.taken {
                self.note(&format!("a part of the output is not shown here, only in the logs: {error}"));
            }
            if let Some(update) = work.bar {
                let updated = self.outputs.update_bar(update);
                self.check(updated);
            }
            let mut finished = false;
            for record in records.drain(..) {
                if self.shared.skip.load(Ordering::Relaxed) {
                    break;
                }
                finished |= record == Record::Finish;
                self.show(record);
            }
            if finished {
                let updated = self.outputs.update_bar(BarUpdate::Remove);
                self.check(updated);
            }
            let flushed = self.outputs.flush();
            self.check(flushed);
            if finished {
                break;
            }
        }
    }

    fn show(&mut self, record: Record) {
        match record {
            Record::Open { item, label } => {
                self.views.insert(item, View::new(label));
            }
            Record::Segment { item, segment } => {
                if let Some(mut view) = self.views.remove(&item) {
                    self.segment(&mut view, segment);
                    self.views.insert(item, view);
                }
            }
            Record::Unlogged { item, stream, id } => {
                let Some(unlogged) = self.shared.lock().take_unlogged(id) else { return };
                if let Some(mut view) = self.views.remove(&item) {
                    self.bytes(&mut view, stream, &unlogged.bytes);
                    self.views.insert(item, view);
                }
                // The reader may be gone with its attempt.
                let _ = unlogged.shown.send(());
            }
            Record::Close { item } => {
                if let Some(view) = self.views.remove(&item) {
                    self.close(view);
                }
            }
            Record::Group { id } => self.group(id),
            Record::Line { label, text } => self.line(&label, &text),
            Record::Text(text) => {
                let lines =
                    self.outputs.lines(Stream::Stderr).map(|out| out.extend_from_slice(text.as_bytes()));
                self.check(lines);
            }
            Record::Finish => {
                // Attempts that were never closed.
                for (_, view) in std::mem::take(&mut self.views) {
                    self.close(view);
                }
            }
        }
        let flushed = self.outputs.flush_if_full();
        self.check(flushed);
    }

    /// An item's collected output, from its log.
    fn group(&mut self, id: u64) {
        let Some(mut group) = self.shared.lock().take_group(id) else { return };
        let mut view = View::new(group.label);
        loop {
            // Bound first: the lock must not be held while something is shown.
            let taken = self.shared.lock().take_segments(&mut group.segments);
            match taken {
                Ok(segments) if segments.is_empty() => break,
                Ok(segments) => {
                    for segment in segments {
                        if segment.len == 0 {
                            self.end_lines(&mut view);
                        } else {
                            self.segment(&mut view, segment);
                        }
                    }
                }
                Err(error) => self.note(&format!("a part of {}.log is not shown here: {error}", view.label)),
            }
        }
        self.close(view);
    }

    /// Reads a segment back from the log and shows it.
    fn segment(&mut self, view: &mut View, segment: Segment) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let (mut at, end) = (segment.offset, segment.offset + u64::from(segment.len));
        while at < end && !self.shared.skip.load(Ordering::Relaxed) {
            let want = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            match self.read_log(&view.label, &mut buffer[..want], at) {
                Ok(()) => self.bytes(view, segment.stream, &buffer[..want]),
                Err(error) if view.unreadable => log::debug!("{}.log: {error}", view.label),
                Err(error) => {
                    view.unreadable = true;
                    self.note(&format!(
                        "{}.log cannot be read ({error}): a part of its output is not shown here",
                        view.label
                    ));
                }
            }
            at += want as u64;
        }
        self.read_buffer = buffer;
    }

    fn bytes(&mut self, view: &mut View, stream: Stream, bytes: &[u8]) {
        let (prefixer, colours) = match stream {
            Stream::Stdout => (&mut view.stdout, self.colours[0]),
            Stream::Stderr => (&mut view.stderr, self.colours[1]),
        };
        let prefixer = prefixer.get_or_insert_with(|| {
            Prefixer::new(style::prefix(&view.label, colours), self.outputs.is_terminal(stream))
        });
        for piece in bytes.chunks(PREFIX_BYTES) {
            let pushed = self.outputs.lines(stream).map(|out| prefixer.push(piece, out));
            let flushed = pushed.and_then(|()| self.outputs.flush_if_full());
            if let Err(error) = flushed {
                self.broken(&error);
            }
        }
    }

    /// Completes unfinished lines and forgets the item.
    fn close(&mut self, mut view: View) {
        self.end_lines(&mut view);
        self.logs.retain(|(label, _)| *label != view.label);
    }

    fn end_lines(&mut self, view: &mut View) {
        for (stream, prefixer) in [(Stream::Stdout, &mut view.stdout), (Stream::Stderr, &mut view.stderr)] {
            if let Some(mut prefixer) = prefixer.take() {
                let closed = self.outputs.lines(stream).map(|out| prefixer.close(out));
                self.check(closed);
            }
        }
    }

    /// A line of our own. Its text may quote anything, so it never steers a terminal.
    fn line(&mut self, label: &str, text: &str) {
        let mut prefixer = Prefixer::new(style::prefix(label, self.colours[1]), true);
        let written = self.outputs.lines(Stream::Stderr).map(|out| {
            prefixer.push(text.as_bytes(), out);
            prefixer.close(out);
        });
        self.check(written);
    }

    fn note(&mut self, text: &str) {
        self.line(COORDINATOR, text);
    }

    fn check(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.broken(&error);
        }
    }

    /// One of our streams failed, by a full disk perhaps. It stays closed; the other one may still be read.
    fn broken(&mut self, error: &io::Error) {
        let mut prefixer = Prefixer::new(style::prefix(COORDINATOR, self.colours[1]), true);
        let text = format!("output could not be written ({error}); it goes on in the logs");
        if let Ok(out) = self.outputs.lines(Stream::Stderr) {
            prefixer.push(text.as_bytes(), out);
            prefixer.close(out);
        }
    }

    fn read_log(&mut self, label: &str, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = match self.logs.iter().position(|(open, _)| &**open == label) {
            Some(last) if last + 1 == self.logs.len() => &self.logs[last].1,
            Some(at) => {
                let entry = self.logs.remove(at);
                self.logs.push(entry);
                &self.logs[self.logs.len() - 1].1
            }
            None => {
                // A worker may have put anything in the log's place: never follow a link, never wait on a pipe.
                let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
                let path = self.run_dir.join(format!("{label}.log"));
                let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
                if self.logs.len() >= MAX_OPEN_LOGS {
                    self.logs.remove(0);
                }
                self.logs.push((label.into(), file));
                &self.logs[self.logs.len() - 1].1
            }
        };
        file.read_exact_at(buffer, offset)
    }
}
