//! Being told how it goes and how it ended.

use wf_tests::{Project, Terminal, lines, wait_until};

const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn the_clocks_of_a_live_run_go_on_while_nothing_is_written() {
    let p = Project::with_items("a out=x touch=up await=go\nb out=y\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    let journal = || std::fs::metadata(p.latest().join("journal.jsonl")).unwrap().len();
    let before = journal();
    let json = wait_until("a second to pass for the run and its item", || {
        let json = p.run("show --json").code(0).json();
        let ms = |of: &serde_json::Value| of["wall_ms"].as_u64().unwrap();
        (ms(&json["totals"]) >= 1_000 && ms(&json["items"][0]) >= 1_000).then_some(json)
    });
    assert_eq!(journal(), before, "nothing has happened meanwhile");
    for field in ["running_since", "last_output"] {
        assert!(json["items"][0][field].is_string(), "{field} of {json:#}");
    }
    assert!(json["items"][1]["running_since"].is_null(), "{json:#}");
    let shown = p.run("show");
    shown.code(0).prints("running for ").prints(", last output ");
    p.run("show --item a").code(0).prints("running for ");
    let listed = p.run("list").code(0).out();
    assert!(listed.contains("running ") && !listed.contains("running 0s"), "{listed}");
    let item = |json: &serde_json::Value| json["item"]["wall_ms"].as_u64().unwrap();
    assert!(item(&p.run("show --item a --json").code(0).json()) >= 1_000);
    // A killed run's clocks stand.
    run.kill_nine();
    let killed = |words: &str| p.run(words).code(0).json();
    let first = killed("show --json");
    assert_eq!(first["state"], "killed");
    assert_eq!(killed("show --json")["totals"], first["totals"]);
    assert_eq!(killed("list --json")[0]["wall_ms"], first["totals"]["wall_ms"]);
}

#[test]
fn a_silent_run_names_who_runs_in_the_bar() {
    let p = Project::with_items("a touch=a await=go\nb touch=b await=go\n");
    let terminal = Terminal::new(100);
    let mut run =
        p.supervisor(&format!("run items.txt -j2 {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    run.wait_file("b");
    terminal.wait_shown("0/2 items complete, 2 running, after ");
    terminal.wait_shown("silent for 5s)");
    let shown = terminal.shown();
    let last = shown.rsplit("items complete").next().unwrap();
    assert!(last.contains("(a ") && last.contains(", b "), "{last}");
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn the_end_of_what_failed_is_quoted_where_it_was_not_shown() {
    let p = Project::with_items("a out=fine\nb out=begin raw=\\e[2Jfatal:\\e[31mbad\\e[0m\\n exit=3\n");
    for mode in ["none", "grouped", "prefixed"] {
        let run = p.run(&format!("run items.txt --redo --output {mode} {DO}"));
        run.code(1);
        let err = run.err();
        let failed = err.find("[b] FAILED: exit code 3\n").unwrap_or_else(|| panic!("{run}"));
        // Standard output goes elsewhere here, so none of it stands above.
        assert!(
            err[failed..].contains("FAILED: exit code 3\n[b] | begin\n[b] | fatal:bad\n"),
            "{mode}: {run}"
        );
        assert!(!err.contains('\x1b') && !err.contains("fine"), "{mode}: {run}");
    }
    p.run("show --item b").code(0).prints("the end of its output:\n| begin\n| fatal:bad\n");
}

#[test]
fn what_stands_just_above_is_not_quoted_and_of_much_only_the_end() {
    let p = Project::with_items("a err=one err=two exit=3\n");
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(1).never_says("| two").says("[a] two\n");
    let steps: Vec<String> = (1..=30).map(|n| format!("err=line-{n}")).collect();
    p.write("items.txt", format!("a {} exit=3\n", steps.join(" ")));
    let run = p.run(&format!("run items.txt --output none {DO}"));
    run.code(1).says("[a] the end of its output (all of it: wf-supervisor logs a):\n[a] | line-21\n");
    run.says("[a] | line-30\n").never_says("| line-20\n");
}

#[test]
fn only_the_failed_tries_own_output_is_quoted() {
    let p = Project::with_items("a err=again exit=1\n");
    let run = p.run(&format!("run items.txt --output none --item-retries 1 {DO}"));
    run.code(1).says("2 tries");
    assert_eq!(run.err().matches("| again").count(), 2, "{run}");
}

#[test]
fn the_end_says_how_to_go_on_and_to_see_more() {
    let items = "a err=no exit=1\nb err=no exit=1\nc out=x\nd touch=never\n";
    let p = Project::with_items(items);
    let run = p.run(&format!("run items.txt --max-fail 2 {DO}"));
    run.says("2 failed: 2 × exit code 1: no\n");
    run.says("run the same command again to go on: 2 not started, 2 failed\n");
    run.says("to see more: wf-supervisor logs a, or wf-supervisor logs --failed\n");
    p.run("show").code(0).prints("run the same command again to go on: 2 not started, 2 failed\n");
    assert!(!p.has("never"));
}

#[test]
fn the_same_command_again_over_many_done_items_says_so_in_a_line() {
    let items = lines(60, |n| format!("i{n} out=x\n"));
    let p = Project::with_items(&items);
    p.run(&format!("run items.txt -j4 --output none {DO}")).code(0);
    let again = p.run(&format!("run items.txt -j4 {DO}"));
    again.code(0).says("60 items: 60 skipped, in ").never_says("i17");
    let quiet = p.run(&format!("run items.txt -j4 -q {DO}"));
    quiet.code(0);
    assert_eq!(quiet.err().lines().count(), 2, "{quiet}");
    let rows = |words: &str| {
        let out = p.run(words).code(0).out();
        out.lines().filter(|line| line.contains("done in run")).count()
    };
    assert_eq!((rows("show"), rows("show --all")), (0, 60));
}

#[test]
fn an_item_that_succeeded_after_a_failure_is_told_apart() {
    let p = Project::with_items("a attempt=3 out=x\nb out=y\n");
    let run = p.run(&format!("run items.txt --item-retries 2 {DO}"));
    run.code(0).says_in_one_line(&["a ", "succeeded", "FLAKY: 3 tries"]).says("2 succeeded (1 flaky)");
    run.says(" and 3 tries (");
    let item = &p.run("show --json").code(0).json()["items"][0];
    assert_eq!(item["attempts"], 3);
    assert!(item["last_attempt_ms"].as_u64().unwrap() <= item["wall_ms"].as_u64().unwrap(), "{item:#}");
}

#[test]
fn what_steers_a_terminal_goes_through_no_pipe() {
    let p = Project::with_items("a raw=\\e[2J\\e[H\\e]0;t\\x07\\e[31mred\\e[0m\\xff\\n\n");
    let out = |words: &str| p.run(&format!("run items.txt --redo {words} {DO}")).code(0).stdout.clone();
    assert_eq!(out(""), b"[a] red\xff\n");
    assert_eq!(out("--color never"), b"[a] red\xff\n");
    let coloured = out("--color always");
    assert!(coloured.ends_with(b" \x1b[31mred\x1b[0m\xff\n"), "{}", coloured.escape_ascii());
    assert_eq!(p.log("a"), b"\x1b[2J\x1b[H\x1b]0;t\x07\x1b[31mred\x1b[0m\xff\n", "the log has every byte");
}

#[test]
fn long_ids_are_shown_short_and_a_run_by_its_command_line_and_name() {
    let p = Project::new();
    p.write("tasks.txt", "out=fix-the-bug-number-16-in-file-src-m16.rs\nout=x\n");
    let run = p.run("run tasks.txt --lines --name nightly -- wf-fixture-worker do={}");
    run.code(0).prints("[1 out-fix-the…] fix-the-bug-number-16-in-file-src-m16.rs\n");
    let table: Vec<String> = run.err().lines().map(str::to_owned).collect();
    assert!(table.iter().any(|line| line.starts_with("1 out-fix-the…    succeeded ")), "{run}");
    let listed = p.run("list").code(0).out();
    assert!(listed.contains("nightly: tasks.txt --lines --na"), "{listed}");
    let shown = p.run("show");
    shown
        .code(0)
        .prints("(nightly): finished")
        .prints("tasks.txt --lines --name nightly -- wf-fixture-worker do={}");
    assert_eq!(p.run("list --json").code(0).json()[0]["name"], "nightly");
}

#[test]
fn logs_are_found_by_position_and_hash_and_attempts_are_shown_apart() {
    let p = Project::new();
    p.write("tasks.txt", "out=one attempt=2 out=two\nout=x exit=4\n");
    p.run("run tasks.txt --lines --item-retries 1 --max-fail 5 -- wf-fixture-worker do={}").code(1);
    let id = p.summary()["items"][0]["id"].as_str().unwrap().to_owned();
    let (beginning, hash) = id.rsplit_once('-').unwrap();
    for name in ["#1", beginning, hash] {
        let text = p.supervisor(["logs", name]).run().code(0).out();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("--- attempt 1, ") && lines[2].starts_with("--- attempt 2, "), "{text}");
        assert_eq!((lines[1], &lines[3..]), ("one", &["one", "two"][..]), "{text}");
    }
    assert_eq!(p.supervisor(["logs", "#1", "--attempt", "2"]).run().code(0).out(), "one\ntwo\n");
    p.supervisor(["logs", "#1", "--attempt", "3"]).run().code(2).says("attempt 3");
    p.supervisor(["logs", "#3"]).run().code(2);
    p.supervisor(["logs", "out-oen-attempt-2"]).run().code(2).says("did you mean").says(&id);
    let failed = p.run("logs --failed").code(0).out();
    assert!(
        failed.starts_with("=== out-x-") && failed.contains("exit code 4 ===\n--- attempt 1, "),
        "{failed}"
    );
    p.supervisor(["show", "--item", hash]).run().code(0).prints(&id);
}

#[test]
fn a_terminal_that_shows_a_log_obeys_nothing_of_it() {
    let p = Project::with_items("a raw=\\e[2Jred\\x07\\n out=end\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let terminal = Terminal::new(80);
    p.supervisor("logs a").on_terminal(&terminal).env("TERM", "xterm").run().code(0);
    terminal.wait_shown("end");
    assert!(!terminal.shown().contains("\x1b[2J"), "{:?}", terminal.shown());
    assert!(p.run("logs a").code(0).out().contains("\x1b[2J"), "a pipe has every byte");
}

#[test]
fn all_that_was_left_behind_is_counted() {
    let p = Project::with_items("a\n");
    let script = "i=0; while [ $i -lt 120 ]; do sleep 300 & i=$((i+1)); done";
    let run = p.supervisor(["run", "items.txt", "--", "sh", "-c", script]).run();
    run.code(0).says("[a] killed 120 processes left behind: sleep (").says(", and 112 more");
}
