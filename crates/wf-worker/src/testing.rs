//! What several tests share: a stage with a project directory, a scripted model, and a supervisor that writes down
//! what it hears.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wf_protocol::{AcquireError, CallOutcome, LeaseRequest, Secret, Waiting};
use wf_providers::{Answer, Prompt, Refusal, Reply};

use crate::console::Console;
use crate::job::{Input, Job, Network, Role};
use crate::llm::{Sent, Wire};
use crate::run::{Finish, Surroundings, run};
use crate::session::{Lease, Session};
use crate::settings::Settings;
use crate::stop::{Cause, Stop};

/// A writer whose text can be read back; clones share it.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    /// All that was written.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A question as it went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// From its `wf-context` line.
    pub node: String,
    /// From its `wf-context` line.
    pub iteration: u32,
    /// The system text.
    pub system: String,
    /// The last turn.
    pub text: String,
    /// How many turns there were.
    pub turns: usize,
}

impl Asked {
    /// Such as `N1_draft 2`, with a `+` for a question that goes back to an earlier one.
    pub fn name(&self) -> String {
        format!("{} {}{}", self.node, self.iteration, if self.turns > 1 { "+" } else { "" })
    }
}

type Model = dyn Fn(&Asked) -> Sent + Send + Sync;

#[derive(Default)]
struct Heard {
    asked: Vec<Asked>,
    requests: Vec<LeaseRequest>,
    released: Vec<CallOutcome>,
    nodes: Vec<String>,
    denials: VecDeque<AcquireError>,
    waits: VecDeque<Waiting>,
    stop_after: Option<usize>,
}

/// A project directory and the actors around a worker.
pub struct Stage {
    /// Removed at the end.
    pub dir: tempfile::TempDir,
    /// The item's settings.
    pub job: Job,
    /// Standard output of all runs.
    pub sink: Sink,
    model: Arc<Model>,
    heard: Arc<Mutex<Heard>>,
}

impl Stage {
    /// A project with `issues/42.md`, and a model.
    pub fn new(model: impl Fn(&Asked) -> Sent + Send + Sync + 'static) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let role = |provider: &str, model: &str| Role {
            provider: provider.into(),
            kind: "gemini".into(),
            model: model.into(),
            base_url: "http://127.0.0.1:1".into(),
            max_output_tokens: 8000,
            network: Network::default(),
        };
        let wf = dir.path().join(".wf");
        fs::create_dir_all(wf.join("runs/r1")).unwrap();
        fs::create_dir_all(dir.path().join("issues")).unwrap();
        fs::write(dir.path().join("issues/42.md"), "# Cache the index\n\nIt is slow.\n").unwrap();
        let job = Job {
            workflow: "lld".into(),
            project_dir: dir.path().to_owned(),
            input: Input::File("issues/42.md".into()),
            output: "docs/lld/LLD-42.md".into(),
            our_output_sha256: None,
            lineage_dir: wf.join("lineage/lld_42"),
            audit_file: wf.join("runs/r1/workflow-audit-42.jsonl"),
            max_iterations: 3,
            commit: false,
            drafter: role("a", "drafter-1"),
            reviewer: role("g", "reviewer-1"),
            prompts_dir: None,
            redo: false,
            call_timeout_ms: 60_000,
            code: None,
        };
        let (model, heard) = (Arc::new(model), Arc::default());
        Stage { dir, job, sink: Sink::default(), model, heard }
    }

    /// Runs the item once, as one worker process would.
    pub fn run(&self) -> Finish {
        let stop = Stop::new();
        let settings = Settings {
            item: "42".into(),
            text: None,
            workflow: self.job.workflow.clone(),
            run: "r1".into(),
            attempt: 1,
            checkpoint: self.checkpoint(),
        };
        let session = FakeSession { heard: Arc::clone(&self.heard), stop: stop.clone() };
        let wire = FakeWire { heard: Arc::clone(&self.heard), model: Arc::clone(&self.model) };
        let around = Surroundings {
            session: Arc::new(session),
            wire: Arc::new(wire),
            console: Arc::new(Console::to(Box::new(self.sink.clone()))),
            stop,
        };
        run(&settings, self.job.clone(), around)
    }

    /// Has the next run asked to stop when this many nodes are finished.
    pub fn stop_after(&self, nodes: usize) {
        self.heard.lock().unwrap().stop_after = Some(nodes);
    }

    /// Has the next request for a lease answered so.
    pub fn deny(&self, error: AcquireError) {
        self.heard.lock().unwrap().denials.push_back(error);
    }

    /// Has the next request for a lease wait so first.
    pub fn wait(&self, waiting: Waiting) {
        self.heard.lock().unwrap().waits.push_back(waiting);
    }

    /// The item's checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.dir.path().join(".wf/checkpoints/lld_workflow_42.db")
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.heard.lock().unwrap().asked.clone()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.asked().iter().map(Asked::name).collect()
    }

    /// All requests for leases so far.
    pub fn requests(&self) -> Vec<LeaseRequest> {
        self.heard.lock().unwrap().requests.clone()
    }

    /// All leases that came back.
    pub fn released(&self) -> Vec<CallOutcome> {
        self.heard.lock().unwrap().released.clone()
    }

    /// All nodes whose end the supervisor heard of.
    pub fn nodes(&self) -> Vec<String> {
        self.heard.lock().unwrap().nodes.clone()
    }

    /// A file of the project, if it is there.
    pub fn file(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.dir.path().join(path)).ok()
    }

    /// The names in a directory of the project.
    pub fn files(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.dir.path().join(path)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

struct FakeSession {
    heard: Arc<Mutex<Heard>>,
    stop: Stop,
}

impl Session for FakeSession {
    fn acquire(
        &self,
        request: &LeaseRequest,
        on_waiting: &mut dyn FnMut(Waiting),
    ) -> Result<Box<dyn Lease>, AcquireError> {
        let mut heard = self.heard.lock().unwrap();
        heard.requests.push(request.clone());
        while let Some(waiting) = heard.waits.pop_front() {
            on_waiting(waiting);
        }
        if let Some(error) = heard.denials.pop_front() {
            return Err(error);
        }
        Ok(Box::new(FakeLease {
            heard: Arc::clone(&self.heard),
            secret: "sesame-sesame".into(),
            returned: false,
        }))
    }

    fn progress(&self, _: &str, _: u32, _: u16) {}

    fn checkpointed(&self, node: &str) {
        let mut heard = self.heard.lock().unwrap();
        heard.nodes.push(node.to_owned());
        if let Some(left) = heard.stop_after.as_mut() {
            *left -= 1;
            if *left == 0 {
                heard.stop_after = None;
                self.stop.request(Cause::Signal);
            }
        }
    }
}

struct FakeLease {
    heard: Arc<Mutex<Heard>>,
    secret: Secret,
    returned: bool,
}

impl Lease for FakeLease {
    fn key(&self) -> &'static str {
        "key-a"
    }
    fn secret(&self) -> &Secret {
        &self.secret
    }
    fn left(&self) -> Duration {
        Duration::from_secs(60)
    }
    fn release(mut self: Box<Self>, outcome: CallOutcome) {
        self.returned = true;
        self.heard.lock().unwrap().released.push(outcome);
    }
}

impl Drop for FakeLease {
    fn drop(&mut self) {
        assert!(self.returned, "a lease was dropped without a word");
    }
}

struct FakeWire {
    heard: Arc<Mutex<Heard>>,
    model: Arc<Model>,
}

impl Wire for FakeWire {
    fn send(&self, _: &Role, prompt: &Prompt, _: &Secret, _: Duration) -> Sent {
        let context = prompt.system.lines().last().unwrap();
        let field = |name: &str| {
            let word = context.split(' ').find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            word.unwrap_or_else(|| panic!("no {name} in {context:?}")).to_owned()
        };
        assert!(context.starts_with("wf-context: workflow="), "{context}");
        assert_eq!(field("item"), "42");
        let asked = Asked {
            node: field("node"),
            iteration: field("iteration").parse().unwrap(),
            system: prompt.system.clone(),
            text: prompt.turns.last().unwrap().text.clone(),
            turns: prompt.turns.len(),
        };
        self.heard.lock().unwrap().asked.push(asked.clone());
        (self.model)(&asked)
    }
}

/// An answer with this text.
pub fn says(text: impl Into<String>) -> Sent {
    Sent::Replied(Reply::Answer(Answer {
        text: text.into(),
        tokens_in: 100,
        tokens_out: 50,
        truncated: false,
        hints: Vec::new(),
    }))
}

/// A refusal.
pub fn refuses(refusal: Refusal) -> Sent {
    Sent::Replied(Reply::Refused(refusal))
}

/// A design that the mechanical check has nothing against.
pub const DESIGN: &str = "# LLD: Cache the index\n\n## Context & Goal\nThe index is slow.\n\n## Proposed Changes\n\
    Cache it.\n\n## Requirements\n1. Lookups take less than 1 ms.\n2. A stale cache is dropped.\n\n\
    ## Security & Safety\nNothing new is read.\n\n## Verification & Testing\n| ID | Scenario | Requirement |\n\
    | --- | --- | --- |\n| T1 | Look up | R1 |\n| T2 | Change the index | R2 |\n";

/// A review with these blocking findings and this box marked.
pub fn review(verdict: &str, blocking: &[&str]) -> String {
    let findings = match blocking {
        [] => "No issues found".into(),
        _ => blocking.iter().map(|f| format!("- [ ] **Finding:** {f}")).collect::<Vec<_>>().join("\n"),
    };
    let mark = |word: &str| if word == verdict { "[x]" } else { "[ ]" };
    format!(
        "## Pre-Flight Gate: PASSED\n\n## Review Summary\nRead.\n\n## Tier 1: BLOCKING Issues\n{findings}\n\
         ## Tier 2: HIGH PRIORITY Issues\nNo issues found\n\n## Tier 3: SUGGESTIONS\nNo issues found\n\n## Verdict\n\
         {} **APPROVED** - Ready for implementation\n{} **REVISE** - Fix Tier 1/2 issues first\n\
         {} **DISCUSS** - Needs Orchestrator decision\n",
        mark("APPROVED"),
        mark("REVISE"),
        mark("DISCUSS")
    )
}
