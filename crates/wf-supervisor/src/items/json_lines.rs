//! Items files with one JSON object per line.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use serde_json::Value;
use wf_core::ItemId;

use super::{ItemSpec, ItemsError, MAX_INLINE_TEXT_BYTES, Variables, each_line, excerpt, hash_hint};
use crate::duration;

/// The fields that may name an item, the first one present counts: ours, SWE-bench's, and that of batch APIs.
const ID_FIELDS: [&str; 3] = ["id", "instance_id", "custom_id"];

/// Reads all items of `reader`; `source` names it in messages, `prefix` precedes ids in labels.
pub fn read(source: &str, reader: impl BufRead, prefix: &'static str) -> Result<Vec<ItemSpec>, ItemsError> {
    each_line(source, prefix, reader, |list, number, line| {
        if line.trim_ascii().is_empty() {
            return;
        }
        match item(line) {
            Ok(item) => list.add(number, item),
            Err(clause) => list.problem_at(number, &clause),
        }
    })
}

fn item(line: &str) -> Result<ItemSpec, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| {
        // Its own position counts lines within this one line.
        let words = e.to_string();
        let clause = words.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object (column {}): {clause}", e.column())
    })?;
    let Value::Object(fields) = value else {
        return Err("not a JSON object: each line needs one of its own, such as {\"id\": \"42\"}".to_owned());
    };
    let (name, id) = ID_FIELDS
        .iter()
        .find_map(|name| fields.get(*name).filter(|v| !v.is_null()).map(|value| (*name, value)))
        .ok_or_else(|| format!("the object has none of {}", ID_FIELDS.join(", ")))?;
    let id = match id {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return Err(format!("{name:?} is neither a string nor a whole number")),
    };
    let id =
        ItemId::new(&id).map_err(|why| format!("{name:?} is {}: {why}{}", excerpt(&id), hash_hint(&id)))?;
    let text = match fields.get("text") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.contains('\0') => return Err("\"text\" contains a NUL".to_owned()),
        Some(Value::String(text)) => (!text.is_empty()).then(|| text.as_str().into()),
        Some(_) => return Err("\"text\" is not a string".to_owned()),
    };
    let timeout = match fields.get("timeout") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            match duration::parse(text).map_err(|why| format!("\"timeout\": {why}"))? {
                Duration::ZERO => return Err("\"timeout\": more than 0 is needed".to_owned()),
                timeout => Some(timeout),
            }
        }
        Some(_) => return Err("\"timeout\" is not a string such as \"30s\"".to_owned()),
    };
    Ok(ItemSpec { id, text, timeout, env: env(fields.get("env"))? })
}

fn env(value: Option<&Value>) -> Result<Variables, String> {
    let map = match value {
        None | Some(Value::Null) => return Ok(Box::default()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err("\"env\" is not an object of strings".to_owned()),
    };
    let mut env = BTreeMap::new();
    for (name, value) in map {
        let Value::String(value) = value else {
            return Err(format!("\"env\": the value of {} is not a string", excerpt(name)));
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("\"env\": {} cannot be the name of a variable", excerpt(name)));
        }
        if name.starts_with("WF_") {
            return Err(format!(
                "\"env\": {} belongs to the supervisor, as all names with WF_ do",
                excerpt(name)
            ));
        }
        if value.contains('\0') {
            return Err(format!("\"env\": the value of {} contains a NUL", excerpt(name)));
        }
        if name.len() + value.len() > MAX_INLINE_TEXT_BYTES {
            return Err(format!("\"env\": {} is longer than 64 KiB", excerpt(name)));
        }
        env.insert(name.as_str().into(), value.as_str().into());
    }
    Ok(env.into_iter().collect())
}
