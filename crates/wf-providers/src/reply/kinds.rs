//! Refusals known by what they say, whatever provider says it with whatever status.
//!
//! Providers put the same few troubles under many statuses: no money is a 400, 402, 403 or 429; a bad key a 400, 401 or 403;
//! an overloaded machine a 429, 498, 503 or 529. The words and codes decide first, and only what they leave open is decided by
//! the dialect and the status. Each word stands with where it was met.

use std::time::Duration;

use super::{Raw, Refusal};
use crate::{clean_message, parse};

/// The account cannot pay.
const NO_MONEY: &[&str] = &[
    // Anthropic ("Errors"); the two limits: users' reports of 400s and 429s of the Console's spend limits.
    "credit balance is too low",
    "specified api usage limits",
    "specified workspace api usage limits",
    "reached your api usage limits",
    // Gemini API: prepaid plans and spend caps (discuss.ai.google.dev/t/189883).
    "prepayment credits",
    "prepaid credits",
    "credits are depleted",
    "spending cap",
    "spend cap",
    // xAI, OpenAI (help.openai.com 5955604), DeepSeek ("Insufficient Balance"), Moonshot, z.ai 1113, DashScope, OpenRouter.
    "used all available credits",
    "monthly spending limit",
    "enforced spend limit",
    "insufficient balance",
    "balance is insufficient",
    "insufficient credit",
    "insufficient fund",
    "please recharge",
    "no resource package",
    "account is in good standing",
    "requires more credits",
    "not enough credits",
    "out of credits",
    "payment required",
];

/// The same as codes or types of the error.
const NO_MONEY_CODES: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_balance_exhausted",
    "organization_usage_limit_exceeded",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "enforced_spend_limit_reached",
    "insufficient_balance",
    "exceeded_current_quota_error",
    "billing_error",
    "arrearage",
    "1113",
];

/// The key is wrong.
const BAD_KEY: &[&str] = &[
    // xAI (a 400), OpenAI, Gemini (a 400), Anthropic, DeepSeek, Mistral, Moonshot.
    "incorrect api key",
    "invalid api key",
    "invalid x-api-key",
    "api key not valid",
    "api key expired",
    "api key is invalid",
    "api key is missing",
    "invalid api-key",
    "no such api key",
    "authentication fails",
    "invalid authentication",
    "no auth credentials found",
];

const BAD_KEY_CODES: &[&str] = &[
    "invalid_api_key",
    "api_key_invalid",
    "incorrect_api_key",
    "invalid_authentication_error",
    "account_deactivated",
    "invalidapikey",
];

/// The request asks for more than is ever given.
const TOO_LARGE: &[&str] = &[
    // Groq and OpenAI ("Limit 6000, Requested 14368"), context windows of OpenAI, Anthropic, vLLM and llama.cpp.
    "request too large",
    "reduce your message size",
    "reduce the length of",
    "maximum context length",
    "exceeds the context window",
    "exceed context window",
    "exceeds the available context size",
    "prompt is too long",
    "input is too long",
    "input token count exceeds",
];

const TOO_LARGE_CODES: &[&str] =
    &["context_length_exceeded", "request_too_large", "string_above_max_length", "exceed_context_size_error"];

/// What was asked is not answered.
const CONTENT: &[&str] = &[
    // OpenRouter (403 with the reasons), Azure OpenAI, DashScope, z.ai.
    "input was flagged",
    "requires moderation",
    "content management policy",
    "content policy",
    "safety system",
    "inappropriate content",
    "sensitive content",
    "data inspection",
];

const CONTENT_CODES: &[&str] = &[
    "content_policy_violation",
    "content_filter",
    "content_filter_error",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "moderation_blocked",
];

/// The project, not the key, may not use this model, or there is none of this name.
const NO_ACCESS: &[&str] = &[
    "does not have access to model",
    "not have access to the model",
    "no access to model",
    "not have access to it",
    "is not available for your",
    "model does not exist",
    "is not a valid model",
    "no endpoints found",
];

const NO_ACCESS_CODES: &[&str] =
    &["model_not_found", "model_not_available", "model_not_allowed", "modelnotfound"];

/// The provider has no room for anybody.
const NO_CAPACITY: &[&str] = &[
    // Gemini and Vertex ("Resource exhausted, please try again later" is the shared pool: cloud.google.com, error-code-429),
    // OpenAI flex, Azure, Groq flex, Bedrock, Ollama, Moonshot.
    "no capacity",
    "at capacity",
    "over capacity",
    "capacity exceeded",
    "out of capacity",
    "insufficient capacity",
    "currently overloaded",
    "is overloaded",
    "high demand",
    "temporarily unable to process",
    "resource unavailable",
    "resource exhausted, please try again later",
    "server busy",
    "no instances available",
    "temporarily rate-limited upstream",
    "model is not ready",
];

const NO_CAPACITY_CODES: &[&str] = &[
    "resource_unavailable",
    "capacity_exceeded",
    "model_capacity_exhausted",
    "overloaded_error",
    "engine_overloaded_error",
    "engine_overloaded",
    "provider_overloaded",
    "modelnotreadyexception",
    "server_overloaded",
];

/// The refusal that words or codes make sure of; `None` leaves it to the dialect.
pub(super) fn refusal(raw: &Raw<'_>) -> Option<Refusal> {
    if let Some(page) = page(raw) {
        return Some(page);
    }
    let message = parse::cut(raw.message(), 4096).to_lowercase();
    let codes = raw.codes();
    let says = |words: &[&str], known: &[&str]| {
        words.iter().any(|word| message.contains(word))
            || codes.iter().any(|code| known.contains(&code.as_str()))
    };
    let detail = raw.detail();
    let is_error = raw.status < 500;
    if is_error && (raw.status == 413 || says(TOO_LARGE, TOO_LARGE_CODES) || never_fits(&message)) {
        return Some(Refusal::RequestRefused { detail });
    }
    if is_error && raw.status != 429 && says(CONTENT, CONTENT_CODES) {
        return Some(Refusal::RequestRefused { detail });
    }
    if is_error && says(NO_ACCESS, NO_ACCESS_CODES) {
        return Some(Refusal::RequestRefused { detail });
    }
    if is_error && raw.status != 429 && says(BAD_KEY, BAD_KEY_CODES) {
        return Some(Refusal::KeyRefused { detail });
    }
    if is_error && says(NO_MONEY, NO_MONEY_CODES) {
        return Some(Refusal::Billing { detail });
    }
    if raw.status == 498 || says(NO_CAPACITY, NO_CAPACITY_CODES) || of_an_upstream(raw, &message) {
        return Some(Refusal::Overloaded { retry_after: raw.retry_after(), detail });
    }
    None
}

/// "Limit 6000, Requested 14368": however long it waits, it does not fit. What was used before does not count.
fn never_fits(message: &str) -> bool {
    let (limit, requested) =
        (parse::count_after(message, "limit "), parse::count_after(message, "requested "));
    matches!((limit, requested), (Some(limit), Some(requested)) if limit > 0 && requested > limit)
}

/// A router's 429 that names the provider behind it ("Provider returned error", OpenRouter "Errors"): of that one alone.
fn of_an_upstream(raw: &Raw<'_>, message: &str) -> bool {
    let named = raw.error()["metadata"]["provider_name"].as_str().is_some_and(|name| !name.is_empty());
    named && message.contains("provider returned error") && matches!(raw.status, 429 | 502 | 503)
}

/// A page for people in place of an answer for programs: of a proxy, a gateway, a portal. No key is to blame.
fn page(raw: &Raw<'_>) -> Option<Refusal> {
    let start = parse::cut(raw.text.trim_start(), 4096).to_lowercase();
    let is_page = start.starts_with("<!doctype html") || start.starts_with("<html");
    // Under another status a page is that of a wrong address, or a passing fault.
    if !(is_page && raw.status == 403 || raw.status == 407) {
        return None;
    }
    let title = start.find("<title>").and_then(|at| {
        let text = raw.text.trim_start().get(at + "<title>".len()..)?;
        Some(text.split('<').next().unwrap_or_default().to_owned())
    });
    let asks =
        if raw.status == 407 { "the proxy asks for a name and a password" } else { "a page and no answer" };
    let of = title.map(|title| format!(" ({title})")).unwrap_or_default();
    Some(Refusal::Transient {
        detail: clean_message(&format!(
            "HTTP {}: {asks}{of}; it comes from the network between here and the provider",
            raw.status
        )),
    })
}

/// The longest wait that is believed of a limit of a minute: a few windows. What says more is an instant misread, or nonsense.
pub(super) const LONGEST_MINUTE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_fits_is_told_from_what_does_not_fit_now() {
        assert!(never_fits("on tokens per minute (tpm): limit 6000, requested 14368, please"));
        assert!(!never_fits("limit 6000, used 5500, requested 800"));
        assert!(!never_fits("limit 0, requested 5"));
    }
}
