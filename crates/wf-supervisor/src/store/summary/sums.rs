//! The sums under the table, why items failed, and what to type to go on.

use std::collections::BTreeMap;
use std::io::{self, Write};

use wf_core::Outcome;

use super::super::name::how_to_read;
use super::super::tail::last_words;
use super::super::text::{counted, duration_ms, grouped, one_line};
use super::table::{Page, Rows, open_and_ended};
use super::{ItemSummary, RunState, RunSummary};

/// Reasons that are told; the others are counted.
const REASONS: usize = 5;

/// Failed items whose logs are looked into for the reason.
const MOST_LOGS: usize = 200;

/// How much of a reason and of a log's last line is shown, in characters.
const REASON_CHARS: usize = 80;

/// A shorter run's overhead is that of its beginning and its end, and says nothing.
const LEAST_MS_FOR_OVERHEAD: u64 = 1_000;

pub(super) fn write_sums(out: &mut dyn Write, summary: &RunSummary, page: &Page<'_>) -> io::Result<()> {
    let totals = &summary.totals;
    let mut parts = open_and_ended(summary);
    let flaky = summary.items.iter().filter(|item| item.is_flaky()).count();
    if flaky > 0 {
        parts = format!("{parts} ({} flaky)", grouped(flaky as u64));
    }
    let workers = match summary.parallel {
        0 => String::new(),
        n => format!(" with {}", counted(n.into(), "worker", "workers")),
    };
    let items = counted(summary.items.len() as u64, "item", "items");
    writeln!(out, "{items}: {parts}, in {}{workers}", duration_ms(totals.wall_ms))?;
    if page.rows != Rows::Wrong {
        write_figures(out, summary)?;
    }
    write_reasons(out, summary, page)?;
    if summary.state != RunState::Running {
        write_next_steps(out, summary, page)?;
    }
    Ok(())
}

/// Calls and times; what is nothing but zero is left out.
fn write_figures(out: &mut dyn Write, summary: &RunSummary) -> io::Result<()> {
    let totals = &summary.totals;
    if totals.calls > 0 {
        let repeated = match totals.retries {
            0 => String::new(),
            n => format!(" ({} repeated)", grouped(n)),
        };
        writeln!(
            out,
            "{}{repeated}, {} tokens in, {} out",
            counted(totals.calls, "call", "calls"),
            grouped(totals.tokens_in),
            grouped(totals.tokens_out)
        )?;
    }
    let mut times = Vec::new();
    if summary.saved_ms() > 0 {
        times.push(format!("time saved against sequential: {}", duration_ms(summary.saved_ms())));
    }
    if summary.waited_ms > 0 {
        times.push(format!("waiting for quota: {}", duration_ms(summary.waited_ms)));
    }
    // Only a run's end tells of it.
    if summary.state == RunState::Finished && totals.wall_ms >= LEAST_MS_FOR_OVERHEAD && totals.worked_ms > 0
    {
        times.push(format!("coordination overhead: {:.2} %", summary.overhead_percent()));
    }
    if times.is_empty() { Ok(()) } else { writeln!(out, "{}", times.join("; ")) }
}

/// `4 failed: 3 × exit code 1: rate limit; 1 × ran longer than 5s`. One failure has its own line already.
fn write_reasons(out: &mut dyn Write, summary: &RunSummary, page: &Page<'_>) -> io::Result<()> {
    let failed: Vec<&ItemSummary> =
        summary.items.iter().filter(|item| item.outcome.is_some_and(Outcome::is_failure)).collect();
    if failed.len() < 2 {
        return Ok(());
    }
    let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (n, item) in failed.iter().enumerate() {
        let why = match (item.detail.as_ref(), item.outcome) {
            ("", Some(outcome)) => outcome.word().to_owned(),
            (detail, _) => one_line(detail, REASON_CHARS).into_owned(),
        };
        let words = if n < MOST_LOGS && item.attempts > 0 {
            last_words(&page.run_dir.join(format!("{}.log", summary.label(item))), REASON_CHARS)
        } else {
            None
        };
        let words = words.map(|words| format!("{why}: {words}")).unwrap_or(why);
        reasons.entry(kind_of(&words)).or_insert((0, words)).0 += 1;
    }
    let mut told: Vec<(usize, String)> = reasons.into_values().collect();
    told.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let rest: usize = told.iter().skip(REASONS).map(|(n, _)| n).sum();
    let mut parts: Vec<String> =
        told.iter().take(REASONS).map(|(n, words)| format!("{} × {words}", grouped(*n as u64))).collect();
    parts.extend((rest > 0).then(|| format!("{} for other reasons", grouped(rest as u64))));
    writeln!(out, "{} failed: {}", grouped(failed.len() as u64), parts.join("; "))
}

/// What makes two reasons the same: their words without figures, which are times, lines and addresses for the most part.
fn kind_of(words: &str) -> String {
    let mut kind = String::with_capacity(words.len());
    for word in words.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let is_code = kind.ends_with("exit code ") || kind.ends_with("signal ");
        if !is_code && word.bytes().any(|byte| byte.is_ascii_digit()) {
            kind.push('#');
            kind.extend(word.chars().last().filter(|c| !c.is_ascii_alphanumeric()));
        } else {
            kind.push_str(word);
        }
    }
    kind
}

/// What to type to go on, and to see more.
fn write_next_steps(out: &mut dyn Write, summary: &RunSummary, page: &Page<'_>) -> io::Result<()> {
    let counts = &summary.counts;
    let failed = counts.failures();
    let left = [(counts.interrupted, "interrupted"), (counts.not_started, "not started"), (failed, "failed")];
    let left: Vec<String> = left
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{} {word}", grouped((*n).into())))
        .collect();
    if !left.is_empty() {
        let goal = if counts.interrupted + counts.not_started > 0 { "to go on" } else { "to try again" };
        writeln!(out, "run the same command again {goal}: {}", left.join(", "))?;
    }
    if counts.needs_revision > 0 {
        let who = counted(counts.needs_revision.into(), "item needs", "items need");
        writeln!(out, "{who} revision: --redo goes on with what they have")?;
    }
    let is_open = |item: &ItemSummary| {
        item.outcome.is_some_and(|outcome| !outcome.is_done() && outcome != Outcome::NotStarted)
    };
    let worst = (1..)
        .zip(&summary.items)
        .filter(|(_, item)| is_open(item) && item.attempts > 0)
        .max_by_key(|(at, item)| (item.outcome, std::cmp::Reverse(*at)));
    if let Some((at, item)) = worst {
        let run = if page.names_run { format!(" --run {}", summary.run) } else { String::new() };
        let all = if failed > 1 { format!(", or wf-supervisor logs --failed{run}") } else { String::new() };
        writeln!(out, "to see more: {}{run}{all}", how_to_read(at, &summary.label(item)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use wf_core::Record;

    use super::super::super::testing::{at, attempt, ended, run_ended, started};
    use super::*;

    const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

    fn sums(records: &[Record], dir: &std::path::Path, rows: Rows) -> String {
        let mut summary = RunSummary::default();
        for record in records {
            summary.fold(record, at(0));
        }
        let mut out = Vec::new();
        let zone = &TimeZone::UTC;
        let page = Page { run_dir: dir, color: false, zone, now: at(0), width: None, rows, names_run: false };
        write_sums(&mut out, &summary, &page).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn end_of(item: &str, outcome: Outcome, why: &str) -> Record {
        let mut record = ended(item, outcome);
        if let Record::ItemEnded { detail, calls, retries, tokens_in, tokens_out, waited_ms, .. } =
            &mut record
        {
            *detail = why.into();
            (*calls, *retries, *tokens_in, *tokens_out, *waited_ms) = (0, 0, 0, 0, 0);
        }
        record
    }

    #[test]
    fn failures_are_grouped_by_what_they_said_last_and_the_end_says_how_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = vec![started(RUN, 9)];
        let mut counts = wf_core::Counts::default();
        let log = |item: &str, text: &str| {
            std::fs::write(dir.path().join(format!("LLD-{item}.log")), text).unwrap();
        };
        for (item, outcome, why, text) in [
            ("1", Outcome::Failed, "exit code 1", "x\n\x1b[31mrate limit, again in 17 s\x1b[0m\n"),
            ("2", Outcome::Failed, "exit code 1", "y\nrate limit, again in 4 s\n\n"),
            ("3", Outcome::Failed, "exit code 1", "rate limit, again in 180 s"),
            ("4", Outcome::Failed, "exit code 2", "rate limit, again in 180 s"),
            ("5", Outcome::TimedOut, "has run for 5s (--timeout)", ""),
            ("6", Outcome::Succeeded, "", "fine"),
            ("7", Outcome::Interrupted, "SIGINT", "half"),
            ("8", Outcome::NotStarted, "", ""),
            ("9", Outcome::NotStarted, "", ""),
        ] {
            log(item, text);
            if outcome != Outcome::NotStarted {
                records.push(attempt(item, 1));
            }
            records.push(end_of(item, outcome, why));
            counts.add(outcome);
        }
        records.push(run_ended(130, counts));
        insta::assert_snapshot!(sums(&records, dir.path(), Rows::Telling), @r"
        9 items: 1 succeeded, 1 interrupted, 2 not started, 4 failed, 1 timed out, in 3.0s with 3 workers
        time saved against sequential: 1.2s; waiting for quota: 800ms; coordination overhead: 0.02 %
        5 failed: 3 × exit code 1: rate limit, again in 17 s; 1 × exit code 2: rate limit, again in 180 s; 1 × has run for 5s (--timeout)
        run the same command again to go on: 1 interrupted, 2 not started, 5 failed
        to see more: wf-supervisor logs LLD-5, or wf-supervisor logs --failed
        ");
        insta::assert_snapshot!(sums(&records, dir.path(), Rows::Wrong), @r"
        9 items: 1 succeeded, 1 interrupted, 2 not started, 4 failed, 1 timed out, in 3.0s with 3 workers
        5 failed: 3 × exit code 1: rate limit, again in 17 s; 1 × exit code 2: rate limit, again in 180 s; 1 × has run for 5s (--timeout)
        run the same command again to go on: 1 interrupted, 2 not started, 5 failed
        to see more: wf-supervisor logs LLD-5, or wf-supervisor logs --failed
        ");
    }

    #[test]
    fn what_is_nothing_but_zero_is_left_out() {
        let mut records = vec![started(RUN, 1), attempt("1", 1), end_of("1", Outcome::Succeeded, "")];
        let mut counts = wf_core::Counts::default();
        counts.add(Outcome::Succeeded);
        let mut end = run_ended(0, counts);
        if let Record::RunEnded { wall_ms, worked_ms, waited_ms, .. } = &mut end {
            (*wall_ms, *worked_ms, *waited_ms) = (900, 800, 0);
        }
        records.push(end);
        let dir = std::path::Path::new("/nowhere");
        assert_eq!(sums(&records, dir, Rows::Telling), "1 item: 1 succeeded, in 900ms with 3 workers\n");
        if let Some(Record::RunEnded { wall_ms, .. }) = records.last_mut() {
            *wall_ms = 1_000;
        }
        assert_eq!(
            sums(&records, dir, Rows::Telling),
            "1 item: 1 succeeded, in 1.0s with 3 workers\ncoordination overhead: 0.15 %\n"
        );
        assert_eq!(sums(&records, dir, Rows::Wrong), "1 item: 1 succeeded, in 1.0s with 3 workers\n");
    }

    #[test]
    fn figures_do_not_make_a_kind() {
        assert_eq!(kind_of("exit code 1: at 10:31 in a.rs:17"), "exit code 1: at #:# in a.rs:#");
        assert_eq!(kind_of("killed by SIGSEGV (signal 11)"), kind_of("killed by SIGSEGV (signal 11)"));
        assert_ne!(kind_of("exit code 1"), kind_of("exit code 2"));
    }
}
