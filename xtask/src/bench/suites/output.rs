//! `output`: workers that write as fast as they are read.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::super::Bench;
use super::super::actor::{SECRET, block};
use super::super::contest::{Contender, Sample, seconds, take_turns};
use super::super::ground::{Ground, numbers};
use super::super::peers::PARALLEL_INSTALL;
use super::super::process::Family;
use super::super::report::{Finding, Kind, Row, Table, Target, figure, mebibytes};
use super::super::spread::Spread;
use super::super::svg::{Bars, Panel, Plot};

/// What is done.
pub const WORK: &str = "5 children at once write 2 GB (10⁹ bytes each) of lines together, 20 to 180 bytes long, as fast as \
    they are read. Ours prefixes every line, looks for a configured key (one line in about 650 has it, and it is replaced) \
    and writes a log per item, with stdout to `/dev/null` and to a pipe that `cat` empties. The limit is five `tee`, which \
    write the same files without a prefix. GNU parallel prefixes lines and logs nothing.";

const CHILDREN: usize = 5;

/// Where our standard output goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Console {
    Null,
    Pipe,
}

/// Measures everybody.
pub fn run(bench: &Bench) -> Result<Finding> {
    let bytes: u64 = bench.size(2_000_000_000, 20_000_000);
    let rounds = bench.size(5, 1);
    let ours = |console: Console, bytes: u64| move || supervise(bench, console, bytes / CHILDREN as u64);
    let each = bytes / CHILDREN as u64;
    let parallel = match &bench.peers.parallel {
        None => Contender::absent("parallel --tag", "parallel --line-buffer --tag", PARALLEL_INSTALL),
        Some(peer) => {
            let how = format!("{}: --line-buffer --tag, stdout to /dev/null, no log", peer.version);
            Contender::new(Kind::Peer, "parallel --tag", how, move || {
                let ground = Ground::new(bench)?;
                let list = ground.write("items.txt", &numbers(CHILDREN))?;
                let mut command = ground.fed(&peer.program, &list)?;
                command.args(["--line-buffer", "--tag", &format!("-j{CHILDREN}")]).arg(&bench.actor);
                command.args(["bench-actor", "write-lines", &each.to_string()]);
                ground.measure(&mut command)
            })
        }
    };
    let how = "wf-supervisor run items.txt -j 5 -- write-lines";
    let mut contenders = [
        Contender::new(
            Kind::Limit,
            "five tee",
            "write-lines | tee FILE > /dev/null, five times",
            move || tee(bench, each),
        ),
        Contender::new(Kind::Ours, "wf-supervisor", format!("{how} > /dev/null"), ours(Console::Null, bytes)),
        Contender::new(
            Kind::Ours,
            "wf-supervisor | cat",
            format!("{how} | cat > /dev/null"),
            ours(Console::Pipe, bytes),
        ),
        parallel,
        Contender::new(
            Kind::Ours,
            "a tenth of it",
            format!("{how} > /dev/null, with a tenth of the bytes"),
            ours(Console::Null, bytes / 10),
        ),
    ];
    take_turns(&mut contenders, rounds)?;

    let [limit, to_null, to_pipe, parallel, tenth] = &contenders;
    let peak = |contender: &Contender<'_>| contender.spread(|sample| mebibytes(sample.peak_bytes as f64));
    let row = |contender: &Contender<'_>, bytes: u64, has_peak: bool| {
        let rate =
            contender.spread(|sample| bytes as f64 / 1e6 / seconds(sample)).map(|rate| figure(rate.median));
        let cpu = contender.spread(|sample| sample.cpu.as_secs_f64()).map(|cpu| figure(cpu.median));
        let memory = peak(contender).filter(|_| has_peak).map(|peak| figure(peak.max));
        contender.row(1.0, limit, [rate, cpu, memory].map(Option::unwrap_or_default).into())
    };
    let rows: Vec<Row> = vec![
        row(limit, bytes, false),
        row(to_null, bytes, true),
        row(to_pipe, bytes, true),
        row(parallel, bytes, false),
        Row { ratio: None, ..row(tenth, bytes / 10, true) },
    ];
    let greatest_peak =
        [to_null, to_pipe].into_iter().filter_map(peak).map(|peak| peak.max).fold(0.0, f64::max);
    let flat =
        Spread::of_ratios(&to_null.each(|s| s.peak_bytes as f64), &tenth.each(|s| s.peak_bytes as f64));
    let gigabytes = figure(bytes as f64 / 1e9);
    let to_limit = |contender: &Contender<'_>| {
        contender.times(limit).map_or_else(|| "–".to_owned(), |r| figure(r.median))
    };
    Ok(Finding {
        rounds,
        targets: vec![
            Target::at_most("at most 1.5 × the five `tee`, stdout to `/dev/null`", 1.5, to_null.times(limit), "×"),
            Target::at_most("at most 1.5 × the five `tee`, stdout to a pipe", 1.5, to_pipe.times(limit), "×"),
            Target::at_least("less time than `parallel`, which logs and redacts nothing", 1.0, parallel.times(to_null), "× our time"),
            Target::at_most("the supervisor holds less than 20 MiB", 20.0, Spread::of(&[greatest_peak]), "MiB"),
            Target::at_most("memory is flat: at most 1.2 × that of a tenth of the bytes", 1.2, flat, "×"),
        ],
        reading: format!(
            "Prefixing, logging and redacting {gigabytes} GB takes {} × the time of five plain `tee` ({} × into a pipe), and the \
             supervisor never holds more than {} MiB.",
            to_limit(to_null),
            to_limit(to_pipe),
            figure(greatest_peak),
        ),
        notes: vec![
            "Memory is the high-water mark (`VmHWM`) of the supervisor's own process, looked at every 10 ms; the greatest of \
             all rounds is shown."
                .to_owned(),
            "Files go to the page cache; nobody waits for the disk at the end, and each round deletes what it wrote. After each \
             of our runs a log is searched for the key."
                .to_owned(),
        ],
        plot: Plot {
            title: format!("{gigabytes} GB of lines from {CHILDREN} children"),
            panels: vec![Panel::Bars(Bars {
                axis: "wall time, s".to_owned(),
                all: Bars::of_rows(&rows[..4]),
                mark: limit.spread(seconds).map(|wall| (wall.median * 1.5, "1.5 × five tee".to_owned())),
            })],
        },
        tables: vec![Table {
            caption: format!("{gigabytes} GB from {CHILDREN} children"),
            unit: "s".to_owned(),
            ratio: "× five tee".to_owned(),
            extra: ["MB/s", "processor time, s", "supervisor's memory, MiB"].map(str::to_owned).into(),
            rows,
        }],
    })
}

/// Five times a writer into `tee` into a file.
fn tee(bench: &Bench, each: u64) -> Result<Sample> {
    let ground = Ground::new(bench)?;
    let mut family = Family::begin();
    for child in 1..=CHILDREN {
        let mut writer = ground.command(&bench.actor)?;
        writer.args(["bench-actor", "write-lines", &each.to_string()]).stdout(Stdio::piped());
        let lines =
            family.add(&mut writer)?.stdout.take().ok_or_else(|| anyhow!("the writer has no pipe"))?;
        family.add(ground.command("tee")?.arg(format!("{child}.log")).stdin(lines))?;
    }
    let sample = ground.measure_all(family)?;
    ground.clear()?;
    Ok(sample)
}

/// Ours, with a key that it has to keep secret.
fn supervise(bench: &Bench, console: Console, each: u64) -> Result<Sample> {
    let ground = Ground::new(bench)?;
    ground.write("items.txt", &numbers(CHILDREN))?;
    let mut command = ground.command(&bench.supervisor)?;
    command.env("GEMINI_API_KEY", SECRET);
    command.args(["run", "items.txt", "-j", &CHILDREN.to_string(), "--"]).arg(&bench.actor);
    command.args(["bench-actor", "write-lines", &each.to_string()]);
    let mut family = Family::begin();
    if console == Console::Pipe {
        let supervisor = family.add(command.stdout(Stdio::piped()))?;
        let lines = supervisor.stdout.take().ok_or_else(|| anyhow!("the supervisor has no pipe"))?;
        family.add(ground.command("cat")?.stdin(lines))?;
    } else {
        family.add(&mut command)?;
    }
    let sample = ground.measure_all(family)?;
    for child in 1..=CHILDREN {
        check_log(&ground, child, each)?;
    }
    ground.clear()?;
    Ok(sample)
}

/// What was measured must be the real thing: all bytes are there, and the key is not.
fn check_log(ground: &Ground, child: usize, each: u64) -> Result<()> {
    let path = ground.file(&format!(".wf/runs/latest/{child}.log"));
    let mut log = File::open(&path).with_context(|| path.display().to_string())?;
    let size = log.metadata()?.len();
    // A little less than was written: what replaces the key is shorter.
    ensure!(size >= each - each / 1000, "{} has {size} bytes of {each}", path.display());
    let mut beginning = Vec::new();
    log.by_ref().take(4 * block().len() as u64).read_to_end(&mut beginning)?;
    let has = |text: &str| beginning.windows(text.len()).any(|window| window == text.as_bytes());
    ensure!(!has(SECRET), "{} has the key in it", path.display());
    ensure!(has("[REDACTED:"), "{} has nothing redacted in it", path.display());
    Ok(())
}
