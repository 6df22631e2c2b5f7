//! Runs made up for tests.

use jiff::{SignedDuration, Timestamp};
use wf_core::{AttemptEnd, Counts, ItemId, Outcome, OutputRef, PlanAction, Record, Slot};

use super::journal::Journal;
use super::journal_reader::Entry;
use super::layout::StateDir;
use super::lock::HeldLock;
use super::run_dir::{RunDir, RunId};

/// So many milliseconds after the beginning of the tests' time, which is 2026-11-21T05:14:49Z.
pub fn at(ms: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T05:14:49Z".parse().unwrap();
    start + SignedDuration::from_millis(ms)
}

pub fn id(text: &str) -> ItemId {
    ItemId::new(text).unwrap()
}

pub fn started(run: &str, items: u32) -> Record {
    Record::RunStarted {
        run: run.into(),
        pid: 4242,
        version: "0.1.0".into(),
        workflow: "lld".into(),
        work: "lld".into(),
        prefix: "LLD-".into(),
        argv: vec!["wf-supervisor".into(), "run".into()],
        parallel: 3,
        items,
        mock: false,
        name: None,
    }
}

pub fn planned(item: &str, action: PlanAction) -> Record {
    Record::ItemPlanned {
        item: id(item),
        action,
        redo: false,
        fingerprint: format!("f-{item}"),
        detail: String::new(),
    }
}

pub fn attempt(item: &str, attempt: u32) -> Record {
    Record::AttemptStarted { item: id(item), attempt, slot: Slot(0) }
}

pub fn returned(item: &str, attempt: u32, lease: u64, outcome: &str) -> Record {
    Record::LeaseReturned {
        item: id(item),
        attempt,
        lease,
        key: "gemini-a".into(),
        outcome: outcome.into(),
        tokens_in: 1000,
        tokens_out: 200,
    }
}

pub fn attempt_ended(item: &str, attempt: u32, code: u8) -> Record {
    Record::AttemptEnded {
        item: id(item),
        attempt,
        end: AttemptEnd::Exited { code },
        verdict: None,
        wall_ms: 2500,
        leftovers: Vec::new(),
        unnamed: 0,
        log_bytes: None,
    }
}

pub fn ended(item: &str, outcome: Outcome) -> Record {
    let is_done = outcome == Outcome::Approved;
    Record::ItemEnded {
        item: id(item),
        outcome,
        attempts: 1,
        wall_ms: 2500,
        waited_ms: 400,
        calls: 2,
        retries: 1,
        tokens_in: 2000,
        tokens_out: 400,
        detail: if outcome.is_failure() { "exit code 1".into() } else { String::new() },
        output: is_done
            .then(|| OutputRef { path: format!("docs/lld/LLD-{item}.md"), sha256: "ab".repeat(32) }),
    }
}

pub fn run_ended(exit: u8, counts: Counts) -> Record {
    Record::RunEnded { exit, counts, wall_ms: 3000, worked_ms: 5000, waited_ms: 800, overhead_us: 1234 }
}

/// A finished run of `items` items, named 1, 2, ...: odd ones approved, even ones failed.
pub fn sample_run(run: &str, items: u32) -> Vec<Entry> {
    let names: Vec<String> = (1..=items).map(|n| n.to_string()).collect();
    let mut records = vec![started(run, items)];
    records.extend(names.iter().map(|name| planned(name, PlanAction::Run)));
    let mut counts = Counts::default();
    for (i, name) in names.iter().enumerate() {
        let outcome = if i % 2 == 0 { Outcome::Approved } else { Outcome::Failed };
        counts.add(outcome);
        let lease = 2 * i as u64;
        records.push(attempt(name, 1));
        records.push(returned(name, 1, lease, "limited"));
        records.push(returned(name, 1, lease + 1, "ok"));
        records.push(attempt_ended(name, 1, u8::from(outcome.is_failure())));
        records.push(ended(name, outcome));
    }
    records.push(run_ended(u8::from(counts.failures() > 0), counts));
    records
        .into_iter()
        .enumerate()
        .map(|(i, record)| Entry { at: at(100 * i64::try_from(i).unwrap()), record })
        .collect()
}

/// The bytes of a journal with these entries.
pub fn journal_of(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let json = serde_json::to_string(&entry.record).unwrap();
        bytes.extend_from_slice(format!("{{\"ts\":\"{:.6}\",{}\n", entry.at, &json[1..]).as_bytes());
    }
    bytes
}

pub fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::locate(None, None, dir.path()).create().unwrap();
    (dir, state)
}

/// Makes the directory of a run with a journal, and leaves it locked while the lock is kept.
pub fn write_run(state: &StateDir, run: &str, entries: &[Entry]) -> (RunDir, HeldLock) {
    let run = state.run(&RunId::parse(run).unwrap());
    std::fs::create_dir(run.path()).unwrap();
    let lock = HeldLock::create(&run.lock()).unwrap();
    let mut journal = Journal::create(&run).unwrap();
    for entry in entries {
        journal.append(std::slice::from_ref(&entry.record), entry.at).unwrap();
    }
    (run, lock)
}
