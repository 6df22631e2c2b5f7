//! Items files with one JSON object per line (`.jsonl`, `.ndjson`), and those that are one list (`.json`).

use std::io::{BufRead, Read};

use serde_json::{Map, Value};

use super::collector::{Collector, each_line};
use super::fields::Fields;
use super::lines::{Lines, MAX_LINE_BYTES};
use super::{ItemSpec, ItemsError};

/// The largest `.json` file: it is held as a whole, unlike lines.
const MAX_LIST_BYTES: u64 = 16 * MAX_LINE_BYTES as u64;

/// Reads all items of `reader`, one object a line; `source` names it in messages, `prefix` precedes ids in labels.
pub fn read(
    source: &str,
    reader: impl BufRead,
    prefix: &'static str,
    fields: &mut Fields<'_>,
) -> Result<Vec<ItemSpec>, ItemsError> {
    each_line(Collector::new(source, prefix), Lines::new(reader), |list, number, line| {
        if line.trim_ascii().is_empty() {
            return;
        }
        match object(line).and_then(|object| fields.item(&object)) {
            Ok(item) => list.add(number, item),
            Err(clause) => list.problem_at(number, &clause),
        }
    })
}

fn object(line: &str) -> Result<Map<String, Value>, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| {
        // Its own position counts lines within this one line.
        let words = e.to_string();
        let clause = words.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object (column {}): {clause}", e.column())
    })?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("not a JSON object: each line needs one of its own, such as {\"id\": \"42\"}".to_owned()),
    }
}

/// Reads a list of objects, or of texts, from a file that is one JSON value.
pub fn read_list(
    source: &str,
    reader: impl Read,
    prefix: &'static str,
    fields: &mut Fields<'_>,
) -> Result<Vec<ItemSpec>, ItemsError> {
    let refuse = |clause: String| ItemsError::one(format!("{source}: {clause}"));
    let mut text = String::new();
    let read = reader.take(MAX_LIST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| ItemsError::one(format!("{source} cannot be read: {error}")))?;
    if text.len() as u64 > MAX_LIST_BYTES {
        return Err(refuse("a list of more than 256 MiB: write it as .jsonl, an object a line".to_owned()));
    }
    let value: Value =
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).map_err(|error| {
            let lines = text.lines().filter(|line| line.trim_start().starts_with('{')).count();
            let hint = if lines > 1 { "; a file with an object per line is called .jsonl" } else { "" };
            refuse(format!("not JSON: {error}{hint}"))
        })?;
    let Value::Array(elements) = value else {
        return Err(refuse("not a list: [{\"id\": \"42\", \"text\": \"...\"}, ...] is read".to_owned()));
    };
    let mut list = Collector::new(source, prefix).counting("element");
    for (index, element) in elements.into_iter().enumerate() {
        let item = match element {
            Value::Object(object) => fields.item(&object),
            Value::String(text) => fields.row(&Map::from_iter([("text".to_owned(), Value::String(text))])),
            _ => Err("neither an object nor a text".to_owned()),
        };
        match item {
            Ok(item) => list.add(index + 1, item),
            Err(clause) => list.problem_at(index + 1, &clause),
        }
    }
    list.finish()
}
