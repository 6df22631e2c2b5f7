//! The test command of `implement`: tried before anything is paid, and told from tests that fail.

use wf_protocol::JobVerdict;

use super::code::{TESTS, assert_tidy, cache, git, model, stage};
use super::detail;
use crate::testing::{Stage, says};

fn runs(stage: &mut Stage, command: &[&str]) {
    stage.job.code.as_mut().unwrap().test_command = command.iter().map(|&word| word.into()).collect();
}

#[test]
fn one_that_does_not_work_on_the_untouched_worktree_is_told_before_anything_is_paid() {
    for (command, why) in [
        (
            &["no-such-runner", "{id}"][..],
            "the test command `no-such-runner 42` could not be started: No such file or directory",
        ),
        (
            &["sh", "-c", "echo; echo no runner here >&2; exit 127"],
            "does not work on the untouched worktree: exit status: 127, last lines: no runner here; no call was made",
        ),
        (
            &["sh", "-c", "exit 126"],
            "untouched worktree: exit status: 126, it wrote nothing; no call was made",
        ),
        (
            &["sh", "-c", "echo '/usr/bin/python3: No module named pytest'; exit 1"],
            "exit status: 1, last lines: /usr/bin/python3: No module named pytest; no call",
        ),
    ] {
        let mut stage = stage(model);
        runs(&mut stage, command);
        let finish = stage.run();
        let told = detail(&finish, JobVerdict::Failed);
        assert!(told.contains(why), "{told}");
        assert_eq!(stage.names(), Vec::<String>::new(), "{command:?}");
        // Mended, the item goes on where it is.
        runs(&mut stage, &["sh", "run.sh"]);
        detail(&stage.run(), JobVerdict::Approved);
        assert_tidy(&stage);
    }
}

#[test]
fn one_that_hangs_is_told_before_or_taken_for_failing_once_there_are_tests() {
    let mut stage = stage(model);
    let hangs = "printf 'waits for ever'; exec sleep 600";
    runs(&mut stage, &["sh", "-c", hangs]);
    stage.job.code.as_mut().unwrap().test_timeout_ms = 200;
    let finish = stage.run();
    let told = detail(&finish, JobVerdict::Failed);
    assert!(told.contains("untouched worktree: took longer than") && told.contains("test_timeout"), "{told}");
    assert_eq!(stage.names(), Vec::<String>::new());

    runs(&mut stage, &["sh", "-c", &format!("[ -e tests/cache.sh ] || exit 0; {hangs}")]);
    stage.job.code.as_mut().unwrap().test_timeout_ms = 2000;
    stage.stop_after(3);
    stage.run();
    assert!(
        stage.sink.text().contains("waits for ever\n<<< N3_red: failing, as they should: took longer than"),
        "{}",
        stage.sink.text()
    );
}

#[test]
fn tests_that_fail_before_anything_is_written_are_said_and_the_model_is_told() {
    let stage = stage(|asked| match asked.node.as_str() {
        "N2_tests" => says(TESTS),
        "N4_code" => says("### FILE: src/cache\n```\nright\n```\n### FILE: src/old\n```\nnew\n```\n"),
        _ => model(asked),
    });
    stage.write("tests/base.sh", "[ \"$(cat src/old)\" = new ]\n");
    git(&stage, &["commit", "-q", "-a", "-m", "Red"]);
    detail(&stage.run(), JobVerdict::Approved);
    let said = stage.sink.text();
    assert!(said.contains("; there the tests fail already, exit status: 1: tests/base.sh\n"), "{said}");
    for asked in &stage.asked()[..2] {
        assert!(
            asked.text.contains("was written, that failed already:\n- tests/base.sh\n"),
            "{}",
            asked.text
        );
    }
}

#[test]
fn the_same_failure_with_and_without_the_new_tests_is_said() {
    let mut stage = stage(|asked| match asked.node.as_str() {
        "N4_code" => cache("right"),
        _ => model(asked),
    });
    runs(&mut stage, &["grep", "-q", "right", "src/cache"]);
    detail(&stage.run(), JobVerdict::Approved);
    let said = stage.sink.text();
    assert!(
        said.contains("<<< N3_red: failing, as they should, as on the untouched worktree: exit"),
        "{said}"
    );
}
