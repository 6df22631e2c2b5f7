//! The sections of a review, told by their headings.

/// What a section of a review is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Gate,
    Blocking,
    High,
    Suggestions,
    Questions,
    Verdict,
    Other,
}

/// Where a reader of the lines is.
pub(crate) struct Outline {
    section: Section,
    /// The level of the heading that began the section; deeper ones divide it.
    level: usize,
}

/// A line that may be a heading.
pub(crate) struct Heading<'a> {
    /// 1 to 6; `None` for a line in bold or a label.
    level: Option<usize>,
    pub(crate) text: &'a str,
    /// What follows a label in its line.
    pub(crate) content: &'a str,
}

/// Prefixes that leave a verdict the reviewer's own. Another, as in "previous verdict", makes it somebody else's.
const OWN: [&str; 20] = [
    "a",
    "code",
    "design",
    "document",
    "final",
    "governance",
    "implementation",
    "issue",
    "lld",
    "my",
    "our",
    "overall",
    "pr",
    "review",
    "reviewer",
    "reviewer's",
    "reviewers",
    "s",
    "security",
    "the",
];

/// What may follow the name of a rank in a heading.
const OF_A_RANK: [&str; 20] = [
    "blocker",
    "blockers",
    "blocking",
    "bugs",
    "changes",
    "comments",
    "concerns",
    "errors",
    "findings",
    "fixes",
    "improvements",
    "issue",
    "issues",
    "must",
    "points",
    "priority",
    "problems",
    "risks",
    "severity",
    "suggestions",
];

/// Words by which a heading is the document's own and not that of an analysis in it.
const OF_THE_DOCUMENT: [&str; 16] = [
    "assessment",
    "conclusion",
    "conclusions",
    "decision",
    "feedback",
    "final",
    "outcome",
    "overall",
    "recommendation",
    "recommendations",
    "result",
    "results",
    "review",
    "reviewer",
    "summary",
    "verdict",
];

/// The longest title of a label.
const MAX_LABEL_BYTES: usize = 60;

/// How far into a line the word "verdict" may stand.
const VERDICT_WITHIN: usize = 64;

impl Outline {
    pub(crate) fn new() -> Outline {
        Outline { section: Section::Other, level: 0 }
    }

    pub(crate) fn section(&self) -> Section {
        self.section
    }

    /// Goes on to the section that a line begins, if it does. A heading of no known meaning ends a section unless it is
    /// deeper.
    pub(crate) fn enter(&mut self, heading: &Heading<'_>) -> bool {
        let meaning = meaning(heading.text);
        match (heading.level, meaning) {
            (Some(level), Some(section)) => *self = Outline { section, level },
            (None, Some(section)) => *self = Outline { section, level: self.level },
            (Some(level), None) if level <= self.level => {
                *self = Outline { section: Section::Other, level };
            }
            (Some(_), None) => {}
            (None, None) => return false,
        }
        true
    }
}

/// Whether a heading names a part of its own, whose verdict is not the document's: *Requirement Coverage Analysis*, but not
/// *Review Summary*, a tier, or the title.
pub(crate) fn names_a_part(heading: &Heading<'_>) -> bool {
    heading.level.is_some_and(|level| level > 1)
        && meaning(heading.text).is_none()
        && !words(heading.text).iter().any(|word| OF_THE_DOCUMENT.contains(&word.as_str()))
}

/// Whether the heading is one with hashes.
pub(crate) fn is_ranked(heading: &Heading<'_>) -> bool {
    heading.level.is_some()
}

/// The heading that a line is: with hashes, all in bold, or a label of a few words.
pub(crate) fn heading(line: &str) -> Option<Heading<'_>> {
    let line = line.trim();
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    if (1..=6).contains(&level) && (text.is_empty() || text.starts_with([' ', '\t', '*'])) {
        return Some(Heading { level: Some(level), text, content: "" });
    }
    if line.starts_with(['-', '+', '|', '[']) || line.starts_with("* ") {
        return None;
    }
    label(line)
}

/// A heading without a level: a line or a list item that begins with a title in bold, or with a label.
pub(crate) fn label(text: &str) -> Option<Heading<'_>> {
    let text = text.trim();
    // "The verdict of others: ..." is a sentence.
    let sentence = |title| after_verdict(title).is_some_and(|rest| rest.contains(char::is_alphanumeric));
    let found = |title, content| (!sentence(title)).then_some(Heading { level: None, text: title, content });
    if let Some(rest) = text.strip_prefix("**").or_else(|| text.strip_prefix("__")) {
        let (title, content) = rest.split_once(&text[..2])?;
        return found(title, content);
    }
    let begins = |name: &str| text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    match text.split_once(':') {
        Some((title, content)) if title.len() <= MAX_LABEL_BYTES => found(title, content),
        _ if text.len() > MAX_LABEL_BYTES || text.ends_with('.') => None,
        _ if begins("tier") || begins("pre") || is_verdict_label(text) => found(text, ""),
        _ => None,
    }
}

/// What a heading of these words is about.
pub(crate) fn meaning(text: &str) -> Option<Section> {
    let words = words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // A numbered heading: "3. Tier 1".
    let words = match words.as_slice() {
        [number, rest @ ..] if number.bytes().all(|b| b.is_ascii_digit()) => rest,
        all => all,
    };
    let has = |sequence: &[&str]| words.windows(sequence.len()).any(|window| window == sequence);
    let begins = |names: &[&str]| words.first().is_some_and(|first| names.contains(first));
    // "Critical path" is a subject, "Critical issues" a rank.
    let ranks =
        |names: &[&str]| begins(names) && words.get(1).is_none_or(|second| OF_A_RANK.contains(second));
    if has(&["pre", "flight"]) || has(&["preflight"]) {
        Some(Section::Gate)
    } else if has(&["tier", "1"])
        || has(&["tier1"])
        || begins(&["blocking", "blockers", "blocker"])
        || ranks(&["critical", "showstopper", "showstoppers", "p0", "sev0", "sev1"])
        || words.starts_with(&["must", "fix"])
        || words.starts_with(&["must", "be", "fixed"])
        || words.starts_with(&["must", "address"])
        || words.starts_with(&["must", "change"])
        || (begins(&["severity", "priority"]) && has(&["critical"]))
    {
        Some(Section::Blocking)
    } else if has(&["tier", "2"])
        || has(&["tier2"])
        || words.starts_with(&["high", "priority"])
        || ranks(&["high", "major", "p1"])
        || words.starts_with(&["should", "fix"])
    {
        Some(Section::High)
    } else if has(&["tier", "3"])
        || has(&["tier3"])
        || begins(&["suggestions", "suggestion", "nits", "nitpicks"])
        || ranks(&["minor", "low", "p2", "p3", "optional"])
        || words.starts_with(&["nice", "to", "have"])
    {
        Some(Section::Suggestions)
    } else if after_verdict(text).is_some() {
        Some(Section::Verdict)
    } else if begins(&["question", "questions"]) || words.starts_with(&["open", "questions"]) {
        Some(Section::Questions)
    } else {
        None
    }
}

/// The first words of a heading, in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .take(12)
        .map(str::to_lowercase)
        .collect()
}

/// Whether a line is nothing but the label of a verdict.
fn is_verdict_label(line: &str) -> bool {
    after_verdict(line).is_some_and(|rest| !rest.contains(char::is_alphanumeric))
}

/// What stands after the reviewer's own "verdict" at the beginning of a line, if that is how it begins.
pub(crate) fn after_verdict(line: &str) -> Option<&str> {
    // Quotation marks, a code mark or a bracket in front make it somebody else's words, or a box.
    let text = line.trim_start_matches(|c: char| !c.is_alphanumeric() && !"\"'`“”‘’«<>[]{}(~".contains(c));
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')' | ' '));
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric() && !"\"'`“”‘’«<>[]{}(~".contains(c));
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '\'').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.eq_ignore_ascii_case("verdict") {
            return Some(after);
        }
        let own = OWN.iter().any(|known| word.eq_ignore_ascii_case(known));
        let next = after.trim_start_matches([' ', '*', '_', '’']);
        if !own || next.len() == rest.len() || text.len() - next.len() > VERDICT_WITHIN {
            return None;
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_their_meaning() {
        let cases = [
            ("## Tier 1: BLOCKING Issues", Some(Section::Blocking)),
            ("### 2. Tier-2 (High Priority)", Some(Section::High)),
            ("**Tier 3: SUGGESTIONS**", Some(Section::Suggestions)),
            ("Tier 1", Some(Section::Blocking)),
            ("Blocking issues:", Some(Section::Blocking)),
            ("## Tier 10", None),
            ("## 🔍 Pre-Flight Gate: PASSED", Some(Section::Gate)),
            ("# Governance Verdict: BLOCK", Some(Section::Verdict)),
            ("Verdict", Some(Section::Verdict)),
            ("**Verdict:**", Some(Section::Verdict)),
            ("## Open Questions", Some(Section::Questions)),
            ("## 🔴 Critical Issues (must fix)", Some(Section::Blocking)),
            ("### Must fix before merge", Some(Section::Blocking)),
            ("## P0", Some(Section::Blocking)),
            ("## Critical path of the scheduler", None),
            ("## Minor issues", Some(Section::Suggestions)),
            ("## High-level overview", None),
            ("## Previous verdict", None),
            ("## Summary", None),
        ];
        for (line, section) in cases {
            let heading = heading(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(meaning(heading.text), section, "{line}");
        }
        for line in ["- **Tier 1:** x", "plain text", "[x] APPROVED", "#hash", "The verdict of others: x y"] {
            assert!(heading(line).is_none_or(|h| meaning(h.text).is_none()), "{line}");
        }
    }

    #[test]
    fn a_section_lasts_until_a_heading_of_its_rank() {
        let mut outline = Outline::new();
        let mut enter = |line: &str| {
            outline.enter(&heading(line).unwrap());
            outline.section()
        };
        assert_eq!(enter("## Tier 1"), Section::Blocking);
        assert_eq!(enter("### Cost"), Section::Blocking);
        assert_eq!(enter("**Security**"), Section::Blocking);
        assert_eq!(enter("## Notes"), Section::Other);
        assert_eq!(enter("**Tier 1**"), Section::Blocking);
        assert_eq!(enter("### Cost"), Section::Blocking);
        assert_eq!(enter("## Notes"), Section::Other);
    }

    #[test]
    fn whose_verdict() {
        for (line, rest) in [
            ("**Verdict: REJECTED - x**", Some(": REJECTED - x**")),
            ("# Governance Verdict: BLOCK", Some(": BLOCK")),
            ("5. Final verdict — APPROVED", Some(" — APPROVED")),
            ("✅ **Reviewer's Verdict**: APPROVED", Some("**: APPROVED")),
            ("Previous verdict: APPROVED", None),
            ("\"Verdict: APPROVED\"", None),
            ("`Verdict: APPROVED`", None),
            ("The verdicts: APPROVED", None),
            ("", None),
        ] {
            assert_eq!(after_verdict(line), rest, "{line}");
        }
    }
}
