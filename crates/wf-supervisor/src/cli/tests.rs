//! What the command line takes, and what it refuses.

#![expect(clippy::format_collect, reason = "tables of a few lines")]

use super::value::{Limit, WorkflowName};
use super::*;

fn parse_words(words: &[&str]) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> =
        std::iter::once("wf-supervisor").chain(words.iter().copied()).map(OsString::from).collect();
    parse(&args)
}

fn run(words: &[&str]) -> RunArgs {
    let cli = parse_words(&[&["run"], words].concat()).unwrap_or_else(|e| panic!("{words:?}: {e}"));
    match cli.verb {
        Verb::Run(run) => *run,
        other => panic!("{other:?}"),
    }
}

/// The first line of the error, which must be one of usage.
fn refusal(words: &[&str]) -> String {
    let error =
        parse_words(&[&["run"], words].concat()).err().unwrap_or_else(|| panic!("{words:?} was taken"));
    assert_eq!(error.exit_code(), 2, "{words:?}");
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
}

#[test]
fn forms_of_parallel() {
    for (words, expected) in [
        (&["items.txt"][..], None),
        (&["items.txt", "--parallel"], Some(3)),
        (&["items.txt", "-j"], Some(3)),
        (&["--parallel", "5", "items.txt"], Some(5)),
        (&["-j5", "items.txt"], Some(5)),
        (&["-j", "5", "items.txt"], Some(5)),
        (&["-j=5", "items.txt"], Some(5)),
        (&["--parallel=3", "items.txt"], Some(3)),
        (&["items.txt", "-j", "--redo"], Some(3)),
        (&["items.txt", "-j", "--", "true"], Some(3)),
        (&["items.txt", "-j", "4", "-j", "6"], Some(6)),
        (&["-j", "100000", "items.txt"], Some(u16::MAX)),
    ] {
        let args = run(words);
        assert_eq!(args.parallel, expected, "{words:?}");
        assert_eq!(args.items, Some(PathBuf::from("items.txt")), "{words:?}");
    }
}

#[test]
fn what_run_refuses() {
    let table = [
        &["--parallel", "items.txt"][..],
        &["-j", "items.txt"],
        &["items.txt", "-j0"],
        &["items.txt", "-j", "-1"],
        &["items.txt", "--parallel=-1"],
        &["items.txt", "-j", "1.5"],
        &["items.txt", "--parallel=many"],
        &["items.txt", "--parallel="],
        &[],
        &["items.txt", "--item", "42"],
        &["items.txt", "--all"],
        &["--item", "42", "--all"],
        &["--item", "42", "--lines"],
        &["items.txt", "--"],
        &["items.txt", "--", ""],
        &["items.txt", "-w", "lld", "--", "true"],
        &["--all", "--", "true"],
        &["items.txt", "-w", "nonsense"],
        &["items.txt", "--json"],
        &["items.txt", "--with-key", "gemini"],
        &["items.txt", "--timeout", "30"],
        &["items.txt", "--max-fail", "0"],
        &["items.txt", "--max-retries", "0"],
        &["items.txt", "--budget-tokens", "-5"],
        &["items.txt", "--output", "loud"],
        &["items.txt", "--pass-env", "A=B"],
        &["items.txt", "more.txt"],
        &["items.txt", "-v", "-q"],
        &["items.txt", "--paralel", "3"],
    ];
    let shown: String =
        table.iter().map(|words| format!("{}\n    {}\n", words.join(" "), refusal(words))).collect();
    insta::assert_snapshot!(shown, @r#"
    --parallel items.txt
        error: invalid value 'items.txt' for '--parallel [<N>]': not a number of workers: write --parallel=3 items.txt
    -j items.txt
        error: invalid value 'items.txt' for '--parallel [<N>]': not a number of workers: write --parallel=3 items.txt
    items.txt -j0
        error: invalid value '0' for '--parallel [<N>]': at least 1 worker is needed (-j 100% is one for each processor)
    items.txt -j -1
        error: invalid value '-1' for '--parallel [<N>]': workers are counted in whole numbers from 1
    items.txt --parallel=-1
        error: invalid value '-1' for '--parallel [<N>]': workers are counted in whole numbers from 1
    items.txt -j 1.5
        error: invalid value '1.5' for '--parallel [<N>]': workers are counted in whole numbers from 1
    items.txt --parallel=many
        error: invalid value 'many' for '--parallel [<N>]': not a number of workers: write --parallel=3 many
    items.txt --parallel=
        error: invalid value '' for '--parallel [<N>]': a number is missing

        error: name the items: a file, '-' for standard input, --item ID, or --all for every input without output
    items.txt --item 42
        error: ITEMS and --item exclude each other: use one of them
    items.txt --all
        error: ITEMS and --all exclude each other: use one of them
    --item 42 --all
        error: --item and --all exclude each other: use one of them
    --item 42 --lines
        error: --lines says how to read ITEMS; it means nothing together with --item
    items.txt --
        error: the command after '--' is empty
    items.txt -- 
        error: the command after '--' is empty
    items.txt -w lld -- true
        error: --workflow and a command after '--' exclude each other: use one of them
    --all -- true
        error: --all takes the inputs of a workflow; for a command name the items in a file or with --item
    items.txt -w nonsense
        error: invalid value 'nonsense' for '--workflow <NAME>'
    items.txt --json
        error: the following required arguments were not provided:
    items.txt --with-key gemini
        error: --with-key is for commands: the built-in workflows ask for a key before each call
    items.txt --timeout 30
        error: invalid value '30' for '--timeout <DUR>': 30 has no unit: write 30s, 30m or 30h
    items.txt --max-fail 0
        error: invalid value '0' for '--max-fail <N>': at least 1 is needed
    items.txt --max-retries 0
        error: invalid value '0' for '--max-retries <N>': at least 1 is needed
    items.txt --budget-tokens -5
        error: invalid value '-5' for '--budget-tokens <N>': "-5" is not a whole number
    items.txt --output loud
        error: invalid value 'loud' for '--output <MODE>'
    items.txt --pass-env A=B
        error: invalid value 'A=B' for '--pass-env <NAME>': this is not the name of an environment variable
    items.txt more.txt
        error: 'more.txt' is one word too many: ITEMS is one file (cat A B | wf-supervisor run - ...), and a command stands after --, as in: wf-supervisor run ITEMS -- COMMAND {}
    items.txt -v -q
        error: the argument '--verbose...' cannot be used with '--quiet'
    items.txt --paralel 3
        error: unexpected argument '--paralel' found
    "#);
}

#[test]
fn the_command_keeps_its_own_options() {
    let args = run(&["-", "-j", "2", "--", "agent", "-w", "x", "--", "{}", "--all"]);
    assert_eq!(args.command, ["agent", "-w", "x", "--", "{}", "--all"].map(OsString::from));
    assert_eq!(args.items, Some(PathBuf::from("-")));
    assert!(!args.all && args.workflow.is_none());
}

#[cfg(unix)]
#[test]
fn arguments_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = OsString::from_vec(vec![b'a', 0xff]);
    let args: Vec<OsString> = ["wf-supervisor", "run"]
        .map(OsString::from)
        .into_iter()
        .chain([odd.clone(), "--".into(), "cat".into(), odd.clone()])
        .collect();
    let Verb::Run(run) = parse(&args).unwrap().verb else { panic!() };
    assert_eq!(run.items, Some(PathBuf::from(&odd)));
    assert_eq!(run.command, [OsString::from("cat"), odd]);
}

#[test]
fn every_option_of_run_is_read() {
    let args = run(&[
        "--item",
        "42",
        "--item",
        "-x",
        "-w",
        "issue",
        "--timeout",
        "1h30m",
        "--idle-timeout",
        "off",
        "--run-timeout",
        "2h",
        "--max-wait",
        "0s",
        "--grace",
        "500ms",
        "--max-retries",
        "2",
        "--item-retries",
        "1",
        "--tempfail",
        "75,69",
        "--max-fail",
        "3",
        "--budget-tokens",
        "1_000_000",
        "--redo",
        "--output",
        "grouped",
        "--progress",
        "none",
        "--joblog",
        "jobs.tsv",
        "--pass-env",
        "A",
        "--pass-env",
        "B",
        "--mock",
        "--mock-profile",
        "storm",
        "--dry-run",
        "--json",
    ]);
    // A bad id is the items' affair, where the message can say more than clap's.
    assert_eq!(args.named, ["42", "-x"]);
    assert_eq!(args.workflow, Some(WorkflowName::Issue));
    assert_eq!(args.timeout, Some(Limit::At(Duration::from_secs(5400))));
    assert_eq!(args.idle_timeout, Some(Limit::Off));
    assert_eq!(args.max_wait, Some(Duration::ZERO));
    assert_eq!(args.grace, Some(Duration::from_millis(500)));
    assert_eq!(args.max_fail, Some(Limit::At(3)));
    assert_eq!(args.budget_tokens, Some(Limit::At(1_000_000)));
    assert_eq!(args.pass_env, ["A", "B"]);
    assert!(args.mock && args.dry_run && args.json);
    assert_eq!(args.redo, Some(value::Redo::On));
}

#[test]
fn global_options_stand_before_or_after_the_verb() {
    for words in [
        &["--config", "x.toml", "--state-dir", "s", "--color", "never", "-vv", "list"][..],
        &["list", "--config", "x.toml", "--state-dir", "s", "--color", "never", "-vv"],
    ] {
        let global = parse_words(words).unwrap().global;
        assert_eq!(global.config, Some(PathBuf::from("x.toml")));
        assert_eq!(global.state_dir, Some(PathBuf::from("s")));
        assert_eq!((global.verbose, global.color), (2, Some(ColorMode::Never)));
    }
}

#[test]
fn the_other_verbs() {
    for words in [
        &["init"][..],
        &["list", "--json"],
        &["show"],
        &["show", "7f3a", "--item", "42", "--json"],
        &["logs", "42", "--run", "7f3a", "-f"],
        &["keys", "--check", "--json"],
        &["workflows"],
        &["review-verdict", "-", "a.md", "--json"],
        &["clean", "--keep", "3", "--older-than", "7d", "--dry-run"],
        &["completions", "zsh"],
        &["man"],
    ] {
        assert!(parse_words(words).is_ok(), "{words:?}");
    }
    for words in
        [&["review-verdict"][..], &["logs"], &["completions"], &["completions", "cmd"], &["nonsense"], &[]]
    {
        assert_eq!(parse_words(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
    assert_eq!(parse_words(&["run", "--help"]).unwrap_err().exit_code(), 0);
}

/// The page and the options must not drift apart.
#[test]
fn the_page_names_every_option_and_verb() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/usage.md")).unwrap();
    let command = command();
    for verb in command.get_subcommands() {
        assert!(page.contains(verb.get_name()), "docs/usage.md does not name {}", verb.get_name());
        let shown = verb.get_arguments().filter(|argument| !argument.is_hide_set());
        for long in shown.filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{long}")), "docs/usage.md: --{long} of {}", verb.get_name());
        }
    }
}

#[test]
fn names_that_other_programs_have_for_the_same_thing_are_taken() {
    for words in [
        &["i", "--jobs", "4"][..],
        &["i", "--workers=4"],
        &["i", "-P4"],
        &["i", "-P", "4"],
        &["i", "--max-procs", "4"],
    ] {
        assert_eq!(run(words).parallel, Some(4), "{words:?}");
    }
    assert_eq!(run(&["i", "--retries", "3"]).item_retries, Some(3));
    assert_eq!(run(&["i", "--timeout", "off"]).timeout, Some(Limit::Off));
}

#[test]
fn habits_that_mean_the_same_are_taken() {
    assert_eq!(run(&["-a", "i", "--bar", "--eta", "--resume"]).items, Some(PathBuf::from("i")));
    assert_eq!(run(&["i", "--fail-fast"]).max_fail, Some(Limit::At(1)));
    assert_eq!(run(&["i", "--halt", "soon,fail=3"]).max_fail, Some(Limit::At(3)));
    assert_eq!(run(&["i", "--halt", "never"]).max_fail, None);
    assert_eq!(run(&["i", "--fail-fast", "--max-fail", "2"]).max_fail, Some(Limit::At(2)));
    let notices = |words: &[&str]| run(words).habits.notices(&run(words).command);
    assert!(notices(&["i", "--resume"])[0].contains("changes nothing"));
    assert!(notices(&["i", "--", "echo", "a{1}"])[0].starts_with("{1} is no placeholder"));
    assert!(notices(&["i", "--", "echo", "{", "{}", "{#}", "{foo}", "${HOME}", "{2024}"]).is_empty());
}

#[test]
fn habits_that_mean_something_else_are_answered() {
    for (words, told) in [
        (&["run", "i", "--keep-order", "--", "echo"][..], "--output grouped"),
        (&["run", "i", "-k", "--", "echo"], "--output grouped"),
        (&["run", "i", "--halt", "now,fail=2"], "--max-fail 2"),
        (&["run", "i", "--halt", "soon,fail=10%"], "--max-fail N"),
        (&["run", "i", "--shuf"], "--sample"),
        (&["run", "i", "i2"], "cat A B | wf-supervisor run -"),
        (
            &["run", ":::", "a", "b c", "--", "echo", "{}"],
            "printf '%s\\n' a 'b c' | wf-supervisor run - --lines -- echo {}",
        ),
        (&["run", "echo", "{}", ":::", "a"], "printf '%s\\n' a | wf-supervisor run - --lines -- echo {}"),
        (&["items.txt"], "wf-supervisor run items.txt"),
        (&["--parallel", "3", "items.txt"], "wf-supervisor run --parallel 3 items.txt"),
        (&["-", "--", "echo", "{}"], "wf-supervisor run - -- echo {}"),
        (&["--item", "42", "--dry-run"], "wf-supervisor run --item 42 --dry-run"),
        (&["status"], "wf-supervisor show"),
        (&["report"], "wf-supervisor show"),
        (&["retry"], "what failed is run again"),
        (&["resume"], "goes on where the last run stopped"),
        (&["stop"], "Ctrl+C"),
        (&["ps"], "wf-supervisor list"),
        (&["history"], "wf-supervisor list"),
    ] {
        let error = parse_words(words).err().unwrap_or_else(|| panic!("{words:?} was taken"));
        assert_eq!(error.exit_code(), 2, "{words:?}");
        assert!(error.to_string().contains(told), "{words:?}: {error}");
    }
}

/// Who follows that tip runs a program of the option's name for every item.
#[test]
fn no_option_is_advised_to_hide_behind_the_separator() {
    for words in [
        &["run", "i", "--keep-order"][..],
        &["run", "i", "--paralel", "3"],
        &["run", "i", "--xyz"],
        &["list", "--al"],
    ] {
        let told = parse_words(words).unwrap_err().to_string();
        assert!(!told.contains("-- --"), "{told}");
    }
    let told = parse_words(&["run", "i", "--paralel", "3"]).unwrap_err().to_string();
    assert!(told.contains("--parallel"), "{told}");
}
