//! `wf-supervisor run --dry-run`: the plan, for people and as JSON.

use std::io::{self, Write};

use serde::Serialize;
use wf_core::PlanAction;

use crate::plan::{Plan, PlannedItem};

/// Ids longer than this are not padded to.
const WIDEST_ID: usize = 40;

/// Writes the plan: a line per item and one of totals; or one JSON object.
pub fn render(plan: &Plan, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json { render_json(plan, out) } else { render_lines(plan, out) }
}

fn render_lines(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let action_width = plan.items.iter().map(|i| word(i.decision.action).len()).max().unwrap_or(0).max(6) + 2;
    let id_width = plan.items.iter().map(|i| i.item.id.as_str().len()).max().unwrap_or(0).min(WIDEST_ID) + 2;
    for planned in &plan.items {
        let action = word(planned.decision.action);
        let id = planned.item.id.as_str();
        writeln!(out, "{action:action_width$}{id:id_width$}{}", planned.decision.words)?;
    }
    writeln!(out, "{}", totals(plan))
}

/// `3 to work on, 1 kept, 1 done: at most 60 calls, about 0.9 M tokens`.
pub fn totals(plan: &Plan) -> String {
    let mut parts = vec![format!("{} to work on", plan.to_work_on())];
    for (action, words) in [
        (PlanAction::Keep, "kept"),
        (PlanAction::Skip, "done"),
        (PlanAction::NeedsRevision, "in need of revision"),
        (PlanAction::Fail, "unable to start"),
    ] {
        let count = plan.count(action);
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    }
    let line = parts.join(", ");
    if plan.counts_calls && plan.to_work_on() > 0 {
        format!("{line}: at most {} calls, about {}", plan.calls_at_most(), tokens(plan.tokens_about()))
    } else {
        line
    }
}

fn tokens(count: u64) -> String {
    format!("{:.1} M tokens", (count as f64 / 1e6).max(0.1))
}

fn word(action: PlanAction) -> &'static str {
    match action {
        PlanAction::Run => "run",
        PlanAction::Resume => "resume",
        PlanAction::Rerun => "rerun",
        PlanAction::Keep => "keep",
        PlanAction::Skip => "skip",
        PlanAction::NeedsRevision => "revise",
        PlanAction::Fail => "fail",
    }
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    action: PlanAction,
    detail: &'a str,
    node: Option<&'a str>,
    iteration: Option<u32>,
    /// The output goes beside a file that is not ours.
    beside: bool,
    last_run: Option<&'a str>,
}

impl<'a> From<&'a PlannedItem> for Row<'a> {
    fn from(planned: &'a PlannedItem) -> Row<'a> {
        Row {
            id: planned.item.id.as_str(),
            action: planned.decision.action,
            detail: &planned.decision.words,
            node: planned.next.as_ref().map(|(node, _)| node.as_str()),
            iteration: planned.next.as_ref().map(|(_, iteration)| *iteration),
            beside: planned.decision.beside,
            last_run: planned.last_run.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    items: Vec<Row<'a>>,
    to_work_on: usize,
    kept: usize,
    done: usize,
    needs_revision: usize,
    cannot_start: usize,
    calls_at_most: Option<u64>,
    tokens_about: Option<u64>,
}

fn render_json(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        items: plan.items.iter().map(Row::from).collect(),
        to_work_on: plan.to_work_on(),
        kept: plan.count(PlanAction::Keep),
        done: plan.count(PlanAction::Skip),
        needs_revision: plan.count(PlanAction::NeedsRevision),
        cannot_start: plan.count(PlanAction::Fail),
        calls_at_most: plan.counts_calls.then(|| plan.calls_at_most()),
        tokens_about: plan.counts_calls.then(|| plan.tokens_about()),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
