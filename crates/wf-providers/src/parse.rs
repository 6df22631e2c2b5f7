//! Numbers, durations and dates as providers write them. Every function takes hostile text and answers `None` for
//! what it cannot use.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value;

/// The longest wait that is believed. A hint beyond it is nonsense or malice, and counts as this long.
pub const LONGEST_HINT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The largest count that is believed: above it a float has no exact integers, and no quota is that large.
const LARGEST_COUNT: f64 = 9_007_199_254_740_992.0;

/// How much of a message is searched for a wait.
const SEARCHED_BYTES: usize = 4 * 1024;

/// Seconds as a bounded duration; `None` for negative and non-finite values.
pub fn seconds(value: f64) -> Option<Duration> {
    if value.is_nan() || value < 0.0 || value.is_infinite() {
        return None;
    }
    Some(Duration::try_from_secs_f64(value).map_or(LONGEST_HINT, |d| d.min(LONGEST_HINT)))
}

/// A count in a text: digits with optional thousands separators, or a float. Negative ones stand for "unknown".
pub fn count_text(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.len() > 32 {
        return None;
    }
    let plain: String = text.chars().filter(|c| !matches!(c, ',' | '_')).collect();
    let value: f64 = plain.parse().ok()?;
    (value.is_finite() && (0.0..=LARGEST_COUNT).contains(&value)).then_some(value as u64)
}

/// A count in JSON: a number, or a number in a string as protocol buffers write 64-bit integers.
pub fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => match n.as_u64() {
            Some(n) => (n as f64 <= LARGEST_COUNT).then_some(n),
            None => n.as_f64().filter(|v| (0.0..=LARGEST_COUNT).contains(v)).map(|v| v as u64),
        },
        Value::String(text) => count_text(text),
        _ => None,
    }
}

/// The duration a text begins with, in Go's notation (`6m0s`, `12ms`, `0.539477544s`) or in words (`20 seconds`).
///
/// Returns the rest of the text too, so that a caller can insist on there being none.
fn leading_duration(text: &str) -> Option<(Duration, &str)> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_from = after.strip_prefix(' ').unwrap_or(after);
        let letters = unit_from.find(|c: char| !c.is_alphabetic()).unwrap_or(unit_from.len());
        let (unit, after) = unit_from.split_at(letters);
        let part = number.parse::<f64>().ok().zip(unit_seconds(unit)).and_then(|(n, u)| seconds(n * u));
        let Some(part) = part else {
            return (parts > 0).then_some((total.min(LONGEST_HINT), rest));
        };
        total = total.saturating_add(part);
        parts += 1;
        rest = after;
        // `1h30m15s` and, in words, `1 hour 30 minutes`; more parts than units exist are no duration.
        if parts > 8 {
            return None;
        }
        if let Some(next) = rest.strip_prefix(' ')
            && next.starts_with(|c: char| c.is_ascii_digit())
        {
            rest = next;
        }
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// A text that is a duration and nothing else. A bare number is seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(bare) = text.parse::<f64>() {
        return seconds(bare);
    }
    leading_duration(text).and_then(|(d, rest)| rest.is_empty().then_some(d))
}

/// A wait that is a duration, in seconds where it is a bare number, or a number so large that it is an instant near now: the
/// seconds or milliseconds since 1970 that some servers send where a wait belongs.
pub fn wait_or_instant(text: &str, now_unix: Duration) -> Option<Duration> {
    let Ok(number) = text.trim().parse::<f64>() else { return duration(text) };
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let instant = match number {
        1e11.. => number / 1e3,
        1e9.. => number,
        _ => return seconds(number),
    };
    seconds((instant - now_unix.as_secs_f64()).max(0.0))
}

/// The time until the date that a message names as the end of a refusal: "You will regain access on 2031-01-01 at 00:00 UTC".
pub fn prose_date(message: &str, now_unix: Duration) -> Option<Duration> {
    let message = cut(message, SEARCHED_BYTES);
    let rest = &message[message.to_ascii_lowercase().find("access on ")? + "access on ".len()..];
    let date = rest.get(..10)?;
    let time =
        rest.get(10..)?.trim_start().strip_prefix("at ").and_then(|rest| rest.get(..5)).unwrap_or("00:00");
    until_rfc3339(&format!("{date}T{time}:00Z"), now_unix)
}

/// A `google.protobuf.Duration`: the text of its JSON mapping, or its fields.
pub fn proto_duration(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => duration(text),
        Value::Object(fields) => {
            let whole = fields.get("seconds").map_or(Some(0), count)?;
            let nanos = fields.get("nanos").map_or(Some(0), count)?;
            seconds(whole as f64 + nanos as f64 / 1e9)
        }
        _ => None,
    }
}

/// The longest wait that a message asks for in prose: "Please retry in 56.18s", "Please try again in 6m0s".
pub fn prose_wait(message: &str) -> Option<Duration> {
    let message = cut(message, SEARCHED_BYTES).to_ascii_lowercase();
    [
        "retry in ",
        "try again in ",
        "retry after ",
        "try again after ",
        "please wait ",
        "wait for ",
        "reset after ",
        "resets in ",
        "reset in ",
    ]
    .into_iter()
    .flat_map(|lead| {
        message.match_indices(lead).map(|(at, _)| &message[at + lead.len()..]).collect::<Vec<_>>()
    })
    .filter_map(|rest| leading_duration(rest).map(|(d, _)| d))
    .max()
}

/// The first count that stands right after `lead` in a message, read without regard to case: `limit 30,000`.
pub fn count_after(message: &str, lead: &str) -> Option<u64> {
    counts_after(message, lead).next()
}

/// Every count that stands right after `lead`, read likewise.
pub fn counts_after(message: &str, lead: &str) -> impl Iterator<Item = u64> {
    let message = cut(message, SEARCHED_BYTES).to_ascii_lowercase();
    let starts: Vec<usize> = message.match_indices(lead).map(|(at, _)| at + lead.len()).collect();
    starts.into_iter().filter_map(move |start| {
        let rest = message[start..].trim_start_matches([' ', ':']);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
        count_text(rest[..end].trim_end_matches(','))
    })
}

/// The count right before `trail` in a message: `50 requests per minute`.
pub fn count_before(message: &str, trail: &str) -> Option<u64> {
    let message = cut(message, SEARCHED_BYTES).to_ascii_lowercase();
    let head = message[..message.find(trail)?].trim_end();
    let start = head.rfind(|c: char| !c.is_ascii_digit() && c != ',').map_or(0, |at| {
        // The character found may be wider than a byte.
        at + head[at..].chars().next().map_or(1, char::len_utf8)
    });
    count_text(&head[start..])
}

/// The time from `now_unix` to an RFC 3339 instant; zero when it is over.
pub fn until_rfc3339(text: &str, now_unix: Duration) -> Option<Duration> {
    until(text.trim().parse().ok()?, now_unix)
}

/// The time from `now_unix` to an HTTP date; zero when it is over.
pub fn until_http_date(text: &str, now_unix: Duration) -> Option<Duration> {
    until(rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?, now_unix)
}

fn until(then: Timestamp, now_unix: Duration) -> Option<Duration> {
    let then = Duration::try_from(then.as_duration()).ok()?;
    Some(then.saturating_sub(now_unix).min(LONGEST_HINT))
}

/// The beginning of a text, cut at a character.
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn durations_in_every_notation_seen_on_the_wire() {
        for (text, ms) in [
            ("56s", Some(56_000)),
            ("0.539477544s", Some(539)),
            ("900ms", Some(900)),
            ("12ms", Some(12)),
            ("6m0s", Some(360_000)),
            ("1h30m", Some(5_400_000)),
            ("2m59.56s", Some(179_560)),
            ("7", Some(7_000)),
            ("1.5", Some(1_500)),
            ("20 seconds", Some(20_000)),
            ("1 hour 30 minutes", Some(5_400_000)),
            ("", None),
            ("s", None),
            ("soon", None),
            ("-3s", None),
            ("-3", None),
            ("NaN", None),
            ("inf", None),
            ("1e309", None),
            ("1e309s", None),
            ("5s later", None),
            ("1.2.3s", None),
            ("1m2m3m4m5m6m7m8m9m", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), ms, "{text}");
        }
        assert_eq!(duration("99999999999999999999s"), Some(LONGEST_HINT));
        assert_eq!(proto_duration(&json!({"seconds": "3", "nanos": 500_000_000})), seconds(3.5));
        assert_eq!(proto_duration(&json!({"seconds": -3})), None);
    }

    #[test]
    fn waits_are_found_in_prose() {
        for (message, ms) in [
            ("You exceeded your quota. Please retry in 56.18s.", Some(56_180)),
            ("Please retry in 539.477544ms.", Some(539)),
            ("Rate limit reached. Please try again in 6m0s. Visit …", Some(360_000)),
            ("try again in 20 seconds, or TRY AGAIN IN 1m", Some(60_000)),
            ("Please wait 57324 seconds", Some(57_324_000)),
            ("Your quota will reset after 5h59m59s.", Some(21_599_000)),
            ("please try again later", None),
            ("retry in a moment", None),
        ] {
            assert_eq!(prose_wait(message).map(|d| d.as_millis()), ms, "{message}");
        }
    }

    #[test]
    fn instants_in_the_place_of_waits_are_told_from_waits() {
        let now = Duration::from_secs(1_792_000_000);
        for (text, wait) in [
            ("30", Some(30)),
            ("57324", Some(57_324)),
            ("1792000030", Some(30)),
            ("1792000030000", Some(30)),
            ("1700000000", Some(0)),
            ("6m0s", Some(360)),
            ("-1", None),
            ("1e400", None),
        ] {
            assert_eq!(wait_or_instant(text, now), wait.map(Duration::from_secs), "{text}");
        }
        let date = prose_date("You will regain access on 2026-10-14 at 17:47 UTC.", now);
        assert_eq!(date, Some(Duration::from_secs(20)));
        assert_eq!(prose_date("access on é€€€€€€€€€", now), None);
    }

    #[test]
    fn counts_are_found_beside_their_words() {
        assert_eq!(count_after("Rate limit reached (TPM): Limit 30,000, Used 29000", "limit "), Some(30_000));
        assert_eq!(count_after("limit: 0, model: x", "limit:"), Some(0));
        assert_eq!(count_after("no such word", "limit "), None);
        assert_eq!(
            count_before("rate limit of 40,000 input tokens per minute", " input tokens per minute"),
            Some(40_000)
        );
        assert_eq!(count_before("das Limit ist ü5 requests per minute", " requests per minute"), Some(5));
        for hostile in
            [json!(-1), json!(f64::MAX), json!("-1"), json!("1e309"), json!("NaN"), json!(null), json!([1])]
        {
            assert_eq!(count(&hostile), None, "{hostile}");
        }
        assert_eq!(count(&json!("15")), Some(15));
        assert_eq!(count(&json!(15.0)), Some(15));
    }

    #[test]
    fn instants_are_distances_from_now() {
        let now = Duration::from_secs(1_792_000_000);
        assert_eq!(until_rfc3339("2026-10-14T17:47:40Z", now), Some(Duration::from_secs(60)));
        assert_eq!(until_rfc3339("2020-01-01T00:00:00Z", now), Some(Duration::ZERO));
        assert_eq!(until_rfc3339("tomorrow", now), None);
        assert_eq!(until_http_date("Wed, 14 Oct 2026 17:47:40 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(until_http_date("9999", now), None);
        assert_eq!(until_rfc3339("9999-01-01T00:00:00Z", now), Some(LONGEST_HINT));
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in any::<String>(), near in "(retry in |limit |-)?[0-9.,e]{0,40}[a-z ]{0,9}[0-9µü]{0,5}") {
            for text in [&text, &near] {
                for found in [duration(text), prose_wait(text)].into_iter().flatten() {
                    prop_assert!(found <= LONGEST_HINT);
                }
                let _ = (count_after(text, "limit "), count_before(text, " requests"), count_text(text));
                let _ = (until_rfc3339(text, Duration::MAX), until_http_date(text, Duration::ZERO));
            }
        }
    }
}
