//! What a suite found, as `target/bench/<suite>.json` has it.

use serde::Serialize;

use super::Bench;
use super::machine::Machine;
use super::spread::Spread;
use super::suites::Suite;
use super::svg::Plot;

/// What something measured is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `wf-supervisor`.
    Ours,
    /// What cannot be beaten: the same work without any of ours.
    Limit,
    /// Another program for the same work.
    Peer,
}

/// A suite's own part of a report.
pub struct Finding {
    /// How often everything was measured.
    pub rounds: usize,
    /// The figures.
    pub tables: Vec<Table>,
    /// What was to be reached, and whether it was.
    pub targets: Vec<Target>,
    /// One sentence that says what the figures mean.
    pub reading: String,
    /// What a reader has to know to judge the figures, and what they leave out.
    pub notes: Vec<String>,
    /// The picture.
    pub plot: Plot,
}

/// Everything about one suite.
#[derive(Serialize)]
pub struct Report {
    /// Its name.
    pub suite: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// What is done in it.
    pub work: &'static str,
    /// Whether this only proves that it runs.
    pub quick: bool,
    /// Where and when.
    pub machine: Machine,
    /// The share of the processors' time that went to others meanwhile, from 0 to 1.
    pub others_share: f64,
    /// How often everything was measured.
    pub rounds: usize,
    /// The figures.
    pub tables: Vec<Table>,
    /// What was to be reached.
    pub targets: Vec<Target>,
    /// What it means.
    pub reading: String,
    /// What to know about it.
    pub notes: Vec<String>,
    /// The picture, drawn into a file of its own.
    #[serde(skip)]
    pub plot: Plot,
}

impl Report {
    /// A finding with its circumstances.
    pub fn new(suite: &Suite, found: Finding, bench: &Bench, machine: &Machine, others_share: f64) -> Report {
        Report {
            suite: suite.name,
            question: suite.question,
            work: suite.work,
            quick: bench.quick,
            machine: machine.clone(),
            others_share,
            rounds: found.rounds,
            tables: found.tables,
            targets: found.targets,
            reading: found.reading,
            notes: found.notes,
            plot: found.plot,
        }
    }
}

/// Figures of one kind.
#[derive(Serialize)]
pub struct Table {
    /// What they are.
    pub caption: String,
    /// The unit of least, median and greatest.
    pub unit: String,
    /// What the ratio says, such as "× bare loop".
    pub ratio: String,
    /// Further columns.
    pub extra: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row of a table.
#[derive(Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The command, or what it does; may be empty.
    pub how: String,
    /// What it is to us.
    pub kind: Kind,
    /// The figures; `None` if it is absent.
    pub spread: Option<Spread>,
    /// The ratio to the reference, of the rounds in pairs.
    pub ratio: Option<Spread>,
    /// One cell per further column.
    pub extra: Vec<String>,
    /// Why there are no figures.
    pub absent: Option<String>,
}

/// Something that was to be reached.
#[derive(Debug, Serialize)]
pub struct Target {
    /// In words.
    pub claim: String,
    /// What was measured instead of what was claimed.
    pub measured: String,
    /// Whether it holds; `None` if what it is about could not be measured.
    pub reached: Option<bool>,
}

impl Target {
    /// At most so many of `unit`. The median of the rounds decides.
    pub fn at_most(claim: impl Into<String>, bound: f64, measured: Option<Spread>, unit: &str) -> Target {
        Target::judged(claim.into(), measured, unit, |median| median <= bound)
    }

    /// At least so many of `unit`. The median of the rounds decides.
    pub fn at_least(claim: impl Into<String>, bound: f64, measured: Option<Spread>, unit: &str) -> Target {
        Target::judged(claim.into(), measured, unit, |median| median >= bound)
    }

    fn judged(claim: String, measured: Option<Spread>, unit: &str, holds: impl Fn(f64) -> bool) -> Target {
        let shown = measured.map(|spread| format!("{} {unit}", figure(spread.median)));
        Target {
            claim,
            measured: shown.unwrap_or_else(|| "not measured".to_owned()),
            reached: measured.map(|spread| holds(spread.median)),
        }
    }

    /// Its state in a word.
    pub fn word(&self) -> &'static str {
        match self.reached {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        }
    }
}

/// A figure for people: three digits that count, and no more than two behind the point.
pub fn figure(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) =
        plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, c) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(c);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

/// A count, for people.
pub fn whole(count: usize) -> String {
    // Few of them would get digits behind the point.
    if count < 100 { count.to_string() } else { figure(count as f64) }
}

/// Bytes in MiB, for people.
pub fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_count() {
        let cases = [
            (0.0, "0.00"),
            (1.0 / 3.0, "0.33"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
            (123_456.0, "123,456"),
        ];
        for (value, shown) in cases {
            assert_eq!(figure(value), shown);
        }
    }

    #[test]
    fn the_median_decides_and_what_is_missing_is_not_judged() {
        let spread = Spread { min: 1.1, median: 1.3, max: 9.0 };
        assert_eq!(Target::at_most("", 1.3, Some(spread), "×").reached, Some(true));
        assert_eq!(Target::at_most("", 1.29, Some(spread), "×").word(), "**no**");
        assert_eq!(Target::at_least("", 1.4, Some(spread), "×").measured, "1.30 ×");
        let absent = Target::at_least("", 1.4, None, "×");
        assert_eq!((absent.reached, absent.measured.as_str(), absent.word()), (None, "not measured", "–"));
    }
}
