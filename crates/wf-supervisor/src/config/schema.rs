//! What may stand in `wf.toml`, and how each table is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wf_core::credentials::QuotaLimits;

use super::document::{Source, Table, Value, nearest};
#[cfg(test)]
use super::key_table::{KEY, SECRET};
use super::key_table::{key, plain_name};
#[cfg(test)]
use super::provider_table::PROVIDER;
use super::provider_table::{ProviderTable, provider};
use crate::cli::value::{self, WorkflowName};
use crate::exit::Trouble;
use crate::items::Pattern;
use crate::keys::KeyConfig;

const ROOT: &[&str] = &["run", "providers", "keys", "quota", "workflow"];
const RUN: &[&str] = &[
    "parallel",
    "max_parallel",
    "workflow",
    "timeout",
    "idle_timeout",
    "run_timeout",
    "max_wait",
    "grace",
    "call_timeout",
    "max_retries",
    "item_retries",
    "tempfail",
    "max_fail",
    "budget_tokens",
    "output",
    "progress",
    "joblog",
    "with_key",
    "pass_env",
    "max_log",
];
const LIMITS: &[&str] = &["rpm", "tpm", "rpd"];
const QUOTA: &[&str] = &["rpm", "tpm", "rpd", "models"];
const WORKFLOW: &[&str] = &[
    "input",
    "output",
    "max_iterations",
    "commit",
    "drafter",
    "reviewer",
    "prompts",
    "test_command",
    "test_timeout",
];
const INPUT: &[&str] = &["command"];
const ROLE: &[&str] = &["provider", "model", "max_output_tokens"];

/// Every table with its keys, as the documentation must name them.
#[cfg(test)]
pub const SCHEMA: &[(&str, &[&str])] = &[
    ("[run]", RUN),
    ("[providers.NAME]", PROVIDER),
    ("[[keys]]", KEY),
    ("secret", SECRET),
    ("[quota.GROUP]", QUOTA),
    ("[workflow.NAME]", WORKFLOW),
    ("input", INPUT),
    ("drafter", ROLE),
];

/// The names of `[run]`'s keys.
pub fn run_keys() -> &'static [&'static str] {
    RUN
}

/// A value of `[run]` before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunValue {
    /// One value, as it would be written on a command line.
    One(String),
    /// A list of strings.
    Many(Vec<String>),
}

/// A `drafter` or `reviewer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTable {
    /// The provider's name.
    pub provider: String,
    /// The model; absent for the provider's default.
    pub model: Option<String>,
    /// Upper bound of a reply, in tokens.
    pub max_output_tokens: Option<u32>,
}

/// Where a workflow's input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSource {
    /// A file per item.
    File(Pattern),
    /// The standard output of a command; `{id}` in an argument is the item.
    Command(Vec<String>),
}

/// A `[workflow.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowTable {
    /// See [`InputSource`].
    pub input: Option<InputSource>,
    /// The output's path, or of `implement` the branch.
    pub output: Option<Pattern>,
    /// Rounds of the revise loop.
    pub max_iterations: Option<u32>,
    /// Commit the output with git.
    pub commit: Option<bool>,
    /// Who drafts.
    pub drafter: Option<RoleTable>,
    /// Who reviews.
    pub reviewer: Option<RoleTable>,
    /// Overrides of the prompt templates.
    pub prompts: Option<PathBuf>,
    /// What `implement` runs to test.
    pub test_command: Option<Vec<String>>,
    /// How long that may take.
    pub test_timeout: Option<Duration>,
}

/// The whole of `wf.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// `[run]`, by key, each with its line.
    pub run: BTreeMap<&'static str, (RunValue, usize)>,
    /// `[providers.NAME]`.
    pub providers: BTreeMap<String, ProviderTable>,
    /// `[[keys]]`, in order.
    pub keys: Vec<KeyConfig>,
    /// `[quota.GROUP]`, by group and model; the model `None` holds for all others.
    pub quota: BTreeMap<String, BTreeMap<Option<String>, QuotaLimits>>,
    /// `[workflow.NAME]`.
    pub workflows: BTreeMap<WorkflowName, WorkflowTable>,
}

impl FileConfig {
    /// Reads the text of the file at `path`, whose name is used in messages; relative paths in it begin at `dir`.
    pub fn read(path: &Path, dir: &Path, text: &str) -> Result<FileConfig, Trouble> {
        let source = Source::new(path, text);
        let document = source.parse(text)?;
        let root = Table::root(&source, &document);
        root.only(ROOT)?;
        let mut config = FileConfig::default();
        if let Some(run) = root.table("run", "run")? {
            run.only(RUN)?;
            for key in RUN {
                if let Some(value) = run.get(key) {
                    config.run.insert(key, (run_value(&run, key, value)?, value.line()));
                }
            }
        }
        for (name, value) in entries(&root, "providers")? {
            let path = format!("providers.{name}");
            config.providers.insert(name.to_owned(), provider(name, &value.table(&path)?)?);
        }
        for (name, value) in entries(&root, "quota")? {
            let path = format!("quota.{name}");
            config.quota.insert(name.to_owned(), quota(&value.table(&path)?)?);
        }
        for (name, value) in entries(&root, "workflow")? {
            let path = format!("workflow.{name}");
            let table = value.table(&path)?;
            let words = WorkflowName::ALL.map(WorkflowName::word);
            let workflow = value::word::<WorkflowName>(name).map_err(|_| {
                let advice = nearest(name, &words).map_or_else(
                    || format!("known are {}", words.join(", ")),
                    |w| format!("did you mean {w:?}?"),
                );
                table.refuse(&format!("there is no such workflow: {advice}"))
            })?;
            config.workflows.insert(workflow, workflow_table(&table, workflow, dir)?);
        }
        if let Some(keys) = root.get("keys") {
            for table in keys.tables("keys")? {
                let key = key(&table, dir, &config)?;
                if config.keys.iter().any(|k| k.name == key.name) {
                    return Err(table.refuse_key("name", &format!("two keys are called {:?}", key.name)));
                }
                config.keys.push(key);
            }
        }
        Ok(config)
    }
}

fn entries<'a>(root: &Table<'a>, key: &'a str) -> Result<Vec<(&'a str, Value<'a>)>, Trouble> {
    let table = root.table(key, key)?;
    Ok(table.map(|t| t.entries().collect()).unwrap_or_default())
}

fn run_value(run: &Table<'_>, key: &str, value: Value<'_>) -> Result<RunValue, Trouble> {
    let list = matches!(key, "with_key" | "pass_env");
    let text = value.string();
    let off = text.is_some_and(|text| text == "off");
    let wrong = match key {
        "parallel" | "max_parallel" | "item_retries" if text.is_some() => Some("a whole number"),
        "max_fail" | "max_retries" | "budget_tokens" if text.is_some() && !off => {
            Some("a whole number or \"off\"")
        }
        _ => None,
    };
    if let Some(want) = wrong {
        return Err(run.wrong(key, value, want));
    }
    let read = if list { value.strings().map(RunValue::Many) } else { value.scalar().map(RunValue::One) };
    read.ok_or_else(|| run.wrong(key, value, if list { "a list of strings" } else { "a single value" }))
}

fn quota(table: &Table<'_>) -> Result<BTreeMap<Option<String>, QuotaLimits>, Trouble> {
    table.only(QUOTA)?;
    let limits = |table: &Table<'_>| {
        Ok::<_, Trouble>(QuotaLimits {
            rpm: table.positive("rpm")?,
            tpm: table.positive("tpm")?,
            rpd: table.positive("rpd")?,
        })
    };
    let mut all = BTreeMap::new();
    let for_all = limits(table)?;
    if for_all != QuotaLimits::default() {
        all.insert(None, for_all);
    }
    if let Some(models) = table.table("models", "models")? {
        for (model, value) in models.entries() {
            let path = format!("{}.models.{model}", table.path());
            let table = value.table(&path)?;
            table.only(LIMITS)?;
            all.insert(Some(model.to_owned()), limits(&table)?);
        }
    }
    Ok(all)
}

fn workflow_table(table: &Table<'_>, name: WorkflowName, dir: &Path) -> Result<WorkflowTable, Trouble> {
    table.only(WORKFLOW)?;
    let small =
        |key: &str| Ok::<_, Trouble>(table.positive(key)?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)));
    let pattern = |key: &str, text: &str| Pattern::new(text).map_err(|why| table.refuse_key(key, &why));
    let input = match table.get("input") {
        None => None,
        Some(value) => Some(match value.string() {
            Some(text) => InputSource::File(pattern("input", text)?),
            None => InputSource::Command(input_command(&value.table("input")?)?),
        }),
    };
    let output = table.string("output")?.map(|text| pattern("output", text)).transpose()?;
    let max_iterations = small("max_iterations")?;
    if max_iterations.is_some_and(|n| n > 100) {
        return Err(table.refuse_key("max_iterations", "more than 100 rounds are not supported"));
    }
    let prompts = table.string("prompts")?.map(|path| dir.join(path));
    if let Some(path) = &prompts
        && !path.is_dir()
    {
        let clause =
            format!("{} is not a directory (wf-supervisor init --prompts makes one)", path.display());
        return Err(table.refuse_key("prompts", &clause));
    }
    let test_command = match table.get("test_command") {
        Some(value) if value.string().is_some() => {
            let clause = "no shell is involved: write a list, such as [\"cargo\", \"test\"]";
            return Err(table.refuse_key("test_command", clause));
        }
        _ => table.strings("test_command")?,
    };
    for key in ["test_command", "test_timeout"] {
        if table.get(key).is_some() && name != WorkflowName::Implement {
            return Err(table.refuse_key(key, "only the workflow implement runs tests"));
        }
    }
    let test_timeout = table.string("test_timeout")?.map(value::time).transpose();
    let test_timeout = test_timeout.map_err(|why| table.refuse_key("test_timeout", &why))?;
    if let Some(branch) = output.as_ref().filter(|_| name == WorkflowName::Implement)
        && !is_branch_name(branch.as_str())
    {
        return Err(
            table.refuse_key("output", "implement writes to a branch, and git takes no branch of this name")
        );
    }
    if test_command.as_ref().is_some_and(Vec::is_empty) {
        return Err(table.refuse_key("test_command", "the command is empty"));
    }
    Ok(WorkflowTable {
        input,
        output,
        max_iterations,
        commit: table.boolean("commit")?,
        drafter: table.table("drafter", "drafter")?.map(|t| role(&t)).transpose()?,
        reviewer: table.table("reviewer", "reviewer")?.map(|t| role(&t)).transpose()?,
        prompts,
        test_command,
        test_timeout,
    })
}

/// The rules of `git check-ref-format`, as far as a pattern can break them; an item's id cannot.
fn is_branch_name(pattern: &str) -> bool {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let plain = pattern.replace("{id}", "id");
    let is_bad =
        plain.contains(forbidden) || plain.contains("..") || plain.contains("@{") || plain.starts_with('-');
    !is_bad
        && plain.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part.strip_suffix(".lock").is_none()
        })
}

fn input_command(table: &Table<'_>) -> Result<Vec<String>, Trouble> {
    table.only(INPUT)?;
    match table.strings("command")? {
        Some(command) if command.first().is_some_and(|program| !program.is_empty()) => {
            if command.iter().any(|argument| argument.contains("{id}")) {
                Ok(command)
            } else {
                Err(table
                    .refuse_key("command", "no argument has {id}, so all items would have the same input"))
            }
        }
        _ => Err(table.refuse("a path or { command = [\"PROGRAM\", \"{id}\"] } is needed")),
    }
}

fn role(table: &Table<'_>) -> Result<RoleTable, Trouble> {
    table.only(ROLE)?;
    let Some(provider) = table.string("provider")? else {
        return Err(table.refuse("provider is missing"));
    };
    let model = table.string("model")?;
    if model.is_some_and(|m| m.is_empty() || m.len() > 128) {
        return Err(table.refuse_key("model", "a model's name has 1 to 128 bytes"));
    }
    let max_output_tokens = table.positive("max_output_tokens")?;
    Ok(RoleTable {
        provider: plain_name(provider).map_err(|why| table.refuse_key("provider", &why))?,
        model: model.map(str::to_owned),
        max_output_tokens: max_output_tokens.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
    })
}
