//! What a lane is about: the provider as it is, what is told of it, and what that allows at best.

use crate::bench::ground::{Key, limits};

/// How a provider keeps its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A bucket that starts full and fills evenly; every reply says what is left, every refusal how long to wait.
    Bucket,
    /// Counted anew each minute; the same hints.
    Fixed,
    /// A bucket without any hint, for which refused calls count too.
    Silent,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing: the limits are known.
    None,
    /// Limits are believed to be a quarter higher than they are.
    WrongLimits,
    /// No limits are known.
    UnknownLimits,
    /// One key is refused from the beginning.
    RevokedKey,
    /// One group's day is used up from the beginning.
    DayOver,
}

/// How much is to be done, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Workflows at once.
    pub workflows: u32,
    /// Calls of each, one after the other.
    pub calls: u32,
    /// Keys, dealt out to the groups.
    pub keys: u32,
    /// Quota groups.
    pub groups: u32,
    /// Requests per minute of each.
    pub rpm: u32,
    /// Median latency in milliseconds.
    pub latency_ms: u32,
}

/// The mock's first key and its first group, which are those that are dead where something is.
pub const FIRST_KEY: &str = "mock-a";
/// See [`FIRST_KEY`].
pub const FIRST_GROUP: &str = "mock-1";

/// Standard deviation of the logarithm of a latency.
pub const SIGMA: f64 = 0.5;

impl Provider {
    /// All of them.
    pub const ALL: [Provider; 3] = [Provider::Bucket, Provider::Fixed, Provider::Silent];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Provider::Bucket => "token bucket with hints",
            Provider::Fixed => "fixed window with hints",
            Provider::Silent => "token bucket without hints, refused calls count",
        }
    }
}

impl Trouble {
    /// All of them.
    pub const ALL: [Trouble; 5] =
        [Trouble::None, Trouble::WrongLimits, Trouble::UnknownLimits, Trouble::RevokedKey, Trouble::DayOver];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Trouble::None => "exact limits",
            Trouble::WrongLimits => "limits 25 % too high",
            Trouble::UnknownLimits => "unknown limits",
            Trouble::RevokedKey => "one key revoked",
            Trouble::DayOver => "one group's day used up",
        }
    }

    /// Whether the limits are known as they are.
    pub fn knows_limits(self) -> bool {
        !matches!(self, Trouble::WrongLimits | Trouble::UnknownLimits)
    }
}

/// A provider, a trouble, and how much is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The provider.
    pub provider: Provider,
    /// What goes wrong.
    pub trouble: Trouble,
    /// How much.
    pub size: Size,
}

impl Scenario {
    /// Calls to be answered.
    pub fn calls(&self) -> u32 {
        self.size.workflows * self.size.calls
    }

    /// Seconds that the quotas need for these calls: as many as there are, at what the usable groups allow in a minute. What a full
    /// bucket or a window just begun gives on top at the start does not count, for nobody knows what was used before.
    pub fn bound_s(&self) -> f64 {
        let groups = match self.trouble {
            Trouble::DayOver => self.size.groups - 1,
            _ => self.size.groups,
        };
        f64::from(self.calls()) * 60.0 / f64::from(groups * self.size.rpm)
    }

    /// When a peer gives up: late enough for one key per workflow to come to its end without trouble.
    pub fn give_up_s(&self) -> f64 {
        let size = self.size;
        (3.5 * f64::from(self.calls()) * 60.0 / f64::from(size.groups * size.rpm)).max(20.0)
    }

    /// What the mock is started with, but for what the profile has.
    pub fn mock_args(&self, seed: u32) -> Vec<String> {
        let size = self.size;
        let mut args = vec![
            "--profile=instant".to_owned(),
            format!("--keys={}", size.keys),
            format!("--groups={}", size.groups),
            format!("--group-rpm={}", size.rpm),
            format!("--latency={}ms", size.latency_ms),
            format!("--latency-sigma={SIGMA}"),
            format!("--seed={seed}"),
            format!("--window={}", if self.provider == Provider::Fixed { "fixed" } else { "bucket" }),
        ];
        if self.provider == Provider::Silent {
            args.extend(["--no-hints", "--count-refused"].map(str::to_owned));
        }
        match self.trouble {
            Trouble::RevokedKey => args.push(format!("--revoke={FIRST_KEY}")),
            Trouble::DayOver => args.push(format!("--exhaust-day={FIRST_GROUP}")),
            _ => {}
        }
        args
    }

    /// What `wf.toml` says beside the pool.
    pub fn settings(&self, keys: &[Key]) -> String {
        let size = self.size;
        let toml = format!("[run]\nmax_parallel = {}\n", size.workflows);
        let told = match self.trouble {
            Trouble::UnknownLimits => return toml,
            Trouble::WrongLimits => size.rpm * 5 / 4,
            _ => size.rpm,
        };
        toml + &limits(keys, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { workflows: 48, calls: 25, keys: 12, groups: 4, rpm: 60, latency_ms: 8_000 };

    #[test]
    fn the_bound_is_what_the_usable_groups_allow() {
        let bound = |trouble, calls| {
            Scenario { provider: Provider::Bucket, trouble, size: Size { calls, ..SIZE } }.bound_s()
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(bound(Trouble::None, 25), 300.0));
        assert!(close(bound(Trouble::None, 100), 1_200.0));
        assert!(close(bound(Trouble::RevokedKey, 25), 300.0), "its group has others");
        assert!(close(bound(Trouble::DayOver, 25), 400.0));
    }

    #[test]
    fn what_is_told_is_what_the_trouble_says() {
        let keys = ["b", "a", "b"].map(|group| Key {
            name: "k".to_owned(),
            secret: "s".to_owned(),
            group: group.to_owned(),
        });
        let told = |trouble| Scenario { provider: Provider::Fixed, trouble, size: SIZE }.settings(&keys);
        assert_eq!(
            told(Trouble::WrongLimits),
            "[run]\nmax_parallel = 48\n[quota.a]\nrpm = 75\n[quota.b]\nrpm = 75\n"
        );
        assert_eq!(told(Trouble::UnknownLimits), "[run]\nmax_parallel = 48\n");
        assert!(told(Trouble::DayOver).contains("rpm = 60"));
    }
}
