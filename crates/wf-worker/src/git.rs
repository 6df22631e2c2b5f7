//! Runs `git`: bounded, one writer at a time, and commits of one file whatever else the repository is in the middle of.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use crate::child::{self, ChildError, Output, Program};
use crate::console::Console;
use crate::halt::Halt;
use crate::stop::{Raced, Stop};

/// How long one `git` may take, its hooks included.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the other workers of the repository are waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(120);

/// How much of one `git`'s output is passed on.
const OUTPUT_BYTES: usize = 1024 * 1024;

/// The file beside the repository's own that workers lock: git's locks are not waited for, they just fail. Its name
/// does not end in `.lock`, because it stays, and a file of such a name is what a killed git leaves.
const LOCK: &str = "wf-supervisor.turn";

/// What a person does about a commit that failed.
const MEND: &str = "the output is in place: mend the repository and run the same command again";

/// Runs `git` for one worker.
#[derive(Clone, Copy)]
pub struct Git<'a> {
    /// Where it runs: git finds the repository from here.
    pub dir: &'a Path,
    /// Where its output goes, line by line.
    pub console: &'a Console,
    /// Ends it early.
    pub stop: &'a Stop,
}

/// What [`Git::commit`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// There is a new commit.
    Yes,
    /// The repository has the file as it is.
    Already,
    /// The project is in no repository.
    NoRepository,
    /// The repository ignores the file.
    Ignored,
}

/// What `git` answered to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its standard output.
    Yes(Vec<u8>),
    /// It exited with another code than 0.
    No,
    /// It had more to say than was asked for.
    TooMuch,
}

/// A `git` that has run.
pub struct Ran {
    /// Whether it exited with 0.
    pub success: bool,
    /// How it exited, in words.
    pub how: String,
    /// What it wrote, errors included.
    pub output: Vec<u8>,
}

impl<'a> Git<'a> {
    /// The same elsewhere.
    pub fn at(self, dir: &'a Path) -> Git<'a> {
        Git { dir, ..self }
    }

    /// Commits `file` alone, with this message. What else is staged stays staged.
    pub fn commit(&self, file: &Path, message: &str) -> Result<Committed, Halt> {
        let Some(git_dir) = self.common_dir()? else { return Ok(Committed::NoRepository) };
        let file = file.as_os_str();
        let _lock = self.lock(&git_dir)?;
        if self.run(&[OsStr::new("check-ignore"), OsStr::new("-q"), OsStr::new("--"), file])?.success {
            return Ok(Committed::Ignored);
        }
        // Said in full: a user's `status.showUntrackedFiles=no` would hide a file that was never committed.
        let status = ["status", "--porcelain", "--untracked-files=all", "--ignored=no", "--"];
        let status: Vec<&OsStr> = status.into_iter().map(OsStr::new).chain([file]).collect();
        if self.wanted(&status, MEND)?.output.is_empty() {
            return Ok(Committed::Already);
        }
        self.say(&self.wanted(&[OsStr::new("add"), OsStr::new("--"), file], MEND)?.output);
        let commit = [OsStr::new("commit"), OsStr::new("-m"), OsStr::new(message), OsStr::new("--"), file];
        self.say(&self.wanted(&commit, MEND)?.output);
        Ok(Committed::Yes)
    }

    /// The directory all worktrees of the repository share; `None` outside of a repository, or without `git`.
    pub fn common_dir(&self) -> Result<Option<PathBuf>, Halt> {
        let ran = match self.run(&[OsStr::new("rev-parse"), OsStr::new("--git-common-dir")]) {
            Err(Halt::Failed(why)) => {
                log::info!("{why}");
                return Ok(None);
            }
            other => other?,
        };
        let line = String::from_utf8_lossy(&ran.output);
        Ok(ran.success.then(|| self.dir.join(line.trim_end_matches('\n'))))
    }

    /// Waits until no other worker writes to the repository. The lock is held as long as the file is open, and falls
    /// with the process.
    pub fn lock(&self, git_dir: &Path) -> Result<File, Halt> {
        let path = git_dir.join(LOCK);
        let failed = |e: std::io::Error| Halt::Failed(format!("{} cannot be locked: {e}", path.display()));
        let file =
            fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                self.console.say("git: waiting for another worker of this repository");
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match self.stop.race(LOCK_LIMIT, move || file.lock().map(|()| file)).map_err(failed)? {
            Raced::Done(locked) => locked.map_err(failed),
            Raced::Stopped(cause) => Err(Halt::Stopped(cause)),
            Raced::TimedOut => Err(Halt::Failed(format!(
                "{} was held by other workers for {} s; run the same command again",
                path.display(),
                LOCK_LIMIT.as_secs()
            ))),
        }
    }

    /// Runs `git` and takes any other exit code than 0 for a failure, with `advice` for the person who must mend it.
    pub fn wanted(&self, args: &[&OsStr], advice: &str) -> Result<Ran, Halt> {
        let ran = self.run(args)?;
        if ran.success {
            return Ok(ran);
        }
        self.say(&ran.output);
        let verb = args.first().copied().unwrap_or_default().to_string_lossy();
        // The words by which no room is known, which git leaves out.
        let said = String::from_utf8_lossy(&ran.output);
        let full = [Errno::ENOSPC, Errno::EDQUOT].into_iter().find(|errno| said.contains(errno.desc()));
        let room = full.map_or(String::new(), |errno| format!(": {}", io::Error::from(errno)));
        Err(Halt::Failed(format!("git {verb} failed with {}{room}; {advice}", ran.how)))
    }

    /// Runs `git`.
    pub fn run(&self, args: &[&OsStr]) -> Result<Ran, Halt> {
        match self.start(args, Output::KeptWithErrors(OUTPUT_BYTES)) {
            Ok(ended) => Ok(Ran {
                success: ended.status.success(),
                how: ended.status.to_string(),
                output: ended.output,
            }),
            Err(error) => Err(halt(error)),
        }
    }

    /// Asks `git` something that has an answer of `most` bytes at most. What it says on its standard error is the
    /// worker's.
    pub fn ask(&self, args: &[&OsStr], most: usize) -> Result<Answer, Halt> {
        match self.start(args, Output::Kept(most)) {
            Ok(ended) if ended.status.success() => Ok(Answer::Yes(ended.output)),
            Ok(_) => Ok(Answer::No),
            Err(ChildError::TooMuch(_)) => Ok(Answer::TooMuch),
            Err(error) => Err(halt(error)),
        }
    }

    fn start(&self, args: &[&OsStr], output: Output<'_>) -> Result<child::Ended, ChildError> {
        // Housekeeping in the background would outlive the worker, only to be killed by its warden.
        let mut quiet =
            vec!["-c", "maintenance.autoDetach=false", "-c", "gc.autoDetach=false", "-c", "color.ui=false"];
        // A warning about line ends that the user made fatal would be about the model's text.
        quiet.extend(["-c", "core.safecrlf=false"]);
        // No path of ours is a pattern; check-ignore refuses to be told so.
        if args.first().is_some_and(|verb| *verb != "check-ignore") {
            quiet.push("--literal-pathspecs");
        }
        let args: Vec<OsString> =
            quiet.iter().map(OsStr::new).chain(args.iter().copied()).map(OsString::from).collect();
        let program = Program { name: OsStr::new("git"), args: &args, dir: self.dir, limit: LIMIT, output };
        child::run(&program, self.stop)
    }

    /// Passes on what it said, line by line.
    pub fn say(&self, output: &[u8]) {
        for line in String::from_utf8_lossy(output).lines().filter(|l| !l.trim().is_empty()) {
            self.console.say(&format!("git: {line}"));
        }
    }
}

fn halt(error: ChildError) -> Halt {
    match error {
        ChildError::Stopped(cause) => Halt::Stopped(cause),
        error => Halt::Failed(format!("git {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use super::*;
    use crate::stop::Cause;
    use crate::testing::Sink;

    fn git(dir: &Path, args: &[&str]) -> String {
        let out = Command::new("git").args(args).current_dir(dir).output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "-b", "main"]);
        git(dir.path(), &["config", "user.name", "Test"]);
        git(dir.path(), &["config", "user.email", "test@localhost"]);
        dir
    }

    fn commit(dir: &Path, file: &str, sink: &Sink, stop: &Stop) -> Result<Committed, Halt> {
        let console = Console::to(Box::new(sink.clone()));
        Git { dir, console: &console, stop }.commit(&dir.join(file), &format!("LLD-42: {file}"))
    }

    #[test]
    fn a_user_s_settings_do_not_hide_what_is_not_committed() {
        let repo = repository();
        let dir = repo.path();
        for (key, value) in [
            ("status.showUntrackedFiles", "no"),
            ("status.short", "true"),
            ("status.branch", "true"),
            ("core.autocrlf", "true"),
            ("core.safecrlf", "true"),
            ("core.quotePath", "true"),
        ] {
            git(dir, &["config", key, value]);
        }
        fs::write(dir.join("a.md"), "a\n").unwrap();
        let (sink, stop) = (Sink::default(), Stop::new());
        assert_eq!(commit(dir, "a.md", &sink, &stop), Ok(Committed::Yes));
        assert_eq!(commit(dir, "a.md", &sink, &stop), Ok(Committed::Already));
        assert_eq!(git(dir, &["show", "HEAD:a.md"]), "a\n");
    }

    #[test]
    fn one_file_is_committed_and_what_is_staged_stays_staged() {
        let repo = repository();
        let dir = repo.path();
        fs::create_dir_all(dir.join("docs")).unwrap();
        for name in ["docs/a.md", "staged.md", ".gitignore"] {
            fs::write(dir.join(name), "ignored.md").unwrap();
        }
        git(dir, &["add", "staged.md"]);
        let (sink, stop) = (Sink::default(), Stop::new());
        assert_eq!(commit(dir, "docs/a.md", &sink, &stop), Ok(Committed::Yes));
        assert_eq!(
            git(dir, &["show", "--name-only", "--format=%s", "HEAD"]),
            "LLD-42: docs/a.md\n\ndocs/a.md\n"
        );
        assert!(git(dir, &["status", "--porcelain"]).contains("A  staged.md"));
        assert!(sink.text().starts_with("git: [main "), "{}", sink.text());

        assert_eq!(commit(dir, "docs/a.md", &sink, &stop), Ok(Committed::Already));
        fs::write(dir.join("ignored.md"), "").unwrap();
        assert_eq!(commit(dir, "ignored.md", &sink, &stop), Ok(Committed::Ignored));
    }

    #[test]
    fn outside_of_a_repository_nothing_is_committed() {
        let dir = tempfile::tempdir().unwrap();
        let done = commit(dir.path(), "a.md", &Sink::default(), &Stop::new());
        assert_eq!(done, Ok(Committed::NoRepository));
    }

    #[test]
    fn a_commit_that_is_refused_is_told_with_what_git_said() {
        use std::os::unix::fs::PermissionsExt;
        let repo = repository();
        let hook = repo.path().join(".git/hooks/pre-commit");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\necho no commits today ${WF_TOKEN-unset}\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(repo.path().join("a.md"), "a").unwrap();
        let sink = Sink::default();
        let Err(Halt::Failed(why)) = commit(repo.path(), "a.md", &sink, &Stop::new()) else { panic!() };
        assert!(why.starts_with("git commit failed with exit status: 1"), "{why}");
        assert!(sink.text().contains("git: no commits today unset\n"), "{}", sink.text());
    }

    #[test]
    fn workers_of_one_repository_commit_one_after_the_other() {
        let repo = Arc::new(repository());
        let running: Vec<_> = (0..6)
            .map(|n| {
                let repo = Arc::clone(&repo);
                let name = format!("{n}.md");
                fs::write(repo.path().join(&name), &name).unwrap();
                std::thread::spawn(move || commit(repo.path(), &name, &Sink::default(), &Stop::new()))
            })
            .collect();
        for worker in running {
            assert_eq!(worker.join().unwrap(), Ok(Committed::Yes));
        }
        assert_eq!(git(repo.path(), &["rev-list", "--count", "HEAD"]), "6\n");
    }

    #[test]
    fn a_stop_request_ends_the_wait_for_the_others() {
        let repo = repository();
        fs::write(repo.path().join("a.md"), "a").unwrap();
        let held = File::create(repo.path().join(".git").join(LOCK)).unwrap();
        held.lock().unwrap();
        let stop = Stop::new();
        let asker = stop.clone();
        let waiting = std::thread::spawn(move || commit(repo.path(), "a.md", &Sink::default(), &stop));
        asker.request(Cause::Signal);
        assert_eq!(waiting.join().unwrap(), Err(Halt::Stopped(Cause::Signal)));
    }
}
