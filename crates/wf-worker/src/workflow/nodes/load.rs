//! `N0_load`: the input, from a file or a command. No call is made.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::approval;
use crate::child::{self, ChildError, Output, Program};
use crate::halt::Halt;
use crate::job::Input;
use crate::lineage;
use crate::output;
use crate::regular::open_regular;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::Work;

/// Largest input, in bytes.
const INPUT_BYTES: usize = 1024 * 1024;

/// How long an input command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// Reads the input, checks it, and keeps it.
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    output::remove_unfinished(&work.output_path());
    output::remove_unfinished(&output::marked(&work.output_path(), "draft"));
    let (name, bytes) = match &work.job.input {
        Input::File(path) => {
            let full = work.job.project_dir.join(path);
            let name = work.shown(&full);
            let bytes = read_file(&full).map_err(|e| Halt::Failed(file_fault(&name, &e)))?;
            (name, bytes)
        }
        Input::Command(argv) => {
            let name = format!("command `{}`", argv.join(" "));
            let bytes = read_command(work, argv, &name)?;
            (name, bytes)
        }
    };
    if bytes.len() > INPUT_BYTES {
        return Err(Halt::Failed(format!("input {name} is larger than 1 MiB: split it")));
    }
    let sha256 = output::sha256(&bytes);
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Halt::Failed(format!("input {name} is not UTF-8: convert it")));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() {
        return Err(Halt::Failed(format!("input {name} is empty")));
    }
    work.trace(lineage::Kind::Input, text)?;
    text.clone_into(&mut work.state.input);
    work.state.input_sha256 = sha256;
    let lines = match text.lines().count() {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    Ok(Done::pass(format!("{name}, {lines}")))
}

/// Reads a design, which must have been approved: by the `lld` workflow, as it is now, or by a person who says so in
/// it.
pub fn design(work: &mut Work, at: &Position) -> Result<Done, Halt> {
    let done = run(work, at)?;
    let how = if work.code_job()?.approved_designs.contains(&work.state.input_sha256) {
        "approved by the lld workflow"
    } else if approval::says_approved(&work.state.input) {
        "approved by a person"
    } else {
        let name = match &work.job.input {
            Input::File(path) => work.shown(&work.job.project_dir.join(path)),
            Input::Command(_) => "the input".to_owned(),
        };
        return Err(Halt::Failed(format!(
            "design {name} was not approved as it is: let the lld workflow approve it, or, where a person has, write \
             the line `Status: approved` above its first section"
        )));
    };
    Ok(Done::pass(format!("{}, {how}", done.line)))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(INPUT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn file_fault(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("input {name} not found"),
        _ => format!("input {name} cannot be read: {error}"),
    }
}

fn read_command(work: &Work, command: &[String], name: &str) -> Result<Vec<u8>, Halt> {
    let Some((program, args)) = command.split_first() else {
        return Err(Halt::Failed("the input command is empty: see `input` in wf.toml".into()));
    };
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let program = Program {
        name: OsStr::new(program),
        args: &args,
        dir: &work.job.project_dir,
        limit: COMMAND,
        output: Output::Kept(INPUT_BYTES),
    };
    match child::run(&program, &work.stop) {
        Ok(ended) if ended.status.success() => Ok(ended.output),
        Ok(ended) => Err(Halt::Failed(format!("input {name} failed with {}", ended.status))),
        Err(ChildError::Stopped(cause)) => Err(Halt::Stopped(cause)),
        Err(ChildError::TooMuch(_)) => {
            Err(Halt::Failed(format!("input {name} is larger than 1 MiB: split it")))
        }
        Err(error) => Err(Halt::Failed(format!("input {name} {error}"))),
    }
}
