//! What a worker is told to do: the JSON inside the protocol's `Welcome`.
//!
//! The supervisor resolves configuration once and hands each worker a complete [`Job`], so a worker reads no
//! configuration file and no environment beyond `WF_*`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One item's work, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `issue`, `lld` or `implement`.
    pub workflow: String,
    /// The directory of `wf.toml`, or of the invocation: relative paths are relative to it, git runs in it.
    pub project_dir: PathBuf,
    /// Where the input comes from.
    pub input: Input,
    /// The output, relative to `project_dir`, or absolute (`--mock` puts it under `.wf/mock/`). Of `implement` the
    /// branch.
    pub output: PathBuf,
    /// SHA-256 (hexadecimal) of the output as an earlier run of ours left it; of a branch, of its last commit's id. An
    /// output that exists with other bytes is somebody else's and is never replaced: the new one goes beside it.
    pub our_output_sha256: Option<String>,
    /// This item's lineage directory, such as `.wf/lineage/lld_42`; absolute.
    pub lineage_dir: PathBuf,
    /// This item's audit file, such as `.wf/runs/<run>/workflow-audit-42.jsonl`; absolute, appended to.
    pub audit_file: PathBuf,
    /// Rounds of the revise loop, at least 1.
    pub max_iterations: u32,
    /// Commit the output with git when it is approved and `project_dir` is inside a repository.
    pub commit: bool,
    /// Who drafts.
    pub drafter: Role,
    /// Who reviews.
    pub reviewer: Role,
    /// A directory whose files replace the embedded prompt templates of the same name; absolute.
    pub prompts_dir: Option<PathBuf>,
    /// Continue an item that ended as `needs-revision`, or start a finished one again (`--redo`).
    pub redo: bool,
    /// The longest one API call may take, in milliseconds.
    pub call_timeout_ms: u64,
    /// What work on code needs beside this; `implement` only.
    #[serde(default)]
    pub code: Option<CodeJob>,
}

/// What work on code needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeJob {
    /// The item's worktree, such as `.wf/worktrees/impl-42`; absolute.
    pub worktree: PathBuf,
    /// The repository that a mock run keeps apart, such as `.wf/mock/repository.git`; absolute. `None`: the branch is
    /// made in the project's.
    pub repository: Option<PathBuf>,
    /// The state directory; absolute. No change may touch it, also where it lies in the project by another name.
    pub state_dir: PathBuf,
    /// What runs the tests: program and arguments, no shell; `{id}` stands for the item.
    pub test_command: Vec<String>,
    /// How long it may take, in milliseconds.
    pub test_timeout_ms: u64,
    /// SHA-256 (hexadecimal) of designs that the `lld` workflow approved for this item.
    pub approved_designs: Vec<String>,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A file, relative to the project directory or absolute.
    File(PathBuf),
    /// The standard output of a command: program and arguments, no shell.
    Command(Vec<String>),
}

/// A model in a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The provider's name in the configuration; leases are asked for by it.
    pub provider: String,
    /// The wire dialect: `gemini`, `anthropic` or `openai`.
    pub kind: String,
    /// The model as the provider knows it.
    pub model: String,
    /// Scheme, host and optional path prefix, without a trailing slash.
    pub base_url: String,
    /// Upper bound of the reply, in tokens.
    pub max_output_tokens: u32,
    /// How calls travel.
    #[serde(default)]
    pub network: Network,
}

/// How calls to a provider travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Ask for replies as streams.
    pub stream: bool,
    /// The longest silence inside a streamed reply, its beginning included, in milliseconds; `None` for no bound but the
    /// call's.
    pub stall_ms: Option<u64>,
    /// The proxy's address, or `off` for none; `None` leaves it to the environment.
    pub proxy: Option<String>,
}

impl Network {
    /// The longest silence inside a streamed reply.
    pub fn stall(&self) -> Option<Duration> {
        self.stall_ms.map(Duration::from_millis)
    }
}

impl Default for Network {
    /// Streams, because long replies that come in one piece are cut by what lies on the way; two minutes of silence,
    /// because a model may think that long before its first word.
    fn default() -> Network {
        Network { stream: true, stall_ms: Some(120_000), proxy: None }
    }
}
