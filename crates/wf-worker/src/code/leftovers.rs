//! What a killed git leaves in the way of an item's worktree, put in order. All of it but a worktree's own locks is for
//! the holder of the repository's lock ([`crate::git::Git::lock`]): nobody else of ours is at it then.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::removal::remove_dir;
use super::repository::{Repository, failed};
use crate::halt::Halt;

impl Repository<'_> {
    /// Removes what is half-made or half-removed of this worktree, and its locks.
    pub(super) fn clear_leftovers(&self, common: &Path) -> Result<(), Halt> {
        if self.is_unsettled() {
            self.clear(common)?;
        }
        self.forget_half_made(common)?;
        // Nothing is in an empty directory that anybody could miss; any other stays.
        let _ = fs::remove_dir(self.worktree);
        if fs::symlink_metadata(self.worktree).is_err() {
            return Ok(());
        }
        if self.administration()?.is_some() {
            return self.remove_stale_locks();
        }
        self.move_aside()?;
        // What git knows of a worktree whose `.git` is gone.
        self.forget_half_made(common)
    }

    /// Notes that this worktree is being made or removed. Until [`settled`](Self::settled) nothing in it is anybody's: a git
    /// that is ended takes away what it knows of the worktree before the files, and without that they look like a stranger's.
    pub(super) fn unsettle(&self) -> Result<(), Halt> {
        let note = unsettled_beside(self.worktree);
        let above = note.parent().map_or(Ok(()), fs::create_dir_all);
        above.and_then(|()| fs::write(&note, "")).map_err(|e| failed(&note, "cannot be written", &e))
    }

    /// The worktree is whole, or gone.
    pub(super) fn settled(&self) {
        let _ = fs::remove_file(unsettled_beside(self.worktree));
    }

    /// Whether this worktree's making or removal was cut short.
    pub(super) fn is_unsettled(&self) -> bool {
        unsettled_beside(self.worktree).exists()
    }

    /// Removes the worktree's files and what git knows of them.
    pub(super) fn clear(&self, common: &Path) -> Result<(), Halt> {
        remove_dir(self.worktree)?;
        self.forget_half_made(common)?;
        self.settled();
        Ok(())
    }

    /// Removes what git knows of a worktree in this one's place that is gone or half-made, and the half of it that is
    /// there.
    pub(super) fn forget_half_made(&self, common: &Path) -> Result<(), Halt> {
        let own = self.worktree.file_name().unwrap_or_default().as_encoded_bytes();
        for entry in fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten() {
            // Git calls it as the worktree is called, with a number where that name is taken.
            if !entry.file_name().as_encoded_bytes().starts_with(own) {
                continue;
            }
            let administration = entry.path();
            match worktree_of(&administration) {
                None => remove_dir(&administration)?,
                Some(worktree) if self.is_at(&worktree) => {
                    if is_half_made(&administration) {
                        remove_dir(self.worktree)?;
                    }
                    if fs::symlink_metadata(self.worktree).is_err() {
                        remove_dir(&administration)?;
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn is_at(&self, path: &Path) -> bool {
        // The directory above, as the worktree itself may be gone.
        let place = |path: &Path| Some((path.parent()?.canonicalize().ok()?, path.file_name()?.to_owned()));
        place(path) == place(self.worktree)
    }

    /// Removes the worktree's own locks: of its index, its `HEAD`, and what else git locks there.
    pub(super) fn remove_stale_locks(&self) -> Result<(), Halt> {
        let Some(own) = self.administration()? else { return Ok(()) };
        for entry in fs::read_dir(own).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "lock") {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// A directory in the worktree's place that git does not know: kept, somebody may miss it.
    fn move_aside(&self) -> Result<(), Halt> {
        let mut name = self.worktree.as_os_str().to_owned();
        name.push(".aside-");
        let free = (1..10_000)
            .map(|n| {
                let mut name = name.clone();
                name.push(n.to_string());
                PathBuf::from(name)
            })
            .find(|path| fs::symlink_metadata(path).is_err())
            .ok_or_else(|| {
                Halt::Failed(format!("too many directories beside {}", self.worktree.display()))
            })?;
        fs::rename(self.worktree, &free).map_err(|e| failed(self.worktree, "cannot be moved aside", &e))?;
        let console = self.project.console;
        console.say(&format!(
            "{} was no worktree of git's: it is now {}",
            self.worktree.display(),
            free.display()
        ));
        Ok(())
    }
}

/// Where it is noted that a worktree is being made or removed.
fn unsettled_beside(worktree: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(worktree.file_name().unwrap_or_default());
    name.push(".unsettled");
    worktree.with_file_name(name)
}

/// The worktree that git keeps this of; `None` where it has not got as far as to note it.
fn worktree_of(administration: &Path) -> Option<PathBuf> {
    let file =
        fs::read_to_string(administration.join("gitdir")).ok().filter(|file| !file.trim().is_empty())?;
    // Where its `.git` is, relative to here or absolute.
    Some(administration.join(file.trim_end()).parent()?.to_owned())
}

/// Removes the lock of a branch.
pub(super) fn unlock_branch(common: &Path, branch: &str) {
    let _ = fs::remove_file(common.join("refs/heads").join(format!("{branch}.lock")));
}

/// Git marks a worktree while it makes it (`add_worktree` in its `builtin/worktree.c` writes this reason).
pub(super) fn is_half_made(administration: &Path) -> bool {
    fs::read_to_string(administration.join("locked")).is_ok_and(|why| why.trim() == "initializing")
}
