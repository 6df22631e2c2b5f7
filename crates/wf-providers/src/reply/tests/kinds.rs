//! Refusals as people met them, in every provider's words and under every status: names and ids are replaced. Where a body
//! was met stands beside it; `shape` where only its form is documented and the words are ours.

use super::*;

/// Source, dialect, status, headers, body; what it is, with the dimension and the wait in milliseconds of a limit.
type Met = (&'static str, Dialect, u16, &'static [(&'static str, &'static str)], String, Want);
type Want = (&'static str, Option<Dimension>, Option<u128>);

use Dialect::{Anthropic, Gemini, OpenAi};

fn openai(code: &str, kind: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "type": kind, "message": message}}).to_string()
}

fn anthropic(kind: &str, message: &str) -> String {
    serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
}

fn gemini(code: u16, status: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "status": status, "message": message}}).to_string()
}

fn seconds_from_now(seconds: u64) -> u64 {
    NOW.as_secs() + seconds
}

fn met() -> Vec<Met> {
    let day = Some(Dimension::RequestsPerDay);
    let tokens = Some(Dimension::TokensPerMinute);
    let none = |what| (what, None, None);
    vec![
        ("anthropic: the Console's own limit", Anthropic, 400, &[], anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2031-01-01 at 00:00 UTC."), none("billing")),
        ("anthropic: a workspace's limit", Anthropic, 400, &[], anthropic("invalid_request_error", "You have reached your specified workspace API usage limits. You will regain access on 2031-01-01 at 00:00 UTC."), none("billing")),
        ("anthropic: the tier's cap, in details", Anthropic, 429, &[], serde_json::json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Your organization has crossed its monthly threshold.", "details": {"error_code": "enforced_spend_limit_reached"}}}).to_string(), none("billing")),
        ("anthropic: a plan that signs in", Anthropic, 429, &[("anthropic-ratelimit-unified-status", "rejected"), ("anthropic-ratelimit-unified-reset", "NOW+7200")], anthropic("rate_limit_error", "This request would exceed your account's rate limit."), ("limited", None, Some(7_200_000))),
        ("bedrock", Anthropic, 429, &[], r#"{"message": "Too many tokens per day, please wait before trying again."}"#.into(), ("limited", day, None)),
        ("bedrock: a model that is not loaded", Anthropic, 429, &[], r#"{"message": "ModelNotReadyException: the model is not ready for inference"}"#.into(), none("overloaded")),
        ("openai (help.openai.com 5955604)", OpenAi, 429, &[], openai("project_spend_limit_exceeded", "invalid_request_error", "Your project has reached its enforced spend limit."), none("billing")),
        ("openai: balance", OpenAi, 429, &[], openai("credit_balance_exhausted", "insufficient_quota", "You have no credit left."), none("billing")),
        ("openai: flex", OpenAi, 429, &[], openai("resource_unavailable", "server_error", "Resource unavailable"), none("overloaded")),
        ("openai: no access", OpenAi, 403, &[], openai("model_not_found", "invalid_request_error", "Project `proj_x` does not have access to model `m`"), none("request-refused")),
        ("openai: context window", OpenAi, 400, &[], openai("context_length_exceeded", "invalid_request_error", "This model's maximum context length is 8192 tokens."), none("request-refused")),
        ("openai: moderation", OpenAi, 400, &[], openai("content_policy_violation", "invalid_request_error", "Your request was rejected by our safety system."), none("request-refused")),
        ("codex: a plan's limit", OpenAi, 429, &[], format!(r#"{{"error": {{"type": "usage_limit_reached", "resets_at": {}}}}}"#, seconds_from_now(7_200)), ("limited", None, Some(7_200_000))),
        ("azure: capacity", OpenAi, 429, &[("retry-after-ms", "1500")], openai("429", "", "The system is experiencing high demand and cannot serve your request."), ("overloaded", None, Some(1_500))),
        ("azure: S0", OpenAi, 429, &[], openai("429", "", "Requests to the operation have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds."), ("limited", tokens, Some(26_000))),
        ("azure: content", OpenAi, 400, &[], openai("content_filter", "", "The response was filtered due to the prompt triggering the content management policy."), none("request-refused")),
        ("groq: never fits, 413", OpenAi, 413, &[], openai("rate_limit_exceeded", "tokens", "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 14368, please reduce your message size and try again. Upgrade at https://x.example/settings/billing"), none("request-refused")),
        ("openai: never fits, 429", OpenAi, 429, &[], openai("rate_limit_exceeded", "tokens", "Request too large for m in organization org on tokens per min (TPM): Limit 30000, Requested 41000."), none("request-refused")),
        ("openai: does not fit now", OpenAi, 429, &[], openai("rate_limit_exceeded", "tokens", "Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000, Requested 4000. Please try again in 6s."), ("limited", tokens, Some(6_000))),
        ("groq: flex", OpenAi, 498, &[], openai("capacity_exceeded", "capacity_exceeded", "Flex tier capacity exceeded"), none("overloaded")),
        ("cerebras: a day", OpenAi, 429, &[], r#"{"message": "Tokens per day limit exceeded - too many tokens processed.", "type": "too_many_tokens_error", "code": "token_quota_exceeded"}"#.into(), ("limited", day, None)),
        ("cerebras: a minute", OpenAi, 429, &[], r#"{"message": "Tokens per minute limit exceeded - too many tokens processed.", "type": "too_many_tokens_error", "code": "token_quota_exceeded"}"#.into(), ("limited", tokens, None)),
        ("moonshot: a minute", OpenAi, 429, &[], openai("", "rate_limit_reached_error", "Your account org request reached organization max RPM: 3, please try again after 1 seconds"), ("limited", Some(Dimension::RequestsPerMinute), Some(1_000))),
        ("moonshot: suspended", OpenAi, 429, &[], openai("", "exceeded_current_quota_error", "Your account is suspended, please check your plan and billing details"), none("billing")),
        ("moonshot: busy", OpenAi, 429, &[], openai("", "engine_overloaded_error", "The engine is currently overloaded, please try again later"), none("overloaded")),
        ("deepseek", OpenAi, 402, &[], openai("invalid_request_error", "unknown_error", "Insufficient Balance"), none("billing")),
        ("z.ai 1113", OpenAi, 429, &[], openai("1113", "", "Insufficient balance or no resource package. Please recharge."), none("billing")),
        ("dashscope", OpenAi, 400, &[], r#"{"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}"#.into(), none("billing")),
        ("xai: a bad key under 400", OpenAi, 400, &[], r#"{"code": "Client specified an invalid argument", "error": "Incorrect API key provided: na***ys."}"#.into(), none("key-refused")),
        ("xai: no credits", OpenAi, 429, &[], r#"{"code": "Some resource has been exhausted", "error": "Your team has either used all available credits or reached its monthly spending limit."}"#.into(), none("billing")),
        ("openrouter: flagged", OpenAi, 403, &[], r#"{"error": {"code": 403, "message": "m requires moderation on P. Your input was flagged for \"violence\".", "metadata": {"reasons": ["violence"]}}}"#.into(), none("request-refused")),
        ("openrouter: an upstream's limit", OpenAi, 429, &[], r#"{"error": {"code": 429, "message": "Provider returned error", "metadata": {"provider_name": "P", "raw": "m is temporarily rate-limited upstream"}}}"#.into(), none("overloaded")),
        ("openrouter: a free day, reset in the body", OpenAi, 429, &[], format!(r#"{{"error": {{"code": 429, "message": "Rate limit exceeded: free-models-per-day. ", "metadata": {{"headers": {{"X-RateLimit-Reset": "{}"}}}}}}}}"#, seconds_from_now(7_200) * 1_000), ("limited", day, Some(7_200_000))),
        ("mistral: words in a list", OpenAi, 422, &[], r#"{"message": {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]}, "type": "invalid_request_error"}"#.into(), none("request-refused")),
        ("gemini: cancelled", Gemini, 499, &[], gemini(499, "CANCELLED", "The operation was cancelled."), none("transient")),
        ("gemini: prepaid", Gemini, 429, &[], gemini(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), none("billing")),
        ("vertex: the shared pool", Gemini, 429, &[], gemini(429, "RESOURCE_EXHAUSTED", "Resource exhausted, please try again later."), none("overloaded")),
        ("gemini: a reason without a type", Gemini, 429, &[], r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "No room", "details": [{"reason": "MODEL_CAPACITY_EXHAUSTED"}]}}"#.into(), none("overloaded")),
        ("gemini: a plan's day", Gemini, 429, &[], gemini(429, "RESOURCE_EXHAUSTED", "You have exhausted your capacity on this model. Your quota will reset after 5h59m59s."), ("limited", None, Some(21_599_000))),
        ("ollama", OpenAi, 503, &[], r#"{"error": "server busy, please try again. maximum pending requests exceeded"}"#.into(), none("overloaded")),
        ("shape: an instant in retry-after", OpenAi, 429, &[("retry-after", "NOW+30")], openai("", "rate_limit", "Too many requests"), ("limited", None, Some(30_000))),
        ("shape: a minute's limit of a week", OpenAi, 429, &[("retry-after", "604800")], openai("", "", "Rate limit reached: requests per minute"), ("limited", Some(Dimension::RequestsPerMinute), Some(3_600_000))),
        ("shape: a proxy's page", OpenAi, 403, &[], "<!DOCTYPE html><html><head><title>Attention Required!</title></head></html>".into(), none("transient")),
        ("shape: a proxy's password", Anthropic, 407, &[], String::new(), none("transient")),
    ]
}

#[test]
fn refusals_as_people_met_them() {
    let mut wrong = Vec::new();
    for (source, dialect, status, headers, body, want) in met() {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| {
                let value = value.strip_prefix("NOW+").map_or_else(
                    || (*value).to_owned(),
                    |seconds| seconds_from_now(seconds.parse().expect("a number")).to_string(),
                );
                ((*name).to_owned(), value)
            })
            .collect();
        let reply = read_reply(dialect, status, &headers, body.as_bytes(), NOW);
        let (what, dimension, wait, _) = kind(&reply);
        if (what, dimension, wait) != want {
            wrong.push(format!("{source}: {:?}, wanted {want:?}", (what, dimension, wait)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_page_of_the_network_is_named_by_its_title() {
    let body = "<html><head><title>Blocked by policy</title></head></html>";
    let Reply::Refused(refusal) = read_reply(OpenAi, 403, &[], body.as_bytes(), NOW) else { panic!() };
    assert!(refusal.detail().contains("a page and no answer (Blocked by policy)"), "{}", refusal.detail());
}
