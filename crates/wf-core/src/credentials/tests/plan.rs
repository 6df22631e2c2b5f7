//! What a simulated world is made of: groups as they are and as they are told, workers, and faults.

use super::*;

/// What the coordinator is told of a group's limit of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The truth.
    Truth,
    /// Half as much again.
    TooMuch,
    /// Nothing.
    Nothing,
}

/// A quota group as it really is.
#[derive(Clone, Debug)]
pub(super) struct GroupPlan {
    pub(super) keys: u8,
    pub(super) max_in_flight: Option<u32>,
    /// Requests per minute for each model; `None` is a provider without limits.
    pub(super) rpm: Option<u64>,
    pub(super) told: Told,
    /// Tokens per minute, always told truly.
    pub(super) tpm: Option<u64>,
    /// Requests of the provider's day for each model, always told truly.
    pub(super) rpd: Option<u64>,
    /// Whether a 429 says how long to wait.
    pub(super) hints: bool,
    /// Whether refused calls count towards the limit.
    pub(super) counts_refused: bool,
}

/// What goes wrong, per thousand calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) transient: u64,
    pub(super) bad_request: u64,
    /// The worker dies with its lease.
    pub(super) crash: u64,
    /// The worker never returns its lease.
    pub(super) hang: u64,
    /// A lease is returned twice, and once by somebody else.
    pub(super) duplicate: u64,
    /// A 429 out of the blue.
    pub(super) storm: u64,
    /// Keys that are refused from the beginning, counted from the first.
    pub(super) revoked_keys: usize,
    /// Whether the provider is overloaded between the first and the second minute.
    pub(super) overload: bool,
    /// From when on the first group cannot pay, in seconds.
    pub(super) unpaid_after: Option<u64>,
    /// When the supervisor is killed and started again.
    pub(super) restart_after: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) groups: Vec<GroupPlan>,
    pub(super) workers: u32,
    pub(super) calls: u64,
    pub(super) models: u64,
    pub(super) faults: Faults,
}

/// The provider's midnights: the first one an hour after the beginning, and one of its days has 25 hours.
pub(super) fn midnights() -> impl Iterator<Item = Time> {
    [1, 25, 50, 74, 98].into_iter().map(|hours| Time::ZERO + secs(3600 * hours))
}

/// What the coordinator is told of it all.
pub(super) fn spec(plan: &Scenario) -> PoolSpec {
    let mut spec = PoolSpec::default();
    for (g, group) in plan.groups.iter().enumerate() {
        let name = format!("g{g}");
        for k in 0..group.keys {
            spec.keys.push(key(&format!("g{g}k{k}"), Some(&name), group.max_in_flight));
        }
        let rpm = group.rpm.and_then(|rpm| match group.told {
            Told::Truth => Some(rpm),
            Told::TooMuch => Some(rpm + rpm / 2 + 1),
            Told::Nothing => None,
        });
        let told = QuotaLimits { rpm, tpm: group.tpm, rpd: group.rpd };
        spec.midnights.entry("gemini".into()).or_insert_with(|| midnights().collect());
        spec.limits.entry(name).or_default().insert(None, told);
    }
    spec
}

impl Faults {
    /// Nothing puts a call aside.
    pub(super) fn is_without_retries(&self) -> bool {
        let is_quiet = self.transient == 0 && self.hang == 0 && self.crash == 0;
        is_quiet && self.revoked_keys == 0 && self.unpaid_after.is_none()
    }
}
