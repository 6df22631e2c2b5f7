//! What is sent is read back by the client's side to the same facts, for all dialects.

use wf_providers::{
    Delivery, Dialect as Theirs, Dimension as Limit, End, Incoming, Prompt, Refusal as Read, Reply,
    build_request, read_reply,
};

use super::*;

const BOTH: [(Dialect, Theirs); 3] = [
    (Dialect::Gemini, Theirs::Gemini),
    (Dialect::Anthropic, Theirs::Anthropic),
    (Dialect::OpenAi, Theirs::OpenAi),
];

/// 2026-11-21T12:00:00Z.
const NOW: Duration = Duration::from_secs(1_795_262_400);

fn manner(hints: bool) -> Manner<'static> {
    let level =
        |limit, remaining, seconds| Some(Level { limit, remaining, full_in: Duration::from_secs(seconds) });
    let levels = Levels { requests: level(60, 59, 1), tokens: level(1_000, 250, 45) };
    Manner { model: "mock-1", hints, now_unix: NOW, whole_seconds: true, levels }
}

fn read(theirs: Theirs, sent: &Encoded) -> Reply {
    let headers: Vec<_> =
        sent.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    read_reply(theirs, sent.status, &headers, sent.body.as_bytes(), NOW)
}

#[test]
fn requests_of_the_client_s_side_are_understood() {
    let prompt = Prompt::ask("Be brief.", "Hello", 77);
    let deliveries = [Delivery::Whole, Delivery::Streamed];
    for ((ours, theirs), delivery) in BOTH.into_iter().flat_map(|both| deliveries.map(|d| (both, d))) {
        let request = build_request(theirs, "http://h", "mock-1", "the-key", &prompt, delivery);
        let address = request.url.strip_prefix("http://h").unwrap();
        let path = address.split('?').next().unwrap();
        let Route::Generate(dialect, model) = route(request.method, path, |_| false) else {
            panic!("{path}")
        };
        assert_eq!(dialect, ours);
        let header = |name: &str| {
            request.headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.clone())
        };
        assert_eq!(dialect.secret(header, "").as_deref(), Some("the-key"));
        let call = dialect.read(model, address, request.body.as_bytes()).unwrap();
        assert_eq!(
            (call.model.as_str(), call.system.as_str(), call.prompt.as_str()),
            ("mock-1", "Be brief.", "Hello")
        );
        assert_eq!(call.max_output_tokens, Some(77));
        let form = if delivery == Delivery::Whole { Form::Whole } else { Form::Events { usage: true } };
        assert_eq!(call.form, form);
    }
}

#[test]
fn answers_are_read_back_with_their_usage_and_hints() {
    for (ours, theirs) in BOTH {
        for truncated in [false, true] {
            let answer =
                Answer { text: "One\ntwo \"three\"".into(), tokens_in: 12, tokens_out: 5, truncated };
            let Reply::Answer(read) = read(theirs, &ours.answer(&answer, &manner(true))) else { panic!() };
            assert_eq!(
                (read.text, read.tokens_in, read.tokens_out, read.truncated),
                (answer.text, 12, 5, truncated)
            );
            let hints: Vec<_> = read
                .hints
                .iter()
                .map(|h| (h.dimension, h.limit, h.remaining, h.reset.map(|d| d.as_secs())))
                .collect();
            let sent = [
                (Limit::RequestsPerMinute, Some(60), Some(59), Some(1)),
                (Limit::TokensPerMinute, Some(1_000), Some(250), Some(45)),
            ];
            let expected = if ours == Dialect::Gemini { &[][..] } else { &sent[..] };
            assert_eq!(hints, expected, "{ours:?}");
        }
        let answer = Answer { text: "x".into(), tokens_in: 1, tokens_out: 1, truncated: false };
        assert_eq!(ours.answer(&answer, &manner(false)).headers, []);
    }
}

/// What the client makes of a reply that comes as a stream of events, byte by byte.
fn read_stream(theirs: Theirs, sent: &Encoded) -> Reply {
    assert!(sent.is_stream);
    let mut headers: Vec<_> =
        sent.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    headers.push(("content-type".into(), "text/event-stream".into()));
    let mut incoming = Incoming::new(theirs, sent.status, headers);
    for byte in sent.body.as_bytes() {
        incoming.push(std::slice::from_ref(byte));
    }
    incoming.finish(End::AsAnnounced, NOW)
}

#[test]
fn streams_are_read_back_to_the_same_answer_or_the_error_inside() {
    let events = Form::Events { usage: true };
    for (ours, theirs) in BOTH {
        for (text, truncated) in [("One\ntwo \"three\" ümläut ".repeat(9), false), ("x".into(), true)] {
            let answer = Answer { text, tokens_in: 12, tokens_out: 5, truncated };
            let whole = read(theirs, &ours.answer(&answer, &manner(true)));
            assert_eq!(read_stream(theirs, &ours.reply(events, &answer, None, &manner(true))), whole);
            let broken = ours.reply(events, &answer, Some(&Refusal::Overloaded), &manner(true));
            let reply = read_stream(theirs, &broken);
            let Reply::Refused(refusal) = reply else { panic!("{ours:?}: {}", broken.body) };
            let is_known = matches!(refusal, Read::Overloaded { .. } | Read::Transient { .. });
            assert!(is_known && refusal.detail().contains("verloaded"), "{ours:?}: {refusal:?}");
            let instead = ours.reply(Form::Whole, &answer, Some(&Refusal::Overloaded), &manner(true));
            assert!(instead.status >= 500 && !instead.is_stream);
        }
    }
    let answer = Answer { text: "One two three".into(), tokens_in: 1, tokens_out: 3, truncated: false };
    let list = Dialect::Gemini.reply(Form::List, &answer, None, &manner(true));
    assert!(list.body.starts_with('[') && !list.is_stream);
    assert!(matches!(read(Theirs::Gemini, &list), Reply::Answer(read) if read.text == answer.text));
}

#[test]
fn a_model_without_quota_is_a_limit_of_zero_where_the_provider_says_so() {
    for (ours, theirs) in BOTH {
        for hints in [true, false] {
            let sent = ours.refusal(&Refusal::NoQuota, &manner(hints));
            let Reply::Refused(refusal) = read(theirs, &sent) else { panic!() };
            match (ours, refusal) {
                (Dialect::OpenAi, Read::RequestRefused { .. })
                | (_, Read::Limited { limit: Some(0), .. }) => {}
                (_, other) => panic!("{ours:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn limits_are_read_back_to_the_same_facts() {
    let wait = Duration::from_millis(12_500);
    for (ours, theirs) in BOTH {
        for (dimension, want) in [
            (Dimension::RequestsPerMinute, Some(Limit::RequestsPerMinute)),
            (Dimension::TokensPerMinute, Some(Limit::TokensPerMinute)),
            (Dimension::RequestsPerDay, Some(Limit::RequestsPerDay)),
            (Dimension::Concurrency, None),
        ] {
            let sent = ours.refusal(&Refusal::Limited(dimension, 1_500, wait), &manner(true));
            let Reply::Refused(Read::Limited { dimension, retry_after, limit, .. }) = read(theirs, &sent)
            else {
                panic!("{ours:?}: {}", sent.body)
            };
            if ours != Dialect::OpenAi || want.is_some() {
                assert_eq!(dimension, want, "{ours:?}");
            }
            let told = retry_after.unwrap();
            let day_of_gemini = ours == Dialect::Gemini && want == Some(Limit::RequestsPerDay);
            assert!(told >= wait, "{ours:?} {want:?}: {told:?}");
            assert!(told <= Duration::from_secs(13) || day_of_gemini, "{ours:?} {want:?}: {told:?}");
            if want.is_some() && !(ours == Dialect::Anthropic && want == Some(Limit::RequestsPerDay)) {
                assert_eq!(limit, Some(1_500), "{ours:?} {want:?}");
            }
        }
        let silent = ours.refusal(&Refusal::Limited(Dimension::RequestsPerMinute, 5, wait), &manner(false));
        let Reply::Refused(Read::Limited { retry_after, limit, .. }) = read(theirs, &silent) else {
            panic!()
        };
        assert_eq!((retry_after, limit), (None, None), "{ours:?} without hints");
    }
}

#[test]
fn other_refusals_are_read_back_as_what_they_are() {
    for (ours, theirs) in BOTH {
        for (refusal, is) in [
            (Refusal::Overloaded, "overloaded"),
            (Refusal::Failed, "transient"),
            (Refusal::KeyMissing, "key refused"),
            (Refusal::KeyInvalid, "key refused"),
            (Refusal::NoCapacity, "overloaded"),
            (Refusal::NoCredit, "billing"),
            (Refusal::BadRequest("contents: missing".into()), "request refused"),
        ] {
            let sent = ours.refusal(&refusal, &manner(true));
            let Reply::Refused(read) = read(theirs, &sent) else { panic!("{refusal:?} is no answer") };
            let found = match read {
                Read::Limited { .. } => "limited",
                Read::Overloaded { .. } => "overloaded",
                Read::KeyRefused { .. } => "key refused",
                Read::Billing { .. } => "billing",
                Read::RequestRefused { .. } => "request refused",
                Read::Transient { .. } => "transient",
            };
            assert_eq!(found, is, "{ours:?}: {}", sent.body);
        }
    }
    let revoked = Dialect::Gemini.refusal(&Refusal::KeyInvalid, &manner(true));
    assert_eq!(revoked.status, 400, "Gemini refuses a bad key as a bad argument");
    let overloaded = Dialect::Anthropic.refusal(&Refusal::Overloaded, &manner(true));
    assert_eq!(overloaded.status, 529);
}

#[test]
fn paths_lead_where_they_should() {
    for (method, path, want) in [
        (
            "POST",
            "/v1beta/models/gemini-x:generateContent",
            Route::Generate(Dialect::Gemini, Some("gemini-x".into())),
        ),
        ("POST", "/v1beta/models/:generateContent", Route::Unknown),
        ("POST", "/v1beta/models/a/b:generateContent", Route::Unknown),
        ("POST", "/v1/messages", Route::Generate(Dialect::Anthropic, None)),
        ("GET", "/v1/messages", Route::Unknown),
        ("GET", "/v1beta/models", Route::Models(Dialect::Gemini)),
        ("GET", "/v1/models", Route::Models(Dialect::OpenAi)),
        ("GET", "/__mock/counters", Route::Counters),
        ("POST", "/__mock/control", Route::Control),
        ("GET", "/", Route::Unknown),
    ] {
        assert_eq!(route(method, path, |_| false), want, "{method} {path}");
    }
    for (header, dialect) in [("anthropic-version", Dialect::Anthropic), ("x-goog-api-key", Dialect::Gemini)]
    {
        assert_eq!(route("GET", "/v1/models", |name| name == header), Route::Models(dialect));
    }
    let bearer = |name: &str| (name == "authorization").then(|| "Bearer the-key".to_owned());
    assert_eq!(Dialect::Anthropic.secret(bearer, "").as_deref(), Some("the-key"));
}

#[test]
fn requests_that_are_none_are_refused_with_a_reason() {
    for (dialect, body, words) in [
        (Dialect::Gemini, "", "not JSON"),
        (Dialect::Gemini, "{}", "contents"),
        (Dialect::Anthropic, r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens"),
        (Dialect::Anthropic, r#"{"model":"m","max_tokens":1,"messages":[]}"#, "messages"),
        (Dialect::OpenAi, r#"{"messages":[{"role":"user","content":"x"}]}"#, "model"),
    ] {
        let refused = dialect.read(Some("m".into()), "", body.as_bytes()).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}
