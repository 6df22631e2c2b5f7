//! An item from named fields: an object of a JSON file, a row of a table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};
use wf_core::ItemId;

use super::template::TextTemplate;
use super::text::id_of_text;
use super::{ItemSpec, MAX_INLINE_TEXT_BYTES, Variables, excerpt, hash_hint};
use crate::duration;

/// The fields that may name an item, the first one present counts: ours, that of SWE-bench, that of batch APIs (`OpenAI`,
/// Anthropic), `HumanEval`'s and MBPP's, and the number of an issue as GitHub lists it.
const ID_FIELDS: [&str; 5] = ["id", "instance_id", "custom_id", "task_id", "number"];

/// The fields that may be the text where there is no `text`, the first one present counts: `HumanEval`'s prompts, SWE-bench's
/// problems, chat data's contents, GSM8K's questions, and plain words of people. Alpaca's `instruction` with its `input` and an
/// issue's `title` with its `body` are read as one.
const TEXT_FIELDS: [&str; 9] =
    ["prompt", "instruction", "input", "task", "problem_statement", "content", "question", "title", "body"];

/// How many names of fields a message lists.
const NAMES: usize = 8;

/// How objects become items, and what was seen on the way.
#[derive(Default)]
pub struct Fields<'a> {
    /// `--id-field`.
    pub id_field: Option<&'a str>,
    /// `--text-field`.
    pub text_field: Option<&'a str>,
    /// `--prompt-template`.
    pub template: Option<&'a TextTemplate>,
    objects: usize,
    /// Objects whose text was taken from a field that is not called so, by its name.
    taken: BTreeMap<&'static str, usize>,
    without_id: usize,
    without_text: usize,
    /// Fields of those.
    others: BTreeSet<String>,
}

impl<'a> Fields<'a> {
    /// None seen.
    pub fn new(
        id_field: Option<&'a str>,
        text_field: Option<&'a str>,
        template: Option<&'a TextTemplate>,
    ) -> Fields<'a> {
        Fields { id_field, text_field, template, ..Fields::default() }
    }

    /// The item of an object, or the clause that says what is wrong.
    pub fn item(&mut self, object: &Map<String, Value>) -> Result<ItemSpec, String> {
        if self.id(object)?.is_none() {
            return Err(nothing_known(object));
        }
        self.row(object)
    }

    /// The item of what need not have an id: that is made of the text, then.
    pub fn row(&mut self, object: &Map<String, Value>) -> Result<ItemSpec, String> {
        self.objects += 1;
        let mut text = self.text(object)?;
        let id = if let Some(id) = self.id(object)? {
            id
        } else {
            let Some(text) = &text else { return Err(nothing_known(object)) };
            self.without_id += 1;
            id_of_text(text)
        };
        if let Some(template) = self.template {
            text = Some(template.render(&id, text.as_deref(), object)?);
        }
        let timeout = match object.get("timeout") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => {
                match duration::parse(text).map_err(|why| format!("\"timeout\": {why}"))? {
                    Duration::ZERO => return Err("\"timeout\": more than 0 is needed".to_owned()),
                    timeout => Some(timeout),
                }
            }
            Some(_) => return Err("\"timeout\" is not a string such as \"30s\"".to_owned()),
        };
        let text = text.filter(|text| !text.is_empty()).map(String::into_boxed_str);
        Ok(ItemSpec { id, text, timeout, env: env(object.get("env"))? })
    }

    /// What the user should know of how the fields were read.
    pub fn notices(&self) -> Vec<String> {
        let of = self.objects;
        let mut notices = Vec::new();
        for (name, count) in &self.taken {
            notices.push(format!(
                "{count} of {of} objects have no `text`: `{name}` is taken (--text-field NAME takes another)"
            ));
        }
        if self.without_id > 0 {
            notices.push(format!(
                "{} of {of} have no id ({}): it is made of the text (--id-field NAME names one)",
                self.without_id,
                ID_FIELDS.join(", ")
            ));
        }
        notices
    }

    /// The sentence for a command that would get ids in place of texts: what stands in the objects instead.
    pub fn textless(&self) -> Option<String> {
        (self.without_text > 0).then(|| {
            format!(
                "{} of {} objects have no `text` (they have: {}): --text-field NAME says which field it is",
                self.without_text,
                self.objects,
                self.others.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ")
            )
        })
    }

    fn id(&self, object: &Map<String, Value>) -> Result<Option<ItemId>, String> {
        let present = |name: &str| {
            object.get(name).filter(|value| !value.is_null() && value.as_str() != Some("")).cloned()
        };
        let (name, value) = match self.id_field {
            Some(name) => match object.get(name) {
                Some(value) => (name, value.clone()),
                None => return Err(format!("there is no field {name:?} (--id-field)")),
            },
            None => match ID_FIELDS.iter().find_map(|name| Some((*name, present(name)?))) {
                Some(found) => found,
                None if object.get("id").is_some_and(Value::is_string) => ("id", Value::from("")),
                None => return Ok(None),
            },
        };
        let id = match &value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => return Err(format!("{name:?} is neither a string nor a whole number")),
        };
        let id = ItemId::new(&id)
            .map_err(|why| format!("{name:?} is {}: {why}{}", excerpt(&id), hash_hint(&id)))?;
        Ok(Some(id))
    }

    fn text(&mut self, object: &Map<String, Value>) -> Result<Option<String>, String> {
        if let Some(name) = self.text_field {
            return match object.get(name) {
                Some(Value::String(text)) => checked(name, text).map(Some),
                Some(Value::Number(number)) => Ok(Some(number.to_string())),
                Some(Value::Bool(truth)) => Ok(Some(truth.to_string())),
                Some(_) => Err(format!("{name:?} is not a string (--text-field)")),
                None => Err(format!("there is no field {name:?} (--text-field)")),
            };
        }
        match object.get("text") {
            Some(Value::String(text)) => return checked("text", text).map(Some),
            None | Some(Value::Null) => {}
            Some(_) => return Err("\"text\" is not a string".to_owned()),
        }
        let string =
            |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let Some(name) = TEXT_FIELDS.into_iter().find(|name| string(name).is_some()) else {
            let known = |name: &String| {
                ["timeout", "env", "text"].contains(&name.as_str())
                    || ID_FIELDS.contains(&name.as_str())
                    || self.id_field == Some(name)
            };
            let others: Vec<&String> = object.keys().filter(|name| !known(name)).collect();
            if !others.is_empty() {
                self.without_text += 1;
                for name in others {
                    if self.others.len() <= NAMES {
                        self.others.insert(name.clone());
                    }
                }
            }
            return Ok(None);
        };
        let first = checked(name, string(name).unwrap_or_default())?;
        let (label, second) = match name {
            "instruction" => ("instruction` with `input", string("input")),
            "title" => ("title` with `body", string("body")),
            _ => ("", None),
        };
        let Some(second) = second else {
            *self.taken.entry(name).or_default() += 1;
            return Ok(Some(first));
        };
        *self.taken.entry(label).or_default() += 1;
        Ok(Some(format!("{first}\n\n{}", checked(name, second)?)))
    }
}

fn nothing_known(object: &Map<String, Value>) -> String {
    let names: Vec<&str> = object.keys().take(NAMES).map(String::as_str).collect();
    let has = if names.is_empty() { String::new() } else { format!(" (it has: {})", names.join(", ")) };
    format!("the object has none of {}{has}; --id-field NAME names another", ID_FIELDS.join(", "))
}

/// Whether a table with these columns says what its items are.
pub fn is_known(name: &str) -> bool {
    name == "text" || ID_FIELDS.contains(&name) || TEXT_FIELDS.contains(&name)
}

/// A text that an argument can carry.
fn checked(name: &str, text: &str) -> Result<String, String> {
    if text.contains('\0') { Err(format!("{name:?} contains a NUL")) } else { Ok(text.to_owned()) }
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
