//! When providers' days end: the wall clock and the time zones of the world, put into the run's own time once, at the start.
//!
//! Nothing asks the wall clock again while the run goes on, so a jump of it changes nothing. A run that passes midnight,
//! or a change to or from summer time, has the dates it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use wf_core::Time;
use wf_providers::Dialect;

use crate::config::ProviderSettings;

/// Midnights that are told ahead, more than any run lasts; afterwards the core counts days of 24 hours.
const DAYS: i64 = 60;

/// Where the Gemini API's day ends: <https://ai.google.dev/gemini-api/docs/rate-limits> (requests per day are reset at
/// midnight Pacific time).
const PACIFIC: &str = "America/Los_Angeles";
/// The same as a rule, for machines without a time zone database (POSIX, the law of 2007).
const PACIFIC_RULE: &str = "PST8PDT,M3.2.0,M11.1.0";

/// The midnights of each provider that has one, for a run whose clock was at zero at `origin`. Only Gemini is known to have
/// one. The days of the others are rolling or not documented: there a refusal's own hint counts.
pub fn midnights(
    providers: &BTreeMap<String, ProviderSettings>,
    origin: Timestamp,
) -> BTreeMap<String, Vec<Time>> {
    let with_midnight = providers.values().filter(|provider| provider.kind == Dialect::Gemini);
    with_midnight.map(|provider| (provider.name.clone(), of_zone(&pacific(), origin))).collect()
}

fn pacific() -> TimeZone {
    TimeZone::get(PACIFIC).or_else(|_| TimeZone::posix(PACIFIC_RULE)).unwrap_or(TimeZone::UTC)
}

fn of_zone(zone: &TimeZone, origin: Timestamp) -> Vec<Time> {
    let today = origin.to_zoned(zone.clone());
    let midnight = |days: i64| today.checked_add(days.days()).and_then(|day| day.start_of_day()).ok();
    let since = |at: Zoned| Duration::try_from(at.timestamp().duration_since(origin)).ok();
    (1..=DAYS).map_while(midnight).filter_map(since).map(Time::from_start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &TimeZone, origin: &str) -> Vec<u64> {
        let all = of_zone(zone, origin.parse().unwrap());
        assert_eq!(all.len(), DAYS as usize);
        all.into_iter().map(|at| at.since_start().as_secs() / 3600).collect()
    }

    #[test]
    fn a_day_ends_at_midnight_in_california_in_winter_and_in_summer() {
        assert_eq!(hours(&pacific(), "2026-01-15T02:00:00Z")[0], 6);
        assert_eq!(hours(&pacific(), "2026-07-15T02:00:00Z")[0], 5);
        assert_eq!(hours(&pacific(), "2026-07-15T07:00:00Z")[0], 24, "at midnight itself a new day begins");
    }

    #[test]
    fn the_days_of_the_change_have_23_and_25_hours() {
        let rule = TimeZone::posix(PACIFIC_RULE).unwrap();
        for zone in [&pacific(), &rule] {
            let days = |origin| hours(zone, origin).windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>();
            assert_eq!(days("2026-03-06T12:00:00Z")[..3], [24, 23, 24], "2026-03-08");
            assert_eq!(days("2026-10-30T12:00:00Z")[..3], [24, 25, 24], "2026-11-01");
        }
    }

    #[test]
    fn only_gemini_has_a_midnight() {
        let providers: BTreeMap<String, ProviderSettings> = Dialect::ALL
            .into_iter()
            .map(|dialect| (dialect.name().to_owned(), ProviderSettings::built_in(dialect)))
            .collect();
        let known = midnights(&providers, "2026-01-15T02:00:00Z".parse().unwrap());
        assert_eq!(known.keys().collect::<Vec<_>>(), ["gemini"]);
    }
}
