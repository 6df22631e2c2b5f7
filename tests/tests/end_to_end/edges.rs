//! Odd surroundings: closed descriptors, long paths, few resources, big numbers, unusual ways to hand things over.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_tests::processes::is_alive;
use wf_tests::{Project, lines};

const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn closed_standard_descriptors_are_no_trouble_and_end_up_in_no_file() {
    let p = Project::with_items("a count=starts out=x err=y\n");
    let shell = |words: &str| format!("{words} {DO}");
    p.supervisor(&shell("run items.txt")).via(["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).run().code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
    let journal = p.read(p.latest().join("journal.jsonl"));
    assert!(!journal.contains("[COORDINATOR]") && p.journal().len() > 4, "{journal}");
    p.run("show").code(0);
}

#[test]
fn without_home_and_runtime_directory_it_works_too() {
    let p = Project::with_items("a hello out=up finished=approved\n");
    p.supervisor(&format!("run items.txt {DO}"))
        .without_env("HOME")
        .without_env("XDG_RUNTIME_DIR")
        .without_env("LANG")
        .run()
        .code(0)
        .prints("[a] up\n");
}

#[test]
fn a_long_path_to_the_temporary_directory_is_no_trouble_for_the_socket() {
    let p = Project::with_items("a hello out=up finished=approved\n");
    let long = p.path(format!("{}/{}", "x".repeat(120), "y".repeat(60)));
    std::fs::create_dir_all(&long).unwrap();
    p.supervisor(&format!("run items.txt {DO}"))
        .env("TMPDIR", &long)
        .env("XDG_RUNTIME_DIR", &long)
        .run()
        .code(0)
        .prints("[a] up\n");
}

#[test]
fn a_project_with_blanks_and_other_letters_in_its_path_is_no_trouble() {
    let p = Project::new();
    p.write("mein projekt – ü/items.txt", "a cwd hello finished=approved\n");
    let run = p.supervisor(&format!("run items.txt {DO}")).in_dir("mein projekt – ü").run();
    run.code(0).prints("mein projekt – ü\n");
}

#[test]
fn arguments_that_are_no_text_pass_unchanged() {
    let p = Project::with_items("a\n");
    let via = ["sh", "-c", "exec \"$@\" \"$(printf 'x\\377y')\" {id}", "sh"];
    let run = p.supervisor("run items.txt -- wf-fixture-worker raw=\\n printf").via(via).run();
    // Whether such an argument is passed on or refused, nobody crashes.
    assert!(run.exit_code().is_some_and(|code| code != 101), "{run}");
    let via = ["sh", "-c", "exec \"$@\" printf '<%s>' \"$(printf 'x\\377y')\"", "sh"];
    let run = p.supervisor("run items.txt --").via(via).run();
    run.code(0);
    assert_eq!(run.stdout, b"[a] <x\xffy><a>\n", "{run}");
}

#[test]
fn two_thousand_items_from_a_pipe() {
    let p = Project::new();
    let list = lines(2000, |n| format!("{n}\n"));
    let run = p.supervisor("run - -j 5 --progress none -- true").input(list).run();
    run.code(0);
    assert_eq!(p.summary()["counts"]["succeeded"], 2000);
}

#[test]
fn a_list_can_come_through_a_device() {
    let p = Project::new();
    p.supervisor("run /dev/stdin -- wf-fixture-worker count=starts --").input("a\nb\n").run().code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
}

#[test]
fn a_directory_or_a_missing_list_is_refused() {
    let p = Project::new();
    p.write("dir/x", "");
    p.run("run dir -- true").code(2).says("dir");
    p.run("run no/such -- true").code(2).says("no/such");
    p.assert_only(&["dir/x"]);
}

#[test]
fn a_hard_limit_on_descriptors_delays_and_fails_nothing() {
    let p = Project::with_items(&lines(20, |n| format!("i{n} out=x\n")));
    let via = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    p.supervisor(&format!("run items.txt -j10 {DO}")).via(via).run().code(0);
}

#[test]
fn the_workers_get_the_limits_the_supervisor_was_given() {
    let p = Project::with_items("a\n");
    let via = ["sh", "-c", "ulimit -Sn 123; exec \"$@\"", "sh"];
    let run = p.supervisor(["run", "items.txt", "--", "sh", "-c", "ulimit -Sn; : {id}"]).via(via).run();
    assert_eq!(run.code(0).out(), "[a] 123\n");
}

#[test]
fn the_workers_get_the_umask_and_no_ignored_signal() {
    let p = Project::with_items("a\n");
    let script = "umask; grep SigIgn /proc/self/status | tr -s '\\t' ' '; : {id}";
    let via = ["sh", "-c", "umask 027; exec \"$@\"", "sh"];
    let run = p.supervisor(["run", "items.txt", "--", "sh", "-c", script]).via(via).run();
    run.code(0).prints("[a] 0027\n");
    let ignored =
        run.out().lines().find_map(|line| line.split("SigIgn: ").nth(1).map(str::to_owned)).expect("a mask");
    let ignored = u64::from_str_radix(&ignored, 16).expect("hexadecimal");
    // SIGPIPE is number 13: a worker that writes into a closed pipe is to die of it.
    assert_eq!(ignored & (1 << 12), 0, "{ignored:x}");
}

#[test]
fn when_supervisor_and_wardens_die_in_the_same_instant_the_next_start_kills_what_is_left() {
    let p = Project::with_items("a pid=a-pid leak=leak touch=up await=go\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    let (worker, leak) = (p.read_pid("a-pid"), p.read_pid("leak"));
    // Stopped first, so that none of them sees the others die.
    let wardens = run.wait_wardens(1);
    for warden in &wardens {
        kill(Pid::from_raw(warden.pid), Signal::SIGSTOP).unwrap();
    }
    run.signal(Signal::SIGSTOP);
    for warden in &wardens {
        kill(Pid::from_raw(warden.pid), Signal::SIGKILL).unwrap();
    }
    run.signal(Signal::SIGKILL);
    run.wait_leaving(&[worker, leak]);
    assert!(
        is_alive(worker) && is_alive(leak),
        "the exception that is promised; if it is none any more, say so"
    );
    p.write("other.txt", "b out=b\n");
    let next = p.run(&format!("run other.txt {DO}"));
    next.code(0).says_in_one_line(&["killed", &worker.to_string()]).says(&leak.to_string());
    assert!(!is_alive(worker) && !is_alive(leak));
    p.write("go", "");
    p.run(&format!("run items.txt {DO}")).code(0);
}

#[test]
fn a_signal_counts_more_than_failures_and_a_time_limit_too() {
    let p = Project::with_items("bad exit=1\na touch=up hang\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    run.signal(Signal::SIGINT);
    run.wait().code(130);
    let p = Project::with_items("bad exit=1\na touch=up hang\n");
    p.run(&format!("run items.txt --run-timeout 1s {DO}")).code(124);
}

#[test]
fn memory_does_not_grow_with_the_output() {
    let p = Project::with_items(&lines(3, |n| format!("i{n} flood=20000000 touch=flooded-{n} await=go\n")));
    let mut run = p.start(&format!("run items.txt -j3 --output none {DO}"));
    run.wait_for("the end of the floods", |_| (0..3).all(|n| p.has(format!("flooded-{n}"))).then_some(()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak is told");
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 40 << 10, "{peak_kib} KiB after 60 MB of output");
    p.write("go", "");
    run.wait().code(0);
    assert_eq!(p.log("i2").len(), 20_000_000);
}
