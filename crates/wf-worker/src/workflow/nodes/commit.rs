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
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let place = work.state.code.place.clone();
    let before = site::repository(work)?.committed(&place)?;
    let (commit, how) = match before {
        Some(commit) => (commit, "committed before"),
        None => (make(work)?, "committed"),
    };
    site::repository(work)?.remove()?;
    work.state.output = Some((place.branch.clone(), output::sha256(commit.as_bytes())));
    work.state.reason = None;
    let short: String = commit.chars().take(12).collect();
    work.record("written", &format!("{} at {commit}", place.branch));
    let apart = match &work.code_job()?.repository {
        Some(repository) => format!(" of {}", work.shown(repository)),
        None => String::new(),
    };
    Ok(Done::pass(format!("{how} as {short} on branch {}{apart}", place.branch)))
}

fn make(work: &mut Work) -> Result<String, Halt> {
    let site = Site::open(work)?;
    let files = site.files_to_commit(work)?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let repository = site::repository(work)?;
    {
        let _lock = repository.lock(&work.state.code.place.branch)?;
        site.changes(work).commit(&files, &message(work))?;
    }
    let place = &work.state.code.place;
    repository.committed(place)?.ok_or_else(|| {
        Halt::Failed(format!("branch {} does not have the commit that was made", place.branch))
    })
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
