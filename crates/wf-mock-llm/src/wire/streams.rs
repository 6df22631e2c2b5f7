//! Answers as streams: what each provider sends while a model writes.

use serde_json::{Value, json};

use super::{Answer, Dialect, Form, Manner, Refusal};

/// How many pieces a text is written in.
const DELTAS: usize = 8;

/// The events of an answer, and how they are written one after the other.
pub(super) fn encode(dialect: Dialect, form: Form, answer: &Answer, manner: &Manner<'_>) -> Vec<Value> {
    let deltas = deltas(&answer.text);
    match dialect {
        Dialect::Gemini => gemini(&deltas, answer, manner),
        Dialect::Anthropic => anthropic(&deltas, answer, manner),
        Dialect::OpenAi => openai(&deltas, answer, manner, form),
    }
}

/// An answer, or the first half of it with an error in the place of the rest.
pub(super) fn written(
    dialect: Dialect,
    form: Form,
    mut data: Vec<Value>,
    error: Option<&Refusal>,
    manner: &Manner<'_>,
) -> String {
    if let Some(refusal) = error {
        data.truncate(data.len() / 2);
        let body = dialect.refusal(refusal, manner).body;
        data.extend(serde_json::from_str::<Value>(&body).ok());
    }
    if form == Form::List {
        return Value::from(data).to_string();
    }
    let event = |json: &Value| match (dialect, json["type"].as_str()) {
        (Dialect::Anthropic, Some(name)) => format!("event: {name}\ndata: {json}\n\n"),
        // Google's servers write CR LF.
        (Dialect::Gemini, _) => format!("data: {json}\r\n\r\n"),
        _ => format!("data: {json}\n\n"),
    };
    let mut text: String = data.iter().map(event).collect();
    if dialect == Dialect::OpenAi && error.is_none() {
        text.push_str("data: [DONE]\n\n");
    }
    text
}

/// A text in at most [`DELTAS`] parts of about the same size; an empty one is one part.
fn deltas(text: &str) -> Vec<&str> {
    let size = text.len().div_ceil(DELTAS).max(1);
    let mut rest = text;
    let mut parts = Vec::new();
    while rest.len() > size {
        let end = (size..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn gemini(deltas: &[&str], answer: &Answer, manner: &Manner<'_>) -> Vec<Value> {
    let last = deltas.len() - 1;
    let mut written = 0;
    let chunk = |(n, text): (usize, &&str)| {
        written += text.len() as u64;
        let so_far = if n == last { answer.tokens_out } else { (written / 4).min(answer.tokens_out) };
        let mut candidate =
            json!({ "content": { "role": "model", "parts": [{ "text": text }] }, "index": 0 });
        if n == last {
            candidate["finishReason"] = Value::from(if answer.truncated { "MAX_TOKENS" } else { "STOP" });
        }
        json!({
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": answer.tokens_in,
                "candidatesTokenCount": so_far,
                "totalTokenCount": answer.tokens_in + so_far,
            },
            "modelVersion": manner.model,
            "responseId": "mock",
        })
    };
    deltas.iter().enumerate().map(chunk).collect()
}

fn anthropic(deltas: &[&str], answer: &Answer, manner: &Manner<'_>) -> Vec<Value> {
    let mut data = vec![
        json!({
            "type": "message_start",
            "message": {
                "id": "msg_mock",
                "type": "message",
                "role": "assistant",
                "model": manner.model,
                "content": [],
                "stop_reason": null,
                "stop_sequence": null,
                "usage": {
                    "input_tokens": answer.tokens_in,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
        }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
    ];
    data.extend(deltas.iter().map(|text| {
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
    }));
    data.push(json!({ "type": "content_block_stop", "index": 0 }));
    data.push(json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": if answer.truncated { "max_tokens" } else { "end_turn" },
            "stop_sequence": null,
        },
        "usage": { "output_tokens": answer.tokens_out },
    }));
    data.push(json!({ "type": "message_stop" }));
    data
}

fn openai(deltas: &[&str], answer: &Answer, manner: &Manner<'_>, form: Form) -> Vec<Value> {
    let chunk = |choices: Value| {
        json!({
            "id": "chatcmpl-mock",
            "object": "chat.completion.chunk",
            "created": manner.now_unix.as_secs(),
            "model": manner.model,
            "choices": choices,
        })
    };
    let choice =
        |delta: Value, finish: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]));
    let mut data = vec![choice(json!({ "role": "assistant", "content": "", "refusal": null }), Value::Null)];
    data.extend(deltas.iter().map(|text| choice(json!({ "content": text }), Value::Null)));
    data.push(choice(json!({}), Value::from(if answer.truncated { "length" } else { "stop" })));
    if form == (Form::Events { usage: true }) {
        // Every other event has the field too then, and nothing in it.
        for event in &mut data {
            event["usage"] = Value::Null;
        }
        let mut last = chunk(json!([]));
        last["usage"] = json!({
            "prompt_tokens": answer.tokens_in,
            "completion_tokens": answer.tokens_out,
            "total_tokens": answer.tokens_in + answer.tokens_out,
        });
        data.push(last);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_between_characters_and_make_the_whole() {
        for text in ["", "a", "äöü€", &"wörter und wörter ".repeat(50)] {
            let parts = deltas(text);
            assert_eq!(parts.concat(), text);
            assert!((1..=DELTAS).contains(&parts.len()), "{}", parts.len());
        }
    }
}
