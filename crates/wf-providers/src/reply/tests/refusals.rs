//! Refusals of each dialect, and what the status alone says.

use serde_json::{Value, json};

use super::*;
use crate::LONGEST_HINT;

#[test]
fn gemini_refusals() {
    let exhausted =
        |message: &str, details: Value| gemini_error(429, "RESOURCE_EXHAUSTED", message, &details);
    let day = Some(TO_MIDNIGHT.as_millis());
    for (name, status, body, want) in [
        (
            "requests per minute",
            429,
            exhausted("Quota exceeded.", json!([quota_failure(&[(PER_MINUTE, "15")]), retry_info("56s")])),
            ("limited", RPM, Some(56_000), Some(15)),
        ),
        (
            "input tokens per minute",
            429,
            exhausted(
                "Quota exceeded.",
                json!([quota_failure(&[(TOKENS, "250000")]), retry_info("0.539477544s")]),
            ),
            ("limited", TPM, Some(539), Some(250_000)),
        ),
        (
            "a delay in milliseconds",
            429,
            exhausted("", json!([retry_info("900ms")])),
            ("limited", None, Some(900), None),
        ),
        (
            "prose alone",
            429,
            exhausted("You exceeded your current quota. Please retry in 56.18s.", json!([])),
            ("limited", None, Some(56_180), None),
        ),
        (
            "the latest hint wins",
            429,
            exhausted("Please retry in 12.5s.", json!([retry_info("3s")])),
            ("limited", None, Some(12_500), None),
        ),
        (
            "a day with a short delay",
            429,
            exhausted("Please retry in 7s.", json!([quota_failure(&[(PER_DAY, "250")]), retry_info("7s")])),
            ("limited", RPD, day, Some(250)),
        ),
        (
            "several violations: the strictest",
            429,
            exhausted("", json!([quota_failure(&[(PER_MINUTE, "15"), (PER_DAY, "250"), (TOKENS, "9")])])),
            ("limited", RPD, day, Some(250)),
        ),
        (
            "a day's tokens are no requests",
            429,
            exhausted("", json!([quota_failure(&[(DAY_TOKENS, "1000000")])])),
            ("limited", RPD, day, None),
        ),
        (
            "limit 0 in the message",
            429,
            exhausted("* Quota exceeded for metric: g/free_tier_requests, limit: 0, model: m", json!([])),
            ("limited", None, None, Some(0)),
        ),
        (
            "limit 0 behind another",
            429,
            exhausted(
                "* Quota exceeded for metric: a, limit: 15, model: m\n* Quota exceeded for metric: b, limit: 0",
                json!([]),
            ),
            ("limited", None, None, Some(0)),
        ),
        (
            "limit 0 as a value",
            429,
            exhausted("", json!([quota_failure(&[(PER_DAY, "0"), (PER_MINUTE, "0")]), retry_info("30s")])),
            ("limited", RPD, None, Some(0)),
        ),
        (
            "a limit that begins with 0 in no way is 0",
            429,
            exhausted("Quota exceeded, limit: 10", json!([])),
            ("limited", None, None, None),
        ),
        (
            "capacity under 429",
            429,
            exhausted("No capacity.", json!([error_info("MODEL_CAPACITY_EXHAUSTED"), retry_info("4s")])),
            ("overloaded", None, Some(4_000), None),
        ),
        (
            "capacity under 503",
            503,
            gemini_error(503, "UNAVAILABLE", "", &json!([error_info("MODEL_CAPACITY_EXHAUSTED")])),
            ("overloaded", None, None, None),
        ),
        (
            "unavailable",
            503,
            gemini_error(503, "UNAVAILABLE", "The model is overloaded.", &json!([])),
            ("overloaded", None, None, None),
        ),
        (
            "a bad key is a 400",
            400,
            gemini_error(
                400,
                "INVALID_ARGUMENT",
                "API key not valid.",
                &json!([error_info("API_KEY_INVALID")]),
            ),
            ("key-refused", None, None, None),
        ),
        (
            "an expired key",
            400,
            gemini_error(400, "INVALID_ARGUMENT", "API key expired. Please renew.", &Value::Null),
            ("key-refused", None, None, None),
        ),
        (
            "permission",
            403,
            gemini_error(403, "PERMISSION_DENIED", "No.", &json!([])),
            ("key-refused", None, None, None),
        ),
        (
            "a bad request harms no key",
            400,
            gemini_error(400, "INVALID_ARGUMENT", "Invalid JSON payload.", &json!([])),
            ("request-refused", None, None, None),
        ),
        (
            "no free tier here",
            400,
            gemini_error(400, "FAILED_PRECONDITION", "Please enable billing on your project.", &json!([])),
            ("billing", None, None, None),
        ),
        (
            "unknown model",
            404,
            gemini_error(404, "NOT_FOUND", "models/x is not found", &json!([])),
            ("request-refused", None, None, None),
        ),
        ("internal", 500, gemini_error(500, "INTERNAL", "Oops", &json!([])), ("transient", None, None, None)),
        (
            "deadline",
            504,
            gemini_error(504, "DEADLINE_EXCEEDED", "", &json!([])),
            ("transient", None, None, None),
        ),
        (
            "an error in a list",
            429,
            format!("[{}]", exhausted("", json!([retry_info("2s")]))),
            ("limited", None, Some(2_000), None),
        ),
        (
            "an error under 200",
            200,
            exhausted("", json!([retry_info("2s")])),
            ("limited", None, Some(2_000), None),
        ),
        (
            "a hostile number spoils the JSON, not the words",
            429,
            r#"{"error":{"code":1e309,"message":"Please retry in 3s."}}"#.to_owned(),
            ("limited", None, Some(3_000), None),
        ),
        (
            "hostile delays are ignored",
            429,
            exhausted(
                "",
                json!([retry_info("-5s"), retry_info("NaN"), retry_info("1e309s"), retry_info("2s")]),
            ),
            ("limited", None, Some(2_000), None),
        ),
        (
            "an absurd delay is bounded",
            429,
            exhausted("", json!([retry_info("99999999999s")])),
            ("limited", None, Some(LONGEST_HINT.as_millis()), None),
        ),
    ] {
        assert_eq!(kind(&read(Dialect::Gemini, status, &[], &body)), want, "{name}");
    }
}

#[test]
fn anthropic_refusals() {
    let error = |kind: &str, message: &str| {
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" })
            .to_string()
    };
    let spent_requests = [
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T12:01:00Z"),
    ];
    let with_retry: Vec<_> = spent_requests.into_iter().chain([("Retry-After", "9")]).collect();
    for (name, status, headers, body, want) in [
        (
            "retry-after in seconds",
            429,
            &[("retry-after", "41")][..],
            error(
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 50 requests per minute",
            ),
            ("limited", RPM, Some(41_000), Some(50)),
        ),
        (
            "input tokens",
            429,
            &[("retry-after", "3")],
            error("rate_limit_error", "… your rate limit of 40,000 input tokens per minute. See docs."),
            ("limited", TPM, Some(3_000), Some(40_000)),
        ),
        (
            "the headers alone: reset is when the bucket is full, one request fits after a fiftieth of it",
            429,
            &spent_requests,
            error("rate_limit_error", "Slow down."),
            ("limited", RPM, Some(1_200), Some(50)),
        ),
        (
            "the later of both",
            429,
            &with_retry,
            error("rate_limit_error", "Slow down."),
            ("limited", RPM, Some(9_000), Some(50)),
        ),
        ("no hint", 429, &[], error("rate_limit_error", "Slow."), ("limited", None, None, None)),
        ("overloaded", 529, &[], error("overloaded_error", "Overloaded"), ("overloaded", None, None, None)),
        (
            "bad key",
            401,
            &[],
            error("authentication_error", "invalid x-api-key"),
            ("key-refused", None, None, None),
        ),
        ("permission", 403, &[], error("permission_error", "no"), ("key-refused", None, None, None)),
        (
            "billing is a 400",
            400,
            &[],
            error("invalid_request_error", "Your credit balance is too low to access the API."),
            ("billing", None, None, None),
        ),
        (
            "bad request",
            400,
            &[],
            error("invalid_request_error", "max_tokens"),
            ("request-refused", None, None, None),
        ),
        (
            "unknown model",
            404,
            &[],
            error("not_found_error", "model: x"),
            ("request-refused", None, None, None),
        ),
        ("too large", 413, &[], error("request_too_large", "big"), ("request-refused", None, None, None)),
        ("internal", 500, &[], error("api_error", "Internal"), ("transient", None, None, None)),
        (
            "overloaded inside a good stream",
            200,
            &[("content-type", "text/event-stream")],
            format!(
                "event: message_start\ndata: {{}}\n\nevent: error\ndata: {}\n\n",
                error("overloaded_error", "Overloaded")
            ),
            ("overloaded", None, None, None),
        ),
        (
            "limited inside a good stream",
            200,
            &[],
            format!("event: error\ndata: {}\n\n", error("rate_limit_error", "x")),
            ("limited", None, None, None),
        ),
        ("a proxy's page", 529, &[], "<html>busy</html>".to_owned(), ("overloaded", None, None, None)),
    ] {
        assert_eq!(kind(&read(Dialect::Anthropic, status, headers, &body)), want, "{name}");
    }
}

#[test]
fn openai_refusals() {
    let error = |code: &str, kind: &str, message: &str| {
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
    };
    let limited = |message: &str| error("rate_limit_exceeded", "", message);
    let spent = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m0s"),
    ];
    for (name, status, headers, body, want) in [
        (
            "tokens per minute, in prose",
            429,
            &[][..],
            limited(
                "Rate limit reached for gpt in organization org on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.",
            ),
            ("limited", TPM, Some(2_000), Some(30_000)),
        ),
        (
            "requests per day",
            429,
            &[],
            limited(
                "Rate limit reached on requests per day (RPD): Limit 200, Used 200. Please try again in 7m12s.",
            ),
            ("limited", RPD, Some(432_000), Some(200)),
        ),
        (
            "a day's tokens are no requests",
            429,
            &[],
            limited(
                "Rate limit reached on tokens per day (TPD): Limit 100000, Used 99999. Please try again in 14m.",
            ),
            ("limited", RPD, Some(840_000), None),
        ),
        (
            "the type is the same for a minute's requests and a day's",
            429,
            &[],
            error("rate_limit_exceeded", "requests", "Rate limit reached. Please try again later."),
            ("limited", None, None, None),
        ),
        (
            "a type of tokens",
            429,
            &[],
            error("rate_limit_exceeded", "tokens", "Rate limit reached. Please try again later."),
            ("limited", TPM, None, None),
        ),
        (
            "milliseconds, seconds and prose: the latest",
            429,
            &[("retry-after-ms", "1500"), ("retry-after", "1")],
            limited("on requests per min (RPM): Limit 3, Used 3. Please try again in 20s."),
            ("limited", RPM, Some(20_000), Some(3)),
        ),
        (
            "milliseconds",
            429,
            &[("retry-after-ms", "1500")],
            limited(""),
            ("limited", None, Some(1_500), None),
        ),
        (
            "an HTTP date",
            429,
            &[("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT")],
            limited(""),
            ("limited", None, Some(30_000), None),
        ),
        (
            "reset is until full: one request fits after a sixtieth",
            429,
            &spent,
            limited(""),
            ("limited", RPM, Some(1_000), Some(60)),
        ),
        (
            "out of credit",
            429,
            &[],
            error("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
            ("billing", None, None, None),
        ),
        ("slow down", 503, &[], error("slow_down", "", "Slow Down"), ("limited", RPM, None, None)),
        (
            "slow down names no limit, or the pool would go on at it",
            503,
            &spent,
            error("slow_down", "", "Slow Down"),
            ("limited", RPM, Some(1_000), None),
        ),
        ("overloaded", 503, &[], error("", "server_error", "Overloaded"), ("overloaded", None, None, None)),
        (
            "bad key",
            401,
            &[],
            error("invalid_api_key", "", "Incorrect API key"),
            ("key-refused", None, None, None),
        ),
        (
            "OpenRouter's credits",
            402,
            &[],
            r#"{"error":{"code":402,"message":"x"}}"#.to_owned(),
            ("billing", None, None, None),
        ),
        (
            "OpenRouter's errors under 200",
            200,
            &[],
            r#"{"error":{"code":429,"message":"x"}}"#.to_owned(),
            ("limited", None, None, None),
        ),
        (
            "an unknown model",
            404,
            &[],
            error("model_not_found", "", "no"),
            ("request-refused", None, None, None),
        ),
        (
            "Ollama's plain error",
            404,
            &[],
            r#"{"error":"model \"x\" not found"}"#.to_owned(),
            ("request-refused", None, None, None),
        ),
        (
            "context too long",
            400,
            &[],
            error("context_length_exceeded", "", "long"),
            ("request-refused", None, None, None),
        ),
        ("a conflict may be repeated", 409, &[], error("", "", ""), ("transient", None, None, None)),
        (
            "hostile headers",
            429,
            &[("retry-after", "NaN"), ("retry-after-ms", "1e309"), ("x-ratelimit-limit-requests", "-1")],
            limited(""),
            ("limited", None, None, None),
        ),
    ] {
        assert_eq!(kind(&read(Dialect::OpenAi, status, headers, &body)), want, "{name}");
    }
}

#[test]
fn a_status_without_words() {
    for dialect in Dialect::ALL {
        for (status, want) in [
            (0, "transient"),
            (100, "transient"),
            (200, "transient"),
            (204, "transient"),
            (301, "request-refused"),
            (400, "request-refused"),
            (401, "key-refused"),
            (402, "billing"),
            (403, "key-refused"),
            (404, "request-refused"),
            (408, "transient"),
            (413, "request-refused"),
            (425, "transient"),
            (429, "limited"),
            (500, "transient"),
            (502, "transient"),
            (503, "overloaded"),
            (524, "transient"),
            (529, "overloaded"),
            (999, "transient"),
        ] {
            for body in ["", "<html>Bad Gateway</html>", "{}", "null", "[]", "\"words\"", "{\"error\":null}"]
            {
                // A page where a key would be refused is the network's.
                let want = if status == 403 && body.starts_with("<html>") { "transient" } else { want };
                assert_eq!(kind(&read(dialect, status, &[], body)).0, want, "{dialect} {status} {body:?}");
            }
        }
    }
}

#[test]
fn a_refusal_keeps_what_its_headers_say_of_every_limit() {
    let openai = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m0s"),
        ("x-ratelimit-limit-tokens", "90000"),
        ("x-ratelimit-remaining-tokens", "88000"),
    ];
    let anthropic = [
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-tokens-limit", "90000"),
        ("anthropic-ratelimit-tokens-remaining", "88000"),
    ];
    let slow_down = r#"{"error":{"code":"slow_down","message":"Slow Down"}}"#;
    for (name, dialect, headers, body, slower) in [
        ("OpenAI", Dialect::OpenAi, &openai[..], "{}", false),
        ("OpenAI asks for less", Dialect::OpenAi, &openai[..], slow_down, true),
        ("Anthropic", Dialect::Anthropic, &anthropic[..], "{}", false),
    ] {
        let Reply::Refused(Refusal::Limited { hints, slow_down, .. }) = read(dialect, 429, headers, body)
        else {
            panic!("{name}: not limited")
        };
        let said: Vec<_> = hints.iter().map(|hint| (hint.dimension, hint.limit, hint.remaining)).collect();
        let want = [
            (Dimension::RequestsPerMinute, Some(60), Some(0)),
            (Dimension::TokensPerMinute, Some(90_000), Some(88_000)),
        ];
        assert_eq!(said, want, "{name}");
        assert_eq!(slow_down, slower, "{name}");
    }
}
