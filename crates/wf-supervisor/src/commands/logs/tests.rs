//! Finding, copying and following logs.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use wf_core::{Outcome, PlanAction};

use super::*;
use crate::store::journal_reader::Entry;
use crate::store::testing::attempt_ended;
use crate::store::testing::{at, attempt, ended, journal_of, planned, started, state, write_run};

const OLD: &str = "2026-11-21T05-14-49Z-0001";
const NEW: &str = "2026-11-21T05-14-50Z-0002";

fn begun(run: &str) -> Vec<Entry> {
    let records =
        [started(run, 2), planned("1", PlanAction::Run), planned("2", PlanAction::Run), attempt("1", 1)];
    records.into_iter().map(|record| Entry { at: at(0), record }).collect()
}

fn options(item: &str, run: Option<&str>, follow: bool) -> LogsOptions {
    LogsOptions {
        item: Some(item.into()),
        run: run.map(Into::into),
        attempt: None,
        follow,
        terminal: None,
        now: at(0),
        time_zone: TimeZone::UTC,
    }
}

fn shown(state: &StateDir, options: &LogsOptions) -> Result<String, StoreError> {
    let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
    let mut out = Vec::new();
    logs(&location, options, &mut |_| panic!("nothing to wait for"), &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn the_newest_log_of_an_item_is_found_by_id_and_by_label() {
    let (_dir, state) = state();
    let (old, lock) = write_run(&state, OLD, &begun(OLD));
    drop(lock);
    let (_new, lock) = write_run(&state, NEW, &begun(NEW));
    drop(lock);
    fs::write(old.log("LLD-1"), b"first attempt\nsecond attempt\xff\n").unwrap();
    for name in ["1", "LLD-1"] {
        assert_eq!(
            shown(&state, &options(name, None, false)).unwrap(),
            "first attempt\nsecond attempt\u{fffd}\n"
        );
        assert!(shown(&state, &options(name, Some("0001"), true)).unwrap().starts_with("first"));
        let error = shown(&state, &options(name, Some("0002"), true)).unwrap_err();
        assert!(matches!(error, StoreError::UnknownItem { .. }));
        assert_eq!(error.exit_code(), 2);
    }
    for unknown in ["3", "../journal", "", "IMPL-1"] {
        let error = shown(&state, &options(unknown, None, false)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
    assert_eq!(shown(&state, &options("1", Some("9999"), false)).unwrap_err().exit_code(), 2);
}

/// What happens while somebody follows item 2, step by step; `None` once following has ended.
fn followed(steps: &mut Vec<Box<dyn FnMut()>>, state: &StateDir) -> String {
    let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
    let mut out = Vec::new();
    steps.reverse();
    let mut pause = |_| (steps.pop().expect("the end was not noticed"))();
    logs(&location, &options("LLD-2", None, true), &mut pause, &mut out).unwrap();
    assert!(steps.is_empty(), "it ended too early");
    String::from_utf8(out).unwrap()
}

fn append(path: PathBuf, text: impl Into<Vec<u8>>) -> Box<dyn FnMut()> {
    let text = text.into();
    Box::new(move || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(&text).unwrap();
    })
}

#[test]
fn following_ends_with_the_item_and_has_all_of_it() {
    let (_dir, state) = state();
    let (run, _lock) = write_run(&state, NEW, &begun(NEW));
    let (log, journal) = (run.log("LLD-2"), run.journal());
    let line = |record| journal_of(&[Entry { at: at(0), record }]);
    let end = line(ended("2", Outcome::Approved));
    let mut steps: Vec<Box<dyn FnMut()>> = vec![
        append(log.clone(), "one\n"),
        append(journal.clone(), line(ended("1", Outcome::Failed))),
        append(log.clone(), "tw"),
        append(journal.clone(), &end[..20]),
        append(log, "o\n"),
        append(journal, &end[20..]),
    ];
    assert_eq!(followed(&mut steps, &state), "one\ntwo\n");
}

#[test]
fn following_ends_when_the_run_dies() {
    let (_dir, state) = state();
    let (run, lock) = write_run(&state, NEW, &begun(NEW));
    let mut lock = Some(lock);
    let mut steps: Vec<Box<dyn FnMut()>> =
        vec![append(run.log("LLD-2"), "one\n"), Box::new(move || drop(lock.take()))];
    assert_eq!(followed(&mut steps, &state), "one\n");
}

/// A run of item 1, with three attempts, of which the second wrote nothing, and of item 2.
fn tried(state: &StateDir) -> (crate::store::run_dir::RunDir, crate::store::lock::HeldLock) {
    let mut entries = begun(NEW);
    let ended_at = |number, bytes| {
        let mut record = attempt_ended("1", number, 1);
        if let Record::AttemptEnded { log_bytes, .. } = &mut record {
            *log_bytes = Some(bytes);
        }
        record
    };
    let more = [ended_at(1, 3), attempt("1", 2), ended_at(2, 3), attempt("1", 3), ended_at(3, 8)];
    entries.extend((1..).zip(more).map(|(n, record)| Entry { at: at(1000 * n), record }));
    entries.push(Entry { at: at(9_000), record: ended("1", Outcome::Failed) });
    let (run, lock) = write_run(state, NEW, &entries);
    fs::write(run.log("LLD-1"), b"one\x1b[2JX").unwrap();
    (run, lock)
}

#[test]
fn attempts_are_shown_apart_or_alone() {
    let (_dir, state) = state();
    let (_run, _lock) = tried(&state);
    let apart = "--- attempt 1, 05:14:49 ---\none\n--- attempt 2, 05:14:51 ---\n--- attempt 3, 05:14:53 ---\n\x1b[2JX";
    assert_eq!(shown_all(&state, &options("1", None, false)), apart);
    let alone = |number| {
        let options = LogsOptions { attempt: Some(number), ..options("1", None, false) };
        shown_all(&state, &options)
    };
    assert_eq!((alone(1), alone(2), alone(3)), ("one".into(), String::new(), "\x1b[2JX".into()));
    let none = LogsOptions { attempt: Some(4), ..options("1", None, false) };
    let error = shown(&state, &none).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("attempt 4"), "{error}");
}

#[test]
fn a_terminal_obeys_nothing_of_it() {
    let (_dir, state) = state();
    let (_run, _lock) = tried(&state);
    let on_terminal = LogsOptions { terminal: Some(true), attempt: Some(3), ..options("1", None, false) };
    assert_eq!(shown_all(&state, &on_terminal), "X\n");
}

#[test]
fn all_that_failed_are_shown_under_their_names() {
    let (_dir, state) = state();
    let (run, _lock) = tried(&state);
    let all = LogsOptions { item: None, ..options("", None, false) };
    let text = shown_all(&state, &all);
    assert!(text.starts_with("=== LLD-1 failed: exit code 1 ===\n--- attempt 1, "), "{text}");
    fs::remove_file(run.journal()).unwrap();
    fs::write(run.journal(), journal_of(&begun(NEW))).unwrap();
    assert_eq!(shown_all(&state, &all), format!("no item failed in run {NEW}\n"));
}

fn shown_all(state: &StateDir, options: &LogsOptions) -> String {
    shown(state, options).unwrap()
}

#[test]
fn an_item_is_found_by_its_position_a_part_of_its_name_or_its_hash() {
    let (_dir, state) = state();
    let names = ["fix-the-login-c674fb76ea", "fix-the-bug-cb45f6c3d1", "other"];
    let mut records = vec![started(NEW, 3)];
    records.extend(names.map(|name| planned(name, PlanAction::Run)));
    let entries: Vec<Entry> = records.into_iter().map(|record| Entry { at: at(0), record }).collect();
    let (run, _lock) = write_run(&state, NEW, &entries);
    for name in names {
        fs::write(run.log(&format!("LLD-{name}")), name).unwrap();
    }
    let found = |name: &str| shown(&state, &options(name, None, false));
    for name in
        ["#2", "2 fix-the-bug…", "[2 LLD-fix-the-…]", "fix-the-b", "LLD-fix-the-bug", "cb45f6c3d1", "cb45f6"]
    {
        assert_eq!(found(name).unwrap(), "fix-the-bug-cb45f6c3d1", "{name}");
    }
    let several = found("fix-the").unwrap_err();
    assert_eq!(several.exit_code(), 2);
    assert!(
        several.to_string().contains("LLD-fix-the-login-c674fb76ea, LLD-fix-the-bug-cb45f6c3d1"),
        "{several}"
    );
    let nobody = found("fix-teh-bug").unwrap_err();
    assert!(nobody.to_string().contains("did you mean LLD-fix-the-bug-cb45f6c3d1"), "{nobody}");
    for unknown in ["#0", "#4", "#x", "zzz"] {
        assert_eq!(found(unknown).unwrap_err().exit_code(), 2, "{unknown}");
    }
}
