//! The project's tests, run in the worktree.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::site::Site;
use crate::child::{self, ChildError, Output, Program};
use crate::code::failing::{failing, plain};
use crate::code::unworkable::is_unworkable;
use crate::console::one_line;
use crate::halt::Halt;
use crate::workflow::work::Work;

/// How much of the output's end is kept and looked through, in bytes.
const KEPT_BYTES: usize = 256 * 1024;

/// How much of that a model is shown, in bytes.
const SHOWN_BYTES: usize = 16 * 1024;

/// How many failing tests a line names.
const NAMED: usize = 3;

/// How much of a broken command's last words its error repeats: lines, and bytes.
const LAST_LINES: usize = 3;
const LAST_BYTES: usize = 400;

/// What came of running the tests.
pub struct TestRun {
    /// Whether they passed.
    pub passed: bool,
    /// How the command ended, in words.
    pub how: String,
    /// Whether it cannot work at all where nothing was changed yet.
    pub is_unworkable: bool,
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
    let (status, how, output) = match child::run(&program, &work.stop) {
        Ok(ended) => (Some(ended.status), ended.status.to_string(), ended.output),
        Err(ChildError::Stopped(cause)) => return Err(Halt::Stopped(cause)),
        Err(error @ ChildError::TimedOut(..)) => {
            let how = error.to_string();
            let ChildError::TimedOut(_, output) = error else { unreachable!("matched above") };
            (None, how, output)
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
    let passed = status.is_some_and(|status| status.success());
    // One that ran out of time did so without anything to test.
    let is_unworkable = !passed && status.is_none_or(|status| is_unworkable(status.code(), &text));
    let mut failing = if passed { Vec::new() } else { failing(&text) };
    if !passed && failing.is_empty() {
        failing.push(how.clone());
    }
    Ok(TestRun { passed, how, is_unworkable, output: end(&text).to_owned(), failing })
}

/// Tries the test command on the untouched worktree, before anything is paid: one that is broken fails there as well, and
/// would be taken for failing tests once there are some.
pub fn run_untouched(work: &Work, site: &Site) -> Result<TestRun, Halt> {
    let tests = run(work, site)?;
    if !tests.is_unworkable {
        return Ok(tests);
    }
    let told: Vec<&str> = tests.output.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = told[told.len().saturating_sub(LAST_LINES)..].join(" / ");
    let last = match one_line(&last, LAST_BYTES) {
        last if last.is_empty() => "it wrote nothing".to_owned(),
        last => format!("last lines: {last}"),
    };
    Err(Halt::Failed(format!(
        "the test command `{}` does not work on the untouched worktree: {}, {last}; no call was made: install what it \
         needs, or see test_command and test_timeout in [workflow.implement]",
        shown(work)?,
        tests.how
    )))
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
