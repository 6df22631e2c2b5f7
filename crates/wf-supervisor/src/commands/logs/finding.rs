//! Which item is meant, and where its output is.

use std::path::PathBuf;

use wf_core::{ItemId, Record};

use super::LogsOptions;
use crate::store::StoreError;
use crate::store::journal_reader::JournalReader;
use crate::store::layout::StateDir;
use crate::store::name::{Meant, meant, near};
use crate::store::run_dir::RunDir;

/// An item's log in one run.
pub struct Source {
    pub run: RunDir,
    /// What precedes ids in labels of this run.
    prefix: String,
    pub label: String,
    pub path: PathBuf,
}

impl Source {
    pub fn new(run: &RunDir, prefix: &str, item: &ItemId) -> Source {
        let label = item.label(prefix);
        Source { path: run.log(&label), run: run.clone(), prefix: prefix.to_owned(), label }
    }

    pub fn is_this(&self, item: &ItemId) -> bool {
        item.label(&self.prefix) == self.label
    }
}

/// The items of a run in their order, as its plan has them, and what precedes their ids in labels.
struct Roster {
    prefix: String,
    ids: Vec<ItemId>,
}

impl Roster {
    /// From the beginning of the run's journal, where the plan stands.
    fn of(run: &RunDir) -> Option<Roster> {
        let mut records =
            JournalReader::open(&run.journal()).ok()?.map_while(Result::ok).map(|entry| entry.record);
        let Record::RunStarted { prefix, items, .. } = records.next()? else { return None };
        let ids = records.map_while(|record| match record {
            Record::ItemPlanned { item, .. } => Some(item),
            _ => None,
        });
        Some(Roster { prefix, ids: ids.take(items as usize).collect() })
    }
}

/// The newest log of the item that is meant: first by its whole name, in any run, then by a part of it.
pub fn find(state: &StateDir, name: &str, options: &LogsOptions) -> Result<Source, StoreError> {
    let runs = match &options.run {
        Some(name) => vec![state.find_run(Some(name))?],
        None => state.run_ids()?.iter().rev().map(|id| state.run(id)).collect(),
    };
    if let Some(source) = ItemId::new(name).ok().and_then(|item| newest(&runs, &item, options)) {
        return Ok(source);
    }
    let mut alike = Vec::new();
    for run in &runs {
        let Some(roster) = Roster::of(run) else { continue };
        match meant(name, &roster.prefix, &roster.ids) {
            Meant::One(item) => {
                if let Some(source) = newest(&runs, item, options) {
                    return Ok(source);
                }
            }
            Meant::Several(items) => {
                return Err(StoreError::SeveralItems {
                    item: name.to_owned(),
                    items,
                    run: run.id().to_string(),
                });
            }
            Meant::Nobody if alike.is_empty() => alike = near(name, &roster.prefix, &roster.ids),
            Meant::Nobody => {}
        }
    }
    Err(match &options.run {
        Some(run) => StoreError::UnknownItem { item: name.to_owned(), run: run.clone(), near: alike },
        None => StoreError::NoLog { item: name.to_owned(), path: state.path().to_owned(), near: alike },
    })
}

/// The newest of these runs that has output of the item, or may have some yet where that is waited for.
fn newest(runs: &[RunDir], item: &ItemId, options: &LogsOptions) -> Option<Source> {
    runs.iter().find_map(|run| {
        let prefix = prefix_of(run)?;
        let source = Source::new(run, &prefix, item);
        let may_come = || {
            options.follow
                && run.live_pid().is_some()
                && Roster::of(run).is_some_and(|roster| roster.ids.iter().any(|id| source.is_this(id)))
        };
        (source.path.is_file() || may_come()).then_some(source)
    })
}

/// From the first line of the run's journal.
fn prefix_of(run: &RunDir) -> Option<String> {
    match JournalReader::open(&run.journal()).ok()?.next()?.ok()?.record {
        Record::RunStarted { prefix, .. } => Some(prefix),
        _ => None,
    }
}
