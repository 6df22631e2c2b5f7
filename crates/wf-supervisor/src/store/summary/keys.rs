//! What a run made of its keys.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::RunSummary;
use crate::store::board::PoolBoard;
use crate::store::text::{duration_ms, grouped};

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

/// Each key's calls, tokens, refusals, and what the run made of its quota.
pub(super) fn write_key_use(out: &mut dyn Write, summary: &RunSummary) -> io::Result<()> {
    let header = ["key", "group", "calls", "tokens in", "tokens out", "refused", "limited", "of quota"];
    let mut lines = vec![header.map(str::to_owned)];
    for key in &summary.keys {
        let group = if key.group.is_empty() || key.group == key.name { "-" } else { &key.group };
        lines.push([
            key.name.clone(),
            group.to_owned(),
            grouped(key.calls),
            grouped(key.tokens_in),
            grouped(key.tokens_out),
            grouped(key.refusals),
            key.limited_ms.map_or_else(|| "?".to_owned(), duration_ms),
            key.share.map_or_else(|| "-".to_owned(), |share| format!("{}.{} %", share / 10, share % 10)),
        ]);
    }
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        // Names to the left, figures to the right.
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}
