//! One item being worked on: what its nodes share, and what is made durable after each.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wf_providers::{Prompt, Speaker, Turn};

use super::Kind;
use super::code::Code;
use super::graph::{Done, Ending, Host, Next, Position};
use crate::audit::{Audit, Entry};
use crate::checkpoint::{CallName, Checkpoint, CheckpointError, Reply};
use crate::console::{Console, one_line};
use crate::halt::Halt;
use crate::job::{CodeJob, Job, Role};
use crate::lineage;
use crate::llm::{Call, Caller, Wire};
use crate::output;
use crate::prompts::Prompts;
use crate::session::Session;
use crate::stop::Stop;

/// Most entries of what happened before that a prompt carries.
const HISTORY: usize = 6;

/// Most findings that go into a prompt, and bytes of each: a reply may be any size.
const FINDINGS: usize = 50;
const FINDING_BYTES: usize = 2000;

/// Largest piece of a model's own reply that is shown to it again, in bytes.
const QUOTED_BYTES: usize = 64 * 1024;

/// What a node leaves for those after it; the checkpoint has it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The input's text.
    pub input: String,
    /// SHA-256 of its bytes as they were read.
    pub input_sha256: String,
    /// The document as it stands.
    pub document: String,
    /// What the next draft is to resolve.
    pub findings: Vec<String>,
    /// Whether those come from a review, not from the mechanical check.
    pub reviewed: bool,
    /// What the mechanical check still found when its rounds were used up.
    pub unresolved: Vec<String>,
    /// What happened before, oldest first, a line each.
    pub history: Vec<String>,
    /// What the last review blocked on: its blocking findings, or all of them where none is.
    pub objections: Vec<String>,
    /// Reviews read so far.
    pub reviews: u32,
    /// Why a person must look, if one must.
    pub reason: Option<String>,
    /// SHA-256 of each draft that was kept beside the output.
    pub kept_drafts: Vec<String>,
    /// Where the output went, and its SHA-256.
    pub output: Option<(String, String)>,
    /// What work on code adds to this.
    #[serde(default)]
    pub code: Code,
}

impl State {
    /// A person asked for another go: an answer to the same objections is awaited, not a stagnation.
    pub fn start_over(&mut self) {
        self.objections.clear();
        self.code.start_over();
    }
}

/// One item being worked on.
pub struct Work {
    /// What its workflow makes, and by which templates.
    pub kind: &'static Kind,
    /// The item's id.
    pub item: String,
    /// The name people see, such as `LLD-42`.
    pub label: String,
    /// The item's text, where it has one beside its id.
    pub note: Option<String>,
    /// What the supervisor handed over, with the models that the checkpoint has.
    pub job: Job,
    /// See [`State`].
    pub state: State,
    /// Where it is kept.
    pub checkpoint: Checkpoint,
    /// The templates.
    pub prompts: Prompts,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// The console.
    pub console: Arc<Console>,
    /// The supervisor.
    pub session: Arc<dyn Session>,
    /// The network.
    pub wire: Arc<dyn Wire>,
    /// Whether to stop.
    pub stop: Stop,
    /// Calls begun in this attempt.
    pub calls: u64,
    /// How far the workflow has come, in thousandths.
    pub share: u16,
    /// Where it stands.
    pub at: Position,
    /// When the node began.
    pub began: Instant,
    /// Whether the worktree was looked at in this attempt.
    pub visited: bool,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The drafter.
    Drafter,
    /// The reviewer.
    Reviewer,
}

/// A question for a model.
pub struct Question {
    /// Who is asked.
    pub asked: Asked,
    /// What for; see [`CallName::purpose`].
    pub purpose: &'static str,
    /// The question.
    pub text: String,
    /// An earlier question of the same node and its answer, where this one goes back to it.
    pub earlier: Option<(String, String)>,
    /// Tokens of the reply, as expected.
    pub expected_tokens: u64,
}

impl Work {
    /// Asks a model, unless its reply was received before.
    pub fn ask(&mut self, question: &Question) -> Result<Reply, Halt> {
        let name = CallName { at: self.at.clone(), purpose: question.purpose };
        if let Some(reply) = self.checkpoint.reply(&name)? {
            let role = self.role(question.asked);
            self.audit.record(&Entry {
                node: &self.at.node,
                iteration: self.at.iteration,
                event: "reused",
                provider: Some(&role.provider),
                model: Some(&role.model),
                detail: &format!("the {} was received before", question.purpose),
                ..Entry::default()
            });
            return Ok(reply);
        }
        let prompt = self.prompt(question)?;
        let role = self.role(question.asked).clone();
        self.calls += 1;
        let call = Call {
            number: self.calls,
            node: &self.at.node,
            iteration: self.at.iteration,
            share: self.share,
            role: &role,
            prompt: &prompt,
            expected_tokens: question.expected_tokens.min(u64::from(role.max_output_tokens)),
            limit: Duration::from_millis(self.job.call_timeout_ms),
        };
        let caller = Caller {
            session: &*self.session,
            wire: &*self.wire,
            console: &self.console,
            audit: &self.audit,
            stop: &self.stop,
        };
        let checkpoint = &mut self.checkpoint;
        let mut kept = Reply::default();
        caller.make(&call, &mut |answer| {
            kept = Reply {
                text: answer.text.clone(),
                truncated: answer.truncated,
                tokens_in: answer.tokens_in,
                tokens_out: answer.tokens_out,
            };
            checkpoint.keep_reply(&name, &kept).map_err(Halt::from)
        })?;
        if kept.text.is_empty() && !kept.truncated {
            self.console.say(&format!(
                "{} ended its reply without a word ({} tokens in, {} out)",
                role.model, kept.tokens_in, kept.tokens_out
            ));
        }
        Ok(kept)
    }

    fn role(&self, asked: Asked) -> &Role {
        match asked {
            Asked::Drafter => &self.job.drafter,
            Asked::Reviewer => &self.job.reviewer,
        }
    }

    fn prompt(&self, question: &Question) -> Result<Prompt, Halt> {
        let template = match question.asked {
            Asked::Drafter => self.kind.drafter,
            Asked::Reviewer => self.kind.reviewer,
        };
        let mut system = self.render(template, minijinja::context! {})?;
        // For tracing on the other side of the wire; a template of the operator's own cannot lose it.
        let Position { node, iteration, .. } = &self.at;
        let (workflow, item) = (self.kind.workflow, &self.item);
        let _ = write!(
            system,
            "\n\nwf-context: workflow={workflow} node={node} iteration={iteration} item={item}"
        );
        let max_output_tokens = self.role(question.asked).max_output_tokens;
        let mut prompt = Prompt::ask(system, question.text.clone(), max_output_tokens);
        if let Some((earlier, answer)) = &question.earlier {
            let answer = match cut(answer, QUOTED_BYTES) {
                // Providers refuse an empty turn.
                "" => "(no text)",
                text => text,
            };
            prompt.turns = vec![
                Turn { speaker: Speaker::User, text: earlier.clone() },
                Turn { speaker: Speaker::Model, text: answer.to_owned() },
                Turn { speaker: Speaker::User, text: question.text.clone() },
            ];
        }
        Ok(prompt)
    }

    /// Fills in a template: the values given, over those that every template may use.
    pub fn render(&self, name: &str, values: minijinja::Value) -> Result<String, Halt> {
        let common = minijinja::context! {
            document => self.kind.document,
            item => self.item.clone(),
            input => self.state.input.clone(),
            note => self.note.clone(),
            current => self.state.document.clone(),
            history => self.state.history.clone(),
            template => self.prompts.text(self.kind.template),
            ..values
        };
        self.prompts.render(name, common).map_err(Halt::Failed)
    }

    /// Adds a line to what happened before; the oldest goes.
    pub fn remember(&mut self, entry: &str) {
        self.state.history.push(one_line(entry, FINDING_BYTES));
        let surplus = self.state.history.len().saturating_sub(HISTORY);
        self.state.history.drain(..surplus);
    }

    /// Adds a file to the lineage.
    pub fn trace(&self, kind: lineage::Kind, text: &str) -> Result<PathBuf, Halt> {
        lineage::add(&self.job.lineage_dir, kind, text).map_err(|e| {
            Halt::Failed(format!("lineage {} cannot be written: {e}", self.job.lineage_dir.display()))
        })
    }

    /// Adds a line to the audit trail.
    pub fn record(&self, event: &str, detail: &str) {
        let (node, iteration) = (self.at.node.as_str(), self.at.iteration);
        self.audit.record(&Entry { node, iteration, event, detail, ..Entry::default() });
    }

    /// A path as people know it: relative to the project where it lies inside it.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.job.project_dir).unwrap_or(path).display().to_string()
    }

    /// The output's path; of no meaning for code.
    pub fn output_path(&self) -> PathBuf {
        self.job.project_dir.join(&self.job.output)
    }

    /// What work on code needs. The supervisor sends it with every job of `implement`.
    pub fn code_job(&self) -> Result<&CodeJob, Halt> {
        self.job
            .code
            .as_ref()
            .ok_or_else(|| Halt::Failed("the job says nothing of a worktree or of tests".into()))
    }

    /// Where a person finds unfinished code, as a clause; empty where there is none.
    pub fn whereabouts(&self) -> String {
        match &self.job.code {
            Some(code) if code.worktree.exists() => {
                format!(
                    "; its worktree is {} (branch {})",
                    self.shown(&code.worktree),
                    self.state.code.place.branch
                )
            }
            _ => String::new(),
        }
    }

    /// Puts the last draft beside the output, for the person who must look, and says where.
    pub fn keep_draft(&self) -> Result<Option<String>, Halt> {
        if self.state.document.is_empty() {
            return Ok(None);
        }
        let path = output::marked(&self.output_path(), "draft");
        let ours: Vec<&str> = self.state.kept_drafts.iter().map(String::as_str).collect();
        let placed = output::place(&path, self.state.document.as_bytes(), &ours)
            .map_err(|e| Halt::Failed(format!("draft {} cannot be written: {e}", self.shown(&path))))?;
        Ok(Some(self.shown(&placed.path)))
    }
}

/// Findings as prompts carry them: bounded in number and length, each on one line.
pub fn bounded(findings: impl IntoIterator<Item = String>) -> Vec<String> {
    findings
        .into_iter()
        .take(FINDINGS)
        .map(|f| one_line(&f, FINDING_BYTES))
        .filter(|f| !f.is_empty())
        .collect()
}

/// The beginning of a text, at most this long.
fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl From<CheckpointError> for Halt {
    fn from(error: CheckpointError) -> Halt {
        Halt::Failed(error.to_string())
    }
}

impl Host for Work {
    fn begins(&mut self, at: &Position, looped: bool, share: u16) -> Result<(), Halt> {
        if let Some(cause) = self.stop.requested() {
            return Err(Halt::Stopped(cause));
        }
        self.at = at.clone();
        self.share = share;
        self.began = Instant::now();
        let of = self.job.max_iterations.max(1);
        let iteration = if looped { format!(" (iteration {} of {of})", at.iteration) } else { String::new() };
        self.console.say(&format!(">>> Executing: {}{iteration}", at.node));
        self.session.progress(&at.node, at.iteration, share);
        self.record("node-started", "");
        Ok(())
    }

    fn finished(&mut self, at: &Position, done: &Done, next: &Next) -> Result<(), Halt> {
        let needs_revision = matches!(next, Next::End { ending: Ending::NeedsRevision, .. });
        if needs_revision && !self.state.document.is_empty() {
            // Known as ours before it is written, so that a worker killed in between replaces it later.
            self.state.kept_drafts.push(output::sha256(self.state.document.as_bytes()));
        }
        let state = serde_json::to_string(&self.state)
            .map_err(|e| Halt::Failed(format!("the state of {} cannot be written: {e}", at.node)))?;
        self.checkpoint.commit(at, &done.line, next, &state, &self.state.input_sha256)?;
        self.session.checkpointed(&at.node);
        self.audit.record(&Entry {
            node: &at.node,
            iteration: at.iteration,
            event: "node-finished",
            duration_ms: Some(self.began.elapsed().as_millis() as u64),
            detail: &done.line,
            ..Entry::default()
        });
        self.console.say(&format!("<<< {}: {}", at.node, done.line));
        Ok(())
    }
}
