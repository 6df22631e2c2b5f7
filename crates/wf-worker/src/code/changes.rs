//! What git knows of an item's files: as they were at the base, what differs from it, and the commit of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use super::path::SafePath;
use super::repository::words;
use crate::git::{Answer, Git};
use crate::halt::Halt;

/// Largest diff that a reviewer gets, in bytes.
pub const DIFF_BYTES: usize = 400 * 1024;

/// Largest list of files, in bytes; a longer one is not shown.
const LIST_BYTES: usize = 8 * 1024 * 1024;

/// What a person does when git will not take the files.
const MEND: &str = "mend the repository and run the same command again";

/// What a commit has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file's content, by its id.
    File(String),
    /// Another repository's commit.
    Submodule,
    /// A directory.
    Directory,
}

/// Git in the project's directory of a worktree, and the commit that work began at.
#[derive(Clone, Copy)]
pub struct Changes<'a> {
    /// Runs there.
    pub git: Git<'a>,
    /// The commit.
    pub base: &'a str,
}

impl Changes<'_> {
    /// What the base has at these paths; of those it has nothing at, nothing.
    pub fn entries(&self, paths: &[&str]) -> Result<BTreeMap<String, Entry>, Halt> {
        let mut args = words(["ls-tree", "-z", self.base, "--"]).to_vec();
        args.extend(paths.iter().map(OsStr::new));
        let Answer::Yes(out) = self.git.ask(&args, LIST_BYTES)? else { return Ok(BTreeMap::new()) };
        // `100644 blob <id>\t<path>`, each with a NUL at its end.
        let text = String::from_utf8_lossy(&out).into_owned();
        let entry = |line: &str| {
            let (what, path) = line.split_once('\t')?;
            let mut what = what.split(' ').skip(1);
            let entry = match (what.next()?, what.next()?) {
                ("blob", id) => Entry::File(id.to_owned()),
                ("commit", _) => Entry::Submodule,
                _ => Entry::Directory,
            };
            Some((path.to_owned(), entry))
        };
        Ok(text.split('\0').filter_map(entry).collect())
    }

    /// A file of the base by its id. `None`: it has more than `most` bytes.
    pub fn content(&self, id: &str, most: usize) -> Result<Option<Vec<u8>>, Halt> {
        match self.git.ask(&words(["cat-file", "blob", id]), most)? {
            Answer::Yes(bytes) => Ok(Some(bytes)),
            Answer::TooMuch => Ok(None),
            Answer::No => Err(Halt::Failed(format!("git has lost the object {id}: {MEND}"))),
        }
    }

    /// Whether git ignores the path, so that no commit would have it.
    pub fn ignores(&self, path: &SafePath) -> Result<bool, Halt> {
        // Such a path cannot be taken for a pattern.
        let path = format!("./{path}");
        Ok(self.git.run(&words(["check-ignore", "-q", "--", &path]))?.success)
    }

    /// All files of the project that git knows; empty where they are too many to list.
    pub fn files(&self) -> Result<Vec<String>, Halt> {
        Ok(match self.git.ask(&words(["ls-tree", "-r", "-z", "--name-only", self.base]), LIST_BYTES)? {
            Answer::Yes(out) => String::from_utf8_lossy(&out)
                .split('\0')
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            Answer::No | Answer::TooMuch => Vec::new(),
        })
    }

    /// What differs from the base in these files. `None`: more than a reviewer could read.
    pub fn diff(&self, files: &[&str]) -> Result<Option<String>, Halt> {
        if files.is_empty() {
            return Ok(Some(String::new()));
        }
        self.add(files)?;
        let mut args =
            words(["diff", "--cached", "--no-color", "--no-ext-diff", "--no-textconv", self.base, "--"])
                .to_vec();
        args.extend(files.iter().map(OsStr::new));
        match self.git.ask(&args, DIFF_BYTES)? {
            Answer::Yes(diff) => Ok(Some(String::from_utf8_lossy(&diff).into_owned())),
            Answer::TooMuch => Ok(None),
            Answer::No => Err(Halt::Failed(format!("git diff failed; {MEND}"))),
        }
    }

    /// Whether this commit has these files as they are now, those that are gone not at all.
    pub fn are_in(&self, commit: &str, files: &[&str]) -> Result<bool, Halt> {
        self.add(files)?;
        let mut args = words(["diff", "--cached", "--quiet", "--no-ext-diff", commit, "--"]).to_vec();
        args.extend(files.iter().map(OsStr::new));
        Ok(self.git.run(&args)?.success)
    }

    /// Commits these files and nothing else.
    pub fn commit(&self, files: &[&str], message: &str) -> Result<(), Halt> {
        self.add(files)?;
        let mut args = words(["commit", "-m", message, "--"]).to_vec();
        args.extend(files.iter().map(OsStr::new));
        let ran = self.git.wanted(&args, MEND)?;
        self.git.say(&ran.output);
        Ok(())
    }

    /// Puts the files into the index as they are; those that are gone are taken out, if they are not out already.
    fn add(&self, files: &[&str]) -> Result<(), Halt> {
        let is_there = |path: &&&str| self.git.dir.join(path).symlink_metadata().is_ok();
        let (there, gone): (Vec<&str>, Vec<&str>) = files.iter().partition(is_there);
        for (verb, paths) in [
            (words(["add", "--"]).to_vec(), there),
            (words(["rm", "-q", "--cached", "--ignore-unmatch", "--"]).to_vec(), gone),
        ] {
            if !paths.is_empty() {
                let args: Vec<&OsStr> = verb.into_iter().chain(paths.into_iter().map(OsStr::new)).collect();
                self.git.wanted(&args, MEND)?;
            }
        }
        Ok(())
    }
}
