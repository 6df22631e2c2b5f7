//! `stop`: how long it takes until nothing is left.

use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, numbers};
use super::super::process::Family;
use super::super::processes::{self, Process};
use super::super::report::{Finding, Kind, Row, Table, Target, figure};
use super::super::spread::Spread;
use super::super::svg::{Bars, Panel, Plot};

/// What is done.
pub const WORK: &str = "10 workers run; then the supervisor gets SIGINT (as from Ctrl+C), with a grace period of 1 s, or \
    SIGKILL. Measured is the time from the signal until the last process of the run is gone, the supervisor and its wardens \
    included. *Polite* workers end at SIGTERM; *deaf* ones ignore it; *orphans* are two more per worker, in sessions of their \
    own, their parents gone, and deaf as well; *workflow* is the built-in worker in the middle of a call.";

const GRACE: Duration = Duration::from_secs(1);
/// How often is looked whether everything is gone: the precision of the figures.
const LOOK: Duration = Duration::from_micros(500);
/// Everything is to be up within this time, and gone within it.
const BOUND: Duration = Duration::from_secs(60);

/// A way to run and a way to stop.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    how: &'static str,
    signal: Signal,
    worker: Worker,
    /// Processes per worker.
    each: usize,
}

/// What the workers are.
#[derive(Clone, Copy)]
enum Worker {
    /// A shell command that ends up as so many `sleep`.
    Command(&'static str),
    /// The built-in one, on the mock provider.
    Workflow,
}

const POLITE: Worker = Worker::Command("exec sleep 1000");
const DEAF: Worker = Worker::Command("trap '' TERM INT HUP; exec sleep 1000");
const ORPHANS: Worker =
    Worker::Command("(trap '' TERM INT HUP; setsid sleep 1000 & setsid sleep 1000 &); exec sleep 1000");

const CASES: [Case; 7] = [
    Case { name: "Ctrl+C, polite", how: "sleep", signal: Signal::SIGINT, worker: POLITE, each: 1 },
    Case {
        name: "Ctrl+C, workflow",
        how: "run --mock, 4 s per call",
        signal: Signal::SIGINT,
        worker: Worker::Workflow,
        each: 1,
    },
    Case {
        name: "Ctrl+C, orphans",
        how: "sleep, and two deaf sleep in sessions of their own",
        signal: Signal::SIGINT,
        worker: ORPHANS,
        each: 3,
    },
    Case {
        name: "Ctrl+C, deaf",
        how: "sleep that ignores SIGTERM",
        signal: Signal::SIGINT,
        worker: DEAF,
        each: 1,
    },
    Case { name: "kill -9, polite", how: "sleep", signal: Signal::SIGKILL, worker: POLITE, each: 1 },
    Case {
        name: "kill -9, orphans",
        how: "sleep, and two deaf sleep in sessions of their own",
        signal: Signal::SIGKILL,
        worker: ORPHANS,
        each: 3,
    },
    Case {
        name: "kill -9, deaf",
        how: "sleep that ignores SIGTERM",
        signal: Signal::SIGKILL,
        worker: DEAF,
        each: 1,
    },
];

/// Measures every case.
pub fn run(bench: &Bench) -> Result<Finding> {
    let workers = bench.size(10, 3);
    let rounds = bench.size(7, 1);
    let mut contenders = CASES
        .map(|case| Contender::new(Kind::Ours, case.name, case.how, move || measure(bench, case, workers)));
    take_turns(&mut contenders, rounds)?;

    let grace = Contender::new(Kind::Limit, "the grace period", "", || bail!("nobody measures a constant"));
    let row = |(contender, case): (&Contender<'_>, &Case)| Row {
        ratio: contender.spread(|sample| seconds(sample) / GRACE.as_secs_f64()),
        ..contender.row(1e-3, &grace, vec![(workers * case.each).to_string(), "0".to_owned()])
    };
    let rows: Vec<Row> = contenders.iter().zip(&CASES).map(row).collect();
    let ms = |index: usize| contenders[index].spread(|sample| seconds(sample) * 1e3);
    let worst = |indices: &[usize]| {
        let medians: Vec<f64> = indices.iter().filter_map(|index| Some(ms(*index)?.median)).collect();
        Spread::of(&medians).map(|spread| Spread { median: spread.max, ..spread })
    };
    let show = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| figure(spread.median));
    let grace_ms = GRACE.as_secs_f64() * 1e3;
    Ok(Finding {
        rounds,
        targets: vec![
            Target::at_most(
                "Ctrl+C, polite and workflow: all gone at most 100 ms after the signal",
                100.0,
                worst(&[0, 1]),
                "ms",
            ),
            Target::at_most(
                "Ctrl+C, deaf and orphans: all gone at most 100 ms after the grace period",
                grace_ms + 100.0,
                worst(&[2, 3]),
                "ms",
            ),
            Target::at_most(
                "`kill -9` of the supervisor: all gone within a second",
                1000.0,
                worst(&[4, 5, 6]),
                "ms",
            ),
            // A run that leaves something is an error above, and this line is not reached.
            Target {
                claim: "nothing is left, ever".to_owned(),
                measured: format!("0 processes in {} runs", rounds * CASES.len()),
                reached: Some(true),
            },
        ],
        reading: format!(
            "After Ctrl+C {workers} polite workers are gone within {} ms, their orphans within {} ms and deaf workers within {} ms \
             at a grace period of {} ms; when the supervisor itself is killed, everything is gone within {} ms, orphans in \
             sessions of their own included.",
            show(worst(&[0, 1])),
            show(ms(2)),
            show(ms(3)),
            figure(grace_ms),
            show(worst(&[4, 5, 6])),
        ),
        notes: vec![
            "Orphans outlive their worker and hold its output pipe: until they are killed, the supervisor waits a bounded \
             time for what may still be written."
                .to_owned(),
            format!(
            "The processes of a run are found below the supervisor before the signal, and afterwards by a mark in their \
             environment, wherever they are; whether they live is looked at every {} ms. These workers have nothing to save, \
             so the time after the checkpoint is the time after the signal.",
            LOOK.as_secs_f64() * 1e3
        )],
        plot: Plot {
            title: format!("Until nothing of {workers} workers is left"),
            panels: vec![Panel::Bars(Bars {
                axis: "from the signal to the end of the last process, ms".to_owned(),
                all: Bars::of_rows(&rows),
                mark: Some((grace_ms, "grace period".to_owned())),
            })],
        },
        tables: vec![Table {
            caption: format!("time until everything is gone, {workers} workers"),
            unit: "ms".to_owned(),
            ratio: "× grace period".to_owned(),
            extra: ["workers' processes", "left"].map(str::to_owned).into(),
            rows,
        }],
    })
}

/// Starts the workers, waits until all are up, sends the signal, and waits until all are gone.
fn measure(bench: &Bench, case: Case, workers: usize) -> Result<Sample> {
    let ground = Ground::new(bench)?;
    let mark = format!("BENCH_MARK={}", ground.path().display());
    let list = ground.write("items.txt", &numbers(workers))?;
    let shown = ground.file("stdout.txt");
    let mut command = ground.command(&bench.supervisor)?;
    command.env("BENCH_MARK", ground.path()).stdout(File::create(&shown)?);
    command.arg("run").arg(list).args(["--grace", "1s", "-j", &workers.to_string()]);
    match case.worker {
        Worker::Command(script) => {
            // The item becomes the shell's `$0`.
            command.args(["--", "sh", "-c", script]);
        }
        Worker::Workflow => {
            for item in 1..=workers {
                ground.write(
                    &format!("issues/{item}.md"),
                    &format!("# Issue {item}\n\nKeep what was typed.\n"),
                )?;
            }
            command.args(["--mock", "--mock-profile", "slow"]);
        }
    }
    let family = Family::of(&mut command)?;
    let supervisor = family.first()?;
    let is_up = || match case.worker {
        // Only once a shell has become `sleep` are its traps set for good.
        Worker::Command(_) => {
            count(supervisor, "sleep") == workers * case.each && count(supervisor, "sh") == 0
        }
        Worker::Workflow => drafting(&shown) == workers,
    };
    wait_until(is_up).map_err(|error| {
        error.context(format!("not all workers came up; it wrote:\n{}", ground.last_words()))
    })?;

    let mut left = processes::below(supervisor);
    let begun = Instant::now();
    kill(supervisor, case.signal)?;
    left.extend(Process::read(supervisor));
    let gone = wait_until(|| {
        left.retain(Process::still_runs);
        left.is_empty()
    });
    let wall = begun.elapsed();
    let strays = processes::marked(&mark);
    for process in left.iter().chain(&strays).filter(|process| process.still_runs()) {
        // It failed what is measured; the machine is not to suffer from it.
        let _ = kill(process.pid, Signal::SIGKILL);
    }
    gone.map_err(|error| error.context(format!("{} processes are left", left.len())))?;
    ensure!(strays.is_empty(), "{} processes are left that were not there before: {strays:?}", strays.len());
    let taken = ground.wait(family)?;
    if case.signal == Signal::SIGINT {
        let code = taken.statuses.first().and_then(std::process::ExitStatus::code);
        ensure!(
            code == Some(130),
            "it ended with {code:?} instead of 130; it wrote:\n{}",
            ground.last_words()
        );
        let interrupted = ground.summary()?.counts.interrupted as usize;
        ensure!(interrupted == workers, "{interrupted} of {workers} items are recorded as interrupted");
    }
    Ok(Sample { wall, cpu: taken.cpu, peak_bytes: taken.peak_bytes, ..Sample::default() })
}

fn count(supervisor: Pid, name: &str) -> usize {
    processes::below(supervisor).iter().filter(|process| process.name == name).count()
}

/// How many workers have said that they make their first call.
fn drafting(shown: &Path) -> usize {
    fs::read_to_string(shown).unwrap_or_default().matches(">>> Executing: N1_draft").count()
}

/// Looks until it is so, at most for [`BOUND`].
fn wait_until(mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + BOUND;
    while !is_so() {
        if Instant::now() > end {
            bail!("still not so after {} s", BOUND.as_secs());
        }
        sleep(LOOK);
    }
    Ok(())
}
