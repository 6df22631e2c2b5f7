//! Answers of each dialect, with their usage and hints.

use serde_json::json;

use super::*;

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Answer(answer) => answer,
        Reply::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[test]
fn gemini_answers() {
    let body = json!({
        "candidates": [{
            "content": { "role": "model", "parts": [
                { "text": "Let me think.", "thought": true }, { "text": "One " }, { "text": "two." },
            ]},
            "finishReason": "STOP",
        }],
        "usageMetadata": { "promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 5 },
    });
    let want =
        Answer { text: "One two.".into(), tokens_in: 100, tokens_out: 25, truncated: false, hints: vec![] };
    assert_eq!(answer(read(Dialect::Gemini, 200, &[], &body.to_string())), want);

    let cut = json!({ "candidates": [{ "content": { "parts": [{ "text": "One" }] }, "finishReason": "MAX_TOKENS" }] });
    let cut = answer(read(Dialect::Gemini, 200, &[], &cut.to_string()));
    assert_eq!((cut.text.as_str(), cut.truncated, cut.tokens_out), ("One", true, 0));

    for (body, want, words) in [
        (json!({ "promptFeedback": { "blockReason": "SAFETY" } }), "request-refused", "blocked (SAFETY)"),
        (
            json!({ "candidates": [{ "finishReason": "RECITATION" }] }),
            "request-refused",
            "withheld (RECITATION)",
        ),
        (json!({ "candidates": [{}] }), "transient", "without text"),
        (json!({ "candidates": [] }), "transient", "without text"),
    ] {
        let reply = read(Dialect::Gemini, 200, &[], &body.to_string());
        assert_eq!(kind(&reply).0, want, "{body}");
        assert!(matches!(&reply, Reply::Refused(r) if r.detail().contains(words)), "{reply:?}");
    }
}

#[test]
fn anthropic_answers_and_hints() {
    let headers = [
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:01.2Z"),
        ("Anthropic-RateLimit-Input-Tokens-Limit", "40000"),
        ("anthropic-ratelimit-input-tokens-remaining", "39000"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-11-21T12:00:02Z"),
        ("anthropic-ratelimit-output-tokens-limit", "8000"),
        ("anthropic-ratelimit-output-tokens-remaining", "1000"),
        ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T12:00:52Z"),
    ];
    let body = json!({
        "type": "message", "role": "assistant", "stop_reason": "end_turn",
        "content": [{ "type": "thinking", "thinking": "hm" }, { "type": "text", "text": "Hello." }],
        "usage": { "input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0, "output_tokens": 3 },
    })
    .to_string();
    let requests = QuotaHint {
        dimension: Dimension::RequestsPerMinute,
        limit: Some(50),
        remaining: Some(49),
        reset: Some(Duration::from_millis(1_200)),
    };
    let output = QuotaHint {
        dimension: Dimension::TokensPerMinute,
        limit: Some(8_000),
        remaining: Some(1_000),
        reset: Some(Duration::from_secs(52)),
    };
    let found = answer(read(Dialect::Anthropic, 200, &headers, &body));
    assert_eq!((found.text.as_str(), found.tokens_in, found.tokens_out), ("Hello.", 100, 3));
    assert_eq!(found.hints, vec![requests, output], "without `tokens`, the tighter of input and output");

    let most_restrictive =
        [("anthropic-ratelimit-tokens-limit", "48000"), ("anthropic-ratelimit-tokens-remaining", "47000")];
    let headers: Vec<_> = headers.into_iter().chain(most_restrictive).collect();
    let found = answer(read(Dialect::Anthropic, 200, &headers, &body));
    assert_eq!(found.hints[1].limit, Some(48_000));
}

#[test]
fn openai_answers_and_hints() {
    let body = json!({
        "choices": [{ "message": { "role": "assistant", "content": "Hi." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 },
    })
    .to_string();
    let requests = |limit: &'static str, remaining: &'static str, reset: &'static str| {
        [
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ]
    };
    for (name, headers, want) in [
        ("OpenAI, a minute", requests("60", "59", "1s"), Some((RPM, 60, Some(59)))),
        ("OpenAI's free tier, a day", requests("200", "199", "7m12s"), Some((RPD, 200, Some(199)))),
        ("Groq, a day", requests("14400", "14370", "2m59.56s"), Some((RPD, 14_400, Some(14_370)))),
        ("a full bucket tells no period", requests("60", "60", "0s"), Some((RPM, 60, Some(60)))),
        ("Azure's unknown", requests("-1", "-1", ""), None),
        ("Azure's other unknown", requests("0", "0", "0s"), None),
        ("nonsense", requests("many", "few", "soon"), None),
        ("hostile", requests("1e309", "NaN", "-1s"), None),
    ] {
        let found = answer(read(Dialect::OpenAi, 200, &headers, &body));
        assert_eq!((found.text.as_str(), found.tokens_in, found.tokens_out), ("Hi.", 7, 2));
        let hint =
            found.hints.first().map(|hint| (Some(hint.dimension), hint.limit.unwrap_or(0), hint.remaining));
        assert_eq!(hint, want, "{name}");
    }
    assert_eq!(answer(read(Dialect::OpenAi, 200, &[], &body)).hints, vec![], "vLLM, Ollama, llama.cpp");

    let parts = json!({ "choices": [{ "message": { "content": [{ "type": "text", "text": "a" }, { "text": "b" }] },
        "finish_reason": "length" }] });
    let parts = answer(read(Dialect::OpenAi, 200, &[], &parts.to_string()));
    assert_eq!((parts.text.as_str(), parts.truncated), ("ab", true));

    let declined = json!({ "choices": [{ "message": { "content": null, "refusal": "I will not." } }] });
    assert_eq!(kind(&read(Dialect::OpenAi, 200, &[], &declined.to_string())).0, "request-refused");
}

#[test]
fn a_model_that_ends_without_a_word_has_answered() {
    for (dialect, body) in [
        (
            Dialect::Gemini,
            json!({ "candidates": [{ "finishReason": "STOP" }], "usageMetadata": { "promptTokenCount": 9 } }),
        ),
        (
            Dialect::Anthropic,
            json!({ "content": [], "stop_reason": "end_turn", "usage": { "input_tokens": 9 } }),
        ),
        (
            Dialect::OpenAi,
            json!({ "choices": [{ "message": { "content": "" }, "finish_reason": "stop" }],
                    "usage": { "prompt_tokens": 9 } }),
        ),
    ] {
        let answer = answer(read(dialect, 200, &[], &body.to_string()));
        assert_eq!((answer.text.as_str(), answer.truncated, answer.tokens_in), ("", false, 9), "{dialect:?}");
    }
}
