//! Whole workflows over a scripted model: what is asked, what is kept, and how it ends.

mod code;
mod files;
mod replies;
mod test_command;
mod worktrees;

use std::sync::atomic::{AtomicUsize, Ordering};

use wf_protocol::JobVerdict;

use crate::checkpoint;
use crate::llm::Sent;
use crate::output::sha256;
use crate::run::Finish;
use crate::testing::{Asked, DESIGN, Stage, review, says};
use crate::workflow::Ending;

/// Approves in the iteration given; before that, each review has another finding, and each revision is one edit.
pub fn approving_in(iteration: u32) -> impl Fn(&Asked) -> Sent + Send + Sync {
    move |asked| match asked.node.as_str() {
        "N1_draft" if asked.iteration == 1 => says(DESIGN),
        "N1_draft" => {
            let n = asked.iteration;
            let before =
                if n == 2 { "Cache it.".to_owned() } else { format!("Cache it, revision {}.", n - 1) };
            says(format!("<<<<<<< SEARCH\n{before}\n=======\nCache it, revision {n}.\n>>>>>>> REPLACE\n"))
        }
        _ if asked.iteration >= iteration => says(review("APPROVED", &[])),
        _ => says(review("REVISE", &[&format!("objection {}", asked.iteration)])),
    }
}

pub fn detail(finish: &Finish, verdict: JobVerdict) -> &str {
    assert_eq!(finish.verdict, verdict, "{finish:?}");
    &finish.detail
}

#[test]
fn a_document_is_revised_until_it_is_approved() {
    let stage = Stage::new(approving_in(3));
    let finish = stage.run();
    let written = DESIGN.replace("Cache it.", "Cache it, revision 3.");
    assert_eq!(detail(&finish, JobVerdict::Approved), "approved after 3 reviews");
    assert_eq!(finish.output, Some(("docs/lld/LLD-42.md".into(), sha256(written.as_bytes()))));
    assert_eq!(finish.exit_code(), 0);
    assert_eq!(stage.file("docs/lld/LLD-42.md"), Some(written));
    assert_eq!(stage.files("docs/lld"), ["LLD-42.md"]);
    assert_eq!(
        stage.files(".wf/lineage/lld_42"),
        [
            "001-input.md",
            "002-draft.md",
            "003-verdict.md",
            "004-draft.md",
            "005-verdict.md",
            "006-draft.md",
            "007-verdict.md"
        ]
    );
    insta::assert_snapshot!(stage.sink.text(), @r"
    >>> Executing: N0_load
    <<< N0_load: issues/42.md, 3 lines
    >>> Executing: N1_draft (iteration 1 of 3)
    <<< N1_draft: a whole document, 20 lines
    >>> Executing: N2_check (iteration 1 of 3)
    <<< N2_check: complete
    >>> Executing: N3_review (iteration 1 of 3)
    <<< N3_review: revise, 1 finding
    >>> Executing: N1_draft (iteration 2 of 3)
    <<< N1_draft: 1 edit, 20 lines
    >>> Executing: N2_check (iteration 2 of 3)
    <<< N2_check: complete
    >>> Executing: N3_review (iteration 2 of 3)
    <<< N3_review: revise, 1 finding
    >>> Executing: N1_draft (iteration 3 of 3)
    <<< N1_draft: 1 edit, 20 lines
    >>> Executing: N2_check (iteration 3 of 3)
    <<< N2_check: complete
    >>> Executing: N3_review (iteration 3 of 3)
    <<< N3_review: approved
    >>> Executing: N4_finalize
    <<< N4_finalize: docs/lld/LLD-42.md
    ");
    let seen = checkpoint::peek(&stage.checkpoint()).unwrap().unwrap();
    assert_eq!(seen.ending(), Some(Ending::Approved), "kept until the outcome is on record");
}

#[test]
fn prompts_carry_what_their_reader_needs() {
    let stage = Stage::new(approving_in(3));
    stage.run();
    let asked = stage.asked();
    let has = |n: usize, parts: &[&str]| {
        for part in parts {
            assert!(asked[n].text.contains(part), "{} lacks {part:?}:\n{}", asked[n].name(), asked[n].text);
        }
    };
    has(0, &["## Context & Goal", "It is slow.", "<input id=\"42\">"]);
    has(1, &["| T1 | Look up | R1 |", "It is slow.", "Tier 1", "[ ] **APPROVED**"]);
    has(2, &["- Finding: objection 1", "<findings from=\"review\">", "Cache it.", "<<<<<<< SEARCH"]);
    has(4, &["objection 2", "- Iteration 1, revise: Finding: objection 1"]);
    has(5, &["Cache it, revision 3.", "Iteration 2, revise"]);
    assert!(!asked[0].text.contains("{{") && !asked[0].text.contains("{%"), "{}", asked[0].text);
    assert!(asked[0].system.contains("low-level designs"), "{}", asked[0].system);
    assert!(asked[1].system.ends_with("\nwf-context: workflow=lld node=N3_review iteration=1 item=42"));
    let shares: Vec<u16> = stage.requests().iter().map(|r| r.share).collect();
    assert_eq!(shares, [66, 200, 400, 533, 733, 866]);
    let calls: Vec<u64> = stage.requests().iter().map(|r| r.call).collect();
    assert_eq!(calls, [1, 2, 3, 4, 5, 6]);
    assert!(stage.requests().iter().all(|r| r.tokens > 300 && r.tokens < 20_000), "{:?}", stage.requests());
}

#[test]
fn the_audit_trail_names_calls_keys_and_verdicts() {
    let stage = Stage::new(approving_in(2));
    stage.run();
    let text = stage.file(".wf/runs/r1/workflow-audit-42.jsonl").unwrap();
    let events: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", field("event"), field("node"), field("verdict") + &field("key"))
        })
        .filter(|event| !event.starts_with("node-"))
        .collect();
    assert_eq!(
        events,
        [
            "call N1_draft key-a",
            "call N3_review key-a",
            "verdict N3_review revise",
            "call N1_draft key-a",
            "call N3_review key-a",
            "verdict N3_review approved",
            "written N4_finalize ",
            "finished N4_finalize approved"
        ]
    );
    assert!(!text.contains("sesame"), "no secret");
}

#[test]
fn after_a_stop_at_any_node_the_same_document_comes_of_it_and_no_call_is_made_twice() {
    let whole = Stage::new(approving_in(3));
    whole.run();
    let nodes = whole.nodes().len();
    assert_eq!(nodes, 11);
    for k in 1..=nodes {
        let stage = Stage::new(approving_in(3));
        stage.stop_after(k);
        let stopped = stage.run();
        if k < nodes {
            assert_eq!(detail(&stopped, JobVerdict::Interrupted), "a signal asked it to stop");
            assert_eq!((stopped.exit_code(), stage.nodes().len()), (75, k));
            assert_eq!(stage.file("docs/lld/LLD-42.md"), None);
        }
        let finish = stage.run();
        assert_eq!(detail(&finish, JobVerdict::Approved), "approved after 3 reviews", "stopped after {k}");
        assert_eq!(stage.file("docs/lld/LLD-42.md"), whole.file("docs/lld/LLD-42.md"));
        assert_eq!(stage.names(), whole.names(), "stopped after {k}");
        assert_eq!(stage.files(".wf/lineage/lld_42"), whole.files(".wf/lineage/lld_42"));
    }
}

#[test]
fn without_approval_the_last_draft_is_kept_beside_and_redo_goes_on() {
    let mut stage = Stage::new(approving_in(9));
    let finish = stage.run();
    assert_eq!(
        detail(&finish, JobVerdict::NeedsRevision),
        "not approved after 3 iterations; the last draft is docs/lld/LLD-42.draft.md"
    );
    assert_eq!((finish.exit_code(), finish.output.as_ref()), (3, None));
    assert_eq!(stage.files("docs/lld"), ["LLD-42.draft.md"]);
    let calls = stage.names().len();

    // Said again without paying, whatever a person did to the draft meanwhile.
    stage.write("docs/lld/LLD-42.draft.md", "edited");
    assert_eq!(stage.run(), finish);
    assert_eq!(stage.names().len(), calls);
    assert_eq!(stage.file("docs/lld/LLD-42.draft.md").unwrap(), "edited");

    stage.job.redo = true;
    let again = stage.run();
    assert_eq!(stage.names()[calls], "N1_draft 1");
    assert!(stage.asked()[calls].text.contains("objection 3"), "{}", stage.asked()[calls].text);
    // The model of this test answers iteration 1 with a whole document, and never approves.
    assert!(
        detail(&again, JobVerdict::NeedsRevision).ends_with("the last draft is docs/lld/LLD-42.draft.new.md")
    );
    assert_eq!(stage.file("docs/lld/LLD-42.draft.md").unwrap(), "edited");
}

#[test]
fn a_kept_draft_goes_when_the_document_is_approved() {
    let calls = AtomicUsize::new(0);
    let mut stage = Stage::new(move |asked| match asked.node.as_str() {
        "N1_draft" => says(DESIGN),
        _ if calls.fetch_add(1, Ordering::Relaxed) == 0 => says(review("DISCUSS", &["Which cache?"])),
        _ => says(review("APPROVED", &[])),
    });
    let finish = stage.run();
    assert_eq!(
        detail(&finish, JobVerdict::NeedsRevision),
        "a person must decide: Finding: Which cache?; the last draft is docs/lld/LLD-42.draft.md"
    );
    stage.job.redo = true;
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(stage.files("docs/lld"), ["LLD-42.md"]);
}

#[test]
fn the_same_objections_twice_in_a_row_end_it() {
    let mut stage = Stage::new(|asked| match asked.node.as_str() {
        "N1_draft" => says(DESIGN),
        _ => says(review("REVISE", &["the same", &format!("another {}", asked.iteration), "as before"])),
    });
    stage.job.max_iterations = 9;
    let finish = stage.run();
    assert!(detail(&finish, JobVerdict::NeedsRevision).starts_with("stagnated: two reviews in a row"));
    assert_eq!(stage.names(), ["N1_draft 1", "N3_review 1", "N1_draft 2", "N3_review 2"]);
}

#[test]
fn what_blocks_counts_for_stagnation_whatever_is_found_beside_it() {
    let mut stage = Stage::new(|asked| {
        if asked.node == "N1_draft" {
            return says(DESIGN);
        }
        let high =
            [0, 1, 2, 3].map(|n| format!("- [ ] **New:** {n} of review {}\n", asked.iteration)).concat();
        says(review("REVISE", &["the same"]).replacen("No issues found\n", &high, 1))
    });
    stage.job.max_iterations = 9;
    assert!(detail(&stage.run(), JobVerdict::NeedsRevision).starts_with("stagnated: two reviews in a row"));
    assert_eq!(stage.names().len(), 4);
}

#[test]
fn the_check_sends_back_twice_per_iteration_and_then_lets_the_reviewer_judge() {
    let stage = Stage::new(|asked| match (asked.node.as_str(), asked.iteration) {
        ("N1_draft", _) => says(DESIGN.replace("R2 |", "both |")),
        (_, 1) => says(review("REVISE", &["objection"])),
        _ => says(review("APPROVED", &[])),
    });
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(
        stage.names(),
        [
            "N1_draft 1",
            "N1_draft 1",
            "N1_draft 1",
            "N3_review 1",
            "N1_draft 2",
            "N1_draft 2",
            "N1_draft 2",
            "N3_review 2"
        ]
    );
    let asked = stage.asked();
    let finding = "No test scenario names requirement 2 (1 of 2 covered, at least 95 % are asked for).";
    assert!(asked[1].text.contains("<findings from=\"mechanical check\">"), "{}", asked[1].text);
    assert!(asked[1].text.contains(finding) && asked[3].text.contains(finding));
    assert!(stage.sink.text().contains(&format!("<<< N2_check: 1 finding: {finding}")));
}

#[test]
fn the_issue_workflow_is_the_same_table_with_its_own_words() {
    let text = "# Cache\n## User Story\nAs a user\n## Acceptance Criteria\n- [ ] fast\n## Definition of Done\n- [ ] tested\n";
    let mut stage = Stage::new(move |asked| match asked.node.as_str() {
        "N1_draft" => says(text),
        _ => says(review("APPROVED", &[])),
    });
    stage.job.workflow = "issue".into();
    stage.job.output = "issues/out.md".into();
    detail(&stage.run(), JobVerdict::Approved);
    assert!(stage.asked()[0].text.contains("## Definition of Done"));
    assert!(stage.asked()[0].system.contains("workflow=issue "));
    assert_eq!(stage.file("issues/out.md").unwrap(), text);
    stage.job.workflow = "deploy".into();
    assert!(detail(&stage.run(), JobVerdict::Failed).contains("\"deploy\" is not built into this worker"));
}
