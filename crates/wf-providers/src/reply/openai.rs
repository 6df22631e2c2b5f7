//! OpenAI and the servers that imitate it: chat completions, errors by code, and the `x-ratelimit-*` headers.
//!
//! Sources: platform.openai.com ("Chat", "Error codes", "Rate limits"), the sources of the `openai` SDK for Python, and
//! the documentation of Azure OpenAI, Groq, OpenRouter, vLLM, Ollama and llama.cpp.

use std::time::Duration;

use serde_json::Value;

use super::{Answer, Raw, Refusal};
use crate::{Dimension, QuotaHint, clean_message, parse};

/// A request bucket that takes longer than this to fill is a day's: OpenAI's free tier and Groq send their daily limit
/// under the name that elsewhere means a minute.
const LONGEST_MINUTE_BUCKET: Duration = Duration::from_secs(3_600);

pub(super) fn answer(raw: &Raw<'_>) -> Result<Answer, Refusal> {
    let json = raw.json_or_cut()?;
    let choice = &json["choices"][0];
    let message = &choice["message"];
    let finish = choice["finish_reason"].as_str().unwrap_or_default();
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        // Some compatible servers send a list of parts.
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    let truncated = finish == "length";
    match finish {
        // Parts of the text are missing.
        "content_filter" => {
            let detail =
                clean_message(&format!("HTTP {}: the reply was withheld (content_filter)", raw.status));
            return Err(Refusal::RequestRefused { detail });
        }
        // OpenRouter's word for a provider behind it that broke off.
        "error" => return Err(raw.not_an_answer("a reply that broke off")),
        _ => {}
    }
    if text.is_empty() {
        if let Some(words) = message["refusal"].as_str() {
            let detail = clean_message(&format!("HTTP {}: the model declined: {words}", raw.status));
            return Err(Refusal::RequestRefused { detail });
        }
        if !truncated && finish != "stop" {
            return Err(raw.not_an_answer("a reply without text"));
        }
    }
    let usage = |field: &str| parse::count(&json["usage"][field]).unwrap_or(0);
    Ok(Answer {
        text,
        tokens_in: usage("prompt_tokens"),
        tokens_out: usage("completion_tokens"),
        truncated,
        hints: hints(raw),
    })
}

fn hints(raw: &Raw<'_>) -> Vec<QuotaHint> {
    let requests = hint(raw, "requests", Dimension::RequestsPerMinute).map(|mut hint| {
        if is_daily(raw, &hint) {
            hint.dimension = Dimension::RequestsPerDay;
        }
        hint
    });
    requests.into_iter().chain(hint(raw, "tokens", Dimension::TokensPerMinute)).collect()
}

fn hint(raw: &Raw<'_>, what: &str, dimension: Dimension) -> Option<QuotaHint> {
    let field = |part: &str| raw.header(&format!("x-ratelimit-{part}-{what}"));
    // Azure sends −1 or 0 for a limit it does not tell; what is then "remaining" means nothing either.
    let limit = field("limit").and_then(parse::count_text);
    if limit == Some(0) || field("limit").is_some() && limit.is_none() {
        return None;
    }
    let remaining = field("remaining").and_then(parse::count_text);
    let reset = field("reset").and_then(parse::duration);
    (limit.is_some() || remaining.is_some()).then_some(QuotaHint { dimension, limit, remaining, reset })
}

fn is_daily(raw: &Raw<'_>, hint: &QuotaHint) -> bool {
    let (Some(limit), Some(remaining), Some(reset)) = (hint.limit, hint.remaining, hint.reset) else {
        return raw.header("x-groq-region").is_some();
    };
    match limit.checked_sub(remaining).filter(|used| *used > 0) {
        Some(used) => reset.as_secs_f64() * limit as f64 / used as f64 >= LONGEST_MINUTE_BUCKET.as_secs_f64(),
        None => raw.header("x-groq-region").is_some(),
    }
}

pub(super) fn refusal(raw: &Raw<'_>) -> Refusal {
    let detail = raw.detail();
    let (code, kind) = (raw.error_word("code"), raw.error_word("type"));
    let is = |word: &str| code == word || kind == word;
    if ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"].into_iter().any(is) {
        return Refusal::Billing { detail };
    }
    if is("invalid_api_key") || is("account_deactivated") {
        return Refusal::KeyRefused { detail };
    }
    if raw.status == 429 || is("rate_limit_exceeded") || is("slow_down") {
        return limited(raw, detail);
    }
    raw.by_status()
}

fn limited(raw: &Raw<'_>, detail: String) -> Refusal {
    let hints = hints(raw);
    let message = raw.message();
    // `requests` is the type of a minute's refusal and of a day's: without words or headers nobody knows which it is.
    let tokens = (raw.error_word("type") == "tokens").then_some(Dimension::TokensPerMinute);
    let by_words = words_dimension(message).or(tokens);
    let spent = hints.iter().find(|hint| hint.remaining == Some(0));
    // The limit it has would leave the pool at it.
    let is_slow_down = raw.error_word("code") == "slow_down" || raw.error_word("type") == "slow_down";
    let slow_down = is_slow_down.then_some(Dimension::RequestsPerMinute);
    let dimension = by_words.or(spent.map(|hint| hint.dimension)).or(slow_down);
    let of_it = hints.iter().find(|hint| Some(hint.dimension) == dimension);
    let lower = parse::cut(message, 4096).to_lowercase();
    let day_tokens = lower.contains("(tpd)") || lower.contains("tokens per day");
    let stated = dimension.and_then(|_| parse::count_after(message, "limit ")).filter(|_| !day_tokens);
    let limit = stated.or(of_it.and_then(|hint| hint.limit)).filter(|limit| *limit > 0 && !is_slow_down);
    let next_request =
        of_it.filter(|hint| hint.dimension != Dimension::TokensPerMinute).and_then(|hint| hint.fits_after(1));
    let retry_after =
        raw.retry_after().into_iter().chain(next_request).max().or(of_it.and_then(|hint| hint.reset));
    Refusal::Limited { dimension, retry_after, limit, slow_down: is_slow_down, hints, detail }
}

/// Case differs ("Tokens per day limit exceeded" is Cerebras'), and so do the names ("max RPM" is Moonshot's,
/// "free-models-per-day" OpenRouter's).
fn words_dimension(message: &str) -> Option<Dimension> {
    let message = parse::cut(message, 4096).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["(rpd)", "(tpd)", "per day", "per-day", "daily"]) {
        Some(Dimension::RequestsPerDay)
    } else if has(&["(tpm)", "tokens per min", "token rate limit", "max tpm"]) {
        Some(Dimension::TokensPerMinute)
    } else if has(&["(rpm)", "requests per min", "max rpm"]) {
        Some(Dimension::RequestsPerMinute)
    } else {
        None
    }
}
