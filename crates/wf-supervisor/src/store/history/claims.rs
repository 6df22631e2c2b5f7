//! Who works on what: an item belongs to one live run at a time.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde::de::value::{Error as WordError, StrDeserializer};
use wf_core::{ItemId, Outcome, OutputRef};

use super::super::StoreError;
use super::super::run_dir::RunId;
use super::super::work::Work;
use super::{Claim, Failure, History, Holder, LastState, apply, rebuild};

impl History {
    /// Takes the items for `run`, whose lock is held by process `pid`, and says what is known of each, in the order of
    /// `items`; all in one transaction. What dead runs held or did not write here any more is put in order first.
    pub fn claim(
        &mut self,
        run: &RunId,
        pid: u32,
        work: &Work,
        items: &[ItemId],
    ) -> Result<Vec<Claim>, StoreError> {
        self.write(|transaction, state| {
            let live = rebuild::catch_up(transaction, state)?;
            let keys = apply::keys_of(transaction, run, work)?;
            transaction.execute("UPDATE runs SET pid = ?2 WHERE key = ?1", (keys.run, pid))?;
            let holders = holders(transaction, &live, keys.run)?;
            let mut take = transaction.prepare_cached(
                "INSERT INTO claims (work, id, run) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?;
            let mut holder_of =
                transaction.prepare_cached("SELECT run FROM claims WHERE work = ?1 AND id = ?2")?;
            let mut facts = Facts::new(transaction, keys.work)?;
            let mut claims = Vec::with_capacity(items.len());
            for item in items {
                let place = params![keys.work, item.as_str(), keys.run];
                let mut held = None;
                if take.execute(place)? == 0 {
                    let key: i64 = holder_of.query_row((keys.work, item.as_str()), |row| row.get(0))?;
                    held = holders.get(&key).cloned();
                }
                claims.push(Claim { held, last: facts.of(item)? });
            }
            Ok(claims)
        })
    }

    /// What is known of each item, in the order of `items`, without claiming any.
    pub fn facts(&self, work: &Work, items: &[ItemId]) -> Result<Vec<Option<LastState>>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Option<LastState>>> {
            let names = (work.realm.word(), &work.name);
            let key: Option<i64> = self
                .connection
                .query_row("SELECT key FROM works WHERE realm = ?1 AND work = ?2", names, |row| row.get(0))
                .optional()?;
            let Some(key) = key else { return Ok(vec![None; items.len()]) };
            let mut facts = Facts::new(&self.connection, key)?;
            items.iter().map(|item| facts.of(item)).collect()
        };
        read().map_err(StoreError::sqlite(&self.path))
    }

    /// Gives back items of `run` that it does not work on after all.
    pub fn release(&mut self, run: &RunId, work: &Work, items: &[ItemId]) -> Result<(), StoreError> {
        self.write(|transaction, _| {
            let keys = apply::keys_of(transaction, run, work)?;
            let mut give =
                transaction.prepare_cached("DELETE FROM claims WHERE work = ?1 AND id = ?2 AND run = ?3")?;
            for item in items {
                give.execute(params![keys.work, item.as_str(), keys.run])?;
            }
            Ok(())
        })
    }

    /// Gives back all items of `run`.
    pub fn release_claims(&mut self, run: &RunId) -> Result<(), StoreError> {
        self.write(|transaction, _| {
            transaction.execute(
                "DELETE FROM claims WHERE run = (SELECT key FROM runs WHERE run = ?1)",
                [run.as_str()],
            )?;
            Ok(())
        })
    }
}

/// The runs, other than `own`, that hold claims; all of them are among the live ones.
fn holders(
    connection: &Connection,
    live: &HashMap<RunId, u32>,
    own: i64,
) -> Result<HashMap<i64, Holder>, Failure> {
    let mut statement = connection.prepare(
        "SELECT key, run, pid FROM runs WHERE key IN (SELECT DISTINCT run FROM claims) AND key <> ?1",
    )?;
    let rows = statement.query_map([own], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
    })?;
    let mut holders = HashMap::new();
    for row in rows {
        let (key, run, known_pid) = row?;
        let Some(run) = RunId::parse(&run) else { continue };
        let pid = if known_pid > 0 { known_pid } else { live.get(&run).copied().unwrap_or(0) };
        holders.insert(key, Holder { run, pid });
    }
    Ok(holders)
}

/// Reads what is known of work items.
struct Facts<'c> {
    work: i64,
    /// Nothing is known of any item: then none needs to be looked for.
    is_empty: bool,
    state: rusqlite::CachedStatement<'c>,
}

impl<'c> Facts<'c> {
    fn new(connection: &'c Connection, work: i64) -> rusqlite::Result<Facts<'c>> {
        let is_empty = connection
            .query_row("SELECT 1 FROM last_states WHERE work = ?1 LIMIT 1", [work], |_| Ok(()))
            .optional()?
            .is_none();
        let state = connection.prepare_cached(
            "SELECT outcome, fingerprint, run, at_us, detail, output_path, output_sha256,
                 (SELECT coalesce(sum(i.tokens_in + i.tokens_out), 0) FROM run_items i
                  WHERE i.work = s.work AND i.id = s.id AND i.fingerprint = s.fingerprint),
                 EXISTS (SELECT 1 FROM run_items i WHERE i.work = s.work AND i.id = s.id AND i.action = 'redo'
                         AND i.run > (SELECT key FROM runs WHERE run = s.run))
             FROM last_states s WHERE work = ?1 AND id = ?2",
        )?;
        Ok(Facts { work, is_empty, state })
    }

    fn of(&mut self, item: &ItemId) -> rusqlite::Result<Option<LastState>> {
        if self.is_empty {
            return Ok(None);
        }
        self.state.query_row((self.work, item.as_str()), last_state).optional().map(Option::flatten)
    }
}

/// `None` for a row that this program did not write.
fn last_state(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<LastState>> {
    let outcome: String = row.get(0)?;
    let run: String = row.get(2)?;
    let path: Option<String> = row.get(5)?;
    let sha256: Option<String> = row.get(6)?;
    let outcome: Option<Outcome> = Outcome::deserialize(StrDeserializer::<WordError>::new(&outcome)).ok();
    let (Some(outcome), Some(run), Ok(at)) =
        (outcome, RunId::parse(&run), Timestamp::from_microsecond(row.get(3)?))
    else {
        return Ok(None);
    };
    Ok(Some(LastState {
        outcome,
        fingerprint: row.get(1)?,
        run,
        at,
        detail: row.get(4)?,
        output: path.zip(sha256).map(|(path, sha256)| OutputRef { path, sha256 }),
        tokens: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        owes_redo: row.get(8)?,
    }))
}
