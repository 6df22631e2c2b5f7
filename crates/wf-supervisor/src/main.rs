//! `wf-supervisor`: runs a list of items through a workflow, many at once, on one shared pool of API keys.

#[cfg(not(unix))]
compile_error!("wf-supervisor runs on Linux and macOS; Windows is not supported");

mod cli;
mod commands;
mod config;
mod console;
mod diagnostics;
mod duration;
mod exit;
mod items;
mod keys;
mod plan;
mod run;
mod store;

use std::ffi::OsString;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use cli::value::ColorMode;
use cli::{Cli, DemoArgs, GlobalArgs, RunArgs, Verb};
use commands::clean::CleanOptions;
use commands::keys::Standings;
use commands::list::ListOptions;
use commands::logs::LogsOptions;
use commands::show::ShowOptions;
use config::{Configuration, Environ, ProcessEnviron, Project};
use console::redact::Redactor;
use exit::Trouble;
use run::pool_memory;
use store::history::History;
use store::layout::{Location, StateDir};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Every slot of a run is this program, started again for that alone.
    if args.get(1).is_some_and(|word| word == wf_warden::HIDDEN_ARGUMENT) {
        return wf_warden::warden_main();
    }
    let cli = match cli::parse(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    diagnostics::start(cli.global.verbose, cli.global.quiet);
    let mut out = BufWriter::new(io::stdout().lock());
    let result = dispatch(&cli, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    ExitCode::from(match result {
        Ok(code) => code,
        Err(trouble) if is_closed_pipe(&trouble) => exit::OK,
        Err(trouble) => {
            say(&format!("error: {trouble}"));
            trouble.code()
        }
    })
}

/// What clap has to say: help on stdout with exit code 0, mistakes on stderr with 2.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to panic, nor to say anything else.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::REFUSED))
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Result<u8, Trouble> {
    let environ = &ProcessEnviron;
    let cwd = std::env::current_dir().context("the current directory cannot be found")?;
    match &cli.verb {
        Verb::Init(args) if args.prompts => {
            commands::init::prompts::init(&cli.global, &cwd, environ, out).map(|()| exit::OK)
        }
        Verb::Init(_) => {
            let named = cli.global.config.as_deref();
            commands::init::init(named, &cwd, environ, out).map(|()| exit::OK)
        }
        Verb::Demo(args) => demo(args, &cli.global, environ, out),
        Verb::Completions(args) => {
            commands::completions::completions(args.shell, cli::command(), out)?;
            Ok(exit::OK)
        }
        Verb::Man => {
            commands::completions::man(cli::command(), out)?;
            Ok(exit::OK)
        }
        Verb::ReviewVerdict(args) => Ok(commands::review_verdict::review_verdict(
            &args.files,
            args.json,
            &mut io::stdin().lock(),
            out,
            &mut io::stderr().lock(),
        )?),
        verb => {
            let project = Project::locate(&cli.global, environ, &cwd)?;
            in_project(verb, &cli.global, project, environ, out)
        }
    }
}

/// The verbs that need to know where things are.
fn in_project(
    verb: &Verb,
    global: &GlobalArgs,
    project: Project,
    environ: &dyn Environ,
    out: &mut dyn Write,
) -> Result<u8, Trouble> {
    let location = location(&project);
    let time_zone = jiff::tz::TimeZone::system();
    match verb {
        Verb::Run(args) => return run_verb(args, global, project, environ, out),
        Verb::Keys(args) => {
            // Before the first key is read.
            wf_warden::own::forbid_dumps()?;
            let config = Configuration::load(project, environ)?;
            let mut standings = Standings::default();
            if let Some(state) = location.open_existing() {
                let recalled = pool_memory::recall(&History::peek(&state)?)?;
                if let Some(why) = &recalled.unreadable {
                    say(&format!(
                        "warning: what runs noted of the pool in history.db cannot be read ({why})"
                    ));
                }
                let now = jiff::Timestamp::now();
                if let Some(pool) = &recalled.pool {
                    standings.remembered = pool_memory::standings(pool, &config.pool.keys, now);
                }
                standings.see_live(&state, now)?;
            }
            let ask: Option<commands::keys::Ask<'_>> =
                if args.check { Some(&commands::keys::ask_provider) } else { None };
            return commands::keys::keys(&config, environ, &standings, ask, args.json, &time_zone, out);
        }
        Verb::Workflows => {
            commands::workflows::workflows(&Configuration::load(project, environ)?, environ, out)?;
        }
        Verb::List(args) => {
            commands::list::list(
                &location,
                &ListOptions { json: args.json, now: jiff::Timestamp::now(), time_zone },
                out,
            )?;
        }
        Verb::Show(args) => {
            let options = ShowOptions {
                run: args.run.clone(),
                item: args.item.clone(),
                all: args.all,
                json: args.json,
                color: color(global, environ),
                width: columns(),
                now: jiff::Timestamp::now(),
                time_zone,
            };
            commands::show::show(&location, &options, out)?;
        }
        Verb::Logs(args) => {
            let options = LogsOptions {
                item: args.item.clone(),
                run: args.run.clone(),
                attempt: args.attempt,
                follow: args.follow,
                terminal: io::stdout().is_terminal().then(|| color(global, environ)),
                now: jiff::Timestamp::now(),
                time_zone,
            };
            commands::logs::logs(&location, &options, &mut std::thread::sleep, out)?;
        }
        Verb::Clean(args) => {
            let options = CleanOptions {
                keep: args.keep.map(|n| n as usize),
                older_than: args.older_than,
                dry_run: args.dry_run,
            };
            commands::clean::clean(&location, &options, jiff::Timestamp::now(), out)?;
        }
        Verb::Init(_) | Verb::Demo(_) | Verb::Completions(_) | Verb::Man | Verb::ReviewVerdict(_) => {
            unreachable!("dispatched before the project is looked for")
        }
    }
    Ok(exit::OK)
}

fn location(project: &Project) -> Location {
    let named: Option<PathBuf> = project.state_dir_was_named.then(|| project.state_dir.clone());
    StateDir::locate(named.as_deref(), project.config_file.as_deref(), &project.cwd)
}

fn run_verb(
    args: &RunArgs,
    global: &GlobalArgs,
    project: Project,
    environ: &dyn Environ,
    out: &mut dyn Write,
) -> Result<u8, Trouble> {
    let location = location(&project);
    let config = Configuration::load(project, environ)?;
    let settings = config.settings(args, environ)?;
    if global.verbose > 0 {
        settings.origins.iter().for_each(|setting| say(&setting.to_string()));
    }
    // Before the first key is read.
    wf_warden::own::forbid_dumps()?;
    let secrets = keys::secrets_at_hand(&config.pool.keys, environ);
    let redactor = Redactor::new(secrets.iter().map(|s| (s.name(), s.expose().as_bytes())))
        .map_err(|error| Trouble::Refused(error.to_string()))?;
    // Before the list is read: standard input may be the list, and long in coming.
    if let config::Work::Command(command) = &settings.work {
        let (search, cwd) = (run::program::search_path(), &settings.project.cwd);
        run::program::check_command(command, &search, cwd)
            .map_err(|told| Trouble::Refused(redactor.redact(&told).into_owned()))?;
    }
    let mut gathered = plan::gather(&settings, args, io::stdin().lock())?;
    items::veil(&mut gathered.items, &redactor);
    if !global.quiet {
        for warning in settings.warnings.iter().chain(&gathered.warnings) {
            say(&format!("warning: {}", redactor.redact(warning)));
        }
        if let Some(provider) = settings.dry_run.then(|| settings.misses_key_of(environ)).flatten() {
            say(&format!(
                "warning: there is no API key of the provider {provider}: the run would be refused"
            ));
        }
    }
    if !settings.dry_run {
        return commands::run::run(global, &location, &config, settings, gathered, Vec::new());
    }
    let plan = match location.open_existing() {
        Some(state) => {
            let past = plan::recorded::Recorded::peek(&state, &settings, &gathered.items)?;
            plan::Plan::make(&settings, gathered.items.clone(), gathered.by_all, &past)
        }
        None => plan::Plan::make(&settings, gathered.items, gathered.by_all, &plan::NoPast),
    };
    let mut shown = Vec::new();
    commands::plan::render(&plan, args.json, &mut shown)?;
    out.write_all(redactor.redact(&String::from_utf8_lossy(&shown)).as_bytes())?;
    Ok(exit::OK)
}

/// The example project, and a run in it as its user would type it.
fn demo(
    args: &DemoArgs,
    global: &GlobalArgs,
    environ: &dyn Environ,
    out: &mut dyn Write,
) -> Result<u8, Trouble> {
    if global.config.is_some() || global.state_dir.is_some() {
        return exit::refused("the demo is a project of its own: --config and --state-dir do not go with it");
    }
    let dir = std::path::absolute(&args.dir)?;
    commands::demo::set_up(&dir)?;
    std::env::set_current_dir(&dir)?;
    say(&format!("$ cd {}\n$ {}\n", args.dir.display(), commands::demo::COMMAND.join(" ")));
    let cli = cli::parse(&commands::demo::COMMAND.map(OsString::from)).context("the demo's command")?;
    let Verb::Run(run) = &cli.verb else { unreachable!("the demo runs") };
    let project = Project::locate(global, environ, &dir)?;
    let code = run_verb(run, global, project, environ, out)?;
    if code == exit::OK && !global.quiet {
        say(&commands::demo::where_to_look(&args.dir));
    }
    Ok(code)
}

/// Columns of the terminal that stdout is, if it is one.
fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0)).filter(|n| *n > 0)
}

/// Whether to colour what goes to stdout.
fn color(global: &GlobalArgs, environ: &dyn Environ) -> bool {
    match global.color {
        Some(ColorMode::Always) => true,
        Some(ColorMode::Never) => false,
        Some(ColorMode::Auto) | None => {
            io::stdout().is_terminal() && environ.get("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// A line on stderr; when nobody reads it, nothing is lost that could be helped.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn is_closed_pipe(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Broken(error) => {
            error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
        }
        Trouble::Refused(_) => false,
    }
}
