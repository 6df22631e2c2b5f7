//! Tells statements that there is nothing to find, and titles without a statement, from findings.

/// Words that begin a statement that there is nothing.
const NOTHING: [&str; 14] = [
    "0",
    "clean",
    "clear",
    "fine",
    "na",
    "no",
    "none",
    "nothing",
    "ok",
    "okay",
    "pass",
    "passed",
    "satisfied",
    "zero",
];

/// What such a statement may go on with and still say no more than that.
const NOTHING_MORE: [&str; 39] = [
    "1",
    "2",
    "3",
    "additional",
    "all",
    "at",
    "blocking",
    "concerns",
    "critical",
    "detected",
    "findings",
    "finding",
    "found",
    "further",
    "here",
    "high",
    "identified",
    "in",
    "issue",
    "issues",
    "items",
    "major",
    "new",
    "noted",
    "observed",
    "open",
    "outstanding",
    "priority",
    "problems",
    "remain",
    "remaining",
    "significant",
    "suggestions",
    "that",
    "this",
    "tier",
    "time",
    "to",
    "report",
];

/// Words that take a "nothing" back.
const CONTRAST: [&str; 9] =
    ["although", "apart", "besides", "but", "except", "however", "still", "though", "unless"];

/// Words of headings: a label made of them alone says nothing itself.
const CATEGORIES: [&str; 47] = [
    "1",
    "2",
    "3",
    "and",
    "architecture",
    "be",
    "before",
    "blocking",
    "compliance",
    "cost",
    "critical",
    "design",
    "documentation",
    "finding",
    "findings",
    "first",
    "fix",
    "fixed",
    "have",
    "high",
    "implementation",
    "issue",
    "issues",
    "legal",
    "maintainability",
    "merge",
    "must",
    "nice",
    "observability",
    "of",
    "performance",
    "priority",
    "privacy",
    "proceeding",
    "quality",
    "recommended",
    "required",
    "safety",
    "security",
    "should",
    "suggestion",
    "suggestions",
    "testability",
    "testing",
    "the",
    "tier",
    "to",
];

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Whether a text says that there is nothing: "No issues found", "None", "Security: n/a", or no word at all.
pub(crate) fn is_none(text: &str) -> bool {
    let after_title =
        |(title, rest): (&str, &str)| title.len() <= 60 && !rest.trim().is_empty() && says_nothing(rest);
    says_nothing(text) || text.split_once(':').is_some_and(after_title)
}

fn says_nothing(text: &str) -> bool {
    let text = text.replace("n/a", "na").replace("N/A", "na");
    // The first sentence says it; what follows may only explain.
    let end = text.find(['.', ';', '(', '—', '–']).or_else(|| text.find(" - ")).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let mut head = words(head);
    let Some(first) = head.next() else { return !text.contains(char::is_alphanumeric) };
    // "No issues found in security", but not "No security".
    let mut scope = false;
    let mut harmless = |word: String| {
        scope |= matches!(word.as_str(), "in" | "for" | "regarding");
        scope && is_category(&word)
            || matches!(word.as_str(), "for" | "regarding")
            || NOTHING_MORE.contains(&word.as_str())
    };
    NOTHING.contains(&first.as_str()) && head.all(&mut harmless) && !contrasts(rest)
}

/// Whether a text is made of headings' words alone.
pub(crate) fn is_category(text: &str) -> bool {
    words(text).all(|word| CATEGORIES.contains(&word.as_str()))
}

/// Whether a text takes a "nothing" back.
pub(crate) fn contrasts(text: &str) -> bool {
    words(text).any(|word| CONTRAST.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_in_many_ways_but_not_by_any_sentence() {
        for text in [
            "",
            "—",
            "✅",
            "No issues found",
            "**No issues found.**",
            "no blocking issues found",
            "None.",
            "N/A",
            "n/a (local only)",
            "Security: None",
            "**Cost:** No issues found. Everything runs locally.",
            "No Tier 1 issues identified - the design is local",
            "0 issues",
            "Nothing to report",
            "No issues found in cost and security",
            "Passed",
        ] {
            assert!(is_none(text), "{text}");
        }
        for text in [
            "None of the endpoints checks who calls",
            "No rate limit on the public endpoint",
            "No issues found, but the key is logged",
            "No issues found. However, the key is logged",
            "Nothing stops a loop",
            "Security: no validation",
            "No security",
            "Key is logged:",
            "Key is logged",
            "no",
        ] {
            // "no" alone is vocabulary, and says nothing.
            assert_eq!(is_none(text), text == "no", "{text}");
        }
    }
}
