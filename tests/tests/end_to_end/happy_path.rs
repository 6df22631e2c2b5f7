//! Batches in which nothing goes wrong, and what they leave on the console and on disk.

use std::os::unix::fs::PermissionsExt as _;

use wf_tests::{Project, files_below, lines};

/// Tells every item by its text what to do.
const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn every_item_runs_once_and_its_lines_carry_its_prefix() {
    let p = Project::with_items("a out=one err=two\nb out=three\n");
    let run = p.run(&format!("run items.txt -j2 {DO}"));
    run.code(0).says("[a] two\n");
    assert_eq!(run.sorted_out(), ["[a] one", "[b] three"], "{run}");
    assert_eq!(p.journal().iter().filter(|event| event["event"] == "spawned").count(), 2);
}

#[test]
fn standard_output_has_nothing_but_the_workers_standard_output() {
    let p = Project::with_items("a out=one err=two\n");
    let run = p.run(&format!("run items.txt {DO}"));
    assert_eq!(run.code(0).out(), "[a] one\n");
    for line in ["[COORDINATOR] run ", "[a] two\n", "1 succeeded"] {
        run.says(line);
    }
}

#[test]
fn the_first_line_names_run_items_and_workers() {
    let p = Project::with_items("a\nb\nc\n");
    let run = p.run("run items.txt -j2 -- true");
    let first = run.err().lines().next().unwrap_or_default().to_owned();
    let id = p.run_id();
    assert_eq!(
        first,
        format!("[COORDINATOR] run {id}: 3 items, 2 workers, no time limit (--timeout)"),
        "{run}"
    );
}

#[test]
fn a_run_is_named_after_its_start() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- true").code(0);
    let id = p.run_id();
    // 2026-11-21T05-14-49Z-7f3a
    let shape: String = id.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.starts_with("0000-00-00T00-00-00Z-"), "{id}");
    let ending = &id["2026-11-21T05-14-49Z-".len()..];
    assert!(ending.len() == 4 && ending.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[test]
fn the_log_has_the_exact_bytes_of_the_item() {
    let p = Project::new();
    p.write("items.txt", r"a raw=x\x00\xff\r\e[31mred\n\r\n rawerr=err\n raw=no-end");
    p.run(&format!("run items.txt {DO}")).code(0);
    let log = p.log("a");
    // The two streams stand as they arrived; each keeps its own order.
    let without_err = String::from_utf8_lossy(&log).replace("err\n", "");
    assert_eq!(without_err, String::from_utf8_lossy(b"x\x00\xff\r\x1b[31mred\n\r\nno-end"));
    assert_eq!(log.len(), b"x\x00\xff\r\x1b[31mred\n\r\nno-enderr\n".len());
}

#[test]
fn a_log_has_every_byte_of_a_flood() {
    let p = Project::with_items("a flood=3000000\n");
    let run = p.run(&format!("run items.txt --output none {DO}"));
    assert_eq!(run.code(0).out(), "");
    let log = String::from_utf8(p.log("a")).expect("the flood is text");
    assert_eq!(log.len(), 3_000_000);
    let line = |n: usize| format!("line {n:>10} of a flood that goes on and on and on");
    let in_order = log.lines().enumerate().all(|(n, found)| line(n).starts_with(found));
    assert!(in_order, "lines are missing or out of order");
}

#[test]
fn the_state_directory_has_what_is_promised() {
    let p = Project::with_items("42 out=x\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    for path in [
        ".gitignore",
        "history.db",
        "runs/latest/journal.jsonl",
        "runs/latest/42.log",
        "runs/latest/summary.json",
    ] {
        assert!(p.has(format!(".wf/{path}")), ".wf/{path} is missing among {:?}", p.listing());
    }
    assert!(p.path(".wf/runs/latest").is_symlink());
    assert_eq!(p.read(".wf/.gitignore").trim(), "*");
    assert_eq!(p.path(".wf").metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn nothing_stays_in_the_runtime_and_temporary_directories() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- true").code(0);
    for name in ["XDG_RUNTIME_DIR", "TMPDIR", "HOME"] {
        let dir = p.environment().into_iter().find(|(n, _)| n == name).unwrap().1;
        assert_eq!(files_below(std::path::Path::new(&dir)), Vec::<std::path::PathBuf>::new(), "{name}");
    }
}

#[test]
fn the_summary_names_every_item_with_what_became_of_it() {
    let p = Project::with_items("a out=x\nb exit=7\n");
    let run = p.run(&format!("run items.txt -j2 {DO}"));
    run.code(1);
    for words in [&["a ", "succeeded", "ms"][..], &["b ", "failed", "exit code 7"]] {
        run.says_in_one_line(words);
    }
    // What is nothing but zero is left out, and the logs are named where they lie.
    run.never_says("calls").never_says("tokens").never_says("retries").says("journal and logs in");

    let summary = p.summary();
    assert_eq!(summary["run"], p.latest().file_name().unwrap().to_str().unwrap());
    assert_eq!((&summary["exit"], &summary["parallel"]), (&1.into(), &2.into()));
    assert_eq!(summary["counts"]["succeeded"], 1);
    assert_eq!(summary["counts"]["failed"], 1);
    let items = summary["items"].as_array().unwrap();
    let shown: Vec<_> = items.iter().map(|item| (&item["id"], &item["outcome"], &item["log"])).collect();
    assert_eq!(
        shown,
        [
            (&"a".into(), &"succeeded".into(), &"a.log".into()),
            (&"b".into(), &"failed".into(), &"b.log".into())
        ]
    );
    for field in ["wall_ms", "calls", "retries", "tokens_in", "tokens_out", "attempts"] {
        assert!(items[0][field].is_u64(), "{field} of {}", items[0]);
    }
    for field in ["saved_ms", "waited_ms", "overhead_percent"] {
        assert!(summary[field].is_number(), "{field} of {summary:#}");
    }
}

#[test]
fn the_journal_tells_the_story_in_order_and_every_attempt_has_an_end() {
    let p = Project::with_items("a out=x\nb exit=1\n");
    p.run(&format!("run items.txt -j2 {DO}")).code(1);
    let journal = p.journal();
    let events: Vec<&str> = journal.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!((events[0], events[events.len() - 1]), ("run_started", "run_ended"));
    for item in ["a", "b"] {
        let of_item: Vec<&str> = journal
            .iter()
            .filter(|event| event["item"] == item)
            .filter_map(|event| event["event"].as_str())
            .filter(|event| {
                event.starts_with("attempt_") || event.starts_with("item_") || *event == "spawned"
            })
            .collect();
        assert_eq!(of_item, ["item_planned", "attempt_started", "spawned", "attempt_ended", "item_ended"]);
    }
    let times: Vec<&str> = journal.iter().filter_map(|event| event["ts"].as_str()).collect();
    assert_eq!(times.len(), journal.len());
    assert!(times.is_sorted());
}

#[test]
fn items_run_one_after_the_other_without_parallel() {
    // Each waits for what the one before it leaves.
    let p = Project::with_items("a touch=1\nb need=1 touch=2\nc need=2\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    assert_eq!(p.summary()["parallel"], 1);
}

#[test]
fn as_many_items_run_at_once_as_parallel_says() {
    // They can only end when all three run at the same time.
    let p = Project::with_items("a touch=1 await=3\nb touch=2 await=1\nc touch=3 await=2\n");
    p.run(&format!("run items.txt --parallel 3 {DO}")).code(0);
}

#[test]
fn parallel_without_a_number_means_three() {
    let p = Project::with_items("a\nb\nc\nd\n");
    p.run("run items.txt --parallel -- true").code(0);
    assert_eq!(p.summary()["parallel"], 3);
    let p = Project::with_items("a\nb\nc\nd\n");
    p.run("run items.txt -j -- true").code(0);
    assert_eq!(p.summary()["parallel"], 3);
}

#[test]
fn more_workers_than_the_cap_are_lowered_to_it_with_a_warning() {
    let items = lines(12, |n| format!("i{n}\n"));
    let p = Project::with_items(&items);
    p.run("run items.txt -j 50 -- true").code(0).says_in_one_line(&["50", "10"]);
    assert_eq!(p.summary()["parallel"], 10);

    let p = Project::with_items(&items);
    p.write("wf.toml", "[run]\nmax_parallel = 12\n");
    p.run("run items.txt -j 50 -- true").code(0);
    assert_eq!(p.summary()["parallel"], 12);
}

#[test]
fn a_thousand_items_all_run() {
    let items = lines(1000, |n| format!("item-{n}\n"));
    let p = Project::with_items(&items);
    p.run("run items.txt -j 5 --progress none -- true").code(0);
    assert_eq!(p.summary()["counts"]["succeeded"], 1000);
    let again = p.run("run items.txt -j 5 --progress none -- true");
    again.code(0).says_in_one_line(&["already done in run ", "--redo repeats them"]);
    assert_eq!(p.summary()["counts"]["skipped"], 1000);
}

#[test]
fn workers_run_where_the_supervisor_was_called() {
    let p = Project::with_items("a cwd\n");
    p.write("deep/below/file", "");
    p.write("wf.toml", "");
    let run = p.supervisor(&format!("run ../../items.txt {DO}")).in_dir("deep/below").run();
    assert_eq!(run.code(0).out(), format!("[a] {}\n", p.path("deep/below").display()));
    assert!(p.has(".wf/runs/latest"), "the state is beside wf.toml");
}

#[test]
fn the_state_is_at_the_root_of_the_repository_where_there_is_no_configuration() {
    let p = Project::with_items("a\n");
    p.write(".git/HEAD", "ref: refs/heads/main\n");
    p.write(".git/config", "");
    p.write(".git/objects/x", "");
    p.write(".git/refs/x", "");
    p.write("deep/file", "");
    p.supervisor("run ../items.txt -- true").in_dir("deep").run().code(0);
    assert!(p.has(".wf/runs/latest"), "{:?}", p.listing());
}

#[test]
fn the_state_directory_can_be_named() {
    let p = Project::with_items("a\n");
    p.run("run items.txt --state-dir elsewhere -- true").code(0);
    assert!(p.has("elsewhere/runs/latest/journal.jsonl") && !p.has(".wf"), "{:?}", p.listing());
    p.run("list --state-dir elsewhere").code(0).prints("1 succeeded");
}
