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
use crate::store::name::{how_to_read, short};
use crate::store::run_dir::log_name;
use crate::store::tail;

/// Bytes read back from a log at a time.
const READ_BYTES: usize = 64 * 1024;

/// Bytes given to the prefixer at a time. It bounds what it makes of them: a piece of empty lines grows by the length
/// of the prefix for every byte.
const PREFIX_BYTES: usize = 8 * 1024;

/// Logs kept open for reading.
const MAX_OPEN_LOGS: usize = 16;

/// One item whose output is being shown.
struct View {
    /// Names its log.
    label: Box<str>,
    /// What its lines begin with.
    name: Box<str>,
    stdout: Option<Prefixer>,
    stderr: Option<Prefixer>,
    /// Its log could not be read, and that was said.
    unreadable: bool,
}

impl View {
    fn new(item: u32, label: Box<str>) -> View {
        let name = short(item.saturating_add(1), &label).into();
        View { label, name, stdout: None, stderr: None, unreadable: false }
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
    last: Last,
}

/// Whose lines stand last on standard error, the coordinator's left out, and how many of them in a row.
#[derive(Debug, Default)]
struct Last {
    name: Box<str>,
    lines: usize,
}

impl Last {
    fn note(&mut self, name: &str, shown: &[u8]) {
        if *self.name != *name {
            *self = Last { name: name.into(), lines: 0 };
        }
        // More are not needed, and this is the way of all output.
        if self.lines < tail::LINES {
            self.lines += memchr::memchr_iter(b'\n', shown).count();
        }
    }
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
            last: Last::default(),
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
                self.views.insert(item, View::new(item, label));
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
            Record::Line { label, text } => {
                self.line(&label, &text);
                if *label != *COORDINATOR && label != self.last.name {
                    self.last = Last { name: label, lines: 0 };
                }
            }
            Record::Tail { item, label, from, to } => self.tail(item, &label, from, to),
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
        let mut view = View::new(group.item, group.label);
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
        let prefixer =
            prefixer.get_or_insert_with(|| Prefixer::new(style::prefix(&view.name, colours), colours));
        let is_beside = self.outputs.is_beside_stderr(stream);
        for piece in bytes.chunks(PREFIX_BYTES) {
            let pushed = self.outputs.lines(stream).map(|out| {
                let before = out.len();
                prefixer.push(piece, out);
                if is_beside && out.len() > before {
                    self.last.note(&view.name, &out[before..]);
                }
            });
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
                let is_beside = self.outputs.is_beside_stderr(stream);
                let closed = self.outputs.lines(stream).map(|out| {
                    let before = out.len();
                    prefixer.close(out);
                    if is_beside && out.len() > before {
                        self.last.note(&view.name, &out[before..]);
                    }
                });
                self.check(closed);
            }
        }
    }

    /// A line of our own. Its text may quote anything, so it never steers a terminal.
    fn line(&mut self, label: &str, text: &str) {
        let mut prefixer = Prefixer::new(style::prefix(label, self.colours[1]), self.colours[1]);
        let written = self.outputs.lines(Stream::Stderr).map(|out| {
            prefixer.push(text.as_bytes(), out);
            prefixer.close(out);
        });
        self.check(written);
    }

    /// Quotes the end of an item's output, as it stands in its log: secrets are replaced there.
    fn tail(&mut self, item: u32, label: &str, from: u64, to: u64) {
        let tail = match tail::last_lines(&self.run_dir.join(log_name(label)), from..to, tail::LINES) {
            Ok(tail) => tail,
            Err(error) => return log::debug!("{label}.log: {error}"),
        };
        let name = short(item.saturating_add(1), label);
        if tail.lines.is_empty() || (*self.last.name == *name && self.last.lines >= tail.lines.len()) {
            return;
        }
        if tail.is_cut {
            let how = how_to_read(item.saturating_add(1), label);
            self.line(&name, &format!("the end of its output (all of it: {how}):"));
        }
        let mut prefix = style::prefix(&name, self.colours[1]).to_vec();
        prefix.extend_from_slice(b"| ");
        let prefix: Arc<[u8]> = prefix.into();
        for line in &tail.lines {
            let mut prefixer = Prefixer::new(Arc::clone(&prefix), self.colours[1]);
            let written = self.outputs.lines(Stream::Stderr).map(|out| {
                prefixer.push(line, out);
                prefixer.close(out);
            });
            self.check(written);
        }
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
        let mut prefixer = Prefixer::new(style::prefix(COORDINATOR, self.colours[1]), self.colours[1]);
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
