//! `--prompt-template`: the text of each item made from a template and the item's fields.

use std::io::Read as _;
use std::path::Path;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};
use wf_core::ItemId;

/// The largest template, and the largest text made from one, in bytes.
const TEMPLATE_BYTES: usize = 1024 * 1024;

const NAME: &str = "template";

/// A template in minijinja's language: `{{ text }}`, `{{ id }}`, and every field of an item's object.
pub struct TextTemplate(Environment<'static>);

impl TextTemplate {
    /// Reads it from a file; what is wrong is a sentence.
    pub fn read(path: &Path) -> Result<TextTemplate, String> {
        let shown = path.display();
        let unreadable =
            |error: &dyn std::fmt::Display| format!("the template {shown} cannot be read: {error}");
        let file = wf_worker::open_regular(path).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::new();
        file.take(TEMPLATE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() > TEMPLATE_BYTES {
            return Err(format!("the template {shown} is larger than 1 MiB"));
        }
        let text =
            String::from_utf8(bytes).map_err(|_| format!("the template {shown} is not valid UTF-8"))?;
        TextTemplate::new(text).map_err(|why| format!("the template {shown}: {why}"))
    }

    fn new(text: String) -> Result<TextTemplate, String> {
        let mut environment = Environment::new();
        // A field that one item lacks must not become a gap in a prompt that is paid for.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(1_000_000));
        environment.add_template_owned(NAME, text).map_err(|error| words(&error))?;
        Ok(TextTemplate(environment))
    }

    /// The text of one item.
    pub fn render(
        &self,
        id: &ItemId,
        text: Option<&str>,
        fields: &Map<String, Value>,
    ) -> Result<String, String> {
        let mut context = fields.clone();
        context.insert("id".to_owned(), Value::from(id.as_str()));
        context.insert("text".to_owned(), Value::from(text.unwrap_or(id.as_str())));
        let template = self.0.get_template(NAME).map_err(|error| words(&error))?;
        let text = template
            .render(filled(&Value::Object(context)))
            .map_err(|error| format!("--prompt-template: {}", words(&error)))?;
        if text.contains('\0') {
            return Err("--prompt-template: the text contains a NUL".to_owned());
        }
        Ok(text)
    }
}

/// A field as the template sees it.
fn filled(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(truth) => minijinja::Value::from(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => minijinja::Value::from(whole),
            (None, Some(number)) => minijinja::Value::from(number),
            (None, None) => minijinja::Value::from(number.to_string()),
        },
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(elements) => elements.iter().map(filled).collect(),
        Value::Object(fields) => {
            minijinja::Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), filled(value))))
        }
    }
}

/// What is wrong, and in which line of the template.
fn words(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_a_template_and_a_missing_one_is_told() {
        let template = TextTemplate::new("Solve {{ id }}:\n{{ text }} in {{ repo }}".to_owned()).unwrap();
        let id = ItemId::new("a.1").unwrap();
        let fields = Map::from_iter([("repo".to_owned(), Value::from("x/<y>"))]);
        assert_eq!(template.render(&id, Some("it"), &fields).unwrap(), "Solve a.1:\nit in x/<y>");
        let why = template.render(&id, None, &Map::new()).unwrap_err();
        assert_eq!(why, "--prompt-template: line 2: undefined value");
        assert!(TextTemplate::new("{{ a".to_owned()).is_err());
        let endless = TextTemplate::new(
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}".to_owned(),
        );
        assert!(endless.unwrap().render(&id, None, &Map::new()).is_err());
    }
}
