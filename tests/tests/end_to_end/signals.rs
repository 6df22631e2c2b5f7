//! Ctrl+C and its relatives.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wf_tests::processes::{is_alive, is_stopped};
use wf_tests::{Project, Running, Stdout, wait_until};

const DO: &str = "-- wf-fixture-worker do={}";

/// A run of two items that work and one that waits for its turn.
fn three(p: &Project, options: &str) -> Running {
    p.write(
        "items.txt",
        "a count=starts touch=a hang\nb count=starts touch=b hang\nc count=starts touch=c\n",
    );
    let mut run = p.start(&format!("run items.txt -j2 {options} {DO}"));
    run.wait_file("a").wait_file("b");
    run
}

#[test]
fn the_first_signal_stops_the_run_with_the_code_that_names_it() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let p = Project::new();
        let run = three(&p, "");
        run.signal(signal);
        let run = run.wait();
        run.code(code).says("[COORDINATOR] Shutting down... waiting for 2 workers to checkpoint (5s)");
        assert_eq!(p.outcome("a"), "interrupted", "{run}");
        assert_eq!(p.outcome("b"), "interrupted");
        assert_eq!(p.outcome("c"), "not-started");
        assert!(!p.has("c"), "something was started after the signal");
        assert_eq!(p.summary()["exit"], code);
    }
}

#[test]
fn workers_that_speak_the_protocol_are_asked_by_message_and_may_checkpoint() {
    let p = Project::with_items("a hello out=up await-stop checkpoint=N1 touch=saved finished=interrupted\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_out("[a] up");
    run.signal(Signal::SIGINT);
    let run = run.wait();
    run.code(130).prints("[a] stop Shutdown\n").never_says("FAILED");
    assert!(p.has("saved"));
    assert_eq!(p.outcome("a"), "interrupted");
}

#[test]
fn plain_commands_are_asked_with_sigterm() {
    let p = Project::with_items("a sigterm=asked exit=0\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_out("[a] ready");
    run.signal(Signal::SIGINT);
    run.wait().code(130);
    assert!(p.has("asked"));
}

#[test]
fn what_does_not_stop_within_the_grace_period_is_killed() {
    let p = Project::with_items("a deaf touch=a hang\n");
    let mut run = p.start(&format!("run items.txt --grace 300ms {DO}"));
    run.wait_file("a");
    run.signal(Signal::SIGINT);
    run.wait().code(130).says_in_one_line(&["[a]", "300ms"]);
    assert_eq!(p.outcome("a"), "interrupted");
}

#[test]
fn the_second_signal_kills_at_once() {
    for (first, second, code) in
        [(Signal::SIGINT, Signal::SIGINT, 130), (Signal::SIGTERM, Signal::SIGINT, 143)]
    {
        let p = Project::with_items("a deaf orphan=o group=g touch=a hang\n");
        let mut run = p.start(&format!("run items.txt --grace 1h {DO}"));
        run.wait_file("a");
        run.signal(first);
        run.wait_err("Shutting down");
        // Two within 200 ms are one keystroke.
        let mut sent = Instant::now();
        run.wait_for("the second signal to be heard", |run| {
            if run.err().contains("Killing") {
                return Some(());
            }
            if sent.elapsed() > Duration::from_millis(300) {
                sent = Instant::now();
                run.signal(second);
            }
            None
        });
        let run = run.wait();
        run.code(code);
        assert_eq!(p.outcome("a"), "interrupted");
        assert!(p.has(".wf/runs/latest/summary.json"), "everything is written");
    }
}

#[test]
fn a_signal_that_keeps_coming_is_heard_as_the_second() {
    // A key that is held down repeats itself many times a second.
    let p = Project::with_items("a deaf touch=a hang\n");
    let mut run = p.start(&format!("run items.txt --grace 1h {DO}"));
    run.wait_file("a");
    run.wait_for("the second signal to be heard", |run| {
        if run.err().contains("Killing") {
            return Some(());
        }
        run.signal(Signal::SIGINT);
        None
    });
    run.wait().code(130);
}

#[test]
fn a_signal_to_process_and_group_at_once_is_one() {
    let p = Project::with_items("a sigterm=asked touch=b hang\n");
    let mut run = p.start(&format!("run items.txt --grace 1h {DO}"));
    run.wait_out("[a] ready");
    run.signal(Signal::SIGTERM).signal_group(Signal::SIGTERM);
    run.wait_file("b");
    assert!(!run.err().contains("Killing"), "{}", run.err());
    run.wait_err("Shutting down");
    drop(run);
}

#[test]
fn sigquit_kills_at_once() {
    let p = Project::with_items("a deaf orphan=o touch=a hang\n");
    let mut run = p.start(&format!("run items.txt --grace 1h {DO}"));
    run.wait_file("a");
    run.signal(Signal::SIGQUIT);
    let run = run.wait();
    assert!(run.exit_code().is_some(), "it writes everything before it ends\n{run}");
    assert_eq!(p.outcome("a"), "interrupted");
}

#[test]
fn a_hangup_that_was_ignored_stays_ignored() {
    let p = Project::with_items("a touch=a await=go out=done\n");
    let mut run = p.supervisor(&format!("run items.txt {DO}")).ignoring_hangup().start();
    run.wait_file("a");
    run.signal(Signal::SIGHUP).signal_group(Signal::SIGHUP);
    p.write("go", "");
    assert_eq!(run.wait().code(0).out(), "[a] done\n");
}

#[test]
fn a_signal_while_nothing_runs_any_more_changes_nothing_recorded() {
    let p = Project::with_items("a exit=0\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    assert_eq!(p.summary()["exit"], 0);
}

#[test]
fn after_ctrl_c_the_same_command_goes_on_where_it_stopped() {
    let p = Project::with_items("done count=starts\na count=starts touch=a await=go\nb count=starts\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("a");
    run.signal(Signal::SIGINT);
    run.wait().code(130);
    p.write("go", "");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 3 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1", "b 1", "done 1"]);
    let outcomes = [p.outcome("done"), p.outcome("a"), p.outcome("b")];
    assert_eq!(outcomes, ["skipped", "succeeded", "succeeded"]);
}

#[test]
fn the_workers_stop_and_go_on_with_the_supervisor_and_no_watchdog_counts_the_time() {
    let p = Project::with_items("a pid=pid touch=a await=go out=done\n");
    let mut run = p.start(&format!("run items.txt --timeout 2s --idle-timeout 2s {DO}"));
    run.wait_file("a");
    let worker = p.read_pid("pid");
    run.signal(Signal::SIGTSTP);
    wait_until("supervisor and worker to stop", || {
        (is_stopped(worker) && is_stopped(run.pid())).then_some(())
    });
    // Longer than both watchdogs.
    let frozen = Instant::now();
    wait_until("three seconds to pass", || (frozen.elapsed().as_secs() >= 3).then_some(()));
    assert!(is_stopped(worker));
    p.write("go", "");
    run.signal(Signal::SIGCONT);
    let run = run.wait();
    assert_eq!(run.code(0).out(), "[a] done\n", "{run}");
    assert!(!is_alive(worker));
}

#[test]
fn a_worker_that_was_stopped_can_still_be_ended() {
    let p = Project::with_items("a touch=a freeze\n");
    let mut run = p.start(&format!("run items.txt --grace 500ms {DO}"));
    run.wait_file("a");
    run.signal(Signal::SIGINT);
    run.wait().code(130);
}

#[test]
fn a_run_whose_output_nobody_reads_ends_at_one_signal() {
    let p = Project::with_items("a long=300000 touch=full hang\n");
    let mut run = p.supervisor(&format!("run items.txt --grace 1s {DO}")).stdout(Stdout::Unread).start();
    run.wait_file("full");
    run.signal(Signal::SIGTERM);
    run.wait().code(143);
    assert_eq!(p.outcome("a"), "interrupted");
}
