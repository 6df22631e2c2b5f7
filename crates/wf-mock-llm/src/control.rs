//! Changing a running server: `POST /__mock/control`, and the same from a test in the same process.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Latency, Limits};
use crate::engine::Engine;
use crate::faults::{Fault, Faults};
use crate::{MockConfig, Script, Window};

/// What to change; what is absent stays. Unknown fields are refused.
///
/// ```json
/// {"revoke": ["mock-a"], "next": ["overloaded", "cut"], "limits": {"mock-1": {"rpm": 5}}, "latency": "300ms"}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Keys that are refused from now on, by name.
    pub revoke: Vec<String>,
    /// Keys that are good again.
    pub restore: Vec<String>,
    /// Groups that cannot pay (`true`) or can again (`false`).
    pub no_credit: BTreeMap<String, bool>,
    /// Models that groups have no quota for from now on, in the place of those named before.
    pub no_quota: BTreeMap<String, std::collections::BTreeSet<String>>,
    /// Groups whose day is used up (`true`) or fresh (`false`).
    pub exhaust_day: BTreeMap<String, bool>,
    /// Whether everything is refused as overloaded.
    pub overloaded: Option<bool>,
    /// The faults of the profile `storm` on top of everything else, or none.
    pub storm: Option<bool>,
    /// The shares of faults.
    pub faults: Option<Faults>,
    /// Faults for the next calls, in order, before chance is asked: `none`, `limited`, `overloaded`, `failed`, `cut`,
    /// `dropped`, `slow`, `stalled`, `error-inside`, `no-capacity`, `key-refused`, `no-credit`.
    pub next: Vec<Fault>,
    /// Limits by group; `*` for every group without its own. What was used so far is forgotten.
    pub limits: BTreeMap<String, Limits>,
    /// How limits are enforced. What was used so far is forgotten.
    pub window: Option<Window>,
    /// Requests at once on one key.
    pub key_concurrency: Option<u32>,
    /// The latency of every call, such as `300ms`.
    pub latency: Option<String>,
    /// How items fare, such as `{"42": "never"}`.
    pub plan: BTreeMap<String, String>,
    /// `true`: calls that are at work stay so, after their latency, until `false`.
    pub hold: Option<bool>,
    /// This many calls more go through, those after them stay at work, after their latency, until `hold` is `false`.
    pub hold_after: Option<u64>,
    /// Count from zero.
    pub reset_counters: bool,
}

impl Control {
    /// Reads the JSON form.
    pub fn read(json: &[u8]) -> Result<Control, String> {
        serde_json::from_slice(json).map_err(|e| format!("the control request is not understood: {e}"))
    }

    /// Carries the changes out, all or none of them. `hold` and `hold_after` are the server's.
    pub(crate) fn apply(&self, engine: &mut Engine) -> Result<(), String> {
        let mut config = engine.config.clone();
        for name in self.revoke.iter().chain(&self.restore) {
            if !config.keys.iter().any(|key| &key.name == name) {
                return Err(format!("no key is named {name}"));
            }
        }
        let is_group = |group: &str| config.keys.iter().any(|key| key.group == group);
        let mut groups = self
            .no_credit
            .keys()
            .chain(self.exhaust_day.keys())
            .chain(self.limits.keys())
            .chain(self.no_quota.keys());
        if let Some(group) = groups.find(|group| *group != "*" && !is_group(group)) {
            return Err(format!("no key is of a quota group named {group}"));
        }
        config.revoked.extend(self.revoke.iter().cloned());
        config.revoked.retain(|name| !self.restore.contains(name));
        set(&mut config.no_credit, &self.no_credit);
        set(&mut config.day_exhausted, &self.exhaust_day);
        config.no_quota.extend(self.no_quota.clone());
        for (group, limits) in &self.limits {
            if group == "*" {
                config.limits = *limits;
            } else {
                config.group_limits.insert(group.clone(), *limits);
            }
        }
        config.window = self.window.unwrap_or(config.window);
        config.key_concurrency = self.key_concurrency.or(config.key_concurrency);
        config.faults = self.faults.unwrap_or(config.faults);
        if let Some(storm) = self.storm {
            let profile = MockConfig::profile("storm").map(|profile| profile.faults).unwrap_or_default();
            config.faults = if storm { profile } else { Faults::default() };
        }
        if let Some(latency) = &self.latency {
            config.latency = Latency::fixed(duration(latency)?);
        }
        for (item, script) in &self.plan {
            config.plan.insert(item.clone(), script.parse::<Script>().map_err(|e| e.to_string())?);
        }
        config.check()?;

        engine.config = config;
        engine.overloaded = self.overloaded.unwrap_or(engine.overloaded);
        engine.next.extend(&self.next);
        if !self.limits.is_empty() || self.window.is_some() {
            engine.reset_quotas();
        }
        if self.reset_counters {
            engine.reset_counters();
        }
        Ok(())
    }
}

fn set(members: &mut std::collections::BTreeSet<String>, changes: &BTreeMap<String, bool>) {
    for (name, is_member) in changes {
        if *is_member {
            members.insert(name.clone());
        } else {
            members.remove(name);
        }
    }
}

/// `500ms`, `30s`, `5m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    parsed.ok_or_else(|| format!("{text:?} is no duration; write 500ms, 30s, 5m or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(engine: &mut Engine, json: &str) -> Result<(), String> {
        Control::read(json.as_bytes())?.apply(engine)
    }

    #[test]
    fn changes_are_made_and_taken_back() {
        let mut engine = Engine::new(MockConfig::default());
        let change = r#"{"revoke":["mock-a"],"no_credit":{"mock-2":true},"limits":{"mock-1":{"rpm":5},"*":{"tpm":9}},
            "latency":"1s500ms","next":["overloaded","none"],"overloaded":true,"storm":true,"plan":{"42":"never"}}"#;
        apply(&mut engine, change).unwrap();
        assert!(engine.config.revoked.contains("mock-a") && engine.config.no_credit.contains("mock-2"));
        assert_eq!(engine.config.limits_of("mock-1").rpm, Some(5));
        assert_eq!(engine.config.limits_of("mock-2").tpm, Some(9));
        assert_eq!(engine.config.latency.median, Duration::from_millis(1_500));
        assert_eq!(engine.next, [Fault::Overloaded, Fault::None]);
        assert!(engine.overloaded && engine.config.faults.limited > 0.0);
        apply(&mut engine, r#"{"restore":["mock-a"],"no_credit":{"mock-2":false},"storm":false}"#).unwrap();
        assert!(engine.config.revoked.is_empty() && engine.config.no_credit.is_empty());
        assert_eq!(engine.config.faults, Faults::default());
    }

    #[test]
    fn nonsense_changes_nothing_and_is_named() {
        let mut engine = Engine::new(MockConfig::default());
        for (json, words) in [
            ("", "not understood"),
            (r#"{"revok":["mock-a"]}"#, "revok"),
            (r#"{"overloaded":true,"revoke":["mock-z"]}"#, "mock-z"),
            (r#"{"overloaded":true,"limits":{"nobody":{"rpm":1}}}"#, "nobody"),
            (r#"{"overloaded":true,"latency":"soon"}"#, "soon"),
            (r#"{"overloaded":true,"latency":"-1s"}"#, "-1s"),
            (r#"{"overloaded":true,"faults":{"cut":2.0}}"#, "shares"),
            (r#"{"overloaded":true,"plan":{"42":"maybe"}}"#, "maybe"),
        ] {
            let error = apply(&mut engine, json).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!engine.overloaded, "{json}");
        }
    }
}
