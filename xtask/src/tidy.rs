//! `cargo xtask tidy`: the promises that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{root, say};

/// Who may know whom, as `docs/architecture.md` draws it. A crate that is not here may know none of the others.
const MAY_KNOW: [(&str, &[&str]); 6] = [
    (
        "wf-supervisor",
        &["wf-core", "wf-protocol", "wf-providers", "wf-review", "wf-warden", "wf-worker", "wf-mock-llm"],
    ),
    ("wf-worker", &["wf-protocol", "wf-providers", "wf-review"]),
    ("wf-tests", &["wf-protocol"]),
    // The benchmarks' workers, which make leases and calls and nothing else.
    ("xtask", &["wf-protocol", "wf-providers"]),
    ("wf-fuzz", &["wf-providers", "wf-protocol", "wf-review"]),
    // The mock speaks the providers' dialects; only its tests read them back with the real reader.
    ("wf-mock-llm", &[]),
];

/// What the core may not name: it has no clock, no thread, no file, no network, no randomness.
const NOT_IN_THE_CORE: [&str; 7] =
    ["Instant::now", "SystemTime", "std::thread", "std::fs", "std::net", "std::process", "rand::"];

/// A rule that a source file may break, and where.
type Rule = fn(&Source) -> Vec<String>;

const RULES: [Rule; 5] =
    [opens_with_its_purpose, core_is_pure, unsafe_in_one_room, no_bare_allow, no_sleep_in_tests];

/// A Rust file of ours.
struct Source {
    path: PathBuf,
    text: String,
}

/// Checks everything and reports all that is wrong, not only the first.
pub fn run() -> Result<()> {
    let mut wrong = dependencies()?;
    let sources = sources()?;
    for source in &sources {
        for rule in RULES {
            wrong.extend(rule(source).into_iter().map(|what| format!("{}: {what}", source.path.display())));
        }
    }
    wrong.extend(links_lead_somewhere()?);
    wrong.extend(protocol_page()?);
    if wrong.is_empty() {
        say(&format!("tidy: {} source files, nothing wrong", sources.len()));
        return Ok(());
    }
    for what in &wrong {
        say(what);
    }
    bail!("tidy: {} things to mend", wrong.len())
}

fn sources() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in tracked("rs")? {
        let text = fs::read_to_string(root().join(&path)).with_context(|| path.display().to_string())?;
        sources.push(Source { path, text });
    }
    Ok(sources)
}

/// The files git knows with this ending, relative to the top.
fn tracked(ending: &str) -> Result<Vec<PathBuf>> {
    let mut command = std::process::Command::new("git");
    command.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = command.output().context("cannot run git")?;
    if !listed.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    }
    let listed = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
    let wanted = |p: &PathBuf| p.extension().is_some_and(|e| e == ending) && root().join(p).is_file();
    Ok(listed.lines().map(PathBuf::from).filter(wanted).collect())
}

fn dependencies() -> Result<Vec<String>> {
    let mut manifests = BTreeMap::new();
    for path in tracked("toml")? {
        if path.file_name().is_some_and(|n| n == "Cargo.toml") {
            let text = fs::read_to_string(root().join(&path))?;
            let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
            if let Some(name) = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()) {
                manifests.insert(name.to_owned(), manifest);
            }
        }
    }
    let ours: BTreeSet<&String> = manifests.keys().collect();
    let mut wrong = Vec::new();
    for (name, manifest) in &manifests {
        let allowed = MAY_KNOW.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, allowed)| allowed);
        let Some(dependencies) = manifest.get("dependencies").and_then(|d| d.as_table()) else { continue };
        for dependency in dependencies.keys().filter(|d| ours.contains(d)) {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!(
                    "{name} may not know {dependency} (docs/architecture.md, \"Who may know whom\")"
                ));
            }
        }
    }
    Ok(wrong)
}

fn opens_with_its_purpose(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec!["does not open with a `//!` line that says what it is for".to_owned()]
}

fn core_is_pure(source: &Source) -> Vec<String> {
    if !source.path.starts_with("crates/wf-core/src") {
        return Vec::new();
    }
    let found = |word: &&&str| code(&source.text).any(|(_, line)| line.contains(**word));
    NOT_IN_THE_CORE.iter().filter(found).map(|word| format!("the core may not use {word}")).collect()
}

fn unsafe_in_one_room(source: &Source) -> Vec<String> {
    if source.path.starts_with("crates/wf-warden") || source.path.starts_with("xtask") {
        return Vec::new();
    }
    let with_unsafe = code(&source.text).filter(|(_, line)| {
        // As a word of its own in quotation marks it is somebody's language.
        let line = line.replace("\"unsafe\"", "");
        line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
    });
    with_unsafe.map(|(n, _)| format!("line {n}: unsafe code belongs into crates/wf-warden")).collect()
}

fn no_bare_allow(source: &Source) -> Vec<String> {
    let bare = code(&source.text).filter(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("#[allow(") || line.starts_with("#![allow(")
    });
    bare.map(|(n, _)| format!("line {n}: #[expect(..., reason = \"...\")] instead of #[allow]")).collect()
}

/// A test waits for the thing it needs, with a bound; it does not hope.
fn no_sleep_in_tests(source: &Source) -> Vec<String> {
    let is_test = source.path.starts_with("tests/tests")
        || source.path.components().any(|c| c.as_os_str() == "tests.rs");
    if !is_test {
        return Vec::new();
    }
    let sleeps = code(&source.text).filter(|(_, line)| line.contains("thread::sleep("));
    sleeps.map(|(n, _)| format!("line {n}: a test sleeps; wait for the thing itself, with a bound")).collect()
}

/// The lines that are code, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.is_empty()
    })
}

/// Every relative link in a document leads to a file.
fn links_lead_somewhere() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for path in tracked("md")? {
        // Prompts and fixtures are material, not documents of ours.
        let is_ours = path.starts_with("docs") || path.components().count() == 1;
        if !is_ours {
            continue;
        }
        let text = fs::read_to_string(root().join(&path))?;
        let here = path.parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            let elsewhere =
                file.is_empty() || file.contains("://") || file.contains(' ') || file.starts_with('<');
            if !elsewhere && !root().join(here).join(file).exists() {
                wrong.push(format!("{}: the link to {target} leads nowhere", path.display()));
            }
        }
    }
    Ok(wrong)
}

/// `docs/protocol.md` describes the messages as the code has them; the test that compares them owns the rule.
fn protocol_page() -> Result<Vec<String>> {
    let mut test = crate::cargo();
    test.args(["test", "--quiet", "--locked", "--package", "wf-protocol", "--test", "doc_tie"]);
    let output = test.output().context("cannot run cargo test")?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "docs/protocol.md and the protocol disagree:\n{}",
        String::from_utf8_lossy(&output.stdout)
    )])
}
