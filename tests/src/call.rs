//! A call of one of the binaries, before it is made.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Finished, Project, Running, Terminal};

/// The words of a command line: a text is split at blanks, a list is taken as it is.
pub trait Words {
    /// The words.
    fn words(self) -> Vec<OsString>;
}

impl Words for &str {
    fn words(self) -> Vec<OsString> {
        self.split_whitespace().map(OsString::from).collect()
    }
}

impl Words for &String {
    fn words(self) -> Vec<OsString> {
        self.as_str().words()
    }
}

impl<const N: usize> Words for [&str; N] {
    fn words(self) -> Vec<OsString> {
        self.iter().map(OsString::from).collect()
    }
}

impl Words for &[&str] {
    fn words(self) -> Vec<OsString> {
        self.iter().map(OsString::from).collect()
    }
}

/// What becomes of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// A pipe; all of it is collected.
    Collected,
    /// A pipe that nobody reads, until [`Running::read_stdout`].
    Unread,
    /// A pipe whose reader goes away after the first line, as `head -1` does.
    FirstLineOnly,
    /// A pipe whose reader is gone from the start.
    Closed,
}

/// A call that is being put together. See [`Project::supervisor`].
#[derive(Debug)]
#[must_use = "a call does nothing before `run` or `start`"]
pub struct Call<'p> {
    project: &'p Project,
    via: Vec<OsString>,
    program: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
    variables: Vec<(OsString, Option<OsString>)>,
    input: Option<Vec<u8>>,
    stdout: Stdout,
    has_group: bool,
}

impl<'p> Call<'p> {
    pub(crate) fn new(project: &'p Project, program: PathBuf, arguments: Vec<OsString>) -> Call<'p> {
        Call {
            project,
            via: Vec::new(),
            program,
            arguments,
            directory: project.dir().to_owned(),
            variables: Vec::new(),
            input: None,
            stdout: Stdout::Collected,
            has_group: true,
        }
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), Some(value.as_ref().to_owned())));
        self
    }

    /// Leaves a variable of the project's environment out.
    pub fn without_env(mut self, name: &str) -> Self {
        self.variables.push((name.into(), None));
        self
    }

    /// Gives it this on standard input, instead of `/dev/null`.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Starts it in this directory below the project's.
    pub fn in_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = self.project.path(directory);
        self
    }

    /// Starts it through another program, which is to `exec` the rest of its arguments.
    pub fn via(mut self, words: impl Words) -> Self {
        self.via.extend(words.words());
        self
    }

    /// Starts it with SIGHUP ignored, as `nohup` does.
    pub fn ignoring_hangup(self) -> Self {
        self.via(["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"])
    }

    /// Starts it with a bound on the size of every file it or its children write (`RLIMIT_FSIZE`).
    pub fn with_file_size_limit(self, bytes: u64) -> Self {
        self.via(["wf-fixture-worker", "--fsize", &bytes.to_string()])
    }

    /// Starts it in a session of its own on this terminal.
    pub fn on_terminal(mut self, terminal: &Terminal) -> Self {
        // The leader of a group cannot begin a session.
        self.has_group = false;
        let path = terminal.path().to_str().expect("terminals have plain names").to_owned();
        self.via(["wf-fixture-worker", "--terminal", &path])
    }

    /// Says what becomes of standard output.
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Runs it to its end, within bounds.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Running {
        let shown: Vec<String> = self.arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let shown = format!("{name} {}", shown.join(" "));
        let child = match self.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {shown}: {error}"),
        };
        Running::new(self.project.shared(), child, shown, self.stdout)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut words = self.via.clone();
        words.push(self.program.clone().into());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.directory).env_clear();
        command.envs(self.project.environment());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if self.has_group {
            // Signals to the group of the supervisor must not meet the tests.
            command.process_group(0);
        }
        command.stdin(match &self.input {
            Some(bytes) => Stdio::from(self.input_file(bytes)?),
            None => Stdio::null(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    /// Input comes from a file, so nobody has to write it while the program runs.
    fn input_file(&self, bytes: &[u8]) -> std::io::Result<File> {
        let path = self.project.new_path_outside("stdin");
        File::create(&path)?.write_all(bytes)?;
        File::open(&path)
    }
}
