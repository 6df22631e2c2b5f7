//! What one run knows of the pool and the next one should: blocks, quarantines, learned limits, counters of the day.
//!
//! The core counts time from the run's beginning; on disk there is only the wall clock. A clock that was set back counts
//! as no time passed, which errs towards waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wf_core::credentials::{HoldFacts, PoolSnapshot};

use crate::commands::keys::KeyStanding;
use crate::keys::KeyConfig;
use crate::store::StoreError;
use crate::store::history::History;
use crate::store::work::Realm;

#[derive(Serialize, Deserialize)]
struct Kept {
    at: Timestamp,
    pool: PoolSnapshot,
}

/// What the last run left, as it would be now. Something unreadable is nothing: it is rediscovered at some cost.
pub fn recall(history: &History, realm: Realm) -> Result<Option<PoolSnapshot>, StoreError> {
    let Some(kept) = history.pool_state(name(realm))? else { return Ok(None) };
    let Ok(kept) = serde_json::from_value::<Kept>(kept) else { return Ok(None) };
    let elapsed = Duration::try_from(Timestamp::now().duration_since(kept.at)).unwrap_or(Duration::ZERO);
    Ok(Some(kept.pool.aged(elapsed)))
}

/// What is remembered of each of these keys, for people: the gravest of what concerns it.
pub fn standings(pool: &PoolSnapshot, keys: &[KeyConfig], now: Timestamp) -> BTreeMap<String, KeyStanding> {
    let until = |d: Duration| SignedDuration::try_from(d).ok().and_then(|d| now.checked_add(d).ok());
    let standing = |key: &KeyConfig| {
        let group = key.quota_group.as_deref().unwrap_or(&key.name);
        let held = |holds: &[HoldFacts], name: &str| {
            holds.iter().find(|h| h.provider == key.provider && h.name == name).map(|h| h.detail.clone())
        };
        if let Some(detail) = held(&pool.quarantined, &key.name) {
            return KeyStanding { state: Some(format!("quarantined: {detail}")), ..KeyStanding::default() };
        }
        if let Some(detail) = held(&pool.unpaid, group) {
            return KeyStanding { state: Some(format!("billing hold: {detail}")), ..KeyStanding::default() };
        }
        let blocks = pool.quotas.iter().filter(|q| q.provider == key.provider && q.group == group);
        let longest = blocks.filter_map(|q| q.blocked_for).max();
        KeyStanding {
            state: longest.map(|_| "limited".to_owned()),
            until: longest.and_then(until),
            ..KeyStanding::default()
        }
    };
    keys.iter().map(|key| (key.name.clone(), standing(key))).collect()
}

/// Keeps it for the next run.
pub fn keep(history: &mut History, realm: Realm, pool: PoolSnapshot) -> Result<(), StoreError> {
    let kept = serde_json::to_value(Kept { at: Timestamp::now(), pool });
    history.set_pool_state(name(realm), &kept.expect("plain data with string keys becomes JSON"))
}

/// A mock's keys are new with each of its starts, so its pool is a past of its own.
fn name(realm: Realm) -> &'static str {
    realm.word()
}
