//! What reaches the console: prefixes, odd bytes, the output modes, slow and closed readers.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wf_tests::{Project, Stdout, lines};

const DO: &str = "-- wf-fixture-worker do={}";

fn printed(item: &str) -> String {
    let p = Project::with_items(&format!("a {item}\n"));
    p.run(&format!("run items.txt {DO}")).code(0).out()
}

#[test]
fn an_unfinished_last_line_is_completed() {
    assert_eq!(printed(r"raw=one\ntwo"), "[a] one\n[a] two\n");
    assert_eq!(printed(r"raw=alone"), "[a] alone\n");
}

#[test]
fn an_empty_line_has_its_prefix_too() {
    let lines: Vec<String> = printed(r"raw=\n\nx\n").lines().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines, ["[a]", "[a]", "[a] x"]);
}

#[test]
fn a_line_in_pieces_is_one_line() {
    let p = Project::with_items("a raw=one touch=half await=go raw=two\\n\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("half");
    p.write("go", "");
    assert_eq!(run.wait().code(0).out(), "[a] onetwo\n");
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let p = Project::with_items(r"a raw=\xff\xfe\x00\x80x\n");
    let run = p.run(&format!("run items.txt {DO}"));
    assert_eq!(run.code(0).stdout, b"[a] \xff\xfe\x00\x80x\n");
    assert_eq!(p.log("a"), b"\xff\xfe\x00\x80x\n");
}

#[test]
fn a_very_long_line_is_cut_into_pieces_that_all_have_the_prefix() {
    let p = Project::with_items("a long=5000000\nb long=5000000\n");
    let run = p.run(&format!("run items.txt -j2 --progress none {DO}"));
    run.code(0);
    let out = run.out();
    let mut count = [0, 0];
    for line in out.lines() {
        let rest = line.strip_prefix("[a] ").or_else(|| line.strip_prefix("[b] "));
        let rest = rest.unwrap_or_else(|| panic!("a line without prefix: {}", &line[..line.len().min(80)]));
        count[usize::from(line.starts_with("[b]"))] += rest.matches('x').count();
    }
    assert_eq!(count, [5_000_000, 5_000_000], "bytes are lost");
    assert!(out.lines().count() > 2, "nothing was cut");
    assert_eq!(p.log("a").len(), 5_000_001, "the log is not cut");
}

#[test]
fn a_carriage_return_cannot_overwrite_the_prefix() {
    let out = printed(r"raw=10%\r20%\r30%\rdone\n");
    for line in out.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        assert!(line.starts_with("[a] "), "{out:?}");
    }
    assert!(out.contains("done"), "{out:?}");
}

#[test]
fn colours_do_not_leak_into_a_neighbours_line() {
    let out = printed(r"raw=\e[31mred\nstill\n");
    let first = out.lines().next().unwrap();
    assert!(first.contains("red"), "{out:?}");
    // Where the colour passes, it is switched off at the end of the line.
    assert!(!first.contains("\x1b[31m") || first.contains("\x1b[0m") || first.contains("\x1b[m"), "{out:?}");
}

#[test]
fn lines_of_many_workers_never_interleave() {
    let items = lines(5, |n| format!("i{n} flood=300000\n"));
    let p = Project::with_items(&items);
    let run = p.run(&format!("run items.txt -j5 --progress none {DO}"));
    run.code(0);
    let mut next = [0_u64; 5];
    for line in run.out().lines() {
        let worker: usize = line[2..3].parse().unwrap();
        let rest = &line[5..];
        let expected = format!("line {:>10} ", next[worker]);
        // The last line of a flood is cut where its bytes end.
        assert!(rest.starts_with(&expected) || expected.starts_with(rest), "{line:?} after {next:?}");
        next[worker] += 1;
    }
    for n in 0..5 {
        assert_eq!(p.log(&format!("i{n}")).len(), 300_000);
    }
}

#[test]
fn grouped_output_comes_in_one_piece_when_the_item_ends() {
    let p = Project::with_items("a out=a1 touch=a await=b out=a2\nb await=a out=b1 err=e1 out=b2 touch=b\n");
    let run = p.run(&format!("run items.txt -j2 --output grouped {DO}"));
    run.code(0).says("e1");
    let lines: Vec<String> = run.out().lines().map(str::to_owned).collect();
    let position = |words: &str| lines.iter().position(|line| line.ends_with(words)).expect(words);
    assert_eq!(position("a2"), position("a1") + 1, "{run}");
    assert_eq!(position("b2"), position("b1") + 1, "{run}");
}

#[test]
fn grouped_output_is_held_back_until_then() {
    let p = Project::with_items("a out=early touch=up await=go\n");
    let mut run = p.start(&format!("run items.txt --output grouped {DO}"));
    run.wait_file("up");
    run.wait_for("the log to have it", |_| {
        (p.has(".wf/runs/latest/a.log") && p.log("a") == b"early\n").then_some(())
    });
    assert_eq!(run.out(), "");
    p.write("go", "");
    run.wait().code(0).prints("early");
}

#[test]
fn output_none_shows_no_line_of_a_worker_that_succeeds_and_logs_all() {
    let p = Project::with_items("a out=hidden err=hidden-too\n");
    let run = p.run(&format!("run items.txt --output none {DO}"));
    run.code(0).never_says("hidden");
    assert_eq!(p.log("a").len(), "hidden\nhidden-too\n".len());
}

#[test]
fn prefixed_output_is_live() {
    let p = Project::with_items("a out=now await=go\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_out("[a] now\n");
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn away_from_a_terminal_progress_is_a_line_per_finished_item() {
    let p = Project::with_items("a out=x\nb exit=1\n");
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(1)
        .says_in_one_line(&["[COORDINATOR]", "a succeeded", "1/2"])
        .says_in_one_line(&["b failed", "2/2"]);
    assert!(!run.err().contains('\r') && !run.err().contains('\x1b'), "{run}");
}

#[test]
fn progress_none_has_no_such_lines() {
    let p = Project::with_items("a out=x\n");
    let run = p.run(&format!("run items.txt --progress none {DO}"));
    run.code(0).never_says("1/1").says("1 succeeded");
}

#[test]
fn quiet_says_less_and_verbose_says_where_settings_come_from() {
    let p = Project::with_items("a out=x\n");
    let quiet = p.run(&format!("run items.txt -q {DO}"));
    quiet.code(0).never_says("a succeeded in");
    assert_eq!(quiet.out(), "[a] x\n");
    p.write("wf.toml", "[run]\ngrace = \"7s\"\n");
    let verbose =
        p.supervisor(&format!("run items.txt -v --timeout 9m {DO}")).env("WF_SUPERVISOR_PARALLEL", "2").run();
    verbose
        .code(0)
        .says_in_one_line(&["grace", "7s", "wf.toml:2"])
        .says_in_one_line(&["timeout", "9m", "command line"])
        .says_in_one_line(&["parallel", "2", "WF_SUPERVISOR_PARALLEL"]);
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let items = lines(5, |n| format!("i{n} flood=200000\n"));
    for stdout in [Stdout::FirstLineOnly, Stdout::Closed] {
        let p = Project::with_items(&items);
        let run = p.supervisor(&format!("run items.txt -j2 {DO}")).stdout(stdout).run();
        run.code(0).says("5 succeeded");
        for n in 0..5 {
            assert_eq!(p.log(&format!("i{n}")).len(), 200_000);
        }
    }
}

#[test]
fn a_reader_that_does_not_read_delays_no_item() {
    let items = lines(4, |n| format!("i{n} flood=1000000 touch=done-{n}\n"));
    let p = Project::with_items(&items);
    let mut run = p.supervisor(&format!("run items.txt -j2 {DO}")).stdout(Stdout::Unread).start();
    run.wait_for("the summary to be written", |_| p.has(".wf/runs/latest/summary.json").then_some(()));
    assert_eq!(p.summary()["counts"]["succeeded"], 4);
    for n in 0..4 {
        assert_eq!(p.log(&format!("i{n}")).len(), 1_000_000);
    }
    assert!(!run.has_ended(), "it waits for its reader, so that no line is lost");
    run.read_stdout();
    let run = run.wait();
    run.code(0);
    assert_eq!(
        run.out().lines().filter(|line| line.contains("] line ")).count(),
        p.sorted_lines(".wf/runs/latest/i0.log").len() * 4
    );
}

#[test]
fn ctrl_c_skips_the_wait_for_a_reader_that_does_not_read() {
    let p = Project::with_items("a flood=1000000\n");
    let mut run = p.supervisor(&format!("run items.txt {DO}")).stdout(Stdout::Unread).start();
    run.wait_for("the summary to be written", |_| p.has(".wf/runs/latest/summary.json").then_some(()));
    // It is asked until it listens: the summary is on disk a moment before it begins to wait.
    let mut sent = Instant::now();
    run.wait_for("its end", |run| {
        if run.is_reaped() {
            return Some(());
        }
        if sent.elapsed() > Duration::from_millis(300) {
            sent = Instant::now();
            run.signal(Signal::SIGINT);
        }
        None
    });
    run.wait().code(0);
    assert_eq!(p.log("a").len(), 1_000_000);
}

#[test]
fn a_log_stops_at_its_bound_and_says_so() {
    let p = Project::with_items("a flood=100000 touch=done\n");
    p.write("wf.toml", "[run]\nmax_log = \"8KiB\"\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    assert!(p.has("done"));
    let log = String::from_utf8(p.log("a")).unwrap();
    assert!((8192..9216).contains(&log.len()), "{} bytes", log.len());
    assert!(log.lines().last().unwrap().contains("max_log"), "{}", log.lines().last().unwrap());
}

#[test]
fn the_joblog_has_the_columns_of_gnu_parallel() {
    let p = Project::with_items("a out=12345\nb exit=3\nc die=SIGTERM\n");
    p.run(&format!("run items.txt --joblog jobs.tsv {DO}")).code(1);
    let log = p.read("jobs.tsv");
    let rows: Vec<Vec<&str>> = log.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        rows[0],
        ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command"]
    );
    let column = |n: usize| rows[1..].iter().map(|row| row[n].trim()).collect::<Vec<_>>();
    assert_eq!(column(0), ["1", "2", "3"]);
    assert_eq!(column(6), ["0", "3", "0"]);
    assert_eq!(column(7), ["0", "0", "15"]);
    assert_eq!(rows[1][5], "6", "bytes received");
    assert_eq!(rows[1][8], "wf-fixture-worker do=out=12345");
    for row in &rows[1..] {
        assert!(
            row[2].trim().parse::<f64>().is_ok_and(|time| time > 1.6e9)
                && row[3].trim().parse::<f64>().is_ok()
        );
    }
}

#[test]
fn a_joblog_is_added_to_by_the_run_that_goes_on_and_left_alone_by_one_that_does_nothing() {
    let p = Project::with_items("a out=1\nb need=mended\n");
    let command = format!("run items.txt --joblog jobs.tsv {DO}");
    p.run(&command).code(1);
    p.write("mended", "");
    p.run(&command).code(0);
    let log = p.read("jobs.tsv");
    let items: Vec<&str> = log.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(items, ["1", "2", "2"], "{log}");
    p.run(&command).code(0);
    assert_eq!(p.read("jobs.tsv"), log);
    p.write("mine.txt", "not yours\n");
    p.run(&format!("run items.txt --joblog mine.txt {DO}"))
        .code(2)
        .says("mine.txt is there and is no job log");
    assert_eq!(p.read("mine.txt"), "not yours\n");
}
