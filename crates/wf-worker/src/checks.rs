//! The mechanical check of a document against its template: free, so it comes before a paid review.

mod requirements;

use std::collections::BTreeSet;

use crate::console::one_line;
use crate::markdown::{heading, plain_title, prose, sections, without_code};

/// Most leftover placeholders told of at once.
const PLACEHOLDERS: usize = 10;

/// Words that mean "not written yet".
const UNWRITTEN: [&str; 5] = ["TODO", "TBD", "FIXME", "TKTK", "XXX"];

/// Beginnings of brackets that wait to be filled in.
const TO_FILL: [&str; 7] =
    ["[todo", "<insert ", "[insert ", "<your ", "[your ", "<placeholder", "[placeholder"];

/// What is missing or left over in `document`, as sentences for the drafter; empty when nothing is.
///
/// * Every heading of the second level in `template` is in the document, with something below it.
/// * Where the template has requirements and a section on tests, at least 95 % of the numbered requirements are named
///   by a test scenario.
/// * No placeholder is left, neither a usual one nor an instruction of the template.
pub fn check(document: &str, template: &str) -> Vec<String> {
    let mut findings = headings(document, template);
    findings.extend(requirements::uncovered(document, template));
    findings.extend(placeholders(document, template));
    findings
}

fn headings(document: &str, template: &str) -> Vec<String> {
    let present: Vec<(String, bool)> =
        sections(document).iter().map(|section| (plain_title(section.title), section.is_empty)).collect();
    sections(template)
        .iter()
        .filter_map(|wanted| {
            let title = plain_title(wanted.title);
            match present.iter().filter(|(present, _)| *present == title).map(|(_, is_empty)| *is_empty).min()
            {
                None => Some(format!("The section \"## {}\" is missing.", wanted.title)),
                Some(true) => Some(format!("The section \"## {}\" is empty.", wanted.title)),
                Some(false) => None,
            }
        })
        .collect()
}

fn placeholders(document: &str, template: &str) -> Vec<String> {
    let instructions: BTreeSet<&str> = prose(template).map(str::trim).filter(|l| instructs(l)).collect();
    let mut found = Vec::new();
    let mut place = String::new();
    for line in prose(document) {
        if let Some(title) = heading(line) {
            place = format!(" in the section \"## {}\"", one_line(title, 100));
        }
        let text = without_code(line);
        let leftover = instructions.contains(line.trim())
            || text.split(|c: char| !c.is_alphanumeric()).any(|word| UNWRITTEN.contains(&word))
            || text.find("{{").is_some_and(|at| text[at..].contains("}}"))
            || waits(&text);
        if leftover {
            found.push(format!("A placeholder is left{place}: \"{}\".", one_line(line, 100)));
            if found.len() == PLACEHOLDERS {
                break;
            }
        }
    }
    found
}

fn waits(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("lorem ipsum") || TO_FILL.iter().any(|beginning| text.contains(beginning))
}

/// Whether a line of a template tells its reader what to write there.
fn instructs(line: &str) -> bool {
    let bracketed = |open: char, close: char| {
        line.find(open).is_some_and(|at| line[at..].find(close).is_some_and(|length| length > 3))
    };
    !line.starts_with('#')
        && (line.contains("<!--")
            || bracketed('<', '>')
            || bracketed('{', '}')
            || (bracketed('[', ']') && !line.contains("](")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "# LLD: <title>\n\n## 1. Context & Goal\n<!-- Why? -->\n\n## Requirements\n\n\
        ## Verification & Testing\n<one row per scenario>\n";

    fn document(context: &str, requirements: &str, tests: &str) -> String {
        format!(
            "# LLD: x\n\n## 1. Context & Goal\n{context}\n## 2. Requirements\n{requirements}\n\
             ## 3. Verification and Testing\n{tests}\n"
        )
    }

    #[test]
    fn a_complete_document_has_no_findings() {
        let whole = document(
            "Call it `TODO` in code.\n```\nTODO {{ x }}\n```",
            "1. One.\n2. Two.",
            "| T1 | R1, R2 |",
        );
        assert_eq!(check(&whole, TEMPLATE), Vec::<String>::new());
    }

    #[test]
    fn missing_and_empty_sections_are_named_as_the_template_writes_them() {
        let text = "## Context and goal\n\n## Requirements\n1. One\n";
        assert_eq!(
            check(text, TEMPLATE),
            [
                "The section \"## 1. Context & Goal\" is empty.",
                "The section \"## Verification & Testing\" is missing.",
                "No test scenario names requirement 1 (0 of 1 covered, at least 95 % are asked for).",
            ]
        );
    }

    #[test]
    fn leftover_placeholders_are_found_and_bounded() {
        for line in [
            "TODO: write this",
            "The limit is TBD.",
            "{{ name }}",
            "[Your project here]",
            "<insert diagram>",
            "<!-- Why? -->",
            "  <one row per scenario>",
            "Lorem ipsum dolor",
        ] {
            let findings = check(&document(line, "1. One", "R1"), TEMPLATE);
            assert_eq!(findings.len(), 1, "{line}: {findings:?}");
            let shown = format!(
                "A placeholder is left in the section \"## 1. Context & Goal\": \"{}\".",
                line.trim()
            );
            assert_eq!(findings[0], shown);
        }
        for line in ["- [ ] a box", "[a link](x)", "Vec<String>", "TODOs are listed", "a {set} of [n] things"]
        {
            assert_eq!(check(&document(line, "1. One", "R1"), TEMPLATE), Vec::<String>::new(), "{line}");
        }
        assert_eq!(check(&document(&"TBD\n".repeat(99), "1. One", "R1"), TEMPLATE).len(), PLACEHOLDERS);
    }

    #[test]
    fn a_template_without_requirements_asks_for_none() {
        assert_eq!(check("## User Story\nAs a user\n", "## User Story\n"), Vec::<String>::new());
    }
}
