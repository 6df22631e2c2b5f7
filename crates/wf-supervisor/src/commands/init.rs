//! `wf-supervisor init`: a `wf.toml` in which every default stands as a comment, made from what is found.

pub mod prompts;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use wf_providers::{Dialect, MODELS_AS_OF, default_models};

use crate::cli::value::WorkflowName;
use crate::config::Environ;
use crate::config::project::{CONFIG_FILE, repository_root};
use crate::exit::{Trouble, refused};
use crate::keys::default_keys;

/// Writes the file (`config`, else `wf.toml` in `cwd`), never replacing one, and says in `out` what was written and
/// what comes next.
pub fn init(
    config: Option<&Path>,
    cwd: &Path,
    environ: &dyn Environ,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    write_config(config, cwd, environ, Prompts::Embedded, out)?;
    writeln!(out, "next: wf-supervisor run --all --dry-run")?;
    Ok(())
}

/// Which prompts a new configuration uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prompts {
    Embedded,
    /// Those in [`prompts::DIR`] beside it.
    Written,
}

/// Writes the file and says what was found.
fn write_config(
    config: Option<&Path>,
    cwd: &Path,
    environ: &dyn Environ,
    prompts: Prompts,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let path = cwd.join(config.unwrap_or(Path::new(CONFIG_FILE)));
    let shown = path.strip_prefix(cwd).unwrap_or(&path).display().to_string();
    let above: Option<PathBuf> = path
        .parent()
        .and_then(Path::parent)
        .and_then(|dir| dir.ancestors().map(|dir| dir.join(CONFIG_FILE)).find(|file| file.is_file()));
    let text = content(environ, repository_root(cwd).is_some(), prompts);
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return refused(format!("{shown} exists already and is not replaced"));
        }
        Err(error) => return refused(format!("{shown} cannot be written: {error}")),
    };
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        // Half a configuration is worse than none, and the next attempt would be refused because of it.
        let _ = fs::remove_file(&path);
        return Err(Trouble::Broken(anyhow::anyhow!("{shown} cannot be written: {error}")));
    }
    writeln!(out, "wrote {shown}: every line is a default, remove a '#' to change it")?;
    if let Some(above) = above {
        writeln!(out, "it is used here in place of {}", above.display())?;
    }
    let keys = default_keys(environ).len();
    if keys == 0 {
        writeln!(
            out,
            "no key is set: export GEMINI_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY, or try --mock"
        )?;
    } else {
        writeln!(out, "{keys} key{} found in the environment", if keys == 1 { "" } else { "s" })?;
    }
    Ok(())
}

/// What only the workflow that runs tests has.
const OF_IMPLEMENT: &str = "#output = \"wf/impl-{id}\"
# What runs the tests, in the item's worktree, and how long that may take; needed.
#test_command = [\"cargo\", \"test\"]
#test_timeout = \"4m\"
";

/// The text of the file. Settings are commented out as `#key = value`, prose as `# words`.
fn content(environ: &dyn Environ, in_repository: bool, prompts: Prompts) -> String {
    let keys = default_keys(environ);
    let found = if keys.is_empty() {
        "# None of them is set at the moment.".to_owned()
    } else {
        let names: Vec<String> = keys.iter().map(|k| format!("{} ({})", k.name, k.source.words())).collect();
        format!("# Found at the moment: {}.", names.join(", "))
    };
    let git = if in_repository { "this is a git repository" } else { "there is no git repository here" };
    let example = keys.first().map_or("GEMINI_API_KEY".to_owned(), |key| key.source.words());
    let provider = keys.first().map_or("gemini".to_owned(), |key| key.provider.clone());
    let (anthropic, gemini) =
        (default_models(Dialect::Anthropic).first, default_models(Dialect::Gemini).first);
    let dir = prompts::DIR;
    let (off, others) = match prompts {
        Prompts::Embedded => ("#", format!("\n#[workflow.implement]\n{OF_IMPLEMENT}")),
        Prompts::Written => {
            let table = |name: &&WorkflowName| {
                let more = if **name == WorkflowName::Implement { OF_IMPLEMENT } else { "" };
                format!("\n[workflow.{name}]\n{more}prompts = \"{dir}\"\n")
            };
            let names = WorkflowName::ALL;
            ("", names.iter().filter(|name| **name != WorkflowName::Lld).map(|name| table(&name)).collect())
        }
    };
    format!(
        r#"# Configuration of wf-supervisor. Every setting below is commented out and shows its default or an example.
# Environment variables (WF_SUPERVISOR_PARALLEL, ...) and options of the command line win over this file.
# Secrets never stand here.

[run]
# Workers at once, and the cap on that.
#parallel = 1
#max_parallel = 10
# issue, lld or implement
#workflow = "lld"
# One attempt's time and time without any sign of life (both off for commands, unless set); the whole run's time.
#timeout = "30m"
#idle_timeout = "5m"
#run_timeout = "off"
# The longest wait for quota of one call, and the longest call.
#max_wait = "24h"
#call_timeout = "4m"
# Between asking a worker to stop and killing it.
#grace = "5s"
# Repetitions of a call refused although paced (off: until max_wait); of a failed item; failures and tokens after which the run stops.
#max_retries = "off"
#item_retries = 0
# Exit codes by which a command says "not now": 75, or "75,69".
#tempfail = "off"
#max_fail = "off"
#budget_tokens = "off"
# prefixed, grouped or none; auto or none
#output = "prefixed"
#progress = "auto"
#joblog = "jobs.tsv"
#max_log = "1GiB"
# For commands: providers whose key each attempt gets, and variables that are not removed.
#with_key = []
#pass_env = []

# Keys. Without any [[keys]], those in GEMINI_API_KEY (GOOGLE_API_KEY), ANTHROPIC_API_KEY and OPENAI_API_KEY are used,
# several of one provider separated by commas.
{found}
#[[keys]]
#name = "{provider}-a"
#provider = "{provider}"
# One key for each variable; or {{ file = "PATH" }} with mode 0600, or {{ command = ["pass", "show", "NAME"] }}
#secret = {{ env = "{example}" }}
# Keys of one project or organisation share its limits: give them one group.
#quota_group = "project-1"
#max_in_flight = 1

# Limits of a quota group; what is absent is learned.
#[quota.project-1]
#rpm = 60
#tpm = 1_000_000
#rpd = 1500

# Any compatible server.
#[providers.local]
#kind = "openai"
#base_url = "http://127.0.0.1:8080"

# The built-in workflows: issue, lld, implement. Default models as of {MODELS_AS_OF}.
{off}[workflow.lld]
#input = "issues/{{id}}.md"
#output = "docs/lld/LLD-{{id}}.md"
#max_iterations = 5
# Commit each output when it is done ({git}).
#commit = false
#drafter = {{ provider = "anthropic", model = "{anthropic}" }}
#reviewer = {{ provider = "gemini", model = "{gemini}" }}
# Templates of your own, by file name; `wf-supervisor init --prompts` writes the built-in ones there for editing.
{off}prompts = "{dir}"
{others}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environ::FixedEnviron;
    use crate::config::tests::configuration;

    fn written(dir: &Path, environ: &FixedEnviron) -> Result<String, Trouble> {
        let mut out = Vec::new();
        init(None, dir, environ, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn never_replaces_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let environ = FixedEnviron::of(&[("OPENAI_API_KEY", "openai-secret,second-secret")]);
        insta::assert_snapshot!(written(dir.path(), &environ).unwrap(), @r"
    wrote wf.toml: every line is a default, remove a '#' to change it
    2 keys found in the environment
    next: wf-supervisor run --all --dry-run
    ");
        let first = fs::read_to_string(dir.path().join("wf.toml")).unwrap();
        assert!(!first.contains("-secret"));
        assert!(
            first.contains("# Found at the moment: openai-1 (OPENAI_API_KEY), openai-2 (OPENAI_API_KEY).")
        );
        let again = written(dir.path(), &FixedEnviron::default()).unwrap_err();
        assert_eq!(again.code(), 2);
        insta::assert_snapshot!(again, @"wf.toml exists already and is not replaced");
        assert_eq!(fs::read_to_string(dir.path().join("wf.toml")).unwrap(), first);

        fs::create_dir(dir.path().join("sub")).unwrap();
        let below = written(&dir.path().join("sub"), &FixedEnviron::default()).unwrap();
        assert!(below.contains("in place of") && below.contains("no key is set"));
        let nowhere =
            init(Some(Path::new("no/such/wf.toml")), dir.path(), &environ, &mut Vec::new()).unwrap_err();
        assert_eq!(nowhere.code(), 2);
    }

    /// Both the file as written and with every setting switched on are valid, and the settings are the defaults.
    #[test]
    fn every_line_of_it_can_be_uncommented() {
        let environ = FixedEnviron::of(&[("GEMINI_API_KEY", "gemini-secret")]);
        let text = content(&environ, true, Prompts::Embedded);
        let on: String = text
            .lines()
            // The directory of the test's configuration has none.
            .filter(|line| !line.starts_with("#prompts"))
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        configuration(&text, &environ).unwrap();
        let config = configuration(&on, &environ).unwrap();
        assert_eq!(config.pool.keys.len(), 1);
        let defaults =
            crate::config::tests::settings("", &[("GEMINI_API_KEY", "gemini-secret")], &[]).unwrap();
        let with_all =
            crate::config::tests::settings(&on, &[("GEMINI_API_KEY", "gemini-secret")], &[]).unwrap();
        for (default, set) in defaults.origins.iter().zip(&with_all.origins) {
            assert_eq!(default.name, set.name);
            if set.name == "joblog" {
                assert_eq!(set.value, "jobs.tsv");
            } else {
                assert_eq!(default.value, set.value, "{}", set.name);
            }
        }
    }
}
