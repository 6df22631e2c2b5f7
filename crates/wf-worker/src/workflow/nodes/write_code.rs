//! `N4_code`: code that makes the tests pass, or that resolves what a review found.

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::answered;
use super::site::Site;
use super::{test_run, view};
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::{Asked, Question, Work};

/// Tokens that code is expected to have.
const TOKENS: u64 = 3000;

/// Has the code written.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let site = Site::open(work)?;
    let code = &work.state.code;
    let values = context! {
        project => Value::from(Serde(view::of(work, &site)?)),
        findings => work.state.findings.clone(),
        tests => code.tests.iter().cloned().collect::<Vec<_>>(),
        output => code.output.clone(),
        frozen => code.frozen,
        repeated => code.repeated,
        test_command => test_run::shown(work)?,
        failed_before => work.state.code.failed_before.clone(),
    };
    let question = Question {
        asked: Asked::Drafter,
        purpose: "code",
        text: work.render(work.kind.draft, values)?,
        earlier: None,
        expected_tokens: TOKENS,
    };
    let answered = answered::ask(work, &site, question)?;
    work.trace(lineage::Kind::Code, &answered.text)?;
    let line = answered.line();
    work.state.code.take(answered.changed);
    Site::open(work)?;
    Ok(Done::pass(line))
}
