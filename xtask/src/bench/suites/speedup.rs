//! `speedup`: a batch of workflows on the mock provider, with one worker and with more.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, Key, limits};
use super::super::report::{Finding, Kind, Row, Table, Target, figure};
use super::super::spread::Spread;
use super::super::svg::{Axis, Lines, Panel, Plot, Point, Series};
use super::quota::Mock;
use super::worker::set_up;

/// What is done.
pub const WORK: &str = "6 issues through the workflow `lld` against `wf-mock-llm`, 300 ms per call, each approved at its second \
    review, which is 4 calls: two drafts and two reviews. With 1, 2, 3 and 6 workers. The keys' limits are far away: what \
    pacing costs, and saves, is measured by `quota`. The ideal is the calls' latency alone, shared evenly.";

/// Of a call, in the mock's profile `steady`.
const LATENCY: Duration = Duration::from_millis(300);
/// Keys of the mock's, in its usual two groups.
const KEYS: u32 = 4;
/// Requests per minute of a group.
const FAR_AWAY: u32 = 1_000_000;
/// Of an item: each is approved at its second review.
const CALLS: usize = 4;

/// Measures with each number of workers.
pub fn run(bench: &Bench) -> Result<Finding> {
    let items = bench.size(6, 2);
    let rounds = bench.size(5, 1);
    let parallel: &[usize] = bench.size(&[1, 2, 3, 6], &[1, 2]);
    let contender = |workers: &usize| {
        let workers = *workers;
        let name = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        let how = format!("wf-supervisor run -j {workers} items.txt");
        Contender::new(Kind::Ours, &name, how, move || measure(bench, items, workers))
    };
    let mut contenders: Vec<Contender<'_>> = parallel.iter().map(contender).collect();
    take_turns(&mut contenders, rounds)?;

    let sequential = &contenders[0];
    let ideal = |workers: usize| LATENCY.as_secs_f64() * (CALLS * items.div_ceil(workers)) as f64;
    let overhead = |contender: &Contender<'_>| contender.spread(|sample| sample.overhead_percent);
    let row = |contender: &Contender<'_>, workers: usize| {
        let to_ideal = contender.spread(|sample| seconds(sample) / ideal(workers));
        let extra = [
            to_ideal.map(|ratio| figure(ratio.median)),
            overhead(contender).map(|percent| format!("{} %", figure(percent.median))),
        ];
        let row = contender.row(1.0, sequential, extra.map(Option::unwrap_or_default).into());
        Row { ratio: sequential.times(contender), ..row }
    };
    let rows: Vec<Row> = contenders.iter().zip(parallel).map(|(c, workers)| row(c, *workers)).collect();

    let at = |workers: usize| contenders.iter().zip(parallel).find(|(_, w)| **w == workers).map(|(c, _)| c);
    let at_three = at(3).and_then(|three| sequential.times(three));
    let all_overhead: Vec<f64> = contenders.iter().filter_map(|c| Some(overhead(c)?.median)).collect();
    let worst = Spread::of(&all_overhead).map(|spread| Spread { median: spread.max, ..spread });
    let most = contenders.last().and_then(|c| c.spread(seconds)).map_or(0.0, |wall| wall.median);
    let fewest = sequential.spread(seconds).map_or(0.0, |wall| wall.median);
    Ok(Finding {
        rounds,
        targets: vec![
            Target::at_least("at least 2.9 × as fast with 3 workers", 2.9, at_three, "×"),
            Target::at_most("coordination overhead at most 1 %, with any number of workers", 1.0, worst, "%"),
        ],
        reading: format!(
            "{items} items take {} s one after the other and {} s with {} workers; of the workers' time, at most {} % is the \
             supervisor's own doing.",
            figure(fewest),
            figure(most),
            parallel.last().copied().unwrap_or(1),
            worst.map_or_else(|| "–".to_owned(), |percent| figure(percent.median)),
        ),
        notes: vec![
            "The overhead is the supervisor's own account (`summary.json`): what of the workers' time was neither their work \
             nor a wait for quota. The column beside it is the outside view, where start and end of the run and the workers' \
             own start (process, socket, checkpoints on disk) count as well."
                .to_owned(),
        ],
        plot: Plot {
            title: format!("{items} workflows of {CALLS} calls, 300 ms each"),
            panels: vec![Panel::Lines(lines(&contenders, parallel, items))],
        },
        tables: vec![Table {
            caption: format!("wall time of {items} items"),
            unit: "s".to_owned(),
            ratio: "× as fast as 1 worker".to_owned(),
            extra: vec!["time / ideal".to_owned(), "coordination overhead".to_owned()],
            rows,
        }],
    })
}

fn measure(bench: &Bench, items: usize, workers: usize) -> Result<Sample> {
    let ground = Ground::new(bench)?;
    set_up(&ground, items)?;
    let flags = ["--profile=steady".to_owned(), format!("--group-rpm={FAR_AWAY}")];
    let mock = Mock::start(bench, &ground, &flags, KEYS)?;
    ground.write_pool(&mock.base_url, &mock.keys, &settings(&mock.keys))?;
    let mut command = ground.command(&bench.supervisor)?;
    command.args(["run", "--workflow", "lld", "-j", &workers.to_string(), "items.txt"]);
    let sample = ground.measure(&mut command)?;
    let summary = ground.summary()?;
    ensure!(
        summary.counts.approved as usize == items,
        "{} of {items} items approved",
        summary.counts.approved
    );
    ensure!(
        summary.totals.calls as usize == items * CALLS,
        "{} calls instead of {}",
        summary.totals.calls,
        items * CALLS
    );
    Ok(Sample { overhead_percent: summary.overhead_percent, ..sample })
}

/// What beside the pool is in `wf.toml`: who drafts and reviews, and limits that nobody comes near.
fn settings(keys: &[Key]) -> String {
    use std::fmt::Write as _;
    let mut toml = String::from("[run]\nmax_parallel = 6\n[workflow.lld]\n");
    for role in ["drafter", "reviewer"] {
        let _ = writeln!(toml, "{role} = {{ provider = \"bench\", model = \"mock\" }}");
    }
    toml + &limits(keys, FAR_AWAY)
}

fn lines(contenders: &[Contender<'_>], parallel: &[usize], items: usize) -> Lines {
    let sequential = &contenders[0];
    let measured = contenders.iter().zip(parallel).filter_map(|(contender, workers)| {
        let ratio = sequential.times(contender)?;
        Some(Point { x: *workers as f64, low: ratio.min, y: ratio.median, high: ratio.max })
    });
    let even =
        |workers: &usize| Point::exact(*workers as f64, items as f64 / items.div_ceil(*workers) as f64);
    Lines {
        x: Axis { label: "workers at once".to_owned(), is_log: false },
        y: "times as fast as one worker".to_owned(),
        series: vec![
            Series { name: "ideal".to_owned(), kind: None, points: parallel.iter().map(even).collect() },
            Series { name: "wf-supervisor".to_owned(), kind: Some(Kind::Ours), points: measured.collect() },
        ],
    }
}
