//! The window on the pool of a live run: `pool.json`, put up anew after something has happened, once a second at most.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use wf_core::credentials::{Condition, KeyState, KeyStatus, LimitOrigin, QuotaStatus};
use wf_core::{ItemId, ItemIndex, Record, Supervisor, Time};

use super::usage::Usage;
use crate::console::redact::Redactor;
use crate::store::board::{KeyOnBoard, LimitOnBoard, PausedItem, PoolBoard, QuotaOnBoard, on_the_wall};
use crate::store::run_dir::RunDir;

/// The least time between two writings.
const EVERY: Duration = Duration::from_secs(1);

/// What it takes to show the pool.
#[derive(Debug)]
pub struct PoolWindow {
    run: RunDir,
    mock: bool,
    origin: Timestamp,
    usage: Usage,
    /// Something has happened since the last writing.
    is_stale: bool,
    written: Option<Instant>,
    /// It could not be written, and that was said.
    is_blind: bool,
}

impl PoolWindow {
    /// For a run whose clock began at `origin`.
    pub fn new(run: RunDir, mock: bool, origin: Timestamp) -> PoolWindow {
        PoolWindow {
            run,
            mock,
            origin,
            usage: Usage::default(),
            is_stale: false,
            written: None,
            is_blind: false,
        }
    }

    /// Something happened: what is up is no longer how it is.
    pub fn touch(&mut self) {
        self.is_stale = true;
    }

    /// Takes in records of the run.
    pub fn note(&mut self, records: &[Record]) {
        for record in records {
            self.usage.note(record);
        }
    }

    /// How the keys stand now.
    pub fn look(&mut self, keys: &[KeyStatus], now: Time) {
        self.usage.look(keys, now);
    }

    /// When to write; `None` while nothing has changed, so that an idle run has no timer.
    pub fn due(&self) -> Option<Instant> {
        self.is_stale.then(|| self.written.map_or_else(Instant::now, |at| at + EVERY))
    }

    /// What the run's records are to say of each key at its end.
    pub fn last_records(&mut self, keys: &[KeyStatus], now: Time) -> Vec<Record> {
        self.look(keys, now);
        self.usage.records(keys, now)
    }

    /// Writes it.
    pub fn write(
        &mut self,
        supervisor: &Supervisor,
        keys: &[KeyStatus],
        id: impl Fn(ItemIndex) -> ItemId,
        redactor: &Redactor,
        now: Time,
    ) {
        (self.is_stale, self.written) = (false, Some(Instant::now()));
        let board = self.board(supervisor, keys, id, redactor, now);
        if let Err(error) = board.write(&self.run)
            && !std::mem::replace(&mut self.is_blind, true)
        {
            // Nobody depends on it; if the disk is full, the journal will say so.
            log::warn!("`keys` and `show` cannot see the pool of this run: {error}");
        }
    }

    fn board(
        &self,
        supervisor: &Supervisor,
        keys: &[KeyStatus],
        id: impl Fn(ItemIndex) -> ItemId,
        redactor: &Redactor,
        now: Time,
    ) -> PoolBoard {
        let wall = |at: Time| on_the_wall(self.origin, at);
        let pool = supervisor.pool();
        let (condition, until) = match pool.condition(now) {
            Condition::Usable => ("usable", None),
            Condition::Exhausted => ("exhausted", None),
            Condition::Limited(until) => ("limited", wall(until)),
            Condition::Dead => ("dead", None),
        };
        let mut paused: Vec<PausedItem> = Vec::new();
        for wait in pool.waits().filter(|wait| pool.waiting(wait.who)) {
            let item = id(wait.who.item);
            if !paused.iter().any(|known| known.item == item) {
                let reason = wait.reason.words().to_owned();
                paused.push(PausedItem { item, reason, until: wait.until.and_then(wall) });
            }
        }
        let key = |status: &KeyStatus| {
            let account = self.usage.of(&status.name);
            KeyOnBoard {
                name: status.name.clone(),
                provider: status.provider.clone(),
                group: status.group.clone(),
                state: state_word(status.state).to_owned(),
                until: status.until.and_then(wall),
                detail: match redactor.redact(&status.detail) {
                    Cow::Borrowed(_) => status.detail.clone(),
                    Cow::Owned(redacted) => redacted,
                },
                reserved: status.in_flight,
                calls: account.calls,
                refusals: account.refusals,
                tokens_in: account.tokens_in,
                tokens_out: account.tokens_out,
                limited_ms: u64::try_from(account.limited(now).as_millis()).unwrap_or(u64::MAX),
                share: account.share(status, now),
                quotas: status.quotas.iter().map(|quota| on_board(quota, wall)).collect(),
            }
        };
        PoolBoard {
            at: wall(now).unwrap_or_else(Timestamp::now),
            mock: self.mock,
            condition: condition.to_owned(),
            until,
            workers: supervisor.workers() as u32,
            keys: keys.iter().map(key).collect(),
            paused,
        }
    }
}

/// The words of `keys` and `show` for a key's state.
fn state_word(state: KeyState) -> &'static str {
    match state {
        KeyState::Quarantined => "quarantined",
        KeyState::OutOfCredit => "billing hold",
        KeyState::DayExhausted => "day-exhausted",
        KeyState::RateLimited => "limited",
        KeyState::Overloaded => "overloaded",
        KeyState::Suspect => "suspect",
        KeyState::Reserved => "reserved",
        KeyState::Available => "available",
    }
}

fn on_board(quota: &QuotaStatus, wall: impl Fn(Time) -> Option<Timestamp>) -> QuotaOnBoard {
    let limit = |known: Option<(u64, u64)>, from: Option<LimitOrigin>| {
        let (limit, left) = known?;
        Some(LimitOnBoard { limit, from: from.map_or("learned", LimitOrigin::word).to_owned(), left })
    };
    // A day's limit is never learned; whether the operator or the provider named it makes no difference to either.
    let day = quota.day_limit.zip(quota.day_left);
    QuotaOnBoard {
        model: quota.model.clone(),
        requests: limit(quota.requests, quota.requests_from),
        tokens: limit(quota.tokens, quota.tokens_from),
        day: limit(day, Some(LimitOrigin::Configured)),
        until: quota.until.and_then(wall),
    }
}
