//! The options of `run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::habits::Habits;
use super::list::ListArgs;
use super::value::{self, ExitCodes, Limit, OutputMode, ProgressMode, Redo, WorkflowName};

/// `run`. What is `None` is left to the environment, `wf.toml` and the defaults.
#[derive(Args, Clone, Debug, Default)]
#[command(
    args_override_self = true,
    override_usage = "wf-supervisor run [ITEMS] [OPTIONS] [-- COMMAND [ARG]...]",
    after_help = "Durations are written 500ms, 30s, 5m, 1h30m. Every option but those that say how ITEMS is read can also be set in wf.toml's [run] \
table or as an environment variable (WF_SUPERVISOR_PARALLEL, WF_SUPERVISOR_TIMEOUT, ...); the command line wins.

In COMMAND: {} the item's text (or its id), {.} without extension, {/} base name, {//} directory, {/.} base name without \
extension, {#} position, {%} worker slot, {id}, {run}, {attempt}. Without any, the text (or id) becomes the last argument.

Exit codes: 0 all approved, succeeded or skipped; 3 some need revision; 1 some failed or timed out; 75 unfinished (quota, \
budget, --max-fail); 124 --run-timeout; 129, 130, 143 stopped by a signal; 125 the supervisor's own trouble; 2 wrong usage.

Examples:
  wf-supervisor run --parallel 5 items.txt          five at once through the workflow lld
  wf-supervisor run -w issue --item 42 --item 43    two items by name
  wf-supervisor run --all --dry-run                 what would run, and why
  seq 100 | wf-supervisor run - -j 8 -- ./task {}   a command per item of standard input
  wf-supervisor run tasks.txt --lines -- agent {}   every line is a task's text
  wf-supervisor run items.txt --mock                no keys, no network"
)]
pub struct RunArgs {
    /// A file with one item per line (`ID` or `ID TEXT...`), JSON objects (`.jsonl`, `.ndjson`, `.json`), a table with a header
    /// (`.csv`, `.tsv`), a directory of files, or `-` for standard input
    #[arg(value_name = "ITEMS", help_heading = "Items")]
    pub items: Option<PathBuf>,
    /// An item by its id; may be repeated
    #[arg(long = "item", value_name = "ID", help_heading = "Items", allow_hyphen_values = true)]
    pub named: Vec<String>,
    /// Every input of the workflow that has no output yet
    #[arg(long, help_heading = "Items")]
    pub all: bool,
    /// Every line is an item's text; its id is a slug of the text plus a short hash
    #[arg(long, help_heading = "Items")]
    pub lines: bool,
    /// Run items again that are done or need revision; after a redo that was stopped, go on with the rest of it.
    /// `--redo=all` begins anew, `--redo=failed` leaves alone what is done
    #[arg(long, value_name = "WHICH", help_heading = "Items", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", value_parser = value::redo)]
    pub redo: Option<Redo>,
    /// Run this item again, whatever became of it; may be repeated
    #[arg(long, value_name = "ID", help_heading = "Items", allow_hyphen_values = true)]
    pub redo_item: Vec<String>,

    /// How the list is read.
    #[command(flatten)]
    pub list: ListArgs,

    /// Workers at once, at most 10 unless `run.max_parallel` raises it [default: 1; without a number: 3]
    // The names that `parallel`, `xargs` and others have for it are taken as well.
    #[arg(short = 'j', long, short_alias = 'P', aliases = ["jobs", "workers", "max-procs"], value_name = "N", num_args = 0..=1, default_missing_value = "3",
          value_parser = value::parallel, allow_negative_numbers = true)]
    pub parallel: Option<u16>,
    /// The built-in workflow [default: lld]
    #[arg(short, long, value_name = "NAME", value_enum)]
    pub workflow: Option<WorkflowName>,
    /// Show what would run and why; spawn nothing, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,

    /// Watchdog: the time one attempt may take, or `off`, not counting waits for quota [default: 30m for
    /// workflows, off for commands]
    #[arg(long, value_name = "DUR", help_heading = "Bounds", value_parser = value::time_or_off)]
    pub timeout: Option<Limit<Duration>>,
    /// Watchdog: the time without output or message from the worker, or `off` [default: 5m for workflows, off for commands]
    #[arg(long, value_name = "DUR", help_heading = "Bounds", value_parser = value::time_or_off)]
    pub idle_timeout: Option<Limit<Duration>>,
    /// The time the whole run may take, or `off`; what is left is interrupted, exit 124 [default: off]
    #[arg(long, value_name = "DUR", help_heading = "Bounds", value_parser = value::time_or_off)]
    pub run_timeout: Option<Limit<Duration>>,
    /// The longest wait for quota of one call; then the item is interrupted [default: 24h]
    #[arg(long, value_name = "DUR", help_heading = "Bounds", value_parser = value::time_or_zero)]
    pub max_wait: Option<Duration>,
    /// The time between asking a worker to stop and killing it [default: 5s]
    #[arg(long, value_name = "DUR", help_heading = "Bounds", value_parser = value::time_or_zero)]
    pub grace: Option<Duration>,
    /// How often one API call that is refused although paced is repeated, or `off`: until --max-wait [default: off]
    #[arg(long, value_name = "N", help_heading = "Bounds", value_parser = value::positive_or_off,
          allow_negative_numbers = true)]
    pub max_retries: Option<Limit<u32>>,
    /// How often a failed item is run again, with backoff; never after a cancel [default: 0]
    // Also by the name that `cargo nextest` has for it.
    #[arg(long, alias = "retries", value_name = "N", help_heading = "Bounds", value_parser = value::count,
          allow_negative_numbers = true)]
    pub item_retries: Option<u32>,
    /// For commands: exit codes that mean "not now", such as 75 or 75,69, or `off`; the item is tried again after 30s, later
    /// after up to 15m, for at most --max-wait [default: off]
    #[arg(long, value_name = "CODES", help_heading = "Bounds", value_parser = value::exit_codes)]
    pub tempfail: Option<ExitCodes>,
    /// Start nothing more after this many failures, or `off` [default: off]
    #[arg(long, value_name = "N", help_heading = "Bounds", value_parser = value::positive_or_off,
          allow_negative_numbers = true)]
    pub max_fail: Option<Limit<u32>>,
    /// Refuse the call that would cross this many tokens, or `off`; counted over resumes [default: off]
    #[arg(long, value_name = "N", help_heading = "Bounds", value_parser = value::tokens_or_off,
          allow_negative_numbers = true)]
    pub budget_tokens: Option<Limit<u64>>,

    /// What of the workers' output reaches the console [default: prefixed]
    #[arg(long, value_name = "MODE", value_enum, help_heading = "Output")]
    pub output: Option<OutputMode>,
    /// How progress is shown [default: auto]
    #[arg(long, value_name = "MODE", value_enum, help_heading = "Output")]
    pub progress: Option<ProgressMode>,
    /// What to call the run in `list` and `show`
    #[arg(long, value_name = "NAME", help_heading = "Output", value_parser = value::run_name)]
    pub name: Option<String>,
    /// Write a table of attempts with GNU parallel's columns to this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub joblog: Option<PathBuf>,

    /// For commands: lease a key of this provider for the whole attempt and hand it over in the provider's usual
    /// variable; may be repeated
    #[arg(long, value_name = "PROVIDER", help_heading = "Keys")]
    pub with_key: Vec<String>,
    /// Keep a variable that would be removed from the workers' environment; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Keys", value_parser = value::variable)]
    pub pass_env: Vec<String>,
    /// Use the embedded mock provider: no keys, no network; outputs go to .wf/mock and never count as done
    #[arg(long, help_heading = "Keys")]
    pub mock: bool,
    /// With --mock: how the mock behaves, such as steady, storm or slow [default: steady]
    #[arg(long, value_name = "NAME", help_heading = "Keys")]
    pub mock_profile: Option<String>,

    /// What other programs have for what happens anyway, or by another name.
    #[command(flatten)]
    pub habits: Habits,

    /// The command to run for each item, instead of a workflow; no shell is involved
    #[arg(last = true, value_name = "COMMAND", help_heading = "Items")]
    pub command: Vec<OsString>,
}

impl RunArgs {
    /// Takes over what was said in other programs' words.
    pub(super) fn adopt_habits(&mut self) {
        if self.items.is_none() {
            self.items = self.habits.arg_file.take();
        }
        if self.max_fail.is_none() {
            self.max_fail = self.habits.most_failures().map(Limit::At);
        }
    }

    /// The rules that concern several options at once; a broken one is a sentence.
    ///
    /// `ends_in_separator`: whether the command line ended with the `--` that introduces a command.
    pub(super) fn check(&self, ends_in_separator: bool) -> Result<(), String> {
        if ends_in_separator || self.command.first().is_some_and(|program| program.is_empty()) {
            return Err("the command after '--' is empty".to_owned());
        }
        if self.habits.arg_file.is_some() {
            return Err("-a FILE is the same as ITEMS, which is one file: give one of them".to_owned());
        }
        let ways = [(self.items.is_some(), "ITEMS"), (!self.named.is_empty(), "--item"), (self.all, "--all")];
        let used: Vec<&str> = ways.iter().filter(|(is_used, _)| *is_used).map(|(_, name)| *name).collect();
        match used.as_slice() {
            [] => {
                return Err(
                    "name the items: a file, '-' for standard input, --item ID, or --all for every input without output"
                        .to_owned(),
                );
            }
            [_] => {}
            [first, second, ..] => {
                return Err(format!("{first} and {second} exclude each other: use one of them"));
            }
        }
        if self.lines && self.items.is_none() {
            return Err(format!(
                "--lines says how to read ITEMS; it means nothing together with {}",
                used[0]
            ));
        }
        self.list.check(used[0])?;
        if self.workflow.is_some() && !self.command.is_empty() {
            return Err("--workflow and a command after '--' exclude each other: use one of them".to_owned());
        }
        if self.all && !self.command.is_empty() {
            return Err(
                "--all takes the inputs of a workflow; for a command name the items in a file or with --item"
                    .to_owned(),
            );
        }
        if !self.with_key.is_empty() && self.command.is_empty() {
            return Err("--with-key is for commands: the built-in workflows ask for a key before each call"
                .to_owned());
        }
        Ok(())
    }
}
