//! Fences around a file or a document, told from fences inside it.
//!
//! Models put a fence around what they give and forget that it may have fences of its own. Which line closes is certain where
//! the fence is longer than those inside, where those inside name a language, or where nothing but blanks and other fences
//! follows; else nobody can tell, and the model is asked to say it with a longer fence.

/// A fence's sign and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    sign: u8,
    length: usize,
}

/// Why a fenced text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// No line closes it.
    Open,
    /// More than one line may close it.
    Unclear,
}

/// A line that opens a fence, with what stands after the signs.
pub fn opens(line: &str) -> Option<(Fence, &str)> {
    let sign = line.bytes().next().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = line.bytes().take_while(|b| *b == sign).count();
    let info = line[length..].trim();
    // Backticks further on make it code inside of a line.
    (length >= 3 && !(sign == b'`' && info.contains('`'))).then_some((Fence { sign, length }, info))
}

/// Whether a line with this fence and nothing else closes the open one.
pub fn closes(open: Fence, found: Fence) -> bool {
    found.sign == open.sign && found.length >= open.length
}

/// The number of lines that belong to a fence that was opened above `lines`; the line after them closes it.
///
/// `ends` tells lines that nothing fenced goes beyond when it is not closed, such as the head of the next file.
pub fn inside(fence: Fence, lines: &[&str], ends: impl Fn(&str) -> bool) -> Result<usize, Unread> {
    let mut depth = 1;
    for (at, line) in lines.iter().enumerate() {
        let Some((found, info)) = opens(line) else { continue };
        // Shorter ones and those of the other sign are content.
        if !closes(fence, found) {
            continue;
        }
        if !info.is_empty() {
            depth += 1;
            continue;
        }
        depth -= 1;
        if depth > 0 {
            continue;
        }
        let rest = &lines[at + 1..];
        let follows = rest.first().is_none_or(|next| next.trim().is_empty() || ends(next));
        let more = rest
            .iter()
            .take_while(|line| !ends(line))
            .filter_map(|line| opens(line))
            .any(|(more, _)| closes(fence, more));
        return if follows || !more { Ok(at) } else { Err(Unread::Unclear) };
    }
    Err(Unread::Open)
}

/// A fence that no line of the text closes or could be taken to close.
pub fn around(text: &str) -> String {
    let lengths = text.lines().filter_map(opens).map(|(fence, _)| fence.length);
    "`".repeat(lengths.max().unwrap_or(2).max(2) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inner(text: &str) -> Result<usize, Unread> {
        let lines: Vec<&str> = text.lines().collect();
        let (fence, _) = opens(lines[0]).unwrap();
        inside(fence, &lines[1..], |line| line.starts_with("### FILE"))
    }

    #[test]
    fn the_line_that_closes_is_certain_or_nobody_guesses() {
        for (text, found) in [
            ("```\na\n```", Ok(1)),
            ("```py\na\n```\nDone.", Ok(1)),
            ("```py\na\n```\n\nRun:\n\n```\nx\n```", Ok(1)),
            ("```md\n# A\n```sh\nls\n```\nend\n```", Ok(5)),
            ("````\n```\nx\n```\n````\nAnd:\n````\ny\n````", Err(Unread::Unclear)),
            ("````\n```\nx\n```\n````\n\nAnd:\n```\ny\n```", Ok(3)),
            ("~~~\n```\n~~~", Ok(1)),
            ("```md\n```\ncode\n```\nend\n```", Err(Unread::Unclear)),
            ("```\na\n```\n### FILE: b\n```\nb\n```", Ok(1)),
            ("```\na", Err(Unread::Open)),
        ] {
            assert_eq!(inner(text), found, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_in_a_fence_made_for_it_comes_back(text in "(([`~]{0,5})[a-z ]{0,4}\n){0,8}", after in "(\n[a-z`]{0,6}){0,5}") {
            let fence = around(&text);
            let whole = format!("{fence}\n{text}{fence}\n{}", if after.is_empty() { String::new() } else { format!("\n{after}") });
            prop_assert_eq!(inner(&whole), Ok(text.lines().count()));
        }
    }
}
