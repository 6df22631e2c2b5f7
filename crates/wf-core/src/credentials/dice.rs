//! The jitter's own source of numbers: deterministic, so that a run can be replayed from its seed.

use std::time::Duration;

/// A splitmix64 sequence (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a counter
/// and three mixing steps. Jitter needs spread, not secrecy.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration in `[low, high)`; `low` when there is nothing between. Both must be below a century.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.fraction())
    }

    /// `wait` and up to a tenth of it more: those who wait for the same moment must not come back in the same one,
    /// and none may come back before it.
    pub(super) fn stretched(&mut self, wait: Duration) -> Duration {
        wait + wait.mul_f64(self.fraction() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut dice = Dice::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| dice.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_stretched_wait_is_never_shorter_and_at_most_a_tenth_longer() {
        let mut dice = Dice::new(7);
        let wait = Duration::from_secs(56);
        let drawn: Vec<Duration> = (0..1000).map(|_| dice.stretched(wait)).collect();
        assert!(drawn.iter().all(|d| *d >= wait && *d <= wait.mul_f64(1.1)));
        assert!(
            drawn.iter().any(|d| *d > wait.mul_f64(1.09)) && drawn.iter().any(|d| *d < wait.mul_f64(1.01))
        );
    }

    #[test]
    fn between_stays_between() {
        let mut dice = Dice::new(7);
        let (low, high) = (Duration::from_millis(500), Duration::from_secs(20));
        assert!((0..1000).map(|_| dice.between(low, high)).all(|d| d >= low && d < high));
        assert_eq!(dice.between(high, low), high);
    }
}
