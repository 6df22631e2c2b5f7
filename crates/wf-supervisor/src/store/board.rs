//! `pool.json`: how the key pool of a live run stands, for `keys` and `show`.
//!
//! A view, not a record: it is replaced as the run goes on (temporary file, then rename), is not made durable, and goes
//! when the run ends. What a reader finds is as old as the last thing that happened in the run, so
//! [`PoolBoard::seen_at`] takes into account what time alone has changed since.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wf_core::ItemId;

use super::StoreError;
use super::atomic::TEMPORARY_PREFIX;
use super::run_dir::RunDir;

/// The pool of a run at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolBoard {
    /// When it was written.
    pub at: Timestamp,
    /// Whether its keys are the mock provider's.
    pub mock: bool,
    /// `usable`, `exhausted`, `limited` or `dead`.
    pub condition: String,
    /// Until when it is limited.
    pub until: Option<Timestamp>,
    /// Attempts that are not over.
    pub workers: u32,
    /// Every key, in the order of the configuration.
    pub keys: Vec<KeyOnBoard>,
    /// Items whose workers wait for quota.
    pub paused: Vec<PausedItem>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyOnBoard {
    /// What people call it.
    pub name: String,
    /// Its provider's name.
    pub provider: String,
    /// Its quota group; the key's own name for one that shares its limits with none.
    pub group: String,
    /// `available`, `reserved`, `suspect`, `limited`, `day-exhausted`, `overloaded`, `billing hold`, `quarantined`.
    pub state: String,
    /// Until when, where time ends it.
    pub until: Option<Timestamp>,
    /// The provider's words, where it refused something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Leases that are out.
    pub reserved: u32,
    /// Calls of this run.
    pub calls: u64,
    /// Of those, refused by a quota, or for the key's or the account's sake.
    pub refusals: u64,
    /// Tokens of the inputs.
    pub tokens_in: u64,
    /// Tokens of the outputs.
    pub tokens_out: u64,
    /// For how long it was limited.
    pub limited_ms: u64,
    /// Its share of its group's tightest known quota, in thousandths.
    pub share: Option<u32>,
    /// What is known of each model that was asked for.
    pub quotas: Vec<QuotaOnBoard>,
}

/// One model's quota of a key's group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaOnBoard {
    /// The model.
    pub model: String,
    /// Requests per minute, where a limit is known.
    pub requests: Option<LimitOnBoard>,
    /// Tokens per minute, where a limit is known.
    pub tokens: Option<LimitOnBoard>,
    /// Requests per day, where a limit is known.
    pub day: Option<LimitOnBoard>,
    /// Until when it is limited.
    pub until: Option<Timestamp>,
}

/// A limit, and what is left of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitOnBoard {
    /// Units per minute, or per day.
    pub limit: u64,
    /// `configured`, `stated` (by the provider) or `learned`.
    pub from: String,
    /// Units left of this minute, or of this day.
    pub left: u64,
}

/// An item that waits for quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PausedItem {
    /// The item.
    pub item: ItemId,
    /// Why, in words.
    pub reason: String,
    /// Until when, as far as is known.
    pub until: Option<Timestamp>,
}

impl PoolBoard {
    /// Puts it up, in place of the one before. A reader finds the old one or the new one, whole.
    pub fn write(&self, run: &RunDir) -> Result<(), StoreError> {
        let path = run.pool();
        let temporary = run.path().join(format!("{TEMPORARY_PREFIX}pool"));
        let mut bytes = serde_json::to_vec(self).map_err(|e| StoreError::writing(&path)(e.into()))?;
        bytes.push(b'\n');
        let write = || {
            let mut file = fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
            file.write(true).create(true).truncate(true).open(&temporary)?.write_all(&bytes)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(StoreError::writing(&path))
    }

    /// The board of a run that lives; `None` where it has none, or none that can be read.
    pub fn of_live(run: &RunDir) -> Option<PoolBoard> {
        run.live_pid()?;
        serde_json::from_slice(&fs::read(run.pool()).ok()?).ok()
    }

    /// Takes it down.
    pub fn remove(run: &RunDir) {
        // One that stays is seen to be a dead run's.
        let _ = fs::remove_file(run.pool());
    }

    /// The same at `now`: what was limited until an earlier time is so no more, and a minute that has passed without
    /// anything happening has given back what was used of it.
    #[must_use]
    pub fn seen_at(mut self, now: Timestamp) -> PoolBoard {
        let is_past = |until: &mut Option<Timestamp>| until.take_if(|until| *until <= now).is_some();
        if is_past(&mut self.until) {
            "usable".clone_into(&mut self.condition);
        }
        let age = Duration::try_from(now.duration_since(self.at)).unwrap_or(Duration::ZERO);
        let now_or = |until: Timestamp| until.min(now).max(self.at);
        for key in &mut self.keys {
            // It stays limited while nothing happens, and is no longer than it was said to be.
            if let (Some(until), "limited" | "day-exhausted") = (key.until, key.state.as_str()) {
                let more = now_or(until).duration_since(self.at).unsigned_abs();
                let more = u64::try_from(more.as_millis()).unwrap_or(u64::MAX);
                key.limited_ms = key.limited_ms.saturating_add(more);
            }
            if is_past(&mut key.until) {
                let state = if key.reserved > 0 { "reserved" } else { "available" };
                state.clone_into(&mut key.state);
            }
            for quota in &mut key.quotas {
                let was_limited = is_past(&mut quota.until);
                if let Some(day) = quota.day.as_mut().filter(|day| was_limited && day.left == 0) {
                    day.left = day.limit;
                }
                if age >= Duration::from_secs(60) {
                    if let Some(requests) = &mut quota.requests {
                        requests.left = requests.limit.saturating_sub(key.reserved.into());
                    }
                    if let Some(tokens) = quota.tokens.as_mut().filter(|_| key.reserved == 0) {
                        tokens.left = tokens.limit;
                    }
                }
            }
        }
        for item in &mut self.paused {
            is_past(&mut item.until);
        }
        self
    }
}

/// A point of the run's time on the wall clock; none for one that no calendar holds.
pub fn on_the_wall(origin: Timestamp, at: wf_core::Time) -> Option<Timestamp> {
    origin.checked_add(SignedDuration::try_from(at.since_start()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, id, sample_run, state, write_run};
    use super::*;

    const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

    fn board() -> PoolBoard {
        let limit = |limit, left| Some(LimitOnBoard { limit, from: "configured".into(), left });
        let quota = QuotaOnBoard {
            model: "m".into(),
            requests: limit(60, 3),
            tokens: limit(1000, 10),
            day: limit(50, 0),
            until: Some(at(43_000)),
        };
        let key = KeyOnBoard {
            name: "gemini-a".into(),
            provider: "gemini".into(),
            group: "project-1".into(),
            state: "limited".into(),
            until: Some(at(43_000)),
            detail: String::new(),
            reserved: 1,
            calls: 57,
            refusals: 1,
            tokens_in: 5,
            tokens_out: 6,
            limited_ms: 7,
            share: Some(410),
            quotas: vec![quota],
        };
        let paused = PausedItem { item: id("42"), reason: "rate-limited".into(), until: Some(at(43_000)) };
        PoolBoard {
            at: at(0),
            mock: false,
            condition: "limited".into(),
            until: Some(at(43_000)),
            workers: 2,
            keys: vec![key],
            paused: vec![paused],
        }
    }

    #[test]
    fn a_live_runs_board_is_read_and_a_dead_ones_is_not() {
        let (_dir, state) = state();
        let (run, lock) = write_run(&state, RUN, &sample_run(RUN, 1)[..1]);
        assert_eq!(PoolBoard::of_live(&run), None);
        board().write(&run).unwrap();
        board().write(&run).unwrap();
        assert_eq!(PoolBoard::of_live(&run), Some(board()));
        assert!(
            fs::read_dir(run.path())
                .unwrap()
                .flatten()
                .all(|entry| { !entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) })
        );
        fs::write(run.pool(), "{").unwrap();
        assert_eq!(PoolBoard::of_live(&run), None);
        board().write(&run).unwrap();
        drop(lock);
        assert_eq!(PoolBoard::of_live(&run), None);
        PoolBoard::remove(&run);
        assert!(!run.pool().exists());
    }

    #[test]
    fn time_alone_ends_blocks_and_gives_minutes_back() {
        let soon = board().seen_at(at(20_000));
        let mut expected = board();
        expected.keys[0].limited_ms += 20_000;
        assert_eq!(soon, expected);
        let later = board().seen_at(at(43_000));
        let key = &later.keys[0];
        assert_eq!(key.limited_ms, 43_007);
        assert_eq!((later.condition.as_str(), key.state.as_str(), key.until), ("usable", "reserved", None));
        assert_eq!(key.quotas[0].requests.as_ref().unwrap().left, 3);
        assert_eq!(key.quotas[0].day.as_ref().unwrap().left, 50, "its day is over");
        assert_eq!(later.paused[0].until, None);
        let much_later = board().seen_at(at(60_000));
        assert_eq!(much_later.keys[0].limited_ms, 43_007, "only while it was");
        let quota = &much_later.keys[0].quotas[0];
        // Its one lease is still out.
        assert_eq!(quota.requests.as_ref().unwrap().left, 59);
        assert_eq!(quota.tokens.as_ref().unwrap().left, 10);
    }
}
