//! Tells whether a text that should be whole says that some of it is left out.

/// What a comment says in place of code, beside an ellipsis.
const WORDS: [&str; 12] = [
    "existing",
    "rest",
    "unchanged",
    "remaining",
    "remainder",
    "same as",
    "as before",
    "previous",
    "omitted",
    "other methods",
    "other functions",
    "keep",
];

/// What says so without one.
const SENTENCES: [&str; 12] = [
    "rest of the file",
    "rest of file",
    "rest of the code",
    "rest of code",
    "rest unchanged",
    "remaining code",
    "existing code here",
    "code unchanged",
    "unchanged code",
    "[unchanged]",
    "content unchanged",
    "file unchanged",
];

/// The first line, counted from 1, that stands for what is left out and that the text before did not have.
pub fn line<'a>(text: &'a str, before: &str) -> Option<(usize, &'a str)> {
    let found =
        text.lines().enumerate().find(|(_, line)| stands_for_more(line) && !before.contains(line.trim()))?;
    Some((found.0 + 1, found.1.trim()))
}

fn stands_for_more(line: &str) -> bool {
    let text = line.trim();
    let bare = text.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '…' | '['));
    // A comment, or a line of nothing but the sentence in brackets.
    let is_marked = bare.len() < text.len() || bare.starts_with(['[', '.', '…']);
    if !is_marked || text.len() > 120 {
        return false;
    }
    let lower = bare.to_lowercase();
    let dots = lower.contains("...") || lower.contains('…');
    dots && WORDS.iter().any(|word| lower.contains(word))
        || SENTENCES.iter().any(|words| lower.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_more() {
        for text in [
            "# ... existing code ...",
            "    // ... rest of the methods",
            "/* rest of the file unchanged */",
            "<!-- ... unchanged ... -->",
            "[unchanged]",
            "# … keep the others …",
            "-- remaining code here",
            "... existing code ...",
        ] {
            assert_eq!(line(&format!("a\n{text}\n"), "a\nb\n"), Some((2, text.trim())), "{text}");
        }
        for text in [
            "# the rest of the list is sorted",
            "x = existing_code",
            "println!(\"...\")",
            "// see the rest below",
            "yield from rest  # ...",
            "- Items that are unchanged stay as they are",
        ] {
            assert_eq!(line(text, ""), None, "{text}");
        }
        assert_eq!(line("# ... existing code ...\n", "x\n# ... existing code ...\n"), None, "it was there");
    }
}
