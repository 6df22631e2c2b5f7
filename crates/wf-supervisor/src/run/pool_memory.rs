//! What one run knows of the pool and the next one should: blocks, quarantines, learned limits, counters of the day.
//!
//! The core counts time from the run's beginning; on disk there is only the wall clock. A clock that was set back counts
//! as no time passed, which errs towards waiting.
//!
//! A key is known by its name and its provider. Beside a name stand 16 bits of a salted hash of its secret: enough to see
//! that the secret is another one (but for once in 65,536 times), and too few to find out or to confirm a secret with,
//! since every 65,536th guess fits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wf_core::credentials::{Dimension, HoldFacts, KeyIndex, PoolSnapshot};

use crate::commands::keys::KeyStanding;
use crate::console::redact::Redactor;
use crate::keys::{KeyConfig, KeyRing, Secret};
use crate::store::StoreError;
use crate::store::history::{History, PoolState};

/// Under which name it is kept. A mock's keys are new with each of its starts and are not remembered.
pub const NAME: &str = "real";

#[derive(Serialize, Deserialize)]
struct Kept {
    at: Timestamp,
    pool: PoolSnapshot,
    #[serde(default)]
    salt: String,
    /// By the key's name.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// What the last run left.
#[derive(Debug, Default)]
pub struct Recalled {
    /// As it would be now.
    pub pool: Option<PoolSnapshot>,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    salt: String,
    tags: BTreeMap<String, String>,
}

/// What the last run left, as it would be now.
pub fn recall(history: &History) -> Result<Recalled, StoreError> {
    let unreadable = |why: String| Recalled { unreadable: Some(why), ..Recalled::default() };
    let kept: Kept = match history.pool_state(NAME)? {
        PoolState::Absent => return Ok(Recalled::default()),
        PoolState::Unreadable(why) => return Ok(unreadable(why)),
        PoolState::Kept(value) => match serde_json::from_value(value) {
            Ok(kept) => kept,
            Err(why) => return Ok(unreadable(why.to_string())),
        },
    };
    let elapsed = Duration::try_from(Timestamp::now().duration_since(kept.at)).unwrap_or(Duration::ZERO);
    let pool = Some(kept.pool.aged(elapsed));
    Ok(Recalled { pool, unreadable: None, salt: kept.salt, tags: kept.tags })
}

impl Recalled {
    /// What of it still holds for these keys: a secret that was changed since has nothing to do with what the old one
    /// was refused for, and neither has the credit of its group.
    pub fn for_ring(self, ring: &KeyRing) -> Option<PoolSnapshot> {
        let mut pool = self.pool?;
        for (index, spec) in (0..).zip(ring.specs()) {
            let Some(secret) = ring.secret(KeyIndex(index)) else { continue };
            if self.tags.get(&spec.name).is_none_or(|known| *known == tag(&self.salt, secret)) {
                continue;
            }
            let group = spec.quota_group.as_ref().unwrap_or(&spec.name);
            pool.quarantined.retain(|hold| hold.provider != spec.provider || hold.name != spec.name);
            pool.unpaid.retain(|hold| hold.provider != spec.provider || hold.name != *group);
        }
        Some(pool)
    }
}

fn tag(salt: &str, secret: &Secret) -> String {
    let hash = Sha256::new().chain_update(salt).chain_update([0]).chain_update(secret.expose()).finalize();
    format!("{:02x}{:02x}", hash[0], hash[1])
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
        let quotas = pool.quotas.iter().filter(|q| q.provider == key.provider && q.group == group);
        let longest = quotas.filter_map(|q| Some((q.blocked_for?, q.dimension))).max();
        let word = |dimension| match dimension {
            Some(Dimension::RequestsPerDay) => "day-exhausted",
            _ => "limited",
        };
        KeyStanding {
            state: longest.map(|(_, dimension)| word(dimension).to_owned()),
            until: longest.and_then(|(rest, _)| until(rest)),
            ..KeyStanding::default()
        }
    };
    keys.iter().map(|key| (key.name.clone(), standing(key))).collect()
}

/// What is to be kept for the next run, keys in the providers' words replaced.
pub fn to_keep(mut pool: PoolSnapshot, ring: &KeyRing, redactor: &Redactor) -> serde_json::Value {
    for hold in pool.quarantined.iter_mut().chain(&mut pool.unpaid) {
        if let Cow::Owned(redacted) = redactor.redact(&hold.detail) {
            hold.detail = redacted;
        }
    }
    let mut random = [0; 8];
    // Without randomness nothing is told of the secrets: what was refused is believed of whatever bears the name.
    let (salt, tags) = match getrandom::fill(&mut random) {
        Ok(()) => {
            let salt = format!("{:016x}", u64::from_ne_bytes(random));
            let tags = ring.secrets().map(|secret| (secret.name().to_owned(), tag(&salt, secret)));
            let tags = tags.collect();
            (salt, tags)
        }
        Err(_) => (String::new(), BTreeMap::new()),
    };
    let kept = Kept { at: Timestamp::now(), pool, salt, tags };
    serde_json::to_value(kept).expect("plain data with string keys becomes JSON")
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::SecretSource;
    use crate::store::testing::state;

    fn ring(secrets: &[(&str, &str, Option<&str>)]) -> KeyRing {
        KeyRing::of_secrets(secrets.iter().map(|(name, secret, group)| {
            let config = KeyConfig {
                name: (*name).to_owned(),
                provider: "gemini".to_owned(),
                source: SecretSource::File("/k".into()),
                quota_group: group.map(str::to_owned),
                max_in_flight: None,
            };
            (config, Secret::new(name, Zeroizing::new((*secret).to_owned())).unwrap())
        }))
    }

    fn hold(name: &str, detail: &str) -> HoldFacts {
        HoldFacts {
            provider: "gemini".into(),
            name: name.into(),
            detail: detail.into(),
            probe_in: Duration::from_secs(9),
            then: Duration::from_secs(9),
        }
    }

    #[test]
    fn a_changed_secret_is_cleared_and_an_unchanged_one_is_not() {
        let (_dir, state) = state();
        let mut history = History::open(&state).unwrap();
        let old =
            ring(&[("a", "secret-of-a", None), ("b", "secret-of-b", None), ("c", "secret-of-c", Some("g"))]);
        let pool = PoolSnapshot {
            quarantined: vec![hold("a", "no: secret-of-a"), hold("b", "no")],
            unpaid: vec![hold("g", "pay")],
            quotas: Vec::new(),
        };
        let secrets = old.secrets().map(|s| (s.name(), s.expose().as_bytes()));
        let redactor = Redactor::new(secrets).unwrap();
        let kept = to_keep(pool.clone(), &old, &redactor);
        assert!(!kept.to_string().contains("secret-of"), "{kept}");
        history.set_pool_state(NAME, &kept).unwrap();
        let names = |ring: &KeyRing| {
            let pool = recall(&history).unwrap().for_ring(ring).unwrap();
            let all = pool.quarantined.iter().chain(&pool.unpaid);
            all.map(|hold| hold.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&old), ["a", "b", "g"]);
        let new =
            ring(&[("a", "secret-of-a", None), ("b", "another-one", None), ("c", "another-too", Some("g"))]);
        assert_eq!(names(&new), ["a"]);
        // The salt is another one each time, so two runs of one key cannot be told to be of one key.
        assert_ne!(to_keep(pool, &old, &redactor)["tags"], kept["tags"]);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_kept() {
        let (_dir, state) = state();
        let mut history = History::open(&state).unwrap();
        assert!(recall(&history).unwrap().unreadable.is_none());
        history.set_pool_state(NAME, &serde_json::json!({"at": "noon"})).unwrap();
        assert!(recall(&history).unwrap().unreadable.is_some());
        let at: Timestamp = "2026-11-21T05:14:49Z".parse().unwrap();
        let aside = history.set_pool_state_aside(NAME, at).unwrap();
        assert_eq!(aside, "real.unreadable-2026-11-21T05-14-49.000000Z");
        assert_eq!(history.pool_state(NAME).unwrap(), PoolState::Absent);
        assert_eq!(history.pool_state(&aside).unwrap(), PoolState::Kept(serde_json::json!({"at": "noon"})));
    }
}
