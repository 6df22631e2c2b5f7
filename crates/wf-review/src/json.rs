//! Finds a reviewer's answer in JSON, wherever it stands.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::findings::plain;
use crate::nothing::is_none;
use crate::quoting::Fence;
use crate::undone::says_undone;
use crate::words::{Stated, quote, stated};

/// How deep an object may nest, as in `serde_json` itself.
const MAX_DEPTH: usize = 128;

/// How often the text may be read over in the search for objects that never end. More is an attack, or a program
/// listing.
const PASSES: usize = 8;

/// One object with a `verdict`.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Once per `verdict` in the object; a repeated key is a contradiction, not a choice.
    pub(crate) verdicts: Vec<Stated>,
    pub(crate) blocking: Vec<String>,
    pub(crate) high: Vec<String>,
    pub(crate) suggestions: Vec<String>,
    pub(crate) gate_failed: bool,
    pub(crate) question: Option<String>,
    /// A line of its summary that says that nothing was reviewed.
    pub(crate) undone: Option<String>,
    /// How many fields it has: an example of the format has one, an answer says more.
    pub(crate) fields: usize,
}

/// What was found outside of fences.
pub(crate) struct Found {
    pub(crate) answers: Vec<Answer>,
    /// The text without the objects that were read.
    pub(crate) prose: String,
    /// Something looked like an answer and could not be read.
    pub(crate) broken: bool,
}

/// Finds the objects with a `verdict` in the reviewer's own text.
pub(crate) fn find(outside: &str) -> Found {
    let bytes = outside.as_bytes();
    let mut answers = Vec::new();
    let mut taken: Vec<Range<usize>> = Vec::new();
    let mut broken = false;
    let mut cut = false;
    let mut budget = bytes.len().saturating_mul(PASSES);
    let mut at = 0;
    while let Some(start) = outside[at..].find('{').map(|found| at + found) {
        at = start + 1;
        let object = match skim(bytes, start, &mut budget) {
            Skim::Object(end) => start..end,
            Skim::Nothing => continue,
            Skim::Cut(end) => {
                // A line break inside of a string, or a reply that was cut.
                cut = true;
                broken |= names_a_verdict(&outside[start..floor(outside, end)]);
                continue;
            }
            Skim::Exhausted => {
                broken = true;
                break;
            }
        };
        at = object.end;
        let text = &outside[object.clone()];
        // In backticks it is an example.
        if !names_a_verdict(text) || outside[..start].ends_with('`') {
            continue;
        }
        match serde_json::from_str::<Answer>(text) {
            Ok(answer) if answer.verdicts.is_empty() => {}
            Ok(answer) => {
                // After one that could not be read, it may be a part of that.
                broken |= cut;
                answers.push(answer);
                taken.push(object);
            }
            Err(_) => broken = true,
        }
    }
    Found { answers, prose: without(outside, &taken), broken }
}

/// The answer in a fence that holds a JSON object and nothing else.
pub(crate) fn in_fence(fence: &Fence<'_>) -> Option<Answer> {
    let body = fence.body.trim();
    if !matches!(fence.language.as_str(), "" | "json" | "jsonc" | "json5") || !body.starts_with('{') {
        return None;
    }
    serde_json::from_str::<Answer>(body).ok().filter(|answer| !answer.verdicts.is_empty())
}

fn names_a_verdict(text: &str) -> bool {
    ["\"verdict\"", "\"Verdict\"", "\"VERDICT\""].iter().any(|key| text.contains(key))
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn without(text: &str, taken: &[Range<usize>]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for range in taken {
        left.push_str(&text[from..range.start]);
        from = range.end;
    }
    left.push_str(&text[from..]);
    left
}

enum Skim {
    /// A balanced object up to here.
    Object(usize),
    /// A brace of something else.
    Nothing,
    /// It began like an object and was no longer one here.
    Cut(usize),
    /// Too much was read in vain.
    Exhausted,
}

/// Finds the end of the object that begins at `start`, without recursion and by shape alone.
fn skim(bytes: &[u8], start: usize, budget: &mut usize) -> Skim {
    let first = bytes[start + 1..].iter().find(|b| !b.is_ascii_whitespace());
    if !matches!(first, Some(b'"' | b'}')) {
        return Skim::Nothing;
    }
    let mut closers = Vec::new();
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        if *budget == 0 {
            return Skim::Exhausted;
        }
        *budget -= 1;
        if in_string {
            match byte {
                b'\n' => return Skim::Cut(at),
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' => closers.push(b'}'),
            b'[' => closers.push(b']'),
            b'}' | b']' => {
                if closers.pop() != Some(*byte) {
                    return Skim::Cut(at);
                }
                if closers.is_empty() {
                    return Skim::Object(at + 1);
                }
            }
            b',' | b':' | b'+' | b'-' | b'.' | b'/' | b'\'' | b'_' => {}
            _ if byte.is_ascii_whitespace() || byte.is_ascii_alphanumeric() => {}
            _ => return Skim::Cut(at),
        }
        if closers.len() > MAX_DEPTH {
            return Skim::Cut(at);
        }
    }
    Skim::Cut(bytes.len())
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Answer, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Answer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Answer, A::Error> {
                let mut answer = Answer::default();
                while let Some(key) = map.next_key::<String>()? {
                    answer.fields += 1;
                    answer.take(&key, &mut map)?;
                }
                Ok(answer)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Answer {
    /// Reads one field. Keys are compared by their letters, because reviewers write `blocking_issues`, `tier_1` and
    /// `Tier 1 (Blocking)`.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let key: String =
            key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let begins = |names: &[&str]| names.iter().any(|name| key.starts_with(name));
        if key == "verdict" {
            self.verdicts.push(match map.next_value::<Value>()? {
                Value::String(text) => stated(&text),
                other => Stated::Unknown(quote(&other.to_string())),
            });
        } else if begins(&["blocking", "blocker", "critical", "tier1"]) {
            self.by_severity(map.next_value()?);
        } else if begins(&["high", "tier2"]) {
            texts(map.next_value()?, &mut self.high);
        } else if begins(&["suggestion", "tier3"]) {
            texts(map.next_value()?, &mut self.suggestions);
        } else if begins(&["preflight"]) {
            let value: Value = map.next_value()?;
            let failed =
                |text: &str| text.trim_start_matches(|c: char| !c.is_alphanumeric()).to_ascii_uppercase();
            self.gate_failed |= match &value {
                Value::Bool(passed) => !passed,
                Value::String(text) => {
                    failed(text).starts_with("FAIL") || failed(text).starts_with("NOT PASS")
                }
                other => other.to_string().contains("FAILED"),
            };
        } else if begins(&["question", "openquestion"]) {
            let mut questions = Vec::new();
            texts(map.next_value()?, &mut questions);
            self.question = Some(questions.join(" ")).filter(|text| !text.is_empty());
        } else if begins(&["summary", "rationale", "reason", "note", "comment"]) {
            if let Value::String(text) = map.next_value()?
                && says_undone(&text)
            {
                self.undone = Some(quote(&text));
            }
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    /// Findings from a list of blocking ones whose own severity says where they belong; without one they block.
    fn by_severity(&mut self, value: Value) {
        let Value::Array(findings) = value else { return texts(value, &mut self.blocking) };
        for finding in findings {
            let severity = ["severity", "level", "priority", "tier"]
                .iter()
                .find_map(|name| finding.get(name).and_then(Value::as_str))
                .unwrap_or_default()
                .to_ascii_lowercase();
            let is = |words: &[&str]| words.iter().any(|word| severity.contains(word));
            let found = if is(&["block", "critical", "must"]) || severity.is_empty() {
                &mut self.blocking
            } else if is(&["high", "major", "medium"]) {
                &mut self.high
            } else if is(&["suggest", "low", "minor", "nit", "info", "optional", "trivial"]) {
                &mut self.suggestions
            } else {
                &mut self.blocking
            };
            texts(finding, found);
        }
    }
}

/// The texts of a finding's own object, in the order they are put together.
const PARTS: [&str; 14] = [
    "title",
    "issue",
    "name",
    "finding",
    "problem",
    "summary",
    "description",
    "detail",
    "details",
    "text",
    "message",
    "recommendation",
    "suggestion",
    "fix",
];

/// Collects findings from whatever a reviewer put there. What is not understood is a finding rather than none.
fn texts(value: Value, found: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Number(number) if number.as_f64() == Some(0.0) => {}
        Value::Bool(true) => found.push("true".to_owned()),
        Value::Number(number) => found.push(number.to_string()),
        Value::String(text) => {
            if !is_none(&text) {
                found.push(plain(&text));
            }
        }
        // No deeper than `serde_json` lets a value be.
        Value::Array(values) => values.into_iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => {
            let part = |name: &&str| {
                fields.get(*name).and_then(Value::as_str).map(plain).filter(|text| !text.is_empty())
            };
            let parts: Vec<_> = PARTS.iter().filter_map(part).collect();
            if parts.is_empty() {
                // Findings by category.
                fields.into_iter().for_each(|(_, value)| texts(value, found));
            } else if !parts.iter().all(|part| is_none(part)) {
                found.push(parts.join(": "));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn verdicts(outside: &str) -> Vec<Stated> {
        find(outside).answers.into_iter().flat_map(|answer| answer.verdicts).collect()
    }

    #[test]
    fn objects_are_found_in_prose_and_nothing_else_is() {
        let revise = || vec![Stated::Clear(Verdict::Revise)];
        assert_eq!(
            verdicts(r#"Here: {"verdict": "REVISE", "summary": "a } brace \" and a quote"} done."#),
            revise()
        );
        assert_eq!(verdicts(r#"{x} {"a": {"b": 1}} { "verdict" : "revise" }"#), revise());
        assert_eq!(verdicts(r#"as in `{"verdict": "APPROVED"}` but {"verdict": "REVISE"}"#), revise());
        assert_eq!(verdicts(r#"{"review": {"verdict": "APPROVED"}}"#), []);
        assert_eq!(verdicts(r#"{"verdict": "REVISE", "verdict": "REVISE"}"#), [revise(), revise()].concat());
        assert_eq!(find(r#"a {"verdict": "REVISE"} b"#).prose, "a  b");
    }

    #[test]
    fn what_cannot_be_read_is_noticed() {
        for broken in [
            r#"{"verdict": "APPROVED", "summary": "cut"#,
            r#"{"verdict": "APPROVED",}"#,
            "{\"verdict\": \"APPROVED\", \"summary\": \"two\nlines\"}",
            r#"{"verdict": APPROVED}"#,
        ] {
            let found = find(broken);
            assert!(found.broken && found.answers.is_empty(), "{broken}");
        }
        assert!(!find(r#"fn main() { "x"; } {"a": 1,}"#).broken);
    }

    #[test]
    fn findings_in_every_shape() {
        let text = r#"{
            "verdict": "REVISE",
            "tier_1": {"cost": [], "security": [{"title": "Key", "description": "It is  logged", "severity": 9}]},
            "Tier 2 (High)": "none",
            "high_priority_issues": ["**One:** a", {"issue": "No issues found"}, null, 0, 3],
            "suggestions": [true, ["n/a", "two"]],
            "pre-flight_gate": "Failed: no tests",
            "questions": ["Who pays?", "When?"],
            "other": [[[1]]]
        }"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.blocking, ["Key: It is logged"]);
        assert_eq!(answer.high, ["One: a", "3"]);
        assert_eq!(answer.suggestions, ["true", "two"]);
        assert!(answer.gate_failed);
        assert_eq!(answer.question.as_deref(), Some("Who pays? When?"));
    }
}
