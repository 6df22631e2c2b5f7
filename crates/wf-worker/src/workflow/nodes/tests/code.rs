//! `implement` over a scripted model, in a real repository with a real test command.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use wf_protocol::JobVerdict;

use super::detail;
use crate::job::{CodeJob, Input};
use crate::llm::Sent;
use crate::output::sha256;
use crate::testing::{Asked, Stage, review, says};

/// A design that a person approved.
pub const DESIGN: &str =
    "# LLD-42: Cache the index\n\nStatus: approved\n\n## Requirements\n1. `src/cache` says right.\n";

/// What runs the project's tests.
const RUN: &str = "status=0\nfor t in tests/*.sh; do sh \"$t\" || { echo \"not ok - $t\"; status=1; }; done\nexit $status\n";

/// Tests as a model writes them.
pub const TESTS: &str = "### FILE: tests/cache.sh\n```\n[ \"$(cat src/cache)\" = right ]\n```\n";

/// A repository with a test that passes, on a stage whose item is the design's.
pub fn stage(model: impl Fn(&Asked) -> Sent + Send + Sync + 'static) -> Stage {
    let mut stage = Stage::new(model);
    stage.write("run.sh", RUN);
    stage.write("tests/base.sh", "true\n");
    stage.write("src/old", "a\nb\nc\n");
    stage.write(".gitignore", "/build\n.wf\n");
    stage.write("docs/lld/LLD-42.md", DESIGN);
    git(&stage, &["init", "-q", "-b", "main"]);
    git(&stage, &["config", "user.name", "Test"]);
    git(&stage, &["config", "user.email", "test@localhost"]);
    git(&stage, &["add", "-A"]);
    git(&stage, &["commit", "-q", "-m", "Begin"]);
    stage.job.workflow = "implement".into();
    stage.job.input = Input::File("docs/lld/LLD-42.md".into());
    stage.job.output = "wf/impl-42".into();
    stage.job.code = Some(CodeJob {
        worktree: stage.dir.path().join(".wf/worktrees/impl-42"),
        repository: None,
        state_dir: stage.dir.path().join(".wf"),
        test_command: vec!["sh".into(), "run.sh".into()],
        test_timeout_ms: 60_000,
        approved_designs: vec![],
    });
    stage
}

/// Runs git in the project.
pub fn git(stage: &Stage, args: &[&str]) -> String {
    let out = Command::new("git").args(args).current_dir(stage.dir.path()).output().unwrap();
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The item's worktree.
pub fn worktree(stage: &Stage) -> PathBuf {
    stage.dir.path().join(".wf/worktrees/impl-42")
}

/// An answer that makes `src/cache` say this.
pub fn cache(word: &str) -> Sent {
    says(format!("### FILE: src/cache\n```\n{word}\n```\n"))
}

/// Wrong code first, then right code that the first review objects to, then right code once more.
pub fn model(asked: &Asked) -> Sent {
    match (asked.node.as_str(), asked.iteration) {
        ("N2_tests", _) => says(TESTS),
        ("N4_code", 1) => cache("wrong"),
        ("N4_code", 2) => says(
            "### FILE: src/cache\n<<<<<<< SEARCH\nwrong\n=======\nright\n>>>>>>> REPLACE\n### DELETE: src/old\n",
        ),
        ("N4_code", _) => says("### FILE: src/note\n```\nmore\n```\n"),
        ("N6_review", 2) => says(review("REVISE", &["say more"])),
        _ => says(review("APPROVED", &[])),
    }
}

/// What must be true after every end: no lock, nothing unfinished, nothing in the project's own files.
pub fn assert_tidy(stage: &Stage) {
    assert_eq!(git(stage, &["status", "--porcelain"]), "");
    let mut dirs = vec![stage.dir.path().join(".git"), stage.dir.path().join(".wf/worktrees")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let is_lock = name == "locked" || entry.path().extension().is_some_and(|e| e == "lock");
            assert!(!is_lock && !name.ends_with(".wf-tmp"), "{entry:?}");
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}

#[test]
fn code_is_written_for_failing_tests_reviewed_and_committed_on_a_branch() {
    let stage = stage(model);
    let finish = stage.run();
    assert_eq!(detail(&finish, JobVerdict::Approved), "approved after 2 reviews", "{}", stage.sink.text());
    let tip = git(&stage, &["rev-parse", "wf/impl-42"]);
    assert_eq!(finish.output, Some(("wf/impl-42".into(), sha256(tip.trim().as_bytes()))));
    insta::assert_snapshot!(git(&stage, &["log", "--format=%B", "--name-status", "main..wf/impl-42"]), @r"
    IMPL-42: Cache the index

    Written by drafter-1, approved by reviewer-1 after 2 reviews.


    A	src/cache
    A	src/note
    D	src/old
    A	tests/cache.sh
    ");
    let base = git(&stage, &["rev-parse", "main"]);
    let said =
        stage.sink.text().replace(&tip[..12], "TIP").replace(&tip[..7], "TIP").replace(&base[..12], "BASE");
    insta::assert_snapshot!(said, @r"
    >>> Executing: N0_load
    <<< N0_load: docs/lld/LLD-42.md, 6 lines, approved by a person
    >>> Executing: N1_worktree
    $ sh run.sh
    <<< N1_worktree: .wf/worktrees/impl-42 made, branch wf/impl-42 at BASE; the tests pass there
    >>> Executing: N2_tests
    <<< N2_tests: 1 file: tests/cache.sh
    >>> Executing: N3_red
    $ sh run.sh
    cat: src/cache: No such file or directory
    not ok - tests/cache.sh
    <<< N3_red: failing, as they should: exit status: 1: tests/cache.sh
    >>> Executing: N4_code (iteration 1 of 3)
    <<< N4_code: 1 file: src/cache
    >>> Executing: N5_green (iteration 1 of 3)
    $ sh run.sh
    not ok - tests/cache.sh
    <<< N5_green: exit status: 1: tests/cache.sh
    >>> Executing: N4_code (iteration 2 of 3)
    <<< N4_code: 2 files: src/cache, src/old
    >>> Executing: N5_green (iteration 2 of 3)
    $ sh run.sh
    <<< N5_green: the tests pass
    >>> Executing: N6_review (iteration 2 of 3)
    <<< N6_review: revise, 1 finding
    >>> Executing: N4_code (iteration 3 of 3)
    <<< N4_code: 1 file: src/note
    >>> Executing: N5_green (iteration 3 of 3)
    $ sh run.sh
    <<< N5_green: the tests pass
    >>> Executing: N6_review (iteration 3 of 3)
    <<< N6_review: approved
    >>> Executing: N7_commit
    git: [wf/impl-42 TIP] IMPL-42: Cache the index
    git:  4 files changed, 3 insertions(+), 3 deletions(-)
    git:  create mode 100644 src/cache
    git:  create mode 100644 src/note
    git:  delete mode 100644 src/old
    git:  create mode 100644 tests/cache.sh
    <<< N7_commit: committed as TIP on branch wf/impl-42
    ");
    assert!(!worktree(&stage).exists());
    assert_eq!(git(&stage, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(
        stage.files(".wf/lineage/lld_42"),
        [
            "001-input.md",
            "002-tests.md",
            "003-output.md",
            "004-code.md",
            "005-output.md",
            "006-code.md",
            "007-diff.md",
            "008-verdict.md",
            "009-code.md",
            "010-diff.md",
            "011-verdict.md"
        ]
    );
    assert_tidy(&stage);
}

#[test]
fn prompts_carry_the_design_the_files_the_failure_and_the_diff() {
    let stage = stage(model);
    stage.run();
    let asked = stage.asked();
    let names: Vec<String> = stage.names();
    assert_eq!(names, ["N2_tests 1", "N4_code 1", "N4_code 2", "N6_review 2", "N4_code 3", "N6_review 3"]);
    for (n, parts) in [
        (0, &["`src/cache` says right", "tests/base.sh", "`sh run.sh`", "### FILE: path/to/new_file"][..]),
        (1, &["<file path=\"tests/cache.sh\">", "- tests/cache.sh", "so that its tests pass"]),
        (
            2,
            &[
                "not ok - tests/cache.sh",
                "<file path=\"src/cache\">\n```\nwrong\n```",
                "Iteration 1, the tests failed",
            ],
        ),
        (3, &["+right", "deleted file mode", "src/old", "Iteration 1, the tests failed", "[ ] **APPROVED**"]),
        (4, &["- Finding: say more", "<findings from=\"review\">", "Iteration 2, revise"]),
        (5, &["+more", "+right"]),
    ] {
        for part in parts {
            assert!(asked[n].text.contains(part), "{} lacks {part:?}:\n{}", names[n], asked[n].text);
        }
        assert!(!asked[n].text.contains("{{") && !asked[n].text.contains("{%"), "{}", asked[n].text);
    }
    assert!(
        asked[0].system.contains("engineer who builds") && asked[3].system.contains("reviews code changes")
    );
}

#[test]
fn after_a_stop_at_any_node_the_same_commit_comes_of_it_and_no_call_is_made_twice() {
    let whole = stage(model);
    whole.run();
    let nodes = whole.nodes().len();
    assert_eq!(nodes, 13, "{:?}", whole.nodes());
    for k in 1..nodes {
        let stage = stage(model);
        stage.stop_after(k);
        assert_eq!(stage.run().exit_code(), 75);
        // The worst that may become of the worktree in between.
        if k % 2 == 0 {
            let _ = fs::remove_dir_all(worktree(&stage));
        } else if worktree(&stage).exists() {
            fs::write(worktree(&stage).join("src/cache"), "half-written").unwrap();
        }
        let finish = stage.run();
        detail(&finish, JobVerdict::Approved);
        assert_eq!(stage.names(), whole.names(), "stopped after {k}");
        let tree = |stage: &Stage| git(stage, &["rev-parse", "wf/impl-42^{tree}"]);
        assert_eq!(tree(&stage), tree(&whole), "stopped after {k}");
        assert!(!worktree(&stage).exists());
        assert_tidy(&stage);
        detail(&stage.run(), JobVerdict::Approved);
        assert_eq!(git(&stage, &["rev-list", "--count", "main..wf/impl-42"]), "1\n");
    }
}

#[test]
fn a_design_that_nobody_approved_is_refused_without_a_call() {
    let mut stage = stage(|_| panic!("no call is made"));
    let draft = DESIGN.replace("approved", "draft");
    stage.write("docs/lld/LLD-42.md", &draft);
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.starts_with("design docs/lld/LLD-42.md was not approved as it is: "), "{why}");
    stage.job.code.as_mut().unwrap().approved_designs = vec![sha256(draft.as_bytes())];
    stage.stop_after(1);
    assert_eq!(stage.run().exit_code(), 75);
    assert!(stage.sink.text().contains("approved by the lld workflow"), "{}", stage.sink.text());
}

#[test]
fn paths_that_lead_elsewhere_are_refused_told_and_written_nowhere() {
    let hostile = "### FILE: ../../escaped\n```\nx\n```\n### FILE: /tmp/wf-escaped\n```\nx\n```\n### FILE: .git/hooks/pre-commit\n```\nx\n```\n\
        ### FILE: link/x\n```\nx\n```\n### FILE: .WF/history.db\n```\nx\n```\n### FILE: State/runs/x\n```\nx\n```\n### FILE: build/x\n```\nx\n```\n### FILE: src/ok\n```\nx\n```\n";
    let mut stage = stage(move |asked| match asked.name().as_str() {
        "N4_code 1" => says(hostile),
        "N4_code 1+" => cache("right"),
        _ => model(asked),
    });
    stage.job.code.as_mut().unwrap().state_dir = stage.dir.path().join("state");
    std::os::unix::fs::symlink("/tmp", stage.dir.path().join("link")).unwrap();
    git(&stage, &["add", "link"]);
    git(&stage, &["commit", "-q", "-m", "Link"]);
    detail(&stage.run(), JobVerdict::Approved);
    let asked = stage.asked();
    let told = &asked.iter().find(|a| a.name() == "N4_code 1+").unwrap().text;
    for reason in [
        "path \"../../escaped\" has \"..\"",
        "path \"/tmp/wf-escaped\" is not relative",
        "path \".git/hooks/pre-commit\" belongs to git",
        "path \".WF/history.db\" belongs to wf-supervisor's records",
        "path \"State/runs/x\" belongs to wf-supervisor's records",
        "path \"link/x\" leads out of the project's directory through a link",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    assert!(
        !git(&stage, &["ls-tree", "-r", "--name-only", "wf/impl-42"]).contains("src/ok"),
        "all or nothing"
    );
    assert!(!std::path::Path::new("/tmp/wf-escaped").exists());
    assert_eq!(stage.files(".wf/worktrees"), Vec::<String>::new());
    assert_tidy(&stage);
}

#[test]
fn answers_that_stay_useless_fail_the_item_which_says_where_its_worktree_is() {
    for (answer, why) in [
        ("### FILE: build/x\n```\nx\n```\n".to_owned(), "path \"build/x\" is ignored by git"),
        (
            "### FILE: src/old\n<<<<<<< SEARCH\nz\n=======\n>>>>>>> REPLACE\n".into(),
            "src/old: edit block 1 matches nowhere",
        ),
        (
            "### FILE: src/none\n<<<<<<< SEARCH\nz\n=======\n>>>>>>> REPLACE\n".into(),
            "src/none: there is nothing to edit",
        ),
        ("### DELETE: src/none\n".into(), "src/none: it cannot be deleted"),
        ("### FILE: src/old\n```\na\nb\nc\n```\n".into(), "it changes nothing"),
        ("I would rather not.".into(), "no line of the form \"### FILE: path\""),
        ("x".repeat(20 << 20), "the answer is larger than 4194304 bytes"),
    ] {
        let stage = stage(move |asked| match asked.node.as_str() {
            "N4_code" => says(answer.clone()),
            _ => model(asked),
        });
        let finish = stage.run();
        let told = detail(&finish, JobVerdict::Failed);
        assert!(
            told.contains(why) && told.starts_with("the drafter's answer cannot be used, also when"),
            "{told}"
        );
        assert!(told.ends_with("; its worktree is .wf/worktrees/impl-42 (branch wf/impl-42)"), "{told}");
        assert!(worktree(&stage).join("tests/cache.sh").exists());
        assert_tidy(&stage);
    }
}

#[test]
fn the_same_failure_twice_freezes_the_tests_and_three_times_ends_it() {
    let mut stage = stage(|asked| match (asked.name().as_str(), asked.node.as_str()) {
        ("N4_code 3", _) => says("### FILE: tests/cache.sh\n```\ntrue\n```\n"),
        (_, "N4_code") => cache(&format!("wrong {}", asked.iteration)),
        _ => model(asked),
    });
    stage.job.max_iterations = 9;
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::NeedsRevision);
    assert_eq!(
        why,
        "stagnated: the same fails 3 times in a row: exit status: 1: tests/cache.sh; its worktree is \
         .wf/worktrees/impl-42 (branch wf/impl-42)"
    );
    assert_eq!(stage.names(), ["N2_tests 1", "N4_code 1", "N4_code 2", "N4_code 3", "N4_code 3+"]);
    let asked = stage.asked();
    assert!(!asked[2].text.contains("another approach") && asked[3].text.contains("take another approach"));
    assert!(asked[3].text.contains("The tests are frozen"), "{}", asked[3].text);
    assert!(
        asked[4].text.contains("path \"tests/cache.sh\" is a frozen test: change the code"),
        "{}",
        asked[4].text
    );
    assert_eq!(stage.run(), finish, "said again without paying");
    assert_eq!(stage.names().len(), 5);
    assert_tidy(&stage);
}

#[test]
fn with_redo_a_person_s_changes_in_the_worktree_are_gone_on_from() {
    let mut stage = stage(|asked| match asked.node.as_str() {
        "N4_code" if asked.text.contains("a person was here") => {
            says("### FILE: src/cache\n<<<<<<< SEARCH\na person was here\n=======\nright\n>>>>>>> REPLACE\n")
        }
        "N4_code" => cache(&format!("wrong {}", asked.iteration)),
        _ => model(asked),
    });
    stage.job.max_iterations = 1;
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::NeedsRevision);
    assert!(
        why.starts_with("the tests fail after 1 iteration: exit status: 1: tests/cache.sh; its worktree"),
        "{why}"
    );
    fs::write(worktree(&stage).join("src/cache"), "a person was here\n").unwrap();
    stage.job.redo = true;
    detail(&stage.run(), JobVerdict::Approved);
    assert!(stage.sink.text().contains("taken over from the worktree as it is: src/cache\n"));
    assert_eq!(git(&stage, &["show", "wf/impl-42:src/cache"]), "right\n");
}

#[test]
fn tests_that_pass_before_there_is_code_are_written_anew_and_then_a_person_must_look() {
    let same = stage(|asked| match asked.node.as_str() {
        "N2_tests" => says("### FILE: tests/cache.sh\n```\ntrue\n```\n"),
        _ => panic!("{asked:?}"),
    });
    let finish = same.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.contains("it changes nothing"), "{why}");
    assert_eq!(same.names(), ["N2_tests 1", "N2_tests 1", "N2_tests 1+"]);

    let calls = AtomicUsize::new(0);
    let others = stage(move |asked| {
        let n = calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(asked.node, "N2_tests");
        assert_eq!(asked.text.contains("must fail until its requirement is met"), n > 0);
        says(format!("### FILE: tests/cache.sh\n```\ntrue {n}\n```\n"))
    });
    let finish = others.run();
    let why = detail(&finish, JobVerdict::NeedsRevision);
    assert!(why.starts_with("the tests pass before any code is written, also when written anew"), "{why}");
    assert_eq!(others.names().len(), 3);
}

#[test]
fn a_person_is_asked_and_a_verdict_in_a_fence_is_none() {
    let stage1 = stage(|asked| match asked.node.as_str() {
        "N4_code" => cache("right"),
        "N6_review" => says(review("DISCUSS", &["Which cache?"])),
        _ => model(asked),
    });
    let finish = stage1.run();
    let why = detail(&finish, JobVerdict::NeedsRevision);
    assert!(why.starts_with("a person must decide: Finding: Which cache?; its worktree is"), "{why}");

    let fenced = format!("As asked:\n```\n{}```\n", review("APPROVED", &[]));
    let stage2 = stage(move |asked| match asked.node.as_str() {
        "N4_code" => cache("right"),
        "N6_review" => says(fenced.clone()),
        _ => model(asked),
    });
    let finish = stage2.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.starts_with("no verdict can be read"), "{why}");
    assert_eq!(git(&stage2, &["rev-list", "--count", "main..wf/impl-42"]), "0\n");
}
