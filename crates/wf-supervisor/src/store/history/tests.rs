//! Tests of the index as a whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use proptest::prelude::*;
use rusqlite::Connection;
use wf_core::{Counts, ItemId, Outcome, PlanAction, Record};

use super::super::StoreError;
use super::super::journal::Journal;
use super::super::journal_reader::Entry;
use super::super::layout::StateDir;
use super::super::run_dir::RunId;
use super::super::testing::{
    at, attempt, attempt_ended, ended, id, planned, returned, run_ended, sample_run, started, state,
    write_run,
};
use super::super::work::{Realm, Work};
use super::{Claim, History, HistoryWriter, Holder, rebuild};

const A: &str = "2026-11-21T05-14-49Z-aaaa";
const B: &str = "2026-11-21T05-14-50Z-bbbb";
const C: &str = "2026-11-21T05-14-51Z-cccc";

fn run(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

fn lld() -> Work {
    Work::workflow(Realm::Real, "lld")
}

fn ids(names: &[&str]) -> Vec<ItemId> {
    names.iter().map(|name| id(name)).collect()
}

fn entries(records: impl IntoIterator<Item = Record>) -> Vec<Entry> {
    records
        .into_iter()
        .enumerate()
        .map(|(i, record)| Entry { at: at(i64::try_from(i).unwrap()), record })
        .collect()
}

fn later(entries: Vec<Entry>, ms: i64) -> Vec<Entry> {
    entries.into_iter().map(|e| Entry { at: e.at + jiff::SignedDuration::from_millis(ms), ..e }).collect()
}

/// All that the index says, but for claims and numbers that mean nothing outside it.
fn dump(history: &History) -> Vec<String> {
    let queries = [
        "SELECT realm, works.work, run, pid, items, parallel, started_us, ended_us, exit, wall_ms, worked_ms, waited_ms,
             overhead_us, closed FROM runs JOIN works ON works.key = runs.work ORDER BY run",
        "SELECT realm, works.work, runs.run, i.id, i.action, i.fingerprint, i.outcome, i.attempts, i.wall_ms, i.waited_ms,
             i.calls, i.retries, i.tokens_in, i.tokens_out FROM run_items i JOIN works ON works.key = i.work
             JOIN runs ON runs.key = i.run ORDER BY 1, 2, 3, 4",
        "SELECT realm, works.work, s.id, s.fingerprint, s.outcome, s.run, s.at_us, s.detail, s.output_path, s.output_sha256
             FROM last_states s JOIN works ON works.key = s.work ORDER BY 1, 2, 3",
    ];
    let mut lines = Vec::new();
    for query in queries {
        let mut statement = history.connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<_> = (0..columns).map(|c| format!("{:?}", row.get_ref(c).unwrap())).collect();
            lines.push(cells.join(" | "));
        }
    }
    lines
}

fn claims(history: &History) -> i64 {
    history.connection.query_row("SELECT count(*) FROM claims", [], |row| row.get(0)).unwrap()
}

fn last(history: &History, item: &str) -> Option<super::LastState> {
    history.facts(&lld(), &[id(item)]).unwrap().remove(0)
}

#[test]
fn what_a_run_did_is_known_to_the_next() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    assert!(history.claim(&run(A), 7, &lld(), &ids(&["1", "2"])).unwrap().iter().all(|c| c.last.is_none()));
    history.record(&run(A), &sample_run(A, 2)).unwrap();
    let first = last(&history, "1").unwrap();
    assert_eq!(first.outcome, Outcome::Approved);
    assert_eq!(first.fingerprint, "f-1");
    assert_eq!(first.run, run(A));
    assert_eq!(first.tokens, 2400);
    assert_eq!(first.output.unwrap().path, "docs/lld/LLD-1.md");
    let second = last(&history, "2").unwrap();
    assert_eq!((second.outcome, second.detail.as_str()), (Outcome::Failed, "exit code 1"));
    assert_eq!(second.output, None);
    assert_eq!(last(&history, "3"), None);
    let of_mock = history.facts(&Work::workflow(Realm::Mock, "lld"), &[id("1")]).unwrap();
    assert_eq!(of_mock, [None]);
    let runs = history.runs().unwrap();
    assert_eq!((runs.len(), runs[0].exit, runs[0].closed), (1, Some(1), true));
    assert_eq!(claims(&history), 0);
}

#[test]
fn an_item_that_was_not_worked_on_stays_as_it_was() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &sample_run(A, 1)).unwrap();
    let before = last(&history, "1");
    for outcome in [Outcome::Skipped, Outcome::NotStarted, Outcome::Failed, Outcome::NeedsRevision] {
        let mut untouched = ended("1", outcome);
        if let Record::ItemEnded { attempts, tokens_in, tokens_out, .. } = &mut untouched {
            (*attempts, *tokens_in, *tokens_out) = (0, 0, 0);
        }
        history
            .record(&run(B), &entries([started(B, 1), planned("1", PlanAction::Skip), untouched]))
            .unwrap();
        assert_eq!(last(&history, "1"), before);
    }
}

#[test]
fn the_output_and_the_tokens_outlast_an_interrupted_redo() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &sample_run(A, 1)).unwrap();
    let redo = [started(B, 1), planned("1", PlanAction::Resume), attempt("1", 1), returned("1", 1, 1, "ok")];
    history.record(&run(B), &entries(redo)).unwrap();
    let state = last(&history, "1").unwrap();
    assert_eq!((state.outcome, state.run, state.tokens), (Outcome::Interrupted, run(B), 2400 + 1200));
    assert!(state.output.is_some());
}

#[test]
fn a_live_run_is_believed_although_the_clock_went_back() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &later(sample_run(A, 2), 3_600_000)).unwrap();
    history.record(&run(B), &sample_run(B, 2)).unwrap();
    assert_eq!(last(&history, "2").unwrap().run, run(B));
}

#[test]
fn a_killed_run_is_believed_of_what_it_claimed_although_the_clock_went_back() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &later(sample_run(A, 2), 3_600_000)).unwrap();
    let end = [started(B, 1), planned("2", PlanAction::Run), attempt("2", 1), ended("2", Outcome::Approved)];
    let (_, lock) = write_run(&state, B, &entries(end));
    history.claim(&run(B), 1, &lld(), &ids(&["2"])).unwrap();
    drop(lock);
    history.catch_up().unwrap();
    assert_eq!(last(&history, "2").unwrap().run, run(B));
    // What it did not claim was brought there by a later run, whatever the clock says.
    assert_eq!(last(&history, "1").unwrap().run, run(A));
}

#[test]
fn the_log_of_a_lost_database_is_not_taken_for_that_of_a_new_one() {
    let (_dir, state) = state();
    let mut lost = History::open(&state).unwrap();
    lost.record(&run(A), &sample_run(A, 50)).unwrap();
    assert!(state.path().join("history.db-wal").exists());
    fs::remove_file(state.history_db()).unwrap();
    // No journal knows of what only the lost database had.
    assert_eq!(dump(&History::open(&state).unwrap()), [""; 0]);
    drop(lost);
    assert_eq!(dump(&History::open(&state).unwrap()), [""; 0]);
}

#[test]
fn an_item_is_held_by_one_live_run() {
    let (_dir, state) = state();
    let (_, lock) = write_run(&state, A, &[]);
    let (_, _lock_b) = write_run(&state, B, &[]);
    let mut first = History::open(&state).unwrap();
    let mut second = History::open(&state).unwrap();
    let free = Claim { held: None, last: None };
    let held = |run_id: &str| Claim { held: Some(Holder { run: run(run_id), pid: 11 }), last: None };
    assert_eq!(first.claim(&run(A), 11, &lld(), &ids(&["1", "2"])).unwrap(), [free.clone(), free.clone()]);
    assert_eq!(second.claim(&run(B), 22, &lld(), &ids(&["2", "3"])).unwrap(), [held(A), free.clone()]);
    // The same id of other work is another item.
    let mock = Work::workflow(Realm::Mock, "lld");
    assert_eq!(second.claim(&run(C), 33, &mock, &ids(&["2"])).unwrap()[0], free);
    // What is given back or ended can be had.
    first.release(&run(A), &lld(), &ids(&["1"])).unwrap();
    assert_eq!(second.claim(&run(B), 22, &lld(), &ids(&["1", "2"])).unwrap(), [free.clone(), held(A)]);
    first
        .record(
            &run(A),
            &entries([started(A, 2), planned("2", PlanAction::Run), ended("2", Outcome::Failed)]),
        )
        .unwrap();
    let claim = second.claim(&run(B), 22, &lld(), &ids(&["2"])).unwrap().remove(0);
    assert_eq!(claim.held, None);
    assert_eq!(claim.last.unwrap().outcome, Outcome::Failed);
    drop(lock);
}

#[test]
fn the_claims_of_a_dead_run_are_taken_over_with_what_its_journal_says() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    let records = [
        started(A, 3),
        planned("1", PlanAction::Run),
        planned("2", PlanAction::Run),
        planned("3", PlanAction::Run),
        attempt("1", 1),
        attempt("2", 1),
        returned("2", 1, 1, "ok"),
        attempt_ended("1", 1, 0),
        ended("1", Outcome::Approved),
    ];
    let (_, lock) = write_run(&state, A, &entries(records));
    history.claim(&run(A), 11, &lld(), &ids(&["1", "2", "3"])).unwrap();
    // Killed before the index heard of anything but the claims.
    drop(lock);
    let (_, _lock) = write_run(&state, B, &[]);
    let claims = history.claim(&run(B), 22, &lld(), &ids(&["1", "2", "3"])).unwrap();
    assert!(claims.iter().all(|claim| claim.held.is_none()));
    let outcomes: Vec<_> = claims.iter().map(|claim| claim.last.as_ref().map(|last| last.outcome)).collect();
    assert_eq!(outcomes, [Some(Outcome::Approved), Some(Outcome::Interrupted), None]);
    assert_eq!(claims[1].last.as_ref().unwrap().tokens, 1200);
    // Once is enough.
    let before = dump(&history);
    history.catch_up().unwrap();
    assert_eq!(dump(&history), before);
}

#[test]
fn claims_of_a_run_whose_directory_is_gone_are_void() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.claim(&run(A), 11, &lld(), &ids(&["1"])).unwrap();
    assert_eq!(history.claim(&run(B), 22, &lld(), &ids(&["1"])).unwrap(), [Claim { held: None, last: None }]);
}

#[test]
fn claims_of_a_live_run_outlast_the_loss_of_the_index() {
    let (_dir, state) = state();
    let records = [
        started(A, 3),
        planned("1", PlanAction::Run),
        planned("2", PlanAction::Run),
        planned("3", PlanAction::Skip),
        attempt("1", 1),
        ended("1", Outcome::Approved),
    ];
    let (_, _lock) = write_run(&state, A, &entries(records));
    let mut history = History::open(&state).unwrap();
    let claims = history.claim(&run(B), 22, &lld(), &ids(&["1", "2", "3"])).unwrap();
    let held: Vec<_> = claims.iter().map(|claim| claim.held.as_ref().map(|holder| holder.pid)).collect();
    assert_eq!(held, [None, Some(4242), None]);
}

#[test]
fn two_claimants_at_once_share_nothing() {
    let (_dir, state) = state();
    let names: Vec<ItemId> = (0..500).map(|n| id(&n.to_string())).collect();
    let locks = [A, B].map(|name| write_run(&state, name, &[]));
    let claimed = [A, B].map(|name| {
        let (state, names) = (state.clone(), names.clone());
        std::thread::spawn(move || {
            let mut history = History::open(&state).unwrap();
            let mut got = Vec::new();
            // Small portions, so that the two meet often.
            for portion in names.chunks(10) {
                let claims = history.claim(&run(name), 1, &lld(), portion).unwrap();
                got.extend(
                    portion.iter().zip(&claims).filter(|(_, c)| c.held.is_none()).map(|(id, _)| id.clone()),
                );
            }
            got
        })
    });
    let claimed = claimed.map(|thread| thread.join().unwrap());
    let mut all: Vec<ItemId> = claimed.concat();
    all.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(all, expected, "each item went to exactly one");
    drop(locks);
}

#[test]
fn a_missing_index_is_made_again_from_the_journals() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    drop(write_run(&state, A, &sample_run(A, 5)));
    history.record(&run(A), &sample_run(A, 5)).unwrap();
    let again = later(sample_run(B, 3), 10_000);
    drop(write_run(&state, B, &again));
    history.record(&run(B), &again).unwrap();
    let before = dump(&history);
    assert_eq!(before.len(), 2 + 8 + 5);
    drop(history);
    fs::remove_file(state.history_db()).unwrap();
    assert_eq!(dump(&History::peek(&state).unwrap()), before);
    assert!(!state.history_db().exists(), "looking makes nothing");
    assert_eq!(dump(&History::open(&state).unwrap()), before);
    fs::write(state.history_db(), "").unwrap();
    assert_eq!(dump(&History::open(&state).unwrap()), before);
    assert_eq!(dump(&History::rebuild(&state).unwrap()), before);
    let names: Vec<_> = fs::read_dir(state.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with(".wf-tmp-")), "{names:?}");
}

#[test]
fn looking_sees_what_a_killed_run_left_and_changes_nothing() {
    let (_dir, state) = state();
    drop(History::open(&state).unwrap());
    drop(write_run(&state, A, &entries([started(A, 1), planned("1", PlanAction::Run), attempt("1", 1)])));
    let listing = || {
        let mut names: Vec<_> = fs::read_dir(state.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        (names, fs::read(state.history_db()).unwrap())
    };
    let before = listing();
    let seen = History::peek(&state).unwrap();
    assert_eq!(last(&seen, "1").unwrap().outcome, Outcome::Interrupted);
    assert_eq!(listing(), before);
    // Also while another process has it open.
    let mut open = History::open(&state).unwrap();
    open.set_pool_state("gemini-a", &serde_json::json!({"until": 5})).unwrap();
    let seen = History::peek(&state).unwrap();
    assert_eq!(seen.pool_state("gemini-a").unwrap(), super::PoolState::Kept(serde_json::json!({"until": 5})));
    assert_eq!(seen.pool_state("gemini-b").unwrap(), super::PoolState::Absent);
}

#[test]
fn a_damaged_newer_or_foreign_database_is_an_error_and_stays_as_it_is() {
    let (_dir, state) = state();
    let path = state.history_db();
    let refused = |what: &str| {
        let before = fs::read(&path).unwrap();
        for result in [History::open(&state), History::peek(&state)] {
            let error = result.unwrap_err();
            assert_eq!(error.exit_code(), 125);
            assert!(error.to_string().contains("history.db"), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    fs::write(&path, "this is no database at all, but long enough to be read as a header. ".repeat(4))
        .unwrap();
    refused("damaged");
    fs::remove_file(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE cookies (a); PRAGMA user_version = 3").unwrap();
    drop(connection);
    refused("another program");
    fs::remove_file(&path).unwrap();
    drop(History::open(&state).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 2").unwrap();
    drop(connection);
    refused("newer wf-supervisor (schema 2");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(History::open(&state).unwrap_err().exit_code(), 125);
}

#[test]
fn a_database_cut_in_its_middle_is_damaged() {
    let (_dir, state) = state();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &sample_run(A, 200)).unwrap();
    drop(history);
    let whole = fs::read(state.history_db()).unwrap();
    for kept in [50, 1000, whole.len() / 2] {
        fs::write(state.history_db(), &whole[..kept]).unwrap();
        let mut items = Vec::new();
        items.extend((1..=200).map(|n| id(&n.to_string())));
        let result = History::open(&state).and_then(|mut history| history.claim(&run(B), 1, &lld(), &items));
        assert!(matches!(result, Err(StoreError::Corrupt { .. })), "{kept}: {result:?}");
    }
}

#[test]
fn the_writer_keeps_the_index_up_and_waits_at_the_end() {
    let (_dir, state) = state();
    let (run_dir, _lock) = write_run(&state, B, &[]);
    fs::remove_file(run_dir.journal()).unwrap();
    let mut journal = Journal::create(&run_dir).unwrap();
    let history = History::open(&state).unwrap();
    let failed = |e: &StoreError| panic!("{e}");
    let writer = HistoryWriter::start(history, run(B), journal.sync_handle().unwrap(), failed).unwrap();
    for entry in sample_run(B, 50) {
        journal.append(std::slice::from_ref(&entry.record), entry.at).unwrap();
        writer.send(&[entry.record], entry.at);
    }
    let history = writer.finish().unwrap();
    assert_eq!(dump(&history).len(), 1 + 50 + 50);
    let kept = dump(&history);
    drop(history);
    assert_eq!(dump(&History::rebuild(&state).unwrap()), kept);
}

#[test]
fn a_writer_that_cannot_keep_up_reads_the_journal_at_the_end() {
    let (_dir, state) = state();
    let all = sample_run(B, 1000);
    let history = History::open(&state).unwrap();
    let (run_dir, _lock) = write_run(&state, B, &all);
    // Another process has the database for itself meanwhile.
    let blocker = Connection::open(state.history_db()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::rename(run_dir.journal(), run_dir.path().join("written")).unwrap();
    let journal = Journal::create(&run_dir).unwrap();
    fs::rename(run_dir.path().join("written"), run_dir.journal()).unwrap();
    let failed = |e: &StoreError| panic!("{e}");
    let writer = HistoryWriter::start(history, run(B), journal.sync_handle().unwrap(), failed).unwrap();
    let (first, rest) = all.split_at(1);
    writer.send(std::slice::from_ref(&first[0].record), first[0].at);
    // From then on the thread waits for the other process.
    while writer.has_waiting() {
        std::thread::yield_now();
    }
    for entry in rest {
        writer.send(std::slice::from_ref(&entry.record), entry.at);
    }
    assert!(writer.is_behind(), "the queue holds less than {} records", all.len());
    blocker.execute_batch("COMMIT").unwrap();
    let kept = dump(&writer.finish().unwrap());
    assert_eq!(kept.len(), 1 + 1000 + 1000);
    drop(blocker);
    assert_eq!(dump(&History::rebuild(&state).unwrap()), kept);
}

#[test]
fn a_failure_of_the_writer_is_told_at_once_and_at_the_end() {
    let (_dir, state) = state();
    let (run_dir, _lock) = write_run(&state, B, &[]);
    fs::remove_file(run_dir.journal()).unwrap();
    let journal = Journal::create(&run_dir).unwrap();
    let history = History::open(&state).unwrap();
    history.connection.execute_batch("DROP TABLE run_items").unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let failed = move |e: &StoreError| tell.send(e.to_string()).unwrap();
    let writer = HistoryWriter::start(history, run(B), journal.sync_handle().unwrap(), failed).unwrap();
    for entry in sample_run(B, 1) {
        writer.send(&[entry.record], entry.at);
    }
    let words = told.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert!(words.contains("history.db"), "{words}");
    assert_eq!(writer.finish().unwrap_err().to_string(), words);
}

#[test]
fn the_state_directory_may_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a ?#%b;'c\u{e4}");
    fs::create_dir(&odd).unwrap();
    let state = StateDir::locate(None, None, &odd).create().unwrap();
    let mut history = History::open(&state).unwrap();
    history.record(&run(A), &sample_run(A, 1)).unwrap();
    drop(history);
    assert!(last(&History::peek(&state).unwrap(), "1").is_some());
    symlink(&odd, dir.path().join("link")).unwrap();
    let state = StateDir::locate(None, None, &dir.path().join("link")).create().unwrap();
    assert!(last(&History::peek(&state).unwrap(), "1").is_some());
}

/// Not an assertion of time: `cargo test -- --ignored --nocapture` shows what 100,000 claims cost.
#[test]
#[ignore = "a measurement"]
fn many_claims() {
    let (_dir, state) = state();
    let items: Vec<ItemId> = (0..100_000).map(|n| id(&format!("item-{n}"))).collect();
    let mut history = History::open(&state).unwrap();
    let (_, lock) = write_run(&state, A, &[]);
    let begun = Instant::now();
    history.claim(&run(A), 1, &lld(), &items).unwrap();
    println!("first claim: {:?}", begun.elapsed());
    let begun = Instant::now();
    let records = items.iter().flat_map(|item| {
        let name = item.as_str();
        [planned(name, PlanAction::Run), attempt(name, 1), ended(name, Outcome::Succeeded)]
    });
    history.record(&run(A), &entries(std::iter::once(started(A, 100_000)).chain(records))).unwrap();
    println!("300,000 records: {:?}", begun.elapsed());
    drop(lock);
    let (_, _lock) = write_run(&state, B, &[]);
    let begun = Instant::now();
    history.claim(&run(B), 1, &lld(), &items).unwrap();
    println!("claim with facts: {:?}", begun.elapsed());
}

/// What may happen to one of three items in a made-up run.
fn steps() -> impl Strategy<Value = Vec<Record>> {
    let item = prop_oneof![Just("1"), Just("2"), Just("3")];
    let outcome = prop_oneof![
        Just(Outcome::Approved),
        Just(Outcome::Failed),
        Just(Outcome::Interrupted),
        Just(Outcome::Skipped),
        Just(Outcome::NotStarted),
    ];
    let step = (item, outcome, 0..5_u8).prop_map(|(item, outcome, kind)| match kind {
        0 => planned(item, PlanAction::Run),
        1 => attempt(item, 1),
        2 => returned(item, 1, 1, "ok"),
        3 => attempt_ended(item, 1, 0),
        _ => ended(item, outcome),
    });
    proptest::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the runs did, and wherever each was killed: the index kept while they ran (as far as it got), then
    /// caught up, says the same as one made from the journals alone.
    #[test]
    fn caught_up_or_made_again_it_is_the_same(
        runs in proptest::collection::vec((steps(), any::<bool>(), 0..14_usize), 1..4)
    ) {
        let (_dir, state) = state();
        let mut history = History::open(&state).unwrap();
        for (number, (steps, finished, heard)) in runs.into_iter().enumerate() {
            let name = [A, B, C][number];
            let mut records = vec![started(name, 3)];
            records.extend(steps);
            if finished {
                records.push(run_ended(0, Counts::default()));
            }
            let all = later(entries(records), i64::try_from(number).unwrap() * 1000);
            let (_, lock) = write_run(&state, name, &all);
            history.claim(&run(name), 1, &lld(), &ids(&["1", "2", "3"])).unwrap();
            let heard = if finished { all.len() } else { heard.min(all.len()) };
            for part in all[..heard].chunks(3) {
                history.record(&run(name), part).unwrap();
            }
            drop(lock);
        }
        history.catch_up().unwrap();
        prop_assert_eq!(claims(&history), 0);
        let kept = dump(&history);
        // The pid comes with a claim, and else with the first line.
        let kept: Vec<_> = kept.iter().map(|line| line.replace("Integer(4242)", "Integer(1)")).collect();
        drop(history);
        rebuild::rebuild_file(&state).unwrap();
        let again = dump(&History::open(&state).unwrap());
        let again: Vec<_> = again.iter().map(|line| line.replace("Integer(4242)", "Integer(1)")).collect();
        prop_assert_eq!(again, kept);
    }
}
