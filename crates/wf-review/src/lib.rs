//! Reads what a reviewer wrote and says what the verdict is.
//!
//! A verdict is stated in one of three forms, looked for in this order: a JSON object, marked boxes, a verdict line. Any
//! doubt is decided against an approval: a wrong *revise* costs a round, a wrong *approved* ships what somebody called
//! unsafe. What stands in a fence, a block quote or a comment is somebody else's text and no verdict, but for one
//! exception: a fence that holds nothing but the reviewer's JSON answer.
//!
//! Everything here is total and takes time and memory linear in the input.

mod boxes;
mod findings;
mod gate;
mod json;
mod markdown;
mod nothing;
mod outline;
mod quoting;
mod settle;
mod stagnation;
mod undone;
mod words;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

pub use stagnation::same_blocking_findings;

/// What a reviewer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The document is good as it is.
    Approved,
    /// The document is to be changed.
    Revise,
    /// A person has to decide something first.
    Discuss,
    /// The document is refused: `BLOCK`, `BLOCKED`, `REJECT` or `REJECTED`.
    Blocked,
    /// No verdict, or none that can be relied on.
    Unparseable,
}

impl Verdict {
    /// The word used in messages and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Approved => "approved",
            Verdict::Revise => "revise",
            Verdict::Discuss => "discuss",
            Verdict::Blocked => "blocked",
            Verdict::Unparseable => "unparseable",
        }
    }
}

/// How a verdict was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A JSON object with `verdict`.
    Json,
    /// Boxes such as `[x] **APPROVED**`.
    Boxes,
    /// A line such as `Verdict: APPROVED`.
    Line,
    /// Not at all.
    None,
}

impl Form {
    /// The word used in messages and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Boxes => "boxes",
            Form::Line => "line",
            Form::None => "none",
        }
    }
}

/// A review, read. Findings are one line each, without list marks, boxes and emphasis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The decision.
    pub verdict: Verdict,
    /// Where it was found.
    pub form: Form,
    /// Tier 1 findings: cost, safety, security, legal.
    pub blocking: Vec<String>,
    /// Tier 2 findings: architecture, observability, quality.
    pub high: Vec<String>,
    /// Tier 3 findings.
    pub suggestions: Vec<String>,
    /// What the reviewer asks a person, settled questions left out.
    pub questions: Vec<String>,
    /// The verdicts of parts of the document that have their own, such as *Requirement Coverage Analysis*: the part's heading,
    /// and the first word of its verdict in small letters. They are shown and never make an approval.
    pub sections: BTreeMap<String, String>,
    /// Why the verdict is not what the reviewer seems to have written, in a sentence.
    pub contradiction: Option<String>,
    /// What a person has to decide, where the verdict is [`Verdict::Discuss`] and the reviewer says it.
    #[serde(skip)]
    pub question: Option<String>,
    /// The pre-flight gate failed; it forbids an approval like a blocking finding.
    #[serde(skip)]
    gate_failed: bool,
    /// The line that approves, where one does.
    #[serde(skip)]
    approval: Option<String>,
}

/// Reads a review. Never fails: what cannot be read is [`Verdict::Unparseable`].
pub fn parse(document: &str) -> Review {
    let answer = quoting::after_thoughts(document);
    let review = read(answer);
    if review.verdict != Verdict::Approved || answer.len() == document.len() {
        return review;
    }
    // Thoughts whose beginning is not marked may be none: a refusal in them stands.
    let whole = read(document);
    match whole.verdict {
        Verdict::Approved => review,
        _ => Review {
            contradiction: whole.contradiction.clone().or_else(|| {
                Some(
                    "approved, although what stands before it, as thoughts or not, does not approve"
                        .to_owned(),
                )
            }),
            verdict: Verdict::Unparseable,
            ..whole
        },
    }
}

fn read(document: &str) -> Review {
    let document = quoting::unwrap_fence(document.strip_prefix('\u{feff}').unwrap_or(document));
    let quoting::Parts { outside, fences } = quoting::split(document);
    let found = json::find(&outside);
    let scan = markdown::scan(&found.prose);
    settle::settle(found, scan, &fences)
}

impl Review {
    /// Reads the answer to a second question, for the verdict alone, after this review was unparseable. The findings of
    /// the first answer still stand, so a blocking one still forbids an approval.
    #[must_use]
    pub fn settled_by(self, answer: &str) -> Review {
        let answer = parse(answer);
        let mut review = Review { verdict: answer.verdict, form: answer.form, ..self };
        review.contradiction = answer.contradiction;
        review.question = answer.question.or(review.question);
        review.gate_failed |= answer.gate_failed;
        review.approval = answer.approval;
        for (findings, more) in [
            (&mut review.blocking, answer.blocking),
            (&mut review.high, answer.high),
            (&mut review.suggestions, answer.suggestions),
        ] {
            let known: HashSet<_> = findings.iter().cloned().collect();
            findings.extend(more.into_iter().filter(|finding| !known.contains(finding)));
        }
        settle::forbid_approval_of_findings(&mut review);
        review
    }
}
