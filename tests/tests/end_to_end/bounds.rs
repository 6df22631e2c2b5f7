//! Watchdogs, time limits, retries and the ways in which starting goes wrong.

use wf_tests::{Project, lines};

const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn an_attempt_over_its_time_is_stopped_and_timed_out() {
    let p = Project::with_items("a hang\nb out=b\n");
    let run = p.run(&format!("run items.txt -j2 --timeout 500ms --grace 5s {DO}"));
    run.code(1).says_in_one_line(&["[a]", "500ms", "--timeout"]).prints("[b] b\n");
    assert_eq!((p.outcome("a"), p.outcome("b")), ("timed-out".to_owned(), "succeeded".to_owned()));
}

#[test]
fn a_deaf_worker_over_its_time_is_killed_with_all_that_is_below() {
    let p = Project::with_items("a deaf leak=leak orphan=orphan hang\n");
    let run = p.run(&format!("run items.txt --timeout 1s --grace 200ms {DO}"));
    run.code(1);
    assert_eq!(p.outcome("a"), "timed-out");
}

#[test]
fn a_worker_that_gives_no_sign_of_life_is_stopped() {
    let p = Project::with_items("a out=first hang\n");
    let run = p.run(&format!("run items.txt --idle-timeout 500ms {DO}"));
    run.code(1).prints("[a] first\n").says_in_one_line(&["[a]", "500ms", "--idle-timeout"]);
    assert_eq!(p.outcome("a"), "timed-out");
}

#[test]
fn a_worker_that_writes_is_not_idle() {
    let p = Project::with_items("a chatter\n");
    let run = p.run(&format!("run items.txt --idle-timeout 2s --timeout 4s {DO}"));
    run.code(1).says_in_one_line(&["[a]", "--timeout"]).never_says("--idle-timeout");
}

#[test]
fn commands_have_no_idle_watchdog_by_default() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -v -- true").code(0).says_in_one_line(&["idle_timeout", "off"]);
}

#[test]
fn the_run_timeout_interrupts_what_is_left() {
    let p = Project::with_items("a touch=a hang\nb count=starts\n");
    let run = p.run(&format!("run items.txt --run-timeout 1s {DO}"));
    run.code(124).says("--run-timeout");
    assert_eq!((p.outcome("a"), p.outcome("b")), ("interrupted".to_owned(), "not-started".to_owned()));
}

#[test]
fn after_max_fail_failures_nothing_more_is_started() {
    let p = Project::with_items("a exit=1\nb exit=1\nc touch=c\nd touch=d\n");
    let run = p.run(&format!("run items.txt --max-fail 2 {DO}"));
    run.code(75).says("--max-fail");
    assert!(!p.has("c") && !p.has("d"));
    let outcomes = [p.outcome("a"), p.outcome("b"), p.outcome("c"), p.outcome("d")];
    assert_eq!(outcomes, ["failed", "failed", "not-started", "not-started"]);
}

#[test]
fn max_fail_lets_what_runs_finish() {
    let p = Project::with_items("a await=b exit=1\nb touch=b await=go out=finished\nc touch=c\n");
    let mut run = p.start(&format!("run items.txt -j2 --max-fail 1 {DO}"));
    run.wait_err("--max-fail");
    p.write("go", "");
    run.wait().code(75).prints("[b] finished\n");
    assert_eq!(p.outcome("b"), "succeeded");
    assert!(!p.has("c"));
}

#[test]
fn a_failed_item_is_retried_as_often_as_allowed() {
    let p = Project::with_items("a count=starts attempt=3 out=at-last\nb count=starts exit=1\n");
    let run = p.run(&format!("run items.txt -j2 --item-retries 2 {DO}"));
    run.code(1).prints("[a] at-last\n");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"]);
    assert_eq!((p.outcome("a"), p.outcome("b")), ("succeeded".to_owned(), "failed".to_owned()));
}

#[test]
fn without_item_retries_a_failure_is_final() {
    let p = Project::with_items("a count=starts exit=1\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
}

#[test]
fn a_cancelled_item_is_not_retried() {
    let p = Project::with_items("a count=starts touch=up hang\n");
    let mut run = p.start(&format!("run items.txt --item-retries 5 {DO}"));
    run.wait_file("up");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.wait().code(130);
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
}

#[test]
fn a_command_that_is_not_there_fails_its_item_with_a_clear_text() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- no-such-command-{id}").code(1).says_in_one_line(&[
        "[a] FAILED",
        "no-such-command-a",
        "not found",
    ]);
    p.run("run items.txt -- ./nothing-here-{id}").code(1).says_in_one_line(&["[a] FAILED", "nothing-here"]);
}

#[test]
fn a_command_that_is_not_executable_fails_its_item_with_a_clear_text() {
    let p = Project::with_items("a\n");
    p.write("script-a", "echo\n");
    p.run("run items.txt -- ./script-{id}").code(1).says_in_one_line(&[
        "[a] FAILED",
        "script-a",
        "not executable",
    ]);
    p.run("run items.txt -- {//}").code(1).says("[a] FAILED");
}

#[test]
fn a_fast_item_that_comes_before_a_slow_one_frees_its_slot() {
    let items = lines(20, |n| format!("i{n} out=x\n"));
    let p = Project::with_items(&format!("slow await=go\n{items}"));
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_out("[i19] x");
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn few_descriptors_are_no_reason_to_fail() {
    let items = lines(30, |n| format!("i{n}\n"));
    let p = Project::with_items(&items);
    let run =
        p.supervisor("run items.txt -j8 -- true").via(["sh", "-c", "ulimit -Sn 40; exec \"$@\"", "sh"]).run();
    run.code(0);
}

#[test]
fn a_command_that_says_not_now_is_put_off_and_no_failure() {
    let p = Project::with_items("a count=starts exit=75\nb exit=75\nc out=c\n");
    let mut run = p.start(&format!("run items.txt -j2 --tempfail 69,75 --max-fail 1 {DO}"));
    run.wait_err("[b] exit code 75: not now; again in");
    run.wait_out("[c] c");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.wait().code(130).says_in_one_line(&["[a]", "exit code 75: not now; again in"]);
    assert_eq!((p.outcome("a"), p.outcome("c")), ("interrupted".to_owned(), "succeeded".to_owned()));
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);

    let run = p.run(&format!("run items.txt --tempfail 75 --max-wait 0s {DO}"));
    run.code(75).says("[a] INTERRUPTED: exit code 75: not now");
    assert_eq!(p.outcome("b"), "interrupted");
    p.run(&format!("run items.txt {DO}")).code(1).says("[a] FAILED: exit code 75");
    p.run(&format!("run items.txt --tempfail 0 {DO}")).code(2).says("0 is success");
}
