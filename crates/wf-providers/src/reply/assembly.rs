//! The events of a streamed reply, put together to the reply that would have come unstreamed; from there on both are
//! read alike.
//!
//! Sources: ai.google.dev ("streamGenerateContent"), platform.claude.com ("Streaming messages"), platform.openai.com
//! ("Streaming", "Chat completion chunk"), and the sources of the three SDKs for Python.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Raw, Reply, read_answer, words};
use crate::{Dialect, StreamEvent};

/// What has come of a streamed reply so far.
#[derive(Debug)]
pub(crate) struct Assembly {
    dialect: Dialect,
    text: String,
    /// Words with which the model declines (OpenAI).
    declined: String,
    /// Why the model stopped, in the provider's words.
    finish: Option<String>,
    usage: Map<String, Value>,
    /// Why the prompt was blocked (Gemini).
    feedback: Value,
    /// The first error, and the end of everything.
    error: Option<Value>,
    /// An event that could not be read: what it held is missing.
    is_spoiled: bool,
    has_end_mark: bool,
    /// An event of the usage alone came after the reason (OpenAI).
    counted_after_stop: bool,
}

impl Assembly {
    /// Nothing has come yet.
    pub(crate) fn new(dialect: Dialect) -> Assembly {
        Assembly {
            dialect,
            text: String::new(),
            declined: String::new(),
            finish: None,
            usage: Map::new(),
            feedback: Value::Null,
            error: None,
            is_spoiled: false,
            has_end_mark: false,
            counted_after_stop: false,
        }
    }

    /// Whether nothing that may still come can change what the reply is. OpenAI's usage is the last thing before the end mark,
    /// and a server that sends no mark may leave the connection open.
    pub(crate) fn is_over(&self) -> bool {
        let counted = self.dialect == Dialect::OpenAi && self.counted_after_stop;
        self.has_end_mark || self.error.is_some() || self.is_spoiled || counted
    }

    /// Whether the model said why it stopped: the text is all there is.
    pub(crate) fn has_stopped(&self) -> bool {
        self.finish.is_some() && self.error.is_none() && !self.is_spoiled
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &StreamEvent) {
        let data = event.data.trim();
        if self.is_over() || data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            self.has_end_mark = true;
            return;
        }
        let Ok(json) = serde_json::from_str::<Value>(data) else {
            if event.name == "error" {
                self.error = Some(json!({ "error": { "message": data } }));
            } else {
                self.is_spoiled = true;
            }
            return;
        };
        if json.get("error").is_some_and(|error| !error.is_null()) {
            self.error = Some(json);
            return;
        }
        match self.dialect {
            Dialect::Gemini => self.take_gemini(&json),
            Dialect::Anthropic => self.take_anthropic(&event.name, &json),
            Dialect::OpenAi => self.take_openai(&json),
        }
    }

    /// Every event is a whole `GenerateContentResponse` with the text since the last one.
    fn take_gemini(&mut self, json: &Value) {
        if !json["promptFeedback"]["blockReason"].is_null() {
            self.feedback = json["promptFeedback"].clone();
        }
        let candidate = &json["candidates"][0];
        let parts = candidate["content"]["parts"].as_array().map_or(&[][..], Vec::as_slice);
        let spoken = parts.iter().filter(|part| part["thought"].as_bool() != Some(true));
        spoken.filter_map(|part| part["text"].as_str()).for_each(|text| self.text.push_str(text));
        self.finished(&candidate["finishReason"]);
        self.used(&json["usageMetadata"]);
    }

    fn take_anthropic(&mut self, name: &str, json: &Value) {
        match json["type"].as_str().unwrap_or(name) {
            "message_start" => self.used(&json["message"]["usage"]),
            "content_block_start" if json["content_block"]["type"] == "text" => {
                self.text.push_str(json["content_block"]["text"].as_str().unwrap_or_default());
            }
            "content_block_delta" if json["delta"]["type"] == "text_delta" => {
                self.text.push_str(json["delta"]["text"].as_str().unwrap_or_default());
            }
            // Its counts are those of the whole message so far.
            "message_delta" => {
                self.finished(&json["delta"]["stop_reason"]);
                self.used(&json["usage"]);
            }
            "message_stop" => self.has_end_mark = true,
            // Without a body that says more.
            "error" => self.error = Some(json!({ "error": json })),
            _ => {}
        }
    }

    fn take_openai(&mut self, json: &Value) {
        // The event with the usage has no choices.
        let choice = &json["choices"][0];
        let delta = &choice["delta"];
        match &delta["content"] {
            Value::String(text) => self.text.push_str(text),
            Value::Array(parts) => {
                parts
                    .iter()
                    .filter_map(|part| part["text"].as_str())
                    .for_each(|text| self.text.push_str(text));
            }
            _ => {}
        }
        self.declined.push_str(delta["refusal"].as_str().unwrap_or_default());
        let had_stopped = self.finish.is_some();
        self.finished(&choice["finish_reason"]);
        self.used(&json["usage"]);
        self.counted_after_stop |= had_stopped && json["usage"].is_object() && choice.is_null();
        // Groq's place for it.
        self.used(&json["x_groq"]["usage"]);
    }

    fn finished(&mut self, reason: &Value) {
        if let Some(reason) = reason.as_str() {
            self.finish = Some(reason.to_owned());
        }
    }

    /// Later counts replace earlier ones, one by one.
    fn used(&mut self, counts: &Value) {
        for (name, count) in counts.as_object().into_iter().flatten() {
            if count.is_number() || count.is_string() {
                self.usage.insert(name.clone(), count.clone());
            }
        }
    }

    /// The reply, when nothing more comes.
    pub(crate) fn reply(self, status: u16, headers: &[(String, String)], now_unix: Duration) -> Reply {
        let raw = |json: Value| Raw {
            dialect: self.dialect,
            status,
            headers,
            words: words::of(Some(&json), ""),
            json: Some(json),
            text: String::new(),
            now_unix,
        };
        if let Some(error) = self.error {
            return Reply::Refused(raw(error).refusal_inside());
        }
        let spoiled = |what| Reply::Refused(raw(Value::Null).not_an_answer(what));
        if self.is_spoiled {
            return spoiled("an event of the streamed reply is not JSON");
        }
        // Gemini has no mark beside the reason; the others send one, and with the reason alone the text is whole too.
        let is_whole = match self.dialect {
            Dialect::Gemini => self.finish.is_some() || !self.feedback.is_null(),
            Dialect::Anthropic | Dialect::OpenAi => self.has_end_mark || self.finish.is_some(),
        };
        if !is_whole {
            return spoiled("the streamed reply ended without its end mark");
        }
        let json = match self.dialect {
            Dialect::Gemini => json!({
                "candidates": [{ "content": { "parts": [{ "text": self.text }] }, "finishReason": self.finish }],
                "promptFeedback": self.feedback,
                "usageMetadata": self.usage,
            }),
            Dialect::Anthropic => json!({
                "content": [{ "type": "text", "text": self.text }],
                "stop_reason": self.finish,
                "usage": self.usage,
            }),
            Dialect::OpenAi => json!({
                "choices": [{
                    "message": {
                        "content": self.text,
                        "refusal": if self.declined.is_empty() { Value::Null } else { Value::from(self.declined) },
                    },
                    "finish_reason": self.finish,
                }],
                "usage": self.usage,
            }),
        };
        read_answer(&raw(json))
    }
}

/// A Gemini stream that came as one JSON list of its chunks, as it does without `alt=sse`.
pub(super) fn chunks(body: &[u8]) -> Option<Assembly> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return None;
    }
    let chunks: Vec<Value> = serde_json::from_slice(body).ok()?;
    let mut assembly = Assembly::new(Dialect::Gemini);
    for chunk in chunks {
        assembly.take(&StreamEvent { name: String::new(), data: chunk.to_string() });
    }
    Some(assembly)
}
