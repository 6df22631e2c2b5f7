//! What the pool hands on to the next run: blocks, quarantines, the day's counts, learned rates. Times are relative to
//! the moment of the snapshot, because the run's clock dies with the run; the shell notes the wall clock beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::coordinator::CredentialCoordinator;
use super::day::DAY;
use super::hold::Hold;
use super::key::Health;
use super::quota::Facts;
use super::types::Dimension;
use crate::Time;

/// A key or a group that is out of use, with its next rare probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldFacts {
    /// The provider's name.
    pub provider: String,
    /// The key's name, or the group's.
    pub name: String,
    /// The provider's words.
    pub detail: String,
    /// The time until the next probe.
    pub probe_in: Duration,
    /// The time from that probe to the one after it.
    pub then: Duration,
}

/// One quota group's state for one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaFacts {
    /// The provider's name.
    pub provider: String,
    /// The group's name, or that of the key that is alone in it.
    pub group: String,
    /// The model.
    pub model: String,
    /// The rest of a block.
    pub blocked_for: Option<Duration>,
    /// The rest of the time in which the model counts as not for this group.
    #[serde(default)]
    pub barred_for: Option<Duration>,
    /// What the block is for, where known.
    pub dimension: Option<Dimension>,
    /// Requests of the provider's day.
    pub day_count: u64,
    /// The rest of that day.
    pub day_left: Duration,
    /// A learned rate of requests per minute.
    pub learned_rpm: Option<f64>,
    /// A learned rate of tokens per minute.
    pub learned_tpm: Option<f64>,
}

/// The pool's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSnapshot {
    /// Quarantined keys.
    pub quarantined: Vec<HoldFacts>,
    /// Groups out of credit.
    pub unpaid: Vec<HoldFacts>,
    /// Quotas with something to remember.
    pub quotas: Vec<QuotaFacts>,
}

impl PoolSnapshot {
    /// The same, `by` later: blocks are shorter, days may have ended.
    #[must_use]
    pub fn aged(mut self, by: Duration) -> PoolSnapshot {
        for hold in self.quarantined.iter_mut().chain(&mut self.unpaid) {
            hold.probe_in = hold.probe_in.saturating_sub(by);
        }
        for quota in &mut self.quotas {
            let rest = |d: Option<Duration>| d.map(|d| d.saturating_sub(by)).filter(|d| !d.is_zero());
            quota.blocked_for = rest(quota.blocked_for);
            quota.barred_for = rest(quota.barred_for);
            if quota.day_left <= by {
                quota.day_count = 0;
                let past = by.saturating_sub(quota.day_left).as_secs() % DAY.as_secs();
                quota.day_left = DAY.saturating_sub(Duration::from_secs(past));
            } else {
                quota.day_left = quota.day_left.saturating_sub(by);
            }
        }
        self
    }
}

fn hold_facts(provider: &str, name: &str, hold: &Hold, now: Time) -> HoldFacts {
    let (probe_at, then) = hold.schedule();
    HoldFacts {
        provider: provider.to_owned(),
        name: name.to_owned(),
        detail: hold.detail.clone(),
        probe_in: probe_at.since(now),
        then,
    }
}

fn hold_of(facts: &HoldFacts, now: Time) -> Hold {
    Hold::restored(facts.detail.clone(), now + facts.probe_in.min(DAY * 400), facts.then.min(DAY * 400))
}

impl CredentialCoordinator {
    /// What the next run should know.
    pub fn snapshot(&self, now: Time) -> PoolSnapshot {
        let mut snapshot = PoolSnapshot::default();
        for key in self.pool.keys.iter().filter(|key| !key.retired) {
            if let Health::Quarantined(hold) = &key.health {
                snapshot.quarantined.push(hold_facts(&key.spec.provider, &key.spec.name, hold, now));
            }
        }
        for group in &self.pool.groups {
            if let Some(hold) = &group.hold {
                let provider = &self.pool.providers[group.provider].name;
                snapshot.unpaid.push(hold_facts(provider, &group.name, hold, now));
            }
        }
        for class in &self.pool.classes {
            let provider = &self.pool.providers[class.provider];
            for (group, quota) in provider.groups.iter().zip(&class.quotas) {
                let facts = quota.facts(now);
                if facts.is_worth_keeping() {
                    snapshot.quotas.push(QuotaFacts {
                        provider: provider.name.clone(),
                        group: self.pool.groups[*group].name.clone(),
                        model: class.model.clone(),
                        blocked_for: facts.blocked_for,
                        barred_for: facts.barred_for,
                        dimension: facts.dimension,
                        day_count: facts.day_count,
                        day_left: facts.day_left,
                        learned_rpm: facts.learned_rpm,
                        learned_tpm: facts.learned_tpm,
                    });
                }
            }
        }
        snapshot
    }

    /// Takes over what an earlier run knew; to be called before the first request. What names a key, group or provider that
    /// is no longer configured is skipped. A provider that would have no key left at all gets one probe of each: a person
    /// has just started a run, perhaps because the trouble is over.
    pub fn restore(&mut self, snapshot: &PoolSnapshot, now: Time) {
        for facts in &snapshot.quarantined {
            let key = self.pool.keys.iter_mut().find(|key| {
                !key.retired && key.spec.name == facts.name && key.spec.provider == facts.provider
            });
            if let Some(key) = key {
                key.health = Health::Quarantined(hold_of(facts, now));
            }
        }
        for facts in &snapshot.unpaid {
            let Some(provider) = self.pool.provider(&facts.provider) else { continue };
            let group = self.pool.groups.iter_mut().find(|g| g.provider == provider && g.name == facts.name);
            if let Some(group) = group {
                group.hold = Some(hold_of(facts, now));
            }
        }
        for facts in &snapshot.quotas {
            let Some(provider) = self.pool.provider(&facts.provider) else { continue };
            let groups = self.pool.groups.iter();
            let mut positions = groups.filter(|g| g.provider == provider && g.name == facts.group);
            let Some(position) = positions.next().map(|group| group.position) else { continue };
            let class = self.class(provider, &facts.model);
            let facts = Facts {
                blocked_for: facts.blocked_for,
                barred_for: facts.barred_for,
                dimension: facts.dimension,
                day_count: facts.day_count,
                day_left: facts.day_left,
                learned_rpm: facts.learned_rpm,
                learned_tpm: facts.learned_tpm,
            };
            self.pool.classes[class].quotas[position].restore(&facts, now);
        }
        self.probe_what_is_dead(now);
    }

    fn probe_what_is_dead(&mut self, now: Time) {
        for class in &mut self.pool.classes {
            if class.quotas.iter().all(|quota| quota.is_barred(now)) {
                class.quotas.iter_mut().for_each(super::quota::Quota::unbar);
            }
        }
        for provider in 0..self.pool.providers.len() {
            let keys: Vec<_> = self.pool.keys_of(provider).collect();
            if keys.iter().any(|key| self.pool.is_in_standing(*key)) {
                continue;
            }
            for index in keys {
                let key = self.pool.key_mut(index);
                let group = key.group;
                if let Health::Quarantined(hold) = &mut key.health {
                    hold.probe_now(now);
                }
                if let Some(hold) = &mut self.pool.groups[group].hold {
                    hold.probe_now(now);
                }
            }
        }
    }
}
