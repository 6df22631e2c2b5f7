//! Waits between tries, bounded in number and length.

use std::time::Duration;

/// Waits that double from `first` up to `longest`, with a jitter that spreads items which failed together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure, before jitter.
    pub first: Duration,
    /// No wait is longer than this.
    pub longest: Duration,
}

impl Backoff {
    /// Between attempts of a failed item.
    pub const ITEM: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
    /// Between tries to start a process while the machine is short of processes, descriptors or memory.
    pub const SHORTAGE: Backoff =
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };

    /// Between tries of a command that says that now is not the time.
    pub const NOT_NOW: Backoff =
        Backoff { first: Duration::from_secs(30), longest: Duration::from_secs(15 * 60) };

    /// The wait after failure number `failures` (from 1): half of it fixed, half of it drawn from `seed`.
    pub fn wait(&self, failures: u32, seed: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.longest);
        let half = doubled / 2;
        // 1024 steps are fine enough to spread a batch, and keep the arithmetic in integers.
        half + half.mul_f64((mix(seed, u64::from(failures)) % 1024) as f64 / 1024.0)
    }
}

/// Draws a number from two others (splitmix64's finaliser: <https://prng.di.unimi.it/splitmix64.c>, public domain).
pub(crate) fn mix(seed: u64, stream: u64) -> u64 {
    let mut z =
        seed.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_their_bounds() {
        for seed in 0..50 {
            for failures in 1..40 {
                let wait = Backoff::ITEM.wait(failures, seed);
                let full =
                    Duration::from_secs(1 << failures.saturating_sub(1).min(10)).min(Duration::from_secs(60));
                assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?} of {full:?}");
            }
        }
    }
}
