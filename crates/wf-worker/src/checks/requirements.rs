//! Which numbered requirements no test scenario names.

use std::collections::BTreeSet;

use crate::markdown::{Section, plain_title, sections};

/// What precedes a requirement's number where it is labelled.
const LABELS: [&str; 8] = ["R", "RQ", "REQ", "FR", "NFR", "SR", "UR", "BR"];

/// Labels that say no more than "requirement": a plain number answers to any of them.
const PLAIN: [&str; 7] = ["", "R", "RQ", "REQ", "REQS", "REQUIREMENT", "REQUIREMENTS"];

/// How much of them must be named, in percent.
const COVERAGE_PERCENT: usize = 95;

/// Longest range (`R1-R9`) that is taken as one.
const RANGE: u32 = 1000;

/// A requirement's label (in capitals, empty for a plain number) and number.
type Name = (String, String);

/// Findings about coverage, for a template that has a section on requirements and one on tests.
pub fn uncovered(document: &str, template: &str) -> Vec<String> {
    let (of_template, of_document) = (sections(template), sections(document));
    let asked = |is: fn(&str) -> bool| of_template.iter().any(|s| is(&plain_title(s.title)));
    if !asked(is_requirements) || !asked(is_testing) {
        return Vec::new();
    }
    let lines = |is: fn(&str) -> bool| {
        of_document
            .iter()
            .filter(move |s: &&Section<'_>| is(&plain_title(s.title)))
            .flat_map(|s| s.lines.iter().copied())
            .collect::<Vec<&str>>()
    };
    let stated = lines(is_requirements);
    if stated.is_empty() {
        return Vec::new(); // That the section is missing has been said.
    }
    let mut numbered: Vec<Name> = Vec::new();
    for name in stated.iter().filter_map(|line| stated_name(line)) {
        if !numbered.contains(&name) {
            numbered.push(name);
        }
    }
    if numbered.is_empty() {
        return vec!["The requirements are not numbered, so no test scenario can name them.".into()];
    }
    let named = mentions(&lines(is_testing));
    let missing: Vec<String> =
        numbered.iter().filter(|name| !is_named(name, &named)).map(|(l, n)| format!("{l}{n}")).collect();
    let covered = numbered.len() - missing.len();
    if covered * 100 >= numbered.len() * COVERAGE_PERCENT {
        return Vec::new();
    }
    let plural = if missing.len() == 1 { "" } else { "s" };
    vec![format!(
        "No test scenario names requirement{plural} {} ({covered} of {} covered, at least {COVERAGE_PERCENT} % are \
         asked for).",
        missing.join(", "),
        numbered.len()
    )]
}

fn is_requirements(title: &str) -> bool {
    title.contains("requirement")
}

fn is_testing(title: &str) -> bool {
    title.contains("test") || title.contains("verification")
}

fn is_named((label, number): &Name, named: &BTreeSet<Name>) -> bool {
    if PLAIN.contains(&label.as_str()) {
        PLAIN.iter().any(|l| named.contains(&((*l).to_owned(), number.clone())))
    } else {
        named.contains(&(label.clone(), number.clone()))
    }
}

/// The requirement that a line states: a list item, a table row or a heading that begins with a label or a number.
fn stated_name(line: &str) -> Option<Name> {
    if line.starts_with("  ") || line.starts_with('\t') {
        return None; // An item below another explains it.
    }
    let line = line.trim();
    let text = line.trim_start_matches(['-', '*', '+', '#', '|', ' ']);
    let is_item = text.len() < line.len();
    let text = ["[ ] ", "[x] ", "[X] "].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    let text = text.trim_start_matches(['*', '_', ' ', '(', '[']);
    if let Some((name, rest)) = label_and_number(text) {
        let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
        return ends.then_some(name);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let after = &text[digits..];
    let is_numbered = digits > 0
        && (after.starts_with(['.', ')'])
            || (is_item && after.trim_start_matches(['*', ' ']).starts_with('|')));
    if !is_numbered {
        return None;
    }
    // `1. **FR-7:** text` has the label's name, not the list's.
    let inner = after.trim_start_matches(['.', ')', ' ', '*', '_', '[']);
    match label_and_number(inner) {
        Some((name, rest)) if rest.starts_with([':', '*', ']', '.', ')', ' ', '-']) => Some(name),
        _ => Some((String::new(), plain_number(&text[..digits]))),
    }
}

/// A label with its number at the beginning of `text`, such as `REQ-007` or `FR1.2`, and what follows it.
fn label_and_number(text: &str) -> Option<(Name, &str)> {
    let letters = text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    let label = text[..letters].to_ascii_uppercase();
    if !LABELS.contains(&label.as_str()) {
        return None;
    }
    let rest = &text[letters..];
    let rest = rest.strip_prefix(['-', '_']).unwrap_or(rest);
    let (number, rest) = number(rest)?;
    Some(((label, number), rest))
}

/// A number such as `7` or `1.2` at the beginning of `text`, and what follows it.
fn number(text: &str) -> Option<(String, &str)> {
    let mut end = 0;
    for (i, c) in text.char_indices() {
        let inside = c.is_ascii_digit()
            || (c == '.' && i > 0 && text[i + 1..].starts_with(|d: char| d.is_ascii_digit()));
        if !inside {
            break;
        }
        end = i + 1;
    }
    (end > 0).then(|| (plain_number(&text[..end]), &text[end..]))
}

/// `007` is `7`.
fn plain_number(digits: &str) -> String {
    let bare = digits.trim_start_matches('0');
    if bare.is_empty() || bare.starts_with('.') { format!("0{bare}") } else { bare.to_owned() }
}

/// All requirements that the lines name: labels (`R1`), lists and ranges of them (`R1, R3-R5`, `requirements 1 and 2`),
/// and plain numbers in a table column headed `Requirement`.
fn mentions(lines: &[&str]) -> BTreeSet<Name> {
    let mut named = BTreeSet::new();
    let mut column: Option<usize> = None;
    for line in lines {
        let row = line.trim();
        if row.starts_with('|') {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            if column.is_none() {
                column = cells.iter().position(|c| c.trim_matches('*').to_lowercase().starts_with("req"));
            } else if let Some(cell) = column.and_then(|at| cells.get(at)) {
                named.extend(names_in(&format!("R {cell}")));
            }
        } else {
            column = None;
        }
        named.extend(names_in(row));
    }
    named
}

fn names_in(text: &str) -> Vec<Name> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let label = rest[..letters].to_ascii_uppercase();
        let after = &rest[letters..];
        rest = after;
        if !LABELS.contains(&label.as_str()) && !PLAIN.contains(&label.as_str()) {
            continue;
        }
        let Some((first, mut tail)) = number(after.trim_start_matches(['-', '_', ' ', '#', '(', '*'])) else {
            continue;
        };
        names.push((label.clone(), first.clone()));
        let mut last = first;
        while let Some((is_range, next, after)) = continued(tail, &label) {
            if is_range && let (Ok(from), Ok(to)) = (last.parse::<u32>(), next.parse::<u32>()) {
                let to = to.min(from.saturating_add(RANGE));
                names.extend((from..to).map(|n| (label.clone(), n.to_string())));
            }
            names.push((label.clone(), next.clone()));
            (last, tail) = (next, after);
        }
        rest = tail;
    }
    names
}

/// A list or a range that goes on: whether it is a range, the next number, and what follows.
fn continued<'a>(text: &'a str, label: &str) -> Option<(bool, String, &'a str)> {
    let text = text.trim_start();
    let joints: [(&str, bool); 12] = [
        (", and ", false),
        (",", false),
        ("/", false),
        ("&", false),
        ("+", false),
        ("and ", false),
        ("or ", false),
        ("to ", true),
        ("–", true),
        ("—", true),
        ("-", true),
        ("..", true),
    ];
    let (is_range, rest) =
        joints.iter().find_map(|(joint, range)| text.strip_prefix(joint).map(|rest| (*range, rest)))?;
    let rest = rest.trim_start();
    let (next, after) = match rest.get(..label.len()) {
        Some(same) if same.eq_ignore_ascii_case(label) => {
            number(rest[label.len()..].trim_start_matches(['-', '_', ' ']))?
        }
        _ => number(rest)?,
    };
    Some((is_range, next, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requirements_are_read_from_the_usual_forms() {
        for (line, name) in [
            ("1. The thing works.", Some(("", "1"))),
            ("12) text", Some(("", "12"))),
            ("1. **R3:** text", Some(("R", "3"))),
            ("- **REQ-007** text", Some(("REQ", "7"))),
            ("- [ ] FR1.2: text", Some(("FR", "1.2"))),
            ("* NFR-2 - text", Some(("NFR", "2"))),
            ("R4. text", Some(("R", "4"))),
            ("### R5: text", Some(("R", "5"))),
            ("| R6 | text |", Some(("R", "6"))),
            ("| 7 | text |", Some(("", "7"))),
            ("   1. nested", None),
            ("- text about R1", None),
            ("| --- | --- |", None),
            ("2026 was a year", None),
            ("1. R2D2 must beep", Some(("", "1"))),
            ("HTTP2 is used", None),
            ("", None),
        ] {
            let wanted = name.map(|(l, n)| (l.to_owned(), n.to_owned()));
            assert_eq!(stated_name(line), wanted, "{line}");
        }
    }

    #[test]
    fn mentions_are_read_from_lists_ranges_and_tables() {
        for (text, wanted) in [
            ("T1 covers R1 and R3.", "R1 R3"),
            ("(R1, R2/R4)", "R1 R2 R4"),
            ("R1-R3", "R1 R2 R3"),
            ("R1–R3, R5", "R1 R2 R3 R5"),
            ("Requirements 1, 2 and 4", "REQUIREMENTS1 REQUIREMENTS2 REQUIREMENTS4"),
            ("requirement #3", "REQUIREMENT3"),
            ("REQ-001 to REQ-003", "REQ1 REQ2 REQ3"),
            ("| Test | Requirement |\n| --- | --- |\n| T1 | 1, 2 |\n| T9 | 4 |", "R1 R2 R4"),
            ("| Test | Covers |\n| T1 | 1 |", ""),
            ("FR-1.2 ok", "FR1.2"),
            ("R1-R999999999", ""),
            ("four 4 errors", ""),
        ] {
            let lines: Vec<&str> = text.lines().collect();
            let found: Vec<String> = mentions(&lines).into_iter().map(|(l, n)| format!("{l}{n}")).collect();
            if wanted.is_empty() && text.starts_with("R1-") {
                assert!(found.len() <= RANGE as usize + 2, "{text}");
            } else {
                assert_eq!(found.join(" "), wanted, "{text}");
            }
        }
    }

    #[test]
    fn ninety_five_percent_are_enough() {
        let template = "## Requirements\n## Verification & Testing\n";
        let of = |named: usize| {
            let numbered = (1..=20).map(|n| format!("{n}. text\n")).collect::<Vec<_>>().concat();
            let tests = (1..=named).map(|n| format!("- covers R{n}\n")).collect::<Vec<_>>().concat();
            uncovered(&format!("## Requirements\n{numbered}## Verification & Testing\n{tests}"), template)
        };
        assert_eq!(of(20), Vec::<String>::new());
        assert_eq!(of(19), Vec::<String>::new());
        assert_eq!(
            of(18),
            ["No test scenario names requirements 19, 20 (18 of 20 covered, at least 95 % are asked for)."]
        );
        let bare = uncovered("## Requirements\nIt works.\n## Verification & Testing\nx\n", template);
        assert!(bare[0].contains("not numbered"), "{bare:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[R1-9 ,.|*#–and\\-\n]{0,80}", other in ".{0,80}") {
            for text in [&text, &other] {
                let lines: Vec<&str> = text.lines().collect();
                let _ = mentions(&lines);
                for line in lines {
                    let _ = stated_name(line);
                }
            }
        }
    }
}
