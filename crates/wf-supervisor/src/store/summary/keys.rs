//! What a run made of its keys.

use serde::{Deserialize, Serialize};

use super::RunSummary;
use crate::store::board::PoolBoard;

/// What a run made of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySummary {
    /// The key's name.
    pub name: String,
    /// Its provider's; empty where only its calls are known.
    pub provider: String,
    /// Its quota group's; empty where only its calls are known.
    pub group: String,
    /// Calls that were sent.
    pub calls: u64,
    /// Of those, refused by a quota, or for the key's or the account's sake.
    pub refusals: u64,
    /// Tokens of the inputs.
    pub tokens_in: u64,
    /// Tokens of the outputs.
    pub tokens_out: u64,
    /// For how long its group was limited; unknown of a run that was killed.
    pub limited_ms: Option<u64>,
    /// What its calls were of its group's tightest known quota over the run's time (a minute at least), in thousandths.
    pub share: Option<u32>,
}

impl RunSummary {
    pub(super) fn key(&mut self, name: &str) -> &mut KeySummary {
        let place = self.keys.iter().position(|key| key.name == name).unwrap_or_else(|| {
            self.keys.push(KeySummary { name: name.to_owned(), ..KeySummary::default() });
            self.keys.len() - 1
        });
        &mut self.keys[place]
    }

    /// Takes in how the pool of the run stands while it lives: what waits, and what of each key only its end records.
    pub fn see_pool(&mut self, board: PoolBoard) {
        for on_board in &board.keys {
            let key = self.key(&on_board.name);
            key.provider.clone_from(&on_board.provider);
            key.group.clone_from(&on_board.group);
            (key.limited_ms, key.share) = (Some(on_board.limited_ms), on_board.share);
        }
        for paused in &board.paused {
            // Those that wait for a key before they start have no process yet and are among the running, too.
            if self.index.contains_key(&paused.item) {
                let item = self.item(&paused.item);
                item.is_paused = item.is_running;
            }
        }
        self.pool = Some(Box::new(board));
    }
}
