//! How the layers are put together.

#![expect(clippy::format_collect, reason = "tables of a few lines")]
#![expect(clippy::type_complexity, reason = "tables of cases")]

use std::ffi::OsString;
use std::path::Path;

mod file;
mod places;

use super::environ::FixedEnviron;
use super::*;
use crate::cli::{self, GlobalArgs, Verb};

pub fn configuration(text: &str, environ: &FixedEnviron) -> Result<Configuration, Trouble> {
    let dir = tempfile::tempdir().unwrap();
    if !text.is_empty() {
        fs::write(dir.path().join("wf.toml"), text).unwrap();
    }
    let global = GlobalArgs { config: None, state_dir: None, verbose: 0, quiet: false, color: None };
    let project = Project::locate(&global, environ, dir.path())?;
    Configuration::load(project, environ)
}

pub fn settings(text: &str, environ: &[(&str, &str)], words: &[&str]) -> Result<Settings, Trouble> {
    let environ = FixedEnviron::of(environ);
    let args: Vec<OsString> =
        ["wf-supervisor", "run", "items.txt"].iter().chain(words).map(OsString::from).collect();
    let Verb::Run(args) = cli::parse(&args).unwrap().verb else { panic!() };
    configuration(text, &environ)?.settings(&args, &environ)
}

fn told(settings: &Settings) -> String {
    settings.origins.iter().map(|s| format!("{s}\n")).collect()
}

const GEMINI: (&str, &str) = ("GEMINI_API_KEY", "gemini-secret");
const ANTHROPIC: (&str, &str) = ("ANTHROPIC_API_KEY", "anthropic-secret");
const OPENAI: (&str, &str) = ("OPENAI_API_KEY", "openai-secret");

const FULL: &str = r#"
[run]
parallel = 4
max_parallel = 20
workflow = "issue"
timeout = "1h"
idle_timeout = "off"
run_timeout = "8h"
max_wait = "1h"
grace = "10s"
call_timeout = "2m"
max_retries = 3
item_retries = 1
tempfail = 75
max_fail = 5
budget_tokens = 2_000_000
output = "grouped"
progress = "none"
joblog = "jobs.tsv"
with_key = ["gemini"]
pass_env = ["HOME_TOKEN"]
max_log = "10MiB"

[providers.gemini]
kind = "gemini"
base_url = "https://proxy.example/gemini/"

[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:8080"

[[keys]]
name = "gemini-a"
provider = "gemini"
secret = { env = "GEMINI_KEY_A" }
quota_group = "project-1"
max_in_flight = 1

[[keys]]
name = "local"
provider = "local"
secret = { file = "keys/local" }

[[keys]]
name = "gemini-c"
provider = "gemini"
secret = { command = ["pass", "show", "gemini"] }

[quota.project-1]
rpm = 60
tpm = 1_000_000
rpd = 1500

[quota.project-1.models."gemini-2.5-pro"]
rpm = 5

[workflow.lld]
input = { command = ["gh", "issue", "view", "{id}"] }
output = "docs/lld/LLD-{id}.md"
max_iterations = 3
commit = true
drafter = { provider = "local", model = "qwen", max_output_tokens = 4096 }
reviewer = { provider = "gemini" }

[workflow.implement]
test_command = ["cargo", "test"]
"#;

#[test]
fn defaults() {
    let defaults = settings("", &[GEMINI, ANTHROPIC], &[]).unwrap();
    insta::assert_snapshot!(told(&defaults), @r"
    max_parallel = 10 (default)
    parallel = 1 (default)
    workflow = lld (default)
    timeout = 30m (default)
    idle_timeout = 5m (default)
    run_timeout = off (default)
    max_wait = 24h (default)
    grace = 5s (default)
    call_timeout = 4m (default)
    max_retries = off (default)
    item_retries = 0 (default)
    tempfail = off (default)
    max_fail = off (default)
    budget_tokens = off (default)
    output = prefixed (default)
    progress = auto (default)
    joblog = none (default)
    max_log = 1GiB (default)
    pass_env = none (default)
    ");
    assert!(defaults.warnings.is_empty(), "{:?}", defaults.warnings);
    let command = settings("", &[], &["--", "true"]).unwrap();
    assert_eq!((command.timeout, command.idle_timeout), (None, None));
    let bounded = settings("", &[], &["--timeout", "2h", "--", "true"]).unwrap();
    assert_eq!(bounded.timeout, Some(Duration::from_secs(7200)));
    assert!(command.warnings.is_empty());
    assert_eq!((command.work.word(), command.work.prefix()), ("command", ""));
    assert_eq!((defaults.work.word(), defaults.work.prefix()), ("lld", "LLD-"));
}

#[test]
fn later_layers_win() {
    let environ = [
        GEMINI,
        ANTHROPIC,
        ("WF_SUPERVISOR_PARALLEL", "6"),
        ("WF_SUPERVISOR_TIMEOUT", "2h"),
        ("WF_SUPERVISOR_OUTPUT", ""),
        ("WF_SUPERVISOR_PASS_ENV", "A, B"),
        ("WF_SUPERVISOR_REDO", "yes"),
        ("GEMINI_KEY_A", "secret-of-gemini-a"),
    ];
    let all = settings(FULL, &environ, &["-j", "7", "--max-fail", "off"]).unwrap();
    insta::assert_snapshot!(told(&all), @"
    max_parallel = 20 (wf.toml:4)
    parallel = 7 (command line)
    workflow = issue (wf.toml:5)
    timeout = 2h (WF_SUPERVISOR_TIMEOUT)
    idle_timeout = off (wf.toml:7)
    run_timeout = 8h (wf.toml:8)
    max_wait = 1h (wf.toml:9)
    grace = 10s (wf.toml:10)
    call_timeout = 2m (wf.toml:11)
    max_retries = 3 (wf.toml:12)
    item_retries = 1 (wf.toml:13)
    tempfail = 75 (wf.toml:14)
    max_fail = off (command line)
    budget_tokens = 2000000 (wf.toml:16)
    output = grouped (wf.toml:17)
    progress = none (wf.toml:18)
    joblog = jobs.tsv (wf.toml:19)
    max_log = 10MiB (wf.toml:22)
    pass_env = A, B (WF_SUPERVISOR_PASS_ENV)
    redo = on (WF_SUPERVISOR_REDO)
    ");
    assert_eq!((all.parallel, all.max_fail, all.redo), (7, None, crate::cli::value::Redo::On));
    assert_eq!(all.pass_env, ["A", "B"]);
    assert_eq!(all.joblog, Some(all.project.dir.join("jobs.tsv")));
}

#[test]
fn the_cap_on_workers() {
    for (file, words, parallel, warned) in [
        ("", &["-j10"][..], 10, false),
        ("", &["-j11"], 10, true),
        ("", &["-j99999999"], 10, true),
        ("[run]\nmax_parallel = 40", &["-j40"], 40, false),
        ("[run]\nparallel = 12", &[], 10, true),
    ] {
        let words: Vec<&str> = words.iter().copied().chain(["--", "true"]).collect();
        let settings = settings(file, &[], &words).unwrap();
        assert_eq!(
            (settings.parallel, !settings.warnings.is_empty()),
            (parallel, warned),
            "{file} {words:?}"
        );
    }
    insta::assert_snapshot!(settings("", &[], &["-j", "11", "--", "true"]).unwrap().warnings[0], @"11 workers are more than the cap of 10: 10 are used (run.max_parallel in wf.toml raises it)");
}

#[test]
fn wrong_layers() {
    let cases: &[(&str, &[(&str, &str)], &[&str])] = &[
        ("", &[("WF_SUPERVISOR_PARALLEL", "many")], &[]),
        ("", &[("WF_SUPERVISOR_PARALLEL", "0")], &[]),
        ("", &[("WF_SUPERVISOR_MOCK", "maybe")], &[]),
        ("", &[("WF_SUPERVISOR_WITH_KEY", "gemni")], &["--", "true"]),
        ("", &[], &["--with-key", "grok", "--", "true"]),
        ("", &[], &["--with-key", "gemini", "--with-key", "gemini", "--", "true"]),
        ("", &[], &["--mock-profile", "storm", "--", "true"]),
        ("\n[run]\ntimeout = 30", &[], &[]),
        ("[run]\ntimeout = \"0s\"", &[], &[]),
        ("[run]\noutput = \"loud\"", &[], &[]),
        ("[run]\nparallel = -1", &[], &[]),
        ("[run]\nmax_parallel = 5000", &[], &[]),
    ];
    let shown: String = cases
        .iter()
        .map(|(file, environ, words)| {
            format!("{}\n", settings(file, environ, words).map(|s| s.parallel).unwrap_err())
        })
        .collect();
    insta::assert_snapshot!(shown, @r#"
    WF_SUPERVISOR_PARALLEL: "many" is not a number of workers
    WF_SUPERVISOR_PARALLEL: at least 1 worker is needed (-j 100% is one for each processor)
    WF_SUPERVISOR_MOCK: "maybe" is neither true nor false
    WF_SUPERVISOR_WITH_KEY: with_key: there is no provider "gemni" (known are anthropic, gemini, openai)
    command line: with_key: there is no provider "grok" (known are anthropic, gemini, openai)
    --with-key gemini and --with-key gemini would hand over their keys in the same variable
    --mock-profile says how the mock behaves: add --mock
    wf.toml:3: run.timeout: 30 has no unit: write 30s, 30m or 30h
    wf.toml:2: run.timeout: more than 0 is needed
    wf.toml:2: run.output: "loud" is none of prefixed, grouped, none
    wf.toml:2: run.parallel: workers are counted in whole numbers from 1
    wf.toml:2: run.max_parallel: more than 1000 workers at once are not supported
    "#);
    let warned =
        settings("", &[("WF_SUPERVISOR_PARALEL", "3"), ("WF_SUPERVISOR_COLOR", "never")], &["--", "true"]);
    insta::assert_snapshot!(warned.unwrap().warnings.join("\n"), @"the variable WF_SUPERVISOR_PARALEL means nothing here; did you mean WF_SUPERVISOR_PARALLEL?");
}

#[test]
fn who_drafts_and_who_reviews() {
    const LOCAL: &str = "[providers.local]\nkind = \"openai\"\nbase_url = \"http://localhost:1\"\n[[keys]]\nname = \"l\"\nprovider = \"local\"\nsecret = { env = \"L\" }\n";
    let with_roles = format!(
        "{LOCAL}[workflow.lld]\ndrafter = {{ provider = \"local\", model = \"q\" }}\nreviewer = {{ provider = \"local\", model = \"q\" }}"
    );
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("", &[GEMINI]),
        ("", &[ANTHROPIC]),
        ("", &[OPENAI]),
        ("", &[GEMINI, ANTHROPIC]),
        ("", &[OPENAI, ANTHROPIC]),
        ("", &[OPENAI, GEMINI]),
        ("", &[OPENAI, GEMINI, ANTHROPIC]),
        ("[workflow.lld]\ndrafter = { provider = \"gemini\" }", &[GEMINI, OPENAI]),
        ("[workflow.lld]\nreviewer = { provider = \"anthropic\" }", &[ANTHROPIC]),
        ("[workflow.lld]\nreviewer = { provider = \"gemini\", model = \"g\" }", &[ANTHROPIC]),
        ("[workflow.lld]\nreviewer = { provider = \"grok\", model = \"g\" }", &[ANTHROPIC]),
        (LOCAL, &[("L", "local-secret")]),
        (&with_roles, &[("L", "local-secret")]),
    ];
    let shown: String = cases
        .iter()
        .map(|(file, environ)| {
            let names: Vec<&str> = environ.iter().map(|(n, _)| *n).collect();
            let result = match settings(file, environ, &[]) {
                Ok(settings) => {
                    let Work::Workflow(w) = &settings.work else { panic!() };
                    let role = |r: &RoleSettings| format!("{}/{}", r.provider.name, r.model);
                    format!("{} -> {} {:?}", role(&w.drafter), role(&w.reviewer), settings.warnings)
                }
                Err(error) => error.to_string(),
            };
            format!("{} {:?}\n    {result}\n", names.join(" "), file.lines().last().unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(shown, @r#"
     ""
        gemini/gemini-3.6-flash -> gemini/gemini-3.5-flash []
    GEMINI_API_KEY ""
        gemini/gemini-3.6-flash -> gemini/gemini-3.5-flash ["only gemini has a key: its gemini-3.5-flash reviews what its gemini-3.6-flash drafts; a second provider's key makes reviews independent"]
    ANTHROPIC_API_KEY ""
        anthropic/claude-opus-5-5 -> anthropic/claude-sonnet-5-5 ["only anthropic has a key: its claude-sonnet-5-5 reviews what its claude-opus-5-5 drafts; a second provider's key makes reviews independent"]
    OPENAI_API_KEY ""
        openai/gpt-5.5 -> openai/gpt-5.4 ["only openai has a key: its gpt-5.4 reviews what its gpt-5.5 drafts; a second provider's key makes reviews independent"]
    GEMINI_API_KEY ANTHROPIC_API_KEY ""
        anthropic/claude-opus-5-5 -> gemini/gemini-3.6-flash []
    OPENAI_API_KEY ANTHROPIC_API_KEY ""
        anthropic/claude-opus-5-5 -> openai/gpt-5.5 []
    OPENAI_API_KEY GEMINI_API_KEY ""
        openai/gpt-5.5 -> gemini/gemini-3.6-flash []
    OPENAI_API_KEY GEMINI_API_KEY ANTHROPIC_API_KEY ""
        anthropic/claude-opus-5-5 -> gemini/gemini-3.6-flash []
    GEMINI_API_KEY OPENAI_API_KEY "drafter = { provider = \"gemini\" }"
        gemini/gemini-3.6-flash -> openai/gpt-5.5 []
    ANTHROPIC_API_KEY "reviewer = { provider = \"anthropic\" }"
        anthropic/claude-opus-5-5 -> anthropic/claude-sonnet-5-5 []
    ANTHROPIC_API_KEY "reviewer = { provider = \"gemini\", model = \"g\" }"
        anthropic/claude-opus-5-5 -> gemini/g []
    ANTHROPIC_API_KEY "reviewer = { provider = \"grok\", model = \"g\" }"
        the reviewer of [workflow.lld] names the provider "grok", which is neither built in nor in wf.toml
    L "secret = { env = \"L\" }"
        there is no default model for local: name drafter and reviewer in [workflow.lld] of wf.toml
    L "reviewer = { provider = \"local\", model = \"q\" }"
        local/q -> local/q ["q reviews its own drafts in workflow lld"]
    "#);
}

/// Every option of a run but the choice of items can be set in another layer too.
#[test]
fn every_option_has_a_variable() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    // What belongs to one list of items, and not to a project.
    let of_a_list = [
        "item",
        "all",
        "json",
        "null",
        "text-field",
        "id-field",
        "prompt-template",
        "limit",
        "sample",
        "repeat",
        "redo-item",
    ];
    for long in run.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(clap::Arg::get_long)
    {
        let name = long.replace('-', "_");
        let known = schema::run_keys().contains(&name.as_str()) || CHOICES.contains(&name.as_str());
        assert_eq!(known, !of_a_list.contains(&long), "{long}");
    }
}

#[test]
fn the_mock_needs_nothing() {
    let settings = settings(FULL, &[], &["--mock", "--mock-profile", "storm"]).unwrap();
    assert_eq!(settings.mock.as_deref(), Some("storm"));
    assert!(settings.pool.keys.is_empty());
    let Work::Workflow(workflow) = settings.work else { panic!() };
    assert_eq!(
        (workflow.drafter.provider.name.as_str(), workflow.drafter.model.as_str()),
        ("mock", "mock-drafter")
    );
}

#[test]
fn bounds_that_a_command_may_not_see_are_told() {
    let warnings = |args: &[&str]| settings("", &[GEMINI, ANTHROPIC], args).unwrap().warnings;
    insta::assert_snapshot!(
        warnings(&["--max-retries", "3", "--budget-tokens", "100", "--", "true"]).join("\n"),
        @"--max-retries and --budget-tokens bind calls that are made over the supervisor: those that a command makes by itself are not seen"
    );
    assert_eq!(warnings(&["--budget-tokens", "off", "--", "true"]), [""; 0]);
    assert_eq!(warnings(&["--budget-tokens", "100"]), [""; 0]);
    let file = settings("[run]\nbudget_tokens = 100", &[], &["--", "true"]).unwrap();
    assert!(file.warnings.is_empty(), "{:?}", file.warnings);
}
