//! SIGKILL of anybody at any moment: nothing survives, nothing recorded is lost, and the same command finishes the rest.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_tests::processes::is_alive;
use wf_tests::{Project, Running, lines};

const DO: &str = "-- wf-fixture-worker do={}";

/// Everything a worker can do to survive its supervisor.
const ESCAPES: &str = "leak=leak-{id} orphan=orphan-{id} group=group-{id}";

/// One item that is done, and `count` that hang with leaked, orphaned and regrouped descendants until `go` exists.
fn hanging(p: &Project, count: u32) -> String {
    let hanging = lines(count, |n| {
        let escapes = ESCAPES.replace("{id}", &n.to_string());
        format!("i{n} count=starts {escapes} touch=up-{n} await=go\n")
    });
    p.write("items.txt", format!("done count=starts\n{hanging}"));
    format!("run items.txt -j{count} {DO}")
}

/// Starts the run of [`hanging`] and waits until all of its items hang.
fn start(p: &Project, count: u32) -> (String, Running) {
    let command = hanging(p, count);
    let mut run = p.start(&command);
    run.wait_err("done succeeded");
    run.wait_for("all items to be up", |_| (0..count).all(|n| p.has(format!("up-{n}"))).then_some(()));
    (command, run)
}

/// The same command finishes what was left: every hanging item is run once more, the one that was done is not.
#[track_caller]
fn finishes(p: &Project, command: &str, count: u32) {
    p.write("go", "");
    for n in 0..count {
        for left in ["leak", "orphan", "group"] {
            let file = format!("{left}-{n}");
            let pid = p.read_pid(&file);
            assert!(!is_alive(pid), "{file} ({pid}) survived");
            std::fs::remove_file(p.path(file)).expect("it was just read");
        }
    }
    p.run(command).code(0).says(&format!("1 of {} already done in run ", count + 1));
    let starts = p.sorted_lines("starts");
    assert_eq!(starts.iter().filter(|line| line.starts_with("done ")).count(), 1, "{starts:?}");
    for n in 0..count {
        let name = format!("i{n} ");
        assert_eq!(starts.iter().filter(|line| line.starts_with(&name)).count(), 2, "{starts:?}");
    }
}

#[test]
fn a_killed_supervisor_leaves_nothing_and_the_same_command_finishes() {
    let p = Project::new();
    let (command, run) = start(&p, 10);
    run.kill_nine();
    finishes(&p, &command, 10);
}

#[test]
fn a_killed_process_group_leaves_nothing_and_the_same_command_finishes() {
    let p = Project::new();
    let (command, run) = start(&p, 2);
    run.signal_group(Signal::SIGKILL);
    let run = run.wait();
    assert_eq!(run.signal(), Some(9));
    finishes(&p, &command, 2);
}

#[test]
fn timeout_with_sigkill_leaves_nothing() {
    let p = Project::new();
    let command = hanging(&p, 2);
    let run = p.supervisor(&command).via(["timeout", "-s", "KILL", "3s"]).run();
    assert!(run.exit_code().is_none_or(|code| code == 137), "{run}");
    p.assert_nobody_within(std::time::Duration::from_secs(10));
}

#[test]
fn a_killed_warden_fails_its_attempt_and_leaves_nothing_of_it() {
    let p =
        Project::with_items("a orphan=orphan leak=leak touch=up await=never\nb await=go out=b\nc out=c\n");
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_file("up");
    let orphan = p.read_pid("orphan");
    let warden = run
        .wait_wardens(2)
        .into_iter()
        .find(|warden| descends(orphan, warden.pid))
        .expect("an orphan falls to its warden");
    kill(Pid::from_raw(warden.pid), Signal::SIGKILL).unwrap();
    run.wait_for("the orphan's death", |_| (!is_alive(orphan)).then_some(()));
    p.write("go", "");
    let run = run.wait();
    run.code(1).prints("[b] b\n").prints("[c] c\n").says_in_one_line(&["[a]", "FAILED"]);
    assert_eq!(p.outcome("a"), "failed");
    assert!(!is_alive(p.read_pid("leak")));
}

/// Whether `pid` is below `ancestor`.
fn descends(pid: i32, ancestor: i32) -> bool {
    wf_tests::processes::children(ancestor).iter().any(|child| child.pid == pid || descends(pid, child.pid))
}

#[test]
fn killed_wardens_do_not_stop_the_rest_of_the_batch() {
    let p = Project::with_items("a touch=a hang\nb touch=b hang\nc out=c\nd out=d\n");
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_file("a").wait_file("b");
    for warden in run.wait_wardens(2) {
        kill(Pid::from_raw(warden.pid), Signal::SIGKILL).unwrap();
    }
    run.wait().code(1).prints("[c] c\n").prints("[d] d\n");
    assert_eq!([p.outcome("a"), p.outcome("b")], ["failed", "failed"]);
}

#[test]
fn a_worker_that_is_killed_failed_and_names_the_signal() {
    let p = Project::with_items("a pid=pid leak=leak hang\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("leak");
    kill(Pid::from_raw(p.read_pid("pid")), Signal::SIGKILL).unwrap();
    run.wait().code(1).says_in_one_line(&["[a] FAILED", "SIGKILL"]);
    assert_eq!(p.outcome("a"), "failed");
}

#[test]
fn a_failed_item_is_run_again_by_the_same_command() {
    let p = Project::with_items("a count=starts need=mended\nb count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    p.write("mended", "");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 2 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1", "b 1"]);
}

#[test]
fn death_by_every_signal_is_a_failure_that_names_it() {
    let signals = [
        "SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGBUS", "SIGPIPE", "SIGTERM", "SIGINT", "SIGHUP",
        "SIGUSR1",
    ];
    let p = Project::with_items(&signals.map(|signal| format!("{signal} die={signal}\n")).concat());
    let run = p.run(&format!("run items.txt -j4 {DO}"));
    run.code(1);
    for signal in signals {
        run.says_in_one_line(&[&format!("[{signal}] FAILED"), signal]);
        assert_eq!(p.outcome(signal), "failed");
    }
}

#[test]
fn leftovers_of_a_worker_that_ended_are_killed_and_named() {
    let p = Project::with_items("a leak=leak orphan=orphan group=group out=done\nb out=b\n");
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).prints("[a] done\n").says_in_one_line(&["[a]", "wf-fixture-work"]);
    for left in ["leak", "orphan", "group"] {
        let pid = p.read(left);
        assert!(!is_alive(pid.parse().unwrap()), "{left} survived\n{run}");
        run.says_in_one_line(&["[a]", &pid]);
    }
}

#[test]
fn a_killed_run_is_shown_as_such_and_its_journal_stays_readable() {
    let p = Project::with_items("a touch=up hang\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    run.kill_nine();
    let list = p.run("list --json").code(0).json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list:#}");
    assert_ne!(list[0]["state"], "finished", "{list:#}");
    p.run("show").code(0).prints("a");
    // A torn last line, as a power failure leaves it.
    let journal = p.latest().join("journal.jsonl");
    let mut text = std::fs::read(&journal).unwrap();
    text.extend_from_slice(b"{\"ts\":\"2026-11-2");
    std::fs::write(&journal, text).unwrap();
    p.run("show").code(0);
    p.run("list").code(0);
}

#[test]
fn killed_again_and_again_every_item_is_done_in_the_end() {
    let items = lines(6, |n| format!("i{n} count=starts need=go-{n} count=done\n"));
    let p = Project::with_items(&items);
    for n in 0..6 {
        p.write(&format!("go-{n}"), "");
        let mut run = p.start(&format!("run items.txt -j2 {DO}"));
        run.wait_for("another item to be done", |_| (p.sorted_lines("done").len() > n).then_some(()));
        // It may have ended already.
        if !run.has_ended() {
            run.signal(Signal::SIGKILL);
        }
        run.wait();
    }
    p.run(&format!("run items.txt -j2 {DO}")).code(0);
    // An item is run again only if it was not recorded as done: the kill may come between its end and the record.
    let summary = p.summary();
    let counts = &summary["counts"];
    assert_eq!(counts["succeeded"].as_u64().unwrap() + counts["skipped"].as_u64().unwrap(), 6, "{counts}");
}
