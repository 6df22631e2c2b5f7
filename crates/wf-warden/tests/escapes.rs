//! Workers that leave something behind, and supervisors and wardens that die: nothing escapes.
#![expect(clippy::unwrap_used, reason = "a wrong assumption of a test is its failure")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{
    BOUND, FIXTURE, Harness, assert_nothing_left, carriers, line, receive, rest, shell, state_of,
    unique_cookie, wait_until_nothing_left,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_warden::{Exit, Leftover, Order, Received, Report, Swept, own};

/// Names as they are in the report.
fn names(swept: &Swept) -> Vec<&str> {
    assert_eq!(swept.unkillable, []);
    swept.killed.iter().map(|leftover| leftover.name.as_str()).collect()
}

/// A background process that has got its name.
const SLEEPER: &str = "sleep 100 & until grep -q sleep /proc/$!/comm; do :; done";

#[test]
fn a_grandchild_in_the_group_is_swept_and_named() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start_spawn(&shell(&format!("{SLEEPER}; echo $!")));
    let pid: i32 = line(&mut streams.stdout).parse().unwrap();
    harness.expect_exit(Exit::Code(0), false);
    let swept = harness.sweep();
    assert_eq!(swept.killed, [Leftover { pid, name: "sleep".into() }]);
    assert_eq!(state_of(pid), None);
    assert_eq!(rest(&mut streams.stdout), "");
}

#[test]
fn a_grandchild_with_its_own_session_that_holds_the_pipe_is_swept_and_named() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["setsid-holder"]);
    let left = line(&mut streams.stdout);
    let pid: i32 = left.strip_prefix("left ").unwrap().parse().unwrap();
    harness.expect_exit(Exit::Code(0), false);
    assert!(state_of(pid).is_some(), "alive until the sweep, so that its last words can be read");
    let swept = harness.sweep();
    assert_eq!(swept.killed.iter().map(|leftover| leftover.pid).collect::<Vec<i32>>(), [pid]);
    assert_eq!(rest(&mut streams.stdout), "");
}

#[test]
fn a_daemon_with_nothing_that_ties_it_to_its_origin_is_swept_and_named() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["double-fork"]);
    let pid: i32 = rest(&mut streams.stdout).trim().parse().unwrap();
    harness.expect_exit(Exit::Code(0), false);
    assert!(!carriers(&harness.cookie).contains(&pid) && state_of(pid).is_some());
    let swept = harness.sweep();
    assert_eq!(names(&swept), ["wf-warden-fixtu"], "15 bytes are what the kernel keeps");
    assert_eq!(state_of(pid), None);
}

#[test]
fn what_dies_with_the_group_is_no_leftover() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start_spawn(&shell("sleep 100 & sleep 100 & echo ready; wait"));
    assert_eq!(line(&mut streams.stdout), "ready");
    harness.send(Order::Kill);
    match harness.next() {
        Report::Exited { exit: Exit::Signal(libc::SIGKILL), alone: true } => {}
        Report::Exited { exit: Exit::Signal(libc::SIGKILL), alone: false } => {
            assert_eq!(harness.sweep(), Swept::default());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_left_the_group_of_a_killed_worker_is_a_leftover() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["ticker"]);
    let child: i32 = line(&mut streams.stdout).parse().unwrap();
    harness.send(Order::Kill);
    harness.expect_exit(Exit::Signal(libc::SIGKILL), false);
    // Once more, now that the leader is dead: everything, and it is remembered.
    harness.send(Order::Kill);
    let swept = harness.sweep();
    assert_eq!(swept.killed.iter().map(|leftover| leftover.pid).collect::<Vec<i32>>(), [child]);
    assert_eq!(state_of(child), None);
}

#[test]
fn orphans_that_die_meanwhile_are_reaped() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["dying-orphan"]);
    assert_eq!(line(&mut streams.stdout), "reaped");
    harness.expect_exit(Exit::Code(0), true);
}

#[test]
fn leftovers_of_one_attempt_do_not_reach_the_next() {
    let mut harness = Harness::new();
    harness.start_spawn(&shell(&format!("{SLEEPER}; {SLEEPER}")));
    harness.expect_exit(Exit::Code(0), false);
    assert_eq!(names(&harness.sweep()), ["sleep", "sleep"]);
    harness.start_spawn(&shell("exit 0"));
    harness.expect_exit(Exit::Code(0), true);
}

/// Runs a fork bomb until it says that it is one and has grown, then ends it with these orders.
fn defuse(kind: &str, orders: &[Order], most: u64) {
    let directory = tempfile::tempdir().unwrap();
    let counter = directory.path().join("forks");
    fs::write(&counter, "").unwrap();
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&[kind, counter.to_str().unwrap()]);
    assert_eq!(line(&mut streams.stdout), kind);
    while fs::metadata(&counter).unwrap().len() < 30 {
        std::thread::yield_now();
    }
    for order in orders {
        harness.send(*order);
    }
    loop {
        match harness.next() {
            // What every supervisor does then.
            Report::Exited { alone: false, .. } if !orders.contains(&Order::Sweep) => {
                harness.send(Order::Sweep);
            }
            Report::Exited { alone: false, .. } => {}
            Report::Swept(swept) => {
                assert_eq!(swept.unkillable, []);
                assert!(swept.killed.len() <= Swept::MOST_NAMES);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let forks = fs::metadata(&counter).unwrap().len();
    assert!(forks < most, "it has ended by itself, after {forks} forks, and proves nothing");
    assert_eq!(rest(&mut streams.stdout), "", "nobody is left to hold the pipe");
}

#[test]
fn a_tree_that_grows_where_it_is_cut_is_ended() {
    defuse("hydra", &[Order::Sweep], 4000);
    defuse("hydra", &[Order::Kill], 4000);
    defuse("hydra", &[Order::Kill, Order::Sweep], 4000);
}

#[test]
fn a_process_that_forks_and_ends_for_ever_is_caught() {
    defuse("rabbit", &[Order::Sweep], 200_000);
}

#[test]
fn more_leftovers_than_names_are_counted() {
    let mut harness = Harness::new();
    harness.start_spawn(&shell("i=0; while [ $i -lt 70 ]; do sleep 100 & i=$((i+1)); done"));
    harness.expect_exit(Exit::Code(0), false);
    let swept = harness.sweep();
    assert_eq!((swept.killed.len(), swept.unnamed), (Swept::MOST_NAMES, 70 - Swept::MOST_NAMES as u32));
}

/// The fixture as a supervisor in a process of its own.
struct Supervisor {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    cookie: String,
}

impl Supervisor {
    fn start(words: &[&str]) -> (Supervisor, std::io::PipeReader) {
        let cookie = unique_cookie();
        // What the wardens hold as the lock: its end is the end of the last of them.
        let (lock, held) = std::io::pipe().unwrap();
        let mut process = Command::new(FIXTURE)
            .arg("supervise")
            .args(words)
            .env("WF_RUN_ID", &cookie)
            .stdin(Stdio::from(held))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        (Supervisor { process, output, cookie }, lock)
    }

    /// `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    /// Reads until all of these lines and this many numbers have come; the numbers.
    fn expect(&mut self, mut lines: Vec<&str>, numbers: usize) -> Vec<i32> {
        let mut found = Vec::new();
        while !lines.is_empty() || found.len() < numbers {
            let line = self.line().expect("it writes on");
            if let Some(position) = lines.iter().position(|expected| *expected == line) {
                lines.remove(position);
            }
            found.extend(line.trim_start_matches("left ").parse::<i32>());
        }
        found
    }
}

#[test]
fn when_the_supervisor_is_killed_everything_below_dies() {
    let (mut supervisor, mut lock) =
        Supervisor::start(&["wait", "deaf", "setsid-holder", "double-fork", "ticker", "sleeper"]);
    let left = supervisor.expect(vec!["ready", "ready"], 3);
    assert!(left.iter().all(|pid| state_of(*pid).is_some()));
    supervisor.process.kill().unwrap();
    supervisor.process.wait().unwrap();
    assert_eq!(rest(&mut lock), "", "the lock lasts until the last warden has ended");
    assert!(left.iter().all(|pid| state_of(*pid).is_none()));
    wait_until_nothing_left(&supervisor.cookie);
}

#[test]
fn a_worker_cannot_save_itself_by_stopping_its_warden() {
    let (mut supervisor, mut lock) = Supervisor::start(&["wait", "stop-parent"]);
    let pid = supervisor.expect(vec!["ready"], 1)[0];
    kill(Pid::from_raw(pid), Signal::SIGUSR1).unwrap();
    supervisor.expect(vec!["stopped"], 0);
    supervisor.process.kill().unwrap();
    supervisor.process.wait().unwrap();
    assert_eq!(rest(&mut lock), "");
    assert_eq!(state_of(pid), None);
    wait_until_nothing_left(&supervisor.cookie);
}

#[test]
fn the_tree_of_a_killed_warden_falls_to_the_supervisor() {
    let (mut supervisor, _lock) = Supervisor::start(&["lose", "double-fork", "ticker"]);
    let lines: Vec<String> = std::iter::from_fn(|| supervisor.line())
        .filter(|line| line != "ready" && line != "tick" && line.parse::<i32>().is_err())
        .collect();
    let expected = [
        "Report(Exited { exit: Code(0), alone: false })",
        "Closed",
        "killed [\"wf-warden-fixtu\"], unkillable []",
        "Code(0)",
    ];
    assert_eq!(lines, expected);
    assert_eq!(supervisor.process.wait().unwrap().code(), Some(0));
    assert_nothing_left(&supervisor.cookie);
}

#[test]
fn a_dead_warden_is_told_once_and_orders_to_it_are_no_error() {
    let mut harness = Harness::new();
    harness.start(&["sleeper"]);
    kill(Pid::from_raw(harness.warden().pid()), Signal::SIGKILL).unwrap();
    assert_eq!(harness.receive(), Received::Closed);
    harness.send(Order::Kill);
    assert_eq!(receive(harness.warden()), Received::Closed);
    // This process is no subreaper, so here the mark is what the rest is found by.
    let swept = own::kill_by_cookie(&harness.cookie, BOUND).unwrap();
    assert_eq!(names(&swept), ["wf-warden-fixtu"]);
    assert_nothing_left(&harness.cookie);
    harness.forget_warden();
}

#[test]
fn what_a_crashed_run_left_is_found_by_its_mark() {
    let cookie = unique_cookie();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "(env -i sleep 100) & (sleep 100) & echo ready; wait"])
        .env("WF_RUN_ID", &cookie)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(&mut output, &mut ready).unwrap();
    let other = own::kill_by_cookie(&format!("{cookie}x"), BOUND).unwrap();
    assert!(other.is_empty(), "{other:?}");
    let swept = own::kill_by_cookie(&cookie, BOUND).unwrap();
    assert!(names(&swept).contains(&"sh"), "{swept:?}");
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert_nothing_left(&cookie);
    // Its end proves that the one without the mark is dead as well: it holds this pipe.
    std::io::Read::read_to_end(&mut output, &mut Vec::new()).unwrap();
}

#[test]
fn a_secret_leaves_the_environment_of_the_process() {
    let output = Command::new(FIXTURE)
        .args(["forget", "API_KEY"])
        .env("API_KEY", "hunter22")
        .env("API_KEY_2", "stays")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["refused beside a thread: true", "variable: None"]);
    assert!(lines[2].contains("API_KEY= ") && lines[2].contains("API_KEY_2=stays"), "{text}");
    assert!(!text.contains("hunter22"), "{text}");
}

#[test]
fn a_warden_is_of_no_use_by_hand() {
    let mut child = Command::new(FIXTURE)
        .arg(wf_warden::HIDDEN_ARGUMENT)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(b"hello");
    drop(input);
    let status = child.wait_with_output().unwrap().status;
    assert_eq!(status.code(), Some(2));
}

#[test]
#[expect(clippy::zombie_processes, reason = "reaping it is what is tested")]
fn reaping_has_a_bound() {
    let mut child = Command::new("/bin/sleep").arg("100").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let error = own::reap(pid, Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    child.kill().unwrap();
    assert_eq!(own::reap(pid, BOUND).unwrap(), Exit::Signal(libc::SIGKILL));
    assert_eq!(own::reap(pid, BOUND).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
