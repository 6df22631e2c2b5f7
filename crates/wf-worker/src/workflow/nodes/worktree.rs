//! `N1_worktree`: a worktree and a branch of the item's own.

use std::path::PathBuf;

use super::site::{self, Site};
use super::test_run;
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::code::Code;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// Makes the worktree, or takes up the one an earlier try left, and tries the test command in it.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let branch = PathBuf::from(&work.job.output).display().to_string();
    let ours = work.job.our_output_sha256.as_deref();
    let mut kept = None;
    let repository = site::repository(work)?;
    let (place, how) = repository.prepare(&branch, ours, &mut |diff| {
        kept = Some(work.trace(lineage::Kind::Leftover, diff)?);
        Ok(())
    })?;
    if let Some(path) = kept {
        let line =
            format!("uncommitted work of an earlier try was in the way: it is kept in {}", work.shown(&path));
        work.console.say(&line);
    }
    let shown = work.shown(&work.code_job()?.worktree);
    let base: String = place.base.chars().take(12).collect();
    let line = format!("{shown} {how}, branch {} at {base}", place.branch);
    work.state.code = Code { place, ..Code::default() };
    work.visited = true;
    let site = Site::open(work)?;
    let tests = test_run::run_untouched(work, &site)?;
    let stand = if tests.passed {
        "the tests pass there".to_owned()
    } else {
        format!("there the tests fail already, {}", tests.summary())
    };
    work.state.code.failed_before = tests.failing;
    Ok(Done::pass(format!("{line}; {stand}")))
}
