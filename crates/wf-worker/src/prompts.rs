//! Prompts: the templates in `prompts/`, embedded, each replaceable by a file of the same name.

use std::fs;
use std::io;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

/// Largest template of an operator's own, in bytes.
const TEMPLATE_BYTES: u64 = 256 * 1024;

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_str!(concat!("prompts/", $name)))),+] };
}

/// The embedded templates: file name and text.
pub const EMBEDDED: &[(&str, &str)] = embedded![
    "drafter.md",
    "reviewer.md",
    "lld-template.md",
    "lld-draft.md",
    "lld-review.md",
    "issue-template.md",
    "issue-draft.md",
    "issue-review.md",
    "revise.md",
    "mend.md",
    "verdict-only.md",
    "coder.md",
    "code-reviewer.md",
    "implement-project.md",
    "implement-format.md",
    "implement-tests.md",
    "implement-code.md",
    "implement-mend.md",
    "implement-review.md",
];

/// All templates of a job.
pub struct Prompts {
    environment: Environment<'static>,
    /// Those of the operator's own.
    own: Vec<(&'static str, String)>,
}

impl Prompts {
    /// The embedded templates, with those of `dir` in place of their namesakes. The error is a sentence that names the
    /// file.
    pub fn load(dir: Option<&Path>) -> Result<Prompts, String> {
        let mut environment = Environment::new();
        // A misspelt name in a template of the operator's own is an error, not an empty place in a paid prompt.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| e.to_string())?);
        // Embedded ones are read when they are first used: an item needs a few of them, and they are known to be right.
        environment.set_loader(|name| Ok(embedded(name).map(str::to_owned)));
        let mut owns = Vec::new();
        for (name, _) in EMBEDDED {
            let own = dir.map(|d| d.join(name)).map(|path| own(&path)).transpose()?.flatten();
            let Some(text) = own else { continue };
            // Document templates are shown to models as they are.
            if !name.ends_with("-template.md") {
                environment
                    .add_template_owned(*name, text.clone())
                    .map_err(|e| format!("prompt template {name}: {e}"))?;
            }
            owns.push((*name, text));
        }
        Ok(Prompts { environment, own: owns })
    }

    /// A template filled in.
    pub fn render(&self, name: &str, values: Value) -> Result<String, String> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(values))
            .map_err(|e| format!("prompt template {name}: {e}"))
    }

    /// A template as it is.
    pub fn text(&self, name: &str) -> &str {
        let own = self.own.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str());
        own.or_else(|| embedded(name)).unwrap_or_default()
    }
}

fn embedded(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// An operator's own template, if there is one.
fn own(path: &Path) -> Result<Option<String>, String> {
    let failed = |e: io::Error| format!("prompt template {}: {e}", path.display());
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
        Ok(meta) if meta.len() > TEMPLATE_BYTES => {
            Err(format!("prompt template {} is larger than {TEMPLATE_BYTES} bytes", path.display()))
        }
        Ok(_) => fs::read_to_string(path).map(Some).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_template_takes_the_place_of_its_namesake_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("drafter.md"), "You write {{ what }}.").unwrap();
        fs::write(dir.path().join("lld-template.md"), "## Only {{ this }}\n").unwrap();
        let prompts = Prompts::load(Some(dir.path())).unwrap();
        let context = minijinja::context! { what => "<odes> & {{ more }}" };
        assert_eq!(prompts.render("drafter.md", context).unwrap(), "You write <odes> & {{ more }}.");
        assert_eq!(prompts.text("lld-template.md"), "## Only {{ this }}\n");
        assert!(prompts.text("issue-template.md").contains("## User Story"));
    }

    #[test]
    fn every_embedded_template_can_be_read() {
        let prompts = Prompts::load(None).unwrap();
        for (name, text) in EMBEDDED {
            assert_eq!(prompts.text(name), *text);
            if !name.ends_with("-template.md") {
                prompts.environment.get_template(name).unwrap();
            }
        }
    }

    #[test]
    fn mistakes_in_own_templates_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("revise.md");
        fs::write(&file, "{% if %}").unwrap();
        assert!(Prompts::load(Some(dir.path())).is_err_and(|e| e.contains("revise.md")));
        fs::write(&file, "{{ misspelt }}").unwrap();
        let prompts = Prompts::load(Some(dir.path())).unwrap();
        assert!(prompts.render("revise.md", minijinja::context! {}).unwrap_err().contains("revise.md"));
        fs::write(&file, [0xff]).unwrap();
        assert!(Prompts::load(Some(dir.path())).is_err_and(|e| e.contains("revise.md")));
        fs::write(&file, " ".repeat(TEMPLATE_BYTES as usize + 1)).unwrap();
        assert!(Prompts::load(Some(dir.path())).is_err_and(|e| e.contains("larger")));
        assert!(Prompts::load(Some(&dir.path().join("missing"))).is_ok());
    }
}
