//! `N5_green`: the tests run on the code, and are to pass.

use super::site::Site;
use super::test_run;
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// As often in a row the same may fail before the tests are frozen, and before it is given up.
const FREEZE: u32 = 2;
const GIVE_UP: u32 = 3;

/// Runs the tests. What fails goes back to the code.
pub fn run(work: &mut Work, at: &Position) -> Result<Done, Halt> {
    let site = Site::open(work)?;
    let tests = test_run::run(work, &site)?;
    work.state.findings.clear();
    if tests.passed {
        work.state.code.passes();
        work.state.reason = None;
        return Ok(Done::pass("the tests pass"));
    }
    work.trace(lineage::Kind::Output, &tests.output)?;
    let summary = tests.summary();
    work.remember(&format!("Iteration {}, the tests failed: {summary}", at.iteration));
    let repeated = work.state.code.fails(tests.failing, tests.output);
    if repeated >= GIVE_UP {
        work.state.reason = Some(format!("stagnated: the same fails {repeated} times in a row: {summary}"));
        return Ok(Done::undecided(format!("{summary}, the same {repeated} times in a row: stagnated")));
    }
    let plural = if at.iteration == 1 { "" } else { "s" };
    work.state.reason = Some(format!("the tests fail after {} iteration{plural}: {summary}", at.iteration));
    if repeated >= FREEZE {
        work.state.code.frozen = true;
        return Ok(Done::findings(format!(
            "{summary}, the same as before: the tests are frozen, another approach is asked for"
        )));
    }
    Ok(Done::findings(summary))
}
