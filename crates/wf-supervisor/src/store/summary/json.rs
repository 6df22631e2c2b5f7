//! The JSON form of a run's summary: `summary.json` and `show --json`.

use std::io::Read;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wf_core::{Counts, ItemId, Outcome, OutputRef, PlanAction};

use super::super::run_dir::log_name;
use super::{ItemSummary, KeySummary, RunState, RunSummary, Totals};
use crate::store::board::PoolBoard;

/// The fields of a run in JSON; `Items` is what differs between writing and reading.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "Text: Deserialize<'de>, Items: Deserialize<'de>"))]
struct RunJson<Text, Items> {
    run: Text,
    state: RunState,
    workflow: Text,
    work: Text,
    prefix: Text,
    #[serde(default)]
    pid: u32,
    started: Timestamp,
    ended: Option<Timestamp>,
    exit: Option<u8>,
    /// The command line, as typed but for secrets.
    #[serde(default)]
    argv: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damage: Option<Text>,
    parallel: u16,
    mock: bool,
    /// How many items the run was to have.
    planned: u32,
    #[serde(default)]
    stopping: Option<Text>,
    counts: Counts,
    totals: Totals,
    #[serde(default)]
    saved_ms: u64,
    waited_ms: u64,
    overhead_us: u64,
    #[serde(default)]
    overhead_percent: f64,
    #[serde(default)]
    keys: Vec<KeySummary>,
    /// Of a run that lives: how its pool stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<Box<PoolBoard>>,
    items: Items,
}

/// The fields of an item in JSON.
#[derive(Serialize, Deserialize)]
struct ItemJson<Text, Id, Output> {
    id: Id,
    #[serde(default = "no_text", skip_deserializing)]
    label: Option<String>,
    outcome: Option<Outcome>,
    state: Option<String>,
    plan: Option<PlanAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Text>,
    attempts: u32,
    /// Of one that runs: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running_since: Option<Timestamp>,
    /// Of one that runs, in a run that lives: when it last wrote something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_output: Option<Timestamp>,
    wall_ms: u64,
    #[serde(default)]
    last_attempt_ms: u64,
    waited_ms: u64,
    calls: u32,
    retries: u32,
    tokens_in: u64,
    tokens_out: u64,
    detail: Text,
    /// Relative to the run's directory; null where nothing was run.
    #[serde(default = "no_text", skip_deserializing)]
    log: Option<String>,
    output: Option<Output>,
}

fn no_text() -> Option<String> {
    None
}

/// Writes the items one by one: a run of 100,000 has no second copy in memory.
struct ItemsJson<'a>(&'a RunSummary);

impl ItemsJson<'_> {
    fn item<'a>(&self, item: &'a ItemSummary) -> ItemJson<&'a str, &'a ItemId, &'a OutputRef> {
        let label = self.0.label(item);
        ItemJson {
            id: &item.id,
            log: (item.attempts > 0).then(|| log_name(&label)),
            label: Some(label),
            outcome: item.outcome,
            state: Some(item.word().to_owned()),
            plan: item.plan,
            node: item.node.as_deref(),
            attempts: item.attempts,
            running_since: item.running_since,
            last_output: item.last_output,
            wall_ms: item.wall_ms,
            last_attempt_ms: item.last_attempt_ms,
            waited_ms: item.waited_ms,
            calls: item.calls,
            retries: item.retries,
            tokens_in: item.tokens_in,
            tokens_out: item.tokens_out,
            detail: &item.detail,
            output: item.output.as_deref(),
        }
    }
}

impl Serialize for ItemsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.items.len()))?;
        for item in &self.0.items {
            seq.serialize_element(&self.item(item))?;
        }
        seq.end()
    }
}

impl RunSummary {
    /// One item as it stands in `summary.json`.
    pub fn item_json(&self, item: &ItemSummary) -> impl Serialize {
        serde_json::to_value(ItemsJson(self).item(item)).unwrap_or_default()
    }
}

/// Reads a summary without its items.
pub(super) fn read_head(input: impl Read) -> serde_json::Result<RunSummary> {
    let json: RunJson<String, IgnoredAny> = serde_json::from_reader(input)?;
    Ok(json.into_head().0)
}

impl<Items> RunJson<String, Items> {
    fn into_head(self) -> (RunSummary, Items) {
        let summary = RunSummary {
            run: self.run,
            state: self.state,
            workflow: self.workflow,
            work: self.work,
            prefix: self.prefix,
            pid: self.pid,
            started: self.started,
            ended: self.ended,
            exit: self.exit,
            argv: self.argv,
            name: self.name,
            damage: self.damage,
            parallel: self.parallel,
            mock: self.mock,
            planned: self.planned,
            stopping: self.stopping,
            counts: self.counts,
            totals: self.totals,
            waited_ms: self.waited_ms,
            overhead_us: self.overhead_us,
            keys: self.keys,
            pool: self.pool,
            last: self.ended.unwrap_or(self.started),
            ..RunSummary::default()
        };
        (summary, self.items)
    }
}

impl Serialize for RunSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = RunJson {
            run: self.run.as_str(),
            state: self.state,
            workflow: &self.workflow,
            work: &self.work,
            prefix: &self.prefix,
            pid: self.pid,
            started: self.started,
            ended: self.ended,
            exit: self.exit,
            argv: self.argv.iter().map(String::as_str).collect(),
            name: self.name.as_deref(),
            damage: self.damage.as_deref(),
            parallel: self.parallel,
            mock: self.mock,
            planned: self.planned,
            stopping: self.stopping.as_deref(),
            counts: self.counts,
            totals: self.totals,
            saved_ms: self.saved_ms(),
            waited_ms: self.waited_ms,
            overhead_us: self.overhead_us,
            overhead_percent: self.overhead_percent(),
            keys: self.keys.clone(),
            pool: self.pool.clone(),
            items: ItemsJson(self),
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RunSummary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = RunJson::<String, Vec<ItemJson<Box<str>, ItemId, OutputRef>>>::deserialize(deserializer)?;
        let (mut summary, items) = json.into_head();
        for item in items {
            *summary.item(&item.id) = ItemSummary {
                id: item.id.clone(),
                outcome: item.outcome,
                plan: item.plan,
                node: item.node,
                attempts: item.attempts,
                is_running: item.outcome.is_none()
                    && matches!(item.state.as_deref(), Some("running" | "paused")),
                is_paused: item.state.as_deref() == Some("paused"),
                running_since: item.running_since,
                last_output: item.last_output,
                wall_ms: item.wall_ms,
                last_attempt_ms: item.last_attempt_ms,
                waited_ms: item.waited_ms,
                calls: item.calls,
                retries: item.retries,
                tokens_in: item.tokens_in,
                tokens_out: item.tokens_out,
                detail: item.detail,
                output: item.output.map(Box::new),
            };
        }
        Ok(summary)
    }
}
