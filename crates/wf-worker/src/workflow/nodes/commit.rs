//! `N7_commit`: the approved code as one commit on the item's branch; the worktree is not needed any more.

use super::site::{self, Site};
use crate::console::one_line;
use crate::halt::Halt;
use crate::output;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// Longest title in a commit's subject, in bytes.
const SUBJECT_BYTES: usize = 60;

/// Commits, and removes the worktree: a branch that is checked out somewhere can be neither switched to nor deleted. It
/// may run again after it was interrupted.
///
/// The work is known to be committed by what the branch's last commit holds. Tests and persons make commits there too,
/// and one of those taken for ours would have the worktree removed with the only copy of what was approved.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let (commit, how) = committed(work)?;
    let place = work.state.code.place.clone();
    // The work is safe, whatever keeps its worktree from going.
    let left = match site::repository(work)?.remove() {
        Err(Halt::Failed(why)) => format!("; the worktree stays: {why}"),
        other => other.map(|()| String::new())?,
    };
    work.state.output = Some((place.branch.clone(), output::sha256(commit.as_bytes())));
    work.state.reason = None;
    let short: String = commit.chars().take(12).collect();
    work.record("written", &format!("{} at {commit}", place.branch));
    let apart = match &work.code_job()?.repository {
        Some(repository) => format!(" of {}", work.shown(repository)),
        None => String::new(),
    };
    Ok(Done::pass(format!("{how} as {short} on branch {}{apart}{left}", place.branch)))
}

/// The commit that has the approved files, and whether it was there before.
fn committed(work: &mut Work) -> Result<(String, &'static str), Halt> {
    let site = Site::open(work)?;
    let files = site.files_to_commit(work)?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let place = &work.state.code.place;
    let repository = site::repository(work)?;
    let changes = site.changes(work);
    let _lock = repository.lock(&place.branch)?;
    if let Some(before) = repository.beyond(place)?.filter(|beyond| beyond.commits > 0) {
        if changes.are_in(&before.tip, &files)? {
            return Ok((before.tip, "committed before"));
        }
        work.console.say(&format!(
            "branch {} has {} that its tests or a person made: the approved code goes on top",
            place.branch,
            match before.commits {
                1 => "a commit".to_owned(),
                n => format!("{n} commits"),
            }
        ));
    }
    changes.commit(&files, &message(work))?;
    match repository.beyond(place)? {
        Some(after) if changes.are_in(&after.tip, &files)? => Ok((after.tip, "committed")),
        _ => Err(Halt::Failed(format!(
            "branch {} does not have the files that were committed: they are in {}",
            place.branch,
            work.shown(&work.code_job()?.worktree)
        ))),
    }
}

fn message(work: &Work) -> String {
    let heading = work.state.input.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    // Designs are called by their label, or by what they are.
    let title = match heading.split_once(": ") {
        Some((label, rest)) if !label.trim().contains(' ') => rest,
        _ => heading,
    };
    let title = one_line(title, SUBJECT_BYTES);
    let subject = if title.is_empty() { work.kind.document } else { &title };
    let (drafter, reviewer) = (&work.job.drafter.model, &work.job.reviewer.model);
    let reviews = match work.state.reviews {
        1 => "the first review".to_owned(),
        n => format!("{n} reviews"),
    };
    format!("{}: {subject}\n\nWritten by {drafter}, approved by {reviewer} after {reviews}.", work.label)
}
