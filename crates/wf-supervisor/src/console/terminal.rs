//! The console: what the rest of the program hands over to be shown. No call here ever waits for a terminal.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use wf_core::{ItemIndex, Outcome};

use super::progress::{BarUpdate, ProgressDisplay, ProgressState};
use super::queue::{MAX_RECORD_TEXT_BYTES, Queue, Record, Segment};
use super::redact::Redactor;
use super::sink::Outputs;
use super::style::{self, COORDINATOR, ColorChoice};
use super::writer::Writer;
use super::{OutputMode, Stream};

/// How the console is to behave.
#[derive(Debug)]
pub struct ConsoleOptions {
    /// How the workers' output is shown.
    pub output: OutputMode,
    /// Whether progress is shown (`--progress auto`).
    pub progress: bool,
    /// When colours are used.
    pub color: ColorChoice,
    /// The run's directory, where the items' logs are.
    pub run_dir: PathBuf,
    /// What must never appear.
    pub redactor: Redactor,
}

/// A handle to the console. Clones are cheap and all the same.
#[derive(Clone, Debug)]
pub struct Console {
    shared: Arc<Shared>,
    output: OutputMode,
    display: ProgressDisplay,
    redactor: Redactor,
    said: watch::Receiver<bool>,
}

/// What handles and the writer share.
#[derive(Debug)]
pub struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    /// The rest is not to be shown.
    pub skip: AtomicBool,
    /// How often one of the streams took something.
    taken: Arc<AtomicU64>,
    said: watch::Sender<bool>,
}

/// What the writer finds beside records.
#[derive(Debug)]
pub struct Work {
    /// Whether all records came back from disk.
    pub taken: io::Result<()>,
    /// What is to become of the bar.
    pub bar: Option<BarUpdate>,
    /// Why records stay in memory.
    pub spill_error: Option<io::Error>,
}

impl Shared {
    /// The queue. A panic while it was held is not possible to act on here; its records stay whole.
    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, and takes it.
    pub fn wait_for_work(&self, records: &mut Vec<Record>) -> Work {
        let mut queue = self.lock();
        while queue.is_idle() && !self.skip.load(Ordering::Relaxed) {
            queue.writer_waits = true;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.writer_waits = false;
        }
        let taken = queue.take(records);
        Work { taken, bar: queue.take_bar_update(), spill_error: queue.take_spill_error() }
    }

    /// Tells those who wait for the end.
    pub fn everything_is_said(&self) {
        self.said.send_replace(true);
    }

    /// Changes the queue and wakes the writer if that gave it something to do.
    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.lock();
        let result = change(&mut queue);
        let wake = queue.writer_waits && !queue.is_idle();
        // Only one call wakes it; the next ones need no system call.
        queue.writer_waits &= !wake;
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        result
    }
}

impl Console {
    /// Starts the console on the process's standard output and standard error. Fails when no thread can be had.
    pub fn start(options: ConsoleOptions) -> io::Result<Console> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        Console::start_on(options, stdout, stderr, no_color.as_deref(), term.as_deref())
    }

    /// Starts the console on these two streams; `no_color` and `term` are the variables of these names.
    pub(crate) fn start_on(
        options: ConsoleOptions,
        stdout: File,
        stderr: File,
        no_color: Option<&std::ffi::OsStr>,
        term: Option<&std::ffi::OsStr>,
    ) -> io::Result<Console> {
        let taken = Arc::default();
        let outputs = Outputs::new(stdout, stderr, &taken);
        let stderr_is_terminal = outputs.is_terminal(Stream::Stderr);
        let dumb = term.is_some_and(|t| t == "dumb");
        let display = ProgressDisplay::choose(options.progress, stderr_is_terminal, dumb);
        let colours = [Stream::Stdout, Stream::Stderr]
            .map(|s| style::wants_colours(options.color, outputs.is_terminal(s), no_color, term));
        let (said_sender, said) = watch::channel(false);
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(options.run_dir.clone())),
            work: Condvar::new(),
            skip: AtomicBool::new(false),
            taken,
            said: said_sender,
        });
        let writer = Writer::new(Arc::clone(&shared), outputs, colours, options.run_dir);
        std::thread::Builder::new()
            .name("console".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || writer.run())?;
        Ok(Console { shared, output: options.output, display, redactor: options.redactor, said })
    }

    /// A line of the coordinator, without prefix and line end.
    pub fn coordinator(&self, text: &str) {
        self.item_line(COORDINATOR, text);
    }

    /// A line of ours about an item, under its label: `[LLD-43] FAILED: ...`. It goes to stderr.
    pub fn item_line(&self, label: &str, text: &str) {
        let text = self.redactor.redact(text);
        let text = Box::from(split_text(&text).0);
        self.shared.with(|queue| queue.push(Record::Line { label: label.into(), text }));
    }

    /// The end of what the item wrote, from byte `from` of its log to `to`, quoted under the line about it; not where it
    /// stands just above that.
    pub fn tail(&self, item: ItemIndex, label: &str, from: u64, to: u64) {
        self.shared.with(|queue| queue.push(Record::Tail { item: item.0, label: label.into(), from, to }));
    }

    /// Whole lines for stderr as they are, such as the summary.
    pub fn text(&self, text: &str) {
        let text = self.redactor.redact(text);
        let mut rest = &*text;
        self.shared.with(|queue| {
            while !rest.is_empty() {
                let (part, more) = split_text(rest);
                queue.push(Record::Text(part.into()));
                rest = more;
            }
        });
    }

    /// An attempt of an item begins. Its output is in `LABEL.log` in the run's directory.
    pub fn open(&self, item: ItemIndex, label: Arc<str>) -> AttemptOutput {
        AttemptOutput {
            shared: Arc::clone(&self.shared),
            output: self.output,
            item: item.0,
            label,
            announced: false,
        }
    }

    /// An item ended, after its last attempt: output that was collected is shown.
    pub fn close(&self, item: ItemIndex) {
        if self.output == OutputMode::Grouped {
            self.shared.with(|queue| queue.release(item.0));
        }
    }

    /// Where the run stands, after every change. It is asked only where a bar is drawn.
    pub fn progress(&self, state: impl FnOnce() -> ProgressState) {
        if self.display == ProgressDisplay::Bar {
            let update = BarUpdate::Show(Box::new(state()));
            self.shared.with(|queue| queue.update_bar(update));
        }
    }

    /// Where the run stands, every [`Self::progress_interval`].
    pub fn progress_tick(&self, state: ProgressState) {
        match self.display {
            ProgressDisplay::Bar => self.progress(|| state),
            ProgressDisplay::Lines => self.coordinator(&state.sentence()),
            ProgressDisplay::None => {}
        }
    }

    /// An item ended after so many tries: the bar moves on, or a line says so.
    pub fn finished(&self, label: &str, outcome: Outcome, took: Duration, tries: u32, state: ProgressState) {
        match self.display {
            ProgressDisplay::Bar => self.progress(|| state),
            ProgressDisplay::Lines => self.coordinator(&state.finished(label, outcome, took, tries)),
            ProgressDisplay::None => {}
        }
    }

    /// Takes the bar away, for the summary.
    pub fn end_progress(&self) {
        if self.display == ProgressDisplay::Bar {
            self.shared.with(|queue| queue.update_bar(BarUpdate::Remove));
        }
    }

    /// How often to call [`Self::progress_tick`]; `None`: never, and no timer is needed.
    pub fn progress_interval(&self) -> Option<Duration> {
        self.display.interval()
    }

    /// Ends the console and waits until everything is written: for ever on a terminal that is stopped, so wait for
    /// Ctrl+C beside it. What is handed over afterwards is not shown.
    pub async fn finish(&self) {
        self.shared.with(Queue::finish);
        let mut said = self.said.clone();
        // The sender lives as long as this handle, so there is no error.
        let _ = said.wait_for(|said| *said).await;
    }

    /// How often something that was written has been taken. While that stays, nobody reads.
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::Relaxed)
    }

    /// Drops what is not written yet; [`Self::finish`] ends at once. The writer may still sit in a `write`, which
    /// ends with the process.
    pub fn skip_rest(&self) {
        self.shared.skip.store(true, Ordering::Relaxed);
        self.shared.lock().discard();
        self.shared.work.notify_one();
        self.shared.everything_is_said();
    }
}

/// As much of a text as one record takes, and the rest.
fn split_text(text: &str) -> (&str, &str) {
    let fits = (0..=MAX_RECORD_TEXT_BYTES.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.split_at(fits.unwrap_or(0))
}

/// The way to the console for one attempt. Dropping it completes an unfinished last line.
#[derive(Debug)]
pub struct AttemptOutput {
    shared: Arc<Shared>,
    output: OutputMode,
    item: u32,
    label: Arc<str>,
    /// Something was written. Many commands write nothing, and then the writer need not know of them.
    announced: bool,
}

impl AttemptOutput {
    /// The next bytes of a stream are in the log, `len` bytes from `offset`.
    pub fn segment(&mut self, stream: Stream, offset: u64, len: u32) {
        let segment = Segment { stream, offset, len };
        let item = self.item;
        match self.output {
            OutputMode::Prefixed => {
                let open = self.announcement();
                self.shared.with(|queue| {
                    if let Some(open) = open {
                        queue.push(open);
                    }
                    queue.push(Record::Segment { item, segment });
                });
            }
            OutputMode::Grouped => {
                self.announced = true;
                self.shared.lock().collect(item, &self.label, segment);
            }
            OutputMode::None => {}
        }
    }

    /// Whether bytes that are in no log can be shown.
    pub fn shows_unlogged(&self) -> bool {
        self.output == OutputMode::Prefixed
    }

    /// Bytes that are in no log. Read no more of the attempt before the receiver ends, with or without a value.
    /// `None` when they are not shown at all.
    pub fn unlogged(&mut self, stream: Stream, bytes: Vec<u8>) -> Option<oneshot::Receiver<()>> {
        if !self.shows_unlogged() {
            return None;
        }
        let (item, open) = (self.item, self.announcement());
        Some(self.shared.with(|queue| {
            if let Some(open) = open {
                queue.push(open);
            }
            queue.push_unlogged(item, stream, bytes)
        }))
    }

    fn announcement(&mut self) -> Option<Record> {
        let first = !std::mem::replace(&mut self.announced, true);
        first.then(|| Record::Open { item: self.item, label: (*self.label).into() })
    }
}

impl Drop for AttemptOutput {
    fn drop(&mut self) {
        if !self.announced {
            return;
        }
        let item = self.item;
        match self.output {
            OutputMode::Prefixed => self.shared.with(|queue| queue.push(Record::Close { item })),
            OutputMode::Grouped => {
                let end = Segment { stream: Stream::Stdout, offset: 0, len: 0 };
                self.shared.lock().collect(item, &self.label, end);
            }
            OutputMode::None => {}
        }
    }
}
