//! Anthropic's side of the wire.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, Call, Dialect, Encoded, Form, Manner, Refusal, chat_text, content_text, decimal_seconds,
    whole_seconds,
};
use crate::quota::{Dimension, Level};

pub(super) fn read(json: &Value) -> Result<Call, String> {
    let messages = json["messages"].as_array().filter(|messages| !messages.is_empty());
    Ok(Call {
        dialect: Dialect::Anthropic,
        model: json["model"].as_str().ok_or("model: Field required")?.to_owned(),
        system: content_text(&json["system"]).unwrap_or_default(),
        prompt: chat_text(
            messages.ok_or("messages: at least one message is required")?,
            &["user", "assistant"],
        ),
        max_output_tokens: Some(json["max_tokens"].as_u64().ok_or("max_tokens: Field required")?),
        form: Form::Whole,
    })
}

pub(super) fn answer(answer: &Answer, manner: &Manner<'_>) -> Encoded {
    let body = json!({
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": manner.model,
        "content": [{ "type": "text", "text": answer.text }],
        "stop_reason": if answer.truncated { "max_tokens" } else { "end_turn" },
        "stop_sequence": null,
        "usage": {
            "input_tokens": answer.tokens_in,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": answer.tokens_out,
        },
    });
    Encoded { status: 200, headers: quota_headers(manner), body: body.to_string(), is_stream: false }
}

pub(super) fn models() -> Encoded {
    let model = json!({
        "type": "model",
        "id": "mock",
        "display_name": "Mock",
        "created_at": "2026-01-01T00:00:00Z",
    });
    Encoded::json(200, &json!({ "data": [model], "has_more": false, "first_id": "mock", "last_id": "mock" }))
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
            headers.push((names[2], instant(manner.now_unix + level.full_in)));
        }
    };
    add(
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        manner.levels.requests,
    );
    add(
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        manner.levels.tokens,
    );
    headers
}

fn instant(since_epoch: Duration) -> String {
    let ms = i64::try_from(since_epoch.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}

pub(super) fn refusal(refusal: &Refusal, manner: &Manner<'_>) -> Encoded {
    let (status, kind, message) = match refusal {
        Refusal::Limited(dimension, limit, _) => {
            let what = match dimension {
                Dimension::RequestsPerMinute => format!("rate limit of {limit} requests per minute"),
                Dimension::TokensPerMinute => format!("rate limit of {limit} tokens per minute"),
                Dimension::RequestsPerDay => format!("daily limit of {limit} requests"),
                Dimension::Concurrency => "number of concurrent connections".to_owned(),
            };
            let message = if manner.hints {
                format!("This request would exceed your organization's {what}.")
            } else {
                "This request would exceed your organization's rate limit.".to_owned()
            };
            (429, "rate_limit_error", message)
        }
        Refusal::NoQuota => (
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 0 requests per minute.".to_owned(),
        ),
        Refusal::Overloaded | Refusal::NoCapacity => (529, "overloaded_error", "Overloaded".to_owned()),
        Refusal::Failed => (500, "api_error", "Internal server error".to_owned()),
        Refusal::KeyMissing => (401, "authentication_error", "x-api-key header is required".to_owned()),
        Refusal::KeyInvalid => (401, "authentication_error", "invalid x-api-key".to_owned()),
        Refusal::NoCredit => (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.".to_owned(),
        ),
        Refusal::BadRequest(what) => (400, "invalid_request_error", what.clone()),
    };
    let mut headers = Vec::new();
    if let Refusal::Limited(_, _, wait) = refusal
        && manner.hints
    {
        let seconds =
            if manner.whole_seconds { whole_seconds(*wait).to_string() } else { decimal_seconds(*wait) };
        headers.push(("retry-after", seconds));
        headers.extend(quota_headers(manner));
    }
    let body =
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_mock" });
    Encoded { status, headers, body: body.to_string(), is_stream: false }
}
