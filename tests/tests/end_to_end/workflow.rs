//! The built-in workflow `lld`, on the embedded mock provider and on one whose counters are read.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wf_tests::mock::MockProvider;
use wf_tests::{Project, Running, lines};

/// Writes an issue that is approved by its `reviews`-th review.
fn issue(p: &Project, id: &str, reviews: u32) {
    let text = format!(
        "# Export reports as CSV, part {id}\n\n<!-- mock: approve@{reviews} -->\n\nPeople copy numbers by hand.\n\n\
         - The report page has a button that downloads a CSV file\n- Columns have the names shown on the page\n\
         - A report without rows gives a file with the header alone\n"
    );
    p.write(&format!("issues/{id}.md"), text);
}

/// A project with an issue per number, each approved by so many reviews, and the list of them.
fn project(reviews: &[u32]) -> Project {
    let p = Project::new();
    for (n, reviews) in (0..).zip(reviews) {
        issue(&p, &number(n), *reviews);
    }
    let count = u32::try_from(reviews.len()).expect("a test has few items");
    p.write("items.txt", lines(count, |n| format!("{}\n", number(n))));
    p
}

/// The id of the n-th issue.
fn number(n: u32) -> String {
    (41 + n).to_string()
}

fn prompts_paid_twice(mock: &MockProvider) -> u64 {
    mock.counters()["duplicates"].as_u64().expect("the mock counts duplicates")
}

fn answered(mock: &MockProvider) -> u64 {
    mock.counters()["total"]["ok"].as_u64().expect("the mock counts answers")
}

/// Waits until the mock has seen so many calls in all.
fn wait_calls(run: &mut Running, mock: &MockProvider, calls: u64) {
    run.wait_for("calls to arrive", |_| {
        (mock.counters()["total"]["calls"].as_u64() >= Some(calls)).then_some(())
    });
}

#[test]
fn designs_are_drafted_reviewed_revised_and_approved() {
    let p = project(&[1, 2, 3]);
    let run = p.run("run items.txt --mock -j3");
    run.code(0)
        .prints("[LLD-41] >>> Executing: N1_draft (iteration 1 of 5)\n")
        .prints("[LLD-42] >>> Executing: N3_review (iteration 2 of 5)\n")
        .prints("[LLD-43] >>> Executing: N1_draft (iteration 3 of 5)\n")
        .says("[COORDINATOR] run ");
    for id in ["41", "42", "43"] {
        assert_eq!(p.outcome(id), "approved");
        let output = p.read(format!(".wf/mock/docs/lld/LLD-{id}.md"));
        for heading in [
            "Context & Goal",
            "Proposed Changes",
            "Requirements",
            "Security & Safety",
            "Verification & Testing",
        ] {
            assert!(output.contains(heading), "{heading} is missing in\n{output}");
        }
    }
    assert!(!p.has("docs"), "a mock run writes beside .wf");
    let items = p.summary()["items"].clone();
    let calls: Vec<_> = (0..3).map(|n| items[n]["calls"].as_u64().unwrap()).collect();
    assert_eq!(calls, [2, 4, 6], "a draft and a review per iteration");
    assert!(items[0]["tokens_in"].as_u64() > Some(0) && items[0]["tokens_out"].as_u64() > Some(0));
}

#[test]
fn the_first_line_names_keys_groups_and_the_most_calls() {
    let p = project(&[1, 1]);
    let run = p.run("run items.txt --mock -j2");
    run.code(0).says_in_one_line(&[
        "[COORDINATOR] run ",
        ": 2 items, 2 workers, ",
        " keys in ",
        " quota groups, at most ",
    ]);
}

#[test]
fn what_a_killed_run_left_of_finished_checkpoints_goes_at_the_next_start() {
    let p = project(&[1, 1]);
    p.write("one.txt", "41\n");
    p.run("run one.txt --mock").code(0);
    // Killed after the item was recorded as done, or after its checkpoint was renamed.
    for left in ["lld_workflow_41.db", "lld_workflow_40.db.done", "lld_workflow_40.db.done-wal"] {
        p.write(&format!(".wf/mock/checkpoints/{left}"), "");
    }
    p.run("run items.txt --mock").code(0).says("LLD-42 approved");
    let left = fs::read_dir(p.path(".wf/mock/checkpoints")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_second_mock_run_skips_and_nothing_of_it_counts_for_a_real_run() {
    let p = project(&[1, 1]);
    p.run("run items.txt --mock -j2").code(0);
    p.run("run items.txt --mock -j2").code(0).says("2 of 2 already done in run ");
    assert_eq!(p.outcome("41"), "skipped");
    let plan =
        p.supervisor("run items.txt --dry-run").env("GEMINI_API_KEY", "a-key-for-the-dry-run-only").run();
    plan.code(0).prints("2 to work on");
}

#[test]
fn lineage_and_audit_keep_every_draft_and_verdict() {
    let p = project(&[2]);
    p.run("run items.txt --mock").code(0);
    let lineage = wf_tests::files_below(&p.path(".wf"))
        .into_iter()
        .filter(|path| path.parent().is_some_and(|dir| dir.ends_with("lineage/lld_41")))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let mut lineage: Vec<String> = lineage.collect();
    lineage.sort();
    assert_eq!(lineage, ["001-input.md", "002-draft.md", "003-verdict.md", "004-draft.md", "005-verdict.md"]);

    let entries = |name: &str| -> Vec<Value> {
        p.read(p.latest().join(name)).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of_item = entries("workflow-audit-41.jsonl");
    assert!(!of_item.is_empty());
    for entry in &of_item {
        assert_eq!(
            (&entry["item"], &entry["workflow"], &entry["attempt"]),
            (&"41".into(), &"lld".into(), &1.into())
        );
        assert!(entry["ts"].is_string() && entry["event"].is_string() && entry["run"].is_string(), "{entry}");
    }
    let verdicts: Vec<_> = of_item.iter().filter_map(|entry| entry["verdict"].as_str()).collect();
    assert!(verdicts.contains(&"revise") && verdicts.contains(&"approved"), "{verdicts:?}");
    assert!(
        of_item.iter().any(|entry| entry["tokens_in"].is_u64() && entry["key"].is_string()),
        "{of_item:#?}"
    );
    let all = entries("audit.jsonl");
    assert_eq!(all.len(), of_item.len());
    assert!(all.iter().map(|entry| entry["ts"].as_str().unwrap()).is_sorted());
}

#[test]
fn the_checkpoint_is_removed_when_the_item_is_done() {
    let p = project(&[1]);
    p.run("run items.txt --mock").code(0);
    let databases: Vec<_> = wf_tests::files_below(&p.path(".wf"))
        .into_iter()
        .filter(|path| path.parent().is_some_and(|dir| dir.ends_with("checkpoints")))
        .collect();
    assert_eq!(databases, Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_real_run_writes_the_outputs_where_they_belong_and_commits_nothing_unasked() {
    let p = project(&[1, 2]);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    p.run("run items.txt -j2").code(0);
    assert!(p.has("docs/lld/LLD-41.md") && p.has("docs/lld/LLD-42.md"));
    assert_eq!(prompts_paid_twice(&mock), 0);
    assert_eq!(p.summary()["totals"]["calls"], answered(&mock), "supervisor and provider agree");
    p.run("run items.txt -j2").code(0).says("2 of 2 already done in run ");
    assert_eq!(answered(&mock), 6);
    mock.stop();
}

#[test]
fn after_ctrl_c_no_reply_is_paid_twice() {
    let p = project(&[2, 2, 2]);
    let mock = MockProvider::start(&p, "--profile instant --latency 50ms");
    mock.configure(&p, 2, "");
    let mut run = p.start("run items.txt -j3");
    wait_calls(&mut run, &mock, 5);
    mock.control(r#"{"hold": true}"#);
    run.signal(Signal::SIGINT);
    let run = run.wait();
    run.code(130).never_says("FAILED");
    mock.control(r#"{"hold": false}"#);
    p.run("run items.txt -j3").code(0);
    assert_eq!(prompts_paid_twice(&mock), 0, "{run}");
    for id in ["41", "42", "43"] {
        assert!(p.has(format!("docs/lld/LLD-{id}.md")));
    }
    mock.stop();
}

#[test]
fn after_a_killed_supervisor_at_most_one_call_per_worker_is_repeated() {
    let p = project(&[2, 2, 2]);
    let mock = MockProvider::start(&p, "--profile instant --latency 50ms");
    mock.configure(&p, 2, "");
    let mut run = p.start("run items.txt -j3");
    wait_calls(&mut run, &mock, 6);
    run.kill_nine();
    p.run("run items.txt -j3").code(0);
    assert!(prompts_paid_twice(&mock) <= 3, "{}", mock.counters());
    for id in ["41", "42", "43"] {
        assert!(p.has(format!("docs/lld/LLD-{id}.md")));
    }
    mock.stop();
}

#[test]
fn a_killed_worker_fails_its_item_which_goes_on_from_its_checkpoint() {
    let p = project(&[3]);
    let mock = MockProvider::start(&p, "--profile instant --latency 50ms");
    mock.configure(&p, 2, "");
    let mut run = p.start("run items.txt");
    wait_calls(&mut run, &mock, 3);
    let worker =
        p.journal().iter().find_map(|event| event["pid"].as_i64().filter(|_| event["event"] == "spawned"));
    kill(Pid::from_raw(i32::try_from(worker.unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    run.wait().code(1).says_in_one_line(&["[LLD-41] FAILED", "SIGKILL"]);
    let before = answered(&mock);
    assert!(before >= 2);
    p.run("run items.txt").code(0);
    assert!(prompts_paid_twice(&mock) <= 1, "{}", mock.counters());
    mock.stop();
}

#[test]
fn without_approval_an_item_needs_revision_keeps_its_draft_and_is_not_paid_again() {
    let p = project(&[1]);
    p.write(
        "issues/42.md",
        "# Something\n\n<!-- mock: never -->\n\n- The first of the things that are to be done\n",
    );
    p.write("items.txt", "41\n42\n");
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "[workflow.lld]\nmax_iterations = 2\n");
    p.run("run items.txt -j2").code(3).says_in_one_line(&["LLD-42", "NEEDS REVISION"]);
    assert!(p.has("docs/lld/LLD-42.draft.md") && !p.has("docs/lld/LLD-42.md"), "{:?}", p.listing());
    let calls = answered(&mock);
    p.run("run items.txt -j2").code(3);
    assert_eq!(p.outcome("42"), "needs-revision");
    assert_eq!(answered(&mock), calls, "it was paid again");
    mock.stop();
}

#[test]
fn an_output_that_is_not_ours_is_never_replaced() {
    let p = project(&[1]);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    p.run("run items.txt").code(0);
    // Somebody edits what was written, and asks for another one.
    let edited = format!("{}\nA line by hand.\n", p.read("docs/lld/LLD-41.md"));
    p.write("docs/lld/LLD-41.md", &edited);
    let run = p.run("run items.txt --redo");
    run.code(0);
    assert!(format!("{}{}", run.out(), run.err()).contains("LLD-41.new.md"), "{run}");
    assert_eq!(p.read("docs/lld/LLD-41.md"), edited);
    assert!(p.has("docs/lld/LLD-41.new.md"), "{:?}", p.listing());
    mock.stop();
}

#[test]
fn a_changed_input_is_run_again() {
    let p = project(&[1]);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    p.run("run items.txt").code(0);
    let first = p.read("docs/lld/LLD-41.md");
    p.write(
        "issues/41.md",
        format!("{}- And one more thing that nobody thought of\n", p.read("issues/41.md")),
    );
    p.run("run items.txt").code(0);
    assert_eq!(p.outcome("41"), "approved");
    assert_ne!(p.read("docs/lld/LLD-41.md"), first, "the output was ours, so it is replaced");
    mock.stop();
}

#[test]
fn a_corrupt_checkpoint_fails_its_item_alone_and_names_redo() {
    let p = project(&[2, 2]);
    let mock = MockProvider::start(&p, "--profile instant --latency 50ms");
    mock.configure(&p, 2, "");
    let mut run = p.start("run items.txt -j2");
    wait_calls(&mut run, &mock, 4);
    mock.control(r#"{"hold": true}"#);
    run.signal(Signal::SIGINT);
    run.wait().code(130);
    mock.control(r#"{"hold": false}"#);
    let broken = b"no database at all ".repeat(600);
    let database = p.path(".wf/checkpoints/lld_workflow_41.db");
    assert!(database.exists(), "{:?}", p.listing());
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/checkpoints/lld_workflow_41.db{suffix}")));
    }
    fs::write(&database, &broken).unwrap();
    let run = p.run("run items.txt -j2");
    run.code(1).says_in_one_line(&["[LLD-41] FAILED", "--redo"]);
    assert_eq!(p.outcome("42"), "approved", "{run}");
    assert_eq!(fs::read(&database).unwrap(), broken, "it is kept");
    p.run("run items.txt -j2 --redo").code(0);
    mock.stop();
}

#[test]
fn inputs_that_are_empty_no_text_or_too_big_fail_without_a_call() {
    let p = project(&[1]);
    p.write("issues/empty.md", " \n\n");
    p.write("issues/bytes.md", b"# Title\n\xff\xfe\n");
    p.write("issues/big.md", "# Title\n".repeat(200_000));
    p.write("items.txt", "41\nempty\nbytes\nbig\n");
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    let run = p.run("run items.txt -j4");
    run.code(1);
    for id in ["empty", "bytes", "big"] {
        assert_eq!(p.outcome(id), "failed", "{run}");
        run.says(&format!("[LLD-{id}] FAILED"));
    }
    assert_eq!(p.outcome("41"), "approved");
    assert_eq!(answered(&mock), 2);
    mock.stop();
}

#[test]
fn a_storm_of_429s_with_two_keys_and_five_workers_fails_nothing() {
    let p = project(&[1, 2, 1, 2, 1]);
    let mock = MockProvider::start(&p, "--profile storm --keys 2 --groups 2 --time-scale 20");
    mock.configure(&p, 2, "");
    let run = p.run("run items.txt -j5");
    run.code(0);
    let counters = mock.counters();
    assert!(counters["total"]["limited"].as_u64() > Some(0), "it was no storm: {counters}");
    assert_eq!(prompts_paid_twice(&mock), 0);
    for (n, id) in ["41", "42", "43", "44", "45"].iter().enumerate() {
        assert_eq!(p.outcome(id), "approved", "{n}: {run}");
    }
    mock.stop();
}

#[test]
fn the_embedded_mock_storms_too() {
    let p = project(&[1, 1, 2, 1, 2]);
    p.run("run items.txt --mock --mock-profile storm -j5").code(0);
    assert_eq!(p.summary()["counts"]["approved"], 5);
}

#[test]
fn an_unknown_weather_changes_no_outcome() {
    for profile in ["flaky", "instant"] {
        let p = project(&[1, 2]);
        p.run(&format!("run items.txt --mock --mock-profile {profile} -j2")).code(0);
    }
}

#[test]
fn when_every_key_is_revoked_the_run_is_unfinished_and_goes_on_with_good_keys() {
    let p = project(&[1, 1]);
    let mock = MockProvider::start(&p, "--profile instant --keys 2 --revoke mock-a --revoke mock-b");
    mock.configure(&p, 2, "");
    let run = p.run("run items.txt -j2");
    run.code(75).says_in_one_line(&["[COORDINATOR] No usable key left", "mock-a", "mock-b"]);
    assert_eq!(p.summary()["counts"]["failed"], 0, "{run}");
    mock.control(r#"{"restore": ["mock-a", "mock-b"]}"#);
    p.run("run items.txt -j2").code(0);
    mock.stop();
}

#[test]
fn one_revoked_key_of_two_loses_nothing() {
    let p = project(&[1, 2, 1]);
    let mock = MockProvider::start(&p, "--profile instant --keys 2 --groups 2 --revoke mock-a");
    mock.configure(&p, 2, "");
    p.run("run items.txt -j3").code(0).says("mock-a");
    let counters = mock.counters();
    assert!(counters["keys"]["mock-a"]["refused"].as_u64() <= Some(2), "{counters}");
    mock.stop();
}

#[test]
fn quota_that_is_used_up_interrupts_what_cannot_wait() {
    let p = project(&[1, 1]);
    let mock = MockProvider::start(&p, "--profile instant --keys 2 --groups 1 --exhaust-day mock-1");
    mock.configure(&p, 2, "");
    let run = p.run("run items.txt -j2 --max-wait 1s");
    run.code(75);
    assert_eq!(p.summary()["counts"]["interrupted"], 2, "{run}");
    mock.stop();
}

#[test]
fn the_run_timeout_interrupts_workflows_with_their_state_saved() {
    let p = project(&[2]);
    let mock = MockProvider::start(&p, "--profile instant --latency 100ms");
    mock.configure(&p, 2, "");
    mock.control(r#"{"hold": true}"#);
    p.run("run items.txt --run-timeout 2s").code(124);
    assert_eq!(p.outcome("41"), "interrupted");
    mock.control(r#"{"hold": false}"#);
    p.run("run items.txt").code(0);
    mock.stop();
}

/// Runs git in the project.
#[track_caller]
fn git(p: &Project, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command.current_dir(p.dir()).env_clear().envs(p.environment()).args(arguments);
    let output = command.output().expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_output_is_committed_when_that_is_asked_for_and_gits_words_are_prefixed() {
    let p = project(&[1, 1, 1]);
    git(&p, &["init", "--quiet"]);
    git(&p, &["config", "user.name", "Test"]);
    git(&p, &["config", "user.email", "test@localhost"]);
    p.write(".gitignore", "items.txt\nissues/\nwf.toml\n");
    git(&p, &["add", ".gitignore"]);
    git(&p, &["commit", "--quiet", "--message", "Begin"]);
    p.write("unrelated.txt", "staged by somebody\n");
    git(&p, &["add", "unrelated.txt"]);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "[workflow.lld]\ncommit = true\n");
    let run = p.run("run items.txt -j3");
    run.code(0);
    let files = git(&p, &["log", "--name-only", "--pretty=format:", "HEAD~3..HEAD"]);
    let mut files: Vec<&str> = files.split_whitespace().collect();
    files.sort_unstable();
    assert_eq!(files, ["docs/lld/LLD-41.md", "docs/lld/LLD-42.md", "docs/lld/LLD-43.md"]);
    assert_eq!(
        git(&p, &["diff", "--cached", "--name-only"]),
        "unrelated.txt\n",
        "what others staged stays staged"
    );
    for line in run.out().lines() {
        assert!(line.starts_with("[LLD-"), "{line}");
    }
    mock.stop();
}

#[test]
fn a_provider_that_cannot_be_reached_interrupts_and_fails_nothing() {
    // An address at which nobody is at home.
    let p = project(&[1]);
    let secret = p.key_file("a-key-for-nobody-0123456789");
    p.write(
        "wf.toml",
        format!(
            "[providers.gemini]\nbase_url = \"http://127.0.0.1:1\"\n[[keys]]\nname = \"k\"\nprovider = \"gemini\"\n\
             secret = {secret}\n"
        ),
    );
    let run = p.run("run items.txt");
    run.code(75);
    assert_eq!(p.outcome("41"), "interrupted", "{run}");
}

#[test]
fn leftovers_of_a_killed_worker_go_at_the_next_start() {
    let p = project(&[1]);
    let mock = MockProvider::start(&p, "--profile instant --latency 50ms");
    mock.configure(&p, 2, "");
    let mut run = p.start("run items.txt");
    wait_calls(&mut run, &mock, 1);
    run.kill_nine();
    p.run("run items.txt").code(0);
    let names: Vec<_> =
        Path::read_dir(&p.path("docs/lld")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["LLD-41.md"], "only whole outputs");
    mock.stop();
}

#[test]
fn an_id_that_begins_with_the_prefix_is_not_given_it_twice() {
    let p = Project::new();
    issue(&p, "LLD-7", 1);
    let run = p.run("run --item LLD-7 --mock");
    run.code(0).prints("[LLD-7] >>> Executing: N1_draft");
    assert!(!run.out().contains("[LLD-LLD"), "{run}");
    assert!(p.has(".wf/runs/latest/LLD-7.log"));
}

#[test]
fn all_takes_what_has_no_output_yet_and_says_in_one_line_when_there_is_none() {
    let p = project(&[1, 2]);
    p.run("run --all --mock -j2").code(0);
    assert_eq!(p.summary()["counts"]["approved"], 2);
    issue(&p, "50", 1);
    p.run("run --all --mock").code(0);
    assert_eq!(p.outcome("50"), "approved");
    let run = p.run("run --all --mock");
    run.code(0);
    assert_eq!(run.err().lines().count() + run.out().lines().count(), 1, "{run}");
}

#[test]
fn keys_are_checked_with_one_harmless_request_each() {
    let p = Project::new();
    let mock = MockProvider::start(&p, "--profile instant --keys 3 --revoke mock-b");
    mock.configure(&p, 3, "");
    let run = p.run("keys --check --json");
    run.code(1);
    let text = run.out();
    assert!(text.contains("mock-a") && text.contains("mock-b"), "{run}");
    for (_, secret, _) in &mock.keys {
        run.never_says(secret);
    }
    let counters = mock.counters();
    assert_eq!(counters["key_checks"], 3, "{counters}");
    assert_eq!(counters["total"]["ok"], 0, "a check costs nothing: {counters}");
    mock.stop();
}

#[test]
fn no_key_of_a_real_run_is_in_any_file() {
    let p = project(&[2]);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    let run = p.supervisor("run items.txt -vv").env("WF_LOG", "trace").run();
    run.code(0);
    for (_, secret, _) in &mock.keys {
        run.never_says(secret);
        p.assert_nowhere_in_state(secret.as_bytes());
    }
    mock.stop();
}

#[test]
fn the_issue_workflow_drafts_issues_from_briefs() {
    let p = Project::new();
    p.write(
        "briefs/17.md",
        "# Export as CSV\n\n<!-- mock: approve@1 -->\n\n- A button that downloads the table as a file\n",
    );
    let run = p.run("run --item 17 -w issue --mock");
    run.code(0).prints("[ISSUE-17] >>> Executing: N1_draft (iteration 1 of 5)\n");
    let output = p.read(".wf/mock/issues/17.md");
    for heading in ["User Story", "Acceptance Criteria", "Definition of Done"] {
        assert!(output.contains(heading), "{heading} is missing in\n{output}");
    }
}
