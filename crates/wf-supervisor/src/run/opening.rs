//! The opening of a run: its first records, and its first lines.

use jiff::Timestamp;
use tokio::sync::mpsc;
use wf_core::credentials::PoolSpec;
use wf_core::{Event, PlanAction, Record};

use super::redaction::redact;
use super::words::count;
use crate::config::{Settings, Work};
use crate::console::redact::Redactor;
use crate::console::terminal::Console;
use crate::duration::format;
use crate::exit::Trouble;
use crate::keys::environment::removal_notice;
use crate::plan::Plan;
use crate::plan::recorded::recorded_work;
use crate::store::StoreError;
use crate::store::history::{History, HistoryWriter};
use crate::store::journal::Journal;
use crate::store::name::short;
use crate::store::run_dir::RunDir;
use crate::store::summary::RunSummary;

/// Records made at once: a plan of a hundred thousand items is not held a second time as its records.
const AT_ONCE: usize = 1_000;

/// The first records: the run, and what was decided about each item.
#[expect(clippy::too_many_arguments, reason = "the parts of a run as they come to be, at the only caller")]
pub fn begin_records(
    settings: &Settings,
    run: &RunDir,
    plan: &Plan,
    typed: &[String],
    workers: u16,
    history: History,
    journal: &mut Journal,
    summary: &mut RunSummary,
    events: mpsc::Sender<Event>,
    redactor: &Redactor,
) -> Result<HistoryWriter, Trouble> {
    let work = recorded_work(settings);
    let begun = Record::RunStarted {
        run: run.id().to_string(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workflow: settings.work.word().to_owned(),
        work: work.name.clone(),
        prefix: settings.work.prefix().to_owned(),
        argv: typed.to_vec(),
        parallel: workers,
        items: plan.items.len() as u32,
        mock: settings.mock.is_some(),
        name: settings.name.clone(),
    };
    let failed = move |error: &StoreError| {
        // Nobody listens any more only when the run is over, and then its end finds the error itself.
        let _ = events.blocking_send(Event::Trouble { what: error.to_string() });
    };
    let writer = HistoryWriter::start(history, run.id().clone(), journal.sync_handle()?, failed)?;
    let at = Timestamp::now();
    let planned = plan.items.iter().map(|planned| Record::ItemPlanned {
        item: planned.item.id.clone(),
        action: planned.decision.action,
        redo: planned.redo,
        fingerprint: planned.fingerprint.clone(),
        detail: match planned.decision.action {
            // What a run does anyway needs no words on every line.
            PlanAction::Run => String::new(),
            _ => planned.decision.words.clone(),
        },
    });
    let mut all = std::iter::once(begun).chain(planned).peekable();
    while all.peek().is_some() {
        let mut records: Vec<Record> = all.by_ref().take(AT_ONCE).collect();
        redact(&mut records, redactor);
        journal.append(&records, at)?;
        for record in &records {
            summary.fold(record, at);
        }
        writer.send(&records, at);
    }
    Ok(writer)
}

/// The first lines of a run.
#[expect(clippy::too_many_arguments, reason = "everything that is said at the start, at the only caller")]
pub fn greet(
    console: &Console,
    settings: &Settings,
    run: &RunDir,
    plan: &Plan,
    pool: &PoolSpec,
    workers: u16,
    warnings: Vec<String>,
    removed: &[std::ffi::OsString],
    quiet: bool,
) {
    let mut parts = vec![count(plan.items.len(), "item"), count(usize::from(workers), "worker")];
    if !pool.keys.is_empty() {
        let mut groups: Vec<&str> =
            pool.keys.iter().map(|key| key.quota_group.as_deref().unwrap_or(&key.name)).collect();
        groups.sort_unstable();
        groups.dedup();
        parts.push(format!("{} in {}", count(pool.keys.len(), "key"), count(groups.len(), "quota group")));
    }
    if plan.counts_calls {
        parts.push(format!("at most {} calls", plan.calls_at_most()));
    }
    parts.push(limits(settings));
    if !quiet {
        console.coordinator(&format!("run {}: {}", run.id(), parts.join(", ")));
    }
    if let (Work::Workflow(workflow), false) = (&settings.work, quiet) {
        let role = |role: &crate::config::RoleSettings| format!("{} ({})", role.model, role.provider.name);
        console.coordinator(&format!(
            "drafter {}, reviewer {}",
            role(&workflow.drafter),
            role(&workflow.reviewer)
        ));
    }
    for warning in warnings {
        console.coordinator(&format!("warning: {warning}"));
    }
    if let (Work::Command(_), Some(notice), false) = (&settings.work, removal_notice(removed), quiet) {
        console.coordinator(&notice);
    }
    if let (Some(line), false) = (plan.done_line(), quiet) {
        console.coordinator(&line);
    }
    for (position, planned) in (1..).zip(&plan.items) {
        if planned.decision.action == PlanAction::Keep || planned.decision.beside {
            let label = planned.item.id.label(settings.work.prefix());
            console.item_line(&short(position, &label), &planned.decision.words);
        }
    }
}

/// How long an attempt may take and be silent, so that nobody learns of a limit from a killed agent.
fn limits(settings: &Settings) -> String {
    let told = |limit: Option<std::time::Duration>, words: &str| Some(format!("{words} {}", format(limit?)));
    let limits: Vec<String> = [
        told(settings.timeout, "an attempt takes at most"),
        told(settings.idle_timeout, "is silent for at most"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (limits.is_empty(), settings.timeout) {
        (true, _) => "no time limit (--timeout)".to_owned(),
        (false, Some(_)) => limits.join(" and "),
        (false, None) => format!("an attempt {}", limits.join(" and ")),
    }
}
