//! The item's worktree, open for work: there, on its branch, and with the files as the checkpoint has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::code::answer::FILE_BYTES;
use crate::code::changes::Changes;
use crate::code::path::{Refusal, SafePath};
use crate::code::repository::Repository;
use crate::code::tree::{Fault, Tree, unfinished_beside};
use crate::git::Git;
use crate::halt::Halt;
use crate::workflow::work::Work;

/// An open worktree.
pub struct Site {
    /// The project's directory in it.
    pub root: PathBuf,
    /// The files below that.
    pub tree: Tree,
}

/// The repository, as far as the item's worktree goes.
pub fn repository(work: &Work) -> Result<Repository<'_>, Halt> {
    let job = work.code_job()?;
    Ok(Repository {
        project: Git { dir: &work.job.project_dir, console: &work.console, stop: &work.stop },
        apart: job.repository.as_deref(),
        worktree: &job.worktree,
    })
}

/// Whether the path lies in the state directory, which need not be called `.wf`: what a branch has there would replace the
/// records of all runs when it is merged.
pub fn is_records(work: &Work, path: &SafePath) -> Result<bool, Halt> {
    let dir = work.code_job()?.state_dir.strip_prefix(&work.job.project_dir);
    Ok(dir.is_ok_and(|dir| dir.components().next().is_some() && path.is_in(dir)))
}

impl Site {
    /// Opens it. A worktree that is gone is made again, and files that are others than the checkpoint's are set right:
    /// a node that was killed may have written some of its own. With `--redo` a person's changes are taken over
    /// instead, once.
    pub fn open(work: &mut Work) -> Result<Site, Halt> {
        let place = &work.state.code.place;
        let made_again = repository(work)?.restore(place)?;
        let worktree = &work.code_job()?.worktree;
        let root = worktree.join(&place.prefix);
        let unopened = |e| Halt::Failed(format!("{} cannot be opened: {e}", root.display()));
        let tree = Tree::open(&root, unfinished_beside(worktree)).map_err(unopened)?;
        let site = Site { root, tree };
        if made_again {
            work.console.say("the worktree was gone: it is made again");
        } else if work.job.redo && !work.visited {
            site.take_over(work)?;
        }
        work.visited = true;
        for (path, text) in &work.state.code.files {
            let path = known(path)?;
            if is_records(work, &path)? {
                return Err(Halt::Failed(format!(
                    "the checkpoint names {:?}, which {}; --redo starts anew",
                    path.as_str(),
                    Refusal::State
                )));
            }
            site.put(&path, text.as_deref())?;
        }
        Ok(site)
    }

    /// What git knows of the files.
    pub fn changes<'a>(&'a self, work: &'a Work) -> Changes<'a> {
        let git = Git { dir: &self.root, console: &work.console, stop: &work.stop };
        Changes { git, base: &work.state.code.place.base }
    }

    /// Makes a file have this text, or go; one that has it already is left alone, so that builds see no change.
    pub fn put(&self, path: &SafePath, text: Option<&str>) -> Result<(), Halt> {
        let now = match self.tree.read(path, FILE_BYTES) {
            // Whatever is there instead is overwritten, or the writing says why not.
            Err(Fault::Refused(_)) => Some(Vec::new()),
            other => other.map_err(|fault| fails(path, &fault))?,
        };
        let done = match text {
            None if now.is_none() => Ok(()),
            None => self.tree.remove(path),
            Some(text) if now.as_deref() == Some(text.as_bytes()) && !text.is_empty() => Ok(()),
            Some(text) => self.tree.write(path, text.as_bytes()),
        };
        done.map_err(|fault| fails(path, &fault))
    }

    /// The files of the item that a commit can have: of those that are gone, the ones that were there.
    pub fn files_to_commit(&self, work: &Work) -> Result<Vec<String>, Halt> {
        let files = &work.state.code.files;
        let gone: Vec<&str> =
            files.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path.as_str()).collect();
        let known = if gone.is_empty() { BTreeMap::default() } else { self.changes(work).entries(&gone)? };
        let is_known =
            |(path, text): &(&String, &Option<String>)| text.is_some() || known.contains_key(*path);
        Ok(files.iter().filter(is_known).map(|(path, _)| path.clone()).collect())
    }

    /// A person's changes to the item's files become the item's.
    fn take_over(&self, work: &mut Work) -> Result<(), Halt> {
        let mut changed = Vec::new();
        for (path, text) in &mut work.state.code.files {
            let now = match self.tree.read(&known(path)?, FILE_BYTES) {
                Ok(now) => now.map(String::from_utf8).transpose(),
                Err(Fault::Refused(_)) => continue,
                Err(fault) => return Err(fails(path, &fault)),
            };
            if let Ok(now) = now
                && now != *text
            {
                *text = now;
                changed.push(path.clone());
            }
        }
        if !changed.is_empty() {
            work.console.say(&format!("taken over from the worktree as it is: {}", changed.join(", ")));
        }
        Ok(())
    }
}

/// A path from the checkpoint.
fn known(path: &str) -> Result<SafePath, Halt> {
    SafePath::read(path).map_err(|why| {
        Halt::Failed(format!("the checkpoint names {path:?}, which {why}; --redo starts anew"))
    })
}

fn fails(path: impl std::fmt::Display, fault: &Fault) -> Halt {
    Halt::Failed(format!("{path} {fault}"))
}
