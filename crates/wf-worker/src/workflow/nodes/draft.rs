//! `N1_draft`: the first draft, or the revision that resolves findings.

use minijinja::context;

use crate::checkpoint::Reply;
use crate::code::left_out;
use crate::edits::{self, Draft};
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::{Asked, Question, Work};

/// Fewest tokens a draft is expected to have.
const LEAST_TOKENS: u64 = 1500;

/// Drafts. An answer that cannot be used is sent back once with the reason.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let is_first = work.state.document.is_empty();
    let text = if is_first {
        work.render(work.kind.draft, context! {})?
    } else {
        let source = if work.state.reviewed { "review" } else { "mechanical check" };
        work.render("revise.md", context! { source, findings => work.state.findings.clone() })?
    };
    let basis = work.state.document.len().max(work.state.input.len()) as u64;
    let mut question = Question {
        asked: Asked::Drafter,
        purpose: "draft",
        text,
        earlier: None,
        expected_tokens: (basis / 4).max(LEAST_TOKENS),
    };
    let reply = work.ask(&question)?;
    let (document, how) = match usable(work, &reply) {
        Ok(usable) => usable,
        Err(problem) => {
            work.trace(lineage::Kind::Reply, &reply.text)?;
            work.console.say(&format!("the drafter's answer cannot be used: {problem}; asking once more"));
            let text = work.render(work.kind.mend, context! { problem })?;
            let earlier = Some((std::mem::replace(&mut question.text, text), reply.text));
            let mended = work.ask(&Question { purpose: "mend", earlier, ..question })?;
            match usable(work, &mended) {
                Ok(usable) => usable,
                Err(problem) => {
                    let kept = work.trace(lineage::Kind::Reply, &mended.text)?;
                    return Err(Halt::BadReply(format!(
                        "the drafter's answer cannot be used, also when asked again: {problem}; it is kept in {}",
                        work.shown(&kept)
                    )));
                }
            }
        }
    };
    work.trace(lineage::Kind::Draft, &document)?;
    let lines = match document.lines().count() {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    work.state.document = document;
    work.state.findings.clear();
    Ok(Done::pass(format!("{how}, {lines}")))
}

/// The document an answer makes, and how; or why it makes none.
fn usable(work: &Work, reply: &Reply) -> Result<(String, String), String> {
    if reply.truncated {
        return Err(format!("it was cut off at the limit of {} tokens", work.job.drafter.max_output_tokens));
    }
    match edits::read(&reply.text).map_err(|p| p.to_string())? {
        Draft::Whole(document) => {
            if let Some((number, line)) = left_out::line(&document, &work.state.document) {
                return Err(format!(
                    "line {number} stands for what is left out ({line:?}): give the whole document, or edit blocks"
                ));
            }
            Ok((document, "a whole document".into()))
        }
        Draft::Edits(_) if work.state.document.is_empty() => Err("there is no document to edit yet".into()),
        Draft::Edits(edits) => {
            let document = edits::apply(&work.state.document, &edits).map_err(|p| p.to_string())?;
            let plural = if edits.len() == 1 { "" } else { "s" };
            Ok((document, format!("{} edit{plural}", edits.len())))
        }
    }
}
