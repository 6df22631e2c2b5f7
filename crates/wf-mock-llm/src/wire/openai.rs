//! OpenAI's side of the wire.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Call, Dialect, Encoded, Form, Manner, Refusal, chat_text, decimal_seconds};
use crate::quota::{Dimension, Level};

pub(super) fn read(json: &Value) -> Result<Call, String> {
    let messages = json["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or("Missing required parameter: 'messages'.")?;
    Ok(Call {
        dialect: Dialect::OpenAi,
        model: json["model"].as_str().ok_or("you must provide a model parameter")?.to_owned(),
        system: chat_text(messages, &["system", "developer"]),
        prompt: chat_text(messages, &["user", "assistant"]),
        max_output_tokens: json["max_completion_tokens"].as_u64().or_else(|| json["max_tokens"].as_u64()),
        form: Form::Whole,
    })
}

pub(super) fn answer(answer: &Answer, manner: &Manner<'_>) -> Encoded {
    let body = json!({
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": manner.now_unix.as_secs(),
        "model": manner.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": answer.text, "refusal": null },
            "finish_reason": if answer.truncated { "length" } else { "stop" },
        }],
        "usage": {
            "prompt_tokens": answer.tokens_in,
            "completion_tokens": answer.tokens_out,
            "total_tokens": answer.tokens_in + answer.tokens_out,
        },
    });
    Encoded { status: 200, headers: quota_headers(manner), body: body.to_string(), is_stream: false }
}

pub(super) fn models() -> Encoded {
    Encoded::json(
        200,
        &json!({
            "object": "list",
            "data": [{ "id": "mock", "object": "model", "created": 0, "owned_by": "mock" }],
        }),
    )
}

fn quota_headers(manner: &Manner<'_>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if !manner.hints {
        return headers;
    }
    let mut add = |names: [&'static str; 3], level: Option<Level>| {
        if let Some(level) = level {
            headers.push((names[0], level.limit.to_string()));
            headers.push((names[1], level.remaining.to_string()));
            headers.push((names[2], go_duration(level.full_in)));
        }
    };
    add(
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        manner.levels.requests,
    );
    add(
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        manner.levels.tokens,
    );
    headers
}

/// `12ms`, `1.5s`, `6m0s`: rounded up to a millisecond.
fn go_duration(d: Duration) -> String {
    let ms = d.as_nanos().div_ceil(1_000_000);
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let fraction = format!("{:03}", ms % 1_000);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    match (minutes, ms) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{ms}ms"),
        (0, _) => format!("{}{dot}{fraction}s", ms / 1_000),
        _ => format!("{minutes}m{}{dot}{fraction}s", ms / 1_000),
    }
}

pub(super) fn refusal(refusal: &Refusal, manner: &Manner<'_>) -> Encoded {
    let (status, kind, code, message) = match refusal {
        Refusal::Limited(dimension, limit, wait) => return limited(*dimension, *limit, *wait, manner),
        Refusal::NoQuota => (
            404,
            "invalid_request_error",
            Value::from("model_not_found"),
            "The model does not exist or you do not have access to it.",
        ),
        Refusal::Overloaded | Refusal::NoCapacity => {
            (503, "server_error", Value::Null, "The engine is currently overloaded, please try again later")
        }
        Refusal::Failed => {
            (500, "server_error", Value::Null, "The server had an error while processing your request.")
        }
        Refusal::KeyMissing => (
            401,
            "invalid_request_error",
            Value::Null,
            "You didn't provide an API key in an Authorization header.",
        ),
        Refusal::KeyInvalid => {
            (401, "invalid_request_error", Value::from("invalid_api_key"), "Incorrect API key provided.")
        }
        Refusal::NoCredit => (
            429,
            "insufficient_quota",
            Value::from("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Refusal::BadRequest(what) => (400, "invalid_request_error", Value::Null, what.as_str()),
    };
    Encoded::json(status, &error(kind, &code, message))
}

fn error(kind: &str, code: &Value, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

fn limited(dimension: Dimension, limit: u64, wait: Duration, manner: &Manner<'_>) -> Encoded {
    let (kind, what) = match dimension {
        Dimension::RequestsPerMinute => ("requests", "requests per min (RPM)"),
        Dimension::TokensPerMinute => ("tokens", "tokens per min (TPM)"),
        Dimension::RequestsPerDay => ("requests", "requests per day (RPD)"),
        Dimension::Concurrency => ("requests", "requests at once"),
    };
    let code = Value::from("rate_limit_exceeded");
    if !manner.hints {
        return Encoded::json(429, &error(kind, &code, "Rate limit reached. Please try again later."));
    }
    let message = format!(
        "Rate limit reached for {} in organization org-mock on {what}: Limit {limit}, Used {limit}, Requested 1. \
         Please try again in {}s.",
        manner.model,
        decimal_seconds(wait)
    );
    let mut headers = quota_headers(manner);
    headers.push(("retry-after-ms", wait.as_nanos().div_ceil(1_000_000).to_string()));
    Encoded { status: 429, headers, body: error(kind, &code, &message).to_string(), is_stream: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        for (ms, text) in
            [(0, "0s"), (12, "12ms"), (1_000, "1s"), (1_500, "1.5s"), (360_000, "6m0s"), (432_500, "7m12.5s")]
        {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(go_duration(Duration::from_micros(1)), "1ms");
    }
}
