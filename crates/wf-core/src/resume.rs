//! What happens to an item at the start of a run, decided from what is known of it.
//!
//! The shell gathers [`ItemFacts`] (records, files, locks); [`decide`] answers with the [`PlanAction`] and the words for
//! `--dry-run`. Records of mock runs are facts for mock runs only: the shell must not mix them.

use crate::{Outcome, PlanAction};

/// The last run that did something for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWork {
    /// The run's id.
    pub run: String,
    /// How the item ended there; `None` when that run was killed while the item was begun.
    pub outcome: Option<Outcome>,
    /// What made it the same work then.
    pub fingerprint: String,
    /// A later run meant to do it again (`--redo`) and ended before it came to it.
    pub owes_redo: bool,
}

/// The item's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// There is none.
    None,
    /// One of a built-in workflow, which will go on here.
    At {
        /// The node that is next.
        node: String,
        /// Which round of the revise loop, from 1.
        iteration: u32,
    },
    /// One that only its command can read.
    Opaque,
    /// One that cannot be used, with the reason.
    Corrupt(String),
}

/// What an item's input is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputState<'a> {
    /// Nothing has to be there: a command, or an input made by one.
    NotNeeded,
    /// It is there.
    Present,
    /// It cannot be used; the words say which and why, as in `input issues/43.md not found`.
    Unusable(&'a str),
}

/// A run that works on the item now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The supervisor's process id.
    pub pid: u32,
}

/// All that a decision depends on.
#[derive(Clone, Debug)]
pub struct ItemFacts<'a> {
    /// What makes the item the same work now.
    pub fingerprint: &'a str,
    /// The last run that did something for it.
    pub last: Option<&'a LastWork>,
    /// Its input.
    pub input: InputState<'a>,
    /// Its output's path as people should see it; `None` where there is no such file (commands, branches).
    pub output: Option<&'a str>,
    /// SHA-256 of the output as it is, `None` when there is no such file.
    pub output_on_disk: Option<&'a str>,
    /// SHA-256 of the output as we last wrote it.
    pub output_of_ours: Option<&'a str>,
    /// Its checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// Who works on it.
    pub held_by: Option<&'a Holder>,
    /// The item is to be done again, or to go on where a person had to look (`--redo`).
    pub redo: bool,
    /// Chosen by `--all`, which leaves items alone that have an output.
    pub by_all: bool,
    /// The words for an item that simply starts: `issues/42.md -> docs/lld/LLD-42.md`, or the command.
    pub start: &'a str,
}

/// What is done with the checkpoint before the item starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointUse {
    /// Nothing: there is none, or the item does not start.
    None,
    /// The item goes on from it.
    Continue,
    /// It is moved aside, and the item starts from the beginning.
    SetAside,
}

/// What happens to an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub action: PlanAction,
    /// Why, for people; for an item that starts, what it makes of what.
    pub words: String,
    /// What is done with its checkpoint.
    pub checkpoint: CheckpointUse,
    /// Whether its output goes beside the file that is there, because that is not byte for byte what we wrote.
    pub beside: bool,
}

/// The short form of a run's id: what follows its last dash (`7f3a`).
pub fn short_run(run: &str) -> &str {
    run.rsplit('-').next().unwrap_or(run)
}

/// Where an output goes when the file in its place is not ours: `docs/LLD-42.md` becomes `docs/LLD-42.new.md`.
pub fn beside(output: &str) -> String {
    let name = output.rfind('/').map_or(0, |slash| slash + 1);
    match output[name..].rfind('.').filter(|dot| *dot > 0) {
        Some(dot) => format!("{}.new{}", &output[..name + dot], &output[name + dot..]),
        None => format!("{output}.new"),
    }
}

/// Decides what happens to an item. Total: every combination of facts has an answer.
pub fn decide(facts: &ItemFacts<'_>) -> Decision {
    if let Some(holder) = facts.held_by {
        return stays(
            PlanAction::Fail,
            format!("run {} (process {}) is working on it", holder.run, holder.pid),
        );
    }
    if let InputState::Unusable(words) = facts.input {
        return stays(PlanAction::Fail, words.to_owned());
    }
    match facts.last {
        Some(last) if last.fingerprint == facts.fingerprint => match last.outcome {
            Some(outcome) if outcome.is_done() => done(facts, last),
            Some(Outcome::NeedsRevision) if !facts.redo => stays(
                PlanAction::NeedsRevision,
                format!("needs revision since run {}; --redo continues it", short_run(&last.run)),
            ),
            _ => go_on(facts),
        },
        // Never begun: nothing of it can be out of date.
        Some(LastWork { outcome: Some(Outcome::NotStarted), .. })
            if *facts.checkpoint == Checkpoint::None =>
        {
            go_on(facts)
        }
        Some(last) => {
            let what =
                if facts.input == InputState::Present { "input" } else { "command, text or environment" };
            starts(facts, PlanAction::Rerun, format!("{what} changed since run {}", short_run(&last.run)))
        }
        None => match (facts.output, facts.output_on_disk) {
            (Some(output), Some(_)) if facts.by_all && !is_ours(facts) => {
                stays(PlanAction::Keep, format!("{output} exists and is not ours"))
            }
            _ => go_on(facts),
        },
    }
}

/// An item that a run finished, with nothing changed since.
fn done(facts: &ItemFacts<'_>, last: &LastWork) -> Decision {
    let run = short_run(&last.run);
    if facts.redo {
        return starts(facts, PlanAction::Run, format!("{} again, done in run {run}", facts.start));
    }
    match (facts.output, facts.output_on_disk) {
        (Some(output), None) => starts(facts, PlanAction::Rerun, format!("{output} is gone since run {run}")),
        (Some(output), Some(_)) if facts.output_of_ours.is_none() => stays(
            PlanAction::Skip,
            format!(
                "done in run {run}; {output} stays, as nothing tells whether it is what was written then"
            ),
        ),
        (Some(output), Some(_)) if !is_ours(facts) => {
            stays(PlanAction::Skip, format!("done in run {run}; {output} was changed since and stays"))
        }
        _ if last.owes_redo => {
            stays(PlanAction::Skip, format!("done in run {run}; --redo was not through with it"))
        }
        _ => stays(PlanAction::Skip, format!("done in run {run}")),
    }
}

/// An item that is not done and whose facts have not changed: from its checkpoint, or from the beginning.
fn go_on(facts: &ItemFacts<'_>) -> Decision {
    match facts.checkpoint {
        Checkpoint::None => {
            let before = match facts.last {
                Some(LastWork { run, outcome: Some(outcome), .. }) if outcome.is_failure() => {
                    format!(", {outcome} in run {}", short_run(run))
                }
                _ => String::new(),
            };
            starts(facts, PlanAction::Run, format!("{}{before}", facts.start))
        }
        Checkpoint::At { node, iteration } => continues(facts, format!("at {node}, iteration {iteration}")),
        Checkpoint::Opaque => continues(facts, "from its checkpoint".to_owned()),
        Checkpoint::Corrupt(why) if facts.redo => {
            starts(facts, PlanAction::Run, format!("{}, its checkpoint set aside: {why}", facts.start))
        }
        Checkpoint::Corrupt(why) => stays(
            PlanAction::Fail,
            format!("its checkpoint cannot be used: {why}; --redo sets it aside and starts again"),
        ),
    }
}

fn stays(action: PlanAction, words: String) -> Decision {
    Decision { action, words, checkpoint: CheckpointUse::None, beside: false }
}

fn starts(facts: &ItemFacts<'_>, action: PlanAction, words: String) -> Decision {
    let checkpoint =
        if *facts.checkpoint == Checkpoint::None { CheckpointUse::None } else { CheckpointUse::SetAside };
    works(facts, action, words, checkpoint)
}

fn continues(facts: &ItemFacts<'_>, words: String) -> Decision {
    works(facts, PlanAction::Resume, words, CheckpointUse::Continue)
}

fn works(
    facts: &ItemFacts<'_>,
    action: PlanAction,
    mut words: String,
    checkpoint: CheckpointUse,
) -> Decision {
    let beside_it = facts.output_on_disk.is_some() && !is_ours(facts);
    if let (true, Some(output)) = (beside_it, facts.output) {
        words = format!("{words}; {output} is not ours and stays, the new one goes to {}", beside(output));
    }
    Decision { action, words, checkpoint, beside: beside_it && facts.output.is_some() }
}

fn is_ours(facts: &ItemFacts<'_>) -> bool {
    facts.output_on_disk.is_some() && facts.output_on_disk == facts.output_of_ours
}

#[cfg(test)]
mod tests;
