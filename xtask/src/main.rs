//! Tasks of the project: `cargo xtask ci | tidy | demo | chaos | bench`.

#[cfg(target_os = "linux")]
mod bench;
mod chaos;
mod ci;
mod demo;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// Tasks of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that must be green: format, lints, tidy, dependencies, build, all tests
    Ci,
    /// The promises that no compiler checks
    Tidy,
    /// Ten example issues through the `lld` workflow on the embedded mock provider
    Demo,
    Chaos(chaos::Args),
    /// Measure against other programs, and write docs/benchmarks.md
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    #[cfg(target_os = "linux")]
    #[command(subcommand, hide = true)]
    BenchActor(bench::actor::Part),
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Demo => demo::run(),
        Task::Chaos(args) => chaos::run(&args),
        #[cfg(target_os = "linux")]
        Task::Bench(args) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Task::BenchActor(part) => bench::actor::play(&part),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to stderr; a closed stderr is nobody's failure.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The checkout's top directory.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where cargo builds.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs us.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by the cargo that runs us. Build scripts that ask for them would run anew, and half of the tree after them.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command to its end; anything but success is an error that names it.
fn check(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
