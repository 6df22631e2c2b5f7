//! The pre-flight gate: did it fail?

use crate::boxes::boxes;

/// Whether a line begins by naming the gate, as in `Pre-flight gate: FAILED`.
pub(crate) fn is_labelled(text: &str) -> bool {
    let words: Vec<String> = words(text).take(2).map(str::to_lowercase).collect();
    matches!(words.as_slice(), [first, ..] if first == "preflight") || words == ["pre", "flight"]
}

/// Whether a line of the gate says that it failed. `FAILED` in capitals counts anywhere in it, in small letters only
/// where a result stands. `PASSED/FAILED` is the template's choice and no result.
pub(crate) fn failed(text: &str) -> bool {
    let ticked = boxes(text);
    let choices = ticked
        .iter()
        .filter(|ticked| words(ticked.label).next().is_some_and(|word| is_fail(word) || is_pass(word)));
    let mut choice = choices.peekable();
    if choice.peek().is_some() {
        return choice.any(|ticked| ticked.marked && words(ticked.label).next().is_some_and(is_fail));
    }
    text.contains('❌')
        || shouts_failure(text)
        || results(text).any(|result| words(result).next().is_some_and(is_fail))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn is_fail(word: &str) -> bool {
    ["fail", "failed", "fails", "failure"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn is_pass(word: &str) -> bool {
    ["pass", "passed", "passes"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn shouts_failure(text: &str) -> bool {
    let mut before = "";
    let mut words = words(text).peekable();
    while let Some(word) = words.next() {
        let shouted = word.bytes().all(|b| b.is_ascii_uppercase());
        let next_passes = words.peek().is_some_and(|next| is_pass(next) || next.eq_ignore_ascii_case("or"));
        let harmless = ["0", "no", "zero", "if", "or"].iter().any(|known| before.eq_ignore_ascii_case(known));
        if shouted && is_fail(word) && !harmless && !is_pass(before) && !next_passes {
            return true;
        }
        if is_pass(word) && before.eq_ignore_ascii_case("not") {
            return true;
        }
        before = word;
    }
    false
}

/// The places where a result stands: the beginning, and after each colon, dash or bar.
fn results(text: &str) -> impl Iterator<Item = &str> {
    text.split([':', '–', '—', '|']).flat_map(|part| part.split(" - "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_as_they_are_written() {
        for text in [
            "## Pre-Flight Gate: FAILED",
            "Pre-flight gate: failed",
            "**Status:** ❌ FAILED",
            "Result: not passed",
            "| Tests named | FAILED |",
            "- [ ] Tests named - FAILED",
            "[ ] PASSED [x] FAILED",
            "FAIL",
            "Failed, no tests",
        ] {
            assert!(failed(text), "{text}");
        }
        for text in [
            "## Pre-Flight Gate: PASSED",
            "## Pre-Flight Gate (PASSED/FAILED)",
            "PASSED or FAILED",
            "[x] PASSED [ ] FAILED",
            "[ ] FAILED",
            "All checks passed, 0 FAILED",
            "If FAILED, stop here.",
            "Handles failed requests",
            "",
        ] {
            assert!(!failed(text), "{text}");
        }
    }
}
