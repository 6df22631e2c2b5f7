//! What a reply says of the quota behind it.

use std::time::Duration;

/// Which of a group's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day. Stands for every quota of a day: what matters of it is that it is long.
    RequestsPerDay,
}

/// What a reply's headers say of a bucket. Fields the provider left out, or sent as a value that stands for "unknown",
/// are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaHint {
    /// The bucket.
    pub dimension: Dimension,
    /// Its limit, in requests or tokens.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: Option<u64>,
    /// The time until it is **full** again, which is later than the time until something fits.
    pub reset: Option<Duration>,
}

impl QuotaHint {
    /// The time until `units` more fit, for a bucket that fills evenly: `reset · missing / (limit − remaining)`.
    ///
    /// `None` where the hint does not say enough, or where `units` never fit because they are over the limit.
    pub fn fits_after(&self, units: u64) -> Option<Duration> {
        let remaining = self.remaining?;
        let missing = units.saturating_sub(remaining);
        if missing == 0 {
            return Some(Duration::ZERO);
        }
        let used = self.limit?.checked_sub(remaining)?;
        if missing > used {
            return None;
        }
        // `missing <= used`, so the factor is at most 1 and the product stays within the bound of `reset`.
        Some(self.reset?.mul_f64(missing as f64 / used as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(limit: u64, remaining: u64, reset_ms: u64) -> QuotaHint {
        QuotaHint {
            dimension: Dimension::RequestsPerMinute,
            limit: Some(limit),
            remaining: Some(remaining),
            reset: Some(Duration::from_millis(reset_ms)),
        }
    }

    #[test]
    fn the_time_until_units_fit_is_a_share_of_the_time_until_full() {
        for (hint, units, ms) in [
            (hint(60, 0, 60_000), 1, Some(1_000)),
            (hint(60, 0, 60_000), 60, Some(60_000)),
            (hint(60, 59, 1_000), 1, Some(0)),
            (hint(60, 59, 1_000), 60, Some(1_000)),
            (hint(60, 59, 1_000), 61, None),
            (hint(100, 40, 36_000), 50, Some(6_000)),
            (hint(10, 20, 1_000), 30, None),
        ] {
            assert_eq!(hint.fits_after(units), ms.map(Duration::from_millis), "{hint:?} for {units}");
        }
        assert_eq!(QuotaHint { limit: None, ..hint(1, 0, 1) }.fits_after(1), None);
    }
}
