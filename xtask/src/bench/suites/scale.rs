//! `scale`: the same with few and with many, items and workers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Pid;

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, numbers};
use super::super::process::Family;
use super::super::processes::{self, Activity};
use super::super::report::{Finding, Kind, Row, Table, Target, figure, mebibytes, whole};
use super::super::spread::Spread;
use super::super::svg::{Axis, Lines, Panel, Plot, Point, Series};
use crate::say;

/// What is done.
pub const WORK: &str = "Items: 100, 1,000, 10,000 and 100,000 of `true`, 5 at once, with everything that is on by default; and \
    one alone, which is what a run costs without its items. Workers: 10, 100 and 500 of `sleep` at once, of which the last \
    seconds before the first ends are spent watching: how often do the supervisor and its wardens wake up when nothing \
    happens?";

const PARALLEL: usize = 5;
/// How long a worker sleeps: until all are up, and then as long as they are watched.
const SLEEP: Duration = Duration::from_secs(12);
/// Within this time all must be up, or the first would end while they are watched.
const UP: Duration = Duration::from_secs(9);
/// How long sleepers are watched.
const WATCH: Duration = Duration::from_secs(2);
/// What a run may hold, before its items.
const BASE_MIB: f64 = 20.0;
/// What an item may add.
const PER_ITEM_MIB: f64 = 1.0 / 1024.0;

/// Measures items, then workers.
pub fn run(bench: &Bench) -> Result<Finding> {
    let sizes: &[usize] = bench.size(&[1, 100, 1_000, 10_000, 100_000], &[1, 20, 100]);
    let rounds = bench.size(3, 1);
    let contender = |size: &usize| {
        let size = *size;
        let name = if size == 1 { "1 item".to_owned() } else { format!("{} items", whole(size)) };
        Contender::new(
            Kind::Ours,
            &name,
            format!("seq {size} | wf-supervisor run - -j 5 -- true"),
            move || items(bench, size),
        )
    };
    let mut contenders: Vec<Contender<'_>> = sizes.iter().map(contender).collect();
    take_turns(&mut contenders, rounds)?;
    let measured = Measured::of(sizes, &contenders);

    let start_and_end =
        contenders.first().and_then(|one| one.spread(seconds)).map_or(0.0, |wall| wall.median);
    let start_and_end = Duration::from_secs_f64(start_and_end);
    let counts: &[usize] = bench.size(&[10, 100, 500], &[3, 10]);
    let mut sleepers = Vec::new();
    for count in counts {
        let mut found = Vec::new();
        for round in 0..rounds {
            found.push(sleeping(bench, *count, start_and_end).with_context(|| format!("{count} workers"))?);
            say(&format!("round {} of {rounds}: {count} workers asleep", round + 1));
        }
        sleepers.push((*count, found));
    }
    let idle: Vec<f64> = sleepers
        .last()
        .map(|(_, found)| found.iter().map(|f| f.wakes_per_second).collect())
        .unwrap_or_default();
    let most = sleepers.last().map_or(0, |(count, _)| *count);

    let (greatest_use, of) = measured.memory_use();
    let growth = measured.growth();
    Ok(Finding {
        rounds,
        targets: vec![
            Target::at_most("time per item constant within 20 %: the dearest size at most 1.2 × the cheapest", 1.2, growth, "×"),
            Target {
                claim: "resident memory at most 20 MiB + 1 KiB per item".to_owned(),
                measured: format!("{} % of it at {} items", figure(greatest_use * 100.0), whole(of)),
                reached: Some(greatest_use <= 1.0),
            },
            Target::at_most(format!("no timer ticks while {most} workers sleep: fewer than 1 wake-up a second"), 1.0, Spread::of(&idle), "per second"),
        ],
        reading: format!(
            "Between {} and {} items the cost of one differs by a factor of {}; {most} sleeping workers wake the supervisor and \
             all its wardens {} times a second.",
            whole(measured.sizes.first().copied().unwrap_or(0)),
            whole(measured.sizes.last().copied().unwrap_or(0)),
            growth.map_or_else(|| "–".to_owned(), |growth| figure(growth.median)),
            Spread::of(&idle).map_or_else(|| "–".to_owned(), |wakes| figure(wakes.median)),
        ),
        notes: vec![
            "Time per item is (time of the run − time of a run with one item) / (items − 1), so that start and end do not make \
             few items look dear; the first row is that start and end."
                .to_owned(),
            format!(
                "Of the {} s that workers sleep, {} s are watched. A wake-up is a voluntary context switch of any thread. \
                 Wardens' memory is what is theirs alone (`RssAnon`); their program is the supervisor's and shared.",
                SLEEP.as_secs(),
                WATCH.as_secs()
            ),
        ],
        plot: measured.plot(),
        tables: vec![measured.table(&contenders, sizes), workers_table(&sleepers)],
    })
}

fn items(bench: &Bench, size: usize) -> Result<Sample> {
    let ground = Ground::new(bench)?;
    let list = ground.write("items.txt", &numbers(size))?;
    let mut command = ground.fed(&bench.supervisor, &list)?;
    command.args(["run", "-", "-j", &PARALLEL.to_string(), "--", "true"]);
    let sample = ground.measure(&mut command)?;
    let succeeded = ground.summary()?.counts.succeeded as usize;
    ensure!(succeeded == size, "{succeeded} of {size} items succeeded");
    Ok(sample)
}

/// Time and memory by number of items, without the run of one item.
struct Measured {
    sizes: Vec<usize>,
    /// Microseconds per item, per size and round.
    per_item_us: Vec<Vec<f64>>,
    /// MiB, per size.
    memory: Vec<Spread>,
}

impl Measured {
    fn of(sizes: &[usize], contenders: &[Contender<'_>]) -> Measured {
        let alone = contenders.first().map(|one| one.each(seconds)).unwrap_or_default();
        let mut measured = Measured { sizes: Vec::new(), per_item_us: Vec::new(), memory: Vec::new() };
        for (size, contender) in sizes.iter().zip(contenders).skip(1) {
            let more = (*size - 1) as f64;
            let per_item = |(wall, alone): (&f64, &f64)| ((wall - alone) / more * 1e6).max(0.0);
            measured.sizes.push(*size);
            measured.per_item_us.push(contender.each(seconds).iter().zip(&alone).map(per_item).collect());
            measured.memory.extend(contender.spread(|sample| mebibytes(sample.peak_bytes as f64)));
        }
        measured
    }

    /// The dearest size in terms of the cheapest, round by round.
    fn growth(&self) -> Option<Spread> {
        let rounds = self.per_item_us.first()?.len();
        let ratio = |round: usize| {
            let costs = || self.per_item_us.iter().filter_map(|costs| costs.get(round).copied());
            costs().fold(0.0, f64::max) / costs().fold(f64::INFINITY, f64::min)
        };
        Spread::of(&(0..rounds).map(ratio).collect::<Vec<_>>())
    }

    /// The greatest share of what a run may hold, and at how many items.
    fn memory_use(&self) -> (f64, usize) {
        let share = |(memory, size): (&Spread, &usize)| (memory.max / allowed_mib(*size), *size);
        self.memory
            .iter()
            .zip(&self.sizes)
            .map(share)
            .fold((0.0, 0), |most, one| if one.0 > most.0 { one } else { most })
    }

    fn table(&self, contenders: &[Contender<'_>], sizes: &[usize]) -> Table {
        let thousand = self.sizes.iter().position(|size| *size == 1_000).unwrap_or(0);
        let mut rows = Vec::new();
        for (index, (contender, size)) in contenders.iter().zip(sizes).enumerate() {
            let memory = contender.spread(|sample| mebibytes(sample.peak_bytes as f64));
            let memory = memory.map(|memory| figure(memory.max)).unwrap_or_default();
            let extra = vec![
                contender.spread(seconds).map(|wall| figure(wall.median)).unwrap_or_default(),
                memory,
                figure(allowed_mib(*size)),
            ];
            let row = contender.row(1e-6, contender, extra);
            rows.push(match index.checked_sub(1) {
                None => Row { ratio: None, ..row },
                Some(measured) => {
                    let costs = &self.per_item_us[measured];
                    let reference = &self.per_item_us[thousand];
                    Row { spread: Spread::of(costs), ratio: Spread::of_ratios(costs, reference), ..row }
                }
            });
        }
        Table {
            caption: format!("time per item of `true`, {PARALLEL} at once (first row: the whole run)"),
            unit: "µs".to_owned(),
            ratio: format!("× at {} items", self.sizes.get(thousand).copied().map(whole).unwrap_or_default()),
            extra: ["whole run, s", "supervisor's memory, MiB", "allowed, MiB"].map(str::to_owned).into(),
            rows,
        }
    }

    fn plot(&self) -> Plot {
        let items = || Axis { label: "items".to_owned(), is_log: true };
        let point = |size: &usize, spread: Spread| Point {
            x: *size as f64,
            low: spread.min,
            y: spread.median,
            high: spread.max,
        };
        let ours =
            |points: Vec<Point>| Series { name: "wf-supervisor".to_owned(), kind: Some(Kind::Ours), points };
        let times = self
            .sizes
            .iter()
            .zip(&self.per_item_us)
            .filter_map(|(size, costs)| Some(point(size, Spread::of(costs)?)));
        let memory = self.sizes.iter().zip(&self.memory).map(|(size, memory)| point(size, *memory));
        let allowed = self.sizes.iter().map(|size| Point::exact(*size as f64, allowed_mib(*size)));
        Plot {
            title: format!("Many times true, {PARALLEL} at once"),
            panels: vec![
                Panel::Lines(Lines {
                    x: items(),
                    y: "time per item, µs".to_owned(),
                    series: vec![ours(times.collect())],
                }),
                Panel::Lines(Lines {
                    x: items(),
                    y: "supervisor's memory, MiB".to_owned(),
                    series: vec![
                        Series {
                            name: "20 MiB + 1 KiB per item".to_owned(),
                            kind: None,
                            points: allowed.collect(),
                        },
                        ours(memory.collect()),
                    ],
                }),
            ],
        }
    }
}

fn allowed_mib(items: usize) -> f64 {
    BASE_MIB + PER_ITEM_MIB * items as f64
}

/// What many workers cost that do nothing.
struct Sleeping {
    /// Start and end of a worker: the run's time beyond the sleep and its own start and end, per worker, in
    /// milliseconds.
    per_worker_ms: f64,
    supervisor_mib: f64,
    per_warden_mib: f64,
    wakes_per_second: f64,
    cpu_percent: f64,
}

fn sleeping(bench: &Bench, workers: usize, start_and_end: Duration) -> Result<Sleeping> {
    let ground = Ground::new(bench)?;
    let list = ground.write("items.txt", &numbers(workers))?;
    let mut command = ground.command(&bench.supervisor)?;
    command.env("WF_SUPERVISOR_MAX_PARALLEL", workers.to_string());
    let seconds = SLEEP.as_secs().to_string();
    // The item becomes the shell's `$0`.
    let script = format!("exec sleep {seconds}");
    command.arg("run").arg(list).args(["-j", &workers.to_string(), "--", "sh", "-c", &script]);
    let family = Family::of(&mut command)?;
    let supervisor = family.first()?;
    let wardens = up(supervisor, workers).with_context(|| format!("it wrote:\n{}", ground.last_words()))?;

    let ours: Vec<Pid> = wardens.iter().copied().chain([supervisor]).collect();
    let (before, begun) = (Activity::of(&ours), Instant::now());
    sleep(WATCH);
    let watched = begun.elapsed().as_secs_f64();
    let activity = Activity::of(&ours).since(before);
    let private: Vec<f64> = wardens
        .iter()
        .filter_map(|pid| processes::private_bytes(*pid))
        .map(|b| mebibytes(b as f64))
        .collect();
    let sample = ground.measure_all(family)?;
    Ok(Sleeping {
        per_worker_ms: sample.wall.saturating_sub(SLEEP + start_and_end).as_secs_f64() * 1e3 / workers as f64,
        supervisor_mib: mebibytes(sample.peak_bytes as f64),
        per_warden_mib: private.iter().sum::<f64>() / private.len().max(1) as f64,
        wakes_per_second: activity.waits as f64 / watched,
        cpu_percent: activity.cpu.as_secs_f64() / watched * 100.0,
    })
}

/// Waits until all workers sleep, and answers with the wardens.
fn up(supervisor: Pid, workers: usize) -> Result<Vec<Pid>> {
    let end = Instant::now() + UP;
    loop {
        let below = processes::below(supervisor);
        let asleep = below.iter().filter(|process| process.name == "sleep").count();
        if asleep == workers {
            return Ok(below.iter().filter(|process| process.parent == supervisor).map(|p| p.pid).collect());
        }
        if Instant::now() > end {
            bail!("only {asleep} of {workers} workers were up after {} s", UP.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
}

fn workers_table(sleepers: &[(usize, Vec<Sleeping>)]) -> Table {
    let fewest: Vec<f64> =
        sleepers.first().map(|(_, f)| f.iter().map(|f| f.per_worker_ms).collect()).unwrap_or_default();
    let row = |(count, found): &(usize, Vec<Sleeping>)| {
        let each = |figure: fn(&Sleeping) -> f64| found.iter().map(figure).collect::<Vec<f64>>();
        let median =
            |of: fn(&Sleeping) -> f64| Spread::of(&each(of)).map(|s| figure(s.median)).unwrap_or_default();
        let costs = each(|f| f.per_worker_ms);
        Row {
            name: format!("{count} workers"),
            how: format!("wf-supervisor run items.txt -j {count} -- sleep {}", SLEEP.as_secs()),
            kind: Kind::Ours,
            spread: Spread::of(&costs),
            ratio: Spread::of_ratios(&costs, &fewest),
            extra: vec![
                median(|f| f.supervisor_mib),
                median(|f| f.per_warden_mib),
                median(|f| f.wakes_per_second),
                median(|f| f.cpu_percent),
            ],
            absent: None,
        }
    };
    Table {
        caption: "start and end of a worker that sleeps (without start and end of the run)".to_owned(),
        unit: "ms".to_owned(),
        ratio: format!("× with {} workers", sleepers.first().map_or(0, |(count, _)| *count)),
        extra: [
            "supervisor's memory, MiB",
            "memory per warden, MiB",
            "wake-ups a second, all asleep",
            "processor, %",
        ]
        .map(str::to_owned)
        .into(),
        rows: sleepers.iter().map(row).collect(),
    }
}
