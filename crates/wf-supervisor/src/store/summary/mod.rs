//! What became of a run, folded from its journal: the numbers behind the table, `summary.json`, `list` and `show`.

mod json;
mod keys;
mod live;
mod sums;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_core::{Counts, ItemId, Outcome, OutputRef, PlanAction, Record};

use super::StoreError;
use super::atomic::write_atomic;
use super::board::PoolBoard;
use super::journal_reader::{Flaws, JournalReader};
use super::run_dir::RunDir;
use super::work::{Realm, Work};

pub use keys::KeySummary;
pub use live::{load, load_head};
pub use table::{Page, Rows, open_and_ended, write_summary};

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Something of it lives.
    Running,
    /// It ended and wrote so.
    Finished,
    /// It ended and could not write so.
    #[default]
    Killed,
}

impl RunState {
    /// The word for people and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Killed => "killed",
        }
    }
}

/// Sums over all items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// From the run's beginning to its end, or to the last thing known of it.
    pub wall_ms: u64,
    /// Sum of all attempts' time.
    pub worked_ms: u64,
    /// Attempts.
    pub attempts: u64,
    /// API calls.
    pub calls: u64,
    /// Of those, calls that were refused or lost.
    pub retries: u64,
    /// Tokens of all inputs.
    pub tokens_in: u64,
    /// Tokens of all outputs.
    pub tokens_out: u64,
}

/// One item of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSummary {
    /// Its id.
    pub id: ItemId,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
    /// What was planned for it.
    pub plan: Option<PlanAction>,
    /// The node its workflow is in, while it runs.
    pub node: Option<Box<str>>,
    /// Attempts begun.
    pub attempts: u32,
    /// Whether one of them is running.
    pub is_running: bool,
    /// Whether that one waits for quota; known of a run that lives.
    pub is_paused: bool,
    /// Since when that one runs.
    pub running_since: Option<Timestamp>,
    /// When that one last wrote something; known of a run that lives.
    pub last_output: Option<Timestamp>,
    /// Sum of its attempts' time, that of the one that runs included.
    pub wall_ms: u64,
    /// Of that, the time of the last attempt that ended.
    pub last_attempt_ms: u64,
    /// Of all of it, time spent waiting for quota.
    pub waited_ms: u64,
    /// API calls.
    pub calls: u32,
    /// Of those, calls that were refused or lost.
    pub retries: u32,
    /// Tokens of its inputs.
    pub tokens_in: u64,
    /// Tokens of its outputs.
    pub tokens_out: u64,
    /// Why it ended so, or what was planned; may be empty.
    pub detail: Box<str>,
    /// What it wrote.
    pub output: Option<Box<OutputRef>>,
}

/// A run. Its JSON has the fields of `summary.json`, documented in `docs/usage.md`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSummary {
    /// The run's id.
    pub run: String,
    /// Where it stands. A journal cannot tell a killed run from a live one: [`load`] does.
    pub state: RunState,
    /// `issue`, `lld`, `implement` or `command`.
    pub workflow: String,
    /// What makes ids of this run the same work as in another (see `Work`).
    pub work: String,
    /// What precedes ids in labels.
    pub prefix: String,
    /// The supervisor's process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// When it ended, if it did; of a killed run, when it was last heard of.
    pub ended: Option<Timestamp>,
    /// Its exit code, if it ended by itself.
    pub exit: Option<u8>,
    /// The command line, as typed but for secrets.
    pub argv: Vec<String>,
    /// What its user calls it.
    pub name: Option<String>,
    /// Workers at once.
    pub parallel: u16,
    /// Whether the mock provider answered.
    pub mock: bool,
    /// Items it was to have; more than `items` has while the plan is being written.
    pub planned: u32,
    /// Every item, in the order of the plan.
    pub items: Vec<ItemSummary>,
    /// What is wrong with its journal, where lines of it cannot be read.
    pub damage: Option<String>,
    /// How many items ended how.
    pub counts: Counts,
    /// Sums.
    pub totals: Totals,
    /// Time spent waiting for quota, summed over the workers.
    pub waited_ms: u64,
    /// Of the workers' time, what was the supervisor's own doing, in microseconds.
    pub overhead_us: u64,
    /// Whether the run was asked to stop, and why (the first reason).
    pub stopping: Option<String>,
    /// Every key that was used or that the run's end tells of.
    pub keys: Vec<KeySummary>,
    /// How the pool stands, of a run that lives; for those who show it.
    pub pool: Option<Box<PoolBoard>>,
    last: Timestamp,
    index: HashMap<ItemId, u32>,
}

impl RunSummary {
    /// Takes in the next record of the run's journal.
    pub fn fold(&mut self, record: &Record, at: Timestamp) {
        self.last = self.last.max(at);
        match record {
            Record::RunStarted {
                run,
                pid,
                workflow,
                work,
                prefix,
                argv,
                parallel,
                items,
                mock,
                name,
                ..
            } => {
                self.run.clone_from(run);
                self.workflow.clone_from(workflow);
                self.work.clone_from(if work.is_empty() { workflow } else { work });
                self.prefix.clone_from(prefix);
                self.argv.clone_from(argv);
                self.name.clone_from(name);
                (self.pid, self.parallel, self.planned, self.mock) = (*pid, *parallel, *items, *mock);
                (self.started, self.state) = (at, RunState::Running);
            }
            Record::ItemPlanned { item, action, detail, .. } => {
                let item = self.item(item);
                item.plan = Some(*action);
                item.detail = detail.as_str().into();
            }
            Record::AttemptStarted { item, attempt, .. } => {
                self.totals.attempts += 1;
                let item = self.item(item);
                (item.attempts, item.is_running, item.detail) =
                    (*attempt, item.outcome.is_none(), Box::default());
                item.running_since = item.is_running.then_some(at);
            }
            Record::Progress { item, node, iteration, .. } => {
                self.item(item).node = Some(format!("{node} (iteration {iteration})").into());
            }
            Record::LeaseGranted { item, waited_ms, .. } => {
                let item = self.item(item);
                item.waited_ms = item.waited_ms.saturating_add(*waited_ms);
                self.waited_ms = self.waited_ms.saturating_add(*waited_ms);
            }
            Record::LeaseReturned { item, key, outcome, tokens_in, tokens_out, .. } => {
                // What was given back without a call cost nothing.
                let is_sent = outcome != "abandoned";
                if is_sent {
                    let key = self.key(key);
                    key.calls += 1;
                    key.refusals +=
                        u64::from(matches!(outcome.as_str(), "limited" | "key-refused" | "billing"));
                    key.tokens_in = key.tokens_in.saturating_add(*tokens_in);
                    key.tokens_out = key.tokens_out.saturating_add(*tokens_out);
                }
                let before = self.item(item).calls_and_tokens();
                let item = self.item(item);
                item.calls = item.calls.saturating_add(u32::from(is_sent));
                item.retries = item.retries.saturating_add(u32::from(is_sent && outcome != "ok"));
                item.tokens_in = item.tokens_in.saturating_add(*tokens_in);
                item.tokens_out = item.tokens_out.saturating_add(*tokens_out);
                let after = item.calls_and_tokens();
                self.totals.replace(before, after);
            }
            Record::AttemptEnded { item, wall_ms, .. } => {
                self.totals.worked_ms = self.totals.worked_ms.saturating_add(*wall_ms);
                let item = self.item(item);
                item.wall_ms = item.wall_ms.saturating_add(*wall_ms);
                item.last_attempt_ms = *wall_ms;
                item.stop_running();
            }
            Record::ItemEnded { item, outcome, detail, output, .. } => {
                self.counts.add(*outcome);
                let summary = self.item(item);
                let before = summary.calls_and_tokens();
                summary.end(record);
                summary.outcome = Some(*outcome);
                summary.stop_running();
                if !detail.is_empty() || *outcome != Outcome::Skipped {
                    summary.detail = detail.as_str().into();
                }
                summary.output = output.clone().map(Box::new);
                let after = summary.calls_and_tokens();
                self.totals.replace(before, after);
            }
            Record::KeyUsed { key, provider, group, limited_ms, share } => {
                let key = self.key(key);
                key.provider.clone_from(provider);
                key.group.clone_from(group);
                (key.limited_ms, key.share) = (Some(*limited_ms), *share);
            }
            Record::Stopping { why } => {
                self.stopping.get_or_insert_with(|| why.clone());
            }
            Record::RunEnded { exit, counts, wall_ms, worked_ms, waited_ms, overhead_us } => {
                (self.exit, self.counts, self.ended) = (Some(*exit), *counts, Some(at));
                (self.totals.wall_ms, self.totals.worked_ms) = (*wall_ms, *worked_ms);
                (self.waited_ms, self.overhead_us) = (*waited_ms, *overhead_us);
                self.state = RunState::Finished;
            }
            Record::Spawned { .. }
            | Record::Connected { .. }
            | Record::Checkpointed { .. }
            | Record::Pool { .. }
            | Record::Asked { .. }
            | Record::Killed { .. } => {}
        }
    }

    /// What the run did to its items.
    pub fn work(&self) -> Work {
        Work { realm: Realm::of(self.mock), name: self.work.clone() }
    }

    /// The name people see of an item.
    pub fn label(&self, item: &ItemSummary) -> String {
        item.id.label(&self.prefix)
    }

    /// The position of one of its items, from 1.
    pub fn position(&self, item: &ItemSummary) -> u32 {
        self.index.get(&item.id).map_or(0, |place| place.saturating_add(1))
    }

    /// The command line as a person would type it.
    pub fn command_line(&self) -> String {
        let words: Vec<std::ffi::OsString> = self.argv.iter().map(std::ffi::OsString::from).collect();
        crate::items::placeholders::shown(&words)
    }

    /// The item called so by its id or its label.
    pub fn find(&self, name: &str) -> Option<&ItemSummary> {
        let by_id =
            ItemId::new(name).ok().and_then(|id| self.index.get(&id)).map(|i| &self.items[*i as usize]);
        by_id.or_else(|| self.items.iter().find(|item| self.label(item) == name))
    }

    /// Time saved against one item after the other: what all attempts took without their waits for quota, less the
    /// run's own time. Waits are left out because one worker alone would wait less; so this is rather too little.
    pub fn saved_ms(&self) -> u64 {
        self.totals.worked_ms.saturating_sub(self.waited_ms).saturating_sub(self.totals.wall_ms)
    }

    /// What of the workers' time was the supervisor's own doing.
    pub fn overhead_percent(&self) -> f64 {
        if self.totals.worked_ms == 0 {
            return 0.0;
        }
        // Microseconds over milliseconds, times a hundred; kept to the two decimals that are shown. Of attempts that take
        // less than a millisecond the whole milliseconds are fewer than the microseconds.
        let percent = (self.overhead_us as f64 / (self.totals.worked_ms as f64 * 10.0)).min(100.0);
        (percent * 100.0).round() / 100.0
    }

    /// Writes `summary.json`, whole or not at all.
    pub fn write(&self, run: &RunDir) -> Result<(), StoreError> {
        let path = run.summary();
        write_atomic(&path, |file| {
            serde_json::to_writer_pretty(&mut *file, self)
                .map_err(|e| StoreError::writing(&path)(e.into()))?;
            file.write_all(b"\n").map_err(StoreError::writing(&path))
        })
    }

    fn item(&mut self, id: &ItemId) -> &mut ItemSummary {
        let place = self.index.get(id).copied().unwrap_or_else(|| {
            let place = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
            self.items.push(ItemSummary::new(id.clone()));
            self.index.insert(id.clone(), place);
            place
        });
        &mut self.items[place as usize]
    }
}

/// Folds a run's journal from its beginning, and says what of it could not be read.
pub fn fold_journal(run: &RunDir) -> Result<(RunSummary, Flaws), StoreError> {
    let is_empty = match std::fs::metadata(run.journal()) {
        Ok(found) => found.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_empty {
        return Err(StoreError::NeverBegan { run: run.id().to_string(), is_live: run.live_pid().is_some() });
    }
    let mut reader = JournalReader::open(&run.journal())?;
    let mut summary = RunSummary::default();
    for entry in reader.by_ref() {
        let entry = entry?;
        summary.fold(&entry.record, entry.at);
    }
    if summary.run.is_empty() {
        return Err(StoreError::Headless { path: run.journal() });
    }
    let flaws = reader.flaws();
    summary.damage = flaws.words(&run.journal());
    Ok((summary, flaws))
}

impl ItemSummary {
    fn new(id: ItemId) -> ItemSummary {
        ItemSummary {
            id,
            outcome: None,
            plan: None,
            node: None,
            attempts: 0,
            is_running: false,
            is_paused: false,
            running_since: None,
            last_output: None,
            wall_ms: 0,
            last_attempt_ms: 0,
            waited_ms: 0,
            calls: 0,
            retries: 0,
            tokens_in: 0,
            tokens_out: 0,
            detail: Box::default(),
            output: None,
        }
    }

    /// How it stands, in one word.
    pub fn word(&self) -> &'static str {
        match self.outcome {
            Some(outcome) => outcome.word(),
            None if self.is_running && self.is_paused => "paused",
            None if self.is_running => "running",
            None if self.attempts > 0 => "to-retry",
            None => "queued",
        }
    }

    fn stop_running(&mut self) {
        (self.is_running, self.running_since, self.node) = (false, None, None);
    }

    fn calls_and_tokens(&self) -> [u64; 4] {
        [self.calls.into(), self.retries.into(), self.tokens_in, self.tokens_out]
    }

    /// Takes the sums of an `ItemEnded`, which are those of the whole run.
    fn end(&mut self, record: &Record) {
        if let Record::ItemEnded {
            attempts, wall_ms, waited_ms, calls, retries, tokens_in, tokens_out, ..
        } = record
        {
            (self.attempts, self.wall_ms, self.waited_ms) = (*attempts, *wall_ms, *waited_ms);
            (self.calls, self.retries) = (*calls, *retries);
            (self.tokens_in, self.tokens_out) = (*tokens_in, *tokens_out);
        }
    }
}

impl Totals {
    fn replace(&mut self, before: [u64; 4], after: [u64; 4]) {
        let sums = [&mut self.calls, &mut self.retries, &mut self.tokens_in, &mut self.tokens_out];
        for (sum, (before, after)) in sums.into_iter().zip(before.into_iter().zip(after)) {
            *sum = sum.saturating_sub(before).saturating_add(after);
        }
    }
}
