//! How a record of a journal changes the index.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use wf_core::{ItemId, Outcome, OutputRef, Record};

use super::super::StoreError;
use super::super::journal_reader::Entry;
use super::super::run_dir::RunId;
use super::super::text::plan_word;
use super::super::work::Work;
use super::{Failure, History};

/// Which account of a work item wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The run is alive and holds its claims: what it says is the latest, whatever the wall clock did.
    Live,
    /// A journal read later: it is believed about items that the run still claims, and else where it is newer than what
    /// is known.
    Later,
}

/// The numbers of a run in the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub run: i64,
    pub work: i64,
}

/// Whether the index changes by it; the rest of a journal need not be brought here.
pub(super) fn concerns(record: &Record) -> bool {
    matches!(
        record,
        Record::RunStarted { .. }
            | Record::ItemPlanned { .. }
            | Record::AttemptStarted { .. }
            | Record::LeaseReturned { .. }
            | Record::ItemEnded { .. }
            | Record::RunEnded { .. }
    )
}

impl History {
    /// Applies records of `run`, in their order, in one transaction. The run is known by a claim or by its first record.
    pub fn record(&mut self, run: &RunId, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(|transaction, _| {
            let first = entries.first().and_then(|entry| Work::of_run(&entry.record));
            let keys = match first {
                Some(work) => keys_of(transaction, run, &work)?,
                None => known(transaction, run)?,
            };
            for entry in entries {
                apply(transaction, keys, run, entry, Account::Live)?;
            }
            Ok(())
        })
    }
}

/// The numbers of a run the tables have.
fn known(connection: &Connection, run: &RunId) -> Result<Keys, Failure> {
    let found = connection
        .prepare_cached("SELECT key, work FROM runs WHERE run = ?1")?
        .query_row([run.as_str()], |row| Ok(Keys { run: row.get(0)?, work: row.get(1)? }))
        .optional()?;
    found.ok_or(Failure::Database(rusqlite::Error::QueryReturnedNoRows))
}

/// The numbers of a run that is put into the tables where it is missing.
pub(super) fn keys_of(connection: &Connection, run: &RunId, work: &Work) -> rusqlite::Result<Keys> {
    let names = (work.realm.word(), &work.name);
    connection.execute("INSERT INTO works (realm, work) VALUES (?1, ?2) ON CONFLICT DO NOTHING", names)?;
    let work: i64 =
        connection
            .query_row("SELECT key FROM works WHERE realm = ?1 AND work = ?2", names, |row| row.get(0))?;
    connection.execute(
        "INSERT INTO runs (run, work, pid) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
        (run.as_str(), work),
    )?;
    connection.query_row("SELECT key, work FROM runs WHERE run = ?1", [run.as_str()], |row| {
        Ok(Keys { run: row.get(0)?, work: row.get(1)? })
    })
}

/// Forgets what a run did, so that its journal can be applied from the beginning.
pub(super) fn forget(connection: &Connection, keys: Keys) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM run_items WHERE work = ?1 AND run = ?2", (keys.work, keys.run))?;
    Ok(())
}

/// Applies one record. A run's records are applied once, or again after [`forget`].
pub(super) fn apply(
    connection: &Connection,
    keys: Keys,
    run: &RunId,
    entry: &Entry,
    account: Account,
) -> rusqlite::Result<()> {
    match &entry.record {
        Record::RunStarted { pid, items, parallel, .. } => {
            connection.execute(
                "UPDATE runs SET pid = ?2, items = ?3, parallel = ?4, started_us = ?5 WHERE key = ?1",
                params![keys.run, pid, items, parallel, entry.at.as_microsecond()],
            )?;
        }
        Record::ItemPlanned { item, action, fingerprint, redo, .. } => {
            // That it is done again is what a later run has to know, should this one end before.
            let action = if *redo { "redo" } else { plan_word(*action) };
            connection
                .prepare_cached(
                    "INSERT INTO run_items (work, id, run, action, fingerprint) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET action = excluded.action, fingerprint = excluded.fingerprint",
                )?
                .execute(params![keys.work, item.as_str(), keys.run, action, fingerprint])?;
        }
        Record::AttemptStarted { item, attempt, .. } => {
            connection
                .prepare_cached(
                    "INSERT INTO run_items (work, id, run, attempts) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET attempts = excluded.attempts",
                )?
                .execute(params![keys.work, item.as_str(), keys.run, attempt])?;
            // Should nothing more be heard of it, it is to be resumed.
            set_state(connection, keys, run, (item, Outcome::Interrupted, "", None), entry.at, account)?;
        }
        Record::LeaseReturned { item, outcome, tokens_in, tokens_out, .. } => {
            connection
                .prepare_cached(
                    "INSERT INTO run_items (work, id, run, calls, retries, tokens_in, tokens_out)
                     VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
                     ON CONFLICT DO UPDATE SET calls = calls + 1, retries = retries + excluded.retries,
                         tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out",
                )?
                .execute(params![
                    keys.work,
                    item.as_str(),
                    keys.run,
                    i64::from(outcome != "ok"),
                    whole(*tokens_in),
                    whole(*tokens_out)
                ])?;
        }
        Record::ItemEnded {
            item,
            outcome,
            attempts,
            wall_ms,
            waited_ms,
            calls,
            retries,
            tokens_in,
            tokens_out,
            detail,
            output,
        } => {
            connection
                .prepare_cached(
                    "INSERT INTO run_items (work, id, run, outcome, attempts, wall_ms, waited_ms, calls, retries,
                         tokens_in, tokens_out)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                     ON CONFLICT DO UPDATE SET outcome = excluded.outcome, attempts = excluded.attempts,
                         wall_ms = excluded.wall_ms, waited_ms = excluded.waited_ms, calls = excluded.calls,
                         retries = excluded.retries, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out",
                )?
                .execute(params![
                    keys.work,
                    item.as_str(),
                    keys.run,
                    outcome.word(),
                    attempts,
                    whole(*wall_ms),
                    whole(*waited_ms),
                    calls,
                    retries,
                    whole(*tokens_in),
                    whole(*tokens_out)
                ])?;
            // What was skipped, not started, refused at the start or reported again is as it was before.
            if *attempts > 0 {
                set_state(
                    connection,
                    keys,
                    run,
                    (item, *outcome, detail, output.as_ref()),
                    entry.at,
                    account,
                )?;
            }
            connection
                .prepare_cached("DELETE FROM claims WHERE work = ?1 AND id = ?2 AND run = ?3")?
                .execute(params![keys.work, item.as_str(), keys.run])?;
        }
        Record::RunEnded { exit, wall_ms, worked_ms, waited_ms, overhead_us, .. } => {
            connection.execute(
                "UPDATE runs SET exit = ?2, ended_us = ?3, wall_ms = ?4, worked_ms = ?5, waited_ms = ?6,
                     overhead_us = ?7 WHERE key = ?1",
                params![
                    keys.run,
                    exit,
                    entry.at.as_microsecond(),
                    whole(*wall_ms),
                    whole(*worked_ms),
                    whole(*waited_ms),
                    whole(*overhead_us)
                ],
            )?;
            close(connection, keys)?;
        }
        _ => {}
    }
    Ok(())
}

/// Nothing more will come of the run.
pub(super) fn close(connection: &Connection, keys: Keys) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM claims WHERE run = ?1", [keys.run])?;
    connection.execute("UPDATE runs SET closed = 1 WHERE key = ?1", [keys.run])?;
    Ok(())
}

fn set_state(
    connection: &Connection,
    keys: Keys,
    run: &RunId,
    (item, outcome, detail, output): (&ItemId, Outcome, &str, Option<&OutputRef>),
    at: Timestamp,
    account: Account,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO last_states (work, id, fingerprint, outcome, run, at_us, detail, output_path, output_sha256)
             SELECT work, id, fingerprint, ?4, ?5, ?6, ?7, ?8, ?9 FROM run_items WHERE work = ?1 AND id = ?2 AND run = ?3
             ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome,
                 run = excluded.run, at_us = excluded.at_us, detail = excluded.detail,
                 output_path = coalesce(excluded.output_path, output_path),
                 output_sha256 = coalesce(excluded.output_sha256, output_sha256)
             WHERE ?10 OR excluded.at_us >= at_us
                 OR EXISTS (SELECT 1 FROM claims WHERE work = ?1 AND id = ?2 AND run = ?3)",
        )?
        .execute(params![
            keys.work,
            item.as_str(),
            keys.run,
            outcome.word(),
            run.as_str(),
            at.as_microsecond(),
            detail,
            output.map(|output| &output.path),
            output.map(|output| &output.sha256),
            account == Account::Live,
        ])?;
    Ok(())
}

/// SQLite's integers are signed.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
