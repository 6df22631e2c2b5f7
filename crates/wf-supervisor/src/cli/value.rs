//! Readers of single values, shared by the command line, the environment and `wf.toml`.
//!
//! Each takes the text as written and answers with a value or with a clause that fits after "NAME: ".

use std::fmt;
use std::time::Duration;

use crate::duration;

/// What `--parallel` means without a number.
pub const PARALLEL_WITHOUT_NUMBER: u16 = 3;

const NO_WORKER: &str = "at least 1 worker is needed (-j 100% is one for each processor)";

/// A bound that can be switched off with the word `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// No bound.
    Off,
    /// This much.
    At(T),
}

impl<T> Limit<T> {
    /// The bound, if there is one.
    pub fn at(self) -> Option<T> {
        match self {
            Limit::Off => None,
            Limit::At(value) => Some(value),
        }
    }
}

/// What reaches the console of the workers' output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputMode {
    /// Live, line by line, each with its item's prefix
    Prefixed,
    /// An item's output in one piece when it ends
    Grouped,
    /// Nothing; the logs have it all
    None,
}

impl From<OutputMode> for crate::console::OutputMode {
    fn from(mode: OutputMode) -> Self {
        match mode {
            OutputMode::Prefixed => Self::Prefixed,
            OutputMode::Grouped => Self::Grouped,
            OutputMode::None => Self::None,
        }
    }
}

/// What tells people how far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal; elsewhere a line per finished item and one every 30 s
    Auto,
    /// Nothing
    None,
}

/// Whether there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorMode {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<ColorMode> for crate::console::style::ColorChoice {
    fn from(mode: ColorMode) -> Self {
        match mode {
            ColorMode::Auto => Self::Auto,
            ColorMode::Always => Self::Always,
            ColorMode::Never => Self::Never,
        }
    }
}

/// One of the built-in workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum WorkflowName {
    /// A brief becomes an issue
    Issue,
    /// An issue becomes a low-level design
    Lld,
    /// A design becomes code on a branch
    Implement,
}

impl WorkflowName {
    /// All of them, in the order a project uses them.
    pub const ALL: [WorkflowName; 3] = [WorkflowName::Issue, WorkflowName::Lld, WorkflowName::Implement];

    /// The word on the command line and in `wf.toml`.
    pub fn word(self) -> &'static str {
        match self {
            WorkflowName::Issue => "issue",
            WorkflowName::Lld => "lld",
            WorkflowName::Implement => "implement",
        }
    }

    /// What precedes an id in messages and file names.
    pub fn prefix(self) -> &'static str {
        match self {
            WorkflowName::Issue => "ISSUE-",
            WorkflowName::Lld => "LLD-",
            WorkflowName::Implement => "IMPL-",
        }
    }
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One of the words of an enumeration.
pub fn word<T: clap::ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|v| v.to_possible_value().map(|p| p.get_name().to_owned()))
            .collect();
        format!("{text:?} is none of {}", words.join(", "))
    })
}

/// The word of a value of an enumeration.
pub fn word_of<T: clap::ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|p| p.get_name().to_owned()).unwrap_or_default()
}

/// Workers at once: at least 1. More than a run can have is not an error here, the cap takes care of it.
pub fn workers(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("a number is missing".to_owned());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<u16>() {
            Ok(0) => Err(NO_WORKER.to_owned()),
            Ok(n) => Ok(n),
            Err(_) => Ok(u16::MAX),
        };
    }
    if let Some(share) = text.strip_suffix('%').and_then(|share| share.parse::<u32>().ok()) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        return share_of(share, processors);
    }
    // "nan" and "inf" are numbers to Rust, but names of files to a person.
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err("workers are counted in whole numbers from 1".to_owned());
    }
    Err(format!("{text:?} is not a number of workers"))
}

/// So many percent of the processors, at least one worker.
fn share_of(percent: u32, processors: usize) -> Result<u16, String> {
    if percent == 0 {
        return Err(NO_WORKER.to_owned());
    }
    let workers = (u64::from(percent) * processors as u64 / 100).max(1);
    Ok(u16::try_from(workers).unwrap_or(u16::MAX))
}

/// [`workers`], for the command line, where `--parallel items.txt` is a likely slip.
pub fn parallel(text: &str) -> Result<u16, String> {
    workers(text).map_err(|clause| {
        if clause.ends_with("not a number of workers") {
            format!("not a number of workers: write --parallel={PARALLEL_WITHOUT_NUMBER} {text}")
        } else {
            clause
        }
    })
}

/// A whole number from `min`; `_` may group its digits.
fn whole(text: &str, min: u64) -> Result<u64, String> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a whole number"));
    }
    match digits.parse::<u64>() {
        Ok(n) if n >= min => Ok(n),
        Ok(_) => Err(format!("at least {min} is needed")),
        Err(_) => Err(format!("{text} is too large")),
    }
}

fn small(text: &str, min: u64) -> Result<u32, String> {
    u32::try_from(whole(text, min)?).map_err(|_| format!("{text} is too large"))
}

/// A count that may be 0.
pub fn count(text: &str) -> Result<u32, String> {
    small(text, 0)
}

/// A count of at least 1.
pub fn positive(text: &str) -> Result<u32, String> {
    small(text, 1)
}

/// Exit codes, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes(pub Vec<u8>);

impl fmt::Display for ExitCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(if codes.is_empty() { "off".to_owned() } else { codes.join(",") }.as_str())
    }
}

/// Exit codes from 1 to 255, separated by commas, or `off`.
pub fn exit_codes(text: &str) -> Result<ExitCodes, String> {
    if text == "off" {
        return Ok(ExitCodes::default());
    }
    let code = |word: &str| match word.trim().parse::<u8>() {
        Ok(0) => Err("0 is success: write other exit codes, such as 75".to_owned()),
        Ok(code) => Ok(code),
        Err(_) => Err(format!("{word:?} is no exit code: write numbers from 1 to 255, such as 75 or 75,69")),
    };
    text.split(',').map(code).collect::<Result<_, _>>().map(ExitCodes)
}

/// The cap on workers: 1 to 1,000. Each is two processes, three descriptors and its share of memory.
pub fn max_parallel(text: &str) -> Result<u16, String> {
    match whole(text, 1)? {
        n @ 1..=1_000 => Ok(n as u16),
        _ => Err("more than 1000 workers at once are not supported".to_owned()),
    }
}

/// A count of at least 1, or `off`.
pub fn positive_or_off(text: &str) -> Result<Limit<u32>, String> {
    if text == "off" { Ok(Limit::Off) } else { positive(text).map(Limit::At) }
}

/// Tokens, at least 1, or `off`.
pub fn tokens_or_off(text: &str) -> Result<Limit<u64>, String> {
    if text == "off" { Ok(Limit::Off) } else { whole(text, 1).map(Limit::At) }
}

/// A duration above zero.
pub fn time(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("more than 0 is needed".to_owned()),
        d => Ok(d),
    }
}

/// A duration that may be zero.
pub fn time_or_zero(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// A duration above zero, or `off`.
pub fn time_or_off(text: &str) -> Result<Limit<Duration>, String> {
    if text == "off" { Ok(Limit::Off) } else { time(text).map(Limit::At) }
}

/// A number of bytes: `4096`, `500KiB`, `64MiB`, `1GiB`; at least 4 KiB.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(format!("{text:?} is not a size (write 4096, 500KiB, 64MiB or 1GiB)")),
    };
    let bytes = whole(number, 0)?.checked_mul(factor).ok_or_else(|| format!("{text} is too large"))?;
    if bytes < 4096 { Err("at least 4KiB is needed".to_owned()) } else { Ok(bytes) }
}

/// Writes a number of bytes so that [`size_bytes`] reads it again.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> shift > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A switch: `1`, `true`, `yes`, `on`, or `0`, `false`, `no`, `off`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// What `--redo` has done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redo {
    /// Nothing.
    #[default]
    Off,
    /// What is done, or the rest of a redo that ended early.
    On,
    /// What is done, whatever an earlier redo came to.
    All,
    /// What failed or waits for a person.
    Failed,
}

/// `--redo`, `--redo=all`, `--redo=failed`; as a variable also a truth value.
pub fn redo(text: &str) -> Result<Redo, String> {
    match text {
        "all" => Ok(Redo::All),
        "failed" => Ok(Redo::Failed),
        "go-on" => Ok(Redo::On),
        _ => match switch(text) {
            Ok(true) => Ok(Redo::On),
            Ok(false) => Ok(Redo::Off),
            Err(_) => {
                Err(format!("{text:?} is none of all, failed (or nothing, to redo or go on with a redo)"))
            }
        },
    }
}

/// A redo as it would be written.
pub fn redo_word(redo: Redo) -> &'static str {
    match redo {
        Redo::Off => "off",
        Redo::On => "on",
        Redo::All => "all",
        Redo::Failed => "failed",
    }
}

/// The name of an environment variable.
pub fn variable(text: &str) -> Result<String, String> {
    let mut bytes = text.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // What is not a name may well be a secret put into the wrong place: it is not repeated.
    if good { Ok(text.to_owned()) } else { Err("this is not the name of an environment variable".to_owned()) }
}

/// What a user calls a run: one line of at most 64 characters, for it stands in a column of `list`.
pub fn run_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let good = !name.is_empty() && name.chars().count() <= 64 && !name.contains(char::is_control);
    if good { Ok(name.to_owned()) } else { Err("a name is one line of 1 to 64 characters".to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_workers() {
        for (text, expected) in [
            ("1", Ok(1)),
            ("5", Ok(5)),
            ("007", Ok(7)),
            ("65536", Ok(u16::MAX)),
            ("99999999999999999999999", Ok(u16::MAX)),
            ("0", Err(NO_WORKER)),
            ("0%", Err(NO_WORKER)),
            ("x%", Err("not a number of workers: write --parallel=3 x%")),
            ("-1", Err("workers are counted in whole numbers from 1")),
            ("1.5", Err("workers are counted in whole numbers from 1")),
            ("items.txt", Err("not a number of workers: write --parallel=3 items.txt")),
            ("-", Err("not a number of workers: write --parallel=3 -")),
        ] {
            assert_eq!(parallel(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn shares_of_the_processors() {
        for (percent, processors, expected) in
            [(50, 8, 4), (100, 3, 3), (1, 4, 1), (200, 2, 4), (u32::MAX, 9, u16::MAX)]
        {
            assert_eq!(share_of(percent, processors), Ok(expected), "{percent}% of {processors}");
        }
        assert!(parallel("50%").is_ok_and(|n| n >= 1));
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!(tokens_or_off("1_000_000"), Ok(Limit::At(1_000_000)));
        assert_eq!(tokens_or_off("off"), Ok(Limit::Off));
        assert_eq!(positive("0").unwrap_err(), "at least 1 is needed");
        assert_eq!(count("-3").unwrap_err(), "\"-3\" is not a whole number");
        assert_eq!(count("4294967296").unwrap_err(), "4294967296 is too large");
        assert_eq!(size_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(size_bytes("1 GiB"), Ok(1 << 30));
        assert_eq!(
            size_bytes("1GB").unwrap_err(),
            "\"1GB\" is not a size (write 4096, 500KiB, 64MiB or 1GiB)"
        );
        assert_eq!(size_bytes("10").unwrap_err(), "at least 4KiB is needed");
        assert_eq!(time("0s").unwrap_err(), "more than 0 is needed");
        assert_eq!(word::<OutputMode>("loud").unwrap_err(), "\"loud\" is none of prefixed, grouped, none");
        assert_eq!(variable("sk-ant-1").unwrap_err(), "this is not the name of an environment variable");
    }

    proptest! {
        #[test]
        fn sizes_written_and_read_again(bytes in 4096u64..) {
            prop_assert_eq!(size_bytes(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn total(text in ".*") {
            let _ = (parallel(&text), size_bytes(&text), tokens_or_off(&text), switch(&text), variable(&text));
        }
    }
}
