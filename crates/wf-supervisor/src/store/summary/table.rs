//! The summary as people see it: one line per item, then the sums.
//!
//! The contract is that every item is named, so every item has its line, also in a run of thousands. In a run that does
//! not fit a screen the items that are done come first and those that need somebody come last, next to the sums, where
//! the eye is when the run ends.

use std::io::{self, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use wf_core::{Counts, Outcome};

use super::super::text::{counted, duration_ms, grouped, one_line};
use super::{ItemSummary, RunSummary};

/// From how many items on those that need somebody come last.
const SCREEN: usize = 50;

/// The widest the column of labels gets; a longer label moves its own line only.
const LABEL_WIDTH: usize = 40;

/// How much of a reason a line has room for, in characters.
const DETAIL_CHARS: usize = 200;

/// Writes the table and the sums. `run_dir` is where the logs are, as people should see it.
pub fn write_summary(
    out: &mut dyn Write,
    summary: &RunSummary,
    run_dir: &Path,
    color: bool,
    zone: &TimeZone,
) -> io::Result<()> {
    write_items(out, summary, color, zone)?;
    if !summary.items.is_empty() {
        writeln!(out)?;
    }
    if !summary.keys.is_empty() {
        write_key_use(out, summary)?;
        writeln!(out)?;
    }
    write_sums(out, summary)?;
    writeln!(out, "journal and logs in {}", run_dir.display())
}

/// Each key's calls, tokens, refusals, and what the run made of its quota.
fn write_key_use(out: &mut dyn Write, summary: &RunSummary) -> io::Result<()> {
    let header = ["key", "group", "calls", "tokens in", "tokens out", "refused", "limited", "of quota"];
    let mut lines = vec![header.map(str::to_owned)];
    for key in &summary.keys {
        let group = if key.group.is_empty() || key.group == key.name { "-" } else { &key.group };
        lines.push([
            key.name.clone(),
            group.to_owned(),
            grouped(key.calls),
            grouped(key.tokens_in),
            grouped(key.tokens_out),
            grouped(key.refusals),
            key.limited_ms.map_or_else(|| "?".to_owned(), duration_ms),
            key.share.map_or_else(|| "-".to_owned(), |share| format!("{}.{} %", share / 10, share % 10)),
        ]);
    }
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        // Names to the left, figures to the right.
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

/// `rate-limited until 05:16:10`, of an item whose worker waits.
fn paused_words(summary: &RunSummary, item: &ItemSummary, zone: &TimeZone) -> Option<String> {
    let board = summary.pool.as_ref().filter(|_| item.is_paused)?;
    let paused = board.paused.iter().find(|paused| paused.item == item.id)?;
    let until =
        paused.until.map(|until| until.to_zoned(zone.clone()).strftime(" until %H:%M:%S").to_string());
    Some(format!("{}{}", paused.reason, until.unwrap_or_default()))
}

fn write_items(out: &mut dyn Write, summary: &RunSummary, color: bool, zone: &TimeZone) -> io::Result<()> {
    let items = &summary.items;
    if items.is_empty() {
        return Ok(());
    }
    let label_width =
        items.iter().map(|item| summary.label(item).len()).max().unwrap_or(0).clamp(4, LABEL_WIDTH);
    let token_width = items.iter().map(|item| tokens(item).len()).max().unwrap_or(0).max(6);
    let log_width = (label_width + 4).min(LABEL_WIDTH);
    writeln!(
        out,
        "{:label_width$}  {:14}  {:>7}  {:>5}  {:>token_width$}  {:>7}  log",
        "item", "outcome", "wall", "calls", "tokens", "retries"
    )?;
    let mut line = |item: &ItemSummary| {
        let label = summary.label(item);
        let word = item.word();
        let (begin, end) = if color { (outcome_style(item.outcome), "\x1b[0m") } else { ("", "") };
        let gap = 14_usize.saturating_sub(word.len());
        write!(out, "{label:label_width$}  {begin}{word}{end}{:gap$}  ", "")?;
        let log = if item.attempts > 0 { format!("{label}.log") } else { "-".to_owned() };
        if item.attempts > 0 {
            write!(
                out,
                "{:>7}  {:>5}  {:>token_width$}  {:>7}  ",
                duration_ms(item.wall_ms),
                item.calls,
                tokens(item),
                item.retries
            )?;
        } else {
            write!(out, "{:>7}  {:>5}  {:>token_width$}  {:>7}  ", "-", "-", "-", "-")?;
        }
        let pause = paused_words(summary, item, zone);
        let detail = match &pause {
            Some(pause) => pause,
            None if item.detail.is_empty() => item.node.as_deref().unwrap_or_default(),
            None => &item.detail,
        };
        if detail.is_empty() {
            writeln!(out, "{log}")
        } else {
            writeln!(out, "{log:log_width$}  {}", one_line(detail, DETAIL_CHARS))
        }
    };
    if items.len() <= SCREEN {
        return items.iter().try_for_each(line);
    }
    let is_done = |item: &&ItemSummary| item.outcome.is_some_and(Outcome::is_done);
    items.iter().filter(is_done).try_for_each(&mut line)?;
    items.iter().filter(|item| !is_done(item)).try_for_each(&mut line)
}

fn tokens(item: &ItemSummary) -> String {
    grouped(item.tokens_in.saturating_add(item.tokens_out))
}

fn write_sums(out: &mut dyn Write, summary: &RunSummary) -> io::Result<()> {
    let totals = &summary.totals;
    let parts = open_and_ended(summary);
    let workers = counted(summary.parallel.into(), "worker", "workers");
    writeln!(
        out,
        "{}: {parts}, in {} with {workers}",
        counted(summary.items.len() as u64, "item", "items"),
        duration_ms(totals.wall_ms)
    )?;
    writeln!(
        out,
        "{} ({} repeated), {} tokens in, {} out",
        counted(totals.calls, "call", "calls"),
        grouped(totals.retries),
        grouped(totals.tokens_in),
        grouped(totals.tokens_out)
    )?;
    writeln!(
        out,
        "time saved against sequential: {}; waiting for quota: {}; coordination overhead: {:.2} %",
        duration_ms(summary.saved_ms()),
        duration_ms(summary.waited_ms),
        summary.overhead_percent()
    )
}

/// The counts of a run, with what has not ended: "3 approved, 2 running, 5 queued".
pub fn open_and_ended(summary: &RunSummary) -> String {
    let mut parts = Vec::new();
    if summary.counts.total() > 0 {
        parts.push(counts_words(&summary.counts));
    }
    for (word, words) in
        [("running", "running"), ("paused", "paused"), ("to-retry", "to retry"), ("queued", "queued")]
    {
        let number = summary.items.iter().filter(|item| item.word() == word).count();
        if number > 0 {
            parts.push(format!("{} {words}", grouped(number as u64)));
        }
    }
    if parts.is_empty() { "nothing done".to_owned() } else { parts.join(", ") }
}

/// "7 approved, 1 failed"; "nothing" where nothing is counted.
pub fn counts_words(counts: &Counts) -> String {
    let all = [
        (counts.approved, "approved"),
        (counts.succeeded, "succeeded"),
        (counts.skipped, "skipped"),
        (counts.needs_revision, if counts.needs_revision == 1 { "needs revision" } else { "need revision" }),
        (counts.interrupted, "interrupted"),
        (counts.not_started, "not started"),
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
    ];
    let parts: Vec<String> = all
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", grouped((*n).into())))
        .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// The terminal's colour of an outcome, as an escape sequence: green for done, red for failures, yellow for what the
/// next run goes on with or a person decides.
pub fn outcome_style(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Approved | Outcome::Succeeded) => "\x1b[32m",
        Some(Outcome::Failed | Outcome::TimedOut) => "\x1b[31m",
        Some(Outcome::NeedsRevision | Outcome::Interrupted | Outcome::NotStarted) => "\x1b[33m",
        Some(Outcome::Skipped) => "\x1b[2m",
        None => "\x1b[36m",
    }
}

#[cfg(test)]
mod tests {
    use wf_core::{PlanAction, Record};

    use super::super::super::testing::{attempt, ended, id, planned, sample_run, started};
    use super::*;

    const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

    fn table(summary: &RunSummary, color: bool) -> String {
        let mut out = Vec::new();
        write_summary(&mut out, summary, Path::new(".wf/runs/latest"), color, &TimeZone::UTC).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn folded(records: impl IntoIterator<Item = Record>) -> RunSummary {
        let mut summary = RunSummary::default();
        for record in records {
            summary.fold(&record, super::super::super::testing::at(0));
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
        item             outcome            wall  calls     tokens  retries  log
        LLD-1            approved           2.5s      2      2,400        1  LLD-1.log
        LLD-2            failed             2.5s      2      2,400        1  LLD-2.log            exit code 1
        LLD-a-long-name  skipped               -      -          -        -  -                    done in run 7f3a
        LLD-44           needs-revision    1h02m      2  1,234,967        1  LLD-44.log           a person must decide: which  [31mcolour?

        key       group  calls  tokens in  tokens out  refused  limited  of quota
        gemini-a  -          4      4,000         800        2        ?         -

        4 items: 1 approved, 1 skipped, 1 needs revision, 1 failed, in 3.0s with 3 workers
        6 calls (3 repeated), 1,238,567 tokens in, 1,200 out
        time saved against sequential: 1.2s; waiting for quota: 800ms; coordination overhead: 0.02 %
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
        item   outcome            wall  calls  tokens  retries  log
        LLD-1  approved           2.5s      2   2,400        1  LLD-1.log
        LLD-2  running             0ms      0       0        0  LLD-2.log  N3_review (iteration 2)
        LLD-3  queued                -      -       -        -  -

        3 items: 1 approved, 1 running, 1 queued, in 0ms with 3 workers
        2 calls (1 repeated), 2,000 tokens in, 400 out
        time saved against sequential: 0ms; waiting for quota: 0ms; coordination overhead: 0.00 %
        journal and logs in .wf/runs/latest
        ");
    }

    #[test]
    fn in_a_long_run_those_that_need_somebody_come_last_and_nobody_is_left_out() {
        let names: Vec<String> = (1..=120).map(|n| n.to_string()).collect();
        let mut records = vec![started(RUN, 120)];
        for (i, name) in names.iter().enumerate() {
            records.push(attempt(name, 1));
            records.push(ended(name, if i % 40 == 3 { Outcome::Failed } else { Outcome::Succeeded }));
        }
        let text = table(&folded(records), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 120 + 1 + 4);
        assert!(names.iter().all(|name| lines.iter().any(|line| line.starts_with(&format!("LLD-{name} ")))));
        let last = &lines[118..121];
        assert!(last.iter().all(|line| line.contains("failed")), "{last:?}");
        assert!(lines[122].starts_with("120 items: 117 succeeded, 3 failed"), "{}", lines[122]);
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
        0 calls (0 repeated), 0 tokens in, 0 out
        time saved against sequential: 0ms; waiting for quota: 0ms; coordination overhead: 0.00 %
        journal and logs in .wf/runs/latest
        ");
    }
}
