//! What a run makes of each key: tokens, time limited, and its share of the quota.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use wf_core::credentials::{KeyState, KeyStatus};
use wf_core::{Record, Time};

/// The least time that a share is of: within their first minute, keys may use a whole minute's quota.
const MINUTE: Duration = Duration::from_secs(60);

/// A key's account.
#[derive(Clone, Debug, Default)]
pub struct KeyUse {
    /// Calls that were sent.
    pub calls: u64,
    /// Of those, refused by a quota, or for the key's or the account's sake.
    pub refusals: u64,
    /// Tokens of the inputs.
    pub tokens_in: u64,
    /// Tokens of the outputs.
    pub tokens_out: u64,
    /// Answered calls and their tokens, by model.
    by_model: BTreeMap<String, (u64, u64)>,
    limited: Duration,
    /// Of a limit that was in force at the last look: since when, and until when.
    open: Option<(Time, Time)>,
}

impl KeyUse {
    /// For how long its group was limited for all that was asked of it.
    pub fn limited(&self, now: Time) -> Duration {
        self.limited + self.open.map_or(Duration::ZERO, |(since, until)| until.min(now).since(since))
    }

    /// What its calls were of the tightest known limit of its group, in thousandths.
    pub fn share(&self, status: &KeyStatus, now: Time) -> Option<u32> {
        let minutes = now.since_start().max(MINUTE).as_secs_f64() / 60.0;
        let of = |used: u64, limit: u64, periods: f64| used as f64 / (limit.max(1) as f64 * periods);
        let mut greatest: Option<f64> = None;
        for quota in &status.quotas {
            let (calls, tokens) = self.by_model.get(&quota.model).copied().unwrap_or_default();
            let requests = quota.requests.map(|(limit, _)| of(calls, limit, minutes));
            let tokens = quota.tokens.map(|(limit, _)| of(tokens, limit, minutes));
            let day = quota.day_limit.map(|limit| of(calls, limit, 1.0));
            for share in [requests, tokens, day].into_iter().flatten() {
                greatest = Some(greatest.map_or(share, |g| g.max(share)));
            }
        }
        greatest.map(|share| (share * 1000.0).round() as u32)
    }
}

/// The accounts of a run's keys, by name.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    keys: BTreeMap<String, KeyUse>,
    /// The model of each lease that is out.
    models: HashMap<u64, String>,
}

impl Usage {
    /// Takes in a record of the run.
    pub fn note(&mut self, record: &Record) {
        match record {
            Record::LeaseGranted { lease, model, .. } => {
                self.models.insert(*lease, model.clone());
            }
            Record::LeaseReturned { lease, key, outcome, tokens_in, tokens_out, .. } => {
                let model = self.models.remove(lease).unwrap_or_default();
                if outcome == "abandoned" {
                    return;
                }
                if !self.keys.contains_key(key) {
                    self.keys.insert(key.clone(), KeyUse::default());
                }
                let Some(account) = self.keys.get_mut(key) else { return };
                account.calls += 1;
                account.refusals +=
                    u64::from(matches!(outcome.as_str(), "limited" | "key-refused" | "billing"));
                account.tokens_in = account.tokens_in.saturating_add(*tokens_in);
                account.tokens_out = account.tokens_out.saturating_add(*tokens_out);
                if outcome == "ok" {
                    let (calls, tokens) = account.by_model.entry(model).or_default();
                    *calls += 1;
                    *tokens = tokens.saturating_add(tokens_in.saturating_add(*tokens_out));
                }
            }
            _ => {}
        }
    }

    /// Takes in how the keys stand now.
    pub fn look(&mut self, keys: &[KeyStatus], now: Time) {
        for status in keys {
            let is_limited = matches!(status.state, KeyState::RateLimited | KeyState::DayExhausted);
            if !is_limited && !self.keys.contains_key(&status.name) {
                continue;
            }
            let account = self.keys.entry(status.name.clone()).or_default();
            match (is_limited, account.open) {
                (true, open) => {
                    let since = open.map_or(now, |(since, _)| since);
                    account.open = Some((since, status.until.unwrap_or(now)));
                }
                (false, Some((since, until))) => {
                    account.limited += until.min(now).since(since);
                    account.open = None;
                }
                (false, None) => {}
            }
        }
    }

    /// A key's account.
    pub fn of(&self, key: &str) -> KeyUse {
        self.keys.get(key).cloned().unwrap_or_default()
    }

    /// The accounts as records, for the run's end.
    pub fn records(&self, keys: &[KeyStatus], now: Time) -> Vec<Record> {
        let record = |status: &KeyStatus| {
            let account = self.of(&status.name);
            Record::KeyUsed {
                key: status.name.clone(),
                provider: status.provider.clone(),
                group: status.group.clone(),
                limited_ms: u64::try_from(account.limited(now).as_millis()).unwrap_or(u64::MAX),
                share: account.share(status, now),
            }
        };
        keys.iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use wf_core::credentials::{KeyIndex, QuotaStatus};

    use super::*;

    fn status(state: KeyState, until_s: u64) -> KeyStatus {
        let quota = QuotaStatus {
            model: "m".into(),
            requests: Some((60, 3)),
            tokens: Some((1000, 3)),
            requests_from: None,
            tokens_from: None,
            day_limit: None,
            day_left: None,
            limited_by: None,
            until: None,
        };
        KeyStatus {
            key: KeyIndex(0),
            name: "a".into(),
            provider: "gemini".into(),
            group: "g".into(),
            state,
            until: Some(Time::from_millis(until_s * 1000)),
            detail: String::new(),
            in_flight: 0,
            calls: 0,
            tokens: 0,
            refusals: 0,
            quotas: vec![quota],
        }
    }

    fn secs(s: u64) -> Time {
        Time::from_millis(s * 1000)
    }

    #[test]
    fn limited_time_is_the_union_of_the_blocks() {
        let mut usage = Usage::default();
        usage.look(&[status(KeyState::RateLimited, 30)], secs(10));
        // Prolonged while it lasts, and noticed late to be over.
        usage.look(&[status(KeyState::RateLimited, 50)], secs(20));
        assert_eq!(usage.of("a").limited(secs(25)).as_secs(), 15);
        usage.look(&[status(KeyState::Available, 0)], secs(90));
        assert_eq!(usage.of("a").limited(secs(90)).as_secs(), 40);
        usage.look(&[status(KeyState::DayExhausted, 9_000)], secs(100));
        // Ended early, by a probe.
        usage.look(&[status(KeyState::Reserved, 0)], secs(110));
        assert_eq!(usage.of("a").limited(secs(500)).as_secs(), 50);
    }

    #[test]
    fn calls_tokens_and_the_share_of_the_tightest_limit() {
        let mut usage = Usage::default();
        let item = || wf_core::ItemId::new("1").unwrap();
        for (lease, outcome) in [(1, "ok"), (2, "limited"), (3, "abandoned"), (4, "ok")] {
            usage.note(&Record::LeaseGranted {
                item: item(),
                attempt: 1,
                lease,
                key: "a".into(),
                model: "m".into(),
                waited_ms: 0,
            });
            let (tokens_in, tokens_out) = if outcome == "ok" { (100, 50) } else { (0, 0) };
            usage.note(&Record::LeaseReturned {
                item: item(),
                attempt: 1,
                lease,
                key: "a".into(),
                outcome: outcome.into(),
                tokens_in,
                tokens_out,
            });
        }
        let account = usage.of("a");
        assert_eq!((account.calls, account.refusals), (3, 1));
        assert_eq!((account.tokens_in, account.tokens_out), (200, 100));
        // 300 of 1,000 tokens in the first minute, 300 of 2,000 in two.
        assert_eq!(account.share(&status(KeyState::Available, 0), secs(5)), Some(300));
        assert_eq!(account.share(&status(KeyState::Available, 0), secs(120)), Some(150));
    }
}
