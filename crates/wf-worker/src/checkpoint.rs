//! One item's checkpoint: a `SQLite` database that outlives its worker (`WF_WORKFLOW_DB`).
//!
//! Two kinds of facts are in it. Each *finished node* is one transaction: the state after it, and where the workflow
//! goes on. Each *paid reply* is a transaction of its own the moment it is received, so a killed worker loses at most
//! the call that was in flight. A node that runs again finds its replies here and asks nobody.
//!
//! The database is held under `SQLite`'s exclusive lock while it is open. With it, write-ahead logging needs no shared
//! memory, so the file may lie on a network file system as well. The lock falls with the process, however that ends.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::job::Role;
use crate::workflow::{Ending, Next, Position};

/// The schema's version, in `SQLite`'s `user_version`.
pub const SCHEMA: i64 = 1;

/// Marks the file as ours, in `SQLite`'s `application_id`: "wfcp".
const APPLICATION: i64 = 0x7766_6370;

/// How long another holder is waited for: a worker just killed may still be dying.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// It is no database of ours, or a damaged one.
    #[error("checkpoint {} is corrupt ({why}); --redo sets it aside and starts anew", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "checkpoint {} has schema version {found}, this program knows {SCHEMA}: use the program that wrote it, or \
         --redo to set it aside and start anew",
        path.display()
    )]
    OtherSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It belongs to another item or workflow.
    #[error("checkpoint {} is of {found}, not of {wanted}; --redo sets it aside and starts anew", path.display())]
    OtherWork {
        /// The database.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Another process holds it.
    #[error("checkpoint {} is held by another process: is another worker on this item?", path.display())]
    Held {
        /// The database.
        path: PathBuf,
    },
    /// The file system or `SQLite` failed: a full disk, a read-only directory.
    #[error("checkpoint {} cannot be used: {why}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What was said.
        why: String,
    },
}

impl CheckpointError {
    /// Whether setting the file aside, as `--redo` does, would help.
    pub fn is_cured_by_redo(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::OtherSchema { .. } | Self::OtherWork { .. })
    }

    fn from_sqlite(path: &Path, error: &rusqlite::Error) -> CheckpointError {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CheckpointError::Held { path },
            // The last three: a missing table or column, a value of the wrong type. The file is not what its marks say.
            Some(
                ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::Unknown
                | ErrorCode::TypeMismatch,
            )
            | None => CheckpointError::Corrupt { path, why },
            Some(_) => CheckpointError::Io { path, why },
        }
    }
}

/// Which work a checkpoint belongs to, fixed when it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The item's id.
    pub item: String,
    /// The workflow's name.
    pub workflow: String,
    /// Who drafts; kept by a resumed item whatever is configured by then.
    pub drafter: Role,
    /// Who reviews; kept likewise.
    pub reviewer: Role,
}

/// What a call was for: the same call of a node that runs again has the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName {
    /// Where the workflow stood.
    pub at: Position,
    /// What the node asked for, such as `draft` or `mend`.
    pub purpose: &'static str,
}

/// A reply that was paid for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The model's text.
    pub text: String,
    /// Whether the model was cut off by its output limit.
    pub truncated: bool,
    /// Tokens of the input, as charged.
    pub tokens_in: u64,
    /// Tokens of the output, as charged.
    pub tokens_out: u64,
}

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

/// An open checkpoint; see the module.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    db: Connection,
    identity: Identity,
}

/// What an opened checkpoint says of the work so far: the state after the last finished node, as JSON, and what
/// comes next. `None` where no node has finished.
pub type Standing = Option<(Next, String)>;

impl Checkpoint {
    /// Opens the checkpoint at `path`, or makes one for `identity`. The models of an existing one stay as they are.
    pub fn open(path: &Path, identity: &Identity) -> Result<(Checkpoint, Standing), CheckpointError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| io_error(path, &e))?;
        }
        let sql = |e: &rusqlite::Error| CheckpointError::from_sqlite(path, e);
        let db = Connection::open(path).map_err(|e| sql(&e))?;
        db.busy_timeout(LOCK_WAIT).map_err(|e| sql(&e))?;
        db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT;").map_err(|e| sql(&e))?;
        let mut checkpoint = Checkpoint { path: path.to_owned(), db, identity: identity.clone() };
        if checkpoint.is_blank()? {
            checkpoint.set_durable()?;
            checkpoint.create()?;
            return Ok((checkpoint, None));
        }
        // Another program's database is not even switched to write-ahead logging.
        let read = read(path, &checkpoint.db)?;
        checkpoint.set_durable()?;
        let (found, wanted) = (&read.identity, identity);
        if (&found.item, &found.workflow) != (&wanted.item, &wanted.workflow) {
            return Err(CheckpointError::OtherWork {
                path: path.to_owned(),
                found: format!("item {} of workflow {}", found.item, found.workflow),
                wanted: format!("item {} of workflow {}", wanted.item, wanted.workflow),
            });
        }
        checkpoint.identity = read.identity;
        Ok((checkpoint, read.standing))
    }

    /// Whose it is. The models are those recorded when the work began.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, CheckpointError> {
        result.map_err(|e| CheckpointError::from_sqlite(&self.path, &e))
    }

    /// A file of no bytes, as a worker leaves that was killed while making it.
    fn is_blank(&self) -> Result<bool, CheckpointError> {
        let tables = self.db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        let version = self.db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        Ok(self.sql(tables)? == 0 && self.sql(version)? == 0)
    }

    fn set_durable(&self) -> Result<(), CheckpointError> {
        self.sql(self.db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"))
    }

    fn create(&mut self) -> Result<(), CheckpointError> {
        let identity = to_json(&self.identity);
        let made = self.db.transaction().and_then(|tx| {
            tx.execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION};
                 PRAGMA user_version = {SCHEMA};
                 CREATE TABLE work (only INTEGER PRIMARY KEY CHECK (only = 1), identity TEXT NOT NULL,
                     input_sha256 TEXT, next TEXT, state TEXT) STRICT;
                 CREATE TABLE node (seq INTEGER PRIMARY KEY, ts TEXT NOT NULL, position TEXT NOT NULL,
                     line TEXT NOT NULL) STRICT;
                 CREATE TABLE reply (iteration INTEGER NOT NULL, round INTEGER NOT NULL,
                     node TEXT NOT NULL, purpose TEXT NOT NULL, ts TEXT NOT NULL, spent INTEGER NOT NULL DEFAULT 0,
                     text TEXT NOT NULL, truncated INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                     tokens_out INTEGER NOT NULL) STRICT;"
            ))?;
            tx.execute("INSERT INTO work (only, identity) VALUES (1, ?1)", [&identity])?;
            tx.commit()
        });
        self.sql(made)
    }

    /// Makes a finished node durable: its result, the state after it and what comes next, in one transaction.
    pub fn commit(
        &mut self,
        at: &Position,
        line: &str,
        next: &Next,
        state: &str,
        input_sha256: &str,
    ) -> Result<(), CheckpointError> {
        let (position, next) = (to_json(at), to_json(next));
        let done = self.db.transaction().and_then(|tx| {
            tx.execute(
                "INSERT INTO node (ts, position, line) VALUES (?1, ?2, ?3)",
                params![now(), position, line],
            )?;
            tx.execute(
                "UPDATE work SET next = ?1, state = ?2, input_sha256 = ?3",
                params![next, state, input_sha256],
            )?;
            tx.commit()
        });
        self.sql(done)
    }

    /// Moves the work elsewhere, as `--redo` does: to `go_on` with that state, or to the beginning. Replies so far
    /// stay on record and answer no more. The models become those of `identity`.
    pub fn restart(
        &mut self,
        identity: &Identity,
        go_on: Option<(&Position, &str)>,
    ) -> Result<(), CheckpointError> {
        let next = go_on.map(|(at, _)| to_json(&Next::Node(at.clone())));
        let state = go_on.map(|(_, state)| state);
        let done = self.db.transaction().and_then(|tx| {
            tx.execute("UPDATE reply SET spent = 1", [])?;
            tx.execute(
                "UPDATE work SET identity = ?1, next = ?2, state = ?3",
                params![to_json(identity), next, state],
            )?;
            tx.commit()
        });
        self.sql(done)?;
        self.identity = identity.clone();
        Ok(())
    }

    /// The reply to this call, if it was received before and still counts.
    pub fn reply(&self, name: &CallName) -> Result<Option<Reply>, CheckpointError> {
        let found = self.db.query_row(
            "SELECT text, truncated, tokens_in, tokens_out FROM reply
             WHERE iteration = ?1 AND round = ?2 AND node = ?3 AND purpose = ?4 AND spent = 0",
            params![name.at.iteration, name.at.round, name.at.node, name.purpose],
            |row| {
                Ok(Reply {
                    text: row.get(0)?,
                    truncated: row.get(1)?,
                    tokens_in: row.get::<_, i64>(2)?.max(0).cast_unsigned(),
                    tokens_out: row.get::<_, i64>(3)?.max(0).cast_unsigned(),
                })
            },
        );
        self.sql(found.optional())
    }

    /// Makes a reply durable.
    pub fn keep_reply(&mut self, name: &CallName, reply: &Reply) -> Result<(), CheckpointError> {
        let kept = self.db.execute(
            "INSERT INTO reply (iteration, round, node, purpose, ts, text, truncated, tokens_in, tokens_out)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                name.at.iteration,
                name.at.round,
                name.at.node,
                name.purpose,
                now(),
                reply.text,
                reply.truncated,
                // A provider's count beyond 2^63 is nonsense, and SQLite's integers end there.
                i64::try_from(reply.tokens_in).unwrap_or(i64::MAX),
                i64::try_from(reply.tokens_out).unwrap_or(i64::MAX),
            ],
        );
        self.sql(kept).map(drop)
    }

    /// The replies of the node at this position could not be used: they stay on record and answer no more.
    pub fn spend_replies(&mut self, at: &Position) -> Result<(), CheckpointError> {
        let spent = self.db.execute(
            "UPDATE reply SET spent = 1 WHERE iteration = ?1 AND round = ?2 AND node = ?3",
            params![at.iteration, at.round, at.node],
        );
        self.sql(spent).map(drop)
    }
}

struct Read {
    identity: Identity,
    standing: Standing,
    input_sha256: Option<String>,
}

/// Reads everything that decides how to go on, and trusts none of it.
fn read(path: &Path, db: &Connection) -> Result<Read, CheckpointError> {
    let sql = |e: rusqlite::Error| CheckpointError::from_sqlite(path, &e);
    let corrupt = |why: String| CheckpointError::Corrupt { path: path.to_owned(), why };
    let number = |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(sql);
    if number("PRAGMA application_id")? != APPLICATION {
        return Err(corrupt("it is another program's database".into()));
    }
    let found = number("PRAGMA user_version")?;
    if found != SCHEMA {
        return Err(CheckpointError::OtherSchema { path: path.to_owned(), found });
    }
    let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sql)?;
    if check != "ok" {
        return Err(corrupt(check));
    }
    let (identity, input_sha256, next, state): (String, Option<String>, Option<String>, Option<String>) = db
        .query_row("SELECT identity, input_sha256, next, state FROM work", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .map_err(sql)?;
    let identity = serde_json::from_str(&identity).map_err(|e| corrupt(e.to_string()))?;
    let standing = match (next, state) {
        (Some(next), Some(state)) => {
            Some((serde_json::from_str(&next).map_err(|e| corrupt(e.to_string()))?, state))
        }
        _ => None,
    };
    Ok(Read { identity, standing, input_sha256 })
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
    let read = read(path, &db)?;
    Ok(read.standing.map(|(next, _)| Peek { identity: read.identity, next, input_sha256: read.input_sha256 }))
}

/// Removes a checkpoint and what `SQLite` keeps beside it. One that is not there is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", ""] {
        match fs::remove_file(with_suffix(path, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Moves a checkpoint out of the way, to the first free name `….aside-N`, and returns that name. Nothing is lost: a
/// person may want to look.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let free = (1..10_000)
        .map(|n| with_suffix(path, &format!(".aside-{n}")))
        .find(|p| fs::symlink_metadata(p).is_err())
        .ok_or_else(|| io::Error::other("too many checkpoints set aside"))?;
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&free, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(free)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(path: &Path, error: &io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.to_owned(), why: error.to_string() }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs with string keys always serialise")
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

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
