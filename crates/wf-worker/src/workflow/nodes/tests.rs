//! Whole workflows over a scripted model: what is asked, what is kept, and how it ends.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wf_protocol::{AcquireError, CallOutcome, DenyCause, JobVerdict, WaitReason, Waiting};
use wf_providers::{Answer, Refusal, Reply};

use crate::checkpoint;
use crate::job::Input;
use crate::llm::Sent;
use crate::output::sha256;
use crate::run::Finish;
use crate::testing::{Asked, DESIGN, Stage, refuses, review, says};
use crate::workflow::{Ending, Next};

/// Approves in the iteration given; before that, each review has another finding, and each revision is one edit.
fn approving_in(iteration: u32) -> impl Fn(&Asked) -> Sent + Send + Sync {
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

fn detail(finish: &Finish, verdict: JobVerdict) -> &str {
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
            "finished  approved"
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
fn a_reply_that_was_received_is_not_paid_for_again_when_its_node_failed() {
    let stage = Stage::new(approving_in(1));
    // Lineage cannot be written: the reply is kept, its node is not finished.
    stage.write(".wf/lineage", "in the way");
    stage.run();
    fs::remove_file(stage.dir.path().join(".wf/lineage")).unwrap();
    assert_eq!(stage.names(), Vec::<String>::new(), "the input is traced first");
    stage.stop_after(1);
    stage.run();
    fs::rename(stage.dir.path().join(".wf/lineage"), stage.dir.path().join("aside")).unwrap();
    stage.write(".wf/lineage", "in the way");
    assert!(detail(&stage.run(), JobVerdict::Failed).contains("lineage"));
    assert!(detail(&stage.run(), JobVerdict::Failed).contains("lineage"));
    assert_eq!(stage.names(), ["N1_draft 1"]);
    fs::remove_file(stage.dir.path().join(".wf/lineage")).unwrap();
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(stage.names(), ["N1_draft 1", "N3_review 1"]);
    assert!(stage.file(".wf/runs/r1/workflow-audit-42.jsonl").unwrap().contains("reused"));
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
fn an_answer_that_cannot_be_used_is_sent_back_once_with_the_reason() {
    let nowhere = "<<<<<<< SEARCH\nno such line\n=======\nx\n>>>>>>> REPLACE\n";
    let cut = Sent::Replied(Reply::Answer(Answer {
        text: DESIGN.into(),
        tokens_in: 1,
        tokens_out: 1,
        truncated: true,
        hints: vec![],
    }));
    for (bad, reason) in [
        (says(nowhere), "matches nowhere in the document"),
        (says(""), "the answer is empty"),
        (says(" \n "), "the answer is empty"),
        (says("x".repeat(20 << 20)), "the document is larger than 1048576 bytes"),
        (cut, "it was cut off at the limit of 8000 tokens"),
    ] {
        let first = bad.clone();
        let stage = Stage::new(move |asked| match (asked.name().as_str(), asked.node.as_str()) {
            ("N1_draft 1" | "N1_draft 2+", _) => says(DESIGN),
            ("N1_draft 2", _) => first.clone(),
            ("N3_review 1", _) => says(review("REVISE", &["objection"])),
            _ => says(review("APPROVED", &[])),
        });
        detail(&stage.run(), JobVerdict::Approved);
        let mend = &stage.asked()[3];
        assert_eq!(mend.name(), "N1_draft 2+");
        assert!(mend.text.contains(reason) && mend.text.contains("Cache it."), "{reason}: {}", mend.text);
        assert!(stage.files(".wf/lineage/lld_42").contains(&"004-reply.md".to_owned()));
    }
}

#[test]
fn an_answer_that_stays_useless_fails_the_item_and_the_next_run_asks_anew() {
    let usable = std::sync::Arc::new(AtomicUsize::new(0));
    let switch = std::sync::Arc::clone(&usable);
    let stage = Stage::new(move |asked| match asked.node.as_str() {
        "N1_draft" if switch.load(Ordering::Relaxed) == 0 => says(""),
        "N1_draft" => says(DESIGN),
        _ => says(review("APPROVED", &[])),
    });
    let finish = stage.run();
    assert_eq!(
        detail(&finish, JobVerdict::Failed),
        "the drafter's answer cannot be used, also when asked again: the answer is empty; it is kept in \
         .wf/lineage/lld_42/002-reply.md"
    );
    assert_eq!(
        (finish.exit_code(), stage.names()),
        (1, vec!["N1_draft 1".to_owned(), "N1_draft 1+".to_owned()])
    );
    usable.store(1, Ordering::Relaxed);
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(stage.names()[2..], ["N1_draft 1", "N3_review 1"]);
}

#[test]
fn a_review_without_a_verdict_is_followed_by_a_question_for_the_verdict_alone() {
    let fenced = format!("As asked:\n```\n{}```\n", review("APPROVED", &[]));
    for unreadable in [String::new(), "I like it.".into(), fenced, review("none", &[]), "y".repeat(20 << 20)]
    {
        let stage = Stage::new(move |asked| match (asked.node.as_str(), asked.turns) {
            ("N1_draft", _) => says(DESIGN),
            (_, 1) => says(unreadable.clone()),
            _ => says(review("APPROVED", &[])),
        });
        detail(&stage.run(), JobVerdict::Approved);
        assert_eq!(stage.names(), ["N1_draft 1", "N3_review 1", "N3_review 1+"]);
        assert!(stage.asked()[2].text.contains("verdict alone"));
    }

    let stage = Stage::new(|asked| match asked.node.as_str() {
        "N1_draft" => says(DESIGN),
        _ => says("Well."),
    });
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.starts_with("no verdict can be read from the review"), "{why}");
    assert_eq!(stage.file(".wf/lineage/lld_42/003-verdict.md").unwrap(), "Well.");
}

#[test]
fn a_verdict_given_alone_does_not_undo_a_blocking_finding() {
    let stage = Stage::new(|asked| match (asked.node.as_str(), asked.turns) {
        ("N1_draft", _) => says(DESIGN),
        (_, 1) => says(review("none", &["it deletes data"])),
        _ => says(review("APPROVED", &[])),
    });
    let finish = stage.run();
    assert_ne!(finish.verdict, JobVerdict::Approved);
    assert_eq!(stage.file("docs/lld/LLD-42.md"), None);
}

#[test]
fn inputs_are_refused_with_their_name_and_without_a_call() {
    let sh = |script: &str| Input::Command(vec!["sh".into(), "-c".into(), script.into()]);
    for (input, bytes, why) in [
        (Input::File("issues/43.md".into()), None, "input issues/43.md not found"),
        (Input::File("issues/43.md".into()), Some(vec![]), "input issues/43.md is empty"),
        (
            Input::File("issues/43.md".into()),
            Some(b"\xef\xbb\xbf \n\t".to_vec()),
            "input issues/43.md is empty",
        ),
        (
            Input::File("issues/43.md".into()),
            Some(vec![0xff, 0xfe]),
            "input issues/43.md is not UTF-8: convert it",
        ),
        (
            Input::File("issues/43.md".into()),
            Some(vec![b'x'; (1 << 20) + 1]),
            "input issues/43.md is larger than 1 MiB: split it",
        ),
        (Input::File("issues".into()), None, "input issues cannot be read: it is not a regular file"),
        (sh("true"), None, "input command `sh -c true` is empty"),
        (sh("exit 4"), None, "input command `sh -c exit 4` failed with exit status: 4"),
        (sh("yes"), None, "input command `sh -c yes` is larger than 1 MiB: split it"),
        (Input::Command(vec![]), None, "the input command is empty: see `input` in wf.toml"),
        (
            Input::Command(vec!["no-such-program".into()]),
            None,
            "input command `no-such-program` could not be started: No such file or directory (os error 2)",
        ),
    ] {
        let mut stage = Stage::new(|_| panic!("no call is made"));
        stage.job.input = input;
        if let Some(bytes) = bytes {
            stage.write("issues/43.md", bytes);
        }
        assert_eq!(detail(&stage.run(), JobVerdict::Failed), why);
    }
    for (input, bytes) in [
        (Input::File("issues/43.md".into()), vec![b'x'; 1 << 20]),
        (Input::File("issues/43.md".into()), b"\xef\xbb\xbfwith a mark".to_vec()),
        (sh("printf 'from a command'; pwd >&2"), vec![]),
    ] {
        let mut stage = Stage::new(approving_in(1));
        stage.job.input = input;
        stage.write("issues/43.md", bytes);
        detail(&stage.run(), JobVerdict::Approved);
        assert!(!stage.asked()[0].text.contains('\u{feff}'));
    }
}

#[test]
fn refusals_are_reported_and_the_same_call_asked_for_again() {
    let left = Mutex::new(vec![
        Refusal::KeyRefused { detail: "401: sesame-sesame is no key".into() },
        Refusal::Transient { detail: "500".into() },
        Refusal::Limited {
            dimension: Some(wf_providers::Dimension::RequestsPerMinute),
            retry_after: Some(std::time::Duration::from_secs(56)),
            limit: Some(60),
            detail: "429".into(),
        },
    ]);
    let stage = Stage::new(move |asked| match left.lock().unwrap().pop() {
        Some(refusal) => refuses(refusal),
        None => approving_in(1)(asked),
    });
    detail(&stage.run(), JobVerdict::Approved);
    let calls: Vec<u64> = stage.requests().iter().map(|r| r.call).collect();
    assert_eq!(calls, [1, 1, 1, 1, 2]);
    assert_eq!(
        stage.released()[..3],
        [
            CallOutcome::Limited {
                dimension: Some(wf_protocol::Dimension::RequestsPerMinute),
                retry_after_ms: Some(56_000),
                limit: Some(60)
            },
            CallOutcome::Transient { detail: "500".into() },
            CallOutcome::KeyRefused { detail: "401: [REDACTED:key-a] is no key".into() },
        ]
    );
    assert_eq!(stage.released()[3], CallOutcome::Ok { tokens_in: 100, tokens_out: 50, hints: vec![] });
}

#[test]
fn a_denial_interrupts_or_fails_as_the_supervisor_says() {
    for (passing, verdict) in [(true, JobVerdict::Interrupted), (false, JobVerdict::Failed)] {
        let stage = Stage::new(approving_in(1));
        let detail_text = "call 1 of 42: no usable key is left".to_owned();
        stage.deny(AcquireError::Denied { cause: DenyCause::PoolDead, detail: detail_text.clone(), passing });
        assert_eq!(detail(&stage.run(), verdict), detail_text);
        detail(&stage.run(), JobVerdict::Approved);
    }
    let stage = Stage::new(approving_in(1));
    stage.deny(AcquireError::Lost);
    assert_eq!(detail(&stage.run(), JobVerdict::Interrupted), "the supervisor is gone");
}

#[test]
fn waiting_is_said_once() {
    let stage = Stage::new(approving_in(1));
    let wait = |reason, secs| Waiting { reason, wait: Some(std::time::Duration::from_secs(secs)) };
    stage.wait(wait(WaitReason::Pacing, 1));
    stage.wait(wait(WaitReason::RateLimited, 43));
    stage.wait(wait(WaitReason::AllReserved, 43));
    stage.run();
    let text = stage.sink.text();
    let said: Vec<&str> = text.lines().filter(|l| l.starts_with("waiting")).collect();
    assert_eq!(said, ["waiting for a: all keys are rate-limited, about 43 s"]);
}

#[test]
fn an_output_that_is_not_ours_stays_and_one_that_is_ours_is_replaced() {
    let mut stage = Stage::new(approving_in(1));
    stage.write("docs/lld/LLD-42.md", "mine");
    let finish = stage.run();
    assert_eq!(finish.output.unwrap().0, "docs/lld/LLD-42.new.md");
    assert_eq!(stage.file("docs/lld/LLD-42.md").unwrap(), "mine");
    assert!(
        stage
            .sink
            .text()
            .contains("docs/lld/LLD-42.md exists and is not ours: the new one is docs/lld/LLD-42.new.md\n")
    );

    checkpoint::remove(&stage.checkpoint()).unwrap();
    fs::remove_file(stage.dir.path().join("docs/lld/LLD-42.new.md")).unwrap();
    stage.job.our_output_sha256 = Some(sha256(b"mine"));
    assert_eq!(stage.run().output.unwrap().0, "docs/lld/LLD-42.md");
    assert_eq!(stage.file("docs/lld/LLD-42.md").unwrap(), DESIGN);
    assert_eq!(stage.files("docs/lld"), ["LLD-42.md"]);
}

#[test]
fn an_approved_item_is_only_made_sure_of_unless_it_is_to_be_done_again() {
    let mut stage = Stage::new(approving_in(1));
    let first = stage.run();
    assert_eq!(stage.run(), first, "as when the supervisor was killed before it knew");
    fs::remove_file(stage.dir.path().join("docs/lld/LLD-42.md")).unwrap();
    assert_eq!(stage.run(), first);
    assert_eq!((stage.file("docs/lld/LLD-42.md").as_deref(), stage.names().len()), (Some(DESIGN), 2));
    stage.job.redo = true;
    assert_eq!(stage.run(), first);
    assert_eq!(stage.names().len(), 4);
}

#[test]
fn a_resumed_item_keeps_its_models_wherever_they_listen_now() {
    let mut stage = Stage::new(approving_in(1));
    stage.stop_after(2);
    stage.run();
    stage.job.reviewer.model = "reviewer-2".into();
    stage.job.reviewer.base_url = "http://127.0.0.1:2".into();
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(stage.requests().last().unwrap().model, "reviewer-1");
    assert!(stage.sink.text().contains("the reviewer stays reviewer-1 of g, with which the work began"));
    let seen = checkpoint::peek(&stage.checkpoint()).unwrap().unwrap();
    assert_eq!(seen.identity.reviewer.model, "reviewer-1");
}

#[test]
fn a_checkpoint_that_cannot_be_used_fails_the_item_and_redo_sets_it_aside() {
    let mut stage = Stage::new(approving_in(1));
    stage.write(".wf/checkpoints/lld_workflow_42.db", "no database");
    assert!(detail(&stage.run(), JobVerdict::Failed).contains("--redo"));
    stage.job.redo = true;
    detail(&stage.run(), JobVerdict::Approved);
    assert_eq!(stage.file(".wf/checkpoints/lld_workflow_42.db.aside-1").unwrap(), "no database");
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
    stage.job.workflow = "implement".into();
    assert!(detail(&stage.run(), JobVerdict::Failed).contains("\"implement\" is not built into this worker"));
}

#[test]
fn an_approved_document_is_committed_in_its_repository() {
    let mut stage = Stage::new(approving_in(2));
    stage.job.commit = true;
    let dir = stage.dir.path().to_owned();
    let git = |args: &[&str]| {
        let out = std::process::Command::new("git").args(args).current_dir(&dir).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["config", "user.name", "Test"]);
    git(&["config", "user.email", "test@localhost"]);
    detail(&stage.run(), JobVerdict::Approved);
    insta::assert_snapshot!(git(&["log", "--format=%B", "--name-only"]), @r"
    LLD-42: Cache the index

    Drafted by drafter-1, approved by reviewer-1 after 2 reviews.


    docs/lld/LLD-42.md
    ");
    assert!(stage.sink.text().contains("git: [main (root-commit) "), "{}", stage.sink.text());
    assert!(stage.sink.text().ends_with("<<< N4_finalize: docs/lld/LLD-42.md, committed\n"));
    stage.run();
    assert!(stage.sink.text().ends_with("<<< N4_finalize: docs/lld/LLD-42.md, committed before\n"));
}

#[test]
fn a_position_of_a_checkpoint_reads_as_people_say_it() {
    let stage = Stage::new(approving_in(3));
    stage.stop_after(6);
    stage.run();
    let seen = checkpoint::peek(&stage.checkpoint()).unwrap().unwrap();
    let Next::Node(at) = seen.next else { panic!() };
    assert_eq!(at.to_string(), "N3_review, iteration 2");
    stage.run();
    assert!(
        stage
            .sink
            .text()
            .contains("\nresuming at N3_review, iteration 2\n>>> Executing: N3_review (iteration 2")
    );
}
