//! `logs`: what an item wrote.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use wf_core::{ItemId, Record};

use crate::store::StoreError;
use crate::store::error::unless_closed;
use crate::store::journal_reader::JournalReader;
use crate::store::layout::{Location, StateDir};
use crate::store::run_dir::RunDir;

/// How often a log that is followed is looked at. A person is watching, so this may be slow, and it works on every file
/// system.
const INTERVAL: Duration = Duration::from_millis(200);

/// Whose output to show.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    /// The item, by its id (`42`) or its label (`LLD-42`).
    pub item: String,
    /// The run, as `show` takes it; else the newest that has output of the item.
    pub run: Option<String>,
    /// Go on until the item has ended.
    pub follow: bool,
}

/// Copies the log of an item, all its attempts one after the other, byte for byte.
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
    let source = find(&state, options)?;
    unless_closed(if options.follow { source.follow(pause, out) } else { source.copy(out) })
}

/// An item's log in one run.
struct Source {
    run: RunDir,
    /// What precedes ids in labels of this run.
    prefix: String,
    label: String,
    path: PathBuf,
}

fn find(state: &StateDir, options: &LogsOptions) -> Result<Source, StoreError> {
    let runs = match &options.run {
        Some(name) => vec![state.find_run(Some(name))?],
        None => state.run_ids()?.iter().rev().map(|id| state.run(id)).collect(),
    };
    let Ok(item) = ItemId::new(&options.item) else {
        return Err(StoreError::NoLog { item: options.item.clone(), path: state.path().to_owned() });
    };
    for run in runs {
        let Some(prefix) = prefix_of(&run) else { continue };
        let label = item.label(&prefix);
        let source = Source { path: run.log(&label), run, prefix, label };
        let may_come = || options.follow && source.run.live_pid().is_some() && source.is_planned();
        if source.path.is_file() || may_come() {
            return Ok(source);
        }
    }
    Err(match &options.run {
        Some(name) => StoreError::UnknownItem { item: options.item.clone(), run: name.clone() },
        None => StoreError::NoLog { item: options.item.clone(), path: state.path().to_owned() },
    })
}

/// From the first line of the run's journal.
fn prefix_of(run: &RunDir) -> Option<String> {
    match JournalReader::open(&run.journal()).ok()?.next()?.ok()?.record {
        Record::RunStarted { prefix, .. } => Some(prefix),
        _ => None,
    }
}

impl Source {
    fn is_this(&self, item: &ItemId) -> bool {
        item.label(&self.prefix) == self.label
    }

    fn is_planned(&self) -> bool {
        let Ok(reader) = JournalReader::open(&self.run.journal()) else { return false };
        reader
            .flatten()
            .any(|entry| matches!(&entry.record, Record::ItemPlanned { item, .. } if self.is_this(item)))
    }

    /// What is there now; a log that grows faster than we read has an end all the same.
    fn copy(&self, out: &mut dyn Write) -> Result<(), StoreError> {
        let file = File::open(&self.path).map_err(StoreError::reading(&self.path))?;
        let length = file.metadata().map_err(StoreError::reading(&self.path))?.len();
        self.drain(&mut file.take(length), out)
    }

    fn follow(&self, pause: &mut dyn FnMut(Duration), out: &mut dyn Write) -> Result<(), StoreError> {
        let mut journal = JournalReader::open(&self.run.journal())?;
        let mut log = None;
        let mut has_ended = false;
        loop {
            // First whether more can come, then what has come: in this order nothing is missed.
            let is_live = self.run.live_pid().is_some();
            for entry in journal.by_ref() {
                has_ended |= match &entry?.record {
                    Record::ItemEnded { item, .. } => self.is_this(item),
                    Record::RunEnded { .. } => true,
                    _ => false,
                };
            }
            if log.is_none() {
                log = match File::open(&self.path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                    opened => Some(opened.map_err(StoreError::reading(&self.path))?),
                };
            }
            if let Some(log) = &mut log {
                self.drain(log, out)?;
            }
            if has_ended || !is_live {
                return Ok(());
            }
            pause(INTERVAL);
        }
    }

    fn drain(&self, log: &mut dyn Read, out: &mut dyn Write) -> Result<(), StoreError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match log.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(StoreError::reading(&self.path)(e)),
            };
            out.write_all(&buffer[..read]).map_err(StoreError::Output)?;
        }
        out.flush().map_err(StoreError::Output)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use wf_core::{Outcome, PlanAction};

    use super::*;
    use crate::store::journal_reader::Entry;
    use crate::store::testing::{at, attempt, ended, journal_of, planned, started, state, write_run};

    const OLD: &str = "2026-11-21T05-14-49Z-0001";
    const NEW: &str = "2026-11-21T05-14-50Z-0002";

    fn begun(run: &str) -> Vec<Entry> {
        let records =
            [started(run, 2), planned("1", PlanAction::Run), planned("2", PlanAction::Run), attempt("1", 1)];
        records.into_iter().map(|record| Entry { at: at(0), record }).collect()
    }

    fn options(item: &str, run: Option<&str>, follow: bool) -> LogsOptions {
        LogsOptions { item: item.into(), run: run.map(Into::into), follow }
    }

    fn shown(state: &StateDir, options: &LogsOptions) -> Result<String, StoreError> {
        let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
        let mut out = Vec::new();
        logs(&location, options, &mut |_| panic!("nothing to wait for"), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn the_newest_log_of_an_item_is_found_by_id_and_by_label() {
        let (_dir, state) = state();
        let (old, lock) = write_run(&state, OLD, &begun(OLD));
        drop(lock);
        let (_new, lock) = write_run(&state, NEW, &begun(NEW));
        drop(lock);
        fs::write(old.log("LLD-1"), b"first attempt\nsecond attempt\xff\n").unwrap();
        for name in ["1", "LLD-1"] {
            assert_eq!(
                shown(&state, &options(name, None, false)).unwrap(),
                "first attempt\nsecond attempt\u{fffd}\n"
            );
            assert!(shown(&state, &options(name, Some("0001"), true)).unwrap().starts_with("first"));
            let error = shown(&state, &options(name, Some("0002"), true)).unwrap_err();
            assert!(matches!(error, StoreError::UnknownItem { .. }));
            assert_eq!(error.exit_code(), 2);
        }
        for unknown in ["3", "../journal", "", "IMPL-1"] {
            let error = shown(&state, &options(unknown, None, false)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        assert_eq!(shown(&state, &options("1", Some("9999"), false)).unwrap_err().exit_code(), 2);
    }

    /// What happens while somebody follows item 2, step by step; `None` once following has ended.
    fn followed(steps: &mut Vec<Box<dyn FnMut()>>, state: &StateDir) -> String {
        let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
        let mut out = Vec::new();
        steps.reverse();
        let mut pause = |_| (steps.pop().expect("the end was not noticed"))();
        logs(&location, &options("LLD-2", None, true), &mut pause, &mut out).unwrap();
        assert!(steps.is_empty(), "it ended too early");
        String::from_utf8(out).unwrap()
    }

    fn append(path: PathBuf, text: impl Into<Vec<u8>>) -> Box<dyn FnMut()> {
        let text = text.into();
        Box::new(move || {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            file.write_all(&text).unwrap();
        })
    }

    #[test]
    fn following_ends_with_the_item_and_has_all_of_it() {
        let (_dir, state) = state();
        let (run, _lock) = write_run(&state, NEW, &begun(NEW));
        let (log, journal) = (run.log("LLD-2"), run.journal());
        let line = |record| journal_of(&[Entry { at: at(0), record }]);
        let end = line(ended("2", Outcome::Approved));
        let mut steps: Vec<Box<dyn FnMut()>> = vec![
            append(log.clone(), "one\n"),
            append(journal.clone(), line(ended("1", Outcome::Failed))),
            append(log.clone(), "tw"),
            append(journal.clone(), &end[..20]),
            append(log, "o\n"),
            append(journal, &end[20..]),
        ];
        assert_eq!(followed(&mut steps, &state), "one\ntwo\n");
    }

    #[test]
    fn following_ends_when_the_run_dies() {
        let (_dir, state) = state();
        let (run, lock) = write_run(&state, NEW, &begun(NEW));
        let mut lock = Some(lock);
        let mut steps: Vec<Box<dyn FnMut()>> =
            vec![append(run.log("LLD-2"), "one\n"), Box::new(move || drop(lock.take()))];
        assert_eq!(followed(&mut steps, &state), "one\n");
    }
}
