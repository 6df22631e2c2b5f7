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

impl Word<'_> {
    /// Whether the sentence goes on after the word, as in "approved by the security team".
    pub(crate) fn goes_on(&self) -> bool {
        let after = self.rest.trim_start_matches(|c: char| c.is_whitespace() || "*_`\"'”’)]}".contains(c));
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
    leading_word(text).map_or_else(|| Stated::Unknown(quote(text)), |word| word.stated())
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
        ];
        for (text, verdict) in cases {
            assert_eq!(stated(text), Stated::Clear(verdict), "{text}");
        }
        for text in ["NOT APPROVED", "BLOCKER", "LGTM", "", "APPROVEDISH", "revised"] {
            assert!(matches!(stated(text), Stated::Unknown(_)), "{text}");
        }
    }
}
