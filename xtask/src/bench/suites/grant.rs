//! `grant`: how long a worker waits for a key that is free.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, Key, numbers};
use super::super::peers::PYTHON_INSTALL;
use super::super::process::Family;
use super::super::report::{Finding, Kind, Row, Table, Target, figure, whole};
use super::super::spread::{Spread, percentile};
use super::super::svg::{Bars, Panel, Plot};

/// What is done.
pub const WORK: &str = "Workers take a lease and return it, over and over: asked for, granted with its key, returned with what a \
    call would have used. Ours is `wf-supervisor run -j N -- worker` with 12 keys in 4 quota groups whose limits are far away, \
    and everything on that is on by default: each lease is two records in the journal and the history. The limit is a bare exchange of the same \
    number of messages of the same sizes over the same kind of socket, blocking, with a thread per worker at the other end, which \
    decides nothing and records nothing. *With a pause* each worker rests 20 ms between two leases, as one does that has calls to make; \
    without, all of them ask as fast as they are answered.";

/// What a worker that has something to do rests between two leases.
const PAUSE: Duration = Duration::from_millis(20);

const MANAGER: &str = include_str!("../peers/manager.py");

/// One way to have leases, with so many workers.
#[derive(Clone, Copy)]
struct Crowd {
    workers: usize,
    count: usize,
    pause: Duration,
}

/// Measures everybody.
pub fn run(bench: &Bench) -> Result<Finding> {
    let rounds = bench.size(5, 1);
    let many = bench.size(64, 4);
    let alone = Crowd { workers: 1, count: bench.size(5_000, 200), pause: Duration::ZERO };
    let crowd = Crowd { workers: many, count: bench.size(500, 50), pause: Duration::ZERO };
    let resting = Crowd { count: bench.size(200, 10), pause: PAUSE, ..crowd };
    let mut contenders = [
        bare(bench, "bare exchange, 1 worker", alone),
        ours(bench, "wf-supervisor, 1 worker", alone),
        manager(bench, 1, bench.size(3_000, 50)),
        bare(bench, &format!("bare exchange, {many} workers"), crowd),
        ours(bench, &format!("wf-supervisor, {many} workers"), crowd),
        manager(bench, 10, bench.size(300, 20)),
        bare(bench, &format!("bare exchange, {many} workers with a pause"), resting),
        ours(bench, &format!("wf-supervisor, {many} workers with a pause"), resting),
    ];
    take_turns(&mut contenders, rounds)?;

    let [bare_one, one, manager_one, bare_many, all, manager_ten, bare_resting, rested] = &contenders;
    let micros = |contender: &Contender<'_>, figure: fn(&Sample) -> f64| {
        contender.spread(|sample| figure(sample) * 1e6)
    };
    let row = |contender: &Contender<'_>, reference: &Contender<'_>| {
        let p99 = micros(contender, tail).map(|p99| figure(p99.median)).unwrap_or_default();
        contender.row(1e-6, reference, vec![p99])
    };
    let pairs = [
        (bare_one, bare_one),
        (one, bare_one),
        (manager_one, bare_one),
        (bare_many, bare_many),
        (all, bare_many),
        (manager_ten, bare_many),
        (bare_resting, bare_resting),
        (rested, bare_resting),
    ];
    let rows: Vec<Row> = pairs.iter().map(|(contender, reference)| row(contender, reference)).collect();
    let millis = |contender: &Contender<'_>| contender.spread(|sample| tail(sample) * 1e3);
    let median = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |s| figure(s.median));
    Ok(Finding {
        rounds,
        targets: vec![
            Target::at_most("1 worker: median at most 2 × the bare exchange", 2.0, one.times(bare_one), "×"),
            Target::at_most(format!("{many} workers with a pause: p99 under 1 ms"), 1.0, millis(rested), "ms"),
            Target::at_most(
                format!("{many} workers that never rest: p99 under 1 ms"),
                1.0,
                millis(all),
                "ms",
            ),
            Target::at_least(
                "1 worker: faster than a Python manager's proxy",
                1.0,
                manager_one.times(one),
                "× our time",
            ),
        ],
        reading: format!(
            "A lease takes {} µs with one worker ({} µs without any supervision), and with {many} that work between their calls 99 of 100 \
             take less than {} ms; a call to a model takes seconds.",
            median(micros(one, seconds)),
            median(micros(bare_one, seconds)),
            median(millis(rested)),
        ),
        notes: vec![
            "Where nobody rests, the processors are what all wait for, the bare exchange as well: the time of one lease is the \
             number of workers times what a lease costs the machine, the worker's own side included."
                .to_owned(),
            "The tail with many workers is the machine's: with fewer processors than runnable processes, a lease in a hundred meets \
             others' time slices, in the bare exchange as well. Of our own processor time, about 45 µs a lease (`perf`, one worker), \
             45 % is the kernel's (waking, sockets, one write to the journal), 11 % libc's, the rest deciding and encoding."
                .to_owned(),
            "The Python manager decides and records nothing either: a lock, a counter, a dictionary.".to_owned(),
        ],
        plot: Plot {
            title: "A lease: asked for, granted, returned".to_owned(),
            panels: [("median, µs, 1 worker", &rows[..3]), ("median, µs, many workers", &rows[3..])]
                .map(|(axis, rows)| {
                    Panel::Bars(Bars { axis: axis.to_owned(), all: Bars::of_rows(rows), mark: None })
                })
                .into(),
        },
        tables: vec![Table {
            caption: format!("time of a lease, of {} with one worker and {} each with {many}", whole(alone.count), whole(crowd.count)),
            unit: "µs".to_owned(),
            ratio: "× bare exchange".to_owned(),
            extra: vec!["p99, µs".to_owned()],
            rows,
        }],
    })
}

fn tail(sample: &Sample) -> f64 {
    sample.tail.as_secs_f64()
}

fn ours<'a>(bench: &'a Bench, name: &str, crowd: Crowd) -> Contender<'a> {
    let how = format!("wf-supervisor run items.txt -j {} -- worker", crowd.workers);
    Contender::new(Kind::Ours, name, how, move || {
        let ground = Ground::new(bench)?;
        ground.write("items.txt", &numbers(crowd.workers))?;
        ground.write_pool("http://127.0.0.1:9", &keys(), &limits(crowd.workers))?;
        let mut command = ground.command(&bench.supervisor)?;
        command.args(["run", "items.txt", "-j", &crowd.workers.to_string(), "--"]);
        command.arg(&bench.actor).args(["bench-actor", "lease-loop"]).args(crowd.args()).arg("{}");
        ground.measure(&mut command)?;
        let succeeded = ground.summary()?.counts.succeeded as usize;
        ensure!(succeeded == crowd.workers, "{succeeded} of {} workers succeeded", crowd.workers);
        times(&ground, crowd)
    })
}

impl Crowd {
    /// As the actor wants them.
    fn args(self) -> [String; 3] {
        [self.workers.to_string(), self.count.to_string(), self.pause.as_micros().to_string()]
    }
}

/// Twelve keys of four groups.
fn keys() -> Vec<Key> {
    let key = |n: usize| Key {
        name: format!("bench-{n}"),
        secret: format!("bench-secret-of-key-{n:0>20}"),
        group: format!("group-{}", n % 4),
    };
    (1..=12).map(key).collect()
}

/// Limits that are never met, and room for all workers.
fn limits(workers: usize) -> String {
    use std::fmt::Write as _;
    let mut toml = format!("[run]\nmax_parallel = {workers}\n");
    for group in 0..4 {
        let _ = writeln!(toml, "[quota.group-{group}]\nrpm = 1_000_000_000");
    }
    toml
}

fn bare<'a>(bench: &'a Bench, name: &str, crowd: Crowd) -> Contender<'a> {
    Contender::new(Kind::Limit, name, "the same messages, and nothing else", move || {
        let ground = Ground::new(bench)?;
        let socket = Path::new("socket");
        let actor = |part: &str| -> Result<Command> {
            let mut command = ground.command(&bench.actor)?;
            command.args(["bench-actor", part]).arg(socket);
            Ok(command)
        };
        let mut family = Family::of(actor("pong")?.arg(crowd.workers.to_string()))?;
        for worker in 1..=crowd.workers {
            family.add(actor("ping")?.args(crowd.args()).arg(worker.to_string()))?;
        }
        ground.measure_all(family)?;
        times(&ground, crowd)
    })
}

fn manager(bench: &Bench, workers: usize, count: usize) -> Contender<'_> {
    let name = format!("Python manager, {workers} worker{}", if workers == 1 { "" } else { "s" });
    let how = "multiprocessing.managers.BaseManager with a pool behind a proxy";
    let Some(python) = &bench.peers.python else { return Contender::absent(&name, how, PYTHON_INSTALL) };
    Contender::new(Kind::Peer, &name, format!("{}: {how}", python.version), move || {
        let ground = Ground::new(bench)?;
        let script = ground.write("manager.py", MANAGER)?;
        let printed = ground.file("times");
        let mut command = ground.command(&python.program)?;
        command.arg(script).args([workers.to_string(), count.to_string()]);
        ground.measure(command.stdout(File::create(&printed)?))?;
        sample(&fs::read_to_string(printed)?, workers * count)
    })
}

/// What the workers left.
fn times(ground: &Ground, crowd: Crowd) -> Result<Sample> {
    let mut text = String::new();
    for worker in 1..=crowd.workers {
        let path = ground.file(&format!("times-{worker}"));
        text.push_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    }
    sample(&text, crowd.workers * crowd.count)
}

/// Median and 99th percentile of so many times in nanoseconds, one per line.
fn sample(text: &str, expected: usize) -> Result<Sample> {
    let mut nanos = text.lines().map(str::parse).collect::<Result<Vec<u64>, _>>().context("no number")?;
    ensure!(nanos.len() == expected, "{} times instead of {expected}", nanos.len());
    let at = |share, nanos: &mut Vec<u64>| percentile(nanos, share).context("no times");
    let (median, tail) = (at(0.5, &mut nanos)?, at(0.99, &mut nanos)?);
    Ok(Sample { wall: Duration::from_nanos(median), tail: Duration::from_nanos(tail), ..Sample::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_median_and_tail() {
        let lines: Vec<String> = (1..=1_000).map(|n| (n * 1_000).to_string()).collect();
        let text = lines.join("\n");
        let found = sample(&text, 1_000).unwrap();
        assert_eq!((found.wall.as_micros(), found.tail.as_micros()), (500, 990));
        assert!(sample(&text, 1_001).is_err());
    }
}
