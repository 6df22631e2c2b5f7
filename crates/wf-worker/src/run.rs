//! One item from where it stands to an end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use wf_protocol::JobVerdict;

use crate::audit::{Audit, Entry};
use crate::checkpoint::{self, Checkpoint, Identity, Standing};
use crate::console::Console;
use crate::halt::Halt;
use crate::job::{Job, Role};
use crate::llm::Wire;
use crate::output;
use crate::prompts::Prompts;
use crate::session::Session;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::workflow::graph::drive;
use crate::workflow::work::{State, Work};
use crate::workflow::{self, Builtin, Ending, Next, Position};

/// How an item's attempt ended: the worker's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// How.
    pub verdict: JobVerdict,
    /// Why, in words for a person.
    pub detail: String,
    /// The output's path, relative to the project where it lies inside it, and its SHA-256.
    pub output: Option<(String, String)>,
    /// Whether there was no room for what must be written: no other item would find any either.
    pub out_of_room: bool,
}

impl Finish {
    /// A failure.
    pub fn failed(detail: impl Into<String>) -> Finish {
        Finish { verdict: JobVerdict::Failed, detail: detail.into(), output: None, out_of_room: false }
    }

    /// The exit code that says the same.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            JobVerdict::Approved => 0,
            JobVerdict::Failed => 1,
            JobVerdict::NeedsRevision => 3,
            JobVerdict::Interrupted if self.out_of_room => 74,
            JobVerdict::Interrupted => 75,
        }
    }
}

/// What the work is done with.
pub struct Surroundings {
    /// The supervisor.
    pub session: Arc<dyn Session>,
    /// The network.
    pub wire: Arc<dyn Wire>,
    /// The console.
    pub console: Arc<Console>,
    /// Whether to stop.
    pub stop: Stop,
}

/// Works on an item until its workflow ends or something halts it.
pub fn run(settings: &Settings, job: Job, around: Surroundings) -> Finish {
    let (run, item) = (&settings.run, &settings.item);
    let audit = Arc::new(Audit::new(job.audit_file.clone(), run, item, &job.workflow, settings.attempt));
    let began = Instant::now();
    let mut at = None;
    let finish = match prepare(settings, job, around, Arc::clone(&audit)) {
        Err(halt) => halted(halt),
        Ok((work, From::Ended(ending))) => end(&work, ending, true),
        Ok((mut work, From::Node(builtin, from))) => {
            let finish = match drive(builtin.workflow, from, work.job.max_iterations, &mut work) {
                Ok((ending, _)) => end(&work, ending, false),
                Err(halt) => left(&mut work, halt),
            };
            at = Some(work.at);
            finish
        }
    };
    let (node, iteration) = at.as_ref().map_or(("", 0), |at| (at.node.as_str(), at.iteration));
    audit.record(&Entry {
        node,
        iteration,
        event: "finished",
        duration_ms: Some(began.elapsed().as_millis() as u64),
        verdict: Some(word(finish.verdict)),
        detail: &finish.detail,
        ..Entry::default()
    });
    finish
}

/// A node that did not finish. What is committed stays; only a reply that cannot be used must not answer again.
fn left(work: &mut Work, halt: Halt) -> Finish {
    let spent = match &halt {
        Halt::BadReply(_) => work.checkpoint.spend_replies(&work.at),
        _ => Ok(()),
    };
    let halt = spent.map_or_else(Halt::from, |()| halt);
    match &halt {
        Halt::Stopped(cause) => {
            work.console.say(&format!("stopping: {}; the work so far is kept", cause.words()));
        }
        Halt::Passing(why) | Halt::Failed(why) | Halt::BadReply(why) => {
            work.console.say(&format!("<<< {}: {why}", work.at.node));
        }
    }
    let mut finish = halted(halt);
    if finish.verdict == JobVerdict::Failed {
        finish.detail += &work.whereabouts();
    }
    finish
}

fn word(verdict: JobVerdict) -> &'static str {
    match verdict {
        JobVerdict::Approved => "approved",
        JobVerdict::NeedsRevision => "needs-revision",
        JobVerdict::Interrupted => "interrupted",
        JobVerdict::Failed => "failed",
    }
}

fn halted(halt: Halt) -> Finish {
    let (verdict, detail) = match halt {
        Halt::Stopped(cause) => (JobVerdict::Interrupted, cause.words().to_owned()),
        Halt::Passing(why) => (JobVerdict::Interrupted, why),
        Halt::Failed(why) if is_out_of_room(&why) => {
            let detail = format!("{why}; make room and run the same command again");
            return Finish { verdict: JobVerdict::Interrupted, detail, output: None, out_of_room: true };
        }
        Halt::Failed(why) | Halt::BadReply(why) => (JobVerdict::Failed, why),
    };
    Finish { verdict, detail, output: None, out_of_room: false }
}

/// Whether a disk or a quota of one is full, or has no inode left. Known by the system's words, and `SQLite`'s: whatever failed to
/// write has made a sentence of its error by now that names the file.
fn is_out_of_room(why: &str) -> bool {
    let of_system = [Errno::ENOSPC, Errno::EDQUOT].map(|errno| format!("(os error {})", errno as i32));
    of_system.iter().any(|words| why.contains(words)) || why.contains("database or disk is full")
}

/// The end of a workflow; `again` where it had come to it before, and it is only said once more.
fn end(work: &Work, ending: Ending, again: bool) -> Finish {
    let count = |n: u32, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if ending == Ending::Approved {
        work.checkpoint.leave_unmerged();
        return Finish {
            verdict: JobVerdict::Approved,
            detail: format!("approved after {}{}", count(work.state.reviews, "review"), elsewhere(work)),
            output: work.state.output.clone(),
            out_of_room: false,
        };
    }
    let why = match &work.state.reason {
        Some(reason) => reason.clone(),
        None => format!("not approved after {}", count(work.job.max_iterations.max(1), "iteration")),
    };
    let needs_revision =
        |detail| Finish { verdict: JobVerdict::NeedsRevision, detail, output: None, out_of_room: false };
    match kept_draft(work, again) {
        Ok(None) => needs_revision(why + &work.whereabouts()),
        Ok(Some(path)) => needs_revision(format!("{why}; the last draft is {path}")),
        Err(halt) => halted(halt),
    }
}

/// Where the output went, as a clause, where that is not its usual place: nobody finds it there by chance.
fn elsewhere(work: &Work) -> String {
    let Some((path, _)) = &work.state.output else { return String::new() };
    if work.job.code.is_some() {
        let is_usual = work.job.output.as_os_str() == path.as_str();
        if is_usual { String::new() } else { format!("; on branch {path}") }
    } else {
        let is_usual = work.shown(&work.output_path()) == *path;
        if is_usual { String::new() } else { format!("; written to {path}") }
    }
}

/// The draft beside the output. One from before, perhaps edited by now, is left alone.
fn kept_draft(work: &Work, again: bool) -> Result<Option<String>, Halt> {
    if work.job.code.is_some() {
        return Ok(None);
    }
    let path = output::marked(&work.output_path(), "draft");
    // Of one that was killed here.
    output::remove_unfinished(&path);
    if again && path.exists() { Ok(Some(work.shown(&path))) } else { work.keep_draft() }
}

/// Where the work goes on.
enum From {
    Node(Builtin, Position),
    Ended(Ending),
}

fn prepare(
    settings: &Settings,
    mut job: Job,
    around: Surroundings,
    audit: Arc<Audit>,
) -> Result<(Work, From), Halt> {
    let console = Arc::clone(&around.console);
    if settings.workflow != job.workflow {
        let (variable, job) = (&settings.workflow, &job.workflow);
        return Err(Halt::Failed(format!("WF_WORKFLOW says {variable:?}, the job says {job:?}")));
    }
    let builtin = workflow::find(&job.workflow).map_err(Halt::Failed)?;
    let prompts = Prompts::load(job.prompts_dir.as_deref()).map_err(Halt::Failed)?;
    let (mut checkpoint, standing) = open(settings, &job, &console)?;
    let (state, from) = resume(builtin, &job, standing, settings)?;
    match &from {
        Resume::Start => checkpoint.restart(&identity(settings, &job), None)?,
        Resume::Redo(at) => {
            let state = serde_json::to_string(&state).map_err(|e| Halt::Failed(e.to_string()))?;
            let own = checkpoint.identity().clone();
            checkpoint.restart(&own, Some((at, &state)))?;
        }
        Resume::Fresh | Resume::GoOn(_) | Resume::Report(_) => {}
    }
    keep_models(&mut job, checkpoint.identity(), &console);
    let from = match from {
        Resume::Fresh | Resume::Start => From::Node(builtin, builtin.workflow.start()),
        Resume::GoOn(at) | Resume::Redo(at) => {
            console.say(&format!("resuming at {at}"));
            From::Node(builtin, at)
        }
        Resume::Report(ending) => From::Ended(ending),
    };
    let prefix = builtin.workflow.prefix;
    let item = settings.item.clone();
    let work = Work {
        kind: builtin.kind,
        label: if item.starts_with(prefix) { item.clone() } else { format!("{prefix}{item}") },
        item,
        note: settings.text.clone(),
        job,
        state,
        checkpoint,
        prompts,
        audit,
        console,
        session: around.session,
        wire: around.wire,
        stop: around.stop,
        calls: 0,
        share: 0,
        at: builtin.workflow.start(),
        began: Instant::now(),
        visited: false,
    };
    Ok((work, from))
}

fn identity(settings: &Settings, job: &Job) -> Identity {
    Identity {
        item: settings.item.clone(),
        workflow: job.workflow.clone(),
        drafter: job.drafter.clone(),
        reviewer: job.reviewer.clone(),
    }
}

/// Opens the checkpoint. One that cannot be used is set aside when `--redo` asked for it, and only then.
fn open(settings: &Settings, job: &Job, console: &Console) -> Result<(Checkpoint, Standing), Halt> {
    let identity = identity(settings, job);
    match Checkpoint::open(&settings.checkpoint, &identity) {
        Err(error) if job.redo && error.is_cured_by_redo() => {
            let failed = |e: std::io::Error| Halt::Failed(format!("{error}; it cannot be set aside: {e}"));
            let aside: PathBuf = checkpoint::set_aside(&settings.checkpoint).map_err(failed)?;
            console.say(&format!("a checkpoint that cannot be used is set aside as {}", aside.display()));
            Ok(Checkpoint::open(&settings.checkpoint, &identity)?)
        }
        other => Ok(other?),
    }
}

/// How the work goes on from where it stands.
enum Resume {
    /// Nothing is done yet.
    Fresh,
    /// What is done is done again.
    Start,
    /// The node after the last finished one.
    GoOn(Position),
    /// The loop once more, with the findings a person was left with.
    Redo(Position),
    /// It ended before; the same is said again.
    Report(Ending),
}

fn resume(
    builtin: Builtin,
    job: &Job,
    standing: Standing,
    settings: &Settings,
) -> Result<(State, Resume), Halt> {
    let Some((next, state)) = standing else { return Ok((State::default(), Resume::Fresh)) };
    let mut state: State = serde_json::from_str(&state).map_err(|e| {
        Halt::from(checkpoint::CheckpointError::Corrupt {
            path: settings.checkpoint.clone(),
            why: format!("its state cannot be read: {e}"),
        })
    })?;
    let at = |node: &str| Position { node: node.to_owned(), ..builtin.workflow.start() };
    Ok(match next {
        Next::Node(at) => (state, Resume::GoOn(at)),
        Next::End { ending: Ending::Approved, .. } if job.redo => (State::default(), Resume::Start),
        // The last step makes sure that the output is in place; it costs nothing where it is.
        Next::End { ending: Ending::Approved, .. } => (state, Resume::GoOn(at(builtin.places))),
        Next::End { .. } if job.redo => {
            state.start_over();
            let node = (builtin.redone_at)(&state);
            (state, Resume::Redo(at(node)))
        }
        Next::End { ending, .. } => (state, Resume::Report(ending)),
    })
}

/// A resumed item keeps its models, wherever their provider listens by now.
fn keep_models(job: &mut Job, recorded: &Identity, console: &Console) {
    let configured = [job.drafter.clone(), job.reviewer.clone()];
    let keep = |role: &mut Role, kept: &Role, name: &str| {
        if (&role.provider, &role.model) != (&kept.provider, &kept.model) {
            console.say(&format!(
                "the {name} stays {} of {}, with which the work began (configured now: {} of {})",
                kept.model, kept.provider, role.model, role.provider
            ));
        }
        let known = [&*role].into_iter().chain(&configured).find(|r| r.provider == kept.provider);
        let Role { base_url, network, .. } = known.unwrap_or(kept).clone();
        *role = Role { base_url, network, ..kept.clone() };
    };
    keep(&mut job.drafter, &recorded.drafter, "drafter");
    keep(&mut job.reviewer, &recorded.reviewer, "reviewer");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_no_failure_of_the_item() {
        let full = std::io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        let quota = std::io::Error::from_raw_os_error(Errno::EDQUOT as i32);
        for (why, code) in [
            (format!("output a.md cannot be written: {full}"), 74),
            (format!("lineage x cannot be written: {quota}"), 74),
            ("checkpoint x cannot be used: database or disk is full".to_owned(), 74),
            ("output a.md cannot be written: Permission denied (os error 13)".to_owned(), 1),
        ] {
            let finish = halted(Halt::Failed(why.clone()));
            assert_eq!(finish.exit_code(), code, "{why}");
            assert!(finish.detail.starts_with(&why), "{}", finish.detail);
        }
    }
}
