//! Whatever comes in, something sensible comes out.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{LONGEST_HINT, LONGEST_MESSAGE_CHARS};

/// JSON in the shapes of all dialects with arbitrary leaves, so that the readers get past their first test.
fn hostile_body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(Please retry in |limit: |-)?[0-9]{0,25}(e[0-9]{0,3})?(\\.[0-9]{0,12})?(ms|s|m|h)?"
            .prop_map(Value::from),
        prop::sample::select(vec![
            "RESOURCE_EXHAUSTED",
            "rate_limit_error",
            "rate_limit_exceeded",
            "slow_down",
            "MAX_TOKENS",
            PER_DAY,
            TOKENS,
            "type.googleapis.com/google.rpc.RetryInfo",
            "type.googleapis.com/google.rpc.QuotaFailure",
            "text",
        ])
        .prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "error",
        "message",
        "status",
        "code",
        "type",
        "details",
        "@type",
        "retryDelay",
        "violations",
        "quotaId",
        "quotaValue",
        "candidates",
        "content",
        "parts",
        "text",
        "finishReason",
        "usageMetadata",
        "promptTokenCount",
        "usage",
        "input_tokens",
        "prompt_tokens",
        "choices",
        "finish_reason",
        "stop_reason",
        "seconds",
        "nanos",
    ]);
    let value = leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    });
    prop_oneof![value.prop_map(|value| value.to_string()), any::<String>()]
}

fn hostile_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = prop::sample::select(vec![
        "Retry-After",
        "retry-after-ms",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-tokens-limit",
        "x-groq-region",
    ]);
    let values = prop_oneof![
        any::<String>(),
        "-?[0-9]{0,22}(e[0-9]{0,3})?(ms|s|m0s)?",
        Just("2026-11-21T12:00:00Z".to_owned()),
        Just("9999-12-31T23:59:59Z".to_owned()),
    ];
    prop::collection::vec((names.prop_map(str::to_owned), values), 0..10)
}

proptest! {
    #[test]
    fn the_classifier_is_total(
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        status in prop_oneof![any::<u16>(), 199_u16..205, 399_u16..432, 500_u16..530],
        headers in hostile_headers(),
        body in hostile_body(),
        now_s in prop_oneof![any::<u64>(), Just(NOW.as_secs())],
    ) {
        let now = Duration::from_secs(now_s);
        let _ = read_key_check(dialect, status, &headers, body.as_bytes(), now);
        match read_reply(dialect, status, &headers, body.as_bytes(), now) {
            Reply::Answer(answer) => {
                prop_assert!((200..300).contains(&status));
                for hint in answer.hints {
                    let _ = hint.fits_after(1);
                }
            }
            Reply::Refused(refusal) => {
                prop_assert!(refusal.detail().chars().count() <= LONGEST_MESSAGE_CHARS);
                prop_assert!(!refusal.detail().chars().any(char::is_control));
                if let Refusal::Limited { retry_after: Some(wait), .. } | Refusal::Overloaded { retry_after: Some(wait), .. } = refusal {
                    prop_assert!(wait <= LONGEST_HINT);
                }
            }
        }
    }

    #[test]
    fn any_bytes_will_do(dialect in prop::sample::select(Dialect::ALL.to_vec()), status: u16, body: Vec<u8>) {
        let _ = read_reply(dialect, status, &[], &body, NOW);
    }
}
