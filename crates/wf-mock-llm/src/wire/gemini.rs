//! Gemini's side of the wire.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Call, Dialect, Encoded, Form, Manner, Refusal, decimal_seconds};
use crate::quota::Dimension;

/// What a refusal for the day tells to wait: real ones have been seen to name less than a minute.
const DAY_DELAY_TOLD: Duration = Duration::from_secs(38);

pub(super) fn read(model: String, json: &Value) -> Result<Call, String> {
    let text = |content: &Value| {
        let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
        parts.iter().filter_map(|part| part["text"].as_str()).collect::<String>()
    };
    let contents = json["contents"].as_array().filter(|contents| !contents.is_empty());
    let contents = contents.ok_or("* GenerateContentRequest.contents: contents is not specified")?;
    let system = if json["systemInstruction"].is_null() {
        &json["system_instruction"]
    } else {
        &json["systemInstruction"]
    };
    Ok(Call {
        dialect: Dialect::Gemini,
        model,
        system: text(system),
        prompt: contents.iter().map(text).collect::<Vec<_>>().join("\n"),
        max_output_tokens: json["generationConfig"]["maxOutputTokens"].as_u64(),
        form: Form::Whole,
    })
}

pub(super) fn answer(answer: &Answer, manner: &Manner<'_>) -> Encoded {
    Encoded::json(
        200,
        &json!({
            "candidates": [{
                "content": { "role": "model", "parts": [{ "text": answer.text }] },
                "finishReason": if answer.truncated { "MAX_TOKENS" } else { "STOP" },
                "index": 0,
            }],
            "usageMetadata": {
                "promptTokenCount": answer.tokens_in,
                "candidatesTokenCount": answer.tokens_out,
                "totalTokenCount": answer.tokens_in + answer.tokens_out,
            },
            "modelVersion": manner.model,
        }),
    )
}

pub(super) fn models() -> Encoded {
    let model = json!({
        "name": "models/mock",
        "version": "1",
        "displayName": "Mock",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    });
    Encoded::json(200, &json!({ "models": [model] }))
}

pub(super) fn refusal(refusal: &Refusal, manner: &Manner<'_>) -> Encoded {
    let error_info = |reason: &str| {
        json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": { "service": "generativelanguage.googleapis.com" },
        }])
    };
    match refusal {
        Refusal::Limited(dimension, limit, wait) => limited(*dimension, *limit, *wait, manner),
        Refusal::Overloaded => {
            error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", &Value::Null)
        }
        Refusal::NoCapacity => error(
            429,
            "RESOURCE_EXHAUSTED",
            "No capacity available for the model on the server.",
            &error_info("MODEL_CAPACITY_EXHAUSTED"),
        ),
        Refusal::NoQuota => limited(Dimension::RequestsPerDay, 0, DAY_DELAY_TOLD, manner),
        Refusal::Failed => error(500, "INTERNAL", "An internal error has occurred.", &Value::Null),
        Refusal::KeyMissing => error(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers. Please use an API key.",
            &Value::Null,
        ),
        Refusal::KeyInvalid => error(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            &error_info("API_KEY_INVALID"),
        ),
        Refusal::NoCredit => error(
            400,
            "FAILED_PRECONDITION",
            "This API needs an account in good standing. Please enable billing on your project.",
            &Value::Null,
        ),
        Refusal::BadRequest(what) => error(400, "INVALID_ARGUMENT", what, &Value::Null),
    }
}

fn limited(dimension: Dimension, limit: u64, wait: Duration, manner: &Manner<'_>) -> Encoded {
    const EXHAUSTED: &str = "RESOURCE_EXHAUSTED";
    // A limit of zero is told even where nothing else is: else nobody could know it from a limit that passes.
    if !manner.hints && limit > 0 {
        return error(429, EXHAUSTED, "Resource has been exhausted (e.g. check quota).", &Value::Null);
    }
    let told = if dimension == Dimension::RequestsPerDay { wait.min(DAY_DELAY_TOLD) } else { wait };
    let retry = json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": format!("{}s", decimal_seconds(told)),
    });
    let (metric, id) = match dimension {
        Dimension::RequestsPerMinute => {
            ("generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
        }
        Dimension::TokensPerMinute => (
            "generate_content_free_tier_input_token_count",
            "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        ),
        Dimension::RequestsPerDay => {
            ("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
        }
        Dimension::Concurrency => {
            return error(429, EXHAUSTED, "Too many requests at once for this key.", &json!([retry]));
        }
    };
    let metric = format!("generativelanguage.googleapis.com/{metric}");
    let message = format!(
        "You exceeded your current quota.\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {}\n\
         Please retry in {}s.",
        manner.model,
        decimal_seconds(told)
    );
    let failure = json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": metric,
            "quotaId": id,
            "quotaDimensions": { "location": "global", "model": manner.model },
            "quotaValue": limit.to_string(),
        }],
    });
    error(429, EXHAUSTED, &message, &json!([failure, retry]))
}

fn error(code: u16, status: &str, message: &str, details: &Value) -> Encoded {
    let mut error = json!({ "code": code, "message": message, "status": status });
    if !details.is_null() {
        error["details"] = details.clone();
    }
    Encoded::json(code, &json!({ "error": error }))
}
