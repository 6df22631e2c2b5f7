//! Tells the reviewer's own words from what the reviewer quotes.

/// A document in two parts.
pub(crate) struct Parts<'a> {
    /// The reviewer's own lines; a quoted line leaves an empty one.
    pub(crate) outside: String,
    /// The fenced blocks, in order.
    pub(crate) fences: Vec<Fence<'a>>,
}

/// A fenced block.
pub(crate) struct Fence<'a> {
    /// The first word after the fence, in lower case.
    pub(crate) language: String,
    /// What is between the fences.
    pub(crate) body: &'a str,
}

/// Elements whose content is not the reviewer's answer: comments of a template, quotations, and the thinking aloud that
/// some models leave in their replies.
const ELEMENTS: [(&str, &str); 7] = [
    ("<!--", "-->"),
    ("<pre", "</pre>"),
    ("<blockquote", "</blockquote>"),
    ("<thinking", "</thinking>"),
    ("<think", "</think>"),
    ("<reasoning", "</reasoning>"),
    ("<thought", "</thought>"),
];

enum Mode {
    Text,
    /// The paragraph of a block quote goes on in lines without a `>` until something else begins.
    Quote,
    /// The fence's character and length, its language, and where its body begins.
    Fence(char, usize, String, usize),
    /// Until this is found.
    Element(&'static str),
}

/// A reply without the thoughts in front of it whose beginning is not marked: templates of some models leave the opening tag
/// out (`DeepSeek-R1`'s and `QwQ`'s chat templates end the prompt with it).
pub(crate) fn after_thoughts(document: &str) -> &str {
    let mut rest = document;
    let mut from = 0;
    let mut open = None;
    for line in document.split_inclusive('\n') {
        let text = line.trim();
        from += line.len();
        for name in THOUGHTS {
            if text
                .get(..name.len() + 1)
                .is_some_and(|head| head.starts_with('<') && head[1..].eq_ignore_ascii_case(name))
            {
                open = Some(name);
            }
            let end = format!("</{name}>");
            if let Some(at) = find_ignoring_case(line, &end) {
                if open.is_none() {
                    rest = &document[from - line.len() + at + end.len()..];
                }
                open = None;
            }
        }
    }
    rest
}

/// The elements of thinking aloud.
const THOUGHTS: [&str; 4] = ["think", "thinking", "reasoning", "thought"];

/// A reply that is one fence from its first line to its last is the content of it: models like to wrap a whole document.
/// Other fences stay, a JSON answer's too.
pub(crate) fn unwrap_fence(document: &str) -> &str {
    let trimmed = document.trim();
    if opens(trimmed.lines().next().unwrap_or("")).is_none() {
        return document;
    }
    let Parts { outside, fences } = split(trimmed);
    match fences.as_slice() {
        [only]
            if outside.trim().is_empty()
                && matches!(only.language.as_str(), "markdown" | "md" | "text" | "") =>
        {
            // A JSON answer is left in its fence, where it is told from other JSON by being alone.
            if only.body.trim_start().starts_with('{') { document } else { only.body }
        }
        _ => document,
    }
}

/// Splits a document. A fence or an element that is never closed goes to the end.
pub(crate) fn split(document: &str) -> Parts<'_> {
    let mut outside = String::with_capacity(document.len());
    let mut fences = Vec::new();
    let mut mode = Mode::Text;
    let mut offset = 0;
    for line in document.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let text = line.trim();
        mode = match mode {
            Mode::Fence(mark, length, language, body) => {
                if closes(text, mark, length) {
                    fences.push(Fence { language, body: &document[body..start] });
                    Mode::Text
                } else {
                    Mode::Fence(mark, length, language, body)
                }
            }
            Mode::Element(end) => leave_element(line, end, &mut outside),
            Mode::Quote if continues_paragraph(text) => Mode::Quote,
            Mode::Text | Mode::Quote => {
                if text.starts_with('>') {
                    if continues_paragraph(text.trim_start_matches(['>', ' '])) {
                        Mode::Quote
                    } else {
                        Mode::Text
                    }
                } else if let Some((mark, length, language)) = opens(text) {
                    Mode::Fence(mark, length, language, offset)
                } else if let Some(end) = element(text) {
                    leave_element(line, end, &mut outside)
                } else {
                    outside.push_str(line.trim_end_matches(['\n', '\r']));
                    Mode::Text
                }
            }
        };
        outside.push('\n');
    }
    if let Mode::Fence(_, _, language, body) = mode {
        fences.push(Fence { language, body: &document[body..] });
    }
    Parts { outside, fences }
}

/// A fence's mark, length and language, if the line opens one. Any indentation will do: fences stand in lists, too.
fn opens(text: &str) -> Option<(char, usize, String)> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = text.trim_start_matches(mark);
    let length = text.len() - rest.len();
    // Backticks further on make it code inside of a line.
    if length < 3 || (mark == '`' && rest.contains('`')) {
        return None;
    }
    let language = rest.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
    Some((mark, length, language))
}

fn closes(text: &str, mark: char, length: usize) -> bool {
    text.len() >= length && text.chars().all(|c| c == mark)
}

/// The end of the element that the line opens.
fn element(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix('<')?;
    let (_, end) = ELEMENTS.iter().find(|(start, _)| {
        let name = &start[1..];
        let named = rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        named && (name == "!--" || !rest[name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
    })?;
    Some(end)
}

/// Goes on after the element's end, if it is in this line; what follows it there is the reviewer's again.
fn leave_element(line: &str, end: &'static str, outside: &mut String) -> Mode {
    match find_ignoring_case(line, end) {
        Some(at) => {
            outside.push_str(line[at + end.len()..].trim_end_matches(['\n', '\r']));
            Mode::Text
        }
        None => Mode::Element(end),
    }
}

/// `needle` is in lower case and begins with a character that occurs once in it, so this is linear.
fn find_ignoring_case(line: &str, needle: &str) -> Option<usize> {
    let (line, needle) = (line.as_bytes(), needle.as_bytes());
    line.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether a line can be the continuation of a paragraph: it is not empty and begins no block of its own.
fn continues_paragraph(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let second = text.chars().nth(1);
    let list = matches!(first, '-' | '+' | '*') && second.is_none_or(char::is_whitespace);
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = digits > 0 && matches!(text.as_bytes().get(digits), Some(b'.' | b')'));
    let rule =
        text.len() >= 3 && matches!(first, '-' | '*' | '_') && text.chars().all(|c| c == first || c == ' ');
    !(matches!(first, '#' | '>' | '<') || list || numbered || rule || opens(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_lines(document: &str) -> Vec<String> {
        split(document).outside.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
    }

    #[test]
    fn quotations_are_not_the_reviewers() {
        let cases: [(&str, &[&str]); 13] = [
            ("a\n```\nq\n```\nb", &["a", "b"]),
            ("a\n````\nq\n```\nq\n````\nb", &["a", "b"]),
            ("a\n~~~ rust\n```\n~~~\nb", &["a", "b"]),
            ("- a\n      ```json\n      q\n      ```\nb", &["- a", "b"]),
            ("a\n```\nnever closed\nq", &["a"]),
            ("```q``` is inline\nb", &["```q``` is inline", "b"]),
            ("> q\nlazy\n\nb", &["b"]),
            ("> q\n# b", &["# b"]),
            ("> q\n- b", &["- b"]),
            (">\nb", &["b"]),
            ("<!-- q\nq -->b\n<!-- q -->c", &["b", "c"]),
            ("<THINK>\nq\n</think>\nb", &["b"]),
            ("<prefix> b\n<pre>q\n</pre>", &["<prefix> b"]),
        ];
        for (document, own) in cases {
            assert_eq!(own_lines(document), own, "{document:?}");
        }
    }

    #[test]
    fn only_a_fence_around_all_of_it_is_taken_off() {
        let cases = [
            ("```markdown\na\n```", "a\n"),
            ("\n```\na\n```\n\n", "a\n"),
            ("```\nq\n```\na\n```\nq\n```", "```\nq\n```\na\n```\nq\n```"),
            ("```rust\na\n```", "```rust\na\n```"),
            ("```\n{\"verdict\": 1}\n```", "```\n{\"verdict\": 1}\n```"),
        ];
        for (document, content) in cases {
            assert_eq!(unwrap_fence(document), content, "{document:?}");
        }
    }
}
