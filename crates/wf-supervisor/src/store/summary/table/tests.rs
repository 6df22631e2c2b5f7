//! The table of runs short and long, live and over.

use wf_core::{PlanAction, Record};

use super::super::super::testing::{at, attempt, attempt_ended, ended, id, planned, sample_run, started};
use super::*;

const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

fn table(summary: &RunSummary, color: bool) -> String {
    page(summary, color, None, Rows::Telling)
}

fn page(summary: &RunSummary, color: bool, width: Option<usize>, rows: Rows) -> String {
    let mut out = Vec::new();
    let (run_dir, zone) = (Path::new(".wf/runs/latest"), &TimeZone::UTC);
    let now = at(25_000);
    let page = Page { run_dir, color, zone, now, width, rows, names_run: false };
    write_summary(&mut out, summary, &page).unwrap();
    String::from_utf8(out).unwrap()
}

fn folded(records: impl IntoIterator<Item = Record>) -> RunSummary {
    let mut summary = RunSummary::default();
    for record in records {
        summary.fold(&record, at(0));
    }
    summary
}

fn sample() -> RunSummary {
    let mut entries = sample_run(RUN, 2);
    let end = entries.pop().unwrap().record;
    let mut records: Vec<Record> = entries.into_iter().map(|entry| entry.record).collect();
    records.push(Record::ItemEnded {
        item: id("a-long-name"),
        outcome: Outcome::Skipped,
        attempts: 0,
        wall_ms: 0,
        waited_ms: 0,
        calls: 0,
        retries: 0,
        tokens_in: 0,
        tokens_out: 0,
        detail: "done in run 7f3a".into(),
        output: None,
    });
    let mut failed = ended("44", Outcome::NeedsRevision);
    if let Record::ItemEnded { detail, wall_ms, tokens_in, .. } = &mut failed {
        *detail = "a person must decide:\nwhich \x1b[31mcolour?".into();
        (*wall_ms, *tokens_in) = (3_725_000, 1_234_567);
    }
    records.push(failed);
    records.push(end);
    let mut summary = folded(records);
    summary.counts.skipped = 1;
    summary.counts.needs_revision = 1;
    summary
}

#[test]
fn every_item_is_named_with_what_became_of_it() {
    insta::assert_snapshot!(table(&sample(), false), @r"
    item             outcome            wall  calls     tokens  retries
    LLD-1            approved           2.5s      2      2,400        1
    LLD-2            failed             2.5s      2      2,400        1  exit code 1
    LLD-a-long-name  skipped               -      -          -        -  done in run 7f3a
    LLD-44           needs-revision    1h02m      2  1,234,967        1  a person must decide: which  [31mcolour?

    key       group  calls  tokens in  tokens out  refused  limited  of quota
    gemini-a  -          4      4,000         800        2        ?         -

    4 items: 1 approved, 1 skipped, 1 needs revision, 1 failed, in 3.0s with 3 workers
    6 calls (3 repeated), 1,238,567 tokens in, 1,200 out
    time saved against sequential: 1.2s; waiting for quota: 800ms; coordination overhead: 0.02 %
    run the same command again to try again: 1 failed
    1 item needs revision: --redo goes on with what they have
    to see more: wf-supervisor logs LLD-2
    journal and logs in .wf/runs/latest
    ");
}

#[test]
fn a_live_run_shows_what_runs_and_what_waits() {
    let mut records = vec![started(RUN, 3)];
    records.extend(["1", "2", "3"].map(|name| planned(name, PlanAction::Run)));
    records.extend([attempt("1", 1), ended("1", Outcome::Approved), attempt("2", 1)]);
    records.push(Record::Progress {
        item: id("2"),
        attempt: 1,
        node: "N3_review".into(),
        iteration: 2,
        share: 400,
    });
    insta::assert_snapshot!(table(&folded(records), false), @r"
    item   outcome      wall  calls  tokens  retries
    LLD-1  approved     2.5s      2   2,400        1
    LLD-2  running       0ms      0       0        0  N3_review (iteration 2); running for 25s, no output yet
    LLD-3  queued          -      -       -        -

    3 items: 1 approved, 1 running, 1 queued, in 0ms with 3 workers
    2 calls (1 repeated), 2,000 tokens in, 400 out
    journal and logs in .wf/runs/latest
    ");
}

fn long(items: u32, outcome: impl Fn(u32) -> Outcome) -> RunSummary {
    let mut records = vec![started(RUN, items)];
    for n in 1..=items {
        let (name, outcome) = (n.to_string(), outcome(n));
        records.push(planned(&name, PlanAction::Run));
        if outcome != Outcome::Skipped {
            records.push(attempt(&name, 1));
        }
        records.push(ended(&name, outcome));
        if let (
            Some(Record::ItemEnded { attempts, calls, retries, tokens_in, tokens_out, .. }),
            Outcome::Skipped,
        ) = (records.last_mut(), outcome)
        {
            (*attempts, *calls, *retries, *tokens_in, *tokens_out) = (0, 0, 0, 0, 0);
        }
    }
    folded(records)
}

#[test]
fn a_long_run_shows_what_is_wrong_and_counts_the_rest() {
    let some_fail = |n| if n % 40 == 3 { Outcome::Failed } else { Outcome::Succeeded };
    let run = long(120, some_fail);
    insta::assert_snapshot!(table(&run, false), @r"
    item    outcome     wall  calls  tokens  retries
    LLD-3   failed      2.5s      2   2,400        1  exit code 1
    LLD-43  failed      2.5s      2   2,400        1  exit code 1
    LLD-83  failed      2.5s      2   2,400        1  exit code 1
    and 117 succeeded (`wf-supervisor show --all` has a line for each)

    120 items: 117 succeeded, 3 failed, in 0ms with 3 workers
    240 calls (120 repeated), 240,000 tokens in, 48,000 out
    3 failed: 3 × exit code 1
    journal and logs in .wf/runs/latest
    ");
    let all = page(&run, false, None, Rows::All);
    let lines: Vec<&str> = all.lines().collect();
    assert!((1..=120).all(|n| lines.iter().any(|line| line.starts_with(&format!("LLD-{n} ")))));
    assert!(lines[118..121].iter().all(|line| line.contains("failed")), "last: {all}");
    let many = table(&long(5_000, |_| Outcome::Failed), false);
    assert_eq!(
        many.lines().filter(|line| line.contains("exit code 1") && line.starts_with("LLD-")).count(),
        MOST_ROWS
    );
    let quiet = page(&long(5_000, |_| Outcome::Failed), false, None, Rows::Wrong);
    assert!(quiet.contains("\nand 4,800 failed (`"), "{quiet}");
    assert!(many.contains("\nand 4,800 failed (`wf-supervisor show --all` has a line for each)\n"), "{many}");
}

#[test]
fn the_same_command_again_over_thousands_of_done_items_is_told_in_a_line() {
    let run = long(5_000, |_| Outcome::Skipped);
    insta::assert_snapshot!(table(&run, false), @r"
    5,000 items: 5,000 skipped, in 0ms with 3 workers
    journal and logs in .wf/runs/latest
    ");
    assert_eq!(page(&run, false, None, Rows::Wrong), table(&run, false));
    let one_more = long(5_000, |n| if n == 7 { Outcome::Succeeded } else { Outcome::Skipped });
    insta::assert_snapshot!(table(&one_more, false), @r"
    item   outcome       wall  calls  tokens  retries
    LLD-7  succeeded     2.5s      2   2,400        1
    and 4,999 skipped (`wf-supervisor show --all` has a line for each)

    5,000 items: 1 succeeded, 4,999 skipped, in 0ms with 3 workers
    2 calls (1 repeated), 2,000 tokens in, 400 out
    journal and logs in .wf/runs/latest
    ");
}

#[test]
fn quiet_shows_what_is_wrong_and_a_clean_run_in_two_lines() {
    let clean = page(&long(3, |_| Outcome::Succeeded), false, None, Rows::Wrong);
    assert_eq!(clean, "3 items: 3 succeeded, in 0ms with 3 workers\njournal and logs in .wf/runs/latest\n");
    let wrong = page(
        &long(3, |n| if n == 2 { Outcome::Failed } else { Outcome::Succeeded }),
        false,
        None,
        Rows::Wrong,
    );
    insta::assert_snapshot!(wrong, @r"
    item   outcome     wall  calls  tokens  retries
    LLD-2  failed      2.5s      2   2,400        1  exit code 1

    3 items: 2 succeeded, 1 failed, in 0ms with 3 workers
    journal and logs in .wf/runs/latest
    ");
}

#[test]
fn long_names_are_shortened_and_lines_fit_the_terminal() {
    let names = ["fix-the-bug-number-16-in-file-src-m16-rs-fa72dc5591", "b"];
    let mut records = vec![started(RUN, 2)];
    for name in names {
        records.push(attempt(name, 1));
        let mut end = ended(name, Outcome::Failed);
        if let Record::ItemEnded { detail, .. } = &mut end {
            *detail = "a reason ".repeat(30);
        }
        records.push(end);
    }
    let text = page(&folded(records), false, Some(100), Rows::Telling);
    insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"), @r"
    item            outcome     wall  calls  tokens  retries
    1 LLD-fix-the…  failed      2.5s      2   2,400        1  a reason a reason a reason a reason a re…
    LLD-b           failed      2.5s      2   2,400        1  a reason a reason a reason a reason a re…
    ");
    assert!(text.lines().take(3).all(|line| line.width() < 100), "{text}");
}

#[test]
fn tries_are_told_and_who_succeeded_after_a_failure_is_flaky() {
    let mut records = vec![started(RUN, 2)];
    for (name, outcome) in [("1", Outcome::Succeeded), ("2", Outcome::Failed)] {
        for n in 1..=3 {
            records.extend([attempt(name, n), attempt_ended(name, n, 1)]);
        }
        let mut end = ended(name, outcome);
        if let Record::ItemEnded { attempts, wall_ms, .. } = &mut end {
            (*attempts, *wall_ms) = (3, 7_500);
        }
        records.push(end);
    }
    insta::assert_snapshot!(table(&folded(records), false), @r"
    item   outcome       wall  tries  calls  tokens  retries
    LLD-1  succeeded     7.5s      3      2   2,400        1  FLAKY: 3 tries, the last took 2.5s
    LLD-2  failed        7.5s      3      2   2,400        1  3 tries, the last took 2.5s; exit code 1

    2 items: 1 succeeded, 1 failed (1 flaky), in 0ms with 3 workers
    4 calls (2 repeated), 4,000 tokens in, 800 out
    time saved against sequential: 15.0s
    journal and logs in .wf/runs/latest
    ");
}

#[test]
fn what_waits_says_until_when() {
    let mut run = folded([started(RUN, 1), attempt("1", 1)]);
    let board = |until, reason: &str| super::super::super::board::PoolBoard {
        at: at(0),
        mock: false,
        condition: "limited".into(),
        until,
        workers: 1,
        keys: Vec::new(),
        paused: vec![super::super::super::board::PausedItem { item: id("1"), reason: reason.into(), until }],
    };
    let mut told = |until, reason: &str| {
        run.see_pool(board(until, reason));
        table(&run, false)
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .skip(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(told(Some(at(28_000)), "its turn comes soon"), "waits for quota until 05:15:17 (in 3s)");
    assert_eq!(
        told(Some(at(87_721_000)), "rate-limited"),
        "waits for quota until tomorrow 05:36 (in 24h21m)"
    );
    assert_eq!(told(None, "all keys are reserved"), "waits for quota (all keys are reserved)");
}

#[test]
fn colours_change_nothing_but_colours() {
    let colored = table(&sample(), true);
    assert!(colored.contains("\x1b[31mfailed\x1b[0m"));
    let mut plain = colored;
    for style in ["\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        plain = plain.replace(style, "");
    }
    assert_eq!(plain, table(&sample(), false));
}

#[test]
fn a_run_of_nothing_has_sums() {
    insta::assert_snapshot!(table(&folded([started(RUN, 0)]), false), @r"
    0 items: nothing done, in 0ms with 3 workers
    journal and logs in .wf/runs/latest
    ");
}
