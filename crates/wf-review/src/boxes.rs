//! Boxes such as `- [x] **APPROVED** - Ready for implementation`.

/// A box and what stands after it, up to the next box of the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticked<'a> {
    pub(crate) marked: bool,
    pub(crate) label: &'a str,
}

/// The boxes of a text that begins with one (list marks and emphasis apart), nothing if it begins with something else.
pub(crate) fn boxes(text: &str) -> Vec<Ticked<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || "*_|".contains(c));
    while let Some((marked, after)) = leading_box(rest) {
        // The label ends where the next box begins. A bracket that opens none belongs to the label.
        let next = after
            .match_indices(['[', '\\', '☑', '☒', '☐'])
            .find(|(at, _)| leading_box(&after[*at..]).is_some());
        let (label, more) = after.split_at(next.map_or(after.len(), |(at, _)| at));
        found.push(Ticked { marked, label });
        rest = more;
    }
    found
}

/// Whether the text begins with a box, whether it is marked, and what follows.
fn leading_box(text: &str) -> Option<(bool, &str)> {
    let first = text.chars().next()?;
    if matches!(first, '☑' | '☒' | '☐') {
        return Some((first != '☐', &text[first.len_utf8()..]));
    }
    // Some models escape the brackets.
    let inner = text.strip_prefix("\\[").or_else(|| text.strip_prefix('['))?;
    // A mark is one character, with a space or two, a variation selector or a backslash around it.
    let (end, _) = inner.char_indices().take(6).find(|(_, c)| *c == ']')?;
    let mark = inner[..end].trim_end_matches('\\').trim().trim_end_matches('\u{fe0f}');
    let after = &inner[end + 1..];
    let mut chars = mark.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some((false, after)),
        (Some(mark), None) => {
            Some((matches!(mark, 'x' | 'X' | '✓' | '✔' | '✅' | '☑' | '*' | '√' | '✕' | '×'), after))
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_as_they_are_found() {
        let marked = ["[x]", "[X]", "[✓]", "[ x ]", "**[x]**", "\\[x\\]", "[✔️]", "☑", "| [x] |", "[*]"];
        let unmarked = ["[ ]", "[]", "[-]", "[❌]", "☐", "\\[ \\]", "[   ]"];
        for (boxed, expected) in marked.map(|m| (m, true)).into_iter().chain(unmarked.map(|u| (u, false))) {
            let line = format!("{boxed} APPROVED");
            let found = boxes(&line);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].marked, expected, "{line}");
            assert!(found[0].label.ends_with(" APPROVED"), "{line}");
        }
        for line in ["[APPROVED](link)", "[see] x", "text [x] APPROVED", "[x", "", "x]"] {
            assert!(boxes(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn several_on_a_line() {
        let found: Vec<_> = boxes("[ ] APPROVED [see] [x] REVISE [ ] DISCUSS")
            .iter()
            .map(|b| (b.marked, b.label.trim().to_owned()))
            .collect();
        let expected = [
            (false, "APPROVED [see]".to_owned()),
            (true, "REVISE".to_owned()),
            (false, "DISCUSS".to_owned()),
        ];
        assert_eq!(found, expected);
    }
}
