//! How points and stretches of time are written for people: a stretch in two units at most, a point with its date where
//! that is not today's.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A stretch of time in whole seconds: `25s`, `4m05s`, `24h21m`, `3d04h`.
pub fn span(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 3_600..172_800 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        s => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A stretch that is waited for: rounded up, for "in 0s" helps nobody.
pub fn wait(d: Duration) -> String {
    span(Duration::from_secs(d.as_secs() + u64::from(d.subsec_nanos() > 0)))
}

/// `08:37:44` today, `tomorrow 09:17`, else with its date: `2026-12-01 09:17`.
pub fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    if at.date() == now.date() {
        at.strftime("%H:%M:%S").to_string()
    } else if now.date().tomorrow().is_ok_and(|tomorrow| at.date() == tomorrow) {
        at.strftime("tomorrow %H:%M").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// `until 08:37:44 (in 3s)`; without the rest for a moment that has passed.
pub fn until(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let left = at.duration_since(now);
    let rest = if left > SignedDuration::ZERO {
        format!(" (in {})", wait(left.unsigned_abs()))
    } else {
        String::new()
    };
    format!("until {}{rest}", moment(at, now, zone))
}

/// From `earlier` to `later`; nothing where the wall clock was put back between them.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (245, "4m05s"),
            (3_599, "59m59s"),
            (87_696, "24h21m"),
            (172_800, "2d00h"),
            (273_600, "3d04h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(wait(Duration::from_millis(2_001)), "3s");
        assert_eq!(wait(Duration::from_millis(1)), "1s");
    }

    #[test]
    fn a_moment_has_its_date_where_that_is_not_today() {
        let now: Timestamp = "2026-11-27T08:56:00Z".parse().unwrap();
        let zone = TimeZone::UTC;
        for (at, text) in [
            ("2026-11-27T08:56:03.5Z", "until 08:56:03 (in 4s)"),
            ("2026-11-27T23:59:59Z", "until 23:59:59 (in 15h03m)"),
            ("2026-11-28T09:17:37Z", "until tomorrow 09:17 (in 24h21m)"),
            ("2026-11-29T00:00:00Z", "until 2026-11-29 00:00 (in 39h04m)"),
            ("2026-11-27T08:00:00Z", "until 08:00:00"),
            ("2026-11-26T08:00:00Z", "until 2026-11-26 08:00"),
        ] {
            assert_eq!(until(at.parse().unwrap(), now, &zone), text);
        }
        // Tomorrow is where the reader is.
        let east = TimeZone::fixed(jiff::tz::offset(14));
        assert_eq!(moment("2026-11-27T10:30:00Z".parse().unwrap(), now, &east), "tomorrow 00:30");
    }
}
