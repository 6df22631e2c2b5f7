//! Checkpoints at rest: looked at, set aside and removed without being opened for work.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rusqlite::{Connection, OpenFlags};

use super::{CheckpointError, Identity, check_magic, io_error, is_blank, read};
use crate::workflow::{Ending, Next};

/// What the names of a checkpoint's files end with: those beside the database, then itself.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

/// Where a kept checkpoint stands; see [`peek`].
#[derive(Clone, Debug, PartialEq)]
pub struct Peek {
    /// Whose it is, with the models in use.
    pub identity: Identity,
    /// What comes next, or how it ended.
    pub next: Next,
    /// SHA-256 of the input in hexadecimal, once it was read.
    pub input_sha256: Option<String>,
}

impl Peek {
    /// Whether the work came to an end, and how.
    pub fn ending(&self) -> Option<Ending> {
        match self.next {
            Next::End { ending, .. } => Some(ending),
            Next::Node(_) => None,
        }
    }
}

/// Reads where a checkpoint stands, without changing a byte of it or beside it. `None`: there is none, or no work is
/// in it yet.
///
/// For a checkpoint no worker holds; of one in use the answer may be a [`CheckpointError::Corrupt`].
pub fn peek(path: &Path) -> Result<Option<Peek>, CheckpointError> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(path, &e)),
        Ok(meta) if meta.len() == 0 && !with_suffix(path, "-wal").exists() => return Ok(None),
        Ok(_) => {}
    }
    check_magic(path)?;
    // Opening replays what a killed worker left in the log and so writes: a copy takes that.
    let dir = tempfile::tempdir().map_err(|e| io_error(path, &e))?;
    let copy = dir.path().join("checkpoint.db");
    fs::copy(path, &copy).map_err(|e| io_error(path, &e))?;
    let log = with_suffix(path, "-wal");
    if log.exists() {
        fs::copy(&log, with_suffix(&copy, "-wal")).map_err(|e| io_error(path, &e))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&copy, flags).map_err(|e| CheckpointError::from_sqlite(path, &e))?;
    if is_blank(path, &db)? {
        return Ok(None);
    }
    let read = read(path, &db)?;
    Ok(read.standing.map(|(next, _)| Peek { identity: read.identity, next, input_sha256: read.input_sha256 }))
}

/// Removes a checkpoint and what `SQLite` keeps beside it. One that is not there is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    for suffix in SUFFIXES {
        match fs::remove_file(with_suffix(path, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// What the name of a checkpoint ends with whose item is done, until it is removed.
const DONE: &str = ".done";

/// Gives up the name of a checkpoint whose item is done: whoever takes the item up again makes one of its own. Answers with
/// what it is called until [`remove`] removes it; `None` where there was none.
pub fn discard(path: &Path) -> io::Result<Option<PathBuf>> {
    let done = with_suffix(path, DONE);
    Ok(rename_all(path, &done)?.then_some(done))
}

/// Removes what killed runs have discarded and not removed.
pub fn remove_discarded(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_done = SUFFIXES.iter().any(|suffix| {
            let end = format!(".db{DONE}{suffix}");
            name.as_encoded_bytes().ends_with(end.as_bytes())
        });
        if is_done {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Moves a checkpoint out of the way, to the first free name `….aside-N`, and returns that name. Nothing is lost: a
/// person may want to look.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let free = (1..10_000)
        .map(|n| with_suffix(path, &format!(".aside-{n}")))
        .find(|p| fs::symlink_metadata(p).is_err())
        .ok_or_else(|| io::Error::other("too many checkpoints set aside"))?;
    rename_all(path, &free)?;
    Ok(free)
}

/// Renames a checkpoint and what is beside it; whether there was one.
fn rename_all(from: &Path, to: &Path) -> io::Result<bool> {
    let mut is_there = false;
    for suffix in SUFFIXES {
        match fs::rename(with_suffix(from, suffix), with_suffix(to, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            renamed => is_there = renamed.is_ok(),
        }
    }
    Ok(is_there)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
