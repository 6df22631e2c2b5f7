//! Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`.

use std::fmt::Write as _;
use std::time::Duration;

const DAY_MS: u64 = 24 * 3_600_000;
/// The longest duration, so that adding one to a clock can never overflow: ten years.
const MAX_MS: u64 = 3_650 * DAY_MS;
/// From the longest to the shortest, which is also the order they must be written in.
const UNITS: [(&str, u64); 5] = [("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: one or more whole numbers, each with a unit (`d`, `h`, `m`, `s`, `ms`), longest first.
///
/// Errors are clauses that fit after "NAME: ".
pub fn parse(text: &str) -> Result<Duration, String> {
    let unreadable = || format!("{text:?} is not a duration (write 500ms, 30s, 5m or 1h30m)");
    if text.is_empty() {
        return Err("a duration is missing (write 500ms, 30s, 5m or 1h30m)".to_owned());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text} has no unit: write {text}s, {text}m or {text}h"));
    }
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut allowed = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let at = allowed.iter().position(|(name, _)| *name == unit).ok_or_else(unreadable)?;
        let too_long = || format!("{text} is longer than ten years");
        if number.is_empty() {
            return Err(unreadable());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        total_ms = number
            .checked_mul(allowed[at].1)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or_else(too_long)?;
        allowed = &allowed[at + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a duration so that [`parse`] reads it again; what is below a millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    // Hours are not folded into days: "24h" is how the defaults are written.
    for (unit, ms) in &UNITS[1..] {
        if left >= *ms {
            let _infallible = write!(text, "{}{unit}", left / ms);
            left %= ms;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1h0m1s1ms", 3_601_001),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, part) in [
            ("", "missing"),
            ("30", "30 has no unit: write 30s"),
            ("s", "not a duration"),
            ("-5s", "not a duration"),
            ("1.5h", "not a duration"),
            ("5 m", "not a duration"),
            ("30m1h", "not a duration"),
            ("1m1m", "not a duration"),
            ("5min", "not a duration"),
            ("5M", "not a duration"),
            ("١s", "not a duration"),
            ("99999999999999999999h", "longer than ten years"),
            ("9999999999h", "longer than ten years"),
            ("3651d", "longer than ten years"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_again(ms in 0..=MAX_MS) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn total(text in ".*") {
            let _ = parse(&text);
        }
    }
}
