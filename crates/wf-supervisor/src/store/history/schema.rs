//! The tables of `history.db`, and who may read them.

use std::path::Path;

use rusqlite::Connection;

use super::super::StoreError;

/// The version of the tables, kept in `user_version`.
pub(super) const VERSION: i64 = 1;

/// Marks the file as ours (`application_id`): "wfsh".
const APPLICATION_ID: i64 = 0x7766_7368;

/// Times are microseconds since 1970. Outcomes and plans are the words of the journal.
///
/// * `works`: what is done to items (see `Work`).
/// * `runs`: every run; `closed` once nothing more will come of it, or its journal was read to its end after its death.
/// * `run_items`: what each run planned and did; the tokens of all runs on an item are summed from here.
/// * `last_states`: how each work item stands. The output is the last one of ours, whatever came after it.
/// * `claims`: who works on what. A claim counts while its run's lock is held.
/// * `pool_state`: JSON by name.
const TABLES: &str = "
CREATE TABLE works (
    key INTEGER PRIMARY KEY, realm TEXT NOT NULL, work TEXT NOT NULL, UNIQUE (realm, work)
);
CREATE TABLE runs (
    key INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, work INTEGER NOT NULL REFERENCES works, pid INTEGER NOT NULL,
    items INTEGER, parallel INTEGER, started_us INTEGER, ended_us INTEGER, exit INTEGER,
    wall_ms INTEGER, worked_ms INTEGER, waited_ms INTEGER, overhead_us INTEGER, closed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE run_items (
    work INTEGER NOT NULL, id TEXT NOT NULL, run INTEGER NOT NULL,
    action TEXT NOT NULL DEFAULT '', fingerprint TEXT NOT NULL DEFAULT '', outcome TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, wall_ms INTEGER NOT NULL DEFAULT 0, waited_ms INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0,
    tokens_in INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (work, id, run)
) WITHOUT ROWID;
CREATE TABLE last_states (
    work INTEGER NOT NULL, id TEXT NOT NULL, fingerprint TEXT NOT NULL, outcome TEXT NOT NULL, run TEXT NOT NULL,
    at_us INTEGER NOT NULL, detail TEXT NOT NULL DEFAULT '', output_path TEXT, output_sha256 TEXT,
    PRIMARY KEY (work, id)
) WITHOUT ROWID;
CREATE TABLE claims (
    work INTEGER NOT NULL, id TEXT NOT NULL, run INTEGER NOT NULL,
    PRIMARY KEY (work, id)
) WITHOUT ROWID;
CREATE TABLE pool_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// Makes the tables in an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Refuses a database that is newer, none of ours, or unreadable. Changes nothing in it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = pragma("application_id")
        .and_then(|application| Ok((application, pragma("user_version")?)))
        .map_err(StoreError::sqlite(path))?;
    if application != APPLICATION_ID || version < 1 {
        // The stump of one reads as a database without anything in it.
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
        return Err(match tables.map_err(StoreError::sqlite(path))? {
            0 => StoreError::Corrupt { path: path.to_owned(), detail: "nothing is in it".to_owned() },
            _ => StoreError::ForeignDatabase { path: path.to_owned() },
        });
    }
    if version > VERSION {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(())
}

/// Prepares a connection. The journals are durable by themselves, so the index needs no `fsync` per transaction: after
/// a power failure it lags behind and catches up.
pub(super) fn configure(connection: &Connection, journal_mode: &str) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", journal_mode)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}
