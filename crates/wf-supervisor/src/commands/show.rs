//! `show`: one run's summary, also while it runs, or the story of one item.

mod item;

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wf_core::ItemId;

use super::pool;
use crate::store::StoreError;
use crate::store::board::PoolBoard;
use crate::store::error::unless_closed;
use crate::store::layout::{Location, StateDir};
use crate::store::moment::span;
use crate::store::name::{Meant, meant, near};
use crate::store::run_dir::RunDir;
use crate::store::summary::{self, Page, Rows, RunState, RunSummary, write_summary};
use crate::store::text::one_line;

/// How much of a command line is shown, in characters: all of it, but for what a script may hold.
const COMMAND_CHARS: usize = 2_000;

/// What to show, and how.
#[derive(Clone, Debug)]
pub struct ShowOptions {
    /// A run: its id, a beginning of it, its last four digits, or `latest`; else the latest.
    pub run: Option<String>,
    /// An item, by its id or its label; without `run`, in the newest run that has it.
    pub item: Option<String>,
    /// A line for every item, however many there are.
    pub all: bool,
    /// JSON instead of text: of a run what `summary.json` has.
    pub json: bool,
    /// Whether `out` is a terminal that takes colours.
    pub color: bool,
    /// Columns of the terminal that `out` is, if it is one.
    pub width: Option<usize>,
    /// The time it is: the clocks of a run that lives stand there.
    pub now: Timestamp,
    /// The time zone of the text; JSON has UTC.
    pub time_zone: TimeZone,
}

/// Shows a run, or one item of it. Writes nothing but `out`.
pub fn show(location: &Location, options: &ShowOptions, out: &mut dyn Write) -> Result<(), StoreError> {
    let state = location.require()?;
    let result = if let Some(name) = &options.item {
        let (run, mut summary, label) = run_with(&state, options.run.as_deref(), name, options.now)?;
        see_pool(&run, &mut summary, options.now);
        item::show_item(&state, &run, &summary, &label, options, out)
    } else {
        let run = state.find_run(options.run.as_deref())?;
        let mut summary = match summary::load(&run, options.now) {
            // That is all there is to show, and nothing is wrong with it.
            Err(error @ StoreError::NeverBegan { .. }) if !options.json => {
                return unless_closed(writeln!(out, "{error}").map_err(StoreError::Output));
            }
            loaded => loaded?,
        };
        see_pool(&run, &mut summary, options.now);
        show_run(&run, &summary, options, out)
    };
    unless_closed(result)
}

/// Takes in what a run that lives shows of its pool: what waits, and until when.
fn see_pool(run: &RunDir, summary: &mut RunSummary, now: Timestamp) {
    if summary.state == RunState::Running
        && let Some(board) = PoolBoard::of_live(run)
    {
        summary.see_pool(board.seen_at(now));
    }
}

/// The named run, or the newest that has the item, and the item's label. The item's whole name counts in any run before a
/// part of one does.
fn run_with(
    state: &StateDir,
    run: Option<&str>,
    item: &str,
    now: Timestamp,
) -> Result<(RunDir, RunSummary, String), StoreError> {
    let latest = state.find_run(run)?;
    let latest_id = latest.id().to_string();
    let mut alike = Vec::new();
    let mut by_part = None;
    let candidates = match run {
        Some(_) => vec![latest],
        None => state.run_ids()?.iter().rev().map(|id| state.run(id)).collect(),
    };
    let only = candidates.len() == 1;
    for run in candidates {
        match summary::load(&run, now) {
            Ok(summary) if summary.find(item).is_some() => return Ok((run, summary, item.to_owned())),
            Ok(summary) if by_part.is_none() => {
                let ids: Vec<ItemId> = summary.items.iter().map(|item| item.id.clone()).collect();
                match meant(item, &summary.prefix, &ids) {
                    Meant::One(id) => {
                        let label = id.label(&summary.prefix);
                        by_part = Some(Ok((run, summary, label)));
                    }
                    Meant::Several(items) => {
                        let (item, run) = (item.to_owned(), run.id().to_string());
                        by_part = Some(Err(StoreError::SeveralItems { item, items, run }));
                    }
                    Meant::Nobody if alike.is_empty() => alike = near(item, &summary.prefix, &ids),
                    Meant::Nobody => {}
                }
            }
            // A run that cannot be read hides the item in it, but not in older ones.
            Err(e) if only => return Err(e),
            Ok(_) | Err(_) => {}
        }
    }
    let unknown = || StoreError::UnknownItem { item: item.to_owned(), run: latest_id, near: alike };
    by_part.unwrap_or_else(|| Err(unknown()))
}

fn show_run(
    run: &RunDir,
    summary: &RunSummary,
    options: &ShowOptions,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    if options.json {
        serde_json::to_writer_pretty(&mut *out, summary).map_err(|e| StoreError::Output(e.into()))?;
        return writeln!(out).map_err(StoreError::Output);
    }
    let write = |out: &mut dyn Write| {
        writeln!(out, "{}", headline(summary, options))?;
        if !summary.argv.is_empty() {
            writeln!(out, "command line: {}", one_line(&summary.command_line(), COMMAND_CHARS))?;
        }
        if let Some(damage) = &summary.damage {
            writeln!(out, "{damage}")?;
        }
        if let (Some(why), RunState::Running) = (&summary.stopping, summary.state) {
            writeln!(out, "stopping: {}", one_line(why, 200))?;
        }
        writeln!(out)?;
        if let Some(board) = summary.pool.as_deref().filter(|board| !board.keys.is_empty()) {
            writeln!(out, "{}", pool::headline(board, &options.time_zone))?;
            pool::write_keys(out, board, &options.time_zone, &[])?;
            writeln!(out)?;
        }
        let page = Page {
            run_dir: run.path(),
            color: options.color,
            zone: &options.time_zone,
            now: options.now,
            width: options.width,
            rows: if options.all { Rows::All } else { Rows::Telling },
            names_run: options.run.is_some(),
        };
        write_summary(out, summary, &page)
    };
    write(out).map_err(StoreError::Output)
}

/// "run 2026-…: finished with exit code 1, lld, started 2026-11-21 05:14:49".
fn headline(summary: &RunSummary, options: &ShowOptions) -> String {
    let state = match (summary.state, summary.exit) {
        (RunState::Running, _) => {
            let so_far = span(Duration::from_millis(summary.totals.wall_ms));
            format!("running for {so_far} (process {})", summary.pid)
        }
        (RunState::Finished, Some(exit)) => format!("finished with exit code {exit}"),
        (state, _) => state.word().to_owned(),
    };
    let mock = if summary.mock { " with the mock provider" } else { "" };
    let name = summary.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let started = clock(summary.started, &options.time_zone, "%Y-%m-%d %H:%M:%S");
    format!("run {}{name}: {state}, {}{mock}, started {started}", summary.run, summary.workflow)
}

fn clock(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::history::History;
    use crate::store::testing::{at, id, sample_run, state, write_run};

    const OLD: &str = "2026-11-21T05-14-49Z-0001";
    const NEW: &str = "2026-11-21T05-14-50Z-0002";

    fn shown(
        state: &StateDir,
        run: Option<&str>,
        item: Option<&str>,
        json: bool,
    ) -> Result<String, StoreError> {
        let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
        let options = ShowOptions {
            run: run.map(Into::into),
            item: item.map(Into::into),
            all: false,
            json,
            color: false,
            width: None,
            now: at(25_700),
            time_zone: TimeZone::UTC,
        };
        let mut out = Vec::new();
        show(&location, &options, &mut out)?;
        let parent = state.path().parent().unwrap().display().to_string();
        Ok(String::from_utf8(out).unwrap().replace(&parent, "/project"))
    }

    fn two() -> (tempfile::TempDir, StateDir, crate::store::lock::HeldLock) {
        let (dir, state) = state();
        drop(write_run(&state, OLD, &sample_run(OLD, 3)));
        let (_, lock) = write_run(&state, NEW, &sample_run(NEW, 2)[..8]);
        (dir, state, lock)
    }

    #[test]
    fn a_finished_and_a_live_run() {
        let (_dir, state, _lock) = two();
        insta::assert_snapshot!(shown(&state, Some("0001"), None, false).unwrap(), @r"
        run 2026-11-21T05-14-49Z-0001: finished with exit code 1, lld, started 2026-11-21 05:14:49
        command line: wf-supervisor run

        item   outcome      wall  calls  tokens  retries
        LLD-1  approved     2.5s      2   2,400        1
        LLD-2  failed       2.5s      2   2,400        1  exit code 1
        LLD-3  approved     2.5s      2   2,400        1

        key       group  calls  tokens in  tokens out  refused  limited  of quota
        gemini-a  -          6      6,000       1,200        3        ?         -

        3 items: 2 approved, 1 failed, in 3.0s with 3 workers
        6 calls (3 repeated), 6,000 tokens in, 1,200 out
        time saved against sequential: 1.2s; waiting for quota: 800ms; coordination overhead: 0.02 %
        run the same command again to try again: 1 failed
        to see more: wf-supervisor logs LLD-2 --run 2026-11-21T05-14-49Z-0001
        journal and logs in /project/.wf/runs/2026-11-21T05-14-49Z-0001
        ");
        insta::assert_snapshot!(shown(&state, None, None, false).unwrap(), @r"
        run 2026-11-21T05-14-50Z-0002: running for 25s (process 4242), lld, started 2026-11-21 05:14:49
        command line: wf-supervisor run

        item   outcome      wall  calls  tokens  retries
        LLD-1  approved     2.5s      2   2,400        1
        LLD-2  queued          -      -       -        -

        key       group  calls  tokens in  tokens out  refused  limited  of quota
        gemini-a  -          2      2,000         400        1        ?         -

        2 items: 1 approved, 1 queued, in 25.7s with 3 workers
        2 calls (1 repeated), 2,000 tokens in, 400 out
        journal and logs in /project/.wf/runs/2026-11-21T05-14-50Z-0002
        ");
    }

    #[test]
    fn json_of_a_run_is_its_summary() {
        let (_dir, state, _lock) = two();
        let run = state.find_run(Some("0001")).unwrap();
        summary::load(&run, at(0)).unwrap().write(&run).unwrap();
        let written = fs::read_to_string(run.summary()).unwrap();
        assert_eq!(shown(&state, Some("0001"), None, true).unwrap(), written);
        let json: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(json["state"], "finished");
        assert_eq!(json["saved_ms"], 1200);
        assert_eq!(json["overhead_percent"], 0.02);
        assert_eq!(json["items"][1]["label"], "LLD-2");
        assert_eq!(json["items"][1]["outcome"], "failed");
        assert_eq!(json["items"][1]["log"], "LLD-2.log");
        assert_eq!(json["items"][0]["output"]["path"], "docs/lld/LLD-1.md");
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        let (_dir, state, _lock) = two();
        assert_eq!(shown(&state, Some("9999"), None, false).unwrap_err().exit_code(), 2);
        let error = shown(&state, None, Some("77"), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no item \"77\" in run {NEW}; `wf-supervisor show {NEW}` lists its items")
        );
        assert_eq!(error.exit_code(), 2);
        let nowhere = StateDir::locate(None, None, std::path::Path::new("/nonexistent"));
        assert_eq!(nowhere.require().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_story_of_an_item() {
        let (_dir, state, _lock) = two();
        let run = state.find_run(Some("0001")).unwrap();
        fs::write(run.log("LLD-1"), "").unwrap();
        let audit = concat!(
            r#"{"ts":"2026-11-21T05:14:49.450Z","run":"r","item":"1","node":"N3_review","iteration":2,"event":"call","#,
            r#""model":"m-1","key":"gemini-a","tokens_in":1000,"tokens_out":200,"duration_ms":1500,"verdict":"revise","#,
            r#""detail":"Tier 1:\n\u001b[31mcosts"}"#,
            "\nnonsense\n",
            r#"{"ts":"2026-11-21T05:14:49.55Z","event":"finished"}"#,
            "\n",
        );
        fs::write(run.item_audit(&id("1")), audit).unwrap();
        let lineage = state.lineage(&summary::load(&run, at(0)).unwrap().work(), &id("1"));
        fs::create_dir_all(&lineage).unwrap();
        // The latest run has an item 1 of its own; 3 is only in the older one.
        insta::assert_snapshot!(shown(&state, Some("0001"), Some("LLD-1"), false).unwrap(), @r"
        LLD-1 in run 2026-11-21T05-14-49Z-0001: approved
        2.5s in 1 attempt, 400ms of it waiting for quota; 2 calls, 1 repeated; 2,000 tokens in, 400 out
        output     docs/lld/LLD-1.md
        log        /project/.wf/runs/2026-11-21T05-14-49Z-0001/LLD-1.log
        audit      /project/.wf/runs/2026-11-21T05-14-49Z-0001/workflow-audit-1.jsonl
        lineage    /project/.wf/lineage/lld_1

        05:14:49.100  planned: run
        05:14:49.400  attempt 1 begins in slot 1
        05:14:49.450  audit: call in N3_review (iteration 2): verdict revise, model m-1, key gemini-a, 1,000 tokens in, 200 tokens out, 1.5s, Tier 1:  [31mcosts
        05:14:49.500  call 0 returned: limited, 1,000 tokens in, 200 out
        05:14:49.550  audit: finished
        05:14:49.600  call 1 returned: ok, 1,000 tokens in, 200 out
        05:14:49.700  attempt 1 exited with code 0 after 2.5s
        05:14:49.800  approved
        ");
        assert!(shown(&state, None, Some("1"), false).unwrap().starts_with(&format!("LLD-1 in run {NEW}")));
        assert!(shown(&state, None, Some("3"), false).unwrap().starts_with(&format!("LLD-3 in run {OLD}")));
        let json: serde_json::Value =
            serde_json::from_str(&shown(&state, Some("0001"), Some("1"), true).unwrap()).unwrap();
        assert_eq!(json["item"]["outcome"], "approved");
        assert_eq!(json["files"]["lineage"], "/project/.wf/lineage/lld_1");
        assert_eq!(json["events"].as_array().unwrap().len(), 6);
        assert_eq!(json["audit"][1]["event"], "finished");
    }

    #[test]
    fn showing_changes_nothing() {
        let (_dir, state, _lock) = two();
        drop(History::open(&state).unwrap());
        let listing = || {
            let mut all = Vec::new();
            let mut open = vec![state.path().to_owned()];
            while let Some(dir) = open.pop() {
                for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                    all.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
                    if entry.file_type().unwrap().is_dir() {
                        open.push(entry.path());
                    }
                }
            }
            all.sort();
            all
        };
        let before = listing();
        for json in [false, true] {
            shown(&state, None, None, json).unwrap();
            shown(&state, None, Some("1"), json).unwrap();
        }
        assert_eq!(listing(), before);
    }
}
