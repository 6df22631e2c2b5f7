//! One item's checkpoint: a `SQLite` database that outlives its worker (`WF_WORKFLOW_DB`).
//!
//! Two kinds of facts are in it. Each *finished node* is one transaction: the state after it, and where the workflow
//! goes on. It is on the disk before the next node begins. Each *paid reply* is a transaction of its own the moment it is
//! received, so a killed worker loses at most the call that was in flight. A node that runs again finds its replies here
//! and asks nobody. Replies reach the disk with their node: a machine that loses its power may have to ask for those of
//! one node again.
//!
//! The database is held under `SQLite`'s exclusive lock while it is open. With it, write-ahead logging needs no shared
//! memory, so the file may lie on a network file system as well. The lock falls with the process, however that ends.

mod fault;
mod kept;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

pub use self::fault::CheckpointError;
pub use self::kept::{Peek, discard, peek, remove, remove_discarded, set_aside};
use crate::job::Role;
use crate::workflow::{Next, Position};

/// The schema's version, in `SQLite`'s `user_version`.
pub const SCHEMA: i64 = 1;

/// Marks the file as ours, in `SQLite`'s `application_id`: "wfcp".
const APPLICATION: i64 = 0x7766_6370;

/// How long another holder is waited for: a worker just killed may still be dying.
const LOCK_WAIT: Duration = Duration::from_secs(2);

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
        check_magic(path)?;
        let db = Connection::open(path).map_err(|e| sql(&e))?;
        db.busy_timeout(LOCK_WAIT).map_err(|e| sql(&e))?;
        // Taking the lock writes the first page of a new file, which needs neither a way back nor a wait for the disk.
        let is_new = fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
        let plainly = if is_new { "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" } else { "" };
        db.execute_batch(&format!("PRAGMA locking_mode = EXCLUSIVE; {plainly} BEGIN IMMEDIATE; COMMIT;"))
            .map_err(|e| sql(&e))?;
        let mut checkpoint = Checkpoint { path: path.to_owned(), db, identity: identity.clone() };
        if is_blank(path, &checkpoint.db)? {
            checkpoint.create()?;
            return Ok((checkpoint, None));
        }
        // Another program's database is not even switched to write-ahead logging.
        let read = read(path, &checkpoint.db)?;
        checkpoint
            .sql(checkpoint.db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"))?;
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

    /// Closing will not merge the log into the file: the item is done, and the file is removed next.
    pub fn leave_unmerged(&self) {
        let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, CheckpointError> {
        result.map_err(|e| CheckpointError::from_sqlite(&self.path, &e))
    }

    /// Makes the tables. The file becomes one with a log, on the disk too, before anything is in it: whoever is killed here
    /// leaves one with nothing in it, or all. The tables reach the disk with the first node.
    fn create(&mut self) -> Result<(), CheckpointError> {
        self.sql(self.db.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;",
        ))?;
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
        self.sql(made)?;
        self.sql(self.db.execute_batch("PRAGMA synchronous = FULL;"))
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
            tx.prepare_cached("INSERT INTO node (ts, position, line) VALUES (?1, ?2, ?3)")?
                .execute(params![now(), position, line])?;
            tx.prepare_cached("UPDATE work SET next = ?1, state = ?2, input_sha256 = ?3")?
                .execute(params![next, state, input_sha256])?;
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
        let mut query = self.sql(self.db.prepare_cached(
            "SELECT text, truncated, tokens_in, tokens_out FROM reply
             WHERE iteration = ?1 AND round = ?2 AND node = ?3 AND purpose = ?4 AND spent = 0",
        ))?;
        let name = params![name.at.iteration, name.at.round, name.at.node, name.purpose];
        let found = query.query_row(name, |row| {
            Ok(Reply {
                text: row.get(0)?,
                truncated: row.get(1)?,
                tokens_in: row.get::<_, i64>(2)?.max(0).cast_unsigned(),
                tokens_out: row.get::<_, i64>(3)?.max(0).cast_unsigned(),
            })
        });
        self.sql(found.optional())
    }

    /// Keeps a reply: from now on it outlives its worker.
    pub fn keep_reply(&mut self, name: &CallName, reply: &Reply) -> Result<(), CheckpointError> {
        // It outlives this process like this; the end of its node waits for the disk.
        self.sql(self.db.execute_batch("PRAGMA synchronous = NORMAL;"))?;
        let insert = self.db.prepare_cached(
            "INSERT INTO reply (iteration, round, node, purpose, ts, text, truncated, tokens_in, tokens_out)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        );
        let kept = insert.and_then(|mut insert| {
            insert.execute(params![
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
            ])
        });
        let back = self.db.execute_batch("PRAGMA synchronous = FULL;");
        self.sql(kept.and(back))
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

/// A database with nothing in it, as a worker leaves that was killed while making it: a file of no bytes, or one that
/// was switched to write-ahead logging and no more.
fn is_blank(path: &Path, db: &Connection) -> Result<bool, CheckpointError> {
    let number = |sql: &str| {
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| CheckpointError::from_sqlite(path, &e))
    };
    Ok(number("SELECT count(*) FROM sqlite_schema")? == 0 && number("PRAGMA user_version")? == 0)
}

/// A file that begins otherwise is no database. `SQLite` itself would not see that where a log beside it has all pages.
fn check_magic(path: &Path) -> Result<(), CheckpointError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::with_capacity(MAGIC.len());
    let read = match fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => Err(e),
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut start),
    };
    read.map_err(|e| io_error(path, &e))?;
    if start.is_empty() || start == MAGIC {
        return Ok(());
    }
    Err(CheckpointError::Corrupt { path: path.to_owned(), why: "it is no database".into() })
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

fn io_error(path: &Path, error: &io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.to_owned(), why: error.to_string() }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs with string keys always serialise")
}

#[cfg(test)]
mod tests;
