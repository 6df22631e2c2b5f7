//! The wire formats from the provider's side: requests in, replies and refusals out, each as the real one writes it.
//!
//! Written independently of the client's side, so that a misreading on one side is not mirrored on the other.

mod anthropic;
mod gemini;
mod openai;
mod streams;

use std::time::Duration;

use serde_json::Value;

use crate::quota::{Dimension, Level};

/// A family of wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /v1beta/models/{model}:generateContent`.
    Gemini,
    /// `POST /v1/messages`.
    Anthropic,
    /// `POST /v1/chat/completions`.
    OpenAi,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A model is to answer. Gemini names it in the path.
    Generate(Dialect, Option<String>),
    /// The list of models: a harmless way to check a key.
    Models(Dialect),
    /// Our own counters.
    Counters,
    /// Our own controls.
    Control,
    /// Nothing we know.
    Unknown,
}

/// How a reply is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In one piece.
    Whole,
    /// As server-sent events; with the usage where it is asked for (OpenAI) or always sent.
    Events {
        /// Whether the usage is sent.
        usage: bool,
    },
    /// As a JSON list of what would be events: Gemini's stream without `alt=sse`.
    List,
}

/// A model call, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its wire format.
    pub dialect: Dialect,
    /// The model it names.
    pub model: String,
    /// The system prompt.
    pub system: String,
    /// All turns of the conversation, one after the other.
    pub prompt: String,
    /// The bound of the reply, if it has one.
    pub max_output_tokens: Option<u64>,
    /// How the reply is to come.
    pub form: Form,
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Tokens of the input.
    pub tokens_in: u64,
    /// Tokens of the output.
    pub tokens_out: u64,
    /// It ended at the request's bound.
    pub truncated: bool,
}

/// Why there is none. Durations are the client's: those of the wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A quota is used up.
    Limited(Dimension, u64, Duration),
    /// The provider is overloaded.
    Overloaded,
    /// The provider has a fault.
    Failed,
    /// There is no key in the request.
    KeyMissing,
    /// The key is unknown or revoked.
    KeyInvalid,
    /// The account cannot pay.
    NoCredit,
    /// The provider has no machine left for this model.
    NoCapacity,
    /// The project has no quota for this model.
    NoQuota,
    /// The request is not what the API takes.
    BadRequest(String),
}

/// What the quota headers show. Durations are those of the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Requests per minute.
    pub requests: Option<Level>,
    /// Tokens per minute.
    pub tokens: Option<Level>,
}

/// What a reply's encoding needs to know beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The model asked for.
    pub model: &'a str,
    /// Whether to say how long to wait and what is left.
    pub hints: bool,
    /// The wall clock, as the time since the Unix epoch.
    pub now_unix: Duration,
    /// Whether waits are written in whole seconds where the provider does so. With a time scale they would be too coarse.
    pub whole_seconds: bool,
    /// What is left of the quota.
    pub levels: Levels,
}

/// A reply on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or events.
    pub body: String,
    /// Whether the body is a stream of events.
    pub is_stream: bool,
}

impl Encoded {
    /// A reply in JSON without further headers.
    pub fn json(status: u16, body: &Value) -> Encoded {
        Encoded { status, headers: Vec::new(), body: body.to_string(), is_stream: false }
    }
}

/// Finds out what a request line asks for. The lists of models of all three have one address in common; there a header
/// tells whose is meant.
pub fn route(method: &str, path: &str, has: impl Fn(&str) -> bool) -> Route {
    match (method, path) {
        ("GET", "/__mock/counters") => Route::Counters,
        ("POST", "/__mock/control") => Route::Control,
        ("POST", "/v1/messages") => Route::Generate(Dialect::Anthropic, None),
        ("POST", "/v1/chat/completions") => Route::Generate(Dialect::OpenAi, None),
        ("GET", "/v1beta/models") => Route::Models(Dialect::Gemini),
        ("GET", "/v1/models") if has("x-goog-api-key") => Route::Models(Dialect::Gemini),
        ("GET", "/v1/models") if has("anthropic-version") => Route::Models(Dialect::Anthropic),
        ("GET", "/v1/models") => Route::Models(Dialect::OpenAi),
        ("POST", path) => {
            let model = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"));
            match model.and_then(|rest| rest.split_once(':')) {
                Some((model, "generateContent" | "streamGenerateContent"))
                    if !model.is_empty() && !model.contains('/') =>
                {
                    Route::Generate(Dialect::Gemini, Some(model.to_owned()))
                }
                _ => Route::Unknown,
            }
        }
        _ => Route::Unknown,
    }
}

impl Dialect {
    /// The key in a request: `header` looks a header up, `query` is the part after the question mark.
    pub fn secret(self, header: impl Fn(&str) -> Option<String>, query: &str) -> Option<String> {
        let bearer = || header("authorization")?.strip_prefix("Bearer ").map(str::to_owned);
        match self {
            Dialect::Gemini => header("x-goog-api-key")
                .or_else(|| query.split('&').find_map(|pair| pair.strip_prefix("key=")).map(str::to_owned)),
            // The documentation names the first; recent SDKs of Anthropic's send the second.
            Dialect::Anthropic => header("x-api-key").or_else(bearer),
            Dialect::OpenAi => bearer(),
        }
    }

    /// Reads a request: its address (path and query, which ask Gemini for a stream) and its body. The error is a
    /// sentence for its sender.
    pub fn read(self, model: Option<String>, address: &str, body: &[u8]) -> Result<Call, String> {
        let json: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let mut call = match self {
            Dialect::Gemini => gemini::read(model.unwrap_or_default(), &json),
            Dialect::Anthropic => anthropic::read(&json),
            Dialect::OpenAi => openai::read(&json),
        }?;
        call.form = match self {
            Dialect::Gemini if !address.contains(":streamGenerateContent") => Form::Whole,
            Dialect::Gemini if address.contains("alt=sse") => Form::Events { usage: true },
            Dialect::Gemini => Form::List,
            _ if json["stream"] != true => Form::Whole,
            Dialect::Anthropic => Form::Events { usage: true },
            Dialect::OpenAi => Form::Events { usage: json["stream_options"]["include_usage"] == true },
        };
        Ok(call)
    }

    /// An answer on the wire, in one piece or as a stream. With `broken_off` a stream has that error in the place of its
    /// second half.
    pub fn reply(
        self,
        form: Form,
        answer: &Answer,
        broken_off: Option<&Refusal>,
        manner: &Manner<'_>,
    ) -> Encoded {
        let whole = self.answer(answer, manner);
        if form == Form::Whole {
            return broken_off.map_or(whole, |refusal| self.refusal(refusal, manner));
        }
        let data = streams::encode(self, form, answer, manner);
        let body = streams::written(self, form, data, broken_off, manner);
        Encoded { body, is_stream: form != Form::List, ..whole }
    }

    /// An answer on the wire, in one piece.
    pub fn answer(self, answer: &Answer, manner: &Manner<'_>) -> Encoded {
        match self {
            Dialect::Gemini => gemini::answer(answer, manner),
            Dialect::Anthropic => anthropic::answer(answer, manner),
            Dialect::OpenAi => openai::answer(answer, manner),
        }
    }

    /// A refusal on the wire.
    pub fn refusal(self, refusal: &Refusal, manner: &Manner<'_>) -> Encoded {
        match self {
            Dialect::Gemini => gemini::refusal(refusal, manner),
            Dialect::Anthropic => anthropic::refusal(refusal, manner),
            Dialect::OpenAi => openai::refusal(refusal, manner),
        }
    }

    /// The list of models on the wire.
    pub fn models(self) -> Encoded {
        match self {
            Dialect::Gemini => gemini::models(),
            Dialect::Anthropic => anthropic::models(),
            Dialect::OpenAi => openai::models(),
        }
    }
}

/// The text of a message's content: a string, or a list of parts.
fn content_text(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ => None,
    }
}

/// The turns of a chat in the form Anthropic and OpenAI share: those of `roles`, joined.
fn chat_text(messages: &[Value], roles: &[&str]) -> String {
    let turns =
        messages.iter().filter(|message| message["role"].as_str().is_some_and(|role| roles.contains(&role)));
    turns.filter_map(|message| content_text(&message["content"])).collect::<Vec<_>>().join("\n")
}

/// Seconds as `1.234`, rounded up so that whoever waits this long has waited long enough.
fn decimal_seconds(wait: Duration) -> String {
    let ms = wait.as_nanos().div_ceil(1_000_000);
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Whole seconds, rounded up.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_nanos().div_ceil(1_000_000_000) as u64
}

#[cfg(test)]
mod tests;
