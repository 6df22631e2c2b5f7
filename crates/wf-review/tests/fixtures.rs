//! Reviews as reviewers write them, good and bad: each file of `fixtures/` with what has to be read from it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use wf_review::Verdict::{Approved, Blocked, Discuss, Revise, Unparseable};
use wf_review::{Form, Verdict, parse};

/// File, verdict, form, numbers of blocking, high and other findings, and a part of the contradiction (empty: none).
type Case = (&'static str, Verdict, Form, (usize, usize, usize), &'static str);

const CASES: &[Case] = &[
    ("boxes-approved-template.md", Approved, Form::Boxes, (0, 1, 2), ""),
    ("boxes-revise-template.md", Revise, Form::Boxes, (2, 1, 1), ""),
    ("boxes-discuss-question.md", Discuss, Form::Boxes, (0, 1, 0), ""),
    ("boxes-list-dashes.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-check-mark.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("boxes-heavy-check-with-selector.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-bold-around.md", Blocked, Form::Boxes, (0, 0, 0), ""),
    ("boxes-one-line.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("boxes-ballot-characters.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-escaped-brackets.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("boxes-without-heading.md", Approved, Form::Boxes, (0, 0, 1), ""),
    ("boxes-in-a-table.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("boxes-small-letters.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-windows-line-ends.md", Revise, Form::Boxes, (1, 0, 0), ""),
    ("boxes-byte-order-mark.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-whole-reply-fenced.md", Revise, Form::Boxes, (1, 0, 0), ""),
    ("boxes-marked-twice-alike.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("boxes-findings-named-like-verdicts.md", Approved, Form::Boxes, (0, 1, 1), ""),
    ("boxes-none-marked.md", Unparseable, Form::Boxes, (0, 0, 0), "none of the verdict"),
    (
        "boxes-two-marked.md",
        Unparseable,
        Form::Boxes,
        (0, 0, 0),
        "several verdicts: approved (boxes), revise (boxes)",
    ),
    ("boxes-all-marked.md", Unparseable, Form::Boxes, (0, 0, 0), "several verdicts"),
    ("boxes-approved-with-tier-1.md", Revise, Form::Boxes, (1, 0, 0), "blocking finding: Secrets: the key"),
    ("boxes-approved-with-numbered-tier-1.md", Revise, Form::Boxes, (2, 0, 0), "blocking finding"),
    ("boxes-approved-with-tier-1-table.md", Revise, Form::Boxes, (1, 0, 0), "blocking finding"),
    (
        "boxes-approved-with-inline-tier-1.md",
        Revise,
        Form::Boxes,
        (1, 0, 0),
        "blocking finding: the worker deletes",
    ),
    ("boxes-approved-gate-failed.md", Revise, Form::Boxes, (0, 0, 0), "pre-flight gate failed"),
    ("boxes-approved-gate-table-failed.md", Revise, Form::Boxes, (0, 0, 0), "pre-flight gate failed"),
    ("boxes-approved-with-conditions.md", Unparseable, Form::Boxes, (0, 0, 0), "the approval has conditions"),
    ("boxes-other-word-marked.md", Unparseable, Form::Boxes, (0, 0, 0), "none of the verdict"),
    ("boxes-crossed-out.md", Unparseable, Form::Boxes, (0, 0, 0), "none of the verdict"),
    ("boxes-quoted-in-fence.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("boxes-quoted-then-own.md", Revise, Form::Boxes, (1, 0, 0), ""),
    ("boxes-in-comment.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("boxes-unmarked-and-approved-line.md", Unparseable, Form::Line, (0, 0, 0), "none of the verdict"),
    ("boxes-unmarked-and-revise-line.md", Revise, Form::Line, (0, 0, 0), ""),
    ("boxes-against-line.md", Unparseable, Form::Boxes, (0, 0, 0), "approved (boxes), blocked (line)"),
    ("boxes-thinking-aloud.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("json-bare-approved.json", Approved, Form::Json, (0, 0, 1), ""),
    ("json-bare-revise.json", Revise, Form::Json, (2, 0, 0), ""),
    ("json-lower-case.json", Blocked, Form::Json, (1, 1, 0), ""),
    ("json-discuss-question.json", Discuss, Form::Json, (0, 0, 0), ""),
    ("json-fenced.md", Revise, Form::Json, (1, 0, 1), ""),
    ("json-fenced-approved-alone.md", Approved, Form::Json, (0, 0, 0), ""),
    ("json-fenced-without-language.md", Discuss, Form::Json, (0, 0, 0), ""),
    ("json-inside-prose.md", Approved, Form::Json, (0, 0, 0), ""),
    ("json-fence-on-one-line.md", Revise, Form::Json, (0, 0, 0), ""),
    ("json-approved-with-blocking.json", Revise, Form::Json, (1, 0, 0), "blocking finding: Keys are logged."),
    ("json-approved-blocking-none.json", Approved, Form::Json, (0, 0, 0), ""),
    ("json-approved-prose-tier-1.md", Revise, Form::Json, (1, 0, 0), "blocking finding"),
    ("json-approved-gate-failed.json", Revise, Form::Json, (0, 0, 0), "pre-flight gate failed"),
    ("json-two-different.md", Unparseable, Form::Json, (0, 0, 0), "approved (json), revise (json)"),
    ("json-repeated-key.json", Unparseable, Form::Json, (0, 0, 0), "several verdicts"),
    ("json-two-fences.md", Unparseable, Form::Json, (0, 0, 0), "several JSON answers"),
    ("json-quoted-example-own-boxes.md", Revise, Form::Boxes, (0, 0, 0), ""),
    ("json-quoted-example-own-approval.md", Approved, Form::Boxes, (0, 0, 0), ""),
    ("json-refusal-beside-approving-line.md", Unparseable, Form::Line, (0, 0, 0), "fenced JSON answer"),
    ("json-against-boxes.md", Unparseable, Form::Json, (0, 0, 0), "revise (json), approved (boxes)"),
    ("json-cut-off.md", Unparseable, Form::None, (0, 0, 0), "cannot be read"),
    ("json-trailing-comma.json", Unparseable, Form::None, (0, 0, 0), "cannot be read"),
    ("json-nested-verdict.json", Unparseable, Form::None, (0, 0, 0), ""),
    ("json-verdict-not-a-word.json", Unparseable, Form::Json, (0, 0, 0), "none of the known words"),
    ("json-conditional.json", Unparseable, Form::Json, (0, 0, 0), "conditions"),
    ("json-template-choice.json", Unparseable, Form::Json, (0, 0, 0), "conditions"),
    ("json-in-another-languages-fence.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("json-quoted.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("line-approved.md", Approved, Form::Line, (0, 0, 0), ""),
    ("line-bold-rejected.md", Blocked, Form::Line, (1, 0, 0), ""),
    ("line-governance-block.md", Blocked, Form::Line, (0, 0, 0), ""),
    ("line-bold-label.md", Revise, Form::Line, (0, 0, 0), ""),
    ("line-heading-then-word.md", Approved, Form::Line, (0, 0, 0), ""),
    ("line-heading-with-number.md", Revise, Form::Line, (0, 0, 0), ""),
    ("line-emoji-dash.md", Approved, Form::Line, (0, 0, 0), ""),
    ("line-table-row.md", Blocked, Form::Line, (0, 0, 0), ""),
    ("line-discuss-reason.md", Discuss, Form::Line, (0, 0, 0), ""),
    ("line-repeated-alike.md", Approved, Form::Line, (0, 0, 0), ""),
    ("line-two-different.md", Unparseable, Form::Line, (0, 0, 0), "several verdicts"),
    ("line-not-approved.md", Revise, Form::Line, (0, 0, 0), ""),
    ("line-template-choice.md", Unparseable, Form::Line, (0, 0, 0), "conditions"),
    ("line-approved-with-tier-1.md", Revise, Form::Line, (1, 0, 0), "blocking finding"),
    ("line-previous-verdict.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("line-quoted.md", Revise, Form::Line, (0, 0, 0), ""),
    ("line-lazy-quotation.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("line-finding-about-verdicts.md", Approved, Form::Line, (0, 0, 1), ""),
    ("none-prose.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("none-refusal-to-review.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("none-empty.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("none-only-findings.md", Unparseable, Form::None, (1, 0, 0), ""),
    ("none-unclosed-fence.md", Unparseable, Form::None, (0, 0, 0), ""),
    ("none-checklist.md", Unparseable, Form::None, (0, 0, 0), ""),
];

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures"].iter().collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(directory().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_fixture_is_read_as_it_should_be() {
    let mut wrong = Vec::new();
    for (file, verdict, form, counts, contradiction) in CASES {
        let review = parse(&read(file));
        let found = (review.blocking.len(), review.high.len(), review.suggestions.len());
        let told = review.contradiction.as_deref().unwrap_or("");
        let as_told = if contradiction.is_empty() { told.is_empty() } else { told.contains(contradiction) };
        if (review.verdict, review.form, found) != (*verdict, *form, *counts) || !as_told {
            wrong.push(format!(
                "{file}: expected {verdict:?} {form:?} {counts:?} {contradiction:?}\n{review:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_has_its_case() {
    let files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.0.to_owned()).collect();
    assert_eq!(files, cases);
    assert!(files.len() >= 60, "{} fixtures", files.len());
}

#[test]
fn questions_for_a_person_are_found() {
    for (file, question) in [
        ("boxes-discuss-question.md", Some("Do we run Redis in production, or only SQLite?")),
        ("json-discuss-question.json", Some("May we keep prompts for 30 days?")),
        ("line-discuss-reason.md", Some("who pays for the second region?")),
        ("json-fenced-without-language.md", None),
        ("boxes-revise-template.md", None),
    ] {
        assert_eq!(parse(&read(file)).question.as_deref(), question, "{file}");
    }
}

#[test]
fn findings_are_read_in_full() {
    let review = parse(&read("boxes-revise-template.md"));
    let blocking = [
        "Unbounded loop: `export_all` retries for ever; bound it to 5 attempts and say what happens then.",
        "Token in the log: line 88 prints the whole header. Redact it.",
    ];
    assert_eq!(review.blocking, blocking);
    assert_eq!(review.high, ["Tests: requirement 4 has no scenario."]);
    assert_eq!(review.suggestions, ["Use one name for \"batch\" and \"chunk\"."]);
}

#[test]
fn the_serialised_form_is_the_contracts() {
    let review = parse(&read("boxes-approved-with-tier-1.md"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&review).unwrap(), @r#"
    {
      "verdict": "revise",
      "form": "boxes",
      "blocking": [
        "Secrets: the key is passed on the command line, where `ps` shows it."
      ],
      "high": [],
      "suggestions": [],
      "questions": [],
      "sections": {},
      "contradiction": "approved (\"[x] **APPROVED** - Ready for implementation\"), although it lists a blocking finding: Secrets: the key is passed on the command line, where `ps` s…"
    }
    "#);
}
