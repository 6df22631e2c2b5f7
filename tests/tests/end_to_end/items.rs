//! Every way to name items, every way in which a list is refused, and the placeholders of a command.

use wf_tests::{Finished, Project, lines};

/// A list that must be refused: exit code 2, nothing written, nothing started.
#[track_caller]
fn refused(list: impl AsRef<[u8]>, options: &str) -> Finished {
    refused_as("items.txt", list, options)
}

#[track_caller]
fn refused_as(name: &str, list: impl AsRef<[u8]>, options: &str) -> Finished {
    let p = Project::new();
    p.write(name, list);
    let run = p.run(&format!("run {name} {options} -- wf-fixture-worker count=starts"));
    run.code(2);
    p.assert_only(&[name]);
    run
}

#[test]
fn a_bad_id_is_refused_with_its_line() {
    for bad in
        ["../../etc/passwd", "a/b", "-rf", "a..b", "a.", "a.lock", "ä", "a:b", "$(x)", &"x".repeat(129)]
    {
        refused(format!("good\n\n# comment\n{bad}\n"), "").says_in_one_line(&["items.txt", "4"]);
    }
}

#[test]
fn lists_of_data_sets_are_taken_as_they_are() {
    let p = Project::new();
    p.write(
        "a.ndjson",
        "{\"id\": \"oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc\", \"prompt\": \"hello\"}\n",
    );
    let run = p.run("run a.ndjson -- wf-fixture-worker args -- {}");
    run.code(0).prints("hello\n").says("1 of 1 objects have no `text`: `prompt` is taken");
    p.write("a.csv", "id,text\n1,\"x, y\"\n2,z\n");
    p.run("run a.csv --limit 1 -- wf-fixture-worker args -- {}").code(0).prints("[1] x, y\n");
    p.write("tasks/7.md", "Do it\n");
    p.run("run tasks -- wf-fixture-worker args -- {id} {}").code(0).prints("Do it");
    p.write("prompt.md", "Solve {{ id }}: {{ text }}");
    p.run("run a.csv --limit 1 --prompt-template prompt.md -- wf-fixture-worker args -- {}")
        .code(0)
        .prints("[1] Solve 1: x, y\n");
    p.write("b.jsonl", "{\"id\": 1, \"goal\": \"win\"}\n");
    p.run("run b.jsonl -- wf-fixture-worker args -- {}").code(2).says("they have: goal");
    p.run("run b.jsonl --text-field goal -- wf-fixture-worker args -- {}").code(0).prints("[1] win\n");
}

#[test]
fn a_list_without_an_end_or_without_a_writer_hangs_nobody() {
    let p = Project::new();
    nix::unistd::mkfifo(&p.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    p.run("run pipe -- true").code(2).says("the list is empty");
    p.run("run /dev/zero -- true").code(2).says("it is a device");
    p.write("issues/2.md", "# Two\n\n<!-- mock: approve@1 -->\n\nValues grow.\n");
    nix::unistd::mkfifo(&p.path("issues/1.md"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", p.path("issues/3.md")).unwrap();
    p.write("items.txt", "1\n2\n3\n");
    p.run("run items.txt --mock --dry-run").code(0).prints("issues/1.md cannot be read: it is a pipe");
    let run = p.run("run items.txt --mock -j3");
    run.code(1)
        .says_in_one_line(&["LLD-1", "FAILED", "pipe"])
        .says_in_one_line(&["LLD-3", "FAILED", "device"]);
    assert_eq!(p.outcome("2"), "approved");
}

#[test]
fn good_ids_are_taken() {
    let longest = "x".repeat(128);
    for good in ["42", "a", "_", "A-b_c", "0-", longest.as_str()] {
        let p = Project::with_items(good);
        p.run("run items.txt -- true").code(0);
    }
}

#[test]
fn an_id_like_a_comment_is_refused_with_a_hint() {
    refused("#42\n", "").says("write 42").says_in_one_line(&["items.txt", "1"]);
    refused("41\n#42 something\n", "").says("write 42").says_in_one_line(&["items.txt", "2"]);
}

#[test]
fn comments_and_blank_lines_are_skipped_also_with_another_systems_line_ends() {
    let p = Project::new();
    p.write("items.txt", "\u{feff}# a comment\r\n\r\n   \r\na first text\r\nb\r\n#\r\n");
    p.run("run items.txt -- wf-fixture-worker count=starts --").code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
}

#[test]
fn a_list_of_sentences_is_pointed_to_lines() {
    refused("Fix, then test: the parser.\n", "").says("--lines");
    refused("a/b/c.txt\n", "").says("--lines");
}

#[test]
fn duplicates_are_refused_also_when_they_differ_in_case_only() {
    refused("a\nb\na\n", "").says_in_one_line(&["items.txt", "3", "a"]);
    refused("Task\nother\ntASK\n", "").says_in_one_line(&["items.txt", "3"]);
}

#[test]
fn invalid_utf_8_is_refused_with_its_line() {
    refused(b"a\nb \xff\xfe\n", "").says_in_one_line(&["items.txt", "2", "UTF-8"]);
    refused(b"a\nb \xff\xfe\n", "--lines").says_in_one_line(&["items.txt", "2", "UTF-8"]);
}

#[test]
fn an_empty_list_is_refused() {
    refused("", "").says("items.txt");
    refused("\n# nothing\n\n", "").says("items.txt");
    refused("\n\n", "--lines").says("items.txt");
}

#[test]
fn nul_is_refused() {
    refused(b"a text with \0 in it\n", "").says_in_one_line(&["items.txt", "1"]);
}

#[test]
fn nothing_is_started_when_the_last_of_many_lines_is_bad() {
    let mut list = lines(500, |n| format!("i{n}\n"));
    list.push_str("../x\n");
    refused(list, "").says_in_one_line(&["items.txt", "501"]);
}

#[test]
fn items_can_be_named_directly() {
    let p = Project::new();
    p.run("run --item b --item a -- wf-fixture-worker count=starts --").code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1"]);
    for bad in ["../x", "-rf", "a b"] {
        p.run(["run", "--item", bad, "--", "true"]).code(2);
    }
    p.run(["run", "--item", "", "--", "true"]).code(2);
    p.run("run --item a --item A -- true").code(2);
}

#[test]
fn items_can_come_from_standard_input() {
    let p = Project::new();
    let run = p.supervisor("run - -j2 -- wf-fixture-worker do={}").input("a out=one\nb out=two\n").run();
    assert_eq!(run.code(0).sorted_out(), ["[a] one", "[b] two"]);
    p.supervisor("run - -- true").input("a/b\n").run().code(2).says_in_one_line(&["1", "a/b"]);
    p.supervisor("run - -- true").input("").run().code(2);
}

#[test]
fn json_lines_give_text_timeout_and_environment() {
    let p = Project::new();
    p.write(
        "items.jsonl",
        r#"{"id": "a", "text": "out=hello env", "env": {"GREETING": "hi there", "EMPTY": ""}}
{"instance_id": "b", "text": "out=b"}

{"custom_id": "c", "text": "hang", "timeout": "1s"}
"#,
    );
    let run = p.run("run items.jsonl -j3 --grace 1s -- wf-fixture-worker do={}");
    run.code(1)
        .prints("[a] hello\n")
        .prints("[a] GREETING=hi there\n")
        .prints("[a] EMPTY=\n")
        .prints("[b] b\n");
    assert_eq!((p.outcome("a"), p.outcome("c")), ("succeeded".to_owned(), "timed-out".to_owned()));
}

#[test]
fn json_lines_are_refused_with_their_line() {
    for (bad, words) in [
        (r#"{"text": "no id"}"#, "id"),
        ("{\"id\": \"x\"", "2"),
        ("[1]", "2"),
        (r#"{"id": "a"}"#, "a"),
        (r#"{"id": "x", "env": {"WF_TOKEN": "1"}}"#, "WF_TOKEN"),
        (r#"{"id": "x", "timeout": "soon"}"#, "timeout"),
        (r#"{"id": "x/y"}"#, "x/y"),
        (r#"{"id": "x", "env": {"A": 1}}"#, "env"),
    ] {
        let list = format!("{{\"id\": \"a\"}}\n{bad}\n");
        refused_as("items.jsonl", list, "").says_in_one_line(&["items.jsonl", "2"]).says(words);
    }
}

#[test]
fn with_lines_every_line_is_a_text_and_ids_stay_when_lines_are_added() {
    let p = Project::new();
    p.write("tasks.txt", "Fix the parser!\n42. Does it work?\n");
    p.run("run tasks.txt --lines -- wf-fixture-worker count=starts args -- {}")
        .code(0)
        .prints("Fix the parser!\n")
        .prints("42. Does it work?\n");
    let before = p.sorted_lines("starts");
    assert_eq!(before.len(), 2);
    assert!(before.iter().any(|line| line.to_lowercase().starts_with("fix-the-parser")), "{before:?}");

    p.write("tasks.txt", "A new one first\nFix the parser!\n42. Does it work?\n");
    p.run("run tasks.txt --lines -- wf-fixture-worker count=starts args -- {}")
        .code(0)
        .says("2 of 3 already done in run ");
    let after = p.sorted_lines("starts");
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|line| after.contains(line)), "{before:?} {after:?}");
}

#[test]
fn with_lines_a_text_that_stands_twice_is_a_duplicate() {
    refused("the same\nanother\nthe same\n", "--lines").says_in_one_line(&["items.txt", "3"]);
}

#[test]
fn with_all_every_input_without_an_output_is_an_item() {
    let p = Project::new();
    for id in ["41", "42", "43"] {
        p.write(&format!("issues/{id}.md"), "# An issue\n");
    }
    p.write("docs/lld/LLD-42.md", "not ours\n");
    p.write("issues/notes.txt", "no input\n");
    let run = p.supervisor("run --all --dry-run").env("GEMINI_API_KEY", "a-key-for-the-dry-run-only").run();
    run.code(0).prints("2 to work on");
    let lines: Vec<String> =
        run.out().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines.contains(&"run 41 issues/41.md -> docs/lld/LLD-41.md".to_owned()), "{run}");
    assert!(lines.contains(&"run 43 issues/43.md -> docs/lld/LLD-43.md".to_owned()), "{run}");
    assert!(!lines.iter().any(|line| line.starts_with("run 42")), "{run}");
}

#[test]
fn with_all_and_nothing_to_do_it_says_so_in_one_line() {
    let p = Project::new();
    p.write("issues/readme.txt", "");
    let run = p.run("run --all --mock");
    run.code(0);
    assert_eq!(run.err().lines().count() + run.out().lines().count(), 1, "{run}");
}

#[test]
fn placeholders_have_the_meanings_of_gnu_parallel() {
    for (template, text, expected) in [
        ("{}", "dir/sub/file.tar.gz", "dir/sub/file.tar.gz"),
        ("{.}", "dir/sub/file.tar.gz", "dir/sub/file.tar"),
        ("{/}", "dir/sub/file.tar.gz", "file.tar.gz"),
        ("{//}", "dir/sub/file.tar.gz", "dir/sub"),
        ("{/.}", "dir/sub/file.tar.gz", "file.tar"),
        ("{//}", "file", "."),
        ("{.}", "dir.d/file", "dir.d/file"),
        ("{#}", "x", "1"),
        ("{%}", "x", "1"),
        ("{id}", "x", "the-id"),
        ("{attempt}", "x", "1"),
        ("a{}b{}c", "x", "axbxc"),
        ("{{}}{x}{ }{", "x", "{x}{x}{ }{"),
    ] {
        let p = Project::with_items(&format!("the-id {text}\n"));
        let run = p.run(["run", "items.txt", "--", "wf-fixture-worker", "args", "--", template]);
        assert_eq!(run.code(0).out(), format!("[the-id] {expected}\n"), "{template} with {text}");
    }
}

#[test]
fn the_run_is_a_placeholder_too() {
    let p = Project::with_items("a\n");
    let run = p.run("run items.txt -- wf-fixture-worker args -- {run}");
    let id = p.run_id();
    assert_eq!(run.code(0).out(), format!("[a] {id}\n"));
}

#[test]
fn position_and_slot_count_from_one() {
    let p = Project::with_items("a\nb\nc\n");
    let run = p.run("run items.txt -- wf-fixture-worker args -- {#}/{%}");
    assert_eq!(run.code(0).out(), "[a] 1/1\n[b] 2/1\n[c] 3/1\n");
}

#[test]
fn without_a_placeholder_the_text_or_the_id_is_the_last_argument() {
    let p = Project::with_items("a some text with  blanks\nb\n");
    let run = p.run("run items.txt -- wf-fixture-worker args -- first");
    assert_eq!(run.code(0).sorted_out(), ["[a] first|some text with  blanks", "[b] first|b"]);
}

#[test]
fn no_shell_is_involved() {
    let p = Project::with_items("a $(touch hacked); `touch hacked` > hacked & *\n");
    let run = p.run("run items.txt -- wf-fixture-worker args -- {}");
    assert_eq!(run.code(0).out(), "[a] $(touch hacked); `touch hacked` > hacked & *\n");
    assert!(!p.has("hacked"));
}

#[test]
fn a_worker_finds_its_item_in_its_environment() {
    let p = Project::with_items("42 the text\n");
    let run = p.run("run items.txt -- wf-fixture-worker env stdin --");
    let id = p.run_id();
    run.code(0);
    for line in [
        "[42] WF_ITEM_ID=42".to_owned(),
        "[42] WF_ITEM_TEXT=the text".to_owned(),
        "[42] WF_ATTEMPT=1".to_owned(),
        format!("[42] WF_RUN_ID={id}"),
        format!("[42] WF_RUN_DIR={}", p.latest().display()),
    ] {
        run.prints(&format!("{line}\n"));
    }
    for name in ["WF_WORKFLOW=", "WF_WORKFLOW_DB=", "WF_SOCKET=", "WF_TOKEN="] {
        run.prints(&format!("[42] {name}"));
    }
    run.prints("[42] stdin /dev/null 0 bytes\n");
}

#[test]
fn a_long_text_is_handed_over_in_a_file() {
    let text = "x".repeat(100 << 10);
    let p = Project::with_items(&format!("a {text}\n"));
    let run = p.run(["run", "items.txt", "--", "sh", "-c", "wc -c < \"$WF_ITEM_TEXT_FILE\"; : {id}"]);
    assert_eq!(run.code(0).out().trim(), format!("[a] {}", 100 << 10));
    p.run("run items.txt -- true {}").code(2).says("WF_ITEM_TEXT_FILE");
}

#[test]
fn missing_inputs_are_listed_at_the_start_and_fail_alone() {
    let p = Project::with_items("41\n42\n43\n");
    p.write("issues/42.md", "# An issue\n\n- The first thing that is to be done here\n");
    let run = p.run("run items.txt --mock -j2");
    run.code(1).says("[LLD-41] FAILED: input issues/41.md not found").says("issues/43.md not found");
    assert_eq!((p.outcome("41"), p.outcome("42")), ("failed".to_owned(), "approved".to_owned()), "{run}");
}

#[test]
fn if_all_inputs_are_missing_nothing_starts() {
    let p = Project::with_items("41\n42\n");
    p.run("run items.txt --mock").code(2).says("issues/41.md").says("issues/42.md");
    p.assert_only(&["items.txt"]);
}

#[test]
fn a_dry_run_spawns_and_writes_nothing() {
    let p = Project::with_items("a count=starts\nb count=starts\n");
    let run = p.run("run items.txt --dry-run -- wf-fixture-worker do={}");
    run.code(0).prints("a").prints("b").prints("2 to work on");
    p.assert_only(&["items.txt"]);
    let json = p.run("run items.txt --dry-run --json -- wf-fixture-worker do={}").code(0).json();
    assert!(json.to_string().contains("\"run\""), "{json}");
    p.assert_only(&["items.txt"]);
}

#[test]
fn a_dry_run_says_what_would_be_skipped_and_why() {
    let p = Project::new();
    p.write("items.txt", "a out=x\nb need=go\n");
    p.run("run items.txt -- wf-fixture-worker do={}").code(1);
    let before = p.listing();
    let run = p.run("run items.txt --dry-run -- wf-fixture-worker do={}");
    let id = p.run_id();
    run.code(0)
        .prints(&format!("done in run {}", &id[id.len() - 4..]))
        .prints("1 to work on")
        .prints("1 done");
    assert_eq!(p.listing(), before);
}
