//! Worktrees and branches that are there already, in every state a killed git or a person leaves them in.

use std::fs;

use wf_protocol::JobVerdict;

use super::code::{DESIGN, assert_tidy, cache, git, model, stage, worktree};
use super::detail;
use crate::checkpoint;
use crate::output::sha256;
use crate::testing::{Asked, Stage};

/// Right at once.
fn right(asked: &Asked) -> crate::llm::Sent {
    match asked.node.as_str() {
        "N4_code" => cache("right"),
        "N6_review" => crate::testing::says(crate::testing::review("APPROVED", &[])),
        _ => model(asked),
    }
}

fn approves(stage: &Stage) -> String {
    let finish = stage.run();
    detail(&finish, JobVerdict::Approved);
    assert!(!worktree(stage).exists());
    assert_tidy(stage);
    finish.output.unwrap().0
}

#[test]
fn what_a_killed_git_left_is_put_in_order() {
    let make = ["worktree", "add", "-q", "-b", "wf/impl-42"];
    let leftovers = ["branch", "half", "half-gone", "half-removed", "unborn", "lock", "no-gitdir", "strange"];
    for leftover in [&leftovers[..], &["forgotten-making", "forgotten-work"]].concat() {
        let stage = stage(right);
        let path = worktree(&stage);
        let path_text = path.to_str().unwrap();
        let own = stage.dir.path().join(".git/worktrees/impl-42");
        match leftover {
            "branch" => drop(git(&stage, &["branch", "wf/impl-42"])),
            "no-gitdir" => {
                fs::create_dir_all(&own).unwrap();
                fs::write(own.join("locked"), "initializing").unwrap();
            }
            "strange" => {
                fs::create_dir_all(&path).unwrap();
                fs::write(path.join("thesis.tex"), "precious").unwrap();
            }
            _ => {
                git(&stage, &[&make[..], &[path_text]].concat());
                if leftover.starts_with("half") {
                    fs::write(own.join("locked"), "initializing\n").unwrap();
                    fs::remove_file(path.join("run.sh")).unwrap();
                }
                if leftover == "half-gone" || leftover == "unborn" {
                    fs::remove_dir_all(&path).unwrap();
                }
                if leftover == "half-removed" {
                    fs::remove_file(path.join(".git")).unwrap();
                }
                if leftover == "unborn" {
                    fs::write(own.join("locked"), "initializing").unwrap();
                    fs::create_dir_all(&path).unwrap();
                }
                // Git that is asked to end takes its own part away first.
                if leftover.starts_with("forgotten") {
                    fs::remove_dir_all(&own).unwrap();
                    fs::write(path.join("thesis.tex"), "precious").unwrap();
                }
                if leftover == "forgotten-making" {
                    fs::write(path.with_file_name(".impl-42.unsettled"), "").unwrap();
                }
                if leftover == "lock" {
                    fs::write(own.join("index.lock"), "").unwrap();
                    fs::write(own.join("HEAD.lock"), "").unwrap();
                    fs::write(stage.dir.path().join(".git/refs/heads/wf/impl-42.lock"), "").unwrap();
                }
            }
        }
        assert_eq!(approves(&stage), "wf/impl-42", "{leftover}");
        assert_eq!(
            git(&stage, &["ls-tree", "--name-only", "wf/impl-42", "run.sh"]),
            "run.sh\n",
            "{leftover}"
        );
        let beside = stage.files(".wf/worktrees");
        let is_somebodys = ["strange", "forgotten-work"].contains(&leftover);
        assert_eq!(beside.is_empty(), !is_somebodys, "{leftover}: {beside:?}");
        if is_somebodys {
            assert_eq!(stage.file(".wf/worktrees/impl-42.aside-1/thesis.tex").unwrap(), "precious");
        }
    }
}

/// The item with its code approved and in the worktree, but not committed.
fn before_the_commit() -> Stage {
    let stage = stage(right);
    stage.stop_after(7);
    stage.run();
    assert!(
        stage.sink.text().contains("N6_review: approved") && worktree(&stage).exists(),
        "{}",
        stage.sink.text()
    );
    stage
}

#[test]
fn locks_of_a_killed_commit_are_not_in_the_way_of_the_next() {
    let stage = before_the_commit();
    let own = stage.dir.path().join(".git/worktrees/impl-42");
    for lock in ["index.lock", "HEAD.lock", "next-index-7.lock", "../../refs/heads/wf/impl-42.lock"] {
        fs::write(own.join(lock), "").unwrap();
    }
    assert_eq!(approves(&stage), "wf/impl-42");
}

#[test]
fn a_removal_that_was_killed_is_finished() {
    for gone in ["worktree's .git", "administration's gitdir"] {
        let stage = before_the_commit();
        let path = worktree(&stage);
        let own = stage.dir.path().join(".git/worktrees/impl-42");
        git(&stage, &["-C", path.to_str().unwrap(), "commit", "-q", "-a", "-m", "Done"]);
        if gone.starts_with("worktree") {
            fs::remove_file(path.join(".git")).unwrap();
        } else {
            fs::remove_dir_all(&path).unwrap();
            fs::remove_file(own.join("gitdir")).unwrap();
        }
        assert_eq!(approves(&stage), "wf/impl-42", "{gone}");
        assert!(!own.exists(), "{gone}");
    }
}

#[test]
fn commits_that_tests_or_persons_made_do_not_pass_for_the_approved_one() {
    for foreign in [1, 2] {
        let stage = before_the_commit();
        let at = worktree(&stage);
        let path = at.to_str().unwrap();
        // What the reviewer was shown is staged: a commit would have it.
        git(&stage, &["-C", path, "reset", "-q"]);
        for n in 0..foreign {
            git(
                &stage,
                &["-C", path, "commit", "-q", "--allow-empty", "-m", &format!("Made by a test, {n}")],
            );
        }
        assert_eq!(approves(&stage), "wf/impl-42");
        assert_eq!(git(&stage, &["show", "wf/impl-42:src/cache"]), "right\n", "{foreign}");
        let count = git(&stage, &["rev-list", "--count", "main..wf/impl-42"]);
        assert_eq!(count, format!("{}\n", foreign + 1), "nobody's commit is lost");
        assert!(stage.sink.text().contains("that its tests or a person made"), "{}", stage.sink.text());
        assert!(!worktree(&stage).exists());
    }
}

#[test]
fn a_test_that_committed_the_files_itself_has_committed_them() {
    let stage = before_the_commit();
    let path = worktree(&stage);
    git(&stage, &["-C", path.to_str().unwrap(), "add", "-A"]);
    git(&stage, &["-C", path.to_str().unwrap(), "commit", "-q", "-m", "All of it"]);
    assert_eq!(approves(&stage), "wf/impl-42");
    assert!(stage.sink.text().contains("committed before as "), "{}", stage.sink.text());
    assert_eq!(git(&stage, &["show", "wf/impl-42:src/cache"]), "right\n");
}

#[test]
fn a_branch_that_was_moved_away_from_its_base_keeps_the_worktree() {
    let stage = before_the_commit();
    let path = worktree(&stage);
    let orphan = git(&stage, &["commit-tree", "-m", "Elsewhere", "HEAD^{tree}"]);
    git(&stage, &["-C", path.to_str().unwrap(), "reset", "-q", "--soft", orphan.trim()]);
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.contains("does not go on from") && why.contains("git branch -f wf/impl-42"), "{why}");
    assert_eq!(fs::read(path.join("src/cache")).unwrap(), b"right\n");
}

#[test]
fn a_branch_with_commits_of_somebody_else_is_not_touched() {
    let stage = stage(right);
    git(&stage, &["switch", "-q", "-c", "wf/impl-42"]);
    git(&stage, &["commit", "-q", "--allow-empty", "-m", "Mine"]);
    let mine = git(&stage, &["rev-parse", "wf/impl-42"]);
    git(&stage, &["switch", "-q", "main"]);
    assert_eq!(approves(&stage), "wf/impl-42.new");
    assert_eq!(git(&stage, &["rev-parse", "wf/impl-42"]), mine);
    assert!(
        stage
            .sink
            .text()
            .contains("branch wf/impl-42 has commits that are not ours: the new one is wf/impl-42.new\n")
    );
}

#[test]
fn a_changed_design_is_built_anew_where_the_project_is_and_our_last_commit_gives_way() {
    let mut stage = stage(|asked| {
        if asked.node == "N4_code" && asked.text.contains("Also src/more") {
            return crate::testing::says("### FILE: src/more\n```\nmore\n```\n");
        }
        if asked.node == "N2_tests" && asked.text.contains("Also src/more") {
            return crate::testing::says("### FILE: tests/more.sh\n```\ntest -e src/more\n```\n");
        }
        right(asked)
    });
    approves(&stage);
    let first = git(&stage, &["rev-parse", "wf/impl-42"]);
    stage.write("docs/lld/LLD-42.md", format!("{DESIGN}2. Also src/more.\n"));
    git(&stage, &["commit", "-q", "-a", "-m", "More"]);
    checkpoint::set_aside(&stage.checkpoint()).unwrap();
    stage.job.our_output_sha256 = Some(sha256(first.trim().as_bytes()));
    assert_eq!(approves(&stage), "wf/impl-42");
    assert_eq!(git(&stage, &["rev-parse", "wf/impl-42~1"]), git(&stage, &["rev-parse", "main"]));

    git(&stage, &["merge", "-q", "--no-edit", "wf/impl-42"]);
    git(&stage, &["rm", "-q", "src/more", "tests/more.sh"]);
    git(&stage, &["commit", "-q", "-m", "Less"]);
    checkpoint::set_aside(&stage.checkpoint()).unwrap();
    stage.job.our_output_sha256 = None;
    assert_eq!(approves(&stage), "wf/impl-42", "nothing of its own was on it");
    assert_eq!(git(&stage, &["rev-parse", "wf/impl-42~1"]), git(&stage, &["rev-parse", "main"]));
}

#[test]
fn a_rerun_takes_up_the_same_worktree_and_keeps_what_was_in_it() {
    let stage = stage(right);
    stage.stop_after(5);
    stage.run();
    assert!(worktree(&stage).join("src/cache").exists());
    fs::write(worktree(&stage).join("src/hand"), "by hand\n").unwrap();
    checkpoint::set_aside(&stage.checkpoint()).unwrap();
    approves(&stage);
    assert!(
        stage.sink.text().contains("N1_worktree: .wf/worktrees/impl-42 taken up again, branch wf/impl-42")
    );
    let kept = stage.files(".wf/lineage/lld_42").into_iter().find(|n| n.ends_with("-leftover.md")).unwrap();
    let kept = stage.file(&format!(".wf/lineage/lld_42/{kept}")).unwrap();
    assert!(kept.contains("+by hand") && kept.contains("+right"), "{kept}");
    assert!(!git(&stage, &["ls-tree", "-r", "--name-only", "wf/impl-42"]).contains("src/hand"));
}

#[test]
fn a_worktree_that_a_person_made_theirs_is_left_alone() {
    // What was done to it, and what is said of that.
    for (done, said) in [
        ("switched", "has the branch mine instead of wf/impl-42"),
        ("detached", "has the branch (detached) instead of wf/impl-42"),
        ("another's", "is a worktree of another repository, or one without a commit"),
        ("born anew", "is a worktree of another repository, or one without a commit"),
    ] {
        let mut stage = before_the_commit();
        let path = worktree(&stage);
        fs::write(path.join("thesis.tex"), "precious").unwrap();
        match done {
            "switched" => drop(git(&stage, &["-C", path.to_str().unwrap(), "switch", "-q", "-c", "mine"])),
            "detached" => drop(git(&stage, &["-C", path.to_str().unwrap(), "switch", "-q", "--detach"])),
            "another's" => {
                let elsewhere = stage.dir.path().join("elsewhere");
                git(&stage, &["init", "-q", elsewhere.to_str().unwrap()]);
                let text = format!("gitdir: {}\n", elsewhere.join(".git").display());
                fs::write(path.join(".git"), text).unwrap();
            }
            _ => drop(git(&stage, &["-C", path.to_str().unwrap(), "switch", "-q", "--orphan", "mine"])),
        }
        for redo in [false, true] {
            stage.job.redo = redo;
            let finish = stage.run();
            let why = detail(&finish, JobVerdict::Failed);
            assert!(why.contains(said), "{done}: {why}");
            assert_eq!(fs::read(path.join("thesis.tex")).unwrap(), b"precious", "{done}");
        }
    }
}

#[test]
fn a_worktree_without_its_git_file_is_moved_aside_and_made_anew() {
    let stage = before_the_commit();
    let path = worktree(&stage);
    fs::remove_file(path.join(".git")).unwrap();
    fs::write(path.join("thesis.tex"), "precious").unwrap();
    assert_eq!(approves(&stage), "wf/impl-42");
    assert_eq!(stage.file(".wf/worktrees/impl-42.aside-1/thesis.tex").unwrap(), "precious");
}

#[test]
fn a_branch_in_use_elsewhere_or_a_project_without_commits_is_told() {
    let stage = stage(right);
    git(&stage, &["switch", "-q", "-c", "wf/impl-42"]);
    let finish = stage.run();
    let why = detail(&finish, JobVerdict::Failed);
    assert!(why.starts_with("branch wf/impl-42 is checked out in "), "{why}");

    fs::remove_dir_all(stage.dir.path().join(".git")).unwrap();
    let finish = stage.run();
    assert!(detail(&finish, JobVerdict::Failed).contains("is in no git repository"), "{finish:?}");
    git(&stage, &["init", "-q"]);
    let finish = stage.run();
    assert!(detail(&finish, JobVerdict::Failed).contains("has no commit yet"), "{finish:?}");
    assert_eq!(stage.names(), Vec::<String>::new(), "nothing was paid for");
}

#[test]
fn submodules_are_refused_and_a_project_below_its_repository_works() {
    let mut stage = stage(|asked| match asked.name().as_str() {
        "N4_code 1" => crate::testing::says("### FILE: vendor/x\n```\nx\n```\n"),
        _ => right(asked),
    });
    let sub = stage.dir.path().join("p");
    fs::create_dir_all(&sub).unwrap();
    for name in ["run.sh", "tests", "src", "docs"] {
        fs::rename(stage.dir.path().join(name), sub.join(name)).unwrap();
    }
    let head = git(&stage, &["rev-parse", "HEAD"]);
    git(&stage, &["update-index", "--add", "--cacheinfo", &format!("160000,{},p/vendor", head.trim())]);
    fs::create_dir_all(sub.join("vendor")).unwrap();
    git(&stage, &["add", "p/run.sh", "p/tests", "p/src", "p/docs"]);
    git(&stage, &["commit", "-q", "-a", "-m", "Move"]);
    stage.job.project_dir = sub;
    approves(&stage);
    let told = &stage.asked()[2].text;
    assert!(told.contains("path \"vendor/x\" lies in a submodule"), "{told}");
    assert_eq!(git(&stage, &["show", "wf/impl-42:p/src/cache"]), "right\n");
}

#[test]
fn a_mock_run_leaves_the_project_s_repository_alone() {
    let mut stage = stage(right);
    let apart = stage.dir.path().join(".wf/mock/repository.git");
    let code = stage.job.code.as_mut().unwrap();
    code.repository = Some(apart.clone());
    code.worktree = stage.dir.path().join(".wf/mock/worktrees/impl-42");
    let before = git(&stage, &["for-each-ref"]);
    let finish = stage.run();
    detail(&finish, JobVerdict::Approved);
    assert_eq!(git(&stage, &["for-each-ref"]), before);
    assert!(!stage.dir.path().join(".git/worktrees").exists());
    assert_eq!(stage.files(".wf/mock/worktrees"), Vec::<String>::new());
    let shown = ["--git-dir", apart.to_str().unwrap(), "show", "wf/impl-42:src/cache"];
    assert_eq!(git(&stage, &shown), "right\n");
    assert!(stage.sink.text().contains(" on branch wf/impl-42 of .wf/mock/repository.git\n"));
    detail(&stage.run(), JobVerdict::Approved);
}
