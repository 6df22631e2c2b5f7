//! The commands beside `run`, on what runs left behind and on what is still running.

use wf_tests::Project;

const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn without_a_run_there_is_nothing_to_show_and_nothing_is_written() {
    let p = Project::new();
    p.run("list").code(0);
    assert_eq!(p.run("list --json").code(0).json(), serde_json::json!([]));
    p.run("show").code(2).says("no run");
    p.run("logs 42").code(2);
    p.run("clean").code(0);
    p.assert_only(&[]);
}

#[test]
fn runs_are_listed_newest_first_with_counts_overhead_and_state() {
    let p = Project::with_items("a out=x\nb need=mended\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    let first = p.short_run_id();
    p.write("mended", "");
    p.run(&format!("run items.txt {DO}")).code(0);
    let second = p.short_run_id();
    let list = p.run("list").code(0).out();
    let position = |words: &str| list.find(words).unwrap_or_else(|| panic!("no {words} in\n{list}"));
    assert!(position(&second) < position(&first), "{list}");
    assert!(list.contains('%') && list.contains("1 failed") && list.contains("1 skipped"), "{list}");

    let json = p.run("list --json").code(0).json();
    let runs = json.as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["counts"]["skipped"], 1);
    assert_eq!((&runs[1]["counts"]["failed"], &runs[1]["exit"]), (&1.into(), &1.into()));
    for field in ["run", "started", "ended", "state", "workflow"] {
        assert!(runs[0][field].is_string(), "{field} of {:#}", runs[0]);
    }
    assert!(runs[0]["overhead_percent"].is_number());
}

#[test]
fn a_run_is_shown_by_its_id_its_end_or_as_the_latest() {
    let p = Project::with_items("a out=x\nb exit=4\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    let id = p.run_id();
    for words in ["show".to_owned(), format!("show {id}"), format!("show {}", p.short_run_id())] {
        p.run(&words)
            .code(0)
            .prints(&id)
            .prints("succeeded")
            .prints("exit code 4")
            .prints("wf-fixture-worker")
            .prints("journal and logs in");
    }
    let json = p.run("show --json").code(0).json();
    assert_eq!(json, p.summary());
    p.run("show ffff-not-there").code(2).says("ffff-not-there");
}

#[test]
fn the_story_of_an_item_is_shown() {
    let p = Project::with_items("a attempt=2 out=x\n");
    p.run(&format!("run items.txt --item-retries 1 {DO}")).code(0);
    p.run("show --item a").code(0).prints("attempt 1").prints("attempt 2").prints("succeeded");
    let json = p.run("show --item a --json").code(0).json();
    assert!(json.to_string().contains("succeeded"), "{json:#}");
    p.run("show --item nobody").code(2).says("nobody");
}

#[test]
fn a_run_is_shown_while_it_runs() {
    let p = Project::with_items("a out=x\nb touch=up await=go\nc out=x\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    let json = p.run("show --json").code(0).json();
    assert_eq!(json["state"], "running", "{json:#}");
    let item = |n: usize| json["items"][n].clone();
    assert_eq!(
        (&item(0)["outcome"], &item(1)["state"]),
        (&"succeeded".into(), &"running".into()),
        "{json:#}"
    );
    assert!(item(2)["outcome"].is_null());
    p.run("show").code(0).prints("running");
    assert_eq!(p.run("list --json").code(0).json()[0]["state"], "running");
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn an_items_log_is_printed_as_it_is() {
    let p = Project::with_items(r"a raw=one\xff\ntwo rawerr=err\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let run = p.run("logs a");
    assert_eq!(run.code(0).stdout, p.log("a"));
    p.run(&format!("logs a --run {}", p.short_run_id())).code(0).prints("two");
    p.run("logs nobody").code(2).says("nobody");
}

#[test]
fn logs_follow_an_item_until_it_has_ended() {
    let p = Project::with_items("a out=one touch=up await=go out=two\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    let mut logs = p.start("logs a -f");
    logs.wait_out("one\n");
    p.write("go", "");
    logs.wait_out("two\n");
    assert_eq!(logs.wait().code(0).out(), "one\ntwo\n");
    run.wait().code(0);
}

#[test]
fn the_latest_log_of_an_item_is_found_in_older_runs() {
    let p = Project::with_items("a out=of-a\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    p.write("items.txt", "b out=of-b\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    assert_eq!(p.run("logs a").code(0).out(), "of-a\n");
}

#[test]
fn clean_deletes_old_runs_and_never_what_marks_items_as_done() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    for n in 0..3 {
        p.write("items.txt", format!("b{n} count=starts\n"));
        p.run(&format!("run items.txt {DO}")).code(0);
    }
    assert_eq!(p.runs().len(), 4);
    let last = p.latest();
    p.run("clean --keep 1 --dry-run").code(0);
    assert_eq!(p.runs().len(), 4, "a dry run deletes nothing");
    p.run("clean --older-than 1h").code(0);
    assert_eq!(p.runs().len(), 4, "none is that old");
    p.run("clean --keep 1").code(0);
    assert_eq!(p.runs(), std::slice::from_ref(&last));
    assert_eq!(p.latest(), last);
    p.write("items.txt", "a count=starts\nb1 count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0).says("2 of 2 already done");
    assert_eq!(p.sorted_lines("starts").len(), 4);
}

#[test]
fn clean_leaves_a_run_that_still_runs() {
    let p = Project::with_items("a touch=up await=go\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    p.run("clean --keep 0").code(0);
    assert_eq!(p.runs().len(), 1);
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_never_replaces_one() {
    let p = Project::new();
    p.run("init").code(0);
    let text = p.read("wf.toml");
    assert!(text.contains('#') && text.contains("[run]"), "{text}");
    p.write("items.txt", "a\n");
    p.run("run items.txt -- true").code(0);
    p.write("wf.toml", "# mine\n");
    p.run("init").code(2).says("wf.toml");
    assert_eq!(p.read("wf.toml"), "# mine\n");
}

#[test]
fn workflows_are_described_with_nodes_inputs_outputs_and_models() {
    let p = Project::new();
    let run = p.run("workflows");
    run.code(0);
    for words in
        ["issue", "lld", "implement", "N1_draft", "N3_review", "issues/{id}.md", "docs/lld/LLD-{id}.md"]
    {
        run.prints(words);
    }
}

#[test]
fn verdicts_of_review_documents_are_told() {
    let p = Project::new();
    p.write(
        "good.md",
        "## Tier 1\nNo issues found\n\n## Verdict\n[x] **APPROVED** - Ready\n[ ] **REVISE** - Fix\n",
    );
    p.write("bad.md", "## Verdict\n[ ] **APPROVED** - Ready\n[x] **REVISE** - Fix\n");
    p.write("none.md", "nothing is said\n");
    p.run("review-verdict good.md").code(0).prints("approved");
    p.run("review-verdict good.md bad.md").code(1).prints("revise");
    p.run("review-verdict none.md").code(1).prints("unparseable");
    p.run("review-verdict good.md nowhere.md").code(2);
    let json = p.run("review-verdict --json good.md bad.md").code(1).json();
    assert_eq!(
        (&json[0]["verdict"], &json[1]["verdict"]),
        (&"approved".into(), &"revise".into()),
        "{json:#}"
    );
    for field in ["file", "verdict", "form", "blocking", "high", "suggestions", "contradiction"] {
        assert!(json[0].get(field).is_some(), "{field} in {json:#}");
    }
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    let p = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        p.run(&format!("completions {shell}")).code(0).prints("wf-supervisor");
    }
    p.run("man").code(0).prints(".TH");
}

#[test]
fn a_pool_without_keys_is_said() {
    let p = Project::new();
    assert_eq!(p.run("keys --json").code(0).json(), serde_json::json!([]));
}
