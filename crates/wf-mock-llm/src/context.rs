//! Which node of which workflow asks: the line the built-in worker puts into every system prompt.

/// `wf-context: workflow=lld node=N1_draft iteration=2 item=42`, read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context {
    /// `issue`, `lld` or `implement`.
    pub workflow: String,
    /// Such as `N1_draft`.
    pub node: String,
    /// From 1.
    pub iteration: u32,
    /// The item's id.
    pub item: String,
}

const MARK: &str = "wf-context:";

/// The longest word that is taken over; ids have at most 128 characters.
const LONGEST_WORD: usize = 128;

impl Context {
    /// Finds the line in a system prompt. `None` for requests of anybody else, and for lines that are not of this form:
    /// the words become part of file names.
    pub fn find(system: &str) -> Option<Context> {
        system.lines().filter_map(|line| line.trim().strip_prefix(MARK)).find_map(Context::read)
    }

    fn read(words: &str) -> Option<Context> {
        let field = |name: &str| {
            let found =
                words.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
            let is_plain = found.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            (is_plain && !found.is_empty() && found.len() <= LONGEST_WORD).then(|| found.to_owned())
        };
        Some(Context {
            workflow: field("workflow")?,
            node: field("node")?,
            iteration: field("iteration")?.parse().ok()?,
            item: field("item")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreed_line_is_found_anywhere_in_the_system_prompt() {
        let found = Context::find(
            "You are an architect.\n  wf-context: workflow=lld node=N1_draft iteration=2 item=42\nBe brief.",
        );
        let want =
            Context { workflow: "lld".into(), node: "N1_draft".into(), iteration: 2, item: "42".into() };
        assert_eq!(found, Some(want));
    }

    #[test]
    fn anything_else_is_nobodys() {
        for system in [
            "",
            "wf-context:",
            "wf-context: workflow=lld node=N1_draft iteration=two item=42",
            "wf-context: workflow=lld node=N1_draft iteration=2 item=../../etc/passwd",
            "wf-context: workflow=lld node= iteration=2 item=42",
            "see wf-context: workflow=lld node=N1_draft iteration=2 item=42",
        ] {
            assert_eq!(Context::find(system), None, "{system}");
        }
        let long = format!("wf-context: workflow=lld node=N1 iteration=1 item={}", "x".repeat(129));
        assert_eq!(Context::find(&long), None);
    }
}
