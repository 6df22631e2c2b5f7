//! The words of a verdict, and what may stand beside them.

use crate::Verdict;

/// A verdict as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    /// One of the words.
    Clear(Verdict),
    /// An approval with conditions, which is none; as it was written.
    Qualified(String),
    /// Something else in the place of a verdict; as it was written.
    Unknown(String),
}

/// A text that begins with one of the words.
pub(crate) struct Word<'a> {
    pub(crate) verdict: Verdict,
    /// In capitals, as in the template: a word of the verdict and not of a sentence.
    pub(crate) shouted: bool,
    /// What follows it.
    rest: &'a str,
}

/// What reviewers say in place of the words that they are asked for, where nothing but a verdict can stand: in a verdict's
/// line and in JSON. Not beside a box, where `[x] PASSED` is a check. The longest that fits counts.
const OTHER_WORDS: [(&[&str], Verdict); 26] = [
    (&["approve"], Verdict::Approved),
    (&["lgtm"], Verdict::Approved),
    (&["pass"], Verdict::Approved),
    (&["passed"], Verdict::Approved),
    (&["accept"], Verdict::Approved),
    (&["accepted"], Verdict::Approved),
    (&["request", "changes"], Verdict::Revise),
    (&["requesting", "changes"], Verdict::Revise),
    (&["changes", "requested"], Verdict::Revise),
    (&["changes", "required"], Verdict::Revise),
    (&["changes", "needed"], Verdict::Revise),
    (&["needs", "work"], Verdict::Revise),
    (&["needs", "changes"], Verdict::Revise),
    (&["needs", "revision"], Verdict::Revise),
    (&["needs", "revisions"], Verdict::Revise),
    (&["needs", "fixes"], Verdict::Revise),
    (&["revision", "required"], Verdict::Revise),
    (&["revisions", "required"], Verdict::Revise),
    (&["revision", "needed"], Verdict::Revise),
    (&["not", "approved"], Verdict::Revise),
    (&["not", "ready"], Verdict::Revise),
    (&["fail"], Verdict::Revise),
    (&["failed"], Verdict::Revise),
    (&["needs", "discussion"], Verdict::Discuss),
    (&["do", "not", "merge"], Verdict::Blocked),
    (&["do", "not", "approve"], Verdict::Blocked),
];

/// What may follow an approval and leave it one: what it is for, or remarks that nobody has to act on.
const HARMLESS: [&[&str]; 14] = [
    &["for", "implementation"],
    &["for", "merge"],
    &["for", "merging"],
    &["for", "development"],
    &["to", "proceed"],
    &["as", "is"],
    &["with", "suggestions"],
    &["with", "comments"],
    &["with", "nits"],
    &["with", "notes"],
    &["with", "minor", "suggestions"],
    &["with", "minor", "comments"],
    &["with", "optional", "suggestions"],
    &["with", "non", "blocking", "suggestions"],
];

/// Words that make the rest of an approval's line a condition.
const CONDITIONS: [&str; 21] = [
    "after",
    "assuming",
    "but",
    "condition",
    "conditional",
    "conditionally",
    "conditions",
    "contingent",
    "except",
    "however",
    "if",
    "must",
    "once",
    "pending",
    "provided",
    "provisional",
    "provisionally",
    "subject",
    "unless",
    "until",
    "when",
];

/// How much of a text is repeated to people.
const QUOTE_CHARS: usize = 60;

/// The verdict's word at the beginning of a text, whatever emphasis, quotes or pictures stand before it.
pub(crate) fn leading_word(text: &str) -> Option<Word<'_>> {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let verdict = verdict_of(word)?;
    Some(Word { verdict, shouted: word.bytes().all(|b| b.is_ascii_uppercase()), rest })
}

fn verdict_of(word: &str) -> Option<Verdict> {
    const WORDS: [(&str, Verdict); 7] = [
        ("APPROVED", Verdict::Approved),
        ("REVISE", Verdict::Revise),
        ("DISCUSS", Verdict::Discuss),
        ("BLOCK", Verdict::Blocked),
        ("BLOCKED", Verdict::Blocked),
        ("REJECT", Verdict::Blocked),
        ("REJECTED", Verdict::Blocked),
    ];
    WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, verdict)| *verdict)
}

/// Any of the words at the beginning of a text in a place where nothing but a verdict can stand.
pub(crate) fn any_word(text: &str) -> Option<Word<'_>> {
    if let Some(word) = leading_word(text) {
        return Some(word);
    }
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let (found, verdict) = OTHER_WORDS
        .iter()
        .filter_map(|(words, verdict)| Some((after_words(text, words)?, *verdict)))
        .min_by_key(|(rest, _)| rest.len())?;
    let said = &text[..text.len() - found.len()];
    Some(Word { verdict, shouted: !said.bytes().any(|byte| byte.is_ascii_lowercase()), rest: found })
}

/// What follows these words (in small letters here) at the beginning of a text; blanks, `_` and `-` separate them.
fn after_words<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = text;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let next = rest.trim_start_matches([' ', '_', '-', '\t']);
            if next.len() == rest.len() {
                return None;
            }
            rest = next;
        }
        let head = rest.get(..word.len())?;
        rest = &rest[word.len()..];
        if !head.eq_ignore_ascii_case(word) || rest.starts_with(char::is_alphanumeric) {
            return None;
        }
    }
    Some(rest)
}

impl Word<'_> {
    /// Whether the sentence goes on after the word, as in "approved by the security team".
    pub(crate) fn goes_on(&self) -> bool {
        let after = self.rest.trim_start_matches(|c: char| c.is_whitespace() || "*_`\"'”’)]}".contains(c));
        let more =
            HARMLESS.iter().filter_map(|words| after_words(after, words)).min_by_key(|more| more.len());
        let after = more.unwrap_or(after);
        let after = after.trim_start_matches(|c: char| c.is_whitespace() || "*_`\"'”’)]}".contains(c));
        after.starts_with(|c: char| c.is_alphanumeric() || c == '?')
    }

    /// The verdict, an approval only if it is unconditional. Other verdicts need no such care.
    pub(crate) fn stated(&self) -> Stated {
        let conditional = self.goes_on() || has_condition(self.rest);
        if self.verdict == Verdict::Approved && conditional {
            Stated::Qualified(quote(&format!("APPROVED{}", self.rest)))
        } else {
            Stated::Clear(self.verdict)
        }
    }
}

/// Reads a text in a place where a verdict belongs.
pub(crate) fn stated(text: &str) -> Stated {
    any_word(text).map_or_else(|| Stated::Unknown(quote(text)), |word| word.stated())
}

fn has_condition(rest: &str) -> bool {
    let mut last = "";
    rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).any(|word| {
        let negated = last.eq_ignore_ascii_case("not")
            && ["approved", "approve", "ready", "yet"].iter().any(|known| word.eq_ignore_ascii_case(known));
        // Another verdict on the same line is a choice that was not made; in small letters it is part of a sentence.
        let other = word.bytes().all(|b| b.is_ascii_uppercase())
            && verdict_of(word).is_some_and(|verdict| verdict != Verdict::Approved);
        last = word;
        negated || other || CONDITIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
    })
}

/// The beginning of a text, to be shown in a sentence.
pub(crate) fn quote(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_unconditional_or_none() {
        let clear = [
            "APPROVED",
            "**APPROVED** - Ready for implementation",
            "approved.",
            "✅ Approved!",
            "`APPROVED`",
            "[APPROVED]",
            "APPROVED (third iteration)",
            "APPROVED — suggestions are not blocking",
            "\"APPROVED\", nothing blocked",
            "APPROVE",
            "APPROVED for implementation.",
            "Approved with suggestions",
            "approved_with_minor_comments",
            "LGTM",
            "✅ PASS",
        ];
        for text in clear {
            assert_eq!(stated(text), Stated::Clear(Verdict::Approved), "{text}");
        }
        let conditional = [
            "APPROVED with conditions",
            "APPROVED - once Tier 1 is fixed",
            "APPROVED (conditional)",
            "APPROVED, but fix the injection",
            "APPROVED | REVISE | DISCUSS",
            "APPROVED/REJECTED",
            "APPROVED?",
            "APPROVED_WITH_CHANGES",
            "APPROVED - not ready",
            "APPROVED or not",
            "APPROVE with changes",
            "LGTM once the test is there",
            "APPROVED for implementation, pending the review of legal",
            "Approved with suggestions that must be addressed",
        ];
        for text in conditional {
            assert!(matches!(stated(text), Stated::Qualified(_)), "{text}: {:?}", stated(text));
        }
    }

    #[test]
    fn other_verdicts_are_taken_at_their_word() {
        let cases = [
            ("REVISE - then APPROVED", Verdict::Revise),
            ("**Reject**", Verdict::Blocked),
            ("BLOCKED until the legal review", Verdict::Blocked),
            ("block: secrets", Verdict::Blocked),
            ("DISCUSS?", Verdict::Discuss),
            ("REQUEST_CHANGES", Verdict::Revise),
            ("Changes requested: see below", Verdict::Revise),
            ("NOT APPROVED", Verdict::Revise),
            ("needs work", Verdict::Revise),
            ("FAIL", Verdict::Revise),
        ];
        for (text, verdict) in cases {
            assert_eq!(stated(text), Stated::Clear(verdict), "{text}");
        }
        for text in ["BLOCKER", "", "APPROVEDISH", "revised", "needs", "passing"] {
            assert!(matches!(stated(text), Stated::Unknown(_)), "{text}");
        }
    }
}
