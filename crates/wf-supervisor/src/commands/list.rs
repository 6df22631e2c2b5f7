//! `list`: the runs, newest first.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use wf_core::Counts;

use crate::items::placeholders::shown;
use crate::store::StoreError;
use crate::store::error::unless_closed;
use crate::store::layout::{Location, StateDir};
use crate::store::moment::span;
use crate::store::run_dir::RunId;
use crate::store::summary::{self, RunState, RunSummary, open_and_ended};
use crate::store::text::one_line;

/// How much of what a run was has room in the table, in characters.
const WHAT_CHARS: usize = 32;

/// How to show the runs.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// A JSON array instead of a table.
    pub json: bool,
    /// The time it is: the clocks of runs that live stand there.
    pub now: Timestamp,
    /// The time zone of the table; JSON has UTC.
    pub time_zone: TimeZone,
}

/// A run in JSON. `workflow` and what follows are null where the journal cannot be read.
#[derive(Serialize)]
struct RunLine<'a> {
    run: &'a RunId,
    started: Timestamp,
    ended: Option<Timestamp>,
    state: Option<RunState>,
    exit: Option<u8>,
    workflow: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    argv: Option<&'a [String]>,
    mock: Option<bool>,
    items: Option<u32>,
    counts: Option<Counts>,
    wall_ms: Option<u64>,
    overhead_percent: Option<f64>,
    problem: Option<String>,
}

/// Writes all runs, newest first. A run that cannot be read has a line that says why.
pub fn list(location: &Location, options: &ListOptions, out: &mut dyn Write) -> Result<(), StoreError> {
    let state = location.open_existing();
    let ids = state.as_ref().map_or_else(|| Ok(Vec::new()), StateDir::run_ids)?;
    let runs = ids
        .iter()
        .rev()
        .filter_map(|id| Some((id, summary::load_head(&state.as_ref()?.run(id), options.now))));
    unless_closed(if options.json {
        write_json(runs, out)
    } else if ids.is_empty() {
        let nothing = StoreError::NoRuns { path: location.path().to_owned() };
        writeln!(out, "{nothing}").map_err(StoreError::Output)
    } else {
        write_table(runs, &options.time_zone, out)
    })
}

type Loaded<'a> = (&'a RunId, Result<RunSummary, StoreError>);

/// One run at a time: the items of a run are in memory only while its line is written.
fn write_json<'a>(runs: impl Iterator<Item = Loaded<'a>>, out: &mut dyn Write) -> Result<(), StoreError> {
    let mut before = "[";
    for (id, loaded) in runs {
        let summary = loaded.as_ref().ok();
        let line = RunLine {
            run: id,
            started: summary.map_or_else(|| id.started(), |run| run.started),
            ended: summary.and_then(|run| run.ended),
            state: summary.map(|run| run.state),
            exit: summary.and_then(|run| run.exit),
            workflow: summary.map(|run| run.workflow.as_str()),
            name: summary.and_then(|run| run.name.as_deref()),
            argv: summary.map(|run| run.argv.as_slice()),
            mock: summary.map(|run| run.mock),
            items: summary.map(|run| run.planned),
            counts: summary.map(|run| run.counts),
            wall_ms: summary.map(|run| run.totals.wall_ms),
            overhead_percent: summary.map(RunSummary::overhead_percent),
            problem: loaded.as_ref().err().map(ToString::to_string),
        };
        let json = serde_json::to_string(&line).map_err(|e| StoreError::Output(e.into()))?;
        write!(out, "{before}\n  {json}").map_err(StoreError::Output)?;
        before = ",";
    }
    let end = if before == "[" { "[]" } else { "\n]" };
    writeln!(out, "{end}").map_err(StoreError::Output)
}

fn write_table<'a>(
    runs: impl Iterator<Item = Loaded<'a>>,
    zone: &TimeZone,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let head = ["run", "started", "what", "overhead", "state", "items"];
    write_row(head, out)?;
    for (id, loaded) in runs {
        let when = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        match loaded {
            Ok(run) => {
                let overhead = format!("{:.2} %", run.overhead_percent());
                let state = match (run.state, run.exit) {
                    (RunState::Finished, Some(exit)) => format!("finished ({exit})"),
                    (RunState::Running, _) => {
                        format!("running {}", span(Duration::from_millis(run.totals.wall_ms)))
                    }
                    (state, _) => state.word().to_owned(),
                };
                let items = open_and_ended(&run);
                write_row([id.as_str(), &when(run.started), &what(&run), &overhead, &state, &items], out)?;
            }
            Err(StoreError::NeverBegan { is_live, .. }) => {
                let (state, words) =
                    if is_live { ("running", "just starting") } else { ("killed", "before it began") };
                write_row([id.as_str(), &when(id.started()), "-", "-", state, words], out)?;
            }
            Err(e) => {
                write_row([id.as_str(), &when(id.started()), "-", "-", "unreadable", &e.to_string()], out)?;
            }
        }
    }
    Ok(())
}

/// What a run was, in a few words: its name, its workflow, and what was typed after `run`.
fn what(run: &RunSummary) -> String {
    let mut words = String::new();
    if let Some(name) = &run.name {
        words = format!("{name}: ");
    }
    if run.workflow != "command" {
        words.push_str(&run.workflow);
        words.push(' ');
    }
    if run.mock {
        words.push_str("(mock) ");
    }
    let after_verb = run.argv.iter().position(|word| word == "run").map_or(run.argv.len(), |at| at + 1);
    let rest: Vec<std::ffi::OsString> = run.argv[after_verb..].iter().map(Into::into).collect();
    if rest.is_empty() && run.workflow == "command" {
        words.push_str("command");
    }
    words.push_str(&shown(&rest));
    let words = one_line(words.trim_end(), WHAT_CHARS - 1);
    words.into_owned()
}

fn write_row(
    [run, started, workflow, overhead, state, items]: [&str; 6],
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    writeln!(out, "{run:25}  {started:16}  {workflow:WHAT_CHARS$}  {overhead:>8}  {state:14}  {items}")
        .map_err(StoreError::Output)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::testing::{at, sample_run, state, write_run};

    fn listed(location: &Location, json: bool) -> String {
        let mut out = Vec::new();
        list(location, &ListOptions { json, now: at(40_000), time_zone: TimeZone::UTC }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn three() -> (tempfile::TempDir, Location, crate::store::lock::HeldLock) {
        let (dir, state) = state();
        for (name, entries) in [("2026-11-21T05-14-49Z-7f3a", 22), ("2026-11-21T05-15-00Z-0002", 14)] {
            let (run, lock) = write_run(&state, name, &sample_run(name, 3)[..entries.min(20)]);
            drop(lock);
            let _ = run;
        }
        let live = "2026-11-21T06-00-00Z-0003";
        let (_, lock) = write_run(&state, live, &sample_run(live, 4)[..11]);
        let broken = state.runs().join("2026-11-21T07-00-00Z-0004");
        fs::create_dir(&broken).unwrap();
        fs::write(broken.join("journal.jsonl"), "garbage\n").unwrap();
        let location = StateDir::locate(Some(state.path()), None, dir.path());
        (dir, location, lock)
    }

    #[test]
    fn runs_are_listed_newest_first() {
        let (dir, location, _lock) = three();
        let text = listed(&location, false).replace(&dir.path().display().to_string(), "/project");
        insta::assert_snapshot!(text, @r"
        run                        started           what                              overhead  state           items
        2026-11-21T07-00-00Z-0004  2026-11-21 07:00  -                                        -  unreadable      /project/.wf/runs/2026-11-21T07-00-00Z-0004/journal.jsonl has no readable first line, so nothing is known about its run
        2026-11-21T06-00-00Z-0003  2026-11-21 05:14  lld                                 0.00 %  running 40s     1 approved, 1 running, 2 queued
        2026-11-21T05-15-00Z-0002  2026-11-21 05:14  lld                                 0.00 %  killed          1 approved, 1 not started, 1 failed
        2026-11-21T05-14-49Z-7f3a  2026-11-21 05:14  lld                                 0.02 %  finished (1)    2 approved, 1 failed
        ");
    }

    #[test]
    fn json_is_one_array() {
        let (_dir, location, _lock) = three();
        let runs: Vec<serde_json::Value> = serde_json::from_str(&listed(&location, true)).unwrap();
        let states: Vec<_> = runs.iter().map(|run| run["state"].as_str().unwrap_or("-")).collect();
        assert_eq!(states, ["-", "running", "killed", "finished"]);
        assert_eq!(runs[3]["counts"]["approved"], 2);
        assert_eq!(runs[3]["exit"], 1);
        assert!(runs[0]["problem"].as_str().unwrap().contains("journal.jsonl"));
    }

    #[test]
    fn nothing_is_no_error_and_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let location = StateDir::locate(None, None, dir.path());
        assert_eq!(listed(&location, false), format!("no runs in {} yet\n", location.path().display()));
        assert_eq!(listed(&location, true), "[]\n");
        assert!(!location.path().exists());
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (_dir, location, _lock) = three();
        list(&location, &ListOptions { json: false, now: at(0), time_zone: TimeZone::UTC }, &mut Closed)
            .unwrap();
    }
}
