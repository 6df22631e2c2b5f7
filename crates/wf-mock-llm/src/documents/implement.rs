//! Tests and code for a project in Rust, Python or shell: a limit that values are cut at, in a module of the item's own.
//!
//! Which of the three it is, the crate's name and the files as they are, are read from the prompt, as a model would.

use std::fmt::Write as _;
use std::path::Path;

use super::{Asked, findings, tagged};
use crate::draw;
use crate::script::Script;

/// Answers that a worker must refuse.
const HOSTILE: &str = "Done.\n\n### FILE: ../../outside.txt\n```\nescaped\n```\n\n### FILE: /tmp/outside.txt\n```\nescaped\n```\n\n\
    ### FILE: .git/hooks/pre-commit\n```\n#!/bin/sh\n```\n\n### FILE: src/.GIT/config\n```\n[core]\n```\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    Python,
    Shell,
}

/// What is built, and where.
struct Plan {
    language: Language,
    /// `item_42`
    module: String,
    limit: u32,
    package: String,
}

impl Plan {
    fn of(asked: &Asked<'_>) -> Plan {
        let listing = tagged(asked.prompt, "<listing", "</listing>").unwrap_or_default();
        let any = |is: fn(&str) -> bool| listing.lines().any(is);
        let language = if any(|path| path == "Cargo.toml") {
            Language::Rust
        } else if any(|path| {
            Path::new(path).extension().is_some_and(|e| e == "py") || path == "pyproject.toml"
        }) {
            Language::Python
        } else {
            Language::Shell
        };
        let manifest = file(asked.prompt, "Cargo.toml").unwrap_or_default();
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let item = &asked.context.item;
        let limit = draw::hash(&[b"limit", item.as_bytes()]) % 90;
        Plan {
            language,
            module: format!("item_{}", item.to_lowercase().replace('-', "_")),
            limit: 10 + limit as u32,
            package: name.unwrap_or("project").replace('-', "_"),
        }
    }

    fn code_path(&self) -> String {
        match self.language {
            Language::Rust => format!("src/{}.rs", self.module),
            Language::Python => format!("{}.py", self.module),
            Language::Shell => format!("src/{}.sh", self.module),
        }
    }

    fn tests(&self, item: &str) -> (String, String) {
        let Plan { module, limit, package, .. } = self;
        let more = limit + 1;
        match self.language {
            Language::Rust => (
                format!("tests/{module}.rs"),
                format!(
                    "//! What the design of item {item} asks for.\n\n\
                     use {package}::{module}::within_limit;\n\n\
                     #[test]\nfn values_up_to_the_limit_are_kept() {{\n    \
                     assert_eq!(within_limit(0), 0);\n    assert_eq!(within_limit({limit}), {limit});\n}}\n\n\
                     #[test]\nfn values_beyond_the_limit_are_cut() {{\n    \
                     assert_eq!(within_limit({more}), {limit});\n    assert_eq!(within_limit(u32::MAX), {limit});\n}}\n"
                ),
            ),
            Language::Python => (
                format!("tests/test_{module}.py"),
                format!(
                    "\"\"\"What the design of item {item} asks for.\"\"\"\n\nimport unittest\n\n\
                     from {module} import within_limit\n\n\n\
                     class WithinLimit(unittest.TestCase):\n    \
                     def test_values_up_to_the_limit_are_kept(self):\n        \
                     self.assertEqual(within_limit(0), 0)\n        self.assertEqual(within_limit({limit}), {limit})\n\n    \
                     def test_values_beyond_the_limit_are_cut(self):\n        \
                     self.assertEqual(within_limit({more}), {limit})\n"
                ),
            ),
            Language::Shell => (
                format!("tests/{module}.sh"),
                format!(
                    "# What the design of item {item} asks for.\n. ./src/{module}.sh || exit 1\n\
                     fail() {{ echo \"not ok - $1\"; exit 1; }}\n\
                     [ \"$(within_limit {limit})\" = {limit} ] || fail 'values up to the limit are kept'\n\
                     [ \"$(within_limit {more})\" = {limit} ] || fail 'values beyond the limit are cut'\n\
                     echo ok\n"
                ),
            ),
        }
    }

    /// The module in its n-th revision, and the lines of it that edits exchange: the revision's and the body's.
    fn code(&self, revision: u32, is_right: bool) -> (String, String, String) {
        let limit = self.limit;
        let (head, body) = match (self.language, is_right) {
            (Language::Rust, true) => ("//! ", format!("    value.min({limit})")),
            (Language::Rust, false) => ("//! ", "    value".to_owned()),
            (Language::Python, true) => ("# ", format!("    return min(value, {limit})")),
            (Language::Python, false) => ("# ", "    return value".to_owned()),
            (Language::Shell, true) => {
                ("# ", format!("    if [ \"$1\" -gt {limit} ]; then echo {limit}; else echo \"$1\"; fi"))
            }
            (Language::Shell, false) => ("# ", "    echo \"$1\"".to_owned()),
        };
        let revision = format!("{head}Revision {revision}.");
        let text = match self.language {
            Language::Rust => format!(
                "{revision}\n\n/// The value, or the limit of {limit} where it is beyond that.\n\
                 pub fn within_limit(value: u32) -> u32 {{\n{body}\n}}\n"
            ),
            Language::Python => format!("{revision}\n\n\ndef within_limit(value):\n{body}\n"),
            Language::Shell => format!("{revision}\nwithin_limit() {{\n{body}\n}}\n"),
        };
        (text, revision, body)
    }
}

/// Tests from the design. An incomplete item's first ones pass at once.
pub fn tests(asked: &Asked<'_>) -> String {
    let plan = Plan::of(asked);
    let (path, text) = plan.tests(&asked.context.item);
    let proves_nothing = asked.script == Script::Incomplete && asked.earlier == 0;
    let text = match plan.language {
        _ if !proves_nothing => text,
        Language::Rust => "#[test]\nfn nothing_is_asked_for() {}\n".to_owned(),
        Language::Python => "import unittest\n\n\nclass Nothing(unittest.TestCase):\n    def test_nothing(self):\n        pass\n".to_owned(),
        Language::Shell => "echo ok\n".to_owned(),
    };
    whole(&path, &text)
}

/// Code for them, wrong at first where the item is not approved at once, and with an edit block where there is something
/// to edit.
pub fn code(asked: &Asked<'_>) -> String {
    if asked.script == Script::Hostile && asked.earlier == 0 {
        return HOSTILE.to_owned();
    }
    let plan = Plan::of(asked);
    let iteration = asked.context.iteration;
    let is_right = match asked.script {
        Script::Red => false,
        Script::Approve(reviews) => reviews == 1 || iteration > 1,
        _ => true,
    };
    let path = plan.code_path();
    let (text, revision, body) = plan.code(iteration, is_right);
    let mut answer = String::from("The change, file by file.\n\n");
    match file(asked.prompt, &path) {
        // A second reply in the same iteration means that the first one would not do.
        Some(now) if iteration.is_multiple_of(2) && asked.earlier == 0 => {
            answer.push_str(&edit(&path, &edits(&plan, now, &revision, &body, asked)));
        }
        _ => answer.push_str(&whole(&path, &text)),
    }
    if plan.language == Language::Rust {
        let declaration = format!("pub mod {};", plan.module);
        match file(asked.prompt, "src/lib.rs") {
            Some(root) if root.contains(&declaration) => {}
            Some(root) => {
                let end = unique_end(root);
                answer.push_str(&edit("src/lib.rs", &[(end.to_owned(), format!("{end}\n\n{declaration}"))]));
            }
            None => answer.push_str(&whole("src/lib.rs", &format!("{declaration}\n"))),
        }
    }
    answer
}

/// The lines to exchange in the module as it is now. What a review found is taken up in its head.
fn edits(plan: &Plan, now: &str, revision: &str, body: &str, asked: &Asked<'_>) -> Vec<(String, String)> {
    let mut edits = Vec::new();
    let head = revision.split("Revision").next().unwrap_or_default();
    if let Some(old) = now.lines().find(|line| line.starts_with(&format!("{head}Revision "))) {
        let mut new = revision.to_owned();
        if asked.prompt.contains("<findings from=\"review\">") {
            let (_, high) = findings::of_review(&asked.context.item, asked.context.iteration - 1);
            let _ = write!(new, "\n{head}{}", high.resolution);
        }
        edits.push((old.to_owned(), new));
    }
    let wrong = plan.code(1, false).2;
    if wrong != body && now.lines().any(|line| line == wrong) {
        edits.push((wrong, body.to_owned()));
    }
    edits
}

fn whole(path: &str, text: &str) -> String {
    format!("### FILE: {path}\n```\n{text}```\n\n")
}

fn edit(path: &str, edits: &[(String, String)]) -> String {
    let mut answer = format!("### FILE: {path}\n");
    for (search, replace) in edits {
        let _ = write!(answer, "<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n");
    }
    answer.push('\n');
    answer
}

/// A file as the prompt shows it.
fn file<'a>(prompt: &'a str, path: &str) -> Option<&'a str> {
    let (_, shown) = prompt.split_once(&format!("\n<file path=\"{path}\">\n"))?;
    let (fence, text) = shown.split_once('\n')?;
    let (text, _) = text.split_once(&format!("{fence}\n</file>"))?;
    Some(text)
}

/// The shortest end of a text, in whole lines, that stands only there.
fn unique_end(text: &str) -> &str {
    let text = text.trim_end();
    let starts = text.rmatch_indices('\n').map(|(at, _)| at + 1);
    let stands_once = |end: &&str| text.matches(*end).count() == 1;
    starts.map(|at| &text[at..]).find(stands_once).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;

    fn asked(node: &str, iteration: u32, earlier: u32, script: Script, prompt: &str) -> String {
        let context =
            Context { workflow: "implement".into(), node: node.into(), iteration, item: "A-42".into() };
        let asked = Asked { context: &context, title: "t", prompt, script, earlier };
        if node.ends_with("tests") { tests(&asked) } else { code(&asked) }
    }

    fn prompt(listing: &str, files: &[(&str, &str)]) -> String {
        let files =
            files.iter().map(|(path, text)| format!("\n<file path=\"{path}\">\n```\n{text}```\n</file>\n"));
        format!("Do it.\n\n<listing>\n{listing}\n</listing>\n{}", files.collect::<String>())
    }

    #[test]
    fn a_crate_gets_a_module_a_test_and_a_declaration() {
        let manifest = "[package]\nname = \"little-demo\"\n";
        let prompt = prompt(
            "Cargo.toml\nsrc/lib.rs",
            &[("Cargo.toml", manifest), ("src/lib.rs", "//! Demo.\n\nfn a() {\n}\n")],
        );
        let tests = asked("N2_tests", 1, 0, Script::Approve(1), &prompt);
        assert!(
            tests.starts_with("### FILE: tests/item_a_42.rs\n")
                && tests.contains("use little_demo::item_a_42::"),
            "{tests}"
        );
        let code = asked("N4_code", 1, 0, Script::Approve(1), &prompt);
        assert!(code.contains("### FILE: src/item_a_42.rs\n") && code.contains("value.min("), "{code}");
        let declared =
            "### FILE: src/lib.rs\n<<<<<<< SEARCH\n}\n=======\n}\n\npub mod item_a_42;\n>>>>>>> REPLACE";
        assert!(code.contains(declared), "{code}");
    }

    #[test]
    fn wrong_code_is_mended_by_an_edit_and_hostile_answers_come_once() {
        for (listing, wrong) in [("a.py", "    return value"), ("run.sh", "    echo \"$1\"")] {
            let first = asked("N4_code", 1, 0, Script::Approve(2), &prompt(listing, &[]));
            assert!(first.contains(wrong), "{first}");
            let path = first.lines().find_map(|line| line.strip_prefix("### FILE: ")).unwrap();
            let text = first.split("```\n").nth(1).unwrap();
            let second = asked("N4_code", 2, 0, Script::Approve(2), &prompt(listing, &[(path, text)]));
            assert!(second.contains(&format!("<<<<<<< SEARCH\n{wrong}\n=======")), "{second}");
            let red = asked("N4_code", 2, 0, Script::Red, &prompt(listing, &[(path, text)]));
            assert!(red.contains("Revision 2.") && !red.contains("SEARCH\n    "), "{red}");
            assert!(asked("N4_code", 1, 0, Script::Hostile, &prompt(listing, &[])).contains("../../outside"));
            assert!(!asked("N4_code", 1, 1, Script::Hostile, &prompt(listing, &[])).contains("outside"));
        }
    }

    #[test]
    fn tests_of_an_incomplete_item_prove_nothing_at_first() {
        let ask = |earlier| asked("N2_tests", 1, earlier, Script::Incomplete, &prompt("run.sh", &[]));
        assert!(!ask(0).contains("within_limit") && ask(1).contains("within_limit"));
    }
}
