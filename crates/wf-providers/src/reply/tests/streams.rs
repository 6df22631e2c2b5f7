//! Streamed replies of each dialect: whole ones, refusals inside, and those that end too early.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{End, Incoming, LONGEST_REPLY_BYTES, Wanted};

const STREAM: (&str, &str) = ("Content-Type", "text/event-stream; charset=utf-8");

/// Reads a body that comes in these pieces.
fn incoming(dialect: Dialect, headers: &[(&str, &str)], pieces: &[&[u8]], end: End) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut incoming = Incoming::new(dialect, 200, headers);
    let wants_more = pieces.iter().all(|piece| incoming.push(piece) == Wanted::More);
    incoming.finish(if wants_more { end } else { End::AsAnnounced }, NOW)
}

fn streamed(dialect: Dialect, body: &str) -> Reply {
    incoming(dialect, &[STREAM], &[body.as_bytes()], End::AsAnnounced)
}

fn cut(dialect: Dialect, body: &str) -> Reply {
    incoming(dialect, &[STREAM], &[body.as_bytes()], End::Cut("connection reset".into()))
}

fn events(dialect: Dialect, data: &[Value]) -> String {
    let event = |json: &Value| match (dialect, json["type"].as_str()) {
        (Dialect::Anthropic, Some(name)) => format!("event: {name}\ndata: {json}\n\n"),
        _ => format!("data: {json}\n\n"),
    };
    data.iter().map(event).collect()
}

/// The same answer as a stream and in one piece.
fn hello(dialect: Dialect) -> (String, String) {
    match dialect {
        Dialect::Gemini => {
            let chunk = |part: Value, finish: Value, counts: Value| json!({ "candidates": [{ "content": { "parts": [part], "role": "model" }, "finishReason": finish }], "usageMetadata": counts });
            let usage = json!({ "promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 5 });
            let chunks = [
                chunk(
                    json!({ "text": "hm", "thought": true }),
                    Value::Null,
                    json!({ "promptTokenCount": 9 }),
                ),
                chunk(
                    json!({ "text": "Hel" }),
                    Value::Null,
                    json!({ "promptTokenCount": 9, "candidatesTokenCount": 1 }),
                ),
                chunk(json!({ "text": "lo é" }), json!("STOP"), usage.clone()),
            ];
            (events(dialect, &chunks), chunk(json!({ "text": "Hello é" }), json!("STOP"), usage).to_string())
        }
        Dialect::Anthropic => {
            let delta = |delta: Value| json!({ "type": "content_block_delta", "index": 1, "delta": delta });
            let stream = [
                json!({ "type": "message_start", "message": { "content": [], "usage": { "input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1 } } }),
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "" } }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "hm" } }),
                json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
                json!({ "type": "ping" }),
                delta(json!({ "type": "text_delta", "text": "Hel" })),
                delta(json!({ "type": "text_delta", "text": "lo é" })),
                json!({ "type": "content_block_stop", "index": 1 }),
                json!({ "type": "an_event_of_tomorrow" }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 8 } }),
                json!({ "type": "message_stop" }),
            ];
            let whole = json!({ "content": [{ "type": "text", "text": "Hello é" }], "stop_reason": "end_turn",
                "usage": { "input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 8 } });
            (events(dialect, &stream), whole.to_string())
        }
        Dialect::OpenAi => {
            let chunk = |delta: Value, finish: Value| json!({ "object": "chat.completion.chunk", "usage": null, "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
            let usage = json!({ "prompt_tokens": 9, "completion_tokens": 8 });
            let stream = [
                chunk(json!({ "role": "assistant", "content": "", "refusal": null }), Value::Null),
                chunk(json!({ "content": "Hel" }), Value::Null),
                chunk(json!({ "content": "lo é" }), Value::Null),
                chunk(json!({}), json!("stop")),
                json!({ "object": "chat.completion.chunk", "choices": [], "usage": usage }),
            ];
            let whole = json!({ "choices": [{ "message": { "content": "Hello é" }, "finish_reason": "stop" }], "usage": usage });
            (events(dialect, &stream) + "data: [DONE]\n\n", whole.to_string())
        }
    }
}

#[test]
fn a_streamed_answer_is_the_same_answer() {
    let quota = [("anthropic-ratelimit-requests-limit", "50"), ("x-ratelimit-limit-requests", "60")];
    for dialect in Dialect::ALL {
        let (stream, whole) = hello(dialect);
        let want = read(dialect, 200, &quota, &whole);
        assert!(
            matches!(&want, Reply::Answer(answer) if answer.text == "Hello é" && answer.tokens_out == 8),
            "{want:?}"
        );
        let headers: Vec<_> = quota.into_iter().chain([STREAM]).collect();
        let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(incoming(dialect, &headers, &[stream.as_bytes()], End::AsAnnounced), want);
        assert_eq!(incoming(dialect, &headers, &single, End::AsAnnounced), want, "byte by byte");
        let crlf = stream.replace('\n', "\r\n");
        assert_eq!(incoming(dialect, &headers, &[crlf.as_bytes()], End::AsAnnounced), want);
        assert_eq!(
            incoming(dialect, &headers, &[whole.as_bytes()], End::AsAnnounced),
            want,
            "plain JSON under a stream's name"
        );
        assert_eq!(
            incoming(dialect, &quota, &[whole.as_bytes()], End::AsAnnounced),
            want,
            "no stream after all"
        );
    }
}

#[test]
fn a_stream_that_ends_anywhere_before_its_end_is_no_answer() {
    for dialect in Dialect::ALL {
        let (stream, _) = hello(dialect);
        // When the model has said why it stopped, all of the text is there: the end mark adds nothing, and some servers send none.
        let reason =
            ["\"finish_reason\":\"stop\"", "\"stop_reason\":\"end_turn\"", "\"finishReason\":\"STOP\""];
        let said = reason.iter().find_map(|reason| stream.find(reason)).expect("the stream says why");
        let whole = said + stream[said..].find("\n\n").unwrap() + 2;
        for at in (0..stream.len()).filter(|at| stream.is_char_boundary(*at)) {
            let reply = cut(dialect, &stream[..at]);
            let want = if at < whole { "transient" } else { "ok" };
            assert_eq!(kind(&reply).0, want, "{dialect} cut after {:?}", &stream[..at]);
            if at < whole {
                assert!(matches!(&reply, Reply::Refused(r) if r.detail().contains("connection reset")));
            }
        }
    }
    for (dialect, before_the_end) in [
        (Dialect::Gemini, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo é"),
        (Dialect::Anthropic, "event: message_delta"),
    ] {
        let (stream, _) = hello(dialect);
        let at = stream.rfind(before_the_end).unwrap();
        let ended = streamed(dialect, &stream[..at]);
        assert!(matches!(&ended, Reply::Refused(r) if r.detail().contains("end mark")), "{ended:?}");
    }
    let (stream, _) = hello(Dialect::OpenAi);
    let without_done = streamed(Dialect::OpenAi, stream.trim_end_matches("data: [DONE]\n\n"));
    assert_eq!(kind(&without_done).0, "ok", "some compatible servers send no [DONE]");
    let without_reason =
        streamed(Dialect::OpenAi, stream[..stream.find("\"stop\"").unwrap()].rsplit_once("data:").unwrap().0);
    assert_eq!(kind(&without_reason).0, "transient");
}

#[test]
fn after_the_end_mark_nothing_is_wanted_and_nothing_counts() {
    for (dialect, end) in [(Dialect::Anthropic, "message_stop"), (Dialect::OpenAi, "[DONE]")] {
        let (stream, _) = hello(dialect);
        assert!(stream.contains(end));
        let mut incoming = Incoming::new(dialect, 200, vec![(STREAM.0.into(), STREAM.1.into())]);
        assert_eq!(incoming.push(stream.as_bytes()), Wanted::Nothing);
        assert_eq!(incoming.push(b"data: {\"error\":{\"message\":\"late\"}}\n\n"), Wanted::Nothing);
        assert_eq!(kind(&incoming.finish(End::Cut("reset".into()), NOW)).0, "ok");
    }
}

#[test]
fn a_refusal_inside_a_stream_is_what_it_says() {
    let anthropic =
        |kind: &str, message: &str| json!({ "type": "error", "error": { "type": kind, "message": message } });
    let exhausted = gemini_error(
        429,
        "RESOURCE_EXHAUSTED",
        "",
        &json!([quota_failure(&[(PER_MINUTE, "15")]), retry_info("9s")]),
    );
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (dialect, error, want) in [
        (Dialect::Anthropic, anthropic("overloaded_error", "Overloaded"), ("overloaded", None, None, None)),
        (Dialect::Anthropic, anthropic("rate_limit_error", "x"), ("limited", None, None, None)),
        (Dialect::Anthropic, anthropic("api_error", "x"), ("transient", None, None, None)),
        (Dialect::Anthropic, anthropic("authentication_error", "x"), ("key-refused", None, None, None)),
        (Dialect::Anthropic, anthropic("invalid_request_error", "x"), ("request-refused", None, None, None)),
        (Dialect::Gemini, parsed(&exhausted), ("limited", RPM, Some(9_000), Some(15))),
        (
            Dialect::Gemini,
            parsed(&gemini_error(503, "UNAVAILABLE", "", &Value::Null)),
            ("overloaded", None, None, None),
        ),
        (
            Dialect::Gemini,
            parsed(&gemini_error(500, "INTERNAL", "", &Value::Null)),
            ("transient", None, None, None),
        ),
        (
            Dialect::OpenAi,
            json!({ "error": { "message": "x", "type": "server_error", "code": null } }),
            ("transient", None, None, None),
        ),
        (
            Dialect::OpenAi,
            json!({ "error": { "message": "x", "code": "rate_limit_exceeded" } }),
            ("limited", None, None, None),
        ),
        (Dialect::OpenAi, json!({ "error": { "message": "x", "code": 429 } }), ("limited", None, None, None)),
        (
            Dialect::OpenAi,
            json!({ "error": { "message": "x", "code": "502" }, "choices": [{ "delta": { "content": "" }, "finish_reason": "error" }] }),
            ("transient", None, None, None),
        ),
    ] {
        let (stream, _) = hello(dialect);
        let first_two: usize = stream.match_indices("\n\n").nth(1).unwrap().0 + 2;
        for before in ["", &stream[..first_two]] {
            let body = format!("{before}{}", events(dialect, std::slice::from_ref(&error)));
            assert_eq!(kind(&streamed(dialect, &body)), want, "{dialect} {error}");
            assert_eq!(kind(&cut(dialect, &body)), want, "{dialect} {error}, then cut");
        }
    }
    assert_eq!(kind(&streamed(Dialect::Anthropic, "event: error\ndata: no JSON\n\n")).0, "transient");
}

#[test]
fn answers_that_were_declined_or_withheld() {
    let gemini = |finish: &str| json!({ "candidates": [{ "content": { "parts": [{ "text": "part" }] }, "finishReason": finish }] });
    let openai = |delta: Value, finish: &str| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let stop =
        |reason: &str| json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": {} });
    let text = json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "part" } });
    let over = json!({ "type": "message_stop" });
    for (dialect, data, want) in [
        (Dialect::Gemini, vec![gemini("SAFETY")], "request-refused"),
        (Dialect::Gemini, vec![gemini("OTHER")], "transient"),
        (Dialect::Gemini, vec![gemini("MAX_TOKENS")], "ok"),
        (Dialect::Gemini, vec![json!({ "promptFeedback": { "blockReason": "SAFETY" } })], "request-refused"),
        (Dialect::Anthropic, vec![text.clone(), stop("refusal"), over.clone()], "request-refused"),
        (Dialect::Anthropic, vec![text, stop("max_tokens"), over], "ok"),
        (Dialect::OpenAi, vec![openai(json!({ "content": "part" }), "content_filter")], "request-refused"),
        (
            Dialect::OpenAi,
            vec![openai(json!({ "refusal": "I will" }), ""), openai(json!({ "refusal": " not." }), "stop")],
            "request-refused",
        ),
        (Dialect::OpenAi, vec![openai(json!({ "content": "part" }), "length")], "ok"),
    ] {
        assert_eq!(kind(&streamed(dialect, &events(dialect, &data))).0, want, "{data:?}");
    }
}

#[test]
fn an_event_that_cannot_be_read_spoils_the_answer() {
    for dialect in Dialect::ALL {
        let (stream, _) = hello(dialect);
        let spoiled = stream.replacen("data: {", "data: {{", 1);
        assert_eq!(kind(&streamed(dialect, &spoiled)).0, "transient");
        assert_eq!(kind(&streamed(dialect, "")).0, "transient");
        assert_eq!(kind(&streamed(dialect, ": only\n\n: comments\n\n")).0, "transient");
        assert_eq!(kind(&streamed(dialect, "<html>busy</html>")).0, "transient");
    }
}

#[test]
fn the_json_list_that_gemini_streams_without_events() {
    let chunk = |text: &str, finish: Value| json!({ "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": finish }] });
    let list = json!([chunk("One ", Value::Null), chunk("two.", json!("STOP"))]).to_string();
    let Reply::Answer(answer) = read(Dialect::Gemini, 200, &[], &list) else { panic!() };
    assert_eq!(answer.text, "One two.");
    let part = json!([chunk("One ", Value::Null)]).to_string();
    assert_eq!(kind(&read(Dialect::Gemini, 200, &[], &part)).0, "transient", "a part is no answer");
}

#[test]
fn replies_are_bounded_streamed_or_not() {
    let flood = vec![b' '; 1 << 20];
    for headers in [&[STREAM][..], &[]] {
        for piece in [flood.clone(), [b"data: {}\n\n", flood.as_slice(), b"\n"].concat()] {
            let mut incoming = Incoming::new(
                Dialect::Anthropic,
                200,
                headers.iter().map(|h| (h.0.into(), h.1.into())).collect(),
            );
            let pieces = (0..99).take_while(|_| incoming.push(&piece) == Wanted::More).count();
            assert!(pieces <= LONGEST_REPLY_BYTES / flood.len());
            let reply = incoming.finish(End::Cut("left".into()), NOW);
            assert!(
                matches!(&reply, Reply::Refused(Refusal::RequestRefused { detail }) if detail.contains("32 MiB")),
                "{reply:?}"
            );
        }
    }
}

#[test]
fn a_refusal_that_was_cut_is_still_known_by_its_status() {
    for (status, want) in [(429, "limited"), (401, "key-refused"), (500, "transient"), (200, "transient")] {
        let mut incoming = Incoming::new(Dialect::OpenAi, status, vec![("retry-after".into(), "7".into())]);
        incoming.push(b"{\"error\":{\"mess");
        let found = kind(&incoming.finish(End::Cut("reset".into()), NOW));
        assert_eq!((found.0, found.2), (want, (status == 429).then_some(7_000)), "{status}");
    }
}

proptest! {
    #[test]
    fn any_stream_in_any_pieces_is_read_alike(
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        status in prop::sample::select(vec![200_u16, 429, 500]),
        is_stream: bool,
        is_cut: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        size in 1_usize..40,
    ) {
        let mut bytes = hello(dialect).0.into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let read = |size: usize| {
            let headers = if is_stream { vec![(STREAM.0.to_owned(), STREAM.1.to_owned())] } else { vec![] };
            let mut incoming = Incoming::new(dialect, status, headers);
            let over = bytes.chunks(size).any(|piece| incoming.push(piece) == Wanted::Nothing);
            incoming.finish(if is_cut && !over { End::Cut("reset".into()) } else { End::AsAnnounced }, NOW)
        };
        let whole = read(bytes.len());
        prop_assert_eq!(&read(size), &whole);
    }
}
