//! Weather by name: the profiles of `--mock-profile`.

use std::time::Duration;

use crate::{Faults, Latency, Limits, MockConfig, Window};

/// Every profile with what it is like, the default first.
pub const PROFILES: [(&str, &str); 6] = [
    ("steady", "300 ms per call, generous limits, no faults"),
    ("storm", "many 429s and some 503s on top of modest limits; every call succeeds by its third attempt"),
    ("slow", "4 s per call, widely spread, and a tenth of the replies trickling in"),
    ("strict", "one call at a time per key, 15 a minute per group in fixed windows, refused calls count"),
    ("flaky", "lost connections, cut replies and 500s; every call succeeds by its third attempt"),
    ("instant", "no latency, no limits, no faults: for measuring what is around it"),
];

impl MockConfig {
    /// The profile of that name, `None` if there is none. See [`PROFILES`].
    pub fn profile(name: &str) -> Option<MockConfig> {
        let base = MockConfig::default();
        let ms = Duration::from_millis;
        Some(match name {
            "steady" => MockConfig {
                latency: Latency::fixed(ms(300)),
                limits: Limits { rpm: Some(1_000), tpm: Some(4_000_000), rpd: None },
                ..base
            },
            "storm" => MockConfig {
                latency: Latency { median: ms(200), sigma: 0.4 },
                limits: Limits { rpm: Some(120), tpm: Some(4_000_000), rpd: None },
                faults: Faults { limited: 0.35, overloaded: 0.1, per_prompt: 2, ..Faults::default() },
                ..base
            },
            "slow" => MockConfig {
                latency: Latency { median: ms(4_000), sigma: 0.5 },
                limits: Limits { rpm: Some(1_000), ..Limits::default() },
                faults: Faults { slow: 0.1, ..Faults::default() },
                ..base
            },
            "strict" => MockConfig {
                latency: Latency { median: ms(300), sigma: 0.3 },
                limits: Limits { rpm: Some(15), tpm: Some(250_000), rpd: None },
                key_concurrency: Some(1),
                window: Window::Fixed,
                count_refused: true,
                ..base
            },
            "flaky" => MockConfig {
                latency: Latency { median: ms(200), sigma: 0.4 },
                faults: Faults { failed: 0.15, cut: 0.1, dropped: 0.1, per_prompt: 2, ..Faults::default() },
                ..base
            },
            "instant" => base,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_exists_and_is_sound() {
        for (name, what) in PROFILES {
            assert_eq!(MockConfig::profile(name).expect(name).check(), Ok(()), "{name}");
            assert!(!what.is_empty());
        }
        assert!(MockConfig::profile("sunny").is_none());
    }

    #[test]
    fn the_default_profile_plans_no_failure() {
        let steady = MockConfig::profile(PROFILES[0].0).unwrap();
        assert_eq!(steady.faults, Faults::default());
        assert!(steady.plan.is_empty() && steady.revoked.is_empty());
    }
}
