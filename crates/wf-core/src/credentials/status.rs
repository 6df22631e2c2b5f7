//! What `keys` and `show` say of the pool.

use super::coordinator::CredentialCoordinator;
use super::key::{Health, KeyGate};
use super::limit::LimitOrigin;
use super::types::{Dimension, KeyIndex};
use crate::Time;

/// A key's state, the most lasting first when several hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The provider refuses it.
    Quarantined,
    /// Its group cannot pay.
    OutOfCredit,
    /// Its group's day is used up.
    DayExhausted,
    /// Its group is blocked.
    RateLimited,
    /// Its provider is overloaded.
    Overloaded,
    /// Refused once; the next call decides.
    Suspect,
    /// As many leases are out as may be.
    Reserved,
    /// None of these.
    Available,
}

impl KeyState {
    /// The word people see.
    pub fn word(self) -> &'static str {
        match self {
            KeyState::Quarantined => "quarantined",
            KeyState::OutOfCredit => "out of credit",
            KeyState::DayExhausted => "day exhausted",
            KeyState::RateLimited => "rate-limited",
            KeyState::Overloaded => "provider overloaded",
            KeyState::Suspect => "suspect",
            KeyState::Reserved => "reserved",
            KeyState::Available => "available",
        }
    }
}

/// One model's quota of a key's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    /// The model.
    pub model: String,
    /// Requests per minute, and what is left of them, where a limit is known.
    pub requests: Option<(u64, u64)>,
    /// Tokens per minute, and what is left of them, where a limit is known.
    pub tokens: Option<(u64, u64)>,
    /// Where the limit of requests per minute is known from.
    pub requests_from: Option<LimitOrigin>,
    /// Where the limit of tokens per minute is known from.
    pub tokens_from: Option<LimitOrigin>,
    /// Requests per day, where a limit is known.
    pub day_limit: Option<u64>,
    /// Requests left of the provider's day, where a limit is known.
    pub day_left: Option<u64>,
    /// Which limit is met, where one is and that is known.
    pub limited_by: Option<Dimension>,
    /// Until when it is limited, if it is.
    pub until: Option<Time>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its position.
    pub key: KeyIndex,
    /// What people call it.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// Its quota group; the key's own name for one that shares its limits with none.
    pub group: String,
    /// Its state.
    pub state: KeyState,
    /// Until when, where time will end it.
    pub until: Option<Time>,
    /// The provider's words, where it refused something.
    pub detail: String,
    /// Leases that are out.
    pub in_flight: u32,
    /// Calls granted in this run.
    pub calls: u64,
    /// Tokens used in this run.
    pub tokens: u64,
    /// Refusals in this run that concern the key or its group.
    pub refusals: u64,
    /// What is known of each model that was asked for, in this run or an earlier one.
    pub quotas: Vec<QuotaStatus>,
}

impl CredentialCoordinator {
    /// Every key with its state, in the order of the configuration.
    pub fn status(&self, now: Time) -> Vec<KeyStatus> {
        self.all_keys().map(|key| self.key_status(key, now)).collect()
    }

    fn key_status(&self, index: KeyIndex, now: Time) -> KeyStatus {
        let key = self.pool.key(index);
        let group = &self.pool.groups[key.group];
        let provider = &self.pool.providers[group.provider];
        let classes = provider.classes.iter().map(|class| &self.pool.classes[*class]);
        let quotas = classes.clone().map(|class| {
            let quota = &class.quotas[group.position];
            let (requests_from, tokens_from) = quota.origins();
            QuotaStatus {
                model: class.model.clone(),
                requests_from,
                tokens_from,
                day_limit: quota.day_limit(),
                requests: quota.minute_requests(now),
                tokens: quota.minute_tokens(now),
                day_left: quota.day_left(now),
                limited_by: quota.limited_by(now),
                until: quota.limited_until(now),
            }
        });
        let is_day = classes
            .clone()
            .any(|class| class.quotas[group.position].limited_by(now) == Some(Dimension::RequestsPerDay));
        let limited = self.pool.limited_until(index, now);
        let overloaded = provider.breaker.until(now);
        let (state, until) = match (&key.health, limited, overloaded) {
            (Health::Quarantined(_), ..) => (KeyState::Quarantined, None),
            _ if group.hold.is_some() => (KeyState::OutOfCredit, None),
            (_, Some(until), _) if is_day => (KeyState::DayExhausted, Some(until)),
            (_, Some(until), _) => (KeyState::RateLimited, Some(until)),
            (_, _, Some(until)) => (KeyState::Overloaded, Some(until)),
            (Health::Suspect { .. }, ..) => (KeyState::Suspect, None),
            _ if key.gate(now) == KeyGate::Reserved => (KeyState::Reserved, None),
            _ => (KeyState::Available, None),
        };
        let billing = group.hold.as_ref().map(|hold| hold.detail.as_str());
        KeyStatus {
            key: index,
            name: key.spec.name.clone(),
            provider: provider.name.clone(),
            group: group.name.clone(),
            state,
            until,
            detail: key.refusal().or(billing).unwrap_or_default().to_owned(),
            in_flight: key.in_flight,
            calls: key.calls,
            tokens: key.tokens,
            refusals: key.refusals,
            quotas: quotas.collect(),
        }
    }
}
