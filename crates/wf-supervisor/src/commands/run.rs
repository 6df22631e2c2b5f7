//! `wf-supervisor run`: puts the parts of a run together, drives it, and ends it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use wf_core::credentials::{Budget, Policy, PoolSnapshot, PoolSpec};
use wf_core::{Bounds, Item, Kind, PlanAction, Planned, Supervisor};
use wf_warden::own;

use crate::cli::GlobalArgs;
use crate::cli::value::{ColorMode, ProgressMode};
use crate::config::{Configuration, ProcessEnviron, Settings, Work};
use crate::console::redact::Redactor;
use crate::console::style::{ColorChoice, wants_colours};
use crate::console::terminal::{Console, ConsoleOptions};
use crate::exit::{Trouble, refused};
use crate::keys::KeyRing;
use crate::plan::recorded::recorded_work;
use crate::plan::{Gathered, Plan};
use crate::run::capture::Capture;
use crate::run::clock::Clock;
use crate::run::environment::{self, Base};
use crate::run::hands::Hands;
use crate::run::ipc::Ipc;
use crate::run::janitor::Janitor;
use crate::run::launch::{Launcher, worker_program};
use crate::run::mock::{self, Mock};
use crate::run::opening::{begin_records, greet};
use crate::run::pool_window::PoolWindow;
use crate::run::prepare::{Prepared, prepare};
use crate::run::provider_days::midnights;
use crate::run::signals::Signals;
use crate::run::slots::{Opening, Slots};
use crate::run::words::Speaker;
use crate::run::{driver, pool_memory};
use crate::store::history::History;
use crate::store::joblog::JobLog;
use crate::store::journal::Journal;
use crate::store::layout::Location;
use crate::store::socket_dir::SocketDir;
use crate::store::summary::RunSummary;
use crate::store::work::Realm;

/// Events that wait for the driver, at most. Whoever has more to say waits.
const EVENTS: usize = 1024;
/// How long a lease may be out: longer than any call may take.
const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// Runs the batch. Answers with the exit code.
pub fn run(
    global: &GlobalArgs,
    location: &Location,
    configuration: &Configuration,
    mut settings: Settings,
    gathered: Gathered,
    mut warnings: Vec<String>,
) -> Result<u8, Trouble> {
    own::survive_file_limit()?;
    // Before the first key is read.
    own::forbid_dumps()?;
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
    check_places(&settings)?;
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

/// What would make the run impossible is found before it leaves a trace.
fn check_places(settings: &Settings) -> Result<(), Trouble> {
    if let Work::Workflow(_) = &settings.work {
        worker_program().map_err(|error| Trouble::Broken(error.into()))?;
    }
    let Some(joblog) = &settings.joblog else { return Ok(()) };
    let dir = joblog.parent().filter(|dir| dir.is_dir());
    if dir.is_none() || joblog.is_dir() {
        return refused(format!("the job log cannot be written to {}", joblog.display()));
    }
    // Before anything else is made: a file of somebody's must not be found out about in the middle of a beginning.
    JobLog::check(joblog)?;
    Ok(())
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

/// From the first record to the last.
async fn conduct(
    settings: &Settings,
    global: &GlobalArgs,
    prepared: Prepared,
    ring: KeyRing,
    base: Base,
    mut warnings: Vec<String>,
) -> Result<u8, Trouble> {
    let Prepared { state, run, lock, mut history, plan, tokens_spent, designs, typed } = prepared;
    // The mock's keys and limits begin anew with it.
    let keeps_pool = recorded_work(settings).realm == Realm::Real;
    let recalled = if keeps_pool { recall_pool(&mut history, &ring, &mut warnings)? } else { None };
    let clock = Clock::start();
    own::become_subreaper()?;
    let soft_nofile = own::raise_soft_nofile().ok();
    let mut signals = Signals::listen()?;

    let redactor = redactor(&ring)?;
    let choice = ColorChoice::from(global.color.unwrap_or(ColorMode::Auto));
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    let colours = wants_colours(choice, io::stderr().is_terminal(), no_color.as_deref(), term.as_deref());
    let console = Console::start(ConsoleOptions {
        output: settings.output.into(),
        progress: settings.progress == ProgressMode::Auto && !global.quiet,
        color: choice,
        run_dir: run.path().to_owned(),
        redactor: redactor.clone(),
    })?;
    crate::diagnostics::to_console(&console);

    let (events_in, events) = mpsc::channel(EVENTS);
    let (captured_in, captured) = mpsc::channel(EVENTS);
    let sockets = SocketDir::create()?;
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

    let pool = pool_spec(settings, &ring, clock);
    let mut journal = Journal::create(&run)?;
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
    greet(&console, settings, &run, &plan, &pool, workers, warnings, &removed, global.quiet);

    let speaker = Speaker {
        origin: clock.wall_origin(),
        zone: TimeZone::system(),
        keys: pool.keys.iter().map(|key| key.name.clone()).collect(),
    };
    let planned = for_core(&plan);
    let window = PoolWindow::new(run.clone(), settings.mock.is_some(), clock.wall_origin());
    let policy = policy(settings, tokens_spent);
    let bounds = bounds(settings, workers);
    let launcher =
        Launcher::new(settings, plan, designs, recorded_work(settings), state.clone(), run.clone())?;
    let capture = Capture::new(
        run.path().to_owned(),
        settings.max_log_bytes,
        redactor.clone(),
        console.clone(),
        captured_in,
    );
    let joblog = settings.joblog.as_deref().map(JobLog::open).transpose()?;
    let mut hands = Hands::new(crate::run::hands::Parts {
        clock,
        slots,
        ipc,
        console,
        capture,
        secrets: ring.secrets().cloned().collect(),
        redactor,
        launcher,
        ring,
        speaker,
        journal,
        history,
        summary,
        window,
        keeps_pool,
        joblog,
        janitor: Janitor::new(),
    });
    let mut supervisor = Supervisor::new(bounds, planned, pool, policy);
    if let Some(recalled) = &recalled {
        supervisor.recall_pool(recalled);
    }
    // A task among those that serve the workers: what one of them hears is acted on before the system is asked for more.
    let driving = tokio::task::spawn_local(async move {
        let ended = driver::drive(supervisor, events, captured, &mut signals, &mut hands, clock).await;
        (ended, signals, hands)
    });
    let ((code, supervisor), mut signals, hands) =
        driving.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    let pool = supervisor.pool().snapshot(clock.now());
    let code = hands.finish(&run, code, pool, colours, global.quiet, &mut signals).await;
    drop(sockets);
    drop(lock);
    Ok(code)
}

/// What earlier runs knew of the pool. Something unreadable is said and kept aside: the run finds out anew.
fn recall_pool(
    history: &mut History,
    ring: &KeyRing,
    warnings: &mut Vec<String>,
) -> Result<Option<PoolSnapshot>, Trouble> {
    let recalled = pool_memory::recall(history)?;
    if let Some(why) = &recalled.unreadable {
        let aside = history.set_pool_state_aside(pool_memory::NAME, Timestamp::now())?;
        warnings.push(format!(
            "what earlier runs noted of the key pool in history.db cannot be read ({why}). It is kept there as {aside:?}; \
             this run finds limits and refused keys out anew"
        ));
    }
    Ok(recalled.for_ring(ring))
}

fn redactor(ring: &KeyRing) -> Result<Redactor, Trouble> {
    let secrets = ring.secrets().map(|secret| (secret.name(), secret.expose().as_bytes()));
    Redactor::new(secrets).map_err(|error| Trouble::Refused(error.to_string()))
}

/// The pool as the core knows it: the keys that have a secret, numbered as the ring numbers them.
fn pool_spec(settings: &Settings, ring: &KeyRing, clock: Clock) -> PoolSpec {
    let midnights = midnights(&settings.pool.providers, clock.wall_origin());
    PoolSpec { keys: ring.specs(), midnights, ..settings.pool.spec() }
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
        timeout: settings.timeout,
        idle_timeout: settings.idle_timeout,
        run_timeout: settings.run_timeout,
        grace: settings.grace,
        item_retries: settings.item_retries,
        tempfail: settings.tempfail.clone(),
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
        detail: match planned.decision.action {
            PlanAction::Run | PlanAction::Resume | PlanAction::Rerun => String::new(),
            _ => planned.decision.words.clone(),
        },
    };
    plan.items.iter().map(planned).collect()
}
