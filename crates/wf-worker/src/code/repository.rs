//! An item's worktree and branch: made, taken up again, restored, removed. What a killed git left in the way of that is
//! put in order first.
//!
//! All that writes to what the worktrees of a repository share is done under one lock ([`Git::lock`]): git's own locks
//! are not waited for, concurrent writers just fail on them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::leftovers::{is_half_made, unlock_branch};
use super::tree::unfinished_beside;
use crate::git::{Answer, Git};
use crate::halt::Halt;
use crate::output::sha256;

/// How many names are tried beside a branch that is not ours.
const BESIDE: u32 = 99;

/// Largest answer of a short question, in bytes.
const LINE_BYTES: usize = 64 * 1024;

/// Most uncommitted work that is kept as a text when a worktree is set back, in bytes.
const LEFTOVER_BYTES: usize = 16 * 1024 * 1024;

/// What a person does when git will not make a worktree.
const MEND: &str = "mend the repository and run the same command again";

/// Where an item's code is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The commit the work begins at.
    pub base: String,
    /// The project's directory inside the repository: empty, or with a slash at its end.
    pub prefix: String,
}

/// The repository of a project, as far as one item's worktree goes.
pub struct Repository<'a> {
    /// Git in the project.
    pub project: Git<'a>,
    /// A bare repository of a mock run's own, which borrows the project's objects. `None`: the project's.
    pub apart: Option<&'a Path>,
    /// The worktree; absolute.
    pub worktree: &'a Path,
}

/// What a branch has beyond the commit that the work began at.
pub struct Beyond {
    /// Its last commit; the base itself where there is nothing beyond it.
    pub tip: String,
    /// How many commits, whoever made them.
    pub commits: u64,
}

/// A worktree that git knows and that is whole.
struct Sound {
    branch: String,
    tip: String,
}

impl<'a> Repository<'a> {
    /// Git in the worktree.
    pub fn git(&self) -> Git<'a> {
        self.project.at(self.worktree)
    }

    /// Git where the worktree belongs.
    fn owner(&self) -> Git<'a> {
        self.apart.map_or(self.project, |dir| self.project.at(dir))
    }

    /// Makes the worktree on `branch`, or takes up the one that is there. Answers with the place and how it came about.
    ///
    /// `ours` is the SHA-256 of the id of the branch's last commit as an earlier run of ours left it: such a branch is
    /// ours to replace. One with commits of anybody else is not touched: the work goes to one beside it. Uncommitted
    /// work that an earlier try left is handed to `keep` as a diff, and the worktree set back.
    pub fn prepare(
        &self,
        branch: &str,
        ours: Option<&str>,
        keep: &mut dyn FnMut(&str) -> Result<(), Halt>,
    ) -> Result<(Place, String), Halt> {
        let (head, prefix) = self.project_head()?;
        if self.apart.is_none() && !self.project.run(&words(["var", "GIT_COMMITTER_IDENT"]))?.success {
            return Err(Halt::Failed(
                "git does not know who commits: set user.name and user.email (git config --global)".into(),
            ));
        }
        let common = self.common()?;
        let _lock = self.owner().lock(&common)?;
        self.borrow_objects()?;
        self.clear_leftovers(&common)?;
        let (branch, how) = match self.standing(&common)? {
            Some(sound) if is_of(&sound.branch, branch) => {
                self.set_back(&common, &sound, &head, keep)?;
                (sound.branch, "taken up again")
            }
            Some(sound) => return Err(self.is_on(&sound, branch)),
            None => {
                let (name, start) = self.choose(branch, &head, ours)?;
                self.add(&common, &name, &start)?;
                (name, "made")
            }
        };
        let base = line(self.git(), &words(["rev-parse", "--verify", "HEAD^{commit}"]))?;
        let base = base.ok_or_else(|| Halt::Failed(format!("{} has no commit", self.worktree.display())))?;
        Ok((Place { branch, base, prefix }, how.to_owned()))
    }

    /// Makes sure that the worktree is there, on its branch; whether it had to be made again.
    pub fn restore(&self, place: &Place) -> Result<bool, Halt> {
        let common = self.common()?;
        if self.stands(&common, place)? {
            return Ok(false);
        }
        let _lock = self.owner().lock(&common)?;
        self.borrow_objects()?;
        // Again: what was seen without the lock may have been another worker's write half done.
        if self.stands(&common, place)? {
            return Ok(false);
        }
        if let Some(sound) = self.standing(&common)? {
            return Err(self.is_on(&sound, &place.branch));
        }
        self.clear_leftovers(&common)?;
        let tip = self.tip(&place.branch)?;
        let start = if tip.is_some() { Start::Branch } else { Start::New(place.base.clone()) };
        self.add(&common, &place.branch, &start)?;
        Ok(true)
    }

    fn stands(&self, common: &Path, place: &Place) -> Result<bool, Halt> {
        let stands = self.standing(common)?.is_some_and(|sound| sound.branch == place.branch);
        if stands {
            self.remove_stale_locks()?;
        }
        Ok(stands)
    }

    /// A person switched the worktree, and what is in it is theirs.
    fn is_on(&self, sound: &Sound, branch: &str) -> Halt {
        Halt::Failed(format!(
            "{} has the branch {} instead of {branch}: remove the worktree (git worktree remove) or switch it back",
            self.worktree.display(),
            sound.branch
        ))
    }

    /// What the place's branch has beyond its base. `None`: there is no such branch.
    pub fn beyond(&self, place: &Place) -> Result<Option<Beyond>, Halt> {
        let Some(tip) = self.tip(&place.branch)? else { return Ok(None) };
        if !self.is_ancestor(&place.base, &tip)? {
            return Err(Halt::Failed(format!(
                "branch {} does not go on from {} any more, where the work began: its tests or a person moved it. The approved \
                 files are in {}; put the branch where it belongs (git branch -f {0} {1}) and run the same command again",
                place.branch,
                &place.base[..place.base.len().min(12)],
                self.worktree.display()
            )));
        }
        let range = format!("{}..{tip}", place.base);
        let count = line(self.owner(), &words(["rev-list", "--count", &range]))?;
        Ok(Some(Beyond { tip, commits: count.and_then(|count| count.parse().ok()).unwrap_or(0) }))
    }

    /// Waits until no other worker writes to the repository (see [`Git::lock`]), and opens the branch where a killed
    /// commit left it locked.
    pub fn lock(&self, branch: &str) -> Result<fs::File, Halt> {
        let common = self.common()?;
        let lock = self.owner().lock(&common)?;
        unlock_branch(&common, branch);
        Ok(lock)
    }

    /// Removes the worktree; the branch stays. One that is gone already is no error.
    pub fn remove(&self) -> Result<(), Halt> {
        let common = self.common()?;
        let _lock = self.owner().lock(&common)?;
        self.unsettle()?;
        let path = self.worktree.as_os_str();
        let args = [
            OsStr::new("worktree"),
            OsStr::new("remove"),
            OsStr::new("--force"),
            OsStr::new("--force"),
            path,
        ];
        let ran = self.owner().run(&args)?;
        if !ran.success && self.worktree.exists() {
            self.owner().say(&ran.output);
        }
        let _ = fs::remove_file(unfinished_beside(self.worktree));
        // Of a worktree that a killed git had removed half of, git still keeps its half.
        self.clear(&common)
    }

    /// The project's commit, and its directory inside its repository.
    fn project_head(&self) -> Result<(String, String), Halt> {
        let dir = self.project.dir.display();
        let head = line(self.project, &words(["rev-parse", "-q", "--verify", "HEAD^{commit}"]))?;
        let Some(head) = head else {
            return Err(Halt::Failed(if self.project.common_dir()?.is_some() {
                format!("the repository of {dir} has no commit yet: a worktree needs one")
            } else {
                format!(
                    "{dir} is in no git repository (or git is not installed): implement needs one (git init)"
                )
            }));
        };
        let prefix = line(self.project, &words(["rev-parse", "--show-prefix"]))?.unwrap_or_default();
        Ok((head, prefix))
    }

    /// What the worktrees share. Made first where it is a mock run's own.
    fn common(&self) -> Result<PathBuf, Halt> {
        if let Some(apart) = self.apart {
            fs::create_dir_all(apart).map_err(|e| failed(apart, "cannot be made", &e))?;
            return Ok(apart.to_owned());
        }
        let none = || Halt::Failed(format!("{} is in no git repository", self.project.dir.display()));
        self.project.common_dir()?.ok_or_else(none)
    }

    /// A mock run's repository: bare, empty, with the project's objects borrowed and somebody to commit.
    fn borrow_objects(&self) -> Result<(), Halt> {
        let Some(apart) = self.apart else { return Ok(()) };
        let Some(common) = self.project.common_dir()? else { return Ok(()) };
        let common = common.canonicalize().map_err(|e| failed(&common, "cannot be read", &e))?;
        let git = self.project.at(apart);
        // All of it again each time: a killed run may have left half of it.
        git.wanted(&words(["init", "-q", "--bare", "."]), MEND)?;
        for (key, value) in [("user.name", "wf-supervisor --mock"), ("user.email", "mock@localhost")] {
            git.wanted(&words(["config", key, value]), MEND)?;
        }
        let alternates = apart.join("objects/info/alternates");
        // In one step: workers that hold no lock read objects meanwhile.
        let fresh = apart.join("objects/info/alternates.new");
        let written = fs::create_dir_all(apart.join("objects/info"))
            .and_then(|()| fs::write(&fresh, format!("{}\n", common.join("objects").display())))
            .and_then(|()| fs::rename(&fresh, &alternates));
        written.map_err(|e| failed(&alternates, "cannot be written", &e))
    }

    /// Where git keeps what it knows of the worktree, if it knows it.
    pub(super) fn administration(&self) -> Result<Option<PathBuf>, Halt> {
        if !self.worktree.join(".git").is_file() {
            return Ok(None);
        }
        let asked = words(["rev-parse", "--show-toplevel", "--absolute-git-dir"]);
        let Answer::Yes(out) = self.git().ask(&asked, LINE_BYTES)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&out).into_owned();
        let (Some(top), Some(own)) = (text.lines().next(), text.lines().nth(1)) else { return Ok(None) };
        // Without a `.git` of its own that works, git would have found the project around it.
        let is_top = self.worktree.canonicalize().is_ok_and(|real| real == Path::new(top));
        Ok(is_top.then(|| PathBuf::from(own)))
    }

    fn standing(&self, common: &Path) -> Result<Option<Sound>, Halt> {
        if self.is_unsettled() {
            return Ok(None);
        }
        let Some(own) = self.administration()? else { return Ok(None) };
        let is_owners = match (own.canonicalize(), common.canonicalize()) {
            (Ok(own), Ok(common)) => own.starts_with(common),
            _ => false,
        };
        if !is_owners || is_half_made(&own) {
            return Ok(None);
        }
        let branch = line(self.git(), &words(["symbolic-ref", "-q", "--short", "HEAD"]))?;
        let tip = line(self.git(), &words(["rev-parse", "-q", "--verify", "HEAD^{commit}"]))?;
        Ok(tip.map(|tip| Sound { branch: branch.unwrap_or_else(|| "(detached)".into()), tip }))
    }

    /// Puts uncommitted work of an earlier try into `keep`'s hands and the worktree at its beginning: the project's
    /// commit, or its own where it has any.
    fn set_back(
        &self,
        common: &Path,
        sound: &Sound,
        head: &str,
        keep: &mut dyn FnMut(&str) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let git = self.git();
        unlock_branch(common, &sound.branch);
        git.wanted(&words(["add", "-A"]), MEND)?;
        match git.ask(
            &words(["diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "HEAD"]),
            LEFTOVER_BYTES,
        )? {
            Answer::Yes(diff) if !diff.is_empty() => keep(&String::from_utf8_lossy(&diff))?,
            Answer::Yes(_) => {}
            Answer::No | Answer::TooMuch => {
                return Err(Halt::Failed(format!(
                    "{} has more uncommitted work than can be set aside: commit what is worth it, remove the worktree \
                     (git worktree remove --force), and run the same command again",
                    self.worktree.display()
                )));
            }
        }
        let start = if self.is_ancestor(&sound.tip, head)? { head } else { &sound.tip };
        git.wanted(&words(["reset", "-q", "--hard", start]), MEND)?;
        git.wanted(&words(["clean", "-q", "-f", "-d"]), MEND).map(drop)
    }

    /// The branch to work on, and where it starts.
    fn choose(&self, branch: &str, head: &str, ours: Option<&str>) -> Result<(String, Start), Halt> {
        for n in 0..=BESIDE {
            let name = match n {
                0 => branch.to_owned(),
                1 => format!("{branch}.new"),
                n => format!("{branch}.new-{n}"),
            };
            let start = match self.tip(&name)? {
                None => Start::New(head.to_owned()),
                // Nothing of its own is on it: a killed run's, or merged by now.
                Some(tip) if self.is_ancestor(&tip, head)? => Start::Moved(head.to_owned()),
                Some(tip) if ours == Some(sha256(tip.as_bytes()).as_str()) => Start::Moved(head.to_owned()),
                Some(_) => continue,
            };
            if n > 0 {
                let console = self.project.console;
                console.say(&format!("branch {branch} has commits that are not ours: the new one is {name}"));
            }
            return Ok((name, start));
        }
        Err(Halt::Failed(format!(
            "branch {branch} and {BESIDE} names beside it have commits that are not ours"
        )))
    }

    fn add(&self, common: &Path, branch: &str, start: &Start) -> Result<(), Halt> {
        self.is_free(branch)?;
        unlock_branch(common, branch);
        let path = self.worktree.as_os_str();
        let mut args = words(["worktree", "add", "-q"]).to_vec();
        match start {
            Start::Branch => args.extend([path, OsStr::new(branch)]),
            Start::New(commit) | Start::Moved(commit) => {
                let create = if matches!(start, Start::New(_)) { "-b" } else { "-B" };
                args.extend([OsStr::new("--no-track"), OsStr::new(create), OsStr::new(branch), path]);
                args.push(OsStr::new(commit));
            }
        }
        // It is somebody's, and none that git would take for its own.
        if fs::symlink_metadata(self.worktree).is_ok() {
            return Err(Halt::Failed(format!(
                "{} is a worktree of another repository, or one without a commit: move it away and run the same command again",
                self.worktree.display()
            )));
        }
        self.unsettle()?;
        match self.owner().wanted(&args, MEND) {
            Ok(_) => {
                self.settled();
                Ok(())
            }
            Err(halt) => {
                // What cannot be cleared now is cleared by the next try, for the note of it stays.
                let _ = self.clear(common);
                Err(halt)
            }
        }
    }

    /// Twice the same branch in use would let one worktree change under the other.
    fn is_free(&self, branch: &str) -> Result<(), Halt> {
        let Answer::Yes(out) =
            self.owner().ask(&words(["worktree", "list", "--porcelain"]), LEFTOVER_BYTES)?
        else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&out).into_owned();
        let wanted = format!("branch refs/heads/{branch}");
        for entry in text.split("\n\n").filter(|entry| entry.lines().any(|line| line == wanted)) {
            let path = entry.lines().find_map(|line| line.strip_prefix("worktree ")).unwrap_or_default();
            if Path::new(path) != self.worktree && Path::new(path).exists() {
                return Err(Halt::Failed(format!(
                    "branch {branch} is checked out in {path}: switch that to another branch, and run the same command again"
                )));
            }
        }
        Ok(())
    }

    fn tip(&self, branch: &str) -> Result<Option<String>, Halt> {
        let name = format!("refs/heads/{branch}^{{commit}}");
        line(self.owner(), &words(["rev-parse", "-q", "--verify", &name]))
    }

    fn is_ancestor(&self, one: &str, other: &str) -> Result<bool, Halt> {
        Ok(self.owner().run(&words(["merge-base", "--is-ancestor", one, other]))?.success)
    }
}

/// Where a branch starts.
enum Start {
    /// It is made at this commit.
    New(String),
    /// It is there, and moved to this commit.
    Moved(String),
    /// Where it is.
    Branch,
}

/// Whether `name` is `branch` or one beside it.
fn is_of(name: &str, branch: &str) -> bool {
    name.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with(".new"))
}

/// A one-line answer.
fn line(git: Git<'_>, args: &[&OsStr]) -> Result<Option<String>, Halt> {
    match git.ask(args, LINE_BYTES)? {
        Answer::Yes(out) => Ok(Some(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())),
        Answer::No | Answer::TooMuch => Ok(None),
    }
}

/// Words of a command line.
pub fn words<const N: usize>(words: [&str; N]) -> [&OsStr; N] {
    words.map(OsStr::new)
}

pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> Halt {
    Halt::Failed(format!("{} {what}: {error}", path.display()))
}
