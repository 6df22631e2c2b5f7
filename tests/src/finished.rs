//! A `wf-supervisor` that has ended, and what can be said of it.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// What a program printed and how it ended. The checks panic with all of it, and return `self` to be chained.
#[derive(Clone)]
pub struct Finished {
    /// The words of its command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output that was read.
    pub stdout: Vec<u8>,
    /// All of its standard error that was read.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    pub fn exit_code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The lines of standard output, sorted: what runs at once has no order.
    pub fn sorted_out(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.out().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("standard output is no JSON: {error}\n{self}"),
        }
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn code(&self, expected: i32) -> &Self {
        assert!(self.exit_code() == Some(expected), "expected exit code {expected}\n{self}");
        self
    }

    /// Checks that standard error has these words.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.err().contains(words), "expected on standard error: {words:?}\n{self}");
        self
    }

    /// Checks that standard error has a line with all of these words in it, in any order.
    #[track_caller]
    pub fn says_in_one_line(&self, words: &[&str]) -> &Self {
        let is_said = self.err().lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(is_said, "expected in one line of standard error: {words:?}\n{self}");
        self
    }

    /// Checks that neither output has these words.
    #[track_caller]
    pub fn never_says(&self, words: &str) -> &Self {
        assert!(
            !self.err().contains(words) && !self.out().contains(words),
            "did not expect {words:?}\n{self}"
        );
        self
    }

    /// Checks that standard output has these words.
    #[track_caller]
    pub fn prints(&self, words: &str) -> &Self {
        assert!(self.out().contains(words), "expected on standard output: {words:?}\n{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "$ {}\n{}\n--- stdout\n{}--- stderr\n{}---",
            self.command,
            self.status,
            shown(&self.stdout),
            shown(&self.stderr)
        )
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Output for a failure's report, without the middle of what is too long to read.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 16 << 10;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if bytes.len() <= MOST {
        return text(bytes);
    }
    let half = MOST / 2;
    let left_out = bytes.len() - 2 * half;
    format!("{}\n... {left_out} bytes ...\n{}", text(&bytes[..half]), text(&bytes[bytes.len() - half..]))
}
