//! Gemini: `GenerateContentResponse`, and `google.rpc.Status` with its details.
//!
//! Sources: ai.google.dev (API reference "generateContent", "Troubleshooting"), googleapis `google/rpc/error_details.proto`,
//! and users' reports of real bodies.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{Answer, Raw, Refusal};
use crate::{Dimension, clean_message, parse};

/// Day quotas end at midnight Pacific time (ai.google.dev, "Rate limits"). The rule is written out so that no time
/// zone database is read.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// Finish reasons that mean: all that the model wrote, up to its own end or the token limit, is there.
const FINISHED: [&str; 4] = ["", "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS"];

/// Finish reasons that mean: the provider will not give an answer to this prompt.
const WITHHELD: [&str; 7] =
    ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"];

pub(super) fn answer(raw: &Raw<'_>) -> Result<Answer, Refusal> {
    let json = raw.json_or_cut()?;
    if let Some(reason) = json["promptFeedback"]["blockReason"].as_str() {
        let detail = clean_message(&format!("HTTP {}: the prompt was blocked ({reason})", raw.status));
        return Err(Refusal::RequestRefused { detail });
    }
    let candidate = &json["candidates"][0];
    let finish = candidate["finishReason"].as_str().unwrap_or_default();
    if WITHHELD.contains(&finish) {
        let detail = clean_message(&format!("HTTP {}: the reply was withheld ({finish})", raw.status));
        return Err(Refusal::RequestRefused { detail });
    }
    if !FINISHED.contains(&finish) {
        // `OTHER`, `MALFORMED_FUNCTION_CALL`: what there is of the text is a part.
        return Err(raw.not_an_answer(&format!("a reply that broke off ({finish})")));
    }
    let parts = candidate["content"]["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let spoken = parts.iter().filter(|part| part["thought"].as_bool() != Some(true));
    let text: String = spoken.filter_map(|part| part["text"].as_str()).collect();
    let truncated = finish == "MAX_TOKENS";
    if text.is_empty() && !truncated && finish != "STOP" {
        return Err(raw.not_an_answer("a reply without text"));
    }
    let usage = |field: &str| parse::count(&json["usageMetadata"][field]).unwrap_or(0);
    Ok(Answer {
        text,
        tokens_in: usage("promptTokenCount"),
        // Thoughts are billed as output and counted beside the candidates.
        tokens_out: usage("candidatesTokenCount").saturating_add(usage("thoughtsTokenCount")),
        truncated,
        hints: Vec::new(),
    })
}

pub(super) fn refusal(raw: &Raw<'_>) -> Refusal {
    let details = raw.error()["details"].as_array().map_or(&[][..], Vec::as_slice);
    let message = raw.message();
    let has_reason = |reason| of_type(details, "ErrorInfo").any(|info| info["reason"] == reason);
    let detail = raw.detail();

    if has_reason("API_KEY_INVALID")
        || message.contains("API key not valid")
        || message.contains("API key expired")
    {
        return Refusal::KeyRefused { detail };
    }
    let told = of_type(details, "RetryInfo").filter_map(|info| parse::proto_duration(&info["retryDelay"]));
    let retry_after = told.chain(raw.retry_after()).max();
    if has_reason("MODEL_CAPACITY_EXHAUSTED") || raw.error_word("status") == "UNAVAILABLE" {
        return Refusal::Overloaded { retry_after, detail };
    }
    if has_reason("BILLING_DISABLED")
        || (raw.error_word("status") == "FAILED_PRECONDITION"
            && message.to_ascii_lowercase().contains("billing"))
    {
        return Refusal::Billing { detail };
    }
    if raw.status == 429 || raw.error_word("status") == "RESOURCE_EXHAUSTED" {
        return limited(raw, details, retry_after);
    }
    match raw.by_status() {
        Refusal::Overloaded { detail, .. } => Refusal::Overloaded { retry_after, detail },
        other => other,
    }
}

fn of_type<'a>(details: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    details.iter().filter(move |detail| {
        detail["@type"].as_str().and_then(|kind| kind.rsplit('.').next()).is_some_and(|last| last == name)
    })
}

/// One quota that was exceeded.
#[derive(Clone, Copy)]
struct Violation {
    dimension: Option<Dimension>,
    limit: Option<u64>,
}

impl Violation {
    fn read(violation: &Value) -> Violation {
        let id =
            violation["quotaId"].as_str().or_else(|| violation["quotaMetric"].as_str()).unwrap_or_default();
        let is_tokens = id.contains("Token") || id.contains("token");
        let limit = parse::count(&violation["quotaValue"]);
        if id.contains("PerDay") {
            // A day's tokens block as long as a day's requests, but their number is no number of requests.
            return Violation {
                dimension: Some(Dimension::RequestsPerDay),
                limit: limit.filter(|n| !is_tokens || *n == 0),
            };
        }
        let dimension = match (id.contains("PerMinute"), is_tokens) {
            (false, _) => None,
            (true, true) => Some(Dimension::TokensPerMinute),
            (true, false) => Some(Dimension::RequestsPerMinute),
        };
        Violation { dimension, limit }
    }

    /// Higher is stricter: a day outlasts a minute; of two minutes the smaller limit is the harder to live with.
    fn strictness(&self) -> (u8, std::cmp::Reverse<u64>) {
        let span = match self.dimension {
            Some(Dimension::RequestsPerDay) => 2,
            Some(_) => 1,
            None => 0,
        };
        (span, std::cmp::Reverse(self.limit.unwrap_or(u64::MAX)))
    }
}

fn limited(raw: &Raw<'_>, details: &[Value], told: Option<Duration>) -> Refusal {
    let detail = raw.detail();
    let violations: Vec<Violation> = of_type(details, "QuotaFailure")
        .flat_map(|failure| failure["violations"].as_array().map_or(&[][..], Vec::as_slice))
        .map(Violation::read)
        .collect();
    let has_no_quota = violations.iter().any(|violation| violation.limit == Some(0))
        || parse::counts_after(raw.message(), "limit:").any(|limit| limit == 0);
    if has_no_quota {
        // No waiting helps: the project has no quota for this model. A limit of zero tells the pool so.
        let dimension = violations.iter().find(|v| v.limit == Some(0)).and_then(|v| v.dimension);
        return Refusal::Limited {
            dimension,
            retry_after: None,
            limit: Some(0),
            slow_down: false,
            hints: Vec::new(),
            detail,
        };
    }
    let strictest = violations.into_iter().max_by_key(Violation::strictness);
    let dimension = strictest.and_then(|violation| violation.dimension);
    let retry_after = if dimension == Some(Dimension::RequestsPerDay) {
        // The delay told with a day quota is often that of a minute; midnight is the time that is sure to be enough.
        told.into_iter().chain(until_pacific_midnight(raw.now_unix)).max()
    } else {
        told
    };
    Refusal::Limited {
        dimension,
        retry_after,
        limit: strictest.and_then(|violation| violation.limit),
        slow_down: false,
        hints: Vec::new(),
        detail,
    }
}

/// The time until the next midnight in California; `None` outside the calendar.
fn until_pacific_midnight(now_unix: Duration) -> Option<Duration> {
    let zone = TimeZone::posix(PACIFIC).ok()?;
    let now = Timestamp::from_second(i64::try_from(now_unix.as_secs()).ok()?).ok()?;
    let midnight = now.to_zoned(zone).tomorrow().ok()?.start_of_day().ok()?.timestamp();
    let midnight = Duration::try_from(midnight.as_duration()).ok()?;
    Some(midnight.saturating_sub(now_unix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_in_california_follows_daylight_saving() {
        for (now, hours) in [
            // 2026-07-01T00:00Z is 17:00 PDT of the day before.
            ("2026-07-01T00:00:00Z", 7),
            // 2026-12-01T00:00Z is 16:00 PST.
            ("2026-12-01T00:00:00Z", 8),
            // Clocks go back on 2026-11-01: that day has 25 hours.
            ("2026-11-01T07:00:00Z", 25),
        ] {
            let now = Duration::try_from(now.parse::<Timestamp>().unwrap().as_duration()).unwrap();
            assert_eq!(until_pacific_midnight(now), Some(Duration::from_secs(hours * 3_600)));
        }
        assert_eq!(until_pacific_midnight(Duration::MAX), None);
    }
}
