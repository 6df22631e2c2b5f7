//! What must hold for any document at all.

use proptest::collection::vec;
use proptest::prelude::*;
use wf_review::{Form, Review, Verdict, parse, same_blocking_findings};

/// Pieces that reviews are made of, and pieces that break parsers.
const PIECES: [&str; 52] = [
    "## Verdict\n",
    "# Governance Verdict: BLOCK\n",
    "Verdict: APPROVED\n",
    "**Verdict: REJECTED - x**\n",
    "[x] **APPROVED** - Ready for implementation\n",
    "[ ] **APPROVED** - Ready for implementation\n",
    "- [x] **REVISE** - Fix\n",
    "[ ] **REVISE**\n",
    "[X] DISCUSS?\n",
    "[✓] BLOCKED\n",
    "{\"verdict\": \"APPROVED\"}",
    "{\"verdict\": \"REVISE\", \"blocking_issues\": [\"a\"]}",
    "{\"verdict\": ",
    "\"APPROVED\"",
    "{\"a\": [",
    "}",
    "]",
    "{",
    "\"",
    "\\",
    "```json\n",
    "```\n",
    "~~~~\n",
    "```markdown\n",
    "> ",
    "> quoted\n",
    "<!--",
    "-->",
    "<think>",
    "</think>\n",
    "    ",
    "\t",
    "## Tier 1: BLOCKING\n",
    "**Tier 1:** ",
    "### Tier 2\n",
    "## Tier 3: SUGGESTIONS\n",
    "## Summary\n",
    "- [ ] **Key:** it is logged\n",
    "- [ ] No issues found\n",
    "  - nested\n",
    "| a | b |\n",
    "|---|---|\n",
    "## Pre-Flight Gate: FAILED\n",
    "## Pre-Flight Gate: PASSED\n",
    "## Open Questions\n",
    "APPROVED\n",
    "but ",
    "text ",
    "\n",
    "\r\n",
    "\u{feff}",
    "é✅",
];

fn document() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        9 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn check(review: &Review) {
    if review.verdict == Verdict::Approved {
        assert!(review.blocking.is_empty() && review.contradiction.is_none(), "{review:?}");
        assert_ne!(review.form, Form::None, "{review:?}");
    }
    if review.verdict != Verdict::Unparseable {
        assert_ne!(review.form, Form::None, "{review:?}");
    }
    for finding in [&review.blocking, &review.high, &review.suggestions].into_iter().flatten() {
        assert!(!finding.is_empty() && !finding.contains('\n'), "{finding:?}");
    }
}

/// A word is taken away, whatever its case.
fn without(document: &str, word: &str) -> String {
    let mut text = document.to_owned();
    while let Some(at) = text.to_ascii_uppercase().find(word) {
        text.replace_range(at..at + word.len(), "");
    }
    text
}

/// Every line is put into a quotation.
fn quoted(document: &str) -> String {
    document.lines().map(|line| ["> ", line, "\n"].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        check(&parse(&text));
    }

    #[test]
    fn any_review_is_read(text in document()) {
        check(&parse(&text));
    }

    #[test]
    fn without_the_word_there_is_no_approval(text in document()) {
        prop_assert_ne!(parse(&without(&text, "APPROVED")).verdict, Verdict::Approved);
    }

    #[test]
    fn a_quotation_is_no_verdict(text in document()) {
        let review = parse(&quoted(&text));
        prop_assert_eq!(review.verdict, Verdict::Unparseable);
        prop_assert_eq!(review.form, Form::None);
    }

    /// However it goes on, a review that begins with a clear refusal is not approved in the end.
    #[test]
    fn a_refusal_is_never_talked_away(text in document(), refusal in 0..4_usize) {
        let refusal = [
            "Verdict: REVISE",
            "[x] **REVISE** - Fix Tier 1/2 issues first",
            "{\"verdict\": \"BLOCK\", \"summary\": \"no\"}",
            "# Governance Verdict: REJECT",
        ][refusal];
        let review = parse(&format!("{refusal}\n\n{text}"));
        prop_assert_ne!(review.verdict, Verdict::Approved, "{:?}", review);
    }

    /// The same for a blocking finding, and for a failed gate.
    #[test]
    fn a_reason_against_it_forbids_an_approval(text in document(), reason in 0..3_usize) {
        let reason = [
            "## Tier 1: BLOCKING\n- [ ] **Key:** it is logged\n",
            "**Tier 1 (Blocking)**\n\n1. No bound on retries\n",
            "## Pre-Flight Gate: FAILED\n",
        ][reason];
        let review = parse(&format!("{reason}\n## Summary\n\n{text}"));
        prop_assert_ne!(review.verdict, Verdict::Approved, "{:?}", review);
    }

    #[test]
    fn repetition_is_symmetric_and_true_of_oneself(a in vec("[a-c]{1,2}", 0..6), b in vec("[a-c]{1,2}", 0..6)) {
        prop_assert_eq!(same_blocking_findings(&a, &b), same_blocking_findings(&b, &a));
        prop_assert_eq!(same_blocking_findings(&a, &a), !a.is_empty());
    }

    #[test]
    fn a_second_answer_cannot_lose_a_finding(text in document(), answer in document()) {
        let first = parse(&text);
        let settled = first.clone().settled_by(&answer);
        check(&settled);
        prop_assert!(first.blocking.iter().all(|finding| settled.blocking.contains(finding)));
    }
}

/// Inputs that make a parser of quadratic time or of deep recursion run for hours, or over its stack. There is no
/// assertion on time: a bad one does not come back.
#[test]
fn large_inputs_cost_no_more_than_their_size() {
    let size = 1 << 17;
    let fill = |piece: &str| piece.repeat(size / piece.len());
    let pieces = PIECES.iter().map(|piece| fill(piece));
    let nasty = [
        "{\"a\":",
        "{\"a\":[",
        "{\"verdict\":\"REVISE\",\"blocking\":[\"a\"]}",
        "[x] APPROVED ",
        "[x] REVISE\n",
        "[",
        "{\"",
        "{ ",
        "** ",
        "> a\nb\n",
        "## Tier 1\n- a\n  - b\n",
        "verdict the ",
        "my ",
        "```\n```\n",
        "|a|b|\n",
        "a: ",
        "<",
        "`{\"verdict\":1}`",
    ];
    for text in pieces.chain(nasty.iter().map(|piece| fill(piece))) {
        check(&parse(&text));
    }
    let opened = format!("{{\"verdict\": \"APPROVED\", \"x\": {}", "[".repeat(size));
    assert_ne!(parse(&opened).verdict, Verdict::Approved);
    let closed = format!("{{\"verdict\": \"APPROVED\", \"x\": {}{}}}", "[".repeat(size), "]".repeat(size));
    assert_ne!(parse(&closed).verdict, Verdict::Approved);
}
