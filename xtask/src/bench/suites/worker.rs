//! `worker`: items of a built-in workflow against a provider that answers at once.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::super::Bench;
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::Ground;
use super::super::report::{Finding, Kind, Row, Table, Target, figure, whole};
use super::super::spread::Spread;
use super::super::svg::{Bars, Panel, Plot};
use super::quota::Mock;

/// What is done.
pub const WORK: &str = "200 issues through the workflow `lld` one after the other, each approved at its second review, which is 4 calls, on the \
    embedded mock provider, which answers at once (`run --mock --mock-profile instant`): per item a process, a connection, a checkpoint \
    that is durable after each node, leases, drafts, verdicts, lineage, an output. The same calls in one process are sent by this program to \
    `wf-mock-llm`, for the same nodes and items, with prompts and replies of the same length, and nothing else is done.";

/// Of an item.
const CALLS: usize = 4;

/// Measures both.
pub fn run(bench: &Bench) -> Result<Finding> {
    let items = bench.size(200, 5);
    let rounds = bench.size(5, 1);
    let shared = Ground::new(bench)?;
    let audit = shared.file("audit.jsonl");
    let how = "wf-supervisor run --mock --mock-profile instant items.txt";
    // The first turn is ours: its audit is what the other makes once more.
    let ours = Contender::new(Kind::Ours, "wf-supervisor", how, || {
        let ground = Ground::new(bench)?;
        set_up(&ground, items)?;
        let mut command = ground.command(&bench.supervisor)?;
        command.args(["run", "--mock", "--mock-profile", "instant", "items.txt"]);
        let sample = ground.measure(&mut command)?;
        let summary = ground.summary()?;
        ensure!(
            (summary.counts.approved as usize, summary.totals.calls as usize) == (items, items * CALLS),
            "{} of {items} items approved, {} calls",
            summary.counts.approved,
            summary.totals.calls
        );
        let written = ground.file(".wf/runs/latest/audit.jsonl");
        std::fs::copy(&written, &audit).with_context(|| written.display().to_string())?;
        Ok(sample)
    });
    let bare = Contender::new(
        Kind::Limit,
        "the same calls in one process",
        "requests and replies, nothing else",
        || {
            let ground = Ground::new(bench)?;
            let mock =
                Mock::start(bench, &ground, &["--profile=instant".to_owned(), "--keys=1".to_owned()], 1)?;
            let mut command = ground.command(&bench.actor)?;
            command.args(["bench-actor", "replay", &mock.base_url, &mock.keys[0].secret]).arg(&audit);
            ground.measure(&mut command)
        },
    );
    let mut contenders = [ours, bare];
    for _ in 0..rounds {
        // Ours first in each: `take_turns` would begin a round with the other, before there is an audit.
        take_turns(&mut contenders, 1)?;
    }

    let [ours, bare] = &contenders;
    let unit_seconds = items as f64 * 1e-3;
    let row = |contender: &Contender<'_>| {
        let cpu = contender.spread(|sample: &Sample| sample.cpu.as_secs_f64() / unit_seconds);
        contender.row(unit_seconds, bare, vec![cpu.map(|cpu| figure(cpu.median)).unwrap_or_default()])
    };
    let rows: Vec<Row> = [ours, bare].map(row).into();
    let overhead: Vec<f64> = ours
        .each(seconds)
        .iter()
        .zip(bare.each(seconds))
        .map(|(ours, bare)| (ours - bare) / unit_seconds)
        .collect();
    let overhead = Spread::of(&overhead);
    Ok(Finding {
        rounds,
        targets: vec![Target::at_most("overhead per item at most 10 ms", 10.0, overhead, "ms")],
        reading: format!(
            "An item of the workflow costs {} ms beyond its calls: a process of its own, its connection, and everything that is kept of it.",
            overhead.map_or_else(|| "–".to_owned(), |overhead| figure(overhead.median)),
        ),
        notes: vec![
            "Our time has start and end of the run in it.".to_owned(),
            "Where the limit is, by the clock (journal and audit of 200 items, medians): 2.1 ms from the order to start until \
             the process has connected, 1.9 ms until its first node (its threads, and 1.1 ms to make the checkpoint), 4.1 ms in \
             the four calls, of which a third is the calls alone, 2.6 ms to make eight nodes durable, 2.4 ms in the nodes \
             themselves, 1.2 ms from the last word to the end of the process and its slot."
                .to_owned(),
            "By the processors (`perf record -a`): 38 % the worker's own thread, a third of that SQLite; 15 % sending and reading \
             HTTP; 14 % the supervisor; 12 % starting and ending the program; 11 % the mock. On a file system in memory the same items take a tenth less. A real call to a \
             model takes a thousand times as long."
                .to_owned(),
        ],
        plot: Plot {
            title: format!("{} items of {CALLS} calls that take no time", whole(items)),
            panels: vec![Panel::Bars(Bars {
                axis: "wall time per item, ms".to_owned(),
                all: Bars::of_rows(&rows),
                mark: rows[1].spread.map(|bare| (bare.median + 10.0, "10 ms more".to_owned())),
            })],
        },
        tables: vec![Table {
            caption: format!("wall time per item, {} items one after the other", whole(items)),
            unit: "ms".to_owned(),
            ratio: "× the calls alone".to_owned(),
            extra: vec!["processor time, ms".to_owned()],
            rows,
        }],
    })
}

/// A project with so many issues.
pub fn set_up(ground: &Ground, items: usize) -> Result<()> {
    let mut list = String::new();
    for item in 1..=items {
        // The mock lets a document choose how its reviews go.
        let issue = format!(
            "# Keep what was typed\n<!-- mock: approve@2 -->\n\n## User Story\n\nAs a writer I want my text back after a crash \
             ({item}).\n\n## Acceptance Criteria\n\n1. Every ten seconds what was typed is saved.\n2. After a crash it is \
             offered again.\n\n## Definition of Done\n\n- [ ] The criteria above are covered by tests.\n"
        );
        ground.write(&format!("issues/{item}.md"), &issue)?;
        let _ = writeln!(list, "{item}");
    }
    ground.write("items.txt", &list)?;
    Ok(())
}
