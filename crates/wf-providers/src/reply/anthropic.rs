//! Anthropic: messages, errors by type, and the `anthropic-ratelimit-*` headers.
//!
//! Sources: platform.claude.com ("Messages", "Errors", "Rate limits") and the sources of the `anthropic` SDK for Python.

use super::{Answer, Raw, Refusal, tightest};
use crate::{Dimension, QuotaHint, clean_message, parse};

pub(super) fn answer(raw: &Raw<'_>) -> Result<Answer, Refusal> {
    let json = raw.json_or_cut()?;
    let stop = json["stop_reason"].as_str().unwrap_or_default();
    let blocks = json["content"].as_array().map_or(&[][..], Vec::as_slice);
    let spoken = blocks.iter().filter(|block| block["type"] == "text");
    let text: String = spoken.filter_map(|block| block["text"].as_str()).collect();
    let truncated = matches!(stop, "max_tokens" | "model_context_window_exceeded");
    // What was written before is no answer either: the documentation says to throw it away.
    if stop == "refusal" {
        let detail = clean_message(&format!("HTTP {}: the model declined to answer", raw.status));
        return Err(Refusal::RequestRefused { detail });
    }
    if text.is_empty() && !truncated && stop != "end_turn" {
        return Err(raw.not_an_answer("a reply without text"));
    }
    let usage = |field: &str| parse::count(&json["usage"][field]).unwrap_or(0);
    Ok(Answer {
        text,
        // Cached input is reported beside the rest, not within it.
        tokens_in: usage("input_tokens")
            .saturating_add(usage("cache_creation_input_tokens"))
            .saturating_add(usage("cache_read_input_tokens")),
        tokens_out: usage("output_tokens"),
        truncated,
        hints: hints(raw),
    })
}

/// One hint per dimension. `tokens` is documented as the most restrictive of the token limits in effect and wins where
/// it is present; else the tighter of input and output.
fn hints(raw: &Raw<'_>) -> Vec<QuotaHint> {
    let requests = hint(raw, "requests", Dimension::RequestsPerMinute);
    let tokens = hint(raw, "tokens", Dimension::TokensPerMinute).or_else(|| {
        let parts = ["input-tokens", "output-tokens"];
        tightest(parts.into_iter().filter_map(|part| hint(raw, part, Dimension::TokensPerMinute)))
    });
    requests.into_iter().chain(tokens).collect()
}

fn hint(raw: &Raw<'_>, what: &str, dimension: Dimension) -> Option<QuotaHint> {
    let field = |part: &str| raw.header(&format!("anthropic-ratelimit-{what}-{part}"));
    let limit = field("limit").and_then(parse::count_text);
    let remaining = field("remaining").and_then(parse::count_text);
    let reset = field("reset").and_then(|text| parse::until_rfc3339(text, raw.now_unix));
    (limit.is_some() || remaining.is_some()).then_some(QuotaHint { dimension, limit, remaining, reset })
}

pub(super) fn refusal(raw: &Raw<'_>) -> Refusal {
    let detail = raw.detail();
    let message = raw.message().to_ascii_lowercase();
    if message.contains("credit balance is too low") {
        return Refusal::Billing { detail };
    }
    match raw.error_word("type") {
        "rate_limit_error" => limited(raw, detail),
        "overloaded_error" => Refusal::Overloaded { retry_after: raw.retry_after(), detail },
        "authentication_error" | "permission_error" => Refusal::KeyRefused { detail },
        "billing_error" => Refusal::Billing { detail },
        "api_error" | "timeout_error" => match raw.status {
            503 | 529 => raw.by_status(),
            _ => Refusal::Transient { detail },
        },
        "invalid_request_error" | "not_found_error" | "request_too_large" => match raw.status {
            // Inside a stream the status is 200 and the type alone speaks.
            200..=499 => Refusal::RequestRefused { detail },
            _ => raw.by_status(),
        },
        _ if raw.status == 429 => limited(raw, detail),
        _ => raw.by_status(),
    }
}

fn limited(raw: &Raw<'_>, detail: String) -> Refusal {
    let hints = hints(raw);
    let message = raw.message().to_ascii_lowercase();
    let by_words = if message.contains("requests per minute") {
        Some((Dimension::RequestsPerMinute, parse::count_before(&message, " requests per minute")))
    } else if message.contains("tokens per minute") {
        let limit = [" input tokens per minute", " output tokens per minute", " tokens per minute"]
            .into_iter()
            .find_map(|trail| parse::count_before(&message, trail));
        Some((Dimension::TokensPerMinute, limit))
    } else if message.contains("per day") || message.contains("daily") {
        Some((Dimension::RequestsPerDay, None))
    } else {
        None
    };
    let spent = tightest(hints.iter().copied().filter(|hint| hint.remaining == Some(0)));
    let dimension = by_words.map(|(dimension, _)| dimension).or(spent.map(|hint| hint.dimension));
    let of_it = hints.iter().find(|hint| Some(hint.dimension) == dimension);
    let limit = by_words.and_then(|(_, limit)| limit).or(of_it.and_then(|hint| hint.limit));
    // `reset` is when the bucket is full; the next request fits earlier, and how many tokens it needs is not known.
    let next_request = of_it
        .filter(|hint| hint.dimension == Dimension::RequestsPerMinute)
        .and_then(|hint| hint.fits_after(1));
    let retry_after =
        raw.retry_after().into_iter().chain(next_request).max().or(of_it.and_then(|hint| hint.reset));
    Refusal::Limited { dimension, retry_after, limit, slow_down: false, hints, detail }
}
