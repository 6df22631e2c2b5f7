//! `N3_red`: the tests run before there is code, and are to fail.

use super::site::Site;
use super::test_run;
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// Runs the tests. Such as pass already prove nothing and are written anew.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let site = Site::open(work)?;
    let tests = test_run::run(work, &site)?;
    if tests.passed {
        work.state.reason = Some(
            "the tests pass before any code is written, also when written anew: either the design is built already, \
             or the test command does not run them"
                .into(),
        );
        work.state.findings = vec![
            "The tests pass although nothing of the design is built: each must fail until its requirement is met."
                .into(),
        ];
        return Ok(Done::findings("the tests pass without any code: they prove nothing"));
    }
    work.trace(lineage::Kind::Output, &tests.output)?;
    work.state.reason = None;
    work.state.findings.clear();
    let code = &mut work.state.code;
    let of_tests = code.files.iter().filter(|(path, _)| code.tests.contains(*path));
    code.seen_failing = of_tests.map(|(path, text)| (path.clone(), text.clone())).collect();
    // No proof that the new tests do not run: many a runner tells no more than that something failed.
    let same =
        if tests.failing == work.state.code.failed_before { ", as on the untouched worktree" } else { "" };
    Ok(Done::pass(format!("failing, as they should{same}: {}", tests.summary())))
}
