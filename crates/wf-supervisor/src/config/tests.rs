//! What `wf.toml` may say, and how the layers are put together.

#![expect(clippy::format_collect, reason = "tables of a few lines")]
#![expect(clippy::type_complexity, reason = "tables of cases")]

use std::ffi::OsString;
use std::path::Path;

use super::environ::FixedEnviron;
use super::*;
use crate::cli::{self, GlobalArgs, Verb};

fn read(text: &str) -> Result<FileConfig, Trouble> {
    FileConfig::read(Path::new("wf.toml"), Path::new("/project"), text)
}

fn refusals(table: &[&str]) -> String {
    table
        .iter()
        .map(|text| {
            let error = read(text).err().unwrap_or_else(|| panic!("taken: {text}"));
            assert_eq!(error.code(), 2);
            format!("{}\n    {error}\n", text.replace('\n', "⏎"))
        })
        .collect()
}

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
fn everything_that_may_be_said() {
    let config = read(FULL).unwrap();
    assert_eq!(config.run.len(), schema::run_keys().len());
    assert_eq!(config.run["parallel"], (schema::RunValue::One("4".into()), 3));
    assert_eq!(config.providers["gemini"].base_url.as_deref(), Some("https://proxy.example/gemini"));
    let sources: Vec<String> = config.keys.iter().map(|k| k.source.words()).collect();
    assert_eq!(sources, ["GEMINI_KEY_A", "/project/keys/local", "pass show gemini"]);
    assert_eq!((config.keys[0].max_in_flight, config.keys[1].max_in_flight), (Some(1), None));
    let group = &config.quota["project-1"];
    assert_eq!(
        (group[&None].rpm, group[&None].tpm, group[&None].rpd),
        (Some(60), Some(1_000_000), Some(1500))
    );
    assert_eq!(group[&Some("gemini-2.5-pro".into())].rpm, Some(5));
    let lld = &config.workflows[&WorkflowName::Lld];
    assert_eq!((lld.max_iterations, lld.commit), (Some(3), Some(true)));
    assert!(matches!(&lld.input, Some(InputSource::Command(c)) if c.len() == 4));
    assert_eq!(lld.reviewer.as_ref().unwrap().model, None);
    assert_eq!(read("").unwrap(), FileConfig::default());
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(refusals(&[
        "[run]\nparalel = 3",
        "\n\n[runs]\nparallel = 3",
        "[run]\nxyz = 3",
        "[providers.gemini]\nurl = \"https://x\"",
        "[[keys]]\nname = \"a\"\nprovidr = \"gemini\"",
        "[quota.a]\nrpn = 3",
        "[quota.a.models.m]\nrmp = 3",
        "[workflow.lld]\niterations = 3",
        "[workflow.llb]\nmax_iterations = 3",
        "[workflow.lld]\ndrafter = { provider = \"gemini\", modl = \"x\" }",
        "[run]\nredo = true",
    ]), @r#"
    [run]⏎paralel = 3
        wf.toml:2: unknown key run.paralel: did you mean "parallel"?
    ⏎⏎[runs]⏎parallel = 3
        wf.toml:3: unknown key runs: did you mean "run"?
    [run]⏎xyz = 3
        wf.toml:2: unknown key run.xyz: known are parallel, max_parallel, workflow, timeout, idle_timeout, run_timeout, max_wait, grace, call_timeout, max_retries, item_retries, max_fail, budget_tokens, output, progress, joblog, with_key, pass_env, max_log
    [providers.gemini]⏎url = "https://x"
        wf.toml:2: unknown key providers.gemini.url: known are kind, base_url
    [[keys]]⏎name = "a"⏎providr = "gemini"
        wf.toml:3: unknown key keys.providr: did you mean "provider"?
    [quota.a]⏎rpn = 3
        wf.toml:2: unknown key quota.a.rpn: did you mean "rpd"?
    [quota.a.models.m]⏎rmp = 3
        wf.toml:2: unknown key quota.a.models.m.rmp: known are rpm, tpm, rpd
    [workflow.lld]⏎iterations = 3
        wf.toml:2: unknown key workflow.lld.iterations: did you mean "max_iterations"?
    [workflow.llb]⏎max_iterations = 3
        wf.toml:1: workflow.llb: there is no such workflow: did you mean "lld"?
    [workflow.lld]⏎drafter = { provider = "gemini", modl = "x" }
        wf.toml:2: unknown key drafter.modl: did you mean "model"?
    [run]⏎redo = true
        wf.toml:2: unknown key run.redo: known are parallel, max_parallel, workflow, timeout, idle_timeout, run_timeout, max_wait, grace, call_timeout, max_retries, item_retries, max_fail, budget_tokens, output, progress, joblog, with_key, pass_env, max_log
    "#);
}

#[test]
fn secrets_in_the_wrong_place_are_not_repeated() {
    let secret = "AIzaSyD-1234567890abcdefghijklmnop";
    let table = [
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = \"{secret}\""),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nkey = \"{secret}\""),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = {{ env = \"{secret}\" }}"),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = {{ env = \"sk-{secret}\" }}"),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = {{ file = \"{secret}\" }}"),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = {{ value = \"{secret}\" }}"),
        format!("[[keys]]\nname = \"{secret}\"\nprovider = \"gemini\""),
        format!("[providers.gemini]\napi_key = \"{secret}\""),
        format!("[providers.gemini]\nbase_url = \"https://user:{secret}@host\""),
        format!("GEMINI_API_KEY = \"{secret}\""),
        format!("[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = \"{secret}"),
    ];
    for text in &table {
        let error = read(text).unwrap_err().to_string();
        assert!(!error.contains(secret), "{error}");
    }
    insta::assert_snapshot!(read(&table[0]).unwrap_err(), @r#"wf.toml:4: keys.secret: secrets do not stand in wf.toml; in [[keys]] write secret = { env = "NAME" }, { file = "PATH" } or { command = ["PROGRAM", "ARG"] }"#);
    insta::assert_snapshot!(read(&table[9]).unwrap_err(), @r#"wf.toml:1: GEMINI_API_KEY: secrets do not stand in wf.toml; in [[keys]] write secret = { env = "NAME" }, { file = "PATH" } or { command = ["PROGRAM", "ARG"] }"#);
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(refusals(&[
        "run = 3",
        "[run",
        "[run]\nparallel = 3\nparallel = 4",
        "[run]\nparallel = [3]",
        "[run]\nwith_key = \"gemini\"",
        "[keys]\nname = \"a\"",
        "[[keys]]\nprovider = \"gemini\"",
        "[[keys]]\nname = \"a\"\nprovider = \"gemini\"",
        "[[keys]]\nname = \"a b\"\nprovider = \"gemini\"",
        "[[keys]]\nname = \"a\"\nprovider = \"gemni\"\nsecret = { env = \"A\" }",
        "[[keys]]\nname = \"a\"\nprovider = \"other\"\nsecret = { env = \"A\" }",
        "[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = { env = \"A\", file = \"b\" }",
        "[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = { command = [] }",
        "[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nsecret = { command = \"pass\" }",
        "[[keys]]\nname = \"a\"\nprovider = \"gemini\"\nmax_in_flight = 0",
        "keys = [{ name = \"a\", provider = \"gemini\", secret = { env = \"A\" } }, { name = \"a\", provider = \"gemini\", secret = { env = \"A\" } }]",
        "[providers.other]\nbase_url = \"https://x\"",
        "[providers.other]\nkind = \"grok\"",
        "[providers.gemini]\nbase_url = \"example.com\"",
        "[providers.gemini]\nbase_url = \"https://\"",
        "[quota.a]\nrpm = 0",
        "[quota.a]\nrpm = -1",
        "[quota.a]\nrpm = 1.5",
        "[workflow.lld]\ninput = \"issues/all.md\"",
        "[workflow.lld]\ninput = { command = [\"gh\"] }",
        "[workflow.lld]\nmax_iterations = 0",
        "[workflow.lld]\nmax_iterations = 1000",
        "[workflow.lld]\ncommit = \"yes\"",
        "[workflow.lld]\ndrafter = \"gemini\"",
        "[workflow.lld]\ntest_command = [\"true\"]",
        "[workflow.implement]\ntest_command = \"cargo test\"",
        "[workflow.lld]\nprompts = \"no/such/dir\"",
    ]), @r#"
    run = 3
        wf.toml:1: run must be a table
    [run
        wf.toml:1: unclosed table, expected `]`
    [run]⏎parallel = 3⏎parallel = 4
        wf.toml:3: duplicate key
    [run]⏎parallel = [3]
        wf.toml:2: run.parallel must be a single value
    [run]⏎with_key = "gemini"
        wf.toml:2: run.with_key must be a list of strings
    [keys]⏎name = "a"
        wf.toml:1: keys must be written as [[keys]]
    [[keys]]⏎provider = "gemini"
        wf.toml:1: keys: name is missing
    [[keys]]⏎name = "a"⏎provider = "gemini"
        wf.toml:1: keys: secret is missing: { env = "NAME" }, { file = "PATH" } or { command = [...] }
    [[keys]]⏎name = "a b"⏎provider = "gemini"
        wf.toml:2: keys.name: a name has 1 to 64 letters, digits, '_', '-' and '.'
    [[keys]]⏎name = "a"⏎provider = "gemni"⏎secret = { env = "A" }
        wf.toml:3: keys.provider: there is no provider "gemni": did you mean "gemini"?
    [[keys]]⏎name = "a"⏎provider = "other"⏎secret = { env = "A" }
        wf.toml:3: keys.provider: there is no provider "other": add a table [providers.other] with its kind and base_url
    [[keys]]⏎name = "a"⏎provider = "gemini"⏎secret = { env = "A", file = "b" }
        wf.toml:4: keys.secret: exactly one of env, file and command is needed, and not an empty one
    [[keys]]⏎name = "a"⏎provider = "gemini"⏎secret = { command = [] }
        wf.toml:4: keys.secret: exactly one of env, file and command is needed, and not an empty one
    [[keys]]⏎name = "a"⏎provider = "gemini"⏎secret = { command = "pass" }
        wf.toml:4: keys.secret.command must be a list of strings
    [[keys]]⏎name = "a"⏎provider = "gemini"⏎max_in_flight = 0
        wf.toml:4: keys.max_in_flight must be a whole number from 1
    keys = [{ name = "a", provider = "gemini", secret = { env = "A" } }, { name = "a", provider = "gemini", secret = { env = "A" } }]
        wf.toml:1: keys.name: two keys are called "a"
    [providers.other]⏎base_url = "https://x"
        wf.toml:1: providers.other: kind is missing: gemini, anthropic or openai (any compatible server)
    [providers.other]⏎kind = "grok"
        wf.toml:2: providers.other.kind: "grok" is not a kind of provider (gemini, anthropic and openai are)
    [providers.gemini]⏎base_url = "example.com"
        wf.toml:2: providers.gemini.base_url: an address begins with https:// or http://
    [providers.gemini]⏎base_url = "https://"
        wf.toml:2: providers.gemini.base_url: an address has a scheme, a host, and at most a path
    [quota.a]⏎rpm = 0
        wf.toml:2: quota.a.rpm must be a whole number from 1
    [quota.a]⏎rpm = -1
        wf.toml:2: quota.a.rpm must be a whole number from 1
    [quota.a]⏎rpm = 1.5
        wf.toml:2: quota.a.rpm must be a whole number from 1
    [workflow.lld]⏎input = "issues/all.md"
        wf.toml:2: workflow.lld.input: "issues/all.md" has no {id}, so all items would have the same file
    [workflow.lld]⏎input = { command = ["gh"] }
        wf.toml:2: input.command: no argument has {id}, so all items would have the same input
    [workflow.lld]⏎max_iterations = 0
        wf.toml:2: workflow.lld.max_iterations must be a whole number from 1
    [workflow.lld]⏎max_iterations = 1000
        wf.toml:2: workflow.lld.max_iterations: more than 100 rounds are not supported
    [workflow.lld]⏎commit = "yes"
        wf.toml:2: workflow.lld.commit must be true or false
    [workflow.lld]⏎drafter = "gemini"
        wf.toml:2: drafter must be a table
    [workflow.lld]⏎test_command = ["true"]
        wf.toml:2: workflow.lld.test_command: only the workflow implement runs tests
    [workflow.implement]⏎test_command = "cargo test"
        wf.toml:2: workflow.implement.test_command: no shell is involved: write a list, such as ["cargo", "test"]
    [workflow.lld]⏎prompts = "no/such/dir"
        wf.toml:2: workflow.lld.prompts: /project/no/such/dir is not a directory
    "#);
}

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
    max_retries = 5 (default)
    item_retries = 0 (default)
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
    assert_eq!(command.idle_timeout, None);
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
    insta::assert_snapshot!(told(&all), @r"
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
    max_fail = off (command line)
    budget_tokens = 2000000 (wf.toml:15)
    output = grouped (wf.toml:16)
    progress = none (wf.toml:17)
    joblog = jobs.tsv (wf.toml:18)
    max_log = 10MiB (wf.toml:21)
    pass_env = A, B (WF_SUPERVISOR_PASS_ENV)
    redo = true (WF_SUPERVISOR_REDO)
    ");
    assert_eq!((all.parallel, all.max_fail, all.redo), (7, None, true));
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
    WF_SUPERVISOR_PARALLEL: at least 1 worker is needed
    WF_SUPERVISOR_MOCK: "maybe" is neither true nor false
    WF_SUPERVISOR_WITH_KEY: with_key: there is no provider "gemni" (known are anthropic, gemini, openai)
    command line: with_key: there is no provider "grok" (known are anthropic, gemini, openai)
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
fn where_things_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("repo/.git")).unwrap();
    fs::create_dir_all(root.join("repo/sub/deep")).unwrap();
    let deep = root.join("repo/sub/deep");
    let global = |config: Option<&str>, state: Option<&str>| GlobalArgs {
        config: config.map(PathBuf::from),
        state_dir: state.map(PathBuf::from),
        verbose: 0,
        quiet: false,
        color: None,
    };
    let none = FixedEnviron::default();

    let project = Project::locate(&global(None, None), &none, &deep).unwrap();
    assert_eq!(
        (&project.dir, &project.state_dir, &project.config_file),
        (&deep, &root.join("repo/.wf"), &None)
    );
    let project = Project::locate(&global(None, None), &none, root).unwrap();
    assert_eq!(project.state_dir, root.join(".wf"));

    fs::write(root.join("repo/sub/wf.toml"), "").unwrap();
    let project = Project::locate(&global(None, None), &none, &deep).unwrap();
    assert_eq!((&project.dir, &project.state_dir), (&root.join("repo/sub"), &root.join("repo/sub/.wf")));
    assert_eq!(project.shown(&deep.join("x")), "x");

    let project = Project::locate(&global(None, Some("state")), &none, &deep).unwrap();
    assert_eq!(project.state_dir, deep.join("state"));
    let environ =
        FixedEnviron::of(&[("WF_SUPERVISOR_CONFIG", "../wf.toml"), ("WF_SUPERVISOR_STATE_DIR", "/s")]);
    let project = Project::locate(&global(None, None), &environ, &deep).unwrap();
    assert_eq!(
        (project.config_file, project.state_dir),
        (Some(deep.join("../wf.toml")), PathBuf::from("/s"))
    );
    let error = Project::locate(&global(Some("no.toml"), None), &none, &deep).unwrap_err();
    assert!(error.to_string().ends_with("no.toml does not exist"));
}

#[test]
fn warnings_about_the_pool() {
    let text = "[quota.idle]\nrpm = 3\n[providers.far]\nkind = \"openai\"\nbase_url = \"http://example.com\"";
    insta::assert_snapshot!(settings(text, &[], &["--", "true"]).unwrap().warnings.join("\n"), @r#"
    no key is in the quota group "idle" of wf.toml
    keys and documents travel to http://example.com without encryption (provider "far")
    "#);
    for (url, loopback) in [
        ("localhost:1/x", true),
        ("127.0.0.1", true),
        ("[::1]:80", true),
        ("10.0.0.1", false),
        ("localhost.evil", false),
    ] {
        assert_eq!(is_loopback(url), loopback, "{url}");
    }
}

/// The page and the schema must not drift apart.
#[test]
fn the_page_names_every_key() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md"))
        .unwrap();
    for (table, keys) in schema::SCHEMA {
        for key in *keys {
            assert!(
                page.contains(&format!("`{key}`")),
                "docs/configuration.md does not explain {key} of {table}"
            );
        }
    }
    for name in schema::run_keys().iter().chain(&CHOICES) {
        let variable = format!("`WF_SUPERVISOR_{}`", name.to_ascii_uppercase());
        assert!(page.contains(&variable), "docs/configuration.md does not name {variable}");
    }
}
