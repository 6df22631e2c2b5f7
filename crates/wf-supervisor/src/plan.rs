//! What a run will do with each item: facts from the disk and from earlier runs, put before `wf_core::resume`.
//!
//! Reading only. `--dry-run` shows the plan, a run carries it out.

pub mod recorded;
mod redoing;

use std::io::{self, BufRead, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wf_core::resume::{
    Checkpoint, CheckpointUse, Decision, Holder, InputState, ItemFacts, LastWork, decide, short_run,
};
use wf_core::{ItemId, PlanAction};
use wf_worker::workflow::Builtin;

use crate::cli::RunArgs;
use crate::cli::value::WorkflowName;
use crate::config::{InputSource, Settings, Work, WorkflowSettings};
use crate::exit::{Trouble, refused};
use crate::items::placeholders::shown;
use crate::items::{self, ItemSource, ItemSpec, Pattern, command_fingerprint, workflow_fingerprint};
use redoing::Redoing;

/// Tokens of a usual call: template, document, findings, and a reply of some pages.
const TOKENS_PER_CALL: u64 = 15_000;
/// Of these, what is not the input.
const TOKENS_BESIDE_INPUT: u64 = 12_000;

/// The items of a run, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// In order.
    pub items: Vec<ItemSpec>,
    /// Found by `--all`.
    pub by_all: bool,
    /// What people should know of them.
    pub warnings: Vec<String>,
}

/// Reads the items a command line names. Everything is checked before anything starts; a refusal has exit code 2.
pub fn gather(settings: &Settings, args: &RunArgs, stdin: impl BufRead) -> Result<Gathered, Trouble> {
    let refuse = |error: items::ItemsError| Trouble::Refused(error.to_string());
    if args.all {
        return match &settings.work {
            Work::Workflow(workflow) => match &workflow.input {
                InputSource::File(pattern) => {
                    let dir = &settings.project.dir;
                    let (items, mut warnings) =
                        pattern.inputs(dir, settings.work.prefix()).map_err(refuse)?;
                    if items.is_empty() && settings.dry_run {
                        warnings.push(format!("no input matches {} in {}", pattern.as_str(), dir.display()));
                    }
                    let items = args.list.selection().of(items).map_err(refuse)?;
                    Ok(Gathered { items, by_all: true, warnings })
                }
                InputSource::Command(_) => refused(format!(
                    "--all cannot know the inputs of {}, which a command makes: name the items",
                    workflow.name
                )),
            },
            Work::Command(_) => refused("--all takes the inputs of a workflow, and a command has none"),
        };
    }
    let source = match &args.items {
        Some(path) if path == Path::new("-") => ItemSource::Stdin,
        Some(path) => ItemSource::File(path.clone()),
        None => ItemSource::Named(args.named.clone()),
    };
    let cwd = &settings.project.cwd;
    let template = match &args.list.prompt_template {
        Some(path) => Some(items::TextTemplate::read(&cwd.join(path)).map_err(Trouble::Refused)?),
        None => None,
    };
    let reading = items::Reading {
        by_line: settings.lines,
        by_nul: args.list.null,
        prefix: settings.work.prefix(),
        id_field: args.list.id_field.as_deref(),
        text_field: args.list.text_field.as_deref(),
        template: template.as_ref(),
    };
    let items::Loaded { items, notices, textless } =
        items::load(&source, reading, cwd, stdin).map_err(refuse)?;
    let items = args.list.selection().of(items).map_err(refuse)?;
    if let Work::Command(command) = &settings.work {
        if let (Some(sentence), true, None) = (textless, command.carries_text(), &template) {
            return refused(sentence);
        }
        items::check_command(&items, command).map_err(refuse)?;
    }
    Ok(Gathered { items, by_all: false, warnings: notices })
}

/// What earlier and present runs know of an item. Those of mock runs are a past of their own.
pub trait Past {
    /// The last run that did something for it.
    fn last(&self, id: &ItemId) -> Option<LastWork>;
    /// SHA-256 (lower-case hexadecimal) of its output as we last wrote it.
    fn output_of_ours(&self, id: &ItemId) -> Option<String>;
    /// Its checkpoint.
    fn checkpoint(&self, id: &ItemId) -> Checkpoint;
    /// The run that works on it now.
    fn holder(&self, id: &ItemId) -> Option<Holder>;
}

/// A past in which nothing happened: a project without a state directory.
#[derive(Clone, Copy, Debug)]
pub struct NoPast;

impl Past for NoPast {
    fn last(&self, _: &ItemId) -> Option<LastWork> {
        None
    }
    fn output_of_ours(&self, _: &ItemId) -> Option<String> {
        None
    }
    fn checkpoint(&self, _: &ItemId) -> Checkpoint {
        Checkpoint::None
    }
    fn holder(&self, _: &ItemId) -> Option<Holder> {
        None
    }
}

/// An item with what will happen to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedItem {
    /// The item.
    pub item: ItemSpec,
    /// What makes it the same work, in lower-case hexadecimal.
    pub fingerprint: String,
    /// What happens to it and why.
    pub decision: Decision,
    /// SHA-256 of its output as we last wrote it.
    pub output_of_ours: Option<String>,
    /// Whether its input is missing or cannot be read.
    pub input_unusable: bool,
    /// Upper bound of its API calls; 0 for commands and for items that do not start.
    pub calls_at_most: u64,
    /// About how many tokens those take.
    pub tokens_about: u64,
    /// Where it would go on.
    pub next: Option<(String, u32)>,
    /// The run that did something for it last.
    pub last_run: Option<String>,
    /// It works only because it is redone.
    pub redo: bool,
    /// `--redo` concerns it, whether or not it would work without.
    pub redo_asked: bool,
    /// A redo that is not gone on with did not come to it.
    pub owes_redo: bool,
}

impl PlannedItem {
    /// Whether a worker is started for it.
    pub fn works(&self) -> bool {
        matches!(self.decision.action, PlanAction::Run | PlanAction::Resume | PlanAction::Rerun)
    }
}

/// The plan of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the list.
    pub items: Vec<PlannedItem>,
    /// Chosen by `--all`.
    pub by_all: bool,
    /// Whether API calls can be counted beforehand: for workflows, not for commands.
    pub counts_calls: bool,
}

impl Plan {
    /// Makes the plan. `by_all`: the items were found by `--all`.
    pub fn make(settings: &Settings, items: Vec<ItemSpec>, by_all: bool, past: &dyn Past) -> Plan {
        let counts_calls = matches!(settings.work, Work::Workflow(_));
        let redo = Redoing::of(settings, &items, past);
        let items = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| plan_item(settings, index, item, by_all, redo, past))
            .collect();
        Plan { items, by_all, counts_calls }
    }

    /// How many items have this action.
    pub fn count(&self, action: PlanAction) -> usize {
        self.items.iter().filter(|i| i.decision.action == action).count()
    }

    /// How many items a worker is started for.
    pub fn to_work_on(&self) -> usize {
        self.items.iter().filter(|i| i.works()).count()
    }

    /// Upper bound of all API calls.
    pub fn calls_at_most(&self) -> u64 {
        self.items.iter().map(|i| i.calls_at_most).sum()
    }

    /// About how many tokens those take.
    pub fn tokens_about(&self) -> u64 {
        self.items.iter().map(|i| i.tokens_about).sum()
    }

    /// Whether no item has a usable input, so that nothing can be done: exit code 2.
    pub fn all_inputs_unusable(&self) -> bool {
        !self.items.is_empty() && self.items.iter().all(|i| i.input_unusable)
    }

    /// The line that says how much was done before; `None` when nothing was.
    pub fn done_line(&self) -> Option<String> {
        let done: Vec<&PlannedItem> =
            self.items.iter().filter(|i| i.decision.action == PlanAction::Skip).collect();
        let mut runs: Vec<&str> = done.iter().filter_map(|i| i.last_run.as_deref()).collect();
        runs.sort_unstable();
        runs.dedup();
        let place = match runs.as_slice() {
            [run] => format!("run {}", short_run(run)),
            _ => "earlier runs".to_owned(),
        };
        (!done.is_empty()).then(|| {
            let owed = done.iter().filter(|i| i.owes_redo).count();
            let again = match owed {
                0 => "--redo repeats them".to_owned(),
                owed => format!("--redo goes on with {owed} of them that an unfinished redo did not come to"),
            };
            format!("{} of {} already done in {place}; {again}", done.len(), self.items.len())
        })
    }

    /// The one line of `--all` when there is nothing to work on and nothing wrong. `dir` is the project's.
    pub fn nothing_line(&self, workflow: &WorkflowSettings, dir: &Path) -> Option<String> {
        let quiet = |i: &PlannedItem| matches!(i.decision.action, PlanAction::Skip | PlanAction::Keep);
        if !self.by_all || !self.items.iter().all(quiet) {
            return None;
        }
        let pattern = match &workflow.input {
            InputSource::File(pattern) => pattern.as_str(),
            InputSource::Command(_) => "the inputs",
        };
        Some(match self.items.len() {
            0 => format!("nothing to do: no file matches {pattern} in {}", dir.display()),
            count => format!("nothing to do: {count} of {count} inputs ({pattern}) have their output"),
        })
    }
}

/// Where a workflow writes the output of an item, absolute; `None` where the output is no file. Those of mock runs lie
/// in the state directory and never count as the project's.
pub fn output_file(settings: &Settings, workflow: &WorkflowSettings, id: &ItemId) -> Option<PathBuf> {
    if workflow.name == WorkflowName::Implement {
        return None;
    }
    let path = workflow.output.path(id);
    Some(if settings.mock.is_some() {
        let inside = path.strip_prefix("/").unwrap_or(&path);
        settings.project.state_dir.join("mock").join(inside)
    } else {
        settings.project.dir.join(path)
    })
}

/// A workflow as the worker has it.
pub fn built_in(name: WorkflowName) -> Builtin {
    wf_worker::workflow::find(name.word())
        .expect("a test compares the worker's workflows with the names here")
}

fn plan_item(
    settings: &Settings,
    index: usize,
    item: ItemSpec,
    by_all: bool,
    redo: Redoing,
    past: &dyn Past,
) -> PlannedItem {
    let last = past.last(&item.id);
    let checkpoint = past.checkpoint(&item.id);
    let holder = past.holder(&item.id);
    let output_of_ours = past.output_of_ours(&item.id);
    let seen = match &settings.work {
        Work::Workflow(workflow) => see_workflow(settings, workflow, &item),
        Work::Command(template) => Seen {
            fingerprint: command_fingerprint(template.typed(), &settings.project.cwd, &item),
            start: first_line(&shown(&template.render(&crate::items::placeholders::Fill {
                text: item.text_or_id(),
                id: item.id.as_str(),
                position: index as u64 + 1,
                // Which slot and run it will be is not known yet.
                slot: 1,
                run: "{run}",
                attempt: 1,
            }))),
            ..Seen::default()
        },
    };
    let input = match &seen.unusable {
        Some(words) => InputState::Unusable(words),
        None if seen.input_bytes.is_some() => InputState::Present,
        None => InputState::NotNeeded,
    };
    let redo = redo.concerns(settings, &item.id, last.as_ref());
    let facts = ItemFacts {
        fingerprint: &seen.fingerprint,
        last: last.as_ref(),
        input,
        output: seen.output.as_deref(),
        output_on_disk: seen.output_sha256.as_deref(),
        output_of_ours: output_of_ours.as_deref(),
        checkpoint: &checkpoint,
        held_by: holder.as_ref(),
        redo,
        by_all,
        start: &seen.start,
    };
    let decision = decide(&facts);
    let works = |decision: &Decision| {
        matches!(decision.action, PlanAction::Run | PlanAction::Resume | PlanAction::Rerun)
    };
    let redo_asked = redo;
    let redo = redo && works(&decision) && !works(&decide(&ItemFacts { redo: false, ..facts }));
    let next = match checkpoint {
        Checkpoint::At { node, iteration } if decision.checkpoint == CheckpointUse::Continue => {
            Some((node, iteration))
        }
        _ => None,
    };
    let mut planned = PlannedItem {
        item,
        fingerprint: seen.fingerprint,
        decision,
        output_of_ours,
        input_unusable: seen.unusable.is_some(),
        calls_at_most: 0,
        tokens_about: 0,
        next,
        owes_redo: !redo && last.as_ref().is_some_and(|last| last.owes_redo),
        redo,
        redo_asked,
        last_run: last.map(|l| l.run),
    };
    if let (Work::Workflow(workflow), true) = (&settings.work, planned.works()) {
        let per_call = (seen.input_bytes.unwrap_or(0) / 4 + TOKENS_BESIDE_INPUT).max(TOKENS_PER_CALL);
        // Repeated calls after a refusal by the provider are the same call.
        let most = built_in(workflow.name).most_calls(workflow.max_iterations);
        planned.calls_at_most = u64::from(most);
        planned.tokens_about = planned.calls_at_most * per_call;
    }
    planned
}

/// What the disk says of an item.
#[derive(Default)]
struct Seen {
    fingerprint: String,
    start: String,
    unusable: Option<String>,
    input_bytes: Option<u64>,
    output: Option<String>,
    output_sha256: Option<String>,
}

fn see_workflow(settings: &Settings, workflow: &WorkflowSettings, item: &ItemSpec) -> Seen {
    let mut seen = Seen::default();
    let name = workflow.name.word();
    let from = match &workflow.input {
        InputSource::Command(command) => {
            let words: Vec<&[u8]> =
                std::iter::once(&b"command"[..]).chain(command.iter().map(String::as_bytes)).collect();
            seen.fingerprint = workflow_fingerprint(name, &words, item);
            let filled =
                command.iter().map(|w| w.replace("{id}", item.id.as_str()).into()).collect::<Vec<_>>();
            shown(&filled)
        }
        InputSource::File(pattern) => {
            let path = settings.project.dir.join(pattern.path(&item.id));
            let words = settings.project.shown(&path);
            match hash_file(&path) {
                Ok((sha256, bytes)) => {
                    seen.fingerprint = workflow_fingerprint(name, &[b"file", sha256.as_bytes()], item);
                    seen.input_bytes = Some(bytes);
                }
                Err(error) => {
                    seen.fingerprint = workflow_fingerprint(name, &[b"file"], item);
                    seen.unusable = Some(match error.kind() {
                        ErrorKind::NotFound => format!("input {words} not found"),
                        _ => format!("input {words} cannot be read: {error}"),
                    });
                }
            }
            words
        }
    };
    match output_file(settings, workflow, &item.id) {
        Some(path) => {
            let words = settings.project.shown(&path);
            seen.output_sha256 = match hash_file(&path) {
                Ok((sha256, _)) => Some(sha256),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                // Something is there that cannot be read: it is certainly not to be replaced.
                Err(_) => Some("unreadable".to_owned()),
            };
            seen.start = format!("{from} -> {words}");
            seen.output = Some(words);
        }
        None => seen.start = format!("{from} -> branch {}", branch(&workflow.output, &item.id)),
    }
    seen
}

fn branch(pattern: &Pattern, id: &ItemId) -> String {
    pattern.path(id).display().to_string()
}

/// SHA-256 in lower-case hexadecimal, and the size.
fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = wf_worker::open_regular(path)?;
    let mut hash = Sha256::new();
    let mut buffer = [0; 8 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok((items::hex(&hash.finalize()), bytes))
}

/// A command in a table has one line of bounded length.
fn first_line(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
