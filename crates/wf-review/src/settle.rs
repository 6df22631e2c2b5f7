//! Puts together what was found, and decides every doubt against an approval.

use crate::json::{Answer, Found, in_fence};
use crate::markdown::Scan;
use crate::quoting::Fence;
use crate::words::Stated;
use crate::{Form, Review, Verdict};

/// Decides.
pub(crate) fn settle(found: Found, scan: Scan, fences: &[Fence<'_>]) -> Review {
    let Found { answers: mut json, prose: _, broken } = found;
    let in_fences: Vec<Answer> = fences.iter().filter_map(in_fence).collect();
    let mut doubts = Vec::new();
    if json.is_empty() && scan.marked.is_empty() && scan.lines.is_empty() {
        // Nothing is said outside of the fences: a JSON answer in one is the reviewer's, if there is but one.
        if in_fences.len() > 1 {
            doubts.push(
                "there are several JSON answers in fences, and no telling which of them counts".to_owned(),
            );
        }
        json.extend(in_fences);
    } else if in_fences.iter().any(is_refusal) {
        doubts.push("a fenced JSON answer does not approve".to_owned());
    }

    let mut statements: Vec<(Form, Stated)> = Vec::new();
    statements.extend(
        json.iter().flat_map(|answer| answer.verdicts.iter().map(|stated| (Form::Json, stated.clone()))),
    );
    statements.extend(scan.marked.into_iter().map(|stated| (Form::Boxes, stated)));
    statements.extend(scan.lines.into_iter().map(|stated| (Form::Line, stated)));

    let unmarked = scan.boxes_seen && !statements.iter().any(|(form, _)| *form == Form::Boxes);
    if unmarked {
        doubts.push("none of the verdict's boxes is marked".to_owned());
    }
    if broken {
        doubts.push("a JSON answer cannot be read".to_owned());
    }
    let mut clear: Vec<(Form, Verdict)> = Vec::new();
    for (form, stated) in &statements {
        match stated {
            Stated::Clear(verdict) if clear.iter().all(|(_, known)| known != verdict) => {
                clear.push((*form, *verdict));
            }
            Stated::Clear(_) => {}
            Stated::Qualified(words) => doubts.push(format!("the approval has conditions: {words}")),
            Stated::Unknown(words) => doubts.push(format!("the verdict is none of the known words: {words}")),
        }
    }
    let form = match statements.first() {
        Some((form, _)) => *form,
        None if unmarked => Form::Boxes,
        None => Form::None,
    };

    let mut review = Review {
        verdict: Verdict::Unparseable,
        form,
        blocking: Vec::new(),
        high: Vec::new(),
        suggestions: Vec::new(),
        contradiction: None,
        question: None,
        gate_failed: scan.gate_failed,
    };
    let mut question = None;
    for answer in json {
        review.blocking.extend(answer.blocking);
        review.high.extend(answer.high);
        review.suggestions.extend(answer.suggestions);
        review.gate_failed |= answer.gate_failed;
        question = question.or(answer.question);
    }
    review.blocking.extend(scan.blocking);
    review.high.extend(scan.high);
    review.suggestions.extend(scan.suggestions);
    match clear.as_slice() {
        [] => review.contradiction = doubts.into_iter().next(),
        [(_, Verdict::Approved)] => match doubts.into_iter().next() {
            None => review.verdict = Verdict::Approved,
            doubt => review.contradiction = doubt,
        },
        [(_, verdict)] => review.verdict = *verdict,
        several => {
            let said: Vec<_> = several
                .iter()
                .map(|(form, verdict)| format!("{} ({})", verdict.word(), form.word()))
                .collect();
            review.contradiction = Some(format!("several verdicts: {}", said.join(", ")));
        }
    }
    if review.verdict == Verdict::Discuss {
        review.question = question.or(scan.question);
    }
    forbid_approval_of_findings(&mut review);
    review
}

/// An approval beside a reason to refuse one is a call for a revision: the findings are there to work on.
pub(crate) fn forbid_approval_of_findings(review: &mut Review) {
    if review.verdict != Verdict::Approved {
        return;
    }
    let reason = match review.blocking.as_slice() {
        [] if review.gate_failed => "approved, although the pre-flight gate failed".to_owned(),
        [] => return,
        [finding, ..] => {
            format!("approved, although it lists a blocking finding: {}", crate::words::quote(finding))
        }
    };
    review.verdict = Verdict::Revise;
    review.contradiction = Some(reason);
}

/// Whether a fenced answer looks like the reviewer's own (it says more than a verdict) and does not approve.
fn is_refusal(answer: &Answer) -> bool {
    answer.fields > 1 && answer.verdicts.iter().any(|stated| *stated != Stated::Clear(Verdict::Approved))
}
