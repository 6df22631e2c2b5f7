//! What people type who come from `parallel`, `xargs` and test runners: taken where it means the same here, and answered with the
//! right word where it does not.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory as _, Parser as _};

use super::{Cli, Verb};
use crate::items::placeholders::shown;

/// Options of other programs that mean the same here. None is shown in help.
#[derive(Args, Clone, Debug, Default)]
pub struct Habits {
    /// ITEMS, as `parallel` and `xargs` have it
    #[arg(short = 'a', long, value_name = "FILE", hide = true)]
    pub arg_file: Option<PathBuf>,
    /// What happens anyway
    #[arg(long, alias = "resume-failed", hide = true)]
    pub resume: bool,
    /// The bar that is there anyway
    #[arg(long, alias = "eta", hide = true)]
    pub bar: bool,
    /// `--max-fail 1`
    #[arg(long, hide = true)]
    pub fail_fast: bool,
    /// `--max-fail N`
    #[arg(long, value_name = "WHEN", hide = true, value_parser = halt)]
    pub halt: Option<Halt>,
}

/// When `parallel --halt` starts nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Never.
    Never,
    /// After so many failures.
    After(u32),
}

impl Habits {
    /// What `--max-fail` would be.
    pub fn most_failures(&self) -> Option<u32> {
        match self.halt {
            Some(Halt::After(failures)) => Some(failures),
            Some(Halt::Never) | None => self.fail_fast.then_some(1),
        }
    }

    /// What the user should know of how it was understood.
    pub fn notices(&self, command: &[OsString]) -> Vec<String> {
        let mut notices = Vec::new();
        if self.resume {
            notices.push(
                "--resume changes nothing: a run always goes on where the same command stopped before"
                    .to_owned(),
            );
        }
        notices.extend(foreign_placeholder(command).map(|word| {
            format!("{word} is no placeholder here and stays as it is: an item has one text, which is {{}}")
        }));
        notices
    }
}

/// `parallel`'s numbered and named columns, and its code between `{=` and `=}`.
fn foreign_placeholder(command: &[OsString]) -> Option<String> {
    command.iter().filter_map(|word| word.to_str()).flat_map(|word| word.split('{').skip(1)).find_map(
        |rest| {
            let (inside, _) = rest.split_once('}')?;
            let number = inside.trim_start_matches(['-', '+']).trim_end_matches(['.', '/']);
            let is_column =
                !number.is_empty() && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
            (is_column || (inside.starts_with('=') && inside.ends_with('='))).then(|| format!("{{{inside}}}"))
        },
    )
}

fn halt(text: &str) -> Result<Halt, String> {
    let (when, what) = text.split_once(',').unwrap_or((text, ""));
    let count = what.strip_prefix("fail=").and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0);
    match (when, count) {
        ("never" | "0", None) if what.is_empty() => Ok(Halt::Never),
        ("soon", Some(failures)) => Ok(Halt::After(failures)),
        ("now", Some(failures)) => Err(format!(
            "what runs already is not killed here: --max-fail {failures} starts nothing more and lets it finish"
        )),
        _ => Err("of this only soon,fail=N is known, which is --max-fail N".to_owned()),
    }
}

/// Words of other programs, and what to use here.
const OPTIONS: [(&[&str], &str); 12] = [
    (
        &["-k", "--keep-order"],
        "outputs are shown as they come, each line with its item's name; --output grouped shows each item's in one piece, and \
         `wf-supervisor logs ITEM` prints one",
    ),
    (
        &["-u", "--ungroup", "--line-buffer", "--lb", "--tag"],
        "that is --output prefixed, which is the default",
    ),
    (&["--group"], "that is --output grouped"),
    (&["--dryrun"], "that is --dry-run"),
    (&["--no-fail-fast", "--keep-going"], "the run goes on after a failure anyway; --max-fail N ends that"),
    (&["--shuf"], "items are taken in the order of the list; --sample N takes N of them by chance"),
    (&["-X", "-m", "-n", "-L", "-N", "--max-args", "--max-lines"], "each item is started alone"),
    (&["-I", "-i", "--replace"], "the item's text is {} in the command after --"),
    (
        &["-d", "--delimiter", "--colsep", "-C", "--csv"],
        "items end with a line or, with --null, with a NUL; .csv and .tsv files have columns",
    ),
    (
        &["--pipe", "--pipepart", "--pipe-part"],
        "the item's text is {} in the command, and in the variable WF_ITEM_TEXT",
    ),
    (
        &["--results", "--outputasfiles", "--files"],
        "each item's output is kept anyway: `wf-supervisor logs ITEM` prints it",
    ),
    (&["-S", "--sshlogin", "-M", "--sqlmaster"], "everything runs on this machine"),
];

/// Words that people try as verbs, and what to type here.
const VERBS: [(&[&str], &str); 9] = [
    (&["status", "report", "summary", "info", "result", "results"], "wf-supervisor show"),
    (
        &["watch", "top", "progress"],
        "wf-supervisor show, also while it runs; wf-supervisor logs ITEM -f follows one item",
    ),
    (
        &["retry", "rerun", "redo"],
        "wf-supervisor run ... with the same options: what failed is run again; --redo runs again what is done",
    ),
    (
        &["resume", "continue"],
        "wf-supervisor run ... with the same options: it goes on where the last run stopped",
    ),
    (
        &["stop", "kill", "cancel"],
        "Ctrl+C in its terminal, or kill -INT with the number that wf-supervisor show tells",
    ),
    (&["ps", "ls", "history", "runs", "jobs"], "wf-supervisor list"),
    (&["log", "output", "tail", "cat"], "wf-supervisor logs ITEM"),
    (
        &["start", "exec", "batch", "dry-run", "plan"],
        "wf-supervisor run ITEMS, with --dry-run to see first what it would do",
    ),
    (
        &["version", "config"],
        "wf-supervisor --version, or wf-supervisor run ITEMS --dry-run -v for the settings",
    ),
];

/// Makes clap's error say what to type. What it says of its own is kept, but for the advice to hide an option behind `--`,
/// which would be run as a program.
pub(super) fn explain(mut error: clap::Error, args: &[OsString]) -> clap::Error {
    let words = args.get(1..).unwrap_or_default();
    let own = &words[..words.iter().position(|word| word == "--").unwrap_or(words.len())];
    if let Some(sentence) = answer(&error, own, words) {
        let mut command = Cli::command();
        return command.error(error.kind(), sentence);
    }
    if error.kind() == ErrorKind::UnknownArgument {
        error.remove(ContextKind::Suggested);
    }
    error
}

fn answer(error: &clap::Error, own: &[OsString], words: &[OsString]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand) {
        return None;
    }
    let found = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let has_verb =
        own.iter().any(|word| word.to_str().is_some_and(|word| names.iter().any(|name| name == word)));
    if !has_verb {
        let word = found(ContextKind::InvalidSubcommand);
        if let Some((_, instead)) = VERBS.iter().find(|(known, _)| known.contains(&word.as_str())) {
            return Some(format!("there is no verb '{word}': type {instead}"));
        }
        return meant_for_run(words);
    }
    if own.first().is_none_or(|verb| verb != "run") {
        return None;
    }
    if let Some(at) = own.iter().position(|word| word.to_str().is_some_and(|w| w.starts_with(":::"))) {
        return Some(list_answer(own, at, words));
    }
    let argument = found(ContextKind::InvalidArg);
    let name = argument.split('=').next().unwrap_or_default();
    if let Some((_, instead)) = OPTIONS.iter().find(|(known, _)| known.contains(&name)) {
        return Some(format!("there is no option {name} here: {instead}"));
    }
    (!argument.starts_with('-')).then(|| {
        format!(
            "'{argument}' is one word too many: ITEMS is one file (cat A B | wf-supervisor run - ...), and a command stands \
             after --, as in: wf-supervisor run ITEMS -- COMMAND {{}}"
        )
    })
}

/// Where the whole line would do as one of `run`: that line.
fn meant_for_run(words: &[OsString]) -> Option<String> {
    let line: Vec<OsString> =
        ["wf-supervisor", "run"].map(OsString::from).into_iter().chain(words.iter().cloned()).collect();
    let Verb::Run(run) = Cli::try_parse_from(&line).ok()?.verb else { return None };
    let is_list = run.items.as_ref().is_none_or(|path| {
        path == OsStr::new("-")
            || path.extension().is_some()
            || path.components().count() > 1
            || path.exists()
    });
    is_list.then(|| format!("the verb is missing: did you mean\n  {}", shown(&line)))
}

/// The way to give items on the command line, as a line to type.
fn list_answer(own: &[OsString], at: usize, words: &[OsString]) -> String {
    let items: Vec<OsString> =
        own[at + 1..].iter().filter(|w| !w.as_encoded_bytes().starts_with(b":::")).cloned().collect();
    // `parallel` has the command before the list.
    let command = match words.get(own.len() + 1..) {
        Some(command) if !command.is_empty() => shown(command),
        _ => match &own[1..at] {
            [] => "COMMAND {}".to_owned(),
            before => shown(before),
        },
    };
    format!(
        "items are not given with {}: use --item for each, or type\n  printf '%s\\n' {} | wf-supervisor run - --lines -- {command}",
        own[at].to_string_lossy(),
        shown(&items)
    )
}
