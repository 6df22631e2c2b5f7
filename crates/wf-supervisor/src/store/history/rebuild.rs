//! Making the index from the journals: all of it where it is missing, and the part a killed run did not write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use wf_core::Record;

use super::super::StoreError;
use super::super::atomic::{TEMPORARY_PREFIX, sync_directory};
use super::super::journal_reader::{Entry, JournalReader};
use super::super::layout::StateDir;
use super::super::run_dir::{RunDir, RunId};
use super::super::work::Work;
use super::apply::{self, Account, Keys};
use super::{Failure, History, network, schema};

/// Makes `history.db` from the archive and the journals, in a temporary file that is then renamed.
pub(super) fn rebuild_file(state: &StateDir) -> Result<(), StoreError> {
    let path = state.history_db();
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(state.path())
        .map_err(StoreError::writing(&path))?
        .into_temp_path();
    let build = || -> Result<(), Failure> {
        let mut connection = Connection::open(&temporary)?;
        // Nobody sees the file before it is whole, and it is thrown away if it does not become so.
        connection.pragma_update(None, "journal_mode", "MEMORY")?;
        fill(&mut connection, state)?;
        connection.close().map_err(|(_, e)| Failure::Database(e))
    };
    build().map_err(|failure| failure.at(&path))?;
    // SQLite would take the log of the lost database for this one's.
    for companion in ["-wal", "-shm", "-journal"] {
        remove_if_there(&beside(&path, companion))?;
    }
    temporary.persist(&path).map_err(|e| StoreError::writing(&path)(e.error))?;
    sync_directory(state.path())
}

/// A copy of the index in memory, with what the journals of killed runs say.
pub(super) fn peek(state: &StateDir) -> Result<History, StoreError> {
    let path = state.history_db();
    let copy = || -> Result<Connection, Failure> {
        if super::is_missing(&path) {
            let mut connection = Connection::open_in_memory()?;
            fill(&mut connection, state)?;
            return Ok(connection);
        }
        let mut connection = copy_of(&path)?;
        let transaction = connection.transaction()?;
        catch_up(&transaction, state)?;
        transaction.commit()?;
        Ok(connection)
    };
    let connection = copy().map_err(|failure| failure.at(&path))?;
    Ok(History { connection, path, state: state.clone(), warning: network::warning(state.path()) })
}

fn copy_of(path: &Path) -> Result<Connection, Failure> {
    // A database in WAL mode cannot be opened for reading without its companion files; where nobody has it open there
    // are none, and they must not be made. `immutable` says that nobody writes.
    let in_use = beside(path, "-wal").exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("file:{}?{}", escaped(path), if in_use { "mode=ro" } else { "immutable=1" });
    let checked = Connection::open_with_flags(&uri, flags)?;
    checked.busy_timeout(super::BUSY_TIMEOUT)?;
    schema::check(&checked, path)?;
    drop(checked);
    let connection = Connection::open_with_flags(
        ":memory:",
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI,
    )?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    schema::create(&connection)?;
    connection.execute("ATTACH ?1 AS disk", [uri])?;
    for table in ["works", "runs", "run_items", "last_states", "claims", "pool_state"] {
        connection.execute(&format!("INSERT INTO main.{table} SELECT * FROM disk.{table}"), [])?;
    }
    connection.execute("DETACH disk", [])?;
    Ok(connection)
}

/// A companion of the database, by what its name ends with.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::writing(path)(e)),
        _ => Ok(()),
    }
}

/// A path inside a `file:` URI.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}

/// Fills an empty database from the archive and every journal, oldest run first.
fn fill(connection: &mut Connection, state: &StateDir) -> Result<(), Failure> {
    schema::create(connection)?;
    let transaction = connection.transaction()?;
    read_archive(&transaction, state)?;
    for id in state.run_ids()? {
        let run = state.run(&id);
        let Some(keys) = replay(&transaction, &run, None)? else { continue };
        if run.live_pid().is_some() {
            // Its own index was lost under it; what it works on stays its own.
            transaction.execute(
                "INSERT INTO claims (work, id, run)
                 SELECT work, id, run FROM run_items
                 WHERE work = ?1 AND run = ?2 AND outcome IS NULL AND action IN ('run', 'resume', 'rerun', 'redo')
                 ON CONFLICT DO NOTHING",
                (keys.work, keys.run),
            )?;
        } else {
            apply::close(&transaction, keys)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Brings in what killed runs did not write here any more, and ends their claims: those that are left belong to the
/// runs it returns, which were alive when it looked, with their processes. Cheap where there is nothing to do: a list of
/// the runs' directories, and one query.
pub(super) fn catch_up(connection: &Connection, state: &StateDir) -> Result<HashMap<RunId, u32>, Failure> {
    let mut statement = connection.prepare("SELECT run, key, work, closed FROM runs")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, Keys { run: row.get(1)?, work: row.get(2)? }, row.get::<_, bool>(3)?))
    })?;
    let mut open: HashMap<String, Option<Keys>> = HashMap::new();
    for row in rows {
        let (run, keys, closed) = row?;
        open.insert(run, (!closed).then_some(keys));
    }
    let mut live = HashMap::new();
    for id in state.run_ids()? {
        let run = state.run(&id);
        let known = match open.remove(id.as_str()) {
            Some(None) => continue,
            Some(known) => known,
            None => None,
        };
        if let Some(pid) = run.live_pid() {
            live.insert(id, pid);
        } else if let Some(keys) = replay(connection, &run, known)? {
            apply::close(connection, keys)?;
        }
    }
    // What is left has no directory any more, and so no journal.
    for keys in open.into_values().flatten() {
        apply::close(connection, keys)?;
    }
    Ok(live)
}

/// Applies a run's journal from its beginning. `None` where there is nothing to go by: no journal, or no first line and
/// no claim that says what work it was.
fn replay(connection: &Connection, run: &RunDir, known: Option<Keys>) -> Result<Option<Keys>, Failure> {
    let journal = run.journal();
    if !journal.exists() {
        return Ok(known);
    }
    let mut keys = known;
    if let Some(keys) = keys {
        apply::forget(connection, keys)?;
    }
    for entry in JournalReader::open(&journal)? {
        let entry = entry?;
        if keys.is_none() {
            let Some(work) = Work::of_run(&entry.record) else { return Ok(None) };
            keys = Some(apply::keys_of(connection, run.id(), &work)?);
        }
        let Some(keys) = keys else { return Ok(None) };
        apply::apply(connection, keys, run.id(), &entry, Account::Later)?;
    }
    Ok(keys)
}

/// Applies the archive: the journals of deleted runs one after the other, each from its first line. A run that is there
/// twice (its deletion was interrupted) counts once.
fn read_archive(connection: &Connection, state: &StateDir) -> Result<(), Failure> {
    let path = state.archive();
    if !path.exists() {
        return Ok(());
    }
    let mut current: Option<(RunId, Keys)> = None;
    for entry in JournalReader::open(&path)? {
        let entry = entry?;
        if let Entry { record: Record::RunStarted { run, .. }, .. } = &entry {
            current = None;
            if let (Some(id), Some(work)) = (RunId::parse(run), Work::of_run(&entry.record)) {
                let keys = apply::keys_of(connection, &id, &work)?;
                apply::forget(connection, keys)?;
                apply::close(connection, keys)?;
                current = Some((id, keys));
            }
        }
        if let Some((id, keys)) = &current {
            apply::apply(connection, *keys, id, &entry, Account::Later)?;
        }
    }
    Ok(())
}

impl History {
    /// Makes the index again from the journals and the archive, as if it had been missing. The pool's state is lost.
    /// No run may be live.
    #[cfg(test)]
    pub fn rebuild(state: &StateDir) -> Result<History, StoreError> {
        let lock = super::wait_for(&state.history_lock())?;
        rebuild_file(state)?;
        drop(lock);
        History::open(state)
    }

    /// Applies the journal of a live run again, from its beginning, in place of what is known of the run.
    pub(super) fn reread(&mut self, run: &RunId, journal: &Path) -> Result<(), StoreError> {
        self.write(|transaction, _| {
            let mut keys = None;
            for entry in JournalReader::open(journal)? {
                let entry = entry?;
                if keys.is_none() {
                    let work = Work::of_run(&entry.record)
                        .ok_or_else(|| StoreError::Headless { path: journal.to_owned() })?;
                    let found = apply::keys_of(transaction, run, &work)?;
                    apply::forget(transaction, found)?;
                    keys = Some(found);
                }
                let Some(keys) = keys else { break };
                apply::apply(transaction, keys, run, &entry, Account::Live)?;
            }
            Ok(())
        })
    }

    /// Brings in what killed runs did not write here any more.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        self.write(|transaction, state| catch_up(transaction, state).map(drop))
    }
}
