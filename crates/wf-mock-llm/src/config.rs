//! What the server is to be like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Faults, Fixtures, Script, Window, draw};

/// Everything that can be chosen about a mock server. Start from [`MockConfig::default`] or a
/// [profile](MockConfig::profile) and change what matters.
#[derive(Clone, Debug)]
pub struct MockConfig {
    /// The loopback port to listen on; 0 for any free one.
    pub port: u16,
    /// What chance depends on: scripts, latencies, faults.
    pub seed: u64,
    /// The keys that are good.
    pub keys: Vec<MockKey>,
    /// The limits of every quota group, for each model by itself, unless [`MockConfig::group_limits`] has others.
    pub limits: Limits,
    /// Limits of single groups, by name.
    pub group_limits: BTreeMap<String, Limits>,
    /// Requests at once on one key; `None` for no bound.
    pub key_concurrency: Option<u32>,
    /// How limits per minute are enforced.
    pub window: Window,
    /// Whether refusals say how long to wait, and replies what is left.
    pub hints: bool,
    /// Whether refused calls count towards the limits, as they do at OpenAI.
    pub count_refused: bool,
    /// How long a model thinks.
    pub latency: Latency,
    /// What goes wrong by chance.
    pub faults: Faults,
    /// Names of keys that are refused as invalid.
    pub revoked: BTreeSet<String>,
    /// Quota groups that cannot pay.
    pub no_credit: BTreeSet<String>,
    /// Models that a quota group has no quota for, by group.
    pub no_quota: BTreeMap<String, BTreeSet<String>>,
    /// Quota groups whose requests of the day are used up.
    pub day_exhausted: BTreeSet<String>,
    /// How much faster than the wall the server's clock goes: at 60 a minute is a second. Latencies, limits and the
    /// waits in refusals follow it.
    pub time_scale: f64,
    /// How items fare with their reviewers. Where nothing is said, the input document may choose
    /// (`<!-- mock: approve@2 -->`), and else chance does.
    pub plan: BTreeMap<String, Script>,
    /// Replies that replace the embedded ones.
    pub fixtures: Fixtures,
}

/// A key the server knows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct MockKey {
    /// What counters call it.
    pub name: String,
    /// What a client sends.
    pub secret: String,
    /// The quota group whose limits it shares.
    pub group: String,
}

impl fmt::Debug for MockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A user may have given a real key to a mock server by mistake.
        write!(f, "MockKey({} of {})", self.name, self.group)
    }
}

/// Limits of a quota group; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Tokens per minute, input and output together.
    pub tpm: Option<u64>,
    /// Requests per day.
    pub rpd: Option<u32>,
}

/// How long a model thinks: lognormally distributed, as real ones are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of the replies take longer.
    pub median: Duration,
    /// Standard deviation of the logarithm: 0 for always the median, 0.6 for a provider on a busy day.
    pub sigma: f64,
}

impl Latency {
    /// The same for every call.
    pub const fn fixed(median: Duration) -> Latency {
        Latency { median, sigma: 0.0 }
    }

    /// The latency that belongs to a draw. At most ten times the median: a mock has no outliers of minutes.
    pub fn draw(self, seed: u64) -> Duration {
        if self.sigma <= 0.0 || !self.sigma.is_finite() {
            return self.median;
        }
        self.median.mul_f64((self.sigma * draw::normal(seed)).exp().clamp(0.1, 10.0))
    }
}

impl Default for MockConfig {
    fn default() -> MockConfig {
        MockConfig {
            port: 0,
            seed: 0,
            keys: MockConfig::generated_keys(4, 2, 0),
            limits: Limits::default(),
            group_limits: BTreeMap::new(),
            key_concurrency: None,
            window: Window::Sliding,
            hints: true,
            count_refused: false,
            latency: Latency::fixed(Duration::ZERO),
            faults: Faults::default(),
            revoked: BTreeSet::new(),
            no_credit: BTreeSet::new(),
            no_quota: BTreeMap::new(),
            day_exhausted: BTreeSet::new(),
            time_scale: 1.0,
            plan: BTreeMap::new(),
            fixtures: Fixtures::default(),
        }
    }
}

impl MockConfig {
    /// `keys` keys with made-up secrets, dealt out over `groups` quota groups (`mock-a` … of `mock-1` …).
    pub fn generated_keys(keys: u32, groups: u32, seed: u64) -> Vec<MockKey> {
        let groups = groups.clamp(1, keys.max(1));
        (0..keys)
            .map(|n| {
                let bytes = n.to_le_bytes();
                let half = |salt: &[u8]| draw::hash(&[b"key", &seed.to_le_bytes(), &bytes, salt]);
                MockKey {
                    name: format!("mock-{}", letters(n)),
                    secret: format!("mock-key-{:016x}{:016x}", half(b"left"), half(b"right")),
                    group: format!("mock-{}", n % groups + 1),
                }
            })
            .collect()
    }

    /// The limits of a group.
    pub fn limits_of(&self, group: &str) -> Limits {
        self.group_limits.get(group).copied().unwrap_or(self.limits)
    }

    /// A duration of the server's clock as one of the wall's.
    pub fn on_the_wall(&self, mock: Duration) -> Duration {
        Duration::try_from_secs_f64(mock.as_secs_f64() / self.time_scale).unwrap_or(mock)
    }

    /// What is wrong with this configuration, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        if !self.time_scale.is_finite() || !(1e-3..=1e6).contains(&self.time_scale) {
            return Err(format!("time scale {} is not between 0.001 and 1000000", self.time_scale));
        }
        if !(0.0..=3.0).contains(&self.latency.sigma) {
            return Err(format!("latency sigma {} is not between 0 and 3", self.latency.sigma));
        }
        let mut names = BTreeSet::new();
        let mut secrets = BTreeSet::new();
        for key in &self.keys {
            if !names.insert(&key.name) {
                return Err(format!("two keys are named {}", key.name));
            }
            if key.secret.is_empty() || !secrets.insert(&key.secret) {
                return Err(format!("the secret of {} is empty or another key's too", key.name));
            }
        }
        if let Some(name) = self.revoked.iter().find(|name| !names.contains(name)) {
            return Err(format!("no key is named {name}, so it cannot be revoked"));
        }
        self.faults.check()
    }
}

/// 0 is `a`, 25 is `z`, 26 is `aa`.
fn letters(mut n: u32) -> String {
    let mut name = Vec::new();
    loop {
        name.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
        if n == 0 {
            return name.iter().rev().collect();
        }
        n -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dealt_out_over_groups_and_differ() {
        let keys = MockConfig::generated_keys(30, 4, 7);
        assert_eq!((keys[0].name.as_str(), keys[0].group.as_str()), ("mock-a", "mock-1"));
        assert_eq!((keys[27].name.as_str(), keys[27].group.as_str()), ("mock-ab", "mock-4"));
        let config = MockConfig { keys, ..MockConfig::default() };
        assert_eq!(config.check(), Ok(()));
        assert!(!format!("{config:?}").contains(&config.keys[0].secret));
        assert_ne!(config.keys[0].secret, MockConfig::generated_keys(1, 1, 8)[0].secret);
    }

    #[test]
    fn latencies_spread_around_the_median() {
        let latency = Latency { median: Duration::from_secs(8), sigma: 0.6 };
        let longer = (0..1_000).filter(|seed| latency.draw(*seed) > latency.median).count();
        assert!((430..570).contains(&longer), "{longer}");
        assert_eq!(Latency::fixed(Duration::from_secs(1)).draw(5), Duration::from_secs(1));
    }

    #[test]
    fn nonsense_is_named() {
        let change = |f: fn(&mut MockConfig)| {
            let mut config = MockConfig::default();
            f(&mut config);
            config.check().unwrap_err()
        };
        assert!(change(|c| c.time_scale = 0.0).contains("time scale"));
        assert!(change(|c| c.time_scale = f64::NAN).contains("time scale"));
        assert!(change(|c| c.latency.sigma = -1.0).contains("sigma"));
        assert!(change(|c| c.faults.cut = 1.5).contains("shares"));
        assert!(change(|c| c.keys[1].name = "mock-a".into()).contains("mock-a"));
        assert!(change(|c| c.keys[1].secret.clear()).contains("mock-b"));
        assert!(change(|c| c.revoked = ["x".to_owned()].into()).contains("no key is named x"));
    }
}
