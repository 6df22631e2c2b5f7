//! Puts together what was found, and decides every doubt against an approval.

use crate::json::{Answer, Found, in_fence};
use crate::markdown::{OfPart, Said, Scan};
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

    let mut statements: Vec<(Form, Said)> = Vec::new();
    statements.extend(json.iter().flat_map(|answer| {
        answer.verdicts.iter().map(|stated| {
            let line = format!("\"verdict\": {}", shown(stated));
            (Form::Json, Said { stated: stated.clone(), line })
        })
    }));
    statements.extend(scan.marked.into_iter().map(|said| (Form::Boxes, said)));
    statements.extend(scan.lines.into_iter().map(|said| (Form::Line, said)));
    // Where the document says nothing of its own, its only part speaks for it, in the words of a verdict.
    let speaks = |part: &OfPart| !matches!(part.word.as_str(), "pass" | "passed");
    if let ([], [part]) = (statements.as_slice(), scan.parts.as_slice())
        && speaks(part)
        && !scan.boxes_seen
    {
        statements.push((Form::Line, part.said.clone()));
    }

    let unmarked = scan.boxes_seen && !statements.iter().any(|(form, _)| *form == Form::Boxes);
    if unmarked {
        doubts.push("none of the verdict's boxes is marked".to_owned());
    }
    if broken {
        doubts.push("a JSON answer cannot be read".to_owned());
    }
    let mut clear: Vec<(Form, Verdict, &str)> = Vec::new();
    for (form, said) in &statements {
        match &said.stated {
            Stated::Clear(verdict) if clear.iter().all(|(_, known, _)| known != verdict) => {
                clear.push((*form, *verdict, said.line.as_str()));
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
        questions: scan.questions,
        sections: scan.parts.iter().map(|part| (part.name.clone(), part.word.clone())).collect(),
        contradiction: None,
        question: None,
        gate_failed: scan.gate_failed,
        approval: None,
    };
    let mut question = None;
    let mut undone = scan.undone;
    for answer in json {
        undone = undone.or(answer.undone);
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
        [(_, Verdict::Approved, _)] => match doubts.into_iter().next() {
            None => review.verdict = Verdict::Approved,
            doubt => review.contradiction = doubt,
        },
        [(_, verdict, _)] => review.verdict = *verdict,
        several => {
            let said: Vec<_> = several
                .iter()
                .map(|(form, verdict, _)| format!("{} ({})", verdict.word(), form.word()))
                .collect();
            let lines: Vec<_> = several.iter().map(|(_, _, line)| format!("{line:?}")).collect();
            review.contradiction =
                Some(format!("several verdicts: {}: {}", said.join(", "), lines.join(" and ")));
        }
    }
    if review.verdict == Verdict::Discuss {
        review.question = question.or(scan.question);
    }
    if review.verdict == Verdict::Approved {
        review.approval = clear.first().map(|(_, _, line)| (*line).to_owned());
        if let Some(blame) = scan.blame.filter(|_| review.blocking.is_empty()) {
            review.blocking.push(blame);
        }
        let against = scan
            .parts
            .iter()
            .find(|part| matches!(part.said.stated, Stated::Clear(v) if v != Verdict::Approved));
        let reason = match (undone, against) {
            (Some(line), _) => Some(format!("the review could not be done: {line:?}")),
            (None, Some(part)) => Some(format!("{:?} under {:?}", part.said.line, part.name)),
            (None, None) => None,
        };
        if let Some(reason) = reason {
            // Nobody has seen the document, or one who has refuses a part of it.
            let is_undone = reason.starts_with("the review");
            review.verdict = if is_undone { Verdict::Unparseable } else { Verdict::Revise };
            review.contradiction = Some(format!(
                "approved ({:?}), although {reason}",
                review.approval.clone().unwrap_or_default()
            ));
        }
    }
    forbid_approval_of_findings(&mut review);
    review
}

fn shown(stated: &Stated) -> String {
    match stated {
        Stated::Clear(verdict) => verdict.word().to_uppercase(),
        Stated::Qualified(words) | Stated::Unknown(words) => words.clone(),
    }
}

/// An approval beside a reason to refuse one is a call for a revision: the findings are there to work on.
pub(crate) fn forbid_approval_of_findings(review: &mut Review) {
    if review.verdict != Verdict::Approved {
        return;
    }
    let line = review.approval.as_deref().map(|line| format!(" ({line:?})")).unwrap_or_default();
    let reason = match review.blocking.as_slice() {
        [] if review.gate_failed => format!("approved{line}, although the pre-flight gate failed"),
        [] => return,
        [finding, ..] => {
            format!("approved{line}, although it lists a blocking finding: {}", crate::words::quote(finding))
        }
    };
    review.verdict = Verdict::Revise;
    review.contradiction = Some(reason);
}

/// Whether a fenced answer looks like the reviewer's own (it says more than a verdict) and does not approve.
fn is_refusal(answer: &Answer) -> bool {
    answer.fields > 1 && answer.verdicts.iter().any(|stated| *stated != Stated::Clear(Verdict::Approved))
}
