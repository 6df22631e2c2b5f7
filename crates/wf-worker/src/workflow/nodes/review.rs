//! `N3_review`: the reviewer's verdict, and what becomes of it.

use minijinja::context;
use wf_review::{Review, Verdict, same_blocking_findings};

use super::site::{self, Site};
use super::test_run;
use crate::audit::Entry;
use crate::code::changes::DIFF_BYTES;
use crate::fences;
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::{Asked, Question, Work, bounded};

/// Tokens a review is expected to have, and a verdict alone.
const REVIEW_TOKENS: u64 = 1500;
const VERDICT_TOKENS: u64 = 200;

/// Reviews the document.
pub fn run(work: &mut Work, at: &Position) -> Result<Done, Halt> {
    let text = work.render(work.kind.review, context! { unresolved => work.state.unresolved.clone() })?;
    judge(work, at, text)
}

/// Reviews what the code changed.
pub fn diff(work: &mut Work, at: &Position) -> Result<Done, Halt> {
    let site = Site::open(work)?;
    let files = site.files_to_commit(work)?;
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let diff = {
        let _lock = site::repository(work)?.lock(&work.state.code.place.branch)?;
        site.changes(work).diff(&files)?
    };
    let Some(diff) = diff else {
        let reason = format!(
            "the diff is larger than {} KiB, which nobody reviews: split the design",
            DIFF_BYTES / 1024
        );
        work.state.reason = Some(reason.clone());
        return Ok(Done::undecided(reason));
    };
    work.trace(lineage::Kind::Diff, &diff)?;
    let values = context! {
        fence => fences::around(&diff),
        diff,
        changed_tests => work.state.code.changed_tests(),
        test_command => test_run::shown(work)?,
    };
    let text = work.render(work.kind.review, values)?;
    judge(work, at, text)
}

/// Asks the reviewer. Where no verdict can be read, it is asked once more for the verdict alone.
fn judge(work: &mut Work, at: &Position, text: String) -> Result<Done, Halt> {
    let mut question = Question {
        asked: Asked::Reviewer,
        purpose: "review",
        text,
        earlier: None,
        expected_tokens: REVIEW_TOKENS,
    };
    let reply = work.ask(&question)?;
    work.trace(lineage::Kind::Verdict, &reply.text)?;
    let review = wf_review::parse(&reply.text);
    let review = if review.verdict == Verdict::Unparseable {
        work.console
            .say("the review has no verdict that can be read; asking once more for the verdict alone");
        let problem = review.contradiction.as_deref().unwrap_or("exactly one box has to be marked");
        let text = work.render("verdict-only.md", context! { problem })?;
        let earlier = Some((std::mem::replace(&mut question.text, text), reply.text));
        let (purpose, expected_tokens) = ("verdict", VERDICT_TOKENS);
        let again = work.ask(&Question { purpose, earlier, expected_tokens, ..question })?;
        let kept = work.trace(lineage::Kind::Verdict, &again.text)?;
        let review = review.settled_by(&again.text);
        if review.verdict == Verdict::Unparseable {
            return Err(Halt::BadReply(format!(
                "no verdict can be read from the review, also when asked again; the replies are kept, the last in {}",
                work.shown(&kept)
            )));
        }
        review
    } else {
        review
    };
    work.audit.record(&Entry {
        node: &at.node,
        iteration: at.iteration,
        event: "verdict",
        provider: Some(&work.job.reviewer.provider),
        model: Some(&work.job.reviewer.model),
        verdict: Some(review.verdict.word()),
        detail: review.contradiction.as_deref().unwrap_or_default(),
        ..Entry::default()
    });
    Ok(follow(work, at, review))
}

fn follow(work: &mut Work, at: &Position, review: Review) -> Done {
    let verdict = review.verdict.word();
    work.state.reviews += 1;
    if review.verdict == Verdict::Approved {
        let suggestions = match review.suggestions.len() {
            0 => String::new(),
            1 => ", 1 suggestion".into(),
            n => format!(", {n} suggestions"),
        };
        return Done::pass(format!("{verdict}{suggestions}"));
    }
    let question = review.question;
    let blocking = bounded(review.blocking.iter().cloned());
    let mut findings = bounded(review.blocking.into_iter().chain(review.high));
    if let Some(question) = question.as_deref().filter(|q| !findings.iter().any(|f| f.contains(q))) {
        findings.insert(0, format!("Question: {question}"));
    }
    if findings.is_empty() {
        findings = bounded(review.suggestions);
    }
    if findings.is_empty() {
        findings.push(
            "The review asks for a revision without naming a finding: read the document once more.".into(),
        );
    }
    let count =
        if findings.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", findings.len()) };
    work.remember(&format!("Iteration {}, {verdict}: {}", at.iteration, findings.join(" / ")));
    // What is merely of high priority may change from review to review while the same thing blocks.
    let objections = if blocking.is_empty() { findings.clone() } else { blocking };
    let stagnated = same_blocking_findings(&work.state.objections, &objections);
    work.state.objections = objections;
    work.state.findings = findings;
    work.state.reviewed = true;
    work.state.reason = None;
    if review.verdict == Verdict::Discuss {
        let question = question.unwrap_or_else(|| work.state.findings[0].clone());
        work.state.reason = Some(format!("a person must decide: {question}"));
        return Done::undecided(format!("{verdict}: {question}"));
    }
    if stagnated {
        work.state.reason = Some("stagnated: two reviews in a row have the same findings".into());
        return Done::undecided(format!("{verdict}, {count}, the same as before: stagnated"));
    }
    Done::findings(format!("{verdict}, {count}"))
}
