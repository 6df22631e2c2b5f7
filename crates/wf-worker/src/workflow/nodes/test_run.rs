//! The project's tests, run in the worktree.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::site::Site;
use crate::child::{self, ChildError, Output, Program};
use crate::code::failing::{failing, plain};
use crate::halt::Halt;
use crate::workflow::work::Work;

/// How much of the output's end is kept and looked through, in bytes.
const KEPT_BYTES: usize = 256 * 1024;

/// How much of that a model is shown, in bytes.
const SHOWN_BYTES: usize = 16 * 1024;

/// How many failing tests a line names.
const NAMED: usize = 3;

/// What came of running the tests.
pub struct TestRun {
    /// Whether they passed.
    pub passed: bool,
    /// How the command ended, in words.
    pub how: String,
    /// The end of its output.
    pub output: String,
    /// What failed; see [`failing`].
    pub failing: Vec<String>,
}

impl TestRun {
    /// What failed, for a line.
    pub fn summary(&self) -> String {
        let named: Vec<&str> = self.failing.iter().take(NAMED).map(String::as_str).collect();
        let more = match self.failing.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("{}: {}{more}", self.how, named.join(", "))
    }
}

/// The test command as people type it.
pub fn shown(work: &Work) -> Result<String, Halt> {
    Ok(command(work)?.join(" "))
}

fn command(work: &Work) -> Result<Vec<String>, Halt> {
    Ok(work.code_job()?.test_command.iter().map(|word| word.replace("{id}", &work.item)).collect())
}

/// Runs the test command. Its output is the worker's. Only a command that cannot be run at all is an error.
pub fn run(work: &Work, site: &Site) -> Result<TestRun, Halt> {
    let command = command(work)?;
    let Some((name, args)) = command.split_first() else {
        return Err(Halt::Failed(
            "the test command is empty: see test_command in [workflow.implement]".into(),
        ));
    };
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let program = Program {
        name: OsStr::new(name),
        args: &args,
        dir: &site.root,
        limit: Duration::from_millis(work.code_job()?.test_timeout_ms),
        output: Output::Shown(&work.console, KEPT_BYTES),
    };
    work.console.say(&format!("$ {}", command.join(" ")));
    let (passed, how, output) = match child::run(&program, &work.stop) {
        Ok(ended) => (ended.status.success(), ended.status.to_string(), ended.output),
        Err(ChildError::Stopped(cause)) => return Err(Halt::Stopped(cause)),
        Err(error @ ChildError::TimedOut(..)) => {
            let how = error.to_string();
            let ChildError::TimedOut(_, output) = error else { unreachable!("matched above") };
            (false, how, output)
        }
        Err(error) => {
            return Err(Halt::Failed(format!(
                "the test command `{}` {error}; see test_command in [workflow.implement]",
                command.join(" ")
            )));
        }
    };
    if output.last().is_some_and(|byte| *byte != b'\n') {
        work.console.pass(b"\n");
    }
    let text = plain(&output);
    let mut failing = if passed { Vec::new() } else { failing(&text) };
    if !passed && failing.is_empty() {
        failing.push(how.clone());
    }
    Ok(TestRun { passed, how, output: end(&text).to_owned(), failing })
}

/// The end of a text, from the beginning of a line where there is one.
fn end(text: &str) -> &str {
    let mut from = text.len().saturating_sub(SHOWN_BYTES);
    if from == 0 {
        return text;
    }
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].split_once('\n').map_or(&text[from..], |(_, rest)| rest)
}
