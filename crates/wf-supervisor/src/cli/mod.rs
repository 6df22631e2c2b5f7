//! The command line: every verb, option, default and help text.

mod habits;
mod list;
mod run;
pub mod value;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub use run::RunArgs;
use value::ColorMode;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "wf-supervisor",
    version,
    about = "Runs a list of items through a workflow, many at once, on one shared pool of API keys",
    long_about = "Runs a list of items through a workflow, many at once, each in a process of its own, on one shared \
                  pool of API keys, and loses nothing when a key, a worker, the network or the operator stops.",
    after_help = "Examples:
  wf-supervisor run --parallel 5 items.txt             draft a design for every issue listed
  wf-supervisor run --all --dry-run                    what would run, and why
  wf-supervisor run tasks.txt --lines -- ./my-agent {}   any command, once per line
  wf-supervisor show                                   how the latest run went

Without configuration the keys are taken from GEMINI_API_KEY (GOOGLE_API_KEY), ANTHROPIC_API_KEY and OPENAI_API_KEY.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The configuration file [default: wf.toml in this directory or the nearest above it]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Where runs, logs and checkpoints are kept [default: .wf beside wf.toml, or at the repository root, or here]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// Say more: where each setting came from (-v), diagnostics (-vv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say less: problems and results only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colour [default: auto, which heeds `NO_COLOR`]
    #[arg(long, value_name = "WHEN", value_enum, hide_possible_values = false, global = true)]
    pub color: Option<ColorMode>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a batch: every item through a workflow, or through a command after `--`
    Run(Box<RunArgs>),
    /// Write a commented wf.toml, made from what is found here
    #[command(
        after_help = "Writes wf.toml into this directory (or to --config FILE). An existing file is never replaced.

With --prompts the templates go where the configuration says (prompts = \"DIR\"), else into prompts/ beside wf.toml,
which is written only where there is none yet. A template that was edited is kept."
    )]
    Init(InitArgs),
    /// Try it: ten example issues become reviewed designs, without keys and without network
    #[command(after_help = "Example: wf-supervisor demo && cd wf-demo && wf-supervisor show")]
    Demo(DemoArgs),
    /// List runs, newest first
    #[command(after_help = "Examples:\n  wf-supervisor list\n  wf-supervisor list --json | jq '.[0].id'")]
    List(ListArgs),
    /// Show one run's summary, or the story of one item
    #[command(after_help = "Examples:
  wf-supervisor show                      the latest run, also while it runs
  wf-supervisor show 7f3a                 a run by its id, or the end of it
  wf-supervisor show --item 42            what happened to item 42")]
    Show(ShowArgs),
    /// Print what an item's worker wrote
    #[command(after_help = "Examples:
  wf-supervisor logs 42
  wf-supervisor logs 42 -f --run 7f3a
  wf-supervisor logs '#16' --attempt 2    the sixteenth item's second try
  wf-supervisor logs --failed             all that failed in the latest run")]
    Logs(LogsArgs),
    /// Show the key pool: names, limits, what is left, state; never a secret
    #[command(after_help = "Exit codes: 0; with --check 1 when a key was refused or could not be checked.")]
    Keys(KeysArgs),
    /// Describe the built-in workflows: nodes, inputs, outputs, models
    Workflows,
    /// Parse review documents and print their verdicts
    #[command(after_help = "Exit codes: 0 all approved, 1 not all, 2 a document could not be read.
Examples:
  wf-supervisor review-verdict review.md
  wf-supervisor review-verdict --json reviews/*.md
  ./reviewer | wf-supervisor review-verdict -")]
    ReviewVerdict(ReviewVerdictArgs),
    /// Delete old runs' directories; never what marks an item as done
    #[command(
        after_help = "Examples:\n  wf-supervisor clean --keep 20\n  wf-supervisor clean --older-than 30d --dry-run"
    )]
    Clean(CleanArgs),
    /// Print shell completions
    #[command(
        after_help = "Example: wf-supervisor completions bash > ~/.local/share/bash-completion/completions/wf-supervisor"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page
    #[command(after_help = "Example: wf-supervisor man | man -l -")]
    Man,
}

/// `init`.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Write the prompt templates of the built-in workflows out for editing
    #[arg(long)]
    pub prompts: bool,
}

/// `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Where to; made if it is not there
    #[arg(long, value_name = "DIR", default_value = crate::commands::demo::DIR)]
    pub dir: PathBuf,
}

/// `list`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// The run's id, or the end of it [default: the latest]
    pub run: Option<String>,
    /// The story of this item instead
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// A line for every item, also of a long run, which else counts what is done or was skipped
    #[arg(long)]
    pub all: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `logs`.
#[derive(Args, Clone, Debug)]
pub struct LogsArgs {
    /// The item: its id, a beginning of it, the hash at its end, or its position as '#16'
    #[arg(required_unless_present = "failed")]
    pub item: Option<String>,
    /// The outputs of all items that failed, of the latest run or of --run
    #[arg(long, conflicts_with_all = ["item", "attempt", "follow"])]
    pub failed: bool,
    /// Only what this attempt wrote, from 1
    #[arg(long, value_name = "N", value_parser = value::positive, conflicts_with = "follow")]
    pub attempt: Option<u32>,
    /// The run's id, or the end of it [default: the latest that has the item]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Wait for more until the item has ended
    #[arg(short, long)]
    pub follow: bool,
}

/// `keys`.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    /// Make one harmless request per key (it lists models, which costs nothing)
    #[arg(long)]
    pub check: bool,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `review-verdict`.
#[derive(Args, Clone, Debug)]
pub struct ReviewVerdictArgs {
    /// The documents; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `clean`.
#[derive(Args, Clone, Debug)]
pub struct CleanArgs {
    /// Keep the newest N runs [default: 10, when --older-than is not given either]
    #[arg(long, value_name = "N", value_parser = value::count)]
    pub keep: Option<u32>,
    /// Delete only runs that started longer ago than this, such as 12h or 30d
    #[arg(long, value_name = "DUR", value_parser = value::time_or_zero)]
    pub older_than: Option<Duration>,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Reads a command line, `args[0]` being the program. Errors are clap's: usage errors have exit code 2, `--help` and
/// `--version` have 0.
pub fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let mut cli = Cli::try_parse_from(args).map_err(|error| habits::explain(error, args))?;
    if let Verb::Run(run) = &mut cli.verb {
        run.adopt_habits();
        let ends_in_separator =
            args.iter().position(|a| a == OsStr::new("--")).is_some_and(|at| at + 1 == args.len());
        run.check(ends_in_separator).map_err(|sentence| {
            let mut command = Cli::command();
            command.build();
            let run = command.find_subcommand_mut("run").expect("the verb just parsed is a subcommand");
            run.error(ErrorKind::ValueValidation, sentence)
        })?;
    }
    Ok(cli)
}

/// The command as clap knows it, for completions and the manual page.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
