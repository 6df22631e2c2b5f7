//! `wf-supervisor run`: prepares a run, drives it, and ends it.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use wf_core::credentials::{Budget, Policy, PoolSpec};
use wf_core::{Bounds, Event, Item, Kind, PlanAction, Planned, Record, Supervisor};
use wf_warden::own;

use crate::cli::GlobalArgs;
use crate::cli::value::{ColorMode, ProgressMode};
use crate::config::{Configuration, ProcessEnviron, Settings, Work};
use crate::console::redact::Redactor;
use crate::console::style::{ColorChoice, wants_colours};
use crate::console::terminal::{Console, ConsoleOptions};
use crate::exit::{self, Trouble, refused};
use crate::items::ItemSpec;
use crate::keys::KeyRing;
use crate::keys::environment::removal_notice;
use crate::plan::recorded::{Recorded, recorded_work};
use crate::plan::{Gathered, NoPast, Plan};
use crate::run::capture::Capture;
use crate::run::clock::Clock;
use crate::run::environment::{self, Base};
use crate::run::hands::Hands;
use crate::run::ipc::Ipc;
use crate::run::launch::Launcher;
use crate::run::mock::{self, Mock};
use crate::run::redaction::redact;
use crate::run::signals::Signals;
use crate::run::slots::{Opening, Slots};
use crate::run::words::{Speaker, count};
use crate::run::{driver, pool_memory};
use crate::store::StoreError;
use crate::store::history::{History, HistoryWriter};
use crate::store::joblog::JobLog;
use crate::store::journal::Journal;
use crate::store::layout::{Location, StateDir};
use crate::store::lock::HeldLock;
use crate::store::run_dir::RunDir;
use crate::store::socket_dir::SocketDir;
use crate::store::summary::RunSummary;
use crate::store::upkeep;
use crate::store::work::Realm;

/// Events that wait for the driver, at most. Whoever has more to say waits.
const EVENTS: usize = 1024;
/// How long a lease may be out: longer than any call may take.
const LEASE_MARGIN: Duration = Duration::from_secs(60);
/// The longest hunt for what a crashed run left behind.
const HUNT: Duration = Duration::from_secs(10);

/// Runs the batch. Answers with the exit code.
pub fn run(
    global: &GlobalArgs,
    location: &Location,
    configuration: &Configuration,
    mut settings: Settings,
    gathered: Gathered,
    mut warnings: Vec<String>,
) -> Result<u8, Trouble> {
    let environ = ProcessEnviron;
    let (mut ring, more) = KeyRing::load(&settings.pool, &environ)?;
    warnings.extend(more);
    require_keys(&settings, &ring)?;
    // While there is a single thread: nobody else may be reading the environment.
    let base = environment::take(&configuration.pool, &settings.pass_env, &ring, &environ);
    let mock = match &settings.mock {
        Some(profile) => Some(Mock::start(profile)?),
        None => None,
    };
    if let Some(mock) = &mock {
        ring = mock::stand_in(mock, &mut settings);
    }
    ring.number_usable_first();
    let prepared = match prepare(location, &settings, gathered)? {
        Ok(prepared) => prepared,
        Err(code) => return Ok(code),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let ended = local.block_on(&runtime, conduct(&settings, global, prepared, ring, base, warnings));
    // A thread that sits in a write to a stopped terminal ends with the process.
    runtime.shutdown_background();
    drop(mock);
    ended
}

/// A run whose items are claimed and whose directory exists.
struct Prepared {
    state: StateDir,
    run: RunDir,
    lock: HeldLock,
    history: History,
    plan: Plan,
    tokens_spent: u64,
    typed: Vec<String>,
}

fn require_keys(settings: &Settings, ring: &KeyRing) -> Result<(), Trouble> {
    if settings.mock.is_some() {
        return Ok(());
    }
    match &settings.work {
        Work::Workflow(workflow) => {
            ring.require(&[&workflow.drafter.provider.name, &workflow.reviewer.provider.name])
        }
        Work::Command(_) => {
            let names: Vec<&str> = settings.with_key.iter().map(String::as_str).collect();
            ring.require(&names)
        }
    }
}

/// Claims the items and decides about them. `Err` is the exit code of a run that has nothing to do.
fn prepare(
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
        say(&first_look.nothing_line(workflow).unwrap_or_else(|| "nothing to do".to_owned()));
        return Ok(Err(exit::OK));
    }
    let items: Vec<ItemSpec> = first_look.items.into_iter().map(|planned| planned.item).collect();
    let state = location.create().map_err(broken)?;
    let work = recorded_work(settings);
    state.prepare(work.realm).map_err(broken)?;
    clean_up_after_the_dead(&state)?;
    let mut history = History::open(&state).map_err(broken)?;
    if let Some(warning) = history.warning() {
        say(&format!("warning: {warning}"));
    }
    let (run, lock) = RunDir::create(&state, Timestamp::now()).map_err(broken)?;
    let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
    let claims = history.claim(run.id(), std::process::id(), &work, &ids).map_err(broken)?;
    let all_held = claims.iter().all(|claim| claim.held.is_some());
    let past = Recorded::of_claims(&state, settings, &items, claims);
    let plan = Plan::make(settings, items.clone(), gathered.by_all, &past);
    let tokens_spent = past.tokens_spent(&plan);
    // What does not start here is free for others at once.
    let idle: Vec<_> = plan.items.iter().filter(|i| !i.works()).map(|i| i.item.id.clone()).collect();
    history.release(run.id(), &work, &idle).map_err(broken)?;
    let nothing = match &settings.work {
        Work::Workflow(workflow) => plan.nothing_line(workflow),
        Work::Command(_) => None,
    };
    if all_held || nothing.is_some() {
        history.release_claims(run.id()).map_err(broken)?;
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
    Ok(Ok(Prepared { state, run, lock, history, plan, tokens_spent, typed }))
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

/// Completes the records of killed runs, and kills what they left running.
fn clean_up_after_the_dead(state: &StateDir) -> Result<(), Trouble> {
    let upkeep = upkeep::put_in_order(state, &mut |_| {}).map_err(broken)?;
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

/// From the first record to the last.
async fn conduct(
    settings: &Settings,
    global: &GlobalArgs,
    prepared: Prepared,
    ring: KeyRing,
    base: Base,
    warnings: Vec<String>,
) -> Result<u8, Trouble> {
    let Prepared { state, run, lock, history, plan, tokens_spent, typed } = prepared;
    let recalled = pool_memory::recall(&history, recorded_work(settings).realm).map_err(broken)?;
    let clock = Clock::start();
    own::become_subreaper()?;
    own::forbid_dumps()?;
    let soft_nofile = own::raise_soft_nofile().ok();
    let mut signals = Signals::listen()?;

    let redactor = redactor(&ring)?;
    let choice = ColorChoice::from(global.color.unwrap_or(ColorMode::Auto));
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    let colours = wants_colours(choice, io::stderr().is_terminal(), no_color.as_deref(), term.as_deref());
    let console = Console::start(ConsoleOptions {
        output: settings.output.into(),
        progress: settings.progress == ProgressMode::Auto,
        color: choice,
        run_dir: run.path().to_owned(),
        redactor: redactor.clone(),
    })?;
    crate::diagnostics::to_console(&console);

    let (events_in, events) = mpsc::channel(EVENTS);
    let (captured_in, captured) = mpsc::channel(EVENTS);
    let sockets = SocketDir::create().map_err(broken)?;
    let ipc = Ipc::listen(&sockets.socket(), events_in.clone())?;
    let removed = base.removed.clone();
    let env = base.of_run(settings.work.word(), run.id().as_str(), run.path(), ipc.path());
    let workers = u16::try_from(plan.to_work_on()).unwrap_or(u16::MAX).min(settings.parallel);
    let slots = Slots::open(Opening {
        count: workers,
        env,
        soft_nofile,
        lock: lock.descriptor().try_clone_to_owned()?,
        events: events_in.clone(),
    })?;

    let pool = pool_spec(settings, &ring);
    let mut journal = Journal::create(&run).map_err(broken)?;
    let mut summary = RunSummary::default();
    let history = begin_records(
        settings,
        &run,
        &plan,
        &typed,
        workers,
        history,
        &mut journal,
        &mut summary,
        events_in,
        &redactor,
    )?;
    greet(&console, settings, &run, &plan, &pool, workers, warnings, &removed);

    let speaker = Speaker {
        origin: clock.wall_origin(),
        zone: TimeZone::system(),
        keys: pool.keys.iter().map(|key| key.name.clone()).collect(),
    };
    let planned = for_core(&plan);
    let realm = recorded_work(settings).realm;
    let policy = policy(settings, tokens_spent);
    let bounds = bounds(settings, workers);
    let launcher = Launcher::new(settings, plan, recorded_work(settings), state.clone(), run.clone())?;
    let capture = Capture::new(
        run.path().to_owned(),
        settings.max_log_bytes,
        redactor.clone(),
        console.clone(),
        captured_in,
    );
    let joblog = settings.joblog.as_deref().map(JobLog::create).transpose().map_err(broken)?;
    let mut hands = Hands::new(crate::run::hands::Parts {
        clock,
        slots,
        ipc,
        console,
        capture,
        redactor,
        launcher,
        ring,
        speaker,
        journal,
        history,
        summary,
        joblog,
    });
    let mut supervisor = Supervisor::new(bounds, planned, pool, policy);
    // The mock's keys and limits begin anew with it.
    if let (Some(recalled), Realm::Real) = (&recalled, realm) {
        supervisor.recall_pool(recalled);
    }
    let (code, supervisor) =
        driver::drive(supervisor, events, captured, &mut signals, &mut hands, clock).await;
    let pool = (realm == Realm::Real).then(|| supervisor.pool().snapshot(clock.now()));
    let code = hands.finish(&run, code, pool, colours, &mut signals).await;
    drop(sockets);
    drop(lock);
    Ok(code)
}

fn redactor(ring: &KeyRing) -> Result<Redactor, Trouble> {
    let secrets = ring.secrets().map(|secret| (secret.name(), secret.expose().as_bytes()));
    Redactor::new(secrets).map_err(|error| Trouble::Refused(error.to_string()))
}

/// The pool as the core knows it: the keys that have a secret, numbered as the ring numbers them.
fn pool_spec(settings: &Settings, ring: &KeyRing) -> PoolSpec {
    PoolSpec { keys: ring.specs(), ..settings.pool.spec() }
}

fn policy(settings: &Settings, tokens_spent: u64) -> Policy {
    Policy {
        max_wait: settings.max_wait,
        max_retries: settings.max_retries,
        lease_time: settings.call_timeout + LEASE_MARGIN,
        budget: match settings.budget_tokens {
            Some(tokens) => Budget::Tokens(tokens.saturating_sub(tokens_spent)),
            None => Budget::Unlimited,
        },
        seed: seed(),
    }
}

fn bounds(settings: &Settings, workers: u16) -> Bounds {
    Bounds {
        parallel: workers,
        kind: match settings.work {
            Work::Workflow(_) => Kind::Workflow,
            Work::Command(_) => Kind::Command,
        },
        timeout: Some(settings.timeout),
        idle_timeout: settings.idle_timeout,
        run_timeout: settings.run_timeout,
        grace: settings.grace,
        item_retries: settings.item_retries,
        max_fail: settings.max_fail,
        with_keys: settings.with_key.clone(),
        seed: seed(),
    }
}

/// Jitter differs from run to run; a clock is random enough for that.
fn seed() -> u64 {
    Timestamp::now().as_nanosecond() as u64 ^ u64::from(std::process::id())
}

fn for_core(plan: &Plan) -> Vec<Planned> {
    let planned = |planned: &crate::plan::PlannedItem| Planned {
        item: Item { id: planned.item.id.clone(), timeout: planned.item.timeout },
        action: planned.decision.action,
        detail: planned.decision.words.clone(),
    };
    plan.items.iter().map(planned).collect()
}

/// The first records: the run, and what was decided about each item.
#[expect(clippy::too_many_arguments, reason = "the parts of a run as they come to be, at the only caller")]
fn begin_records(
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
    let mut records = vec![Record::RunStarted {
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
    }];
    records.extend(plan.items.iter().map(|planned| Record::ItemPlanned {
        item: planned.item.id.clone(),
        action: planned.decision.action,
        fingerprint: planned.fingerprint.clone(),
        detail: match planned.decision.action {
            // What a run does anyway needs no words on every line.
            PlanAction::Run => String::new(),
            _ => planned.decision.words.clone(),
        },
    }));
    redact(&mut records, redactor);
    let at = Timestamp::now();
    journal.append(&records, at).map_err(broken)?;
    for record in &records {
        summary.fold(record, at);
    }
    let failed = move |error: &StoreError| {
        // Nobody listens any more only when the run is over, and then its end finds the error itself.
        let _ = events.blocking_send(Event::Trouble { what: error.to_string() });
    };
    let writer =
        HistoryWriter::start(history, run.id().clone(), journal.sync_handle().map_err(broken)?, failed)
            .map_err(broken)?;
    writer.send(&records, at);
    Ok(writer)
}

/// The first lines of a run.
#[expect(clippy::too_many_arguments, reason = "everything that is said at the start, at the only caller")]
fn greet(
    console: &Console,
    settings: &Settings,
    run: &RunDir,
    plan: &Plan,
    pool: &PoolSpec,
    workers: u16,
    warnings: Vec<String>,
    removed: &[std::ffi::OsString],
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
    console.coordinator(&format!("run {}: {}", run.id(), parts.join(", ")));
    if let Work::Workflow(workflow) = &settings.work {
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
    if let (Work::Command(_), Some(notice)) = (&settings.work, removal_notice(removed)) {
        console.coordinator(&notice);
    }
    if let Some(line) = plan.done_line() {
        console.coordinator(&line);
    }
    for planned in &plan.items {
        if planned.decision.action == PlanAction::Keep || planned.decision.beside {
            console.item_line(&planned.item.id.label(settings.work.prefix()), &planned.decision.words);
        }
    }
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

fn broken(error: StoreError) -> Trouble {
    match error.exit_code() {
        exit::REFUSED => Trouble::Refused(error.to_string()),
        _ => Trouble::Broken(error.into()),
    }
}
