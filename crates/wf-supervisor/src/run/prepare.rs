//! Before a run: what is left of dead ones is put in order, the items are claimed, the plan is made.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use wf_core::{ItemId, PlanAction};
use wf_warden::own;
use wf_worker::checkpoint;

use crate::cli::value::WorkflowName;
use crate::config::{Settings, Work};
use crate::exit::{self, Trouble, refused};
use crate::items::ItemSpec;
use crate::plan::recorded::{Recorded, recorded_work};
use crate::plan::{Gathered, NoPast, Plan};
use crate::store::StoreError;
use crate::store::history::{Claim, History};
use crate::store::layout::{Location, StateDir};
use crate::store::lock::HeldLock;
use crate::store::run_dir::RunDir;
use crate::store::upkeep;
use crate::store::work::{Realm, Work as RecordedWork};

/// The longest hunt for what a crashed run left behind.
const HUNT: Duration = Duration::from_secs(10);

/// A run whose items are claimed and whose directory exists.
#[derive(Debug)]
pub struct Prepared {
    /// The state directory.
    pub state: StateDir,
    /// The new run's directory.
    pub run: RunDir,
    /// Its lock, held.
    pub lock: HeldLock,
    /// The index, in which the items are claimed.
    pub history: History,
    /// What happens to each item.
    pub plan: Plan,
    /// Tokens that earlier runs spent on these items.
    pub tokens_spent: u64,
    /// SHA-256 of designs that were approved, by item; for `implement`.
    pub designs: HashMap<ItemId, Vec<String>>,
    /// The command line as typed.
    pub typed: Vec<String>,
}

/// Claims the items and decides about them. `Err` is the exit code of a run that has nothing to do.
pub fn prepare(
    location: &Location,
    settings: &Settings,
    gathered: Gathered,
) -> Result<Result<Prepared, u8>, Trouble> {
    let first_look = Plan::make(settings, gathered.items, gathered.by_all, &NoPast);
    if first_look.all_inputs_unusable() {
        let problems: Vec<&str> = first_look.items.iter().map(|i| i.decision.words.as_str()).collect();
        return refused(format!("no item can start:\n{}", few_lines(&problems)));
    }
    if let (Work::Workflow(workflow), true) = (&settings.work, first_look.items.is_empty()) {
        say(&first_look
            .nothing_line(workflow, &settings.project.dir)
            .unwrap_or_else(|| "nothing to do".to_owned()));
        return Ok(Err(exit::OK));
    }
    let items: Vec<ItemSpec> = first_look.items.into_iter().map(|planned| planned.item).collect();
    let state = location.create()?;
    let work = recorded_work(settings);
    state.prepare(work.realm)?;
    clean_up_after_the_dead(&state)?;
    let (run, lock) = RunDir::create(&state, Timestamp::now())?;
    let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
    let (mut history, claims) =
        open_and_claim(&state, &run, &work, &ids).inspect_err(|_| abandon(&state, &run))?;
    if let Some(warning) = history.warning() {
        say(&format!("warning: {warning}"));
    }
    let all_held = claims.iter().all(|claim| claim.held.is_some());
    let past = Recorded::of_claims(&state, settings, &items, claims);
    let plan = Plan::make(settings, items.clone(), gathered.by_all, &past);
    let tokens_spent = past.tokens_spent(&plan);
    let designs = approved_designs(&history, settings, &ids)?;
    clear_checkpoints(&state, &work, &plan);
    // What does not start here is free for others at once.
    let idle: Vec<_> = plan.items.iter().filter(|i| !i.works()).map(|i| i.item.id.clone()).collect();
    history.release(run.id(), &work, &idle)?;
    let nothing = match &settings.work {
        Work::Workflow(workflow) => plan.nothing_line(workflow, &settings.project.dir),
        Work::Command(_) => None,
    };
    if all_held || nothing.is_some() {
        history.release_claims(run.id())?;
        abandon(&state, &run);
        if let Some(line) = nothing {
            say(&line);
            return Ok(Err(exit::OK));
        }
        let problems: Vec<String> =
            plan.items.iter().map(|i| format!("{}: {}", i.item.id, i.decision.words)).collect();
        let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
        return refused(format!("every item is being worked on:\n{}", few_lines(&problems)));
    }
    let typed = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(Ok(Prepared { state, run, lock, history, plan, tokens_spent, designs, typed }))
}

/// The outputs of the `lld` workflow for these items: it writes what was approved, and nothing else. What the mock
/// approved counts for the mock.
fn approved_designs(
    history: &History,
    settings: &Settings,
    ids: &[ItemId],
) -> Result<HashMap<ItemId, Vec<String>>, Trouble> {
    let mut designs: HashMap<ItemId, Vec<String>> = HashMap::new();
    let Work::Workflow(workflow) = &settings.work else { return Ok(designs) };
    if workflow.name != WorkflowName::Implement {
        return Ok(designs);
    }
    let realms: &[Realm] = if settings.mock.is_some() { &[Realm::Real, Realm::Mock] } else { &[Realm::Real] };
    for realm in realms {
        let work = RecordedWork::workflow(*realm, WorkflowName::Lld.word());
        for (id, last) in ids.iter().zip(history.facts(&work, ids)?) {
            if let Some(output) = last.and_then(|last| last.output) {
                designs.entry(id.clone()).or_default().push(output.sha256);
            }
        }
    }
    Ok(designs)
}

/// A run that was killed may have left the checkpoint of an item that it had finished, and such as it had discarded.
fn clear_checkpoints(state: &StateDir, work: &RecordedWork, plan: &Plan) {
    let dir = state.checkpoints(work.realm);
    checkpoint::remove_discarded(&dir);
    if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none()) {
        return;
    }
    for done in plan.items.iter().filter(|planned| planned.decision.action == PlanAction::Skip) {
        if let Err(error) = checkpoint::remove(&state.checkpoint(work, &done.item.id)) {
            log::warn!("cannot remove the checkpoint of {}, which is done: {error}", done.item.id);
        }
    }
}

/// A run directory that was made only to claim with leaves no trace.
fn abandon(state: &StateDir, run: &RunDir) {
    let removed = std::fs::remove_dir_all(run.path()).and_then(|()| match state.run_ids() {
        Ok(ids) => match ids.last() {
            Some(last) => state.point_latest(last).map_err(io::Error::other),
            None => std::fs::remove_file(state.latest()),
        },
        Err(error) => Err(io::Error::other(error)),
    });
    if let Err(error) = removed {
        log::warn!("cannot remove {}: {error}", run.path().display());
    }
}

/// Opens the index and claims the items. An index that is damaged, which may show at the first or at a later page of
/// it, is set aside and made again: a batch that nobody watches need not stand still for what the journals have.
fn open_and_claim(
    state: &StateDir,
    run: &RunDir,
    work: &RecordedWork,
    ids: &[ItemId],
) -> Result<(History, Vec<Claim>), StoreError> {
    let attempt = || {
        let mut history = History::open(state)?;
        let claims = history.claim(run.id(), std::process::id(), work, ids)?;
        Ok((history, claims))
    };
    match attempt() {
        Err(StoreError::Corrupt { path, detail }) => {
            let aside = History::set_aside(state, Timestamp::now())?;
            say(&format!(
                "warning: {} was damaged ({detail}). It is {} now, and was made again from the journals; only what \
                 earlier runs learned of the keys' limits is lost",
                path.display(),
                aside.display()
            ));
            attempt()
        }
        done => done,
    }
}

/// Completes the records of killed runs, and kills what they left running.
fn clean_up_after_the_dead(state: &StateDir) -> Result<(), Trouble> {
    let upkeep = upkeep::put_in_order(state, &mut |_| {})?;
    for sentence in &upkeep.damaged {
        say(&format!("warning: {sentence}"));
    }
    for run in upkeep.completed {
        // Only when supervisor and wardens died in the same instant is there anything left of a killed run.
        match own::kill_by_cookie(&run, HUNT) {
            Ok(swept) if !swept.is_empty() => {
                let names: Vec<String> =
                    swept.killed.iter().map(|l| format!("{} ({})", l.name, l.pid)).collect();
                say(&format!("killed what run {run} had left running: {}", names.join(", ")));
            }
            Ok(_) => {}
            Err(error) => log::warn!("cannot look for what run {run} left running: {error}"),
        }
    }
    Ok(())
}

/// At most ten of many lines.
fn few_lines(lines: &[&str]) -> String {
    const MOST: usize = 10;
    let text = lines[..lines.len().min(MOST)].join("\n");
    if lines.len() > MOST { format!("{text}\n... and {} more", lines.len() - MOST) } else { text }
}

/// A line to stderr before the console is there.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "wf-supervisor: {line}");
}
