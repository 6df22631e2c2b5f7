//! `logs`: what an item wrote, or all that failed.

mod finding;
mod parts;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wf_core::{Outcome, Record};

use self::finding::{Source, find};
use self::parts::Parts;
use crate::console::prefixer::Prefixer;
use crate::store::StoreError;
use crate::store::error::unless_closed;
use crate::store::journal_reader::JournalReader;
use crate::store::layout::{Location, StateDir};
use crate::store::moment::moment;
use crate::store::summary;
use crate::store::text::one_line;

/// How often a log that is followed is looked at. A person is watching, so this may be slow, and it works on every file
/// system.
const INTERVAL: Duration = Duration::from_millis(200);

/// How much of a reason stands above a failed item's output, in characters.
const REASON_CHARS: usize = 160;

/// Whose output to show.
#[derive(Clone, Debug)]
pub struct LogsOptions {
    /// The item: its id (`42`), its label (`LLD-42`), its position (`#16`), a beginning of either name or the hash at its
    /// end that no other item has. `None`: all that failed.
    pub item: Option<String>,
    /// The run, as `show` takes it; else the newest that has output of the item.
    pub run: Option<String>,
    /// Only this attempt, from 1.
    pub attempt: Option<u32>,
    /// Go on until the item has ended.
    pub follow: bool,
    /// Whether it is read on a terminal, which must not obey what an item wrote, and whether that takes colours.
    pub terminal: Option<bool>,
    /// The time it is.
    pub now: Timestamp,
    /// In which times are shown.
    pub time_zone: TimeZone,
}

/// Copies the log of an item, byte for byte but on a terminal. Several attempts have a line before each of them.
///
/// With `follow`, goes on until the item or its run has ended, and calls `pause` in between (a sleep; tests do other
/// things).
pub fn logs(
    location: &Location,
    options: &LogsOptions,
    pause: &mut dyn FnMut(Duration),
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let state = location.require()?;
    let mut sieve = options.terminal.map(|colours| Sieve {
        out: &mut *out,
        filter: Prefixer::new(Vec::new().into(), colours),
        lines: Vec::new(),
    });
    let result = match &mut sieve {
        Some(sieve) => {
            shown(&state, options, pause, sieve).and_then(|()| sieve.end().map_err(StoreError::Output))
        }
        None => shown(&state, options, pause, out),
    };
    unless_closed(result)
}

fn shown(
    state: &StateDir,
    options: &LogsOptions,
    pause: &mut dyn FnMut(Duration),
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let Some(name) = &options.item else { return failed(state, options, out) };
    let source = find(state, name, options)?;
    if options.follow { source.follow(options, pause, out) } else { source.copy(options, out) }
}

/// The outputs of all items of a run that failed, each under a line that says whose it is.
fn failed(state: &StateDir, options: &LogsOptions, out: &mut dyn Write) -> Result<(), StoreError> {
    let run = state.find_run(options.run.as_deref())?;
    let summary = summary::load(&run, options.now)?;
    let mut any = false;
    for item in summary.items.iter().filter(|item| item.outcome.is_some_and(Outcome::is_failure)) {
        let gap = if any { "\n" } else { "" };
        any = true;
        let label = summary.label(item);
        let why = one_line(&item.detail, REASON_CHARS);
        let colon = if why.is_empty() { "" } else { ": " };
        writeln!(out, "{gap}=== {label} {}{colon}{why} ===", item.word()).map_err(StoreError::Output)?;
        let source = Source::new(&run, &summary.prefix, &item.id);
        if source.path.is_file() {
            source.copy(options, out)?;
        }
    }
    if !any {
        writeln!(out, "no item failed in run {}", run.id()).map_err(StoreError::Output)?;
    }
    Ok(())
}

impl Source {
    /// What is there now; a log that grows faster than we read has an end all the same.
    fn copy(&self, options: &LogsOptions, out: &mut dyn Write) -> Result<(), StoreError> {
        let mut log = File::open(&self.path).map_err(StoreError::reading(&self.path))?;
        let end = log.metadata().map_err(StoreError::reading(&self.path))?.len();
        let mut parts = Parts::default();
        for entry in JournalReader::open(&self.run.journal())? {
            let entry = entry?;
            if entry.record.attempt_of().is_some_and(|item| self.is_this(item)) {
                parts.note(&entry.record, entry.at);
            }
        }
        let mut copy = Copy { source: self, options, parts: &parts, at: 0, in_line: false };
        if let Some(attempt) = options.attempt {
            let Some(part) = parts.of(attempt) else {
                return Err(StoreError::NoAttempt {
                    item: self.label.clone(),
                    attempt,
                    run: self.run.id().to_string(),
                });
            };
            log.seek(SeekFrom::Start(part.start)).map_err(StoreError::reading(&self.path))?;
            copy.at = part.start;
            return copy.bytes(&mut log, part.end.min(end), false, out);
        }
        copy.bytes(&mut log, end, true, out)
    }

    fn follow(
        &self,
        options: &LogsOptions,
        pause: &mut dyn FnMut(Duration),
        out: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let mut journal = JournalReader::open(&self.run.journal())?;
        let mut log: Option<File> = None;
        let mut has_ended = false;
        let mut parts = Parts::default();
        let (mut at, mut in_line) = (0, false);
        loop {
            // First whether more can come, then what has come: in this order nothing is missed. And first the log, then
            // where its parts begin: what is shown now is of attempts that are on record.
            let is_live = self.run.live_pid().is_some();
            if log.is_none() {
                log = match File::open(&self.path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                    opened => Some(opened.map_err(StoreError::reading(&self.path))?),
                };
            }
            let length = |log: &File| Ok(log.metadata().map_err(StoreError::reading(&self.path))?.len());
            let known = log.as_ref().map_or(Ok(0), length)?;
            for entry in journal.by_ref() {
                let entry = entry?;
                if entry.record.attempt_of().is_some_and(|item| self.is_this(item)) {
                    parts.note(&entry.record, entry.at);
                }
                has_ended |= match &entry.record {
                    Record::ItemEnded { item, .. } => self.is_this(item),
                    Record::RunEnded { .. } => true,
                    _ => false,
                };
            }
            let is_over = has_ended || !is_live;
            if log.is_none() && is_over {
                log = File::open(&self.path).ok();
            }
            if let Some(log) = &mut log {
                let end = if is_over { length(log)? } else { known };
                let mut copy = Copy { source: self, options, parts: &parts, at, in_line };
                copy.bytes(log, end, true, out)?;
                (at, in_line) = (copy.at, copy.in_line);
            }
            if is_over {
                return Ok(());
            }
            pause(INTERVAL);
        }
    }
}

/// A copy of a log under way.
struct Copy<'a> {
    source: &'a Source,
    options: &'a LogsOptions,
    parts: &'a Parts,
    /// How much of the log is copied.
    at: u64,
    /// The last byte was no line end.
    in_line: bool,
}

impl Copy<'_> {
    /// Copies up to byte `end`, with a line before each of several attempts where they are to be `apart`.
    fn bytes(
        &mut self,
        log: &mut File,
        end: u64,
        apart: bool,
        out: &mut dyn Write,
    ) -> Result<(), StoreError> {
        while self.at < end {
            let next = if apart { self.mark(out)? } else { end };
            let piece = next.min(end) - self.at;
            self.drain(&mut log.take(piece), out)?;
            if self.at < next.min(end) {
                // It became shorter meanwhile.
                break;
            }
        }
        out.flush().map_err(StoreError::Output)
    }

    /// Says which attempt begins here, if one does, and returns where the next one begins.
    fn mark(&mut self, out: &mut dyn Write) -> Result<u64, StoreError> {
        let begins = self.parts.begins_at(self.at);
        for (attempt, began) in begins.filter(|(attempt, _)| *attempt > 1 || self.parts.are_several()) {
            let end_of_line = if std::mem::take(&mut self.in_line) { "\n" } else { "" };
            let time = moment(began, self.options.now, &self.options.time_zone);
            writeln!(out, "{end_of_line}--- attempt {attempt}, {time} ---").map_err(StoreError::Output)?;
        }
        Ok(self.parts.next_after(self.at))
    }

    fn drain(&mut self, log: &mut dyn Read, out: &mut dyn Write) -> Result<(), StoreError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match log.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(StoreError::reading(&self.source.path)(e)),
            };
            out.write_all(&buffer[..read]).map_err(StoreError::Output)?;
            self.at += read as u64;
            self.in_line = buffer[read - 1] != b'\n';
        }
    }
}

/// Keeps a terminal from obeying what goes through.
struct Sieve<'a> {
    out: &'a mut dyn Write,
    filter: Prefixer,
    lines: Vec<u8>,
}

impl Sieve<'_> {
    fn end(&mut self) -> io::Result<()> {
        self.filter.close(&mut self.lines);
        self.flush()
    }
}

impl Write for Sieve<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filter.push(bytes, &mut self.lines);
        self.out.write_all(&self.lines)?;
        self.lines.clear();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.lines)?;
        self.lines.clear();
        self.out.flush()
    }
}
