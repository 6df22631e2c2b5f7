//! Inputs, outputs, checkpoints and commits.

use std::fs;

use wf_protocol::JobVerdict;

use super::{approving_in, detail};
use crate::checkpoint;
use crate::job::Input;
use crate::output::sha256;
use crate::testing::{DESIGN, Stage};
use crate::workflow::Next;

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
        (Input::File("issues".into()), None, "input issues cannot be read: it is a directory"),
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
fn an_output_that_is_not_ours_stays_and_one_that_is_ours_is_replaced() {
    let mut stage = Stage::new(approving_in(1));
    stage.write("docs/lld/LLD-42.md", "mine");
    let finish = stage.run();
    let told = detail(&finish, JobVerdict::Approved);
    assert_eq!(told, "approved after 1 review; written to docs/lld/LLD-42.new.md");
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
