//! Locks that last as long as a process does, or as long as anything that holds a copy of their descriptor.
//!
//! `flock` belongs to the open file description, so a descriptor given to the wardens keeps a run locked until the
//! last of them is gone, whatever became of the supervisor. A lock file gets its name only once it is locked: whoever
//! finds the file and can lock it knows that its owner is dead, not that it is just starting.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StoreError;
use super::atomic::TEMPORARY_PREFIX;

/// A lock that is held. It ends with the last copy of its descriptor.
#[derive(Debug)]
pub struct HeldLock {
    file: File,
}

impl HeldLock {
    /// Creates the file `path`, locked, with this process's id in it. Nobody else may be creating it.
    pub fn create(path: &Path) -> Result<HeldLock, StoreError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(directory)
            .map_err(StoreError::writing(path))?;
        writeln!(temporary, "{}", std::process::id()).map_err(StoreError::writing(path))?;
        temporary.as_file().try_lock().map_err(|e| StoreError::of("lock", path)(io::Error::from(e)))?;
        let file = temporary.persist(path).map_err(|e| StoreError::writing(path)(e.error))?;
        Ok(HeldLock { file })
    }

    /// Locks the file `path`, creating it where it is missing; `None` when another process holds it.
    pub fn try_acquire(path: &Path) -> Result<Option<HeldLock>, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(StoreError::writing(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HeldLock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(StoreError::of("lock", path)(e)),
        }
    }

    /// The descriptor, to be sent to a warden over a socket.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The process that holds the lock at `path`, if any does: the id its owner wrote into it, or 0 where that cannot be
/// read. A missing file is not locked. Takes no lock away from anyone.
pub fn holder(path: &Path) -> Option<u32> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    let _ = (&file).take(16).read_to_string(&mut text);
    Some(text.trim().parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_while_any_copy_of_its_descriptor_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path), None);
        let lock = HeldLock::create(&path).unwrap();
        let own = Some(std::process::id());
        assert_eq!(holder(&path), own);
        assert_eq!(holder(&path), own, "looking does not take it");
        let copy = lock.descriptor().try_clone_to_owned().unwrap();
        drop(lock);
        assert_eq!(holder(&path), own);
        assert!(HeldLock::try_acquire(&path).unwrap().is_none());
        drop(copy);
        assert_eq!(holder(&path), None);
        assert!(HeldLock::try_acquire(&path).unwrap().is_some());
    }
}
