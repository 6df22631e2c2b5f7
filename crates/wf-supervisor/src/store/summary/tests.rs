//! Tests of folding, loading and writing summaries.

use std::fs;

use proptest::prelude::*;

use super::super::journal_reader::Entry;
use super::super::testing::{
    at, attempt, attempt_ended, ended, id, planned, returned, sample_run, started, state, write_run,
};
use super::*;

const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

fn fold(entries: &[Entry]) -> RunSummary {
    let mut summary = RunSummary::default();
    for entry in entries {
        summary.fold(&entry.record, entry.at);
    }
    summary
}

#[test]
fn a_finished_run_has_its_sums() {
    let summary = fold(&sample_run(RUN, 3));
    assert_eq!((summary.state, summary.exit), (RunState::Finished, Some(1)));
    assert_eq!((summary.counts.approved, summary.counts.failed), (2, 1));
    let expected = Totals {
        wall_ms: 3000,
        worked_ms: 5000,
        attempts: 3,
        calls: 6,
        retries: 3,
        tokens_in: 6000,
        tokens_out: 1200,
    };
    assert_eq!(summary.totals, expected);
    assert_eq!(summary.saved_ms(), 5000 - 800 - 3000);
    assert!((summary.overhead_percent() - 0.02).abs() < 1e-9);
    assert_eq!(summary.find("LLD-2"), summary.find("2"));
    assert_eq!(summary.find("2").unwrap().outcome, Some(Outcome::Failed));
    assert_eq!(summary.find("7"), None);
}

#[test]
fn keys_have_their_calls_and_what_the_runs_end_tells_of_them() {
    let mut entries = sample_run(RUN, 3);
    let killed = fold(&entries[..entries.len() - 1]);
    assert_eq!((killed.keys[0].calls, killed.keys[0].limited_ms), (6, None));
    let used = Record::KeyUsed {
        key: "gemini-a".into(),
        provider: "gemini".into(),
        group: "project-1".into(),
        limited_ms: 56_000,
        share: Some(410),
    };
    let last = entries.len() - 1;
    entries.insert(last, Entry { at: at(1), record: used });
    let summary = fold(&entries);
    let expected = KeySummary {
        name: "gemini-a".into(),
        provider: "gemini".into(),
        group: "project-1".into(),
        calls: 6,
        refusals: 3,
        tokens_in: 6000,
        tokens_out: 1200,
        limited_ms: Some(56_000),
        share: Some(410),
    };
    assert_eq!(summary.keys, [expected]);
    let mut table = Vec::new();
    let page = Page {
        run_dir: std::path::Path::new("x"),
        color: false,
        zone: &jiff::tz::TimeZone::UTC,
        now: at(0),
        width: None,
        rows: Rows::All,
        names_run: false,
    };
    write_summary(&mut table, &summary, &page).unwrap();
    let table = String::from_utf8(table).unwrap();
    insta::assert_snapshot!(table.lines().skip(5).take(2).collect::<Vec<_>>().join("\n"), @r"
    key       group      calls  tokens in  tokens out  refused  limited  of quota
    gemini-a  project-1      6      6,000       1,200        3    56.0s    41.0 %
    ");
    let sums = (summary.totals.calls, summary.totals.tokens_in, summary.totals.tokens_out);
    assert_eq!(sums, (6, 6000, 1200), "keys and items agree");
}

#[test]
fn an_item_that_runs_shows_what_is_known_so_far() {
    let entries = [
        started(RUN, 2),
        planned("1", PlanAction::Run),
        planned("2", PlanAction::Run),
        attempt("1", 1),
        returned("1", 1, 1, "ok"),
        attempt_ended("1", 1, 1),
        attempt("2", 1),
    ];
    let entries = entries.map(|record| Entry { at: at(0), record });
    let summary = fold(&entries);
    assert_eq!(summary.items.iter().map(ItemSummary::word).collect::<Vec<_>>(), ["to-retry", "running"]);
    assert_eq!(summary.find("1").unwrap().calls, 1);
    assert_eq!(summary.totals.tokens_in, 1000);
}

#[test]
fn a_run_is_running_while_it_is_locked_and_killed_when_it_wrote_no_end() {
    let (_dir, state) = state();
    let mut entries = sample_run(RUN, 2);
    entries.truncate(entries.len() - 2);
    let (run, lock) = write_run(&state, RUN, &entries);
    let running = load(&run, at(0)).unwrap();
    assert_eq!((running.state, running.ended), (RunState::Running, None));
    drop(lock);
    let killed = load(&run, at(0)).unwrap();
    assert_eq!((killed.state, killed.ended), (RunState::Killed, entries.last().map(|e| e.at)));
    assert_eq!((killed.counts.approved, killed.counts.interrupted), (1, 1));
    assert_eq!(killed.totals.wall_ms, (entries.len() as u64 - 1) * 100);
    assert!(!run.summary().exists());
    killed.write(&run).unwrap();
    fs::remove_file(run.journal()).unwrap();
    let head = load_head(&run, at(0)).unwrap();
    assert_eq!((head.counts, head.totals, head.planned), (killed.counts, killed.totals, killed.planned));
    assert_eq!(load(&run, at(0)).unwrap(), killed, "summary.json says the same");
}

#[test]
fn a_damaged_summary_is_passed_over() {
    let (_dir, state) = state();
    let (run, lock) = write_run(&state, RUN, &sample_run(RUN, 2));
    drop(lock);
    let good = load(&run, at(0)).unwrap();
    let other = fold(&sample_run("2026-11-21T05-14-49Z-0000", 1));
    for damaged in [String::new(), "{".into(), "[]".into(), serde_json::to_string(&other).unwrap()] {
        fs::write(run.summary(), damaged).unwrap();
        assert_eq!(load(&run, at(0)).unwrap(), good);
    }
}

#[test]
fn a_journal_without_its_first_line_is_said_so() {
    let (_dir, state) = state();
    let (run, _lock) = write_run(&state, RUN, &sample_run(RUN, 2)[1..]);
    assert!(matches!(load(&run, at(0)), Err(StoreError::Headless { .. })));
}

fn steps() -> impl Strategy<Value = Vec<Entry>> {
    let outcomes = [Outcome::Approved, Outcome::TimedOut, Outcome::Skipped, Outcome::Interrupted];
    let step = (1..5_u8, 0..7_u8, proptest::sample::select(outcomes.to_vec()), 0..10_000_i64);
    let step = step.prop_map(|(item, kind, outcome, ms)| {
        let item = item.to_string();
        let record = match kind {
            6 => Record::KeyUsed {
                key: "gemini-b".into(),
                provider: "gemini".into(),
                group: "g\n".into(),
                limited_ms: 7,
                share: None,
            },
            0 => planned(&item, PlanAction::Resume),
            1 => attempt(&item, 2),
            2 => returned(&item, 1, 1, "transient"),
            3 => attempt_ended(&item, 1, 0),
            4 => Record::Stopping { why: "SIGINT\n\u{1b}[2J\"".into() },
            _ => ended(&item, outcome),
        };
        Entry { at: at(ms), record }
    });
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// Through the journal's bytes, and through `summary.json`, nothing changes.
    #[test]
    fn what_is_folded_live_equals_what_is_read(steps in steps()) {
        let (_dir, state) = state();
        let mut entries = vec![Entry { at: at(0), record: started(RUN, 4) }];
        entries.extend(steps);
        let live = fold(&entries);
        let (run, _lock) = write_run(&state, RUN, &entries);
        let (read, flaws) = fold_journal(&run).unwrap();
        prop_assert_eq!(&read, &live);
        prop_assert_eq!(flaws, Flaws::default());
        let json = serde_json::to_string(&live).unwrap();
        let mut again: RunSummary = serde_json::from_str(&json).unwrap();
        again.last = live.last;
        prop_assert_eq!(&again, &live);
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), json);
        prop_assert_eq!(again.find("LLD-3").map(|item| &item.id), live.find("3").map(|item| &item.id));
        prop_assert!(live.find("3").is_none_or(|item| item.id == id("3")));
    }
}
