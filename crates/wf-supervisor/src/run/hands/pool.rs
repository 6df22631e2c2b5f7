//! What of the pool is told, shown and kept while a run goes on.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wf_core::credentials::{KeyStatus, Notice};
use wf_core::{Event, Record, Supervisor};

use super::{Done, Hands};
use crate::keys::{KeyChange, KeyRing};
use crate::run::pool_memory;

impl Hands {
    /// The keys as they are now.
    pub fn ring(&self) -> &KeyRing {
        &self.parts.ring
    }

    /// Held by whoever has a child that is no warden, such as the command of a key source.
    pub fn births(&self) -> Arc<Mutex<()>> {
        self.parts.slots.births()
    }

    /// Whether a key is out of use until the operator acts.
    pub fn misses_a_key(&self) -> bool {
        self.teller.misses_a_key()
    }

    /// Takes over a ring that was read again. Its new secrets are redacted before anybody can be given one.
    pub fn take_keys(
        &mut self,
        mut ring: KeyRing,
        changes: &[KeyChange],
        supervisor: &Supervisor,
    ) -> Vec<Event> {
        for change in changes {
            if let KeyChange::Refused(key, why) = change {
                let name = ring.name(*key);
                self.parts.console.coordinator(&format!("warning: key {name} cannot be read anew: {why}"));
            }
        }
        let told = ring.take_changes(changes, self.parts.speaker.keys.len());
        if told.is_empty() {
            // It remembers which faults were said.
            self.parts.ring = ring;
            return Vec::new();
        }
        // A secret that was replaced is still one, and a worker may still hold it.
        for secret in ring.secrets() {
            if !self.parts.secrets.contains(secret) {
                self.parts.secrets.push(secret.clone());
            }
        }
        let secrets = self.parts.secrets.iter().map(|secret| (secret.name(), secret.expose().as_bytes()));
        if let Err(error) = self.parts.redactor.replace(secrets) {
            log::warn!("the new keys are not used: {error}");
            return Vec::new();
        }
        self.parts.speaker.keys = ring.specs().into_iter().map(|spec| spec.name).collect();
        self.parts.ring = ring;
        let keys = supervisor.pool().status(self.parts.clock.now());
        for spec in &told {
            self.teller.renewed(&spec.name, &keys);
            self.parts.console.coordinator(&format!("Key {} was read anew and is tried", spec.name));
        }
        told.into_iter().map(Event::KeyChanged).collect()
    }

    /// What earlier runs left of the pool, said at the start.
    pub fn open_pool(&mut self, supervisor: &Supervisor) {
        let keys = supervisor.pool().status(self.parts.clock.now());
        if let Some(line) = self.teller.opening(&self.parts.speaker, &keys) {
            self.parts.console.coordinator(&self.parts.redactor.redact(&line));
        }
        self.parts.window.touch();
    }

    /// The lines for a turn, which are put among its records; the run's last record stays the last.
    pub(super) fn tell_pool(
        &mut self,
        records: &mut Vec<Record>,
        notices: &[Notice],
        supervisor: &Supervisor,
    ) -> Vec<String> {
        if self.parts.speaker.keys.is_empty() && notices.is_empty() {
            return Vec::new();
        }
        self.parts.window.note(records);
        let now = self.parts.clock.now();
        let end = records.pop_if(|record| matches!(record, Record::RunEnded { .. }));
        let mut lines = Vec::new();
        if end.is_some() || !notices.is_empty() || self.teller.concerns(records) {
            let keys = supervisor.pool().status(now);
            self.parts.window.look(&keys, now);
            lines = self.teller.turn(records, notices, &self.parts.speaker, &keys, now);
            if end.is_some() {
                lines.extend(self.teller.farewell(&self.parts.speaker));
                records.extend(self.parts.window.last_records(&keys, now));
            }
        }
        records.extend(lines.iter().cloned().map(|message| Record::Pool { message }));
        records.extend(end);
        lines
    }

    /// When the pool is to be shown anew; `None` while nothing has happened.
    pub fn pool_due(&self) -> Option<Instant> {
        self.parts.window.due().filter(|_| !self.parts.speaker.keys.is_empty())
    }

    /// Shows the pool to `keys` and `show`, and keeps it for the next run, should this one be killed.
    pub fn show_pool(&mut self, supervisor: &Supervisor) -> Vec<Event> {
        let now = self.parts.clock.now();
        let keys = supervisor.pool().status(now);
        let lines = self.look_at_pool(&keys);
        let launcher = &self.parts.launcher;
        self.parts.window.write(supervisor, &keys, |item| launcher.id(item), &self.parts.redactor, now);
        if self.parts.keeps_pool {
            let kept =
                pool_memory::to_keep(supervisor.pool().snapshot(now), &self.parts.ring, &self.parts.redactor);
            self.parts.history.keep_pool(pool_memory::NAME, kept);
        }
        let records = lines.iter().cloned().map(|message| Record::Pool { message }).collect();
        let mut done = Done::default();
        self.record(records, supervisor, &mut done);
        self.say_lines(&lines);
        done.follow_ups
    }

    fn look_at_pool(&mut self, keys: &[KeyStatus]) -> Vec<String> {
        let now = self.parts.clock.now();
        self.parts.window.look(keys, now);
        self.teller.look(&self.parts.speaker, keys, now)
    }

    pub(super) fn say_lines(&self, lines: &[String]) {
        for line in lines {
            self.parts.console.coordinator(line);
        }
    }
}
