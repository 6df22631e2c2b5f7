//! `N2_tests`: tests from the design, before there is code.

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::answered;
use super::site::Site;
use super::{test_run, view};
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::{Asked, Question, Work};

/// Tokens that tests are expected to have.
const TOKENS: u64 = 2000;

/// Has the tests written.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let site = Site::open(work)?;
    let values = context! {
        project => Value::from(Serde(view::of(work, &site)?)),
        findings => work.state.findings.clone(),
        test_command => test_run::shown(work)?,
        failed_before => work.state.code.failed_before.clone(),
    };
    let question = Question {
        asked: Asked::Drafter,
        purpose: "tests",
        text: work.render("implement-tests.md", values)?,
        earlier: None,
        expected_tokens: TOKENS,
    };
    let answered = answered::ask(work, &site, question)?;
    work.trace(lineage::Kind::Tests, &answered.text)?;
    let line = answered.line();
    let new = answered.new;
    work.state.code.take_tests(answered.changed, |path| new.contains(path));
    Site::open(work)?;
    Ok(Done::pass(line))
}
