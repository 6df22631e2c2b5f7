//! What `wf.toml` may say, and what is refused.

#![expect(clippy::format_collect, reason = "tables of a few lines")]

use super::*;

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
        wf.toml:2: unknown key run.xyz: known are parallel, max_parallel, workflow, timeout, idle_timeout, run_timeout, max_wait, grace, call_timeout, max_retries, item_retries, tempfail, max_fail, budget_tokens, output, progress, joblog, with_key, pass_env, max_log
    [providers.gemini]⏎url = "https://x"
        wf.toml:2: unknown key providers.gemini.url: known are kind, base_url, stream, stall_timeout, proxy, allow_http
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
        wf.toml:2: unknown key run.redo: known are parallel, max_parallel, workflow, timeout, idle_timeout, run_timeout, max_wait, grace, call_timeout, max_retries, item_retries, tempfail, max_fail, budget_tokens, output, progress, joblog, with_key, pass_env, max_log
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
        "[providers.gemini]\nbase_url = \"http://example.com\"",
        "[providers.gemini]\nbase_url = \"http://example.com\"\nallow_http = false",
        "[providers.gemini]\nstream = \"yes\"",
        "[providers.gemini]\nstall_timeout = \"0s\"",
        "[providers.gemini]\nstall_timeout = \"90\"",
        "[providers.gemini]\nproxy = \"proxy:3128\"",
        "[providers.gemini]\nproxy = \"http://me:secret@proxy:3128\"",
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
        "[workflow.lld]\ntest_timeout = \"1m\"",
        "[workflow.implement]\ntest_timeout = \"soon\"",
        "[workflow.implement]\noutput = \"wf//impl-{id}\"",
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
    [providers.gemini]⏎base_url = "http://example.com"
        wf.toml:2: providers.gemini.base_url: keys and documents would travel without encryption: write https://, or set allow_http = true
    [providers.gemini]⏎base_url = "http://example.com"⏎allow_http = false
        wf.toml:2: providers.gemini.base_url: keys and documents would travel without encryption: write https://, or set allow_http = true
    [providers.gemini]⏎stream = "yes"
        wf.toml:2: providers.gemini.stream must be true or false
    [providers.gemini]⏎stall_timeout = "0s"
        wf.toml:2: providers.gemini.stall_timeout: it is zero; "off" takes the bound away
    [providers.gemini]⏎stall_timeout = "90"
        wf.toml:2: providers.gemini.stall_timeout: 90 has no unit: write 90s, 90m or 90h
    [providers.gemini]⏎proxy = "proxy:3128"
        wf.toml:2: providers.gemini.proxy: an address begins with https:// or http://
    [providers.gemini]⏎proxy = "http://me:secret@proxy:3128"
        wf.toml:2: providers.gemini.proxy: a proxy's name and password stand in the variable HTTPS_PROXY, not here
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
    [workflow.lld]⏎test_timeout = "1m"
        wf.toml:2: workflow.lld.test_timeout: only the workflow implement runs tests
    [workflow.implement]⏎test_timeout = "soon"
        wf.toml:2: workflow.implement.test_timeout: "soon" is not a duration (write 500ms, 30s, 5m or 1h30m)
    [workflow.implement]⏎output = "wf//impl-{id}"
        wf.toml:2: workflow.implement.output: implement writes to a branch, and git takes no branch of this name
    [workflow.lld]⏎prompts = "no/such/dir"
        wf.toml:2: workflow.lld.prompts: /project/no/such/dir is not a directory (wf-supervisor init --prompts makes one)
    "#);
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

#[test]
fn numbers_of_run_are_not_written_as_text_and_a_workflow_is_known_also_where_a_command_runs() {
    let wrong = |text: &str| read(text).unwrap_err().to_string();
    for key in ["parallel", "max_parallel", "max_retries", "item_retries", "max_fail", "budget_tokens"] {
        let error = wrong(&format!("[run]\n{key} = \"3\""));
        assert!(error.starts_with(&format!("wf.toml:2: run.{key} must be a whole number")), "{error}");
    }
    assert!(read("[run]\nmax_fail = \"off\"\ntempfail = \"75,69\"").is_ok());
    let error = settings("[run]\nworkflow = \"foo\"", &[], &["--", "true"]).unwrap_err().to_string();
    assert!(error.contains("run.workflow") && error.contains("foo"), "{error}");
}
