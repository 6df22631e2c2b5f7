//! What models and the supervisor answer: useless replies, refusals, denials, waits.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wf_protocol::{AcquireError, CallOutcome, DenyCause, JobVerdict, WaitReason, Waiting};
use wf_providers::{Answer, Refusal, Reply};

use super::{approving_in, detail};
use crate::llm::Sent;
use crate::testing::{DESIGN, Stage, refuses, review, says};

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
fn refusals_are_reported_and_the_same_call_asked_for_again() {
    let left = Mutex::new(vec![
        Refusal::KeyRefused { detail: "401: sesame-sesame is no key".into() },
        Refusal::Transient { detail: "500".into() },
        Refusal::Limited {
            dimension: Some(wf_providers::Dimension::RequestsPerMinute),
            retry_after: Some(std::time::Duration::from_secs(56)),
            limit: Some(60),
            slow_down: false,
            hints: Vec::new(),
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
                limit: Some(60),
                slow_down: false,
                hints: Vec::new(),
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
fn a_key_that_a_reply_repeats_is_kept_nowhere() {
    let stage = Stage::new(|asked| match asked.node.as_str() {
        "N1_draft" => says(format!("{DESIGN}\nAsked with sesame-sesame.\n")),
        _ => says(review("APPROVED", &[]) + "sesame-sesame\n"),
    });
    // Without a last step the checkpoint stays as it is.
    stage.stop_after(4);
    stage.run();
    let mut dirs = vec![stage.dir.path().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                let text = fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&text).contains("sesame-sesame"), "{entry:?}");
            }
        }
    }
    detail(&stage.run(), JobVerdict::Approved);
    let output = stage.file("docs/lld/LLD-42.md").unwrap();
    assert!(output.ends_with("Asked with [REDACTED:key-a].\n"), "{output}");
}
