//! `cargo xtask bench`: measures the programs a user runs, in turns with their peers.

pub mod actor;
mod busy;
mod contest;
mod ground;
mod machine;
mod page;
mod peers;
mod process;
mod processes;
mod report;
mod spread;
mod suites;
mod svg;
mod table;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;

use crate::{cargo, check, root, say, target_dir};
use busy::Others;
use machine::Machine;
use peers::Peers;
use report::Report;
use suites::{SUITES, Suite};

/// What to measure, and how thoroughly.
#[derive(clap::Args)]
pub struct Args {
    /// The suites to run [default: all]
    #[arg(value_name = "SUITE", value_parser = PossibleValuesParser::new(SUITES.iter().map(|suite| suite.name)))]
    suites: Vec<String>,
    /// Few items and one round: proves that the suites run; the figures mean nothing and docs/benchmarks.md stays
    #[arg(long)]
    quick: bool,
    /// Install the peers that can be installed from here, say what was done, and measure only if suites are named
    #[arg(long)]
    install_peers: bool,
    /// Where runs write, which decides about the file system that is measured along [default: target/bench]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

/// What every suite needs to know.
pub struct Bench {
    /// The supervisor.
    supervisor: PathBuf,
    /// The mock provider.
    mock: PathBuf,
    /// This program: it plays the limits, workers, and other ways to do things.
    actor: PathBuf,
    /// A directory for what runs write.
    work: PathBuf,
    /// Who else is measured.
    peers: Peers,
    /// Whether few items and one round are enough.
    quick: bool,
}

impl Bench {
    /// One of two sizes: that of a measurement, or that of a proof that it runs.
    fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Runs the suites that were asked for, and writes what they found.
pub fn run(args: &Args) -> Result<()> {
    if args.install_peers {
        peers::install();
        if args.suites.is_empty() {
            return Ok(());
        }
    }
    // Before the build, which would keep the machine busy for minutes.
    let work = args.work.clone().unwrap_or_else(|| target_dir().join("bench")).join("work");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    // Children have directories of their own, where a relative path would lead elsewhere.
    let work = work.canonicalize()?;
    let machine = Machine::look(&work);
    let profile = build(args.quick)?;
    let binary = |name: &str| target_dir().join(profile).join(name);
    let bench = Bench {
        supervisor: binary("wf-supervisor"),
        mock: binary("wf-mock-llm"),
        actor: binary("xtask"),
        work,
        peers: Peers::find(),
        quick: args.quick,
    };

    let mut reports = Vec::new();
    let mut broken = Vec::new();
    for suite in
        SUITES.iter().filter(|suite| args.suites.is_empty() || args.suites.iter().any(|s| s == suite.name))
    {
        say(&format!("--- {}: {}", suite.name, suite.question));
        match measure(&bench, suite, &machine) {
            Ok(report) => reports.push(report),
            Err(error) => {
                say(&format!("{}: {error:#}", suite.name));
                broken.push(suite.name);
            }
        }
    }
    // Not between the rounds: see `Ground`.
    fs::remove_dir_all(&bench.work).with_context(|| bench.work.display().to_string())?;
    if !args.quick && !reports.is_empty() {
        let page = root().join("docs/benchmarks.md");
        page::update(&page, &reports)?;
        say(&format!("wrote {}", page.display()));
    }
    if !broken.is_empty() {
        bail!("could not measure: {}", broken.join(", "));
    }
    Ok(())
}

/// Builds what is measured; the directory it is in. A quick run takes what the tests use: its figures mean nothing anyway.
fn build(quick: bool) -> Result<&'static str> {
    if quick {
        check(cargo().args(["build", "--locked", "--workspace"]))?;
        return Ok("debug");
    }
    // One after the other: asked for together, they would be built with each other's features, and not as a user's are.
    for package in ["wf-supervisor", "xtask"] {
        check(cargo().args(["build", "--release", "--locked", "--package", package, "--bins"]))?;
    }
    Ok("release")
}

/// Runs every suite quickly, to prove that it runs.
pub fn prove() -> Result<()> {
    run(&Args { suites: Vec::new(), quick: true, install_peers: false, work: None })
}

/// Runs one suite, shows its tables and writes its files.
fn measure(bench: &Bench, suite: &Suite, machine: &Machine) -> Result<Report> {
    let others = Others::begin();
    let found = (suite.run)(bench)?;
    let report = Report::new(suite, found, bench, machine, others.share());
    let _ = writeln!(std::io::stdout().lock(), "\n{}", table::plain(&report));
    // A quick run must not look like a measurement to whoever reads these files.
    let dir = target_dir().join(bench.size("bench", "bench/quick"));
    fs::create_dir_all(&dir)?;
    let mut json = serde_json::to_string_pretty(&report)?;
    json.push('\n');
    for (ending, text) in [("json", json), ("svg", svg::draw(&report.plot))] {
        let path = dir.join(format!("{}.{ending}", report.suite));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(report)
}
