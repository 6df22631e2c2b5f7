//! `spawn`: many items that do nothing, so that what remains is the cost of running them.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, numbers};
use super::super::peers::{HYPERQUEUE_INSTALL, PARALLEL_INSTALL, PYTHON_INSTALL, Peer, XARGS_INSTALL};
use super::super::report::{Finding, Kind, Row, Table, Target, figure, whole};
use super::super::svg::{Bars, Panel, Plot};

/// What is done.
pub const WORK: &str = "2,000 items, each the program `true` with the item's number as its argument, 5 at once. Ours with \
    everything that is on by default (capture, a log per item, journal, history, summary; a fresh state directory each \
    round). The limit is a loop of this program that starts 5 (`std::process::Command`, which is `posix_spawn` here), \
    waits for whichever ends first and starts the next, and does nothing else.";

const PARALLEL: usize = 5;

/// Python's way as a person would write it.
const POOL: &str = "
import subprocess, sys
from concurrent.futures import ProcessPoolExecutor

def work(item):
    return subprocess.run(['true', item]).returncode

if __name__ == '__main__':
    items = [line.strip() for line in sys.stdin]
    with ProcessPoolExecutor(int(sys.argv[1])) as pool:
        if any(pool.map(work, items)):
            sys.exit('an item failed')
";

/// Server and worker of `HyperQueue` in one process, as its Python package has them. It prints the seconds from the submission
/// to the newest output file: its client looks only once a second whether the job is done, which is not to count.
const CLUSTER: &str = "
import os, sys, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

items = [line.strip() for line in sys.stdin]
place = os.path.join(os.getcwd(), 'out')
os.mkdir(place)
with LocalCluster(worker_config=WorkerConfig(cores=int(sys.argv[1]))) as cluster:
    client = cluster.client()
    job = Job(default_workdir=place)
    for item in items:
        job.program(['true', item])
    begun = time.time()
    client.wait_for_jobs([client.submit(job)])
    ended = max(entry.stat().st_mtime for entry in os.scandir(place))
    print(ended - begun)
";

/// Measures everybody.
pub fn run(bench: &Bench) -> Result<Finding> {
    let items = bench.size(2_000, 50);
    let rounds = bench.size(7, 1);
    let shared = Ground::new(bench)?;
    let list = shared.write("items.txt", &numbers(items))?;
    let mut contenders = contenders(bench, &list, items);
    take_turns(&mut contenders, rounds)?;

    let [limit, ours, xargs, parallel, joblog, cluster, pool] = &contenders;
    let unit_seconds = items as f64 * 1e-6;
    let row = |contender: &Contender<'_>| {
        let cpu = contender.spread(|sample| sample.cpu.as_secs_f64() / unit_seconds);
        contender.row(unit_seconds, limit, vec![cpu.map(|cpu| figure(cpu.median)).unwrap_or_default()])
    };
    let rows: Vec<Row> = contenders.iter().map(row).collect();

    let to_limit = ours.times(limit);
    let mut targets = vec![
        Target::at_most("at most 1.3 × the bare loop", 1.3, to_limit, "×"),
        Target::at_least("faster than `xargs -P5`", 1.0, xargs.times(ours), "× our time"),
    ];
    for peer in [joblog, cluster] {
        let claim = format!("at least 4 × faster than {}, which also records", peer.name());
        targets.push(Target::at_least(claim, 4.0, peer.times(ours), "× our time"));
    }
    let in_ours: Vec<String> = [xargs, parallel, joblog, cluster, pool]
        .into_iter()
        .filter_map(|peer| in_our_time(peer, ours))
        .collect();
    let micros =
        |contender: &Contender<'_>| contender.spread(seconds).map_or(0.0, |wall| wall.median / unit_seconds);
    let reading = format!(
        "An item costs {} µs under supervision, with everything recorded, and {} µs in the bare loop ({} ×); in our time, the \
         others take: {}.",
        figure(micros(ours)),
        figure(micros(limit)),
        to_limit.map_or_else(|| "–".to_owned(), |ratio| figure(ratio.median)),
        in_ours.join(", "),
    );
    // Next to those that take ten times as long, the difference that matters cannot be seen.
    let closer = micros(limit) * 3.0;
    Ok(Finding {
        rounds,
        targets,
        reading,
        plot: Plot {
            title: format!("{} times true, {PARALLEL} at once", whole(items)),
            panels: [("wall time per item, µs", f64::INFINITY), ("the fast ones from close by, µs per item", closer)]
                .map(|(axis, below)| {
                    Panel::Bars(Bars {
                        axis: axis.to_owned(),
                        all: Bars::of_rows(rows.iter().filter(|row| row.spread.is_none_or(|s| s.median < below))),
                        mark: Some((micros(limit) * 1.3, "1.3 × bare loop".to_owned())),
                    })
                })
                .into(),
        },
        tables: vec![Table {
            caption: format!("wall time per item, {} items, {PARALLEL} at once", whole(items)),
            unit: "µs".to_owned(),
            ratio: "× bare loop".to_owned(),
            extra: vec!["processor time, µs".to_owned()],
            rows,
        }],
        notes: vec![
            "Our time has start and end in it: reading the list, opening the history, starting 5 wardens, writing the \
             summary."
                .to_owned(),
            "HyperQueue's server and worker are up before its clock starts, and the clock stops when the last task's output \
             file is made: both in its favour. Its server keeps no journal in this form."
                .to_owned(),
            "Where the limit is (`perf record -a`, 4,000 items): both processors are busy 97 % of the time; 59 % of that is `true` \
             itself, from its start to its end, 20 % the wardens that start and reap it, 14 % the supervisor, a third of which is \
             making the item's log in the file system, 3 % history and console. `xargs` does the first and most of the second, \
             and records nothing. To be four times as fast as HyperQueue is to be hardly slower than the bare loop."
                .to_owned(),
            "Of the peers, only GNU parallel with its joblog and HyperQueue leave a record of each item; `xargs` and the \
             process pool leave none."
                .to_owned(),
        ],
    })
}

fn in_our_time(peer: &Contender<'_>, ours: &Contender<'_>) -> Option<String> {
    let times = peer.times(ours)?;
    Some(format!("{} {} ×", peer.name(), figure(times.median)))
}

/// Limit, ours, then the peers; [`run`] takes them apart in this order.
fn contenders<'a>(bench: &'a Bench, list: &'a Path, items: usize) -> [Contender<'a>; 7] {
    let peers = &bench.peers;
    let jobs = format!("-j{PARALLEL}");
    [
        Contender::new(Kind::Limit, "bare loop", "spawn and wait, nothing else", move || {
            let ground = Ground::new(bench)?;
            let mut command = ground.command(&bench.actor)?;
            command.args(["bench-actor", "spawn-loop", &items.to_string(), &PARALLEL.to_string()]);
            ground.measure(&mut command)
        }),
        Contender::new(Kind::Ours, "wf-supervisor", "wf-supervisor run - -j 5 -- true", move || {
            let ground = Ground::new(bench)?;
            let mut command = ground.fed(&bench.supervisor, list)?;
            command.args(["run", "-", "-j", &PARALLEL.to_string(), "--", "true"]);
            let sample = ground.measure(&mut command)?;
            let succeeded = ground.summary()?.counts.succeeded;
            ensure!(succeeded as usize == items, "{succeeded} of {items} items succeeded");
            Ok(sample)
        }),
        peer(
            bench,
            list,
            peers.xargs.as_ref(),
            "xargs -P5",
            XARGS_INSTALL,
            vec![format!("-P{PARALLEL}"), "-n1".into(), "true".into()],
        ),
        peer(
            bench,
            list,
            peers.parallel.as_ref(),
            "parallel -j5",
            PARALLEL_INSTALL,
            vec![jobs.clone(), "true".into()],
        ),
        peer(
            bench,
            list,
            peers.parallel.as_ref(),
            "parallel --joblog",
            PARALLEL_INSTALL,
            vec![
                "--tag".into(),
                "--line-buffer".into(),
                "--joblog".into(),
                "jobs.txt".into(),
                jobs,
                "true".into(),
            ],
        ),
        cluster(bench, list, peers.hyperqueue.as_ref()),
        peer(
            bench,
            list,
            peers.python.as_ref(),
            "Python process pool",
            PYTHON_INSTALL,
            vec!["-c".into(), POOL.into(), PARALLEL.to_string()],
        ),
    ]
}

/// A program that reads the list from its input.
fn peer<'a>(
    bench: &'a Bench,
    list: &'a Path,
    peer: Option<&'a Peer>,
    name: &str,
    install: &str,
    args: Vec<String>,
) -> Contender<'a> {
    let shown = if args.iter().any(|arg| arg == POOL) {
        "ProcessPoolExecutor and subprocess.run".to_owned()
    } else {
        args.join(" ")
    };
    let Some(peer) = peer else { return Contender::absent(name, &shown, install) };
    Contender::new(Kind::Peer, name, format!("{}: {shown}", peer.version), move || {
        let ground = Ground::new(bench)?;
        ground.measure(ground.fed(&peer.program, list)?.args(&args))
    })
}

fn cluster<'a>(bench: &'a Bench, list: &'a Path, peer: Option<&'a Peer>) -> Contender<'a> {
    const NAME: &str = "HyperQueue";
    const HOW: &str = "its Python package: a server and a worker with 5 cores, one job with a task per item";
    let Some(peer) = peer else { return Contender::absent(NAME, HOW, HYPERQUEUE_INSTALL) };
    Contender::new(Kind::Peer, NAME, format!("{}: {HOW}", peer.version), move || {
        let ground = Ground::new(bench)?;
        let mut command = ground.fed(&peer.program, list)?;
        let printed = ground.file("seconds.txt");
        command.args(["-c", CLUSTER, &PARALLEL.to_string()]).stdout(File::create(&printed)?);
        let sample = ground.measure(&mut command)?;
        let text = fs::read_to_string(&printed)?;
        // The server prints a table about itself before.
        let seconds = text.lines().last().unwrap_or_default().parse().context("it printed no seconds")?;
        Ok(Sample { wall: Duration::try_from_secs_f64(seconds)?, ..sample })
    })
}
