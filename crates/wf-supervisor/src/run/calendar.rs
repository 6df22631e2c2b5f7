//! When a provider's day ends: the core knows no calendar.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use wf_providers::Dialect;

/// The rest of the provider's day. Gemini's quotas per day begin anew at midnight Pacific time, as its documentation of
/// rate limits says; of the others no such hour is known, and UTC's midnight stands for it. `None` where the machine has
/// no such time zone, or its clock is beyond all calendars: the core then counts days from the run's beginning.
pub fn day_left(kind: Dialect, now: Timestamp) -> Option<Duration> {
    let zone = match kind {
        Dialect::Gemini => TimeZone::get("America/Los_Angeles").ok()?,
        Dialect::Anthropic | Dialect::OpenAi => TimeZone::UTC,
    };
    let here = now.to_zoned(zone);
    let midnight = here.checked_add(1.day()).ok()?.start_of_day().ok()?;
    Duration::try_from(midnight.timestamp().duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_the_providers_midnight() {
        let left = |kind, at: &str| day_left(kind, at.parse().unwrap()).unwrap().as_secs();
        assert_eq!(left(Dialect::OpenAi, "2026-11-21T23:00:00Z"), 3600);
        assert_eq!(left(Dialect::Gemini, "2026-11-21T05:14:49Z"), 2 * 3600 + 45 * 60 + 11);
        // The night of a change of the clocks is an hour longer.
        assert_eq!(left(Dialect::Gemini, "2026-11-01T07:00:00Z"), 25 * 3600);
    }
}
