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

/// Words that demand something, or say what is amiss.
const BLAME: [&str; 30] = [
    "breaks",
    "broken",
    "corrupts",
    "crashes",
    "exposes",
    "exposed",
    "fails",
    "incorrect",
    "insecure",
    "lack",
    "lacks",
    "leak",
    "leaks",
    "leaked",
    "loses",
    "misses",
    "missing",
    "must",
    "needs",
    "never",
    "plaintext",
    "unbounded",
    "undefined",
    "unsafe",
    "unspecified",
    "violates",
    "vulnerability",
    "vulnerable",
    "without",
    "wrong",
];

/// The same in two words.
const BLAME_PAIRS: [[&str; 2]; 14] = [
    ["be", "fixed"],
    ["be", "addressed"],
    ["before", "merging"],
    ["before", "merge"],
    ["before", "implementation"],
    ["cannot", "be"],
    ["do", "not"],
    ["does", "not"],
    ["has", "no"],
    ["have", "no"],
    ["is", "no"],
    ["is", "not"],
    ["are", "not"],
    ["should", "be"],
];

/// Words by which a sentence says that what it speaks of is in order.
const SETTLED: [&str; 14] = [
    "acceptable",
    "addressed",
    "addresses",
    "appropriately",
    "correctly",
    "handled",
    "handles",
    "mitigated",
    "properly",
    "resolved",
    "satisfied",
    "satisfies",
    "well",
    "prevents",
];

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

/// Whether a text takes a "nothing" back: one of its clauses begins with "but", "however" and the like. Inside of a clause
/// such a word is praise ("retries, but never without a bound").
pub(crate) fn contrasts(text: &str) -> bool {
    clauses(text).any(|clause| words(clause).next().is_some_and(|word| CONTRAST.contains(&word.as_str())))
}

fn clauses(text: &str) -> impl Iterator<Item = &str> {
    text.split(['.', ';', ':', '(', '!', '—', '–', '\n']).flat_map(|part| part.split(" - "))
}

/// Whether a paragraph under a heading of blocking findings says that something is wrong. Prose has no marks, and most of it
/// praises: it takes words that demand or miss something, in a sentence that does not say that all is settled.
pub(crate) fn blames(paragraph: &str) -> bool {
    paragraph.split(['.', '!', '\n', ';']).any(|sentence| {
        let words: Vec<String> = words(sentence).collect();
        let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        let pairs =
            |known: &[[&str; 2]]| words.windows(2).any(|pair| known.iter().any(|known| pair == known));
        !is_none(sentence) && !has(&SETTLED) && (has(&BLAME) || pairs(&BLAME_PAIRS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_that_demands_or_misses_something_blames() {
        for text in [
            "The worker writes the key into the log; this must be fixed before merging.",
            "There is no rollback of the migration.",
            "The endpoint does not check who calls.",
            "Retries are unbounded.",
        ] {
            assert!(blames(text), "{text}");
        }
        for text in [
            "The design is sound and ready.",
            "All blocking issues of the last round are resolved and need no more work",
            "None. The worker does well without a lock.",
            "Timeouts are handled: nothing must be added.",
        ] {
            assert!(!blames(text), "{text}");
        }
    }

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
            "No issues found. The pool retries, but never without a bound.",
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
