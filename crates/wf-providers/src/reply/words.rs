//! The words of an error, whatever shape they come in.

use serde_json::Value;

/// The most of a structured message that is put into words, in bytes.
const MOST_BYTES: usize = 2_000;

/// The fields that hold the words, in order.
const FIELDS: [&str; 6] = ["message", "detail", "msg", "error_description", "title", "reason"];

/// The object that describes the error, wherever this kind of server puts it.
pub(super) fn error(json: &Value) -> &Value {
    match json.get("error") {
        Some(error) if !error.is_null() => error,
        _ => json,
    }
}

/// The provider's words; `text` where the body is no JSON.
pub(super) fn of(json: Option<&Value>, text: &str) -> String {
    let Some(json) = json else { return text.to_owned() };
    let error = error(json);
    if let Value::String(words) = error {
        return words.clone();
    }
    let mut words = String::new();
    if let Some(found) = FIELDS.iter().find_map(|field| error.get(*field).filter(|value| !value.is_null())) {
        put(found, &mut words);
    }
    words
}

/// Lists and objects as words: of a validation error its message and where it is (`[{"loc": ["body", "x"], "msg": "..."}]`, as
/// `FastAPI` and those who build on it write them).
fn put(value: &Value, words: &mut String) {
    if words.len() > MOST_BYTES {
        return;
    }
    let separate = |words: &mut String, by: &str| {
        if !words.is_empty() {
            words.push_str(by);
        }
    };
    match value {
        Value::String(text) => {
            separate(words, " ");
            words.push_str(text);
        }
        Value::Number(_) | Value::Bool(_) => {
            separate(words, " ");
            words.push_str(&value.to_string());
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    words.push(';');
                }
                put(value, words);
            }
        }
        Value::Object(fields) => {
            let known = FIELDS.iter().find_map(|field| fields.get(*field));
            match known {
                Some(known) => {
                    put(known, words);
                    if let Some(Value::Array(place)) = fields.get("loc") {
                        let place: Vec<String> = place
                            .iter()
                            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                            .collect();
                        separate(words, " ");
                        for part in ["(", &place.join("."), ")"] {
                            words.push_str(part);
                        }
                    }
                }
                None => fields.values().for_each(|value| put(value, words)),
            }
        }
        Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_in_every_shape() {
        for (body, words) in [
            (json!({"error": {"message": "plain"}}), "plain"),
            (json!({"error": "a text"}), "a text"),
            (json!({"message": "top"}), "top"),
            (
                json!({"message": {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}}),
                "Extra inputs are not permitted (body.stream_options)",
            ),
            (json!({"detail": [{"msg": "one", "loc": ["a", 0]}, {"msg": "two"}]}), "one (a.0); two"),
            (json!({"error": {"message": null, "detail": {"a": "x", "b": ["y"]}}}), "x y"),
            (json!({"error": {}}), ""),
        ] {
            assert_eq!(of(Some(&body), ""), words, "{body}");
        }
        assert_eq!(of(None, "no JSON"), "no JSON");
        let deep = (0..100).fold(json!("x"), |inner, _| json!([inner, "y".repeat(100)]));
        assert!(of(Some(&json!({"detail": deep})), "").len() < 3 * MOST_BYTES);
    }
}
