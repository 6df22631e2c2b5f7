//! The pool's state between runs: JSON by name, kept for the coordinator of keys, which alone knows what it means.

use rusqlite::OptionalExtension;

use super::super::StoreError;
use super::History;

impl History {
    /// What was kept under `name`; `None` where there is nothing, or nothing readable.
    pub fn pool_state(&self, name: &str) -> Result<Option<serde_json::Value>, StoreError> {
        let text: Option<String> = self
            .connection
            .query_row("SELECT value FROM pool_state WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(StoreError::sqlite(&self.path))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
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
}
