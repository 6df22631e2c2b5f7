//! What a run needs to know, resolved: plain values without a trace of where they came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wf_core::ItemId;
use wf_core::credentials::{PoolSpec, QuotaLimits};
use wf_providers::Dialect;
use wf_worker::job::Network;

use super::layers::Setting;
use super::project::Project;
use super::schema::InputSource;
use crate::cli::value::{OutputMode, ProgressMode, Redo, WorkflowName};
use crate::items::Pattern;
use crate::items::placeholders::Template;
use crate::keys::KeyConfig;

/// A provider, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Its name in the configuration.
    pub name: String,
    /// The wire dialect.
    pub kind: Dialect,
    /// Scheme, host and path prefix, without a trailing slash.
    pub base_url: String,
    /// How calls travel.
    pub network: Network,
}

impl ProviderSettings {
    /// The provider that a dialect is named after, at its own address.
    pub fn built_in(kind: Dialect) -> ProviderSettings {
        ProviderSettings {
            name: kind.name().to_owned(),
            kind,
            base_url: kind.default_base_url().to_owned(),
            network: Network::default(),
        }
    }

    /// The variable in which `--with-key` hands over a key: the usual one of the provider's kind.
    pub fn key_variable(&self) -> &'static str {
        self.kind.key_variables().first().copied().unwrap_or("API_KEY")
    }

    /// The embedded mock. Its address is known once it listens; until then it is empty.
    pub fn mock() -> ProviderSettings {
        ProviderSettings {
            name: "mock".to_owned(),
            kind: Dialect::Gemini,
            base_url: String::new(),
            network: Network::default(),
        }
    }
}

/// A model in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// Whose model it is.
    pub provider: ProviderSettings,
    /// The model as the provider knows it.
    pub model: String,
    /// Upper bound of a reply, in tokens.
    pub max_output_tokens: u32,
}

/// A built-in workflow, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowSettings {
    /// Which one.
    pub name: WorkflowName,
    /// Where its input comes from.
    pub input: InputSource,
    /// The output's path; of `implement` the branch.
    pub output: Pattern,
    /// Rounds of the revise loop, at least 1.
    pub max_iterations: u32,
    /// Commit the output with git.
    pub commit: bool,
    /// Who drafts.
    pub drafter: RoleSettings,
    /// Who reviews.
    pub reviewer: RoleSettings,
    /// A directory of prompt templates that replace the embedded ones; absolute.
    pub prompts_dir: Option<PathBuf>,
    /// What `implement` runs to test; a run of it has one.
    pub test_command: Option<Vec<String>>,
    /// How long that may take.
    pub test_timeout: Duration,
}

/// What is done with each item.
#[derive(Clone, Debug)]
pub enum Work {
    /// A built-in workflow.
    Workflow(Box<WorkflowSettings>),
    /// A command.
    Command(Template),
}

impl Work {
    /// The word for it in the journal: a workflow's name, or `command`.
    pub fn word(&self) -> &'static str {
        match self {
            Work::Workflow(workflow) => workflow.name.word(),
            Work::Command(_) => "command",
        }
    }

    /// What precedes an id in messages and file names.
    pub fn prefix(&self) -> &'static str {
        match self {
            Work::Workflow(workflow) => workflow.name.prefix(),
            Work::Command(_) => "",
        }
    }
}

/// The pool as configured; no secret is in it.
#[derive(Clone, Debug, Default)]
pub struct PoolSettings {
    /// Every provider by name: the built-in ones and those of the configuration.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// The keys, in order.
    pub keys: Vec<KeyConfig>,
    /// Limits by group and model.
    pub limits: BTreeMap<String, BTreeMap<Option<String>, QuotaLimits>>,
}

impl PoolSettings {
    /// What the core knows of the pool.
    pub fn spec(&self) -> PoolSpec {
        PoolSpec {
            keys: self.keys.iter().map(KeyConfig::spec).collect(),
            limits: self.limits.clone(),
            ..PoolSpec::default()
        }
    }
}

impl Settings {
    /// A provider whose key the run needs and has no source of that seems to be there. Of a mock run none is needed.
    pub fn misses_key_of(&self, environ: &dyn super::Environ) -> Option<&str> {
        let needed: Vec<&str> = match (&self.work, &self.mock) {
            (_, Some(_)) => Vec::new(),
            (Work::Workflow(work), None) => vec![&work.drafter.provider.name, &work.reviewer.provider.name],
            (Work::Command(_), None) => self.with_key.iter().map(String::as_str).collect(),
        };
        let is_there =
            |name: &str| self.pool.keys.iter().any(|k| k.provider == name && k.source.seems_present(environ));
        needed.into_iter().find(|name| !is_there(name))
    }
}

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where things are.
    pub project: Project,
    /// The pool. Of a mock run it is empty: the mock brings its own keys.
    pub pool: PoolSettings,
    /// What is done with each item.
    pub work: Work,
    /// Workers at once, the cap applied.
    pub parallel: u16,
    /// One attempt's time; without an end for a command, unless it is given.
    pub timeout: Option<Duration>,
    /// Time without output or message.
    pub idle_timeout: Option<Duration>,
    /// The whole run's time.
    pub run_timeout: Option<Duration>,
    /// The longest wait for quota of one call.
    pub max_wait: Duration,
    /// Between asking a worker to stop and killing it.
    pub grace: Duration,
    /// The longest one API call may take.
    pub call_timeout: Duration,
    /// Repetitions of one call refused although paced; without it only its waiting is bounded.
    pub max_retries: Option<u32>,
    /// How often a failed item is run again.
    pub item_retries: u32,
    /// Exit codes by which a command says that now is not the time.
    pub tempfail: Vec<u8>,
    /// Failures after which nothing more is started.
    pub max_fail: Option<u32>,
    /// Tokens of the whole run.
    pub budget_tokens: Option<u64>,
    /// Every line is an item's text.
    pub lines: bool,
    /// Run items again that are done or need revision.
    pub redo: Redo,
    /// `--redo-item`.
    pub redo_items: Vec<ItemId>,
    /// Show the plan and do nothing.
    pub dry_run: bool,
    /// What reaches the console.
    pub output: OutputMode,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// GNU parallel's job log; absolute.
    pub joblog: Option<PathBuf>,
    /// Providers whose key a command gets.
    pub with_key: Vec<String>,
    /// Variables that stay in the workers' environment.
    pub pass_env: Vec<String>,
    /// What the user calls the run.
    pub name: Option<String>,
    /// The mock's profile, if the mock answers.
    pub mock: Option<String>,
    /// Bound of one item's log.
    pub max_log_bytes: u64,
    /// Each setting with its origin, for `-v`.
    pub origins: Vec<Setting>,
    /// What people should know before the run starts.
    pub warnings: Vec<String>,
}
