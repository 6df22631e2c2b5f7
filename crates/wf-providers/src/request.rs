//! From a prompt to the bytes of an HTTP request.

use std::fmt;

use serde_json::{Value, json};

use crate::Dialect;

/// Anthropic's version of the Messages API that this crate speaks (platform.claude.com, "Versioning").
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Us.
    User,
    /// The model, in an earlier turn.
    Model,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who said it.
    pub speaker: Speaker,
    /// What was said.
    pub text: String,
}

/// How the reply is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In one piece, when all of it is there.
    Whole,
    /// As server-sent events, while the model writes.
    Streamed,
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The standing instructions; may be empty.
    pub system: String,
    /// The conversation so far. It begins and ends with a turn of [`Speaker::User`].
    pub turns: Vec<Turn>,
    /// Upper bound of the reply, in tokens.
    pub max_output_tokens: u32,
}

impl Prompt {
    /// A single question.
    pub fn ask(system: impl Into<String>, question: impl Into<String>, max_output_tokens: u32) -> Prompt {
        let turns = vec![Turn { speaker: Speaker::User, text: question.into() }];
        Prompt { system: system.into(), turns, max_output_tokens }
    }

    /// A rough count of the input's tokens, for reserving quota before the provider has counted.
    ///
    /// One token for four bytes of text is the rule of thumb all three providers give for English; each turn costs
    /// a few more for its frame.
    pub fn estimated_input_tokens(&self) -> u64 {
        let bytes = self.system.len() + self.turns.iter().map(|turn| turn.text.len()).sum::<usize>();
        (bytes as u64).div_ceil(4) + 4 * (self.turns.len() as u64 + 1)
    }
}

/// An HTTP request, ready to be sent. The key is in one header and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`, or `GET` for a key check.
    pub method: &'static str,
    /// The whole address.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON; empty for a key check.
    pub body: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header names only: one of the values is the key.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The request that asks `model` at `base_url` with this key.
///
/// `base_url` is scheme, host and optional path prefix; a trailing slash, and an API version at its end as many
/// compatible servers document it (`https://openrouter.ai/api/v1`), are understood.
pub fn build_request(
    dialect: Dialect,
    base_url: &str,
    model: &str,
    secret: &str,
    prompt: &Prompt,
    delivery: Delivery,
) -> Request {
    let streamed = delivery == Delivery::Streamed;
    let (url, mut body) = match dialect {
        Dialect::Gemini => {
            let model = escaped(model.strip_prefix("models/").unwrap_or(model));
            let verb = if streamed { "streamGenerateContent?alt=sse" } else { "generateContent" };
            (endpoint(base_url, "v1beta", &format!("models/{model}:{verb}")), gemini_body(prompt))
        }
        Dialect::Anthropic => (endpoint(base_url, "v1", "messages"), anthropic_body(model, prompt)),
        Dialect::OpenAi => {
            (endpoint(base_url, "v1", "chat/completions"), openai_body(base_url, model, prompt))
        }
    };
    if streamed && dialect != Dialect::Gemini {
        body["stream"] = Value::from(true);
    }
    if streamed && dialect == Dialect::OpenAi {
        // Else nobody says what the call cost.
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut headers = key_headers(dialect, secret);
    headers.push(("content-type", "application/json".to_owned()));
    // A server that does not stream may answer in one piece all the same.
    let accept = if streamed { "text/event-stream, application/json" } else { "application/json" };
    headers.push(("accept", accept.to_owned()));
    Request { method: "POST", url, headers, body: body.to_string() }
}

/// The request that finds out whether a key is good without spending anything: the list of models.
pub fn build_key_check(dialect: Dialect, base_url: &str, secret: &str) -> Request {
    let version = if dialect == Dialect::Gemini { "v1beta" } else { "v1" };
    let url = endpoint(base_url, version, "models");
    Request { method: "GET", url, headers: key_headers(dialect, secret), body: String::new() }
}

fn key_headers(dialect: Dialect, secret: &str) -> Vec<(&'static str, String)> {
    match dialect {
        Dialect::Gemini => vec![("x-goog-api-key", secret.to_owned())],
        Dialect::Anthropic => {
            vec![("x-api-key", secret.to_owned()), ("anthropic-version", ANTHROPIC_VERSION.to_owned())]
        }
        Dialect::OpenAi => vec![("authorization", format!("Bearer {secret}"))],
    }
}

fn endpoint(base_url: &str, version: &str, path: &str) -> String {
    let base = base_url.trim_end_matches('/');
    let last = base.rsplit('/').next().unwrap_or_default();
    let has_version =
        last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && !last.contains('.');
    if has_version { format!("{base}/{path}") } else { format!("{base}/{version}/{path}") }
}

/// A model's name as one path segment: everything but unreserved characters is percent-encoded, so that a name can
/// never become another path.
fn escaped(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            const HEX: [char; 16] =
                ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
    out
}

fn gemini_body(prompt: &Prompt) -> Value {
    let contents: Vec<Value> = prompt
        .turns
        .iter()
        .map(|turn| {
            let role = if turn.speaker == Speaker::User { "user" } else { "model" };
            json!({ "role": role, "parts": [{ "text": turn.text }] })
        })
        .collect();
    let mut body = json!({
        "contents": contents,
        "generationConfig": { "maxOutputTokens": prompt.max_output_tokens },
    });
    if !prompt.system.is_empty() {
        body["systemInstruction"] = json!({ "parts": [{ "text": prompt.system }] });
    }
    body
}

fn chat_turns(prompt: &Prompt) -> Vec<Value> {
    let role = |speaker| if speaker == Speaker::User { "user" } else { "assistant" };
    prompt.turns.iter().map(|turn| json!({ "role": role(turn.speaker), "content": turn.text })).collect()
}

fn anthropic_body(model: &str, prompt: &Prompt) -> Value {
    let mut body = json!({
        "model": model,
        "max_tokens": prompt.max_output_tokens,
        "messages": chat_turns(prompt),
    });
    if !prompt.system.is_empty() {
        body["system"] = Value::from(prompt.system.as_str());
    }
    body
}

fn openai_body(base_url: &str, model: &str, prompt: &Prompt) -> Value {
    let mut messages = chat_turns(prompt);
    if !prompt.system.is_empty() {
        messages.insert(0, json!({ "role": "system", "content": prompt.system }));
    }
    let mut body = json!({ "model": model, "messages": messages });
    // OpenAI's own reasoning models refuse the old name; many compatible servers know no other.
    let bound = if is_openai_itself(base_url) { "max_completion_tokens" } else { "max_tokens" };
    body[bound] = Value::from(prompt.max_output_tokens);
    body
}

fn is_openai_itself(base_url: &str) -> bool {
    let authority = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = authority.split(['/', ':']).next().unwrap_or_default();
    host == "openai.com" || host.ends_with(".openai.com") || host.ends_with(".openai.azure.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-very-secret-key";

    fn prompt() -> Prompt {
        let mut prompt = Prompt::ask("Be brief.", "Draft it.", 512);
        prompt.turns.push(Turn { speaker: Speaker::Model, text: "A draft.".into() });
        prompt.turns.push(Turn { speaker: Speaker::User, text: "Again.".into() });
        prompt
    }

    fn built(dialect: Dialect, base: &str, model: &str) -> (Request, Value) {
        let request = build_request(dialect, base, model, SECRET, &prompt(), Delivery::Whole);
        let body = serde_json::from_str(&request.body).unwrap();
        (request, body)
    }

    #[test]
    fn gemini() {
        let (request, body) = built(Dialect::Gemini, "http://h", "models/gemini-3.6-flash");
        assert_eq!(
            (request.method, request.url.as_str()),
            ("POST", "http://h/v1beta/models/gemini-3.6-flash:generateContent")
        );
        assert_eq!(request.headers[0], ("x-goog-api-key", SECRET.to_owned()));
        assert_eq!(
            body,
            json!({
                "systemInstruction": { "parts": [{ "text": "Be brief." }] },
                "contents": [
                    { "role": "user", "parts": [{ "text": "Draft it." }] },
                    { "role": "model", "parts": [{ "text": "A draft." }] },
                    { "role": "user", "parts": [{ "text": "Again." }] },
                ],
                "generationConfig": { "maxOutputTokens": 512 },
            })
        );
    }

    #[test]
    fn anthropic() {
        let (request, body) = built(Dialect::Anthropic, "http://h/", "claude-opus-5-5");
        assert_eq!(request.url, "http://h/v1/messages");
        assert_eq!(request.headers[0], ("x-api-key", SECRET.to_owned()));
        assert_eq!(request.headers[1], ("anthropic-version", "2023-06-01".to_owned()));
        assert_eq!(
            body,
            json!({
                "model": "claude-opus-5-5",
                "max_tokens": 512,
                "system": "Be brief.",
                "messages": [
                    { "role": "user", "content": "Draft it." },
                    { "role": "assistant", "content": "A draft." },
                    { "role": "user", "content": "Again." },
                ],
            })
        );
    }

    #[test]
    fn openai_and_compatible() {
        let (request, body) = built(Dialect::OpenAi, "https://api.openai.com", "gpt-5.5");
        assert_eq!(request.url, "https://api.openai.com/v1/chat/completions");
        assert_eq!(request.headers[0], ("authorization", format!("Bearer {SECRET}")));
        assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be brief." }));
        assert_eq!((body["max_completion_tokens"].as_u64(), body.get("max_tokens")), (Some(512), None));
        let (request, body) = built(Dialect::OpenAi, "https://openrouter.ai/api/v1", "meta/llama");
        assert_eq!(request.url, "https://openrouter.ai/api/v1/chat/completions");
        assert_eq!((body["max_tokens"].as_u64(), body.get("max_completion_tokens")), (Some(512), None));
    }

    #[test]
    fn a_stream_is_asked_for_in_each_dialects_own_way() {
        for (dialect, url, more) in [
            (Dialect::Gemini, "http://h/v1beta/models/m:streamGenerateContent?alt=sse", json!({})),
            (Dialect::Anthropic, "http://h/v1/messages", json!({ "stream": true })),
            (
                Dialect::OpenAi,
                "http://h/v1/chat/completions",
                json!({ "stream": true, "stream_options": { "include_usage": true } }),
            ),
        ] {
            let ask = |delivery| build_request(dialect, "http://h", "m", SECRET, &prompt(), delivery);
            let (whole, streamed) = (ask(Delivery::Whole), ask(Delivery::Streamed));
            assert_eq!(streamed.url, url);
            let mut body: Value = serde_json::from_str(&whole.body).unwrap();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(
                serde_json::from_str::<Value>(&streamed.body).unwrap(),
                body,
                "and nothing else changes"
            );
            assert!(streamed.headers.contains(&("accept", "text/event-stream, application/json".to_owned())));
        }
    }

    #[test]
    fn an_empty_system_text_is_left_out() {
        let bare = Prompt::ask("", "Hello", 8);
        for dialect in Dialect::ALL {
            let body = build_request(dialect, "http://h", "m", SECRET, &bare, Delivery::Whole).body;
            assert!(!body.contains("system"), "{body}");
        }
    }

    #[test]
    fn a_model_name_stays_in_its_path_segment() {
        let (request, _) = built(Dialect::Gemini, "http://h", "../../v1/x?key=1#é");
        assert_eq!(request.url, "http://h/v1beta/models/..%2F..%2Fv1%2Fx%3Fkey%3D1%23%C3%A9:generateContent");
    }

    #[test]
    fn a_version_at_the_end_of_the_base_is_not_repeated() {
        for (base, url) in [
            ("http://h/v1/", "http://h/v1/messages"),
            ("http://h/proxy", "http://h/proxy/v1/messages"),
            ("http://v2.example.org", "http://v2.example.org/v1/messages"),
            ("http://h/vendor", "http://h/vendor/v1/messages"),
        ] {
            let request = build_request(Dialect::Anthropic, base, "m", SECRET, &prompt(), Delivery::Whole);
            assert_eq!(request.url, url);
        }
    }

    #[test]
    fn the_key_is_in_one_header_only() {
        for dialect in Dialect::ALL {
            for request in [
                build_request(dialect, "http://h", "m", SECRET, &prompt(), Delivery::Whole),
                build_request(dialect, "http://h", "m", SECRET, &prompt(), Delivery::Streamed),
                build_key_check(dialect, "http://h", SECRET),
            ] {
                let holders = request.headers.iter().filter(|(_, value)| value.contains(SECRET)).count();
                assert_eq!(holders, 1);
                assert!(!request.url.contains(SECRET) && !request.body.contains(SECRET));
                let shown = format!("{request:?} {request:#?}");
                assert!(!shown.contains(SECRET), "{shown}");
                assert!(shown.contains("http://h/"));
            }
        }
    }

    #[test]
    fn tokens_are_estimated_from_bytes() {
        assert_eq!(Prompt::ask("12345678", "1234", 1).estimated_input_tokens(), 3 + 8);
    }
}
