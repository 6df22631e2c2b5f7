//! Wrong usage: refused with exit code 2 before anything starts, and with nothing written.

use wf_tests::{Finished, Project};

/// Runs it and checks that it was refused and left no trace beside the files that were there.
#[track_caller]
fn refused(p: &Project, words: &str) -> Finished {
    let before = p.listing();
    let run = p.run(words);
    run.code(2);
    assert_eq!(p.listing(), before, "something was written\n{run}");
    assert_eq!(run.out(), "", "a refusal belongs to standard error");
    run
}

#[test]
fn parallel_takes_no_zero_no_negative_number_and_no_word() {
    let p = Project::with_items("a\n");
    for bad in ["0", "-1", "three", "1.5"] {
        refused(&p, &format!("run items.txt --parallel {bad} -- true")).says("--parallel");
        refused(&p, &format!("run items.txt --parallel={bad} -- true")).says("--parallel");
        refused(&p, &format!("run items.txt -j {bad} -- true"));
        refused(&p, &format!("run items.txt -j{bad} -- true"));
    }
}

#[test]
fn parallel_before_the_items_file_is_told_how_to_write_it() {
    let p = Project::with_items("a\n");
    refused(&p, "run --parallel items.txt -- true").says("write --parallel=3 items.txt");
    refused(&p, "run -j items.txt -- true").says("=3 items.txt");
}

#[test]
fn an_empty_command_is_an_error() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --").says("empty");
    let run = p.run(["run", "items.txt", "--", ""]);
    run.code(2);
    p.assert_only(&["items.txt"]);
}

#[test]
fn items_come_from_one_place_only() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --item b -- true").says_in_one_line(&["ITEMS", "--item"]);
    refused(&p, "run items.txt --all").says_in_one_line(&["ITEMS", "--all"]);
    refused(&p, "run --item a --all").says_in_one_line(&["--item", "--all"]);
}

#[test]
fn items_have_to_come_from_somewhere() {
    let p = Project::new();
    refused(&p, "run -- true").says("ITEMS");
}

#[test]
fn a_workflow_and_a_command_exclude_each_other() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --workflow lld -- true").says("--workflow");
}

#[test]
fn an_unknown_workflow_is_refused_with_the_known_ones() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt -w design").says("lld").says("implement");
}

#[test]
fn an_items_file_that_is_not_there_is_named() {
    refused(&Project::new(), "run nowhere.txt -- true").says("nowhere.txt");
}

#[test]
fn an_unknown_option_is_refused_with_the_nearest_one() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --max-fails 3 -- true").says("--max-fail");
}

#[test]
fn durations_need_a_unit() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --timeout 30 -- true").says("--timeout").says("30s");
    refused(&p, "run items.txt --grace soon -- true").says("--grace");
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused_with_a_suggestion() {
    let p = Project::with_items("a\n");
    p.write("wf.toml", "[run]\nparalel = 3\n");
    refused(&p, "run items.txt -- true").says_in_one_line(&["wf.toml", "2", "paralel", "parallel"]);
}

#[test]
fn a_broken_configuration_names_file_and_line() {
    let p = Project::with_items("a\n");
    p.write("wf.toml", "[run]\nparallel = = 3\n");
    refused(&p, "run items.txt -- true").says("wf.toml:2");
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_not_repeated() {
    let p = Project::with_items("a\n");
    p.write(
        "wf.toml",
        "[[keys]]\nname = \"k\"\nprovider = \"gemini\"\nsecret = \"AIzaSyD-1234567890abcdefghijklmnopqrs\"\n",
    );
    let run = refused(&p, "run items.txt -- true");
    run.says("wf.toml").says("env").never_says("AIzaSyD");
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let p = Project::with_items("a\n");
    let file = p.write("gemini.key", "secret-of-the-file-0123456789\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    p.write("wf.toml", "[[keys]]\nname = \"k\"\nprovider = \"gemini\"\nsecret = { file = \"gemini.key\" }\n");
    let run = refused(&p, "run items.txt -- true");
    run.says("gemini.key").says("600").never_says("secret-of-the-file");
}

#[test]
fn a_workflow_without_a_key_names_the_variables_the_configuration_and_the_mock() {
    let p = Project::with_items("42\n");
    p.write("issues/42.md", "# An issue\n");
    let run = refused(&p, "run items.txt");
    for words in ["GEMINI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "wf.toml", "--mock"] {
        run.says(words);
    }
}

#[test]
fn with_key_needs_a_key_of_that_provider() {
    let p = Project::with_items("a\n");
    refused(&p, "run items.txt --with-key gemini -- true").says("GEMINI_API_KEY");
    let run = p
        .supervisor("run items.txt --with-key gemini -- true")
        .env("OPENAI_API_KEY", "another-key-0123456789")
        .run();
    run.code(2).says("gemini");
    p.assert_only(&["items.txt"]);
}

#[test]
fn an_unknown_mock_profile_is_refused_with_the_known_ones() {
    let p = Project::with_items("42\n");
    p.write("issues/42.md", "# An issue\n");
    refused(&p, "run items.txt --mock --mock-profile sunny").says("storm").says("steady");
}

#[test]
fn every_verb_has_help_and_there_is_a_version() {
    let p = Project::new();
    for verb in [
        "run",
        "init",
        "list",
        "show",
        "logs",
        "keys",
        "workflows",
        "review-verdict",
        "clean",
        "completions",
        "man",
    ] {
        p.run(&format!("{verb} --help")).code(0).prints("Usage:");
    }
    p.run("--version").code(0).prints("wf-supervisor");
    p.run("run --help").prints("30m for workflows, off for commands]").prints("Examples:");
    p.assert_only(&[]);
}

#[test]
fn an_unknown_verb_is_wrong_usage() {
    let p = Project::new();
    p.run("walk").code(2).says("walk");
    p.run("").code(2);
    p.assert_only(&[]);
}

#[test]
fn a_command_that_is_not_there_is_refused_before_anything_starts() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- nonesuch {}").code(2).says("command not found: nonesuch");
    p.run("run items.txt -- ./items.txt").code(2).says("not executable");
    p.run(["run", "items.txt", "--", "./agent {} | tee x"])
        .code(2)
        .says("command not found")
        .says("sh -c './agent {} | tee x'");
    p.assert_only(&["items.txt"]);
    // What is filled in is known only then.
    p.run("run items.txt -- ./{}").code(1).says("[a] FAILED");
}
