//! The summary as people see it: one line per item, then the sums ([`sums`](super::sums)).
//!
//! A run that fits a screen has a line for every item. Of a longer one those are shown that ran or are wrong, as long as
//! that fits a screen, else only those that are wrong, up to [`MOST_ROWS`]; the rest is counted, and `show --all` has a
//! line for each. Those that need somebody come last, next to the sums, where the eye is when the run ends.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr as _;
use wf_core::{Counts, Outcome};

use super::super::moment::{between, span, until};
use super::super::name::short;
use super::super::text::{duration_ms, grouped, one_line};
use super::keys::write_key_use;
use super::sums::write_sums;
use super::{ItemSummary, RunState, RunSummary};

/// How many lines of items are shown whatever they say.
const SCREEN: usize = 50;

/// Of more items that are wrong than that, no more have a line; `show --all` shows them.
const MOST_ROWS: usize = 200;

/// The widest the column of names gets; a longer one moves its own line only.
const NAME_WIDTH: usize = 40;

/// How much of a reason a line has room for, in characters, where nothing else bounds it.
const DETAIL_CHARS: usize = 200;

/// The least that is shown of a reason, on however narrow a terminal.
const LEAST_DETAIL_CHARS: usize = 20;

/// Which items have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every one.
    All,
    /// Of a long run those that ran or are wrong.
    Telling,
    /// Those that are wrong, and of the sums only what is needed.
    Wrong,
}

/// How a summary is to be written.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// Where the logs are, as people should see it.
    pub run_dir: &'a Path,
    /// Whether it is for a terminal that takes colours.
    pub color: bool,
    /// In which times are shown.
    pub zone: &'a TimeZone,
    /// The time it is.
    pub now: Timestamp,
    /// Columns of the terminal; `None` where no terminal is.
    pub width: Option<usize>,
    /// Which items have a line.
    pub rows: Rows,
    /// Whether commands that are proposed must name the run, because it is not the latest.
    pub names_run: bool,
}

/// Writes the table and the sums.
pub fn write_summary(out: &mut dyn Write, summary: &RunSummary, page: &Page<'_>) -> io::Result<()> {
    let selection = Selection::of(summary, page.rows);
    if !selection.rows.is_empty() {
        write_items(out, summary, &selection.rows, page)?;
        if !selection.rest.is_empty() {
            let run = if page.names_run { format!(" {}", summary.run) } else { String::new() };
            writeln!(
                out,
                "and {} (`wf-supervisor show{run} --all` has a line for each)",
                selection.rest.join(", ")
            )?;
        }
        writeln!(out)?;
    }
    if !summary.keys.is_empty() && page.rows != Rows::Wrong {
        write_key_use(out, summary)?;
        writeln!(out)?;
    }
    write_sums(out, summary, page)?;
    writeln!(out, "journal and logs in {}", page.run_dir.display())
}

/// The items that have a line, with their positions, and what is counted instead.
struct Selection<'a> {
    rows: Vec<(u32, &'a ItemSummary)>,
    rest: Vec<String>,
}

impl Selection<'_> {
    fn of(summary: &RunSummary, rows: Rows) -> Selection<'_> {
        let all = (1..).zip(&summary.items);
        let is_wrong = |item: &ItemSummary| match item.outcome {
            Some(Outcome::NotStarted) => false,
            Some(outcome) => !outcome.is_done(),
            None => item.attempts > 0,
        };
        let has_run = |item: &ItemSummary| item.attempts > 0 && !is_wrong(item);
        let long = summary.items.len() > SCREEN;
        let mut chosen: Vec<(u32, &ItemSummary)> = match rows {
            Rows::All | Rows::Telling if !long => return Selection { rows: all.collect(), rest: Vec::new() },
            Rows::All => {
                let mut rows: Vec<_> = all.collect();
                rows.sort_by_key(|(_, item)| !item.outcome.is_some_and(Outcome::is_done));
                return Selection { rows, rest: Vec::new() };
            }
            Rows::Telling | Rows::Wrong => all.filter(|(_, item)| is_wrong(item)).collect(),
        };
        if rows == Rows::Telling {
            let ran: Vec<_> = (1..).zip(&summary.items).filter(|(_, item)| has_run(item)).collect();
            if ran.len() + chosen.len() <= SCREEN {
                chosen = ran.into_iter().chain(chosen).collect();
            }
        }
        chosen.truncate(MOST_ROWS);
        // Of a quiet run the sums say how many there are of those that are well.
        let rest = rest(summary, &chosen, |item| rows == Rows::Telling || is_wrong(item));
        Selection { rest, rows: chosen }
    }
}

/// The items without a line, counted by how they stand: `4,990 succeeded`, `5,000 skipped`.
fn rest(
    summary: &RunSummary,
    chosen: &[(u32, &ItemSummary)],
    belongs: impl Fn(&ItemSummary) -> bool,
) -> Vec<String> {
    let mut counts: Vec<(&str, i64)> = Vec::new();
    let mut count = |word: &'static str, by: i64| match counts.iter_mut().find(|(known, _)| *known == word) {
        Some((_, n)) => *n += by,
        None => counts.push((word, by)),
    };
    for item in summary.items.iter().filter(|item| belongs(item)) {
        count(item.word(), 1);
    }
    for (_, item) in chosen {
        count(item.word(), -1);
    }
    let told = counts.into_iter().filter(|(_, n)| *n > 0);
    told.map(|(word, n)| format!("{} {}", grouped(n.unsigned_abs()), word.replace('-', " "))).collect()
}

/// A column: its heading, whether it is one of figures, its cell for an item.
struct Column<'a> {
    heading: &'static str,
    is_figure: bool,
    cell: Box<dyn Fn(&ItemSummary) -> String + 'a>,
}

fn write_items(
    out: &mut dyn Write,
    summary: &RunSummary,
    rows: &[(u32, &ItemSummary)],
    page: &Page<'_>,
) -> io::Result<()> {
    let name = |position: u32, item: &ItemSummary| short(position, &summary.label(item)).into_owned();
    let columns = columns(rows);
    let name_width =
        rows.iter().map(|(at, item)| name(*at, item).width()).max().unwrap_or(0).clamp(4, NAME_WIDTH);
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let cells = rows.iter().map(|(_, item)| (column.cell)(item).len()).max().unwrap_or(0);
            let least = if column.heading == "wall" { 7 } else { 0 };
            cells.max(column.heading.len()).max(least)
        })
        .collect();
    let pad = |cell: &str, column: &Column<'_>, width: usize| {
        if column.is_figure { format!("{cell:>width$}") } else { format!("{cell:width$}") }
    };
    let heads = columns.iter().zip(&widths).map(|(column, width)| pad(column.heading, column, *width));
    let head = format!("{:name_width$}  {}", "item", heads.collect::<Vec<_>>().join("  "));
    writeln!(out, "{}", head.trim_end())?;
    // Two blanks before each column.
    let before_detail = name_width + widths.iter().map(|width| width + 2).sum::<usize>() + 2;
    let room = page.width.map_or(DETAIL_CHARS, |width| {
        width.saturating_sub(before_detail + 2).clamp(LEAST_DETAIL_CHARS, DETAIL_CHARS)
    });
    for (at, item) in rows {
        let name = name(*at, item);
        let mut line = format!("{name}{:gap$}", "", gap = name_width.saturating_sub(name.width()));
        for (column, width) in columns.iter().zip(&widths) {
            let cell = pad(&(column.cell)(item), column, *width);
            if page.color && column.heading == "outcome" {
                let word = item.word();
                let rest = &cell[word.len()..];
                let _ = write!(line, "  {}{word}\x1b[0m{rest}", outcome_style(item.outcome));
            } else {
                let _ = write!(line, "  {cell}");
            }
        }
        let detail = detail(summary, item, page);
        if !detail.is_empty() {
            let _ = write!(line, "  {}", one_line(&detail, room));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Those of the columns in which some row has something to say.
fn columns(rows: &[(u32, &ItemSummary)]) -> Vec<Column<'static>> {
    let figure = |heading, figure: fn(&ItemSummary) -> String| Column {
        heading,
        is_figure: true,
        cell: Box::new(move |item| if item.attempts > 0 { figure(item) } else { "-".to_owned() }),
    };
    let any = |has: fn(&ItemSummary) -> bool| rows.iter().any(|(_, item)| has(item));
    let mut columns = vec![
        Column { heading: "outcome", is_figure: false, cell: Box::new(|item| item.word().to_owned()) },
        figure("wall", |item| duration_ms(item.wall_ms)),
    ];
    if any(|item| item.attempts > 1) {
        columns.push(figure("tries", |item| item.attempts.to_string()));
    }
    if any(|item| item.calls > 0) {
        columns.push(figure("calls", |item| item.calls.to_string()));
    }
    if any(|item| item.tokens_in > 0 || item.tokens_out > 0) {
        columns.push(figure("tokens", |item| grouped(item.tokens_in.saturating_add(item.tokens_out))));
    }
    if any(|item| item.retries > 0) {
        columns.push(figure("retries", |item| item.retries.to_string()));
    }
    columns
}

/// What is said of an item at the end of its line.
fn detail(summary: &RunSummary, item: &ItemSummary, page: &Page<'_>) -> String {
    let mut parts = Vec::new();
    if item.attempts > 1 && item.outcome.is_some() {
        let flaky = if item.is_flaky() { "FLAKY: " } else { "" };
        parts.push(format!(
            "{flaky}{} tries, the last took {}",
            item.attempts,
            duration_ms(item.last_attempt_ms)
        ));
    }
    if let Some(node) = item.node.as_deref().filter(|_| item.is_running) {
        parts.push(node.to_owned());
    }
    if !item.detail.is_empty() {
        parts.push(item.detail.to_string());
    }
    if summary.state == RunState::Running {
        parts.extend(item.live_words(summary, page.now, page.zone));
    }
    parts.join("; ")
}

impl ItemSummary {
    /// Whether it succeeded after an attempt that did not.
    pub fn is_flaky(&self) -> bool {
        self.attempts > 1 && self.outcome.is_some_and(Outcome::is_done)
    }

    /// Of an item that runs, in a run that lives: what it waits for and until when, or since when it runs and is silent.
    pub fn live_words(&self, summary: &RunSummary, now: Timestamp, zone: &TimeZone) -> Option<String> {
        let since = self.running_since.filter(|_| self.is_running)?;
        if self.is_paused {
            let board = summary.pool.as_ref();
            let paused = board.and_then(|board| board.paused.iter().find(|paused| paused.item == self.id));
            let until =
                paused.and_then(|paused| paused.until).map(|end| format!(" {}", until(end, now, zone)));
            let why = match paused.map(|paused| paused.reason.as_str()) {
                None | Some("rate-limited" | "its turn comes soon") => String::new(),
                Some(reason) => format!(" ({reason})"),
            };
            return Some(format!("waits for quota{}{why}", until.unwrap_or_default()));
        }
        let silence = match self.last_output {
            Some(at) => format!("last output {} ago", span(between(at, now))),
            None => "no output yet".to_owned(),
        };
        Some(format!("running for {}, {silence}", span(between(since, now))))
    }
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
