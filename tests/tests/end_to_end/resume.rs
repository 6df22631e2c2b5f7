//! The same command again, other commands, and two runs on one item.

use nix::sys::signal::Signal;
use wf_tests::{Project, lines};

const DO: &str = "-- wf-fixture-worker do={}";
const COUNT: &str = "-- wf-fixture-worker count=starts --";

#[test]
fn what_is_done_is_skipped_and_one_line_says_so() {
    let p = Project::with_items("a\nb\nc\n");
    p.run(&format!("run items.txt {COUNT}")).code(0);
    let short = p.short_run_id();
    let run = p.run(&format!("run items.txt {COUNT}"));
    run.code(0).says(&format!("3 of 3 already done in run {short}; --redo repeats them"));
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1", "c 1"]);
    assert_eq!(p.outcome("a"), "skipped");
}

#[test]
fn redo_runs_what_is_done_again() {
    let p = Project::with_items("a\n");
    p.run(&format!("run items.txt {COUNT}")).code(0);
    p.run(&format!("run items.txt --redo {COUNT}")).code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1"]);
    assert_eq!(p.outcome("a"), "succeeded");
}

/// Six items that are done. Each waits for its `go-N`.
fn six_done() -> (Project, String) {
    let p = Project::new();
    p.write("items.txt", lines(6, |n| format!("i{n} count=starts touch=up-{n} await=go-{n}\n")));
    for n in 0..6 {
        p.write(&format!("go-{n}"), "");
    }
    let command = format!("run items.txt {DO}");
    p.run(&command).code(0);
    (p, command)
}

/// How often each of them was started.
fn starts(p: &Project) -> [usize; 6] {
    let lines = p.sorted_lines("starts");
    std::array::from_fn(|n| lines.iter().filter(|line| line.starts_with(&format!("i{n} "))).count())
}

#[test]
fn a_redo_that_was_stopped_goes_on_with_the_rest_of_it() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let (p, command) = six_done();
        let redo = command.replace("-- ", "--redo -- ");
        for n in 2..6 {
            std::fs::remove_file(p.path(format!("go-{n}"))).unwrap();
        }
        std::fs::remove_file(p.path("up-2")).unwrap();
        let mut run = p.start(&redo);
        run.wait_file("up-2");
        run.signal(signal);
        run.wait();
        assert_eq!(starts(&p), [2, 2, 2, 1, 1, 1], "{signal}");
        for n in 2..6 {
            p.write(&format!("go-{n}"), "");
        }
        let plan = p.run(&redo.replace("run items.txt", "run items.txt --dry-run"));
        plan.code(0).prints("4 to work on").prints("2 done");
        // Without the option what is done stays done, and a line says what is open.
        let plan = p.run(&command.replace("run items.txt", "run items.txt --dry-run"));
        plan.code(0).prints("1 to work on").prints("--redo was not through with it");

        p.run(&redo).code(0);
        assert_eq!(starts(&p), [2, 2, 3, 2, 2, 2], "{signal}");
        // That one is through: the next begins anew.
        p.run(&redo).code(0);
        assert_eq!(starts(&p), [3, 3, 4, 3, 3, 3], "{signal}");
    }
}

#[test]
fn a_redo_begins_anew_or_takes_a_part_when_asked_to() {
    let (p, command) = six_done();
    std::fs::remove_file(p.path("go-1")).unwrap();
    std::fs::remove_file(p.path("up-1")).unwrap();
    let mut run = p.start(&command.replace("-- ", "--redo -- "));
    run.wait_file("up-1");
    run.signal(Signal::SIGKILL);
    run.wait();
    p.write("go-1", "");
    p.run(&command.replace("-- ", "--redo=all -- ")).code(0);
    assert_eq!(starts(&p), [3, 3, 2, 2, 2, 2]);
    p.run(&command.replace("-- ", "--redo=failed -- ")).code(0).says("6 of 6 already done");
    p.run(&command.replace("-- ", "--redo-item i4 --redo-item i5 -- ")).code(0);
    assert_eq!(starts(&p), [3, 3, 2, 2, 3, 3]);
    p.run(&command.replace("-- ", "--redo=some -- ")).code(2).says("none of all, failed");
}

#[test]
fn new_items_are_run_and_old_ones_skipped() {
    let p = Project::with_items("a\n");
    p.run(&format!("run items.txt {COUNT}")).code(0);
    p.write("items.txt", "b\na\n");
    p.run(&format!("run items.txt {COUNT}")).code(0).says("1 of 2 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
}

#[test]
fn another_text_runs_again() {
    let p = Project::with_items("a count=starts\nb count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    p.write("items.txt", "a count=starts out=changed\nb count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0).prints("[a] changed\n");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1", "b 1"]);
}

#[test]
fn another_command_runs_again_and_the_first_stays_done() {
    let p = Project::with_items("a\n");
    p.run(&format!("run items.txt {COUNT}")).code(0);
    p.run("run items.txt -- wf-fixture-worker count=others --").code(0);
    assert_eq!(p.sorted_lines("others"), ["a 1"]);
    p.run(&format!("run items.txt {COUNT}")).code(0).says("already done");
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
}

#[test]
fn another_environment_or_directory_runs_again() {
    let p = Project::new();
    let list = |value: &str| {
        format!("{{\"id\": \"a\", \"text\": \"count=starts\", \"env\": {{\"V\": \"{value}\"}}}}\n")
    };
    p.write("wf.toml", "");
    p.write("items.jsonl", list("1"));
    p.run(&format!("run items.jsonl {DO}")).code(0);
    p.write("items.jsonl", list("2"));
    p.run(&format!("run items.jsonl {DO}")).code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1"]);
    p.write("below/file", "");
    p.supervisor(&format!("run ../items.jsonl {DO}")).in_dir("below").run().code(0);
    assert_eq!(p.sorted_lines("below/starts"), ["a 1"]);
}

#[test]
fn options_that_only_say_how_do_not_make_it_another_work() {
    let p = Project::with_items("a\nb\n");
    p.run(&format!("run items.txt {COUNT}")).code(0);
    p.run(&format!("run items.txt -j3 --timeout 5m --progress none --output grouped {COUNT}"))
        .code(0)
        .says("already done");
    p.supervisor(&format!("run - {COUNT}")).input("b\n").run().code(0).says("1 of 1 already done");
    p.run(&format!("run --item a {COUNT}")).code(0).says("already done");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
}

#[test]
fn a_checkpoint_of_a_protocol_worker_is_there_for_the_next_attempt() {
    let p = Project::new();
    p.write("items.txt", "a\n");
    let script = "if test -f \"$WF_WORKFLOW_DB\"; then echo resumed from $(cat \"$WF_WORKFLOW_DB\"); else echo step-1 > \
                  \"$WF_WORKFLOW_DB\"; exit 1; fi; : {id}";
    p.run(["run", "items.txt", "--", "sh", "-c", script]).code(1);
    let run = p.run(["run", "items.txt", "--", "sh", "-c", script]);
    assert_eq!(run.code(0).out(), "[a] resumed from step-1\n");
}

#[test]
fn needs_revision_of_a_protocol_worker_has_code_3_and_is_reported_again_without_running() {
    let p = Project::with_items("a hello count=starts finished=needs-revision\nb count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(3);
    assert_eq!(p.outcome("a"), "needs-revision");
    p.run(&format!("run items.txt {DO}")).code(3);
    assert_eq!(p.outcome("a"), "needs-revision");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
    p.run(&format!("run items.txt --redo {DO}")).code(3);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1", "b 1", "b 1"]);
}

#[test]
fn an_interrupted_protocol_worker_makes_the_run_unfinished() {
    let p = Project::with_items("a hello count=starts finished=interrupted\n");
    p.run(&format!("run items.txt {DO}")).code(75);
    assert_eq!(p.outcome("a"), "interrupted");
    p.run(&format!("run items.txt {DO}")).code(75);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1"]);
}

#[test]
fn codes_3_and_75_of_a_plain_command_are_failures() {
    let p = Project::with_items("a exit=3\nb exit=75\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    assert_eq!((p.outcome("a"), p.outcome("b")), ("failed".to_owned(), "failed".to_owned()));
}

#[test]
fn a_failure_counts_more_than_a_needed_revision() {
    let p = Project::with_items("a hello finished=needs-revision\nb exit=1\n");
    p.run(&format!("run items.txt {DO}")).code(1);
}

#[test]
fn a_second_run_on_the_same_items_is_told_which_run_and_process_hold_them() {
    let p = Project::with_items("a count=starts touch=up await=go\nb count=starts\n");
    let mut first = p.start(&format!("run items.txt {DO}"));
    first.wait_file("up");
    let short = p.short_run_id();
    let second = p.run(&format!("run items.txt {DO}"));
    second.code(2).says_in_one_line(&["a", &short, &first.pid().to_string()]);
    p.write("go", "");
    first.wait().code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
    assert_eq!(p.runs().len(), 1, "the second run left a trace");
}

#[test]
fn a_second_run_works_on_what_the_first_does_not_hold() {
    let p = Project::with_items("a count=starts touch=up await=go\n");
    let mut first = p.start(&format!("run items.txt {DO}"));
    first.wait_file("up");
    p.write("more.txt", "a count=starts touch=up await=go\nb count=starts\n");
    let second = p.run(&format!("run more.txt {DO}"));
    second.code(1).says_in_one_line(&["[a] FAILED", &first.pid().to_string()]);
    p.write("go", "");
    first.wait().code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
}

#[test]
fn two_runs_of_different_commands_may_work_at_the_same_time() {
    let p = Project::with_items("a\n");
    let mut first = p.start("run items.txt -- wf-fixture-worker touch=one await=two --");
    first.wait_file("one");
    p.run("run items.txt -- wf-fixture-worker touch=two await=one --").code(0);
    first.wait().code(0);
}

#[test]
fn after_a_killed_run_its_items_are_free() {
    let p = Project::with_items("a touch=up await=go\n");
    let mut first = p.start(&format!("run items.txt {DO}"));
    first.wait_file("up");
    first.kill_nine();
    p.write("go", "");
    p.run(&format!("run items.txt {DO}")).code(0);
}
