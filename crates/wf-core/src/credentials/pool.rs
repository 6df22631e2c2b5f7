//! The pool as a table: providers, their quota groups, the groups' keys, and the quotas of each model that was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::breaker::Breaker;
use super::coincidence::Coincidences;
use super::hold::{Hold, HoldGate};
use super::key::{Health, Key};
use super::quota::{Need, Quota};
use super::types::{KeyIndex, KeySpec, LeaseId, PoolSpec, QuotaLimits};
use crate::Time;

/// Models of one provider that have quotas of their own. Beyond it they share one: a worker that makes up names must not
/// fill the supervisor's memory.
const MOST_MODELS: usize = 64;

/// A provider, as configured.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    /// Its quota groups. A class has one quota for each, in the same order.
    pub(super) groups: Vec<usize>,
    /// Its classes.
    pub(super) classes: Vec<usize>,
    pub(super) breaker: Breaker,
    /// Calls, leases of whole attempts left out: how many those make is unknown.
    pub(super) in_flight: u32,
    /// When its days end, where that is known.
    midnights: Arc<[Time]>,
}

/// Keys that share their limits.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) provider: usize,
    /// Its position among the groups of the provider.
    pub(super) position: usize,
    /// The configured name; the key's own name for a key that has a group to itself.
    pub(super) name: String,
    /// Whether the group was named, rather than made up for one key.
    pub(super) is_named: bool,
    pub(super) keys: Vec<KeyIndex>,
    /// Out of credit.
    pub(super) hold: Option<Hold>,
}

impl Group {
    /// What a billing hold lets through; `None` without one.
    pub(super) fn gate(&self, now: Time) -> Option<HoldGate> {
        self.hold.as_ref().map(|hold| hold.gate(now))
    }
}

/// Calls for one model of one provider: they compete for the same quotas.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) provider: usize,
    pub(super) model: String,
    /// Whether this run has asked for it: what is only remembered from earlier ones concerns nobody.
    pub(super) is_asked_for: bool,
    /// One for each of the provider's groups.
    pub(super) quotas: Vec<Quota>,
    /// Signs that groups made up for one key share a quota.
    pub(super) coincidences: Coincidences,
}

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) class: usize,
    /// The group's position among those of the provider.
    pub(super) position: usize,
    pub(super) key: KeyIndex,
}

/// All facts about keys.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) keys: Vec<Key>,
    pub(super) groups: Vec<Group>,
    pub(super) providers: Vec<Provider>,
    pub(super) classes: Vec<Class>,
    limits: BTreeMap<String, BTreeMap<Option<String>, QuotaLimits>>,
    midnights: BTreeMap<String, Vec<Time>>,
    started: Time,
}

impl Pool {
    pub(super) fn new(spec: PoolSpec, now: Time) -> Pool {
        let mut pool = Pool {
            keys: Vec::new(),
            groups: Vec::new(),
            providers: Vec::new(),
            classes: Vec::new(),
            limits: spec.limits,
            midnights: spec.midnights,
            started: now,
        };
        for key in spec.keys {
            pool.add_key(key);
        }
        pool
    }

    pub(super) fn key(&self, index: KeyIndex) -> &Key {
        &self.keys[usize::from(index.0)]
    }

    pub(super) fn key_mut(&mut self, index: KeyIndex) -> &mut Key {
        &mut self.keys[usize::from(index.0)]
    }

    /// The provider of that name, if any key was ever one of its.
    pub(super) fn provider(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|p| p.name == name)
    }

    fn provider_or_new(&mut self, name: &str) -> usize {
        self.provider(name).unwrap_or_else(|| {
            let midnights = self.midnights.get(name).map_or_else(|| [].into(), |all| all.as_slice().into());
            self.providers.push(Provider {
                name: name.to_owned(),
                groups: Vec::new(),
                classes: Vec::new(),
                breaker: Breaker::new(),
                in_flight: 0,
                midnights,
            });
            self.providers.len() - 1
        })
    }

    fn group_or_new(&mut self, provider: usize, spec: &KeySpec) -> usize {
        let (name, is_named) = match &spec.quota_group {
            Some(name) => (name.clone(), true),
            None => (spec.name.clone(), false),
        };
        let known = self.providers[provider].groups.iter().copied().find(|g| {
            let group = &self.groups[*g];
            group.name == name && group.is_named == is_named
        });
        known.unwrap_or_else(|| {
            let index = self.groups.len();
            for class in self.providers[provider].classes.clone() {
                let quota = self.quota(provider, &name, &self.classes[class].model);
                self.classes[class].quotas.push(quota);
            }
            let position = self.providers[provider].groups.len();
            self.groups.push(Group { provider, position, name, is_named, keys: Vec::new(), hold: None });
            self.providers[provider].groups.push(index);
            index
        })
    }

    /// One more key. `None` when the pool has as many as can be numbered.
    pub(super) fn add_key(&mut self, spec: KeySpec) -> Option<KeyIndex> {
        let index = KeyIndex(u16::try_from(self.keys.len()).ok()?);
        let provider = self.provider_or_new(&spec.provider);
        let group = self.group_or_new(provider, &spec);
        self.groups[group].keys.push(index);
        self.keys.push(Key::new(spec, group));
        Some(index)
    }

    /// A quota that counts as drained when the run began.
    fn quota(&self, provider: usize, group: &str, model: &str) -> Quota {
        let limits = self
            .limits
            .get(group)
            .and_then(|models| models.get(&Some(model.to_owned())).or_else(|| models.get(&None)).copied());
        let midnights = self.providers[provider].midnights.clone();
        Quota::new(limits.unwrap_or_default(), midnights, self.started)
    }

    /// The class of calls to that model of that provider, and whether it is new.
    pub(super) fn class_or_new(&mut self, provider: usize, model: &str) -> (usize, bool) {
        let classes = &self.providers[provider].classes;
        let known = classes.iter().copied().find(|c| self.classes[*c].model == model);
        let model = match known {
            Some(class) => return (class, false),
            None if classes.len() >= MOST_MODELS => "",
            None => model,
        };
        if let Some(class) = classes.iter().copied().find(|c| self.classes[*c].model == model) {
            return (class, false);
        }
        let quotas = self.providers[provider]
            .groups
            .iter()
            .map(|g| self.quota(provider, &self.groups[*g].name, model))
            .collect();
        self.classes.push(Class {
            provider,
            model: model.to_owned(),
            is_asked_for: false,
            quotas,
            coincidences: Coincidences::default(),
        });
        let index = self.classes.len() - 1;
        self.providers[provider].classes.push(index);
        (index, true)
    }

    /// Books a call where it was decided to go.
    pub(super) fn take(&mut self, pick: Pick, lease: LeaseId, need: Need, now: Time) {
        let class = &mut self.classes[pick.class];
        let provider = &mut self.providers[class.provider];
        let group = &mut self.groups[provider.groups[pick.position]];
        let key = &mut self.keys[usize::from(pick.key.0)];
        key.in_flight += 1;
        key.last_lease = lease.0;
        if let Some(hold) = &mut group.hold {
            hold.begin_probe(lease);
        }
        if let Health::Quarantined(hold) = &mut key.health {
            hold.begin_probe(lease);
        }
        if let Need::Call(tokens) = need {
            provider.in_flight += 1;
            provider.breaker.granted(lease);
            key.calls += 1;
            class.quotas[pick.position].admit(lease, tokens, now);
        }
    }

    /// Whether the key's provider takes it and its group can pay.
    pub(super) fn is_in_standing(&self, key: KeyIndex) -> bool {
        let key = self.key(key);
        key.is_good() && self.groups[key.group].hold.is_none()
    }

    /// The keys of a provider, replaced ones left out.
    pub(super) fn keys_of(&self, provider: usize) -> impl Iterator<Item = KeyIndex> {
        let groups = self.providers[provider].groups.iter();
        groups.flat_map(|g| self.groups[*g].keys.iter().copied()).filter(|k| !self.key(*k).retired)
    }

    /// Until when a key's group is limited for every model that was asked for.
    pub(super) fn limited_until(&self, key: KeyIndex, now: Time) -> Option<Time> {
        let group = &self.groups[self.key(key).group];
        let classes = self.providers[group.provider].classes.iter().map(|class| &self.classes[*class]);
        let mut earliest: Option<Time> = None;
        for class in classes.filter(|class| class.is_asked_for) {
            let until = class.quotas[group.position].limited_until(now)?;
            earliest = Some(earliest.map_or(until, |least| least.min(until)));
        }
        earliest
    }

    /// Keys of a provider that can serve a class: in standing, and not rate-limited for it.
    pub(super) fn usable_for(&self, class: usize, now: Time) -> usize {
        let class = &self.classes[class];
        let groups = self.providers[class.provider].groups.iter();
        groups
            .zip(&class.quotas)
            .filter(|(_, quota)| !quota.is_barred(now) && quota.limited_until(now).is_none())
            .flat_map(|(g, _)| self.groups[*g].keys.iter())
            .filter(|k| self.is_in_standing(**k))
            .count()
    }

    /// Why a key serves no call of a class, or of any when none is named.
    pub(super) fn reason(&self, key: KeyIndex, class: Option<usize>, now: Time) -> String {
        let index = key;
        let key = self.key(index);
        if let Health::Quarantined(hold) = &key.health {
            return format!("refused by the provider: {}", hold.detail);
        }
        let group = &self.groups[key.group];
        if let Some(hold) = &group.hold {
            return format!("out of credit: {}", hold.detail);
        }
        let barred = class.map(|c| &self.classes[c]).filter(|class| {
            let groups = self.providers[class.provider].groups.iter().zip(&class.quotas);
            groups.into_iter().any(|(g, quota)| *g == key.group && quota.is_barred(now))
        });
        barred.map_or_else(String::new, |class| format!("its quota for {} is zero", class.model))
    }

    /// A provider nobody else is beside needs no name in a message.
    pub(super) fn name_where_needed(&self, provider: usize) -> Option<String> {
        (self.providers.len() > 1).then(|| self.providers[provider].name.clone())
    }
}
