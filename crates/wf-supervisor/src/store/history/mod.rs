//! `history.db`: what is done, what was begun, who works on what, over all runs; and the pool's state.
//!
//! It is an index of the journals. What a killed run did not write here any more is taken from its journal before
//! anyone asks ([`History::claim`], [`History::peek`]); where the file is missing it is made again from all journals
//! and the archive. Only the pool's state (blocks, quarantines, counters) has no other copy; losing that costs a
//! refusal or two.

mod apply;
mod claims;
mod network;
mod pool;
mod rebuild;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use wf_core::{Outcome, OutputRef};

use super::StoreError;
use super::layout::StateDir;
use super::lock::HeldLock;
use super::run_dir::RunId;

pub use pool::PoolState;
pub use writer::HistoryWriter;

/// How long one process waits for another that is writing.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The index, open.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
    state: StateDir,
    warning: Option<String>,
}

/// What is known of a work item from earlier runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastState {
    /// How it stands: `interrupted` also where a run was killed while it worked on the item.
    pub outcome: Outcome,
    /// The fingerprint the outcome is for.
    pub fingerprint: String,
    /// The run that brought it there.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// Why, in words for a person; may be empty.
    pub detail: String,
    /// The last file of ours, whatever became of the item since.
    pub output: Option<OutputRef>,
    /// Whether a later run planned to do it again (`--redo`) and did not come to it.
    pub owes_redo: bool,
    /// Tokens that all runs together spent on this item with this fingerprint, inputs and outputs.
    pub tokens: u64,
}

/// The answer to one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The live run that has the item; `None`: the item is now this run's.
    pub held: Option<Holder>,
    /// What earlier runs left, read in the same transaction.
    pub last: Option<LastState>,
}

/// Who holds an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Its process.
    pub pid: u32,
}

/// A run as the index has it.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedRun {
    /// The run.
    pub run: RunId,
    /// When it started; `None` while only its claims are known.
    pub started: Option<Timestamp>,
    /// Its exit code, if it was not killed and is over.
    pub exit: Option<u8>,
    /// Whether nothing more will come of it.
    pub closed: bool,
}

impl History {
    /// Opens the index for a run; makes it from the journals and the archive where it is missing.
    ///
    /// A database that is damaged, foreign or newer is an error, and stays as it is.
    pub fn open(state: &StateDir) -> Result<History, StoreError> {
        let path = state.history_db();
        let warning = network::warning(state.path());
        if is_missing(&path) {
            let lock = wait_for(&state.history_lock())?;
            // Another process may have made it meanwhile.
            if is_missing(&path) {
                rebuild::rebuild_file(state)?;
            }
            drop(lock);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(StoreError::sqlite(&path))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::sqlite(&path))?;
        schema::check(&connection, &path)?;
        let mode = if warning.is_some() { "DELETE" } else { "WAL" };
        schema::configure(&connection, mode).map_err(StoreError::sqlite(&path))?;
        Ok(History { connection, path, state: state.clone(), warning })
    }

    /// Moves a damaged index and what belongs to it away, under a name that says when, and answers with the name. The
    /// next [`open`](History::open) makes it again from the journals, which have everything but the pool's past.
    pub fn set_aside(state: &StateDir, now: Timestamp) -> Result<PathBuf, StoreError> {
        let path = state.history_db();
        let lock = wait_for(&state.history_lock())?;
        let named = |suffix: &str| {
            let stamp = now.strftime("%Y-%m-%dT%H-%M-%SZ");
            path.with_file_name(format!("history.db.damaged-{stamp}{suffix}"))
        };
        for suffix in ["-wal", "-shm", ""] {
            let from = path.with_file_name(format!("history.db{suffix}"));
            match std::fs::rename(&from, named(suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::of("move away", &from)(error));
                }
                _ => {}
            }
        }
        drop(lock);
        Ok(named(""))
    }

    /// A copy in memory that knows what the journals say of killed runs, for those who only look. Writes nothing.
    pub fn peek(state: &StateDir) -> Result<History, StoreError> {
        rebuild::peek(state)
    }

    /// What the operator should know of where the database lies: it is on a network file system.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// All runs the index knows, oldest first.
    #[cfg(test)]
    pub fn runs(&self) -> Result<Vec<IndexedRun>, StoreError> {
        let read = || {
            let mut statement = self
                .connection
                .prepare_cached("SELECT run, started_us, exit, closed FROM runs ORDER BY run")?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get::<_, Option<u8>>(2)?,
                    row.get::<_, bool>(3)?,
                ))
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let rows = read().map_err(StoreError::sqlite(&self.path))?;
        Ok(rows
            .into_iter()
            .filter_map(|(run, started_us, exit, closed)| {
                let started = Option::<i64>::and_then(started_us, |us| Timestamp::from_microsecond(us).ok());
                Some(IndexedRun { run: RunId::parse(&run)?, started, exit, closed })
            })
            .collect())
    }

    /// Runs `work` in a transaction that has the write lock from its beginning, so that what it reads stays true.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &StateDir) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let state = &self.state;
        let run = || -> Result<T, Failure> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction, state)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|failure| failure.at(path))
    }
}

/// What can end a transaction: the database, or a journal that is read for it.
#[derive(Debug)]
enum Failure {
    Database(rusqlite::Error),
    Store(StoreError),
}

impl Failure {
    fn at(self, path: &Path) -> StoreError {
        match self {
            Failure::Database(e) => StoreError::sqlite(path)(e),
            Failure::Store(e) => e,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(e: rusqlite::Error) -> Failure {
        Failure::Database(e)
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Failure {
        Failure::Store(e)
    }
}

/// SQLite takes an empty file for a new database, so it is one that is missing.
fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path)
        .map_or_else(|e| e.kind() == std::io::ErrorKind::NotFound, |found| found.len() == 0)
}

/// Waits, with a bound, for a lock that others hold only shortly.
fn wait_for(path: &Path) -> Result<HeldLock, StoreError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        if let Some(lock) = HeldLock::try_acquire(path)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(StoreError::Busy { path: path.to_owned(), waited_s: BUSY_TIMEOUT.as_secs() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
