//! The forms of real reviews, in words of ours. Where a form was met stands beside it; `thought up` where it was not.

use wf_review::Verdict::{self, Approved, Blocked, Revise, Unparseable};
use wf_review::parse;

/// Where reviews of designs by models lie in the open, some five hundred of them: `docs/lineage/**/*-verdict.md`.
const LINEAGE: &str = "github.com/martymcenroe/AssemblyZero, docs/lineage";

struct Form {
    source: &'static str,
    text: &'static str,
    verdict: Verdict,
    /// Blocking, high, suggestions.
    findings: (usize, usize, usize),
    /// Parts with their verdicts, and a piece of the contradiction.
    parts: &'static [(&'static str, &'static str)],
    contradiction: &'static str,
}

const BOXES: &str = "\n## Verdict\n[x] **APPROVED** - Ready to go\n[ ] **REVISE** - Mend tier 1 and 2 first\n[ ] **DISCUSS** - A person decides\n";

const FORMS: &[Form] = &[
    Form {
        source: LINEAGE,
        text: "## Tier 1: BLOCKING Issues\nNo blocking issues found. The design can be built.\n\n### Security\n- [x] **Input:** the schema checks it, and nothing else is read.\n\n### Cost\n- [ ] No issues found.\n    - **Bounds:** five rounds at most, but each of them is short.\n    - **Memory:** one page.\n\n## Tier 3: SUGGESTIONS\n- **Names:** shorter ones.\n",
        verdict: Approved,
        findings: (0, 0, 1),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: LINEAGE,
        text: "# LLD Review\n\n## Requirement Coverage Analysis (MANDATORY)\n| # | Requirement | Test |\n|---|---|---|\n| 1 | It is fast | - |\n\n**Verdict:** **BLOCK** (<95%)\n\n## Tier 1: BLOCKING Issues\n- [ ] **Coverage:** requirement 1 has no test.\n\n## Verdict\n[ ] **APPROVED** - Ready\n      OR\n[x] **REVISE** - Mend\n",
        verdict: Revise,
        findings: (1, 0, 0),
        parts: &[("Requirement Coverage Analysis (MANDATORY)", "block")],
        contradiction: "",
    },
    Form {
        source: LINEAGE,
        text: "## Requirement Coverage Analysis\n**Verdict:** PASS\n\n## Tier 1: BLOCKING Issues\nNo issues.\n",
        verdict: Approved,
        findings: (0, 0, 0),
        parts: &[("Requirement Coverage Analysis", "pass")],
        contradiction: "",
    },
    Form {
        source: "thought up: the part refuses and the whole approves",
        text: "## Requirement Coverage Analysis\n**Verdict:** BLOCK\n\n## Tier 1: BLOCKING Issues\nNo issues.\n",
        verdict: Revise,
        findings: (0, 0, 0),
        parts: &[("Requirement Coverage Analysis", "block")],
        contradiction: "although \"**Verdict:** BLOCK\" under \"Requirement Coverage Analysis\"",
    },
    Form {
        source: LINEAGE,
        text: "## Pre-Flight Gate\n- [x] PASSED: A test plan is there\n- [ ] FAILED: [name the tests that are missing]\n\n## Open Questions Resolved\n- [x] ~~Who rotates the keys?~~ **RESOLVED: the team that owns them**\n",
        verdict: Approved,
        findings: (0, 0, 0),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: "thought up: the gate's other box is marked",
        text: "## Pre-Flight Gate\n- [ ] PASSED: A test plan is there\n- [x] FAILED: no test plan\n",
        verdict: Revise,
        findings: (0, 0, 0),
        parts: &[],
        contradiction: "pre-flight gate failed",
    },
    Form {
        source: "the heading of github.com/martymcenroe/AssemblyZero, docs/lineage/done/88-lld-n2",
        text: "# Governance Verdict: BLOCK\n\nThe retries have no bound.\n<!--",
        verdict: Blocked,
        findings: (0, 0, 0),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: "the ranks of github.com/Svroozendaal/Mendix-CommitMessage, development/commands/review.md",
        text: "## Must fix\n- The key is logged.\n\n## Should fix\n- Names.\n\n## Nice to have\n- A picture.\n",
        verdict: Revise,
        findings: (1, 1, 1),
        parts: &[],
        contradiction: "approved (\"[x] **APPROVED** - Ready to go\"), although it lists a blocking finding: The key is logged.",
    },
    Form {
        source: "the words of github.com/assafkip/kipi-system, pull request 80: APPROVE WITH NITS",
        text: "## VERDICT: APPROVE WITH NITS\n\n- minor: a test that exits with 0 too early\n<!--",
        verdict: Approved,
        findings: (0, 0, 1),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: "the words of github.com/mindroom-ai/mindroom, pull request 55: CHANGES REQUIRED",
        text: "**Verdict:** CHANGES REQUIRED\n<!--",
        verdict: Revise,
        findings: (0, 0, 0),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: "thought up: nobody has seen it",
        text: "## Summary\nThe diff was not provided, so nothing speaks against it.\n",
        verdict: Unparseable,
        findings: (0, 0, 0),
        parts: &[],
        contradiction: "the review could not be done",
    },
    Form {
        source: "thought up: prose where findings belong",
        text: "## Critical issues\nThe migration has no rollback. It must get one before merging.\n",
        verdict: Revise,
        findings: (1, 0, 0),
        parts: &[],
        contradiction: "The migration has no rollback.",
    },
    Form {
        source: LINEAGE,
        text: "{\"verdict\": \"APPROVED\", \"summary\": \"Sound\", \"blocking_issues\": [{\"section\": \"3\", \"issue\": \"Names\", \"severity\": \"SUGGESTION\"}, {\"section\": \"4\", \"issue\": \"No counter\", \"severity\": \"HIGH\"}]}<!--",
        verdict: Approved,
        findings: (0, 1, 1),
        parts: &[],
        contradiction: "",
    },
    Form {
        source: "thought up: the same with one that blocks",
        text: "{\"verdict\": \"APPROVED\", \"blocking_issues\": [{\"issue\": \"Key is logged\", \"severity\": \"BLOCKING\"}]}<!--",
        verdict: Revise,
        findings: (1, 0, 0),
        parts: &[],
        contradiction: "Key is logged",
    },
    Form {
        source: "thought up: thoughts whose beginning the chat template ate",
        text: "Verdict: APPROVED would be too kind?\n</think>\n\n## Tier 1: BLOCKING Issues\n- [ ] **Loop:** it has no bound.\n\nVerdict: REVISE\n<!--",
        verdict: Revise,
        findings: (1, 0, 0),
        parts: &[],
        contradiction: "",
    },
];

#[test]
fn every_form_is_read_as_a_person_reads_it() {
    let mut wrong = Vec::new();
    for form in FORMS {
        // A form with a verdict of its own hides the boxes in a comment.
        let review = parse(&format!("{}{BOXES}", form.text));
        let findings = (review.blocking.len(), review.high.len(), review.suggestions.len());
        let parts: Vec<(&str, &str)> =
            review.sections.iter().map(|(name, word)| (name.as_str(), word.as_str())).collect();
        let contradiction = review.contradiction.clone().unwrap_or_default();
        let told = contradiction.contains(form.contradiction)
            && contradiction.is_empty() == form.contradiction.is_empty();
        let own_boxes = form.text.contains("## Verdict\n");
        let verdict = if own_boxes { parse(form.text).verdict } else { review.verdict };
        if verdict != form.verdict
            || findings != form.findings
            || parts != form.parts
            || (!told && !own_boxes)
        {
            wrong.push(format!("{}:\n{}\n{review:#?}", form.source, form.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
