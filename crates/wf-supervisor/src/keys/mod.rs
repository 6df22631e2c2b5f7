//! Where secrets come from, and how they are kept.

mod command;
pub mod environment;
mod secret;
mod source;

use std::time::Duration;

use tokio::sync::Mutex;
use wf_core::credentials::{KeyIndex, KeySpec};
use wf_providers::Dialect;

pub use secret::Secret;
pub use source::{COMMAND_TIME, SecretSource, SourceError};

use crate::config::{Environ, PoolSettings};
use crate::exit::{Trouble, refused};

/// A key as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// What logs and people call it.
    pub name: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// Where its secret comes from.
    pub source: SecretSource,
    /// Keys of one group share its limits.
    pub quota_group: Option<String>,
    /// Leases at once on this key.
    pub max_in_flight: Option<u32>,
}

impl KeyConfig {
    /// What the core knows of it.
    pub fn spec(&self) -> KeySpec {
        KeySpec {
            name: self.name.clone(),
            provider: self.provider.clone(),
            quota_group: self.quota_group.clone(),
            max_in_flight: self.max_in_flight,
        }
    }
}

/// The keys that are used without configuration: those in the providers' usual variables, several separated by commas.
pub fn default_keys(environ: &dyn Environ) -> Vec<KeyConfig> {
    let mut keys = Vec::new();
    for dialect in Dialect::ALL {
        let Some((variable, value)) = source::usual_variable(dialect, environ) else { continue };
        let count = source::parts(&value).count();
        for part in 0..count {
            let name = if count == 1 { dialect.name().to_owned() } else { format!("{dialect}-{}", part + 1) };
            keys.push(KeyConfig {
                name,
                provider: dialect.name().to_owned(),
                source: SecretSource::Variable { name: variable.to_owned(), part: Some(part) },
                quota_group: None,
                max_in_flight: None,
            });
        }
    }
    keys
}

#[derive(Clone, Debug)]
struct Entry {
    config: KeyConfig,
    /// The secret, or why there is none.
    secret: Result<Secret, String>,
    /// Its source could not be read the last time, and that was said.
    is_faulty: bool,
}

/// What [`KeyRing::reload`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A key that had no secret has one now.
    Appeared(KeyIndex),
    /// A key's secret is another one.
    Changed(KeyIndex),
    /// Its source cannot be read or used, for the first time since it could; the secret it had, if any, stays.
    Refused(KeyIndex, String),
}

/// The secrets that can be read without starting anything: what must not be shown before the pool's keys are read. A source
/// that cannot be read, or is not safe, is told of when it is used.
pub fn secrets_at_hand(keys: &[KeyConfig], environ: &dyn Environ) -> Vec<Secret> {
    let at_hand = keys.iter().filter(|key| !matches!(key.source, SecretSource::Command(_)));
    let read = |key: &KeyConfig| Secret::new(&key.name, key.source.read(environ, COMMAND_TIME).ok()?).ok();
    at_hand.filter_map(read).collect()
}

/// The secrets of the pool, by the index of their key in the configuration (and so in the core's `PoolSpec`).
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    entries: Vec<Entry>,
}

impl KeyRing {
    /// Reads every source. A source that is absent leaves its key without secret, with a warning; one that is unsafe, or
    /// whose secret cannot be used, is a refusal.
    pub fn load(pool: &PoolSettings, environ: &dyn Environ) -> Result<(KeyRing, Vec<String>), Trouble> {
        let mut ring = KeyRing::default();
        let mut warnings = Vec::new();
        for config in &pool.keys {
            let secret = match config.source.read(environ, COMMAND_TIME) {
                Ok(text) => match Secret::new(&config.name, text) {
                    Ok(secret) => Ok(secret),
                    Err(why) => {
                        return refused(format!(
                            "key {}: {why} (from {})",
                            config.name,
                            config.source.words()
                        ));
                    }
                },
                Err(SourceError::Unsafe(why)) => return refused(format!("key {}: {why}", config.name)),
                Err(SourceError::Absent(why)) => {
                    warnings.push(format!("key {} is not usable: {why}", config.name));
                    Err(why)
                }
            };
            let secret = secret.and_then(|secret| match ring.twin(config, &secret) {
                Some(twin) => {
                    let why = format!("it has the same secret as {twin}");
                    warnings.push(format!("key {} is not used: {why}", config.name));
                    Err(why)
                }
                None => Ok(secret),
            });
            ring.entries.push(Entry { config: config.clone(), is_faulty: secret.is_err(), secret });
        }
        Ok((ring, warnings))
    }

    /// A ring of generated keys, for the mock.
    pub fn of_secrets(keys: impl IntoIterator<Item = (KeyConfig, Secret)>) -> KeyRing {
        KeyRing {
            entries: keys
                .into_iter()
                .map(|(config, secret)| Entry { config, secret: Ok(secret), is_faulty: false })
                .collect(),
        }
    }

    /// The secret of a key.
    pub fn secret(&self, key: KeyIndex) -> Option<&Secret> {
        self.entries.get(usize::from(key.0)).and_then(|e| e.secret.as_ref().ok())
    }

    /// What people call a key.
    pub fn name(&self, key: KeyIndex) -> &str {
        self.entries.get(usize::from(key.0)).map_or("?", |entry| entry.config.name.as_str())
    }

    /// All secrets there are.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.entries.iter().filter_map(|e| e.secret.as_ref().ok())
    }

    /// Keys without secret, each with the reason.
    pub fn missing(&self) -> impl Iterator<Item = (KeyIndex, &KeyConfig, &str)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            entry.secret.as_ref().err().map(|why| (KeyIndex(index as u16), &entry.config, why.as_str()))
        })
    }

    /// Whether a provider has at least one key with a secret.
    pub fn has(&self, provider: &str) -> bool {
        self.entries.iter().any(|e| e.config.provider == provider && e.secret.is_ok())
    }

    /// Refuses a run that needs keys of these providers and has none: exit code 2, with the ways out.
    pub fn require(&self, providers: &[&str]) -> Result<(), Trouble> {
        let Some(provider) = providers.iter().find(|p| !self.has(p)) else { return Ok(()) };
        let what = if self.secrets().next().is_none() {
            "there is no API key".to_owned()
        } else {
            format!("there is no API key for the provider {provider}")
        };
        let reasons = self.missing().map(|(_, config, why)| format!("  {}: {why}", config.name));
        let ways_out = "Set GEMINI_API_KEY (or GOOGLE_API_KEY), ANTHROPIC_API_KEY or OPENAI_API_KEY, or name keys in \
                        wf.toml ('wf-supervisor init' writes one), or try --mock, which needs none.";
        let lines: Vec<String> =
            std::iter::once(what).chain(reasons).chain(std::iter::once(ways_out.to_owned())).collect();
        refused(lines.join("\n"))
    }

    /// Reads the sources again that can change while a run waits: files and commands. A variable cannot, and by now has
    /// been wiped. May block for as long as each command may take; `births` is held while one runs.
    pub fn reload(
        &mut self,
        environ: &dyn Environ,
        command_time: Duration,
        births: &Mutex<()>,
    ) -> Vec<KeyChange> {
        let mut changes = Vec::new();
        for index in 0..self.entries.len() {
            let key = KeyIndex(index as u16);
            let config = self.entries[index].config.clone();
            if matches!(config.source, SecretSource::Variable { .. }) {
                continue;
            }
            let read = {
                let is_command = matches!(config.source, SecretSource::Command(_));
                let _child = is_command.then(|| births.blocking_lock());
                config.source.read(environ, command_time)
            };
            let new = match read {
                Ok(text) => Secret::new(&config.name, text),
                // What is gone from its source is not gone from its provider: the old secret stays.
                Err(SourceError::Unsafe(why) | SourceError::Absent(why)) => Err(why),
            };
            let was_faulty = std::mem::replace(&mut self.entries[index].is_faulty, new.is_err());
            match new {
                Err(_) if was_faulty => {}
                Err(why) => changes.push(KeyChange::Refused(key, why)),
                Ok(new) => {
                    let same = self.entries[index].secret.as_ref().is_ok_and(|old| *old == new);
                    if same || self.twin(&config, &new).is_some() {
                        continue;
                    }
                    let had_one = self.entries[index].secret.is_ok();
                    self.entries[index].secret = Ok(new);
                    changes.push(if had_one { KeyChange::Changed(key) } else { KeyChange::Appeared(key) });
                }
            }
        }
        changes
    }

    /// Puts the keys that have a secret first, in their order: from then on a key's number here is its number in the core,
    /// which knows only usable keys.
    pub fn number_usable_first(&mut self) {
        self.entries.sort_by_key(|entry| entry.secret.is_err());
    }

    /// What the core knows of the usable keys, by number.
    pub fn specs(&self) -> Vec<KeySpec> {
        self.entries
            .iter()
            .take_while(|entry| entry.secret.is_ok())
            .map(|entry| entry.config.spec())
            .collect()
    }

    /// After a reading: what the core has to hear of, and the numbers that go with it. A key that got its first secret
    /// takes the next number.
    pub fn take_changes(&mut self, changes: &[KeyChange], usable: usize) -> Vec<KeySpec> {
        let name = |key: &KeyIndex| self.entries[usize::from(key.0)].config.name.clone();
        let mut told: Vec<KeySpec> = Vec::new();
        let mut appeared = Vec::new();
        for change in changes {
            match change {
                KeyChange::Changed(key) => told.push(self.entries[usize::from(key.0)].config.spec()),
                KeyChange::Appeared(key) => appeared.push(name(key)),
                KeyChange::Refused(..) => {}
            }
        }
        for (next, name) in (usable..).zip(appeared) {
            if let Some(at) = self.entries.iter().position(|entry| entry.config.name == name) {
                self.entries.swap(at, next);
                told.push(self.entries[next].config.spec());
            }
        }
        told
    }

    /// The key of the same provider that has the same secret already.
    fn twin(&self, config: &KeyConfig, secret: &Secret) -> Option<&str> {
        self.entries
            .iter()
            .filter(|e| e.config.provider == config.provider && e.config.name != config.name)
            .find(|e| e.secret.as_ref().is_ok_and(|other| other == secret))
            .map(|e| e.config.name.as_str())
    }
}

#[cfg(test)]
mod tests;
