//! `N4_finalize`: the approved document in its place, durable, and committed where that is asked for.

use std::fs;
use std::path::Path;

use crate::console::one_line;
use crate::git::{Committed, Git};
use crate::halt::Halt;
use crate::output;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// Longest title in a commit's subject, in bytes.
const SUBJECT_BYTES: usize = 60;

/// Writes the output. It may run again after it was interrupted: the same bytes in the same place are no conflict.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let wanted = work.output_path();
    output::remove_unfinished(&wanted);
    output::remove_unfinished(&output::marked(&work.output_path(), "draft"));
    let bytes = work.state.document.as_bytes();
    let before = work.state.output.as_ref().map(|(_, sha256)| sha256);
    let ours: Vec<&str> = work.job.our_output_sha256.iter().chain(before).map(String::as_str).collect();
    let placed = output::place(&wanted, bytes, &ours)
        .map_err(|e| Halt::Failed(format!("output {} cannot be written: {e}", work.shown(&wanted))))?;
    let shown = work.shown(&placed.path);
    work.record("written", &shown);
    if placed.beside {
        work.console.say(&format!("{} exists and is not ours: the new one is {shown}", work.shown(&wanted)));
    }
    work.state.output = Some((shown.clone(), output::sha256(bytes)));
    work.state.reason = None;
    remove_kept_draft(work);
    let committed = match (work.job.commit, placed.beside) {
        (false, _) => "",
        (true, true) => ", not committed because it stands beside the output",
        (true, false) => {
            let git = Git { dir: &work.job.project_dir, console: &work.console, stop: &work.stop };
            match git.commit(Path::new(&shown), &message(work))? {
                Committed::Yes => ", committed",
                Committed::Already => ", committed before",
                Committed::NoRepository => ", not committed: no git repository here",
                Committed::Ignored => ", not committed: git ignores it",
            }
        }
    };
    Ok(Done::pass(format!("{shown}{committed}")))
}

/// A draft kept for a person who had to look is of no use once the document is approved. One that was edited stays.
fn remove_kept_draft(work: &Work) {
    let path = output::marked(&work.output_path(), "draft");
    let is_ours = fs::read(&path).is_ok_and(|bytes| work.state.kept_drafts.contains(&output::sha256(&bytes)));
    if is_ours && let Err(error) = fs::remove_file(&path) {
        log::warn!("{} cannot be removed: {error}", path.display());
    }
}

fn message(work: &Work) -> String {
    let title = work.state.document.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    let title = one_line(title, SUBJECT_BYTES);
    // Titles often begin with the label itself, or with the document's kind.
    let kind = work.label.split_once('-').map_or("", |(kind, _)| kind);
    let title = [&work.label, kind].iter().find_map(|p| title.strip_prefix(*p)).unwrap_or(&title);
    let title = title.trim_start_matches([':', ' ', '-']);
    let subject = if title.is_empty() { work.kind.document } else { title };
    let (drafter, reviewer) = (&work.job.drafter.model, &work.job.reviewer.model);
    let reviews = match work.state.reviews {
        1 => "the first review".to_owned(),
        n => format!("{n} reviews"),
    };
    format!("{}: {subject}\n\nDrafted by {drafter}, approved by {reviewer} after {reviews}.", work.label)
}
