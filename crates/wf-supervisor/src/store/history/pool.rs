//! The pool's state between runs: JSON by name, kept for the coordinator of keys, which alone knows what it means.

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use rusqlite::types::Value as Cell;

use super::super::StoreError;
use super::History;

/// What was kept under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolState {
    /// Nothing.
    Absent,
    /// This.
    Kept(serde_json::Value),
    /// Something that is no JSON: why not.
    Unreadable(String),
}

impl History {
    /// What was kept under `name`.
    pub fn pool_state(&self, name: &str) -> Result<PoolState, StoreError> {
        let cell: Option<Cell> = self
            .connection
            .query_row("SELECT value FROM pool_state WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(match cell {
            None => PoolState::Absent,
            Some(Cell::Text(text)) => match serde_json::from_str(&text) {
                Ok(value) => PoolState::Kept(value),
                Err(why) => PoolState::Unreadable(why.to_string()),
            },
            Some(_) => PoolState::Unreadable("it is no text".to_owned()),
        })
    }

    /// Keeps `value` under `name`, in place of what was there.
    pub fn set_pool_state(&mut self, name: &str, value: &serde_json::Value) -> Result<(), StoreError> {
        self.write(|transaction, _| {
            transaction.execute(
                "INSERT INTO pool_state (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value.to_string()),
            )?;
            Ok(())
        })
    }

    /// Gives what is kept under `name` another name, so that nothing replaces it. Answers with that.
    pub fn set_pool_state_aside(&mut self, name: &str, at: Timestamp) -> Result<String, StoreError> {
        let aside = format!("{name}.unreadable-{}", at.strftime("%Y-%m-%dT%H-%M-%S.%6fZ"));
        self.write(|transaction, _| {
            transaction.execute("UPDATE pool_state SET name = ?2 WHERE name = ?1", (name, &aside))?;
            Ok(())
        })?;
        Ok(aside)
    }
}
