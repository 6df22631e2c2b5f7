//! A drafter's answer: a whole document, or edit blocks (search and replace) for the one it has.
//!
//! The model is told the format in `prompts/revise.md`. Reading it is total: whatever comes is a [`Draft`] or a
//! [`Problem`] that can be told to the model.

use std::fmt;

use crate::fences::{self, Fence};
use crate::thoughts;

/// Largest document worked on, in bytes: as much as an input may have.
pub const DOCUMENT_BYTES: usize = 1024 * 1024;

/// Most blocks in one answer.
const BLOCKS: usize = 200;

/// A drafter's answer, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draft {
    /// The document from top to bottom.
    Whole(String),
    /// Changes to the document that was sent.
    Edits(Vec<Edit>),
}

/// One change: `search` occurs once in the document and gives way to `replace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Whole lines of the document, without the last newline.
    pub search: String,
    /// What takes their place; empty to delete them.
    pub replace: String,
    /// The same for every further row of `=` that may divide the block: it may be a heading's underline. The document tells
    /// which of them is meant.
    pub or: Vec<(String, String)>,
}

impl Edit {
    /// A block with one divider.
    #[cfg(test)]
    pub fn new(search: impl Into<String>, replace: impl Into<String>) -> Edit {
        Edit { search: search.into(), replace: replace.into(), or: Vec::new() }
    }
}

/// Why an answer cannot be used: a sentence for the model, and for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing but blanks.
    Empty,
    /// The answer, or the document it makes, is too large.
    TooLarge,
    /// More blocks than anybody needs.
    TooManyBlocks,
    /// A block that is not closed, or has no divider.
    BrokenBlock(usize),
    /// A block that searches for nothing.
    EmptySearch(usize),
    /// A block whose text the document does not have.
    NoMatch(usize, String),
    /// A block whose text the document has several times.
    Ambiguous(usize, String),
    /// Thoughts that do not end.
    OpenThoughts,
    /// A fence around the document that more than one line may close, or none.
    UnclearFence,
    /// Several, one per block.
    Several(Vec<Problem>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Empty => f.write_str("the answer is empty"),
            Problem::TooLarge => write!(f, "the document is larger than {DOCUMENT_BYTES} bytes"),
            Problem::TooManyBlocks => write!(f, "there are more than {BLOCKS} edit blocks"),
            Problem::BrokenBlock(n) => write!(
                f,
                "edit block {n} is not of the form <<<<<<< SEARCH, lines, =======, lines, >>>>>>> REPLACE"
            ),
            Problem::EmptySearch(n) => write!(f, "edit block {n} searches for nothing"),
            Problem::NoMatch(n, line) => {
                write!(f, "edit block {n} matches nowhere in the document; it begins with {line:?}")
            }
            Problem::Ambiguous(n, line) => write!(
                f,
                "edit block {n} matches several places of the document; it begins with {line:?}: search for more lines"
            ),
            Problem::OpenThoughts => f.write_str("its thoughts do not end (</think> is missing)"),
            Problem::UnclearFence => f.write_str(
                "nobody can tell which line closes the fence around the document: give it without a fence, or in a longer one (````)",
            ),
            Problem::Several(problems) => {
                for (i, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

/// The marks of an edit block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `<<<<<<< SEARCH`
    Search,
    /// `=======`
    Divider,
    /// `>>>>>>> REPLACE`
    Replace,
}

/// A line that is one of the three marks. Five to nine signs are as good as seven: models miscount.
pub fn mark(line: &str) -> Option<Mark> {
    let line = line.trim_end();
    let sign = line.chars().next()?;
    let word = line.trim_start_matches(sign);
    match (sign, word.trim()) {
        // Counted in bytes: the three signs have one each.
        _ if !(5..=9).contains(&(line.len() - word.len())) => None,
        ('<', "SEARCH") => Some(Mark::Search),
        ('=', "") => Some(Mark::Divider),
        ('>', "REPLACE") => Some(Mark::Replace),
        _ => None,
    }
}

/// Reads an answer. Prose around edit blocks is ignored, and so is what stands around a whole document: a fence
/// around all of it, and lines before its first heading.
pub fn read(answer: &str) -> Result<Draft, Problem> {
    if answer.trim().is_empty() {
        return Err(Problem::Empty);
    }
    if answer.len() > 2 * DOCUMENT_BYTES {
        return Err(Problem::TooLarge);
    }
    let answer = &*thoughts::without(answer).ok_or(Problem::OpenThoughts)?;
    if answer.trim().is_empty() {
        return Err(Problem::Empty);
    }
    if !answer.lines().any(|line| mark(line) == Some(Mark::Search)) {
        let document = whole(answer)?;
        return match document.len() {
            0 => Err(Problem::Empty),
            1..=DOCUMENT_BYTES => Ok(Draft::Whole(document)),
            _ => Err(Problem::TooLarge),
        };
    }
    let mut edits = Vec::new();
    let mut lines = answer.lines();
    while let Some(line) = lines.next() {
        if mark(line) != Some(Mark::Search) {
            continue;
        }
        let number = edits.len() + 1;
        if number > BLOCKS {
            return Err(Problem::TooManyBlocks);
        }
        let block = lines_until_replace(&mut lines).ok_or(Problem::BrokenBlock(number))?;
        let mut splits = block
            .iter()
            .enumerate()
            .filter(|(_, line)| mark(line) == Some(Mark::Divider))
            .map(|(at, _)| (block[..at].join("\n"), block[at + 1..].join("\n")));
        let (search, replace) = splits.next().ok_or(Problem::BrokenBlock(number))?;
        let or: Vec<_> = splits.take(UNDERLINES).collect();
        if search.trim().is_empty() && or.is_empty() {
            return Err(Problem::EmptySearch(number));
        }
        edits.push(Edit { search, replace, or });
    }
    Ok(Draft::Edits(edits))
}

/// Most rows of `=` in a block beside the first.
const UNDERLINES: usize = 20;

/// The lines of a block. Another block's beginning inside of it is an error.
fn lines_until_replace<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let mut taken: Vec<&str> = Vec::new();
    for line in lines {
        match mark(line) {
            Some(Mark::Replace) => return Some(taken),
            Some(Mark::Divider) | None => taken.push(line),
            Some(Mark::Search) => return None,
        }
    }
    None
}

/// A whole document without what models put around it: words before it, and a fence of any form around all of it.
fn whole(answer: &str) -> Result<String, Problem> {
    let lines: Vec<&str> = answer.trim().lines().collect();
    let mut range = 0..lines.len();
    let begins = |at: &usize| lines[*at].starts_with('#') || document_fence(&lines[*at..]).is_some();
    if let Some(start) = (0..lines.len()).find(begins) {
        range.start = start;
        if let Some(fence) = document_fence(&lines[start..]) {
            range.start += 1;
            let inner = &lines[range.start..];
            range.end =
                range.start + fences::inside(fence, inner, |_| false).map_err(|_| Problem::UnclearFence)?;
        }
    }
    let mut document = lines[range].join("\n").trim().to_owned();
    if !document.is_empty() {
        document.push('\n');
    }
    Ok(document)
}

/// The fence around a document: one of Markdown's, or one without a language in which a heading comes first.
fn document_fence(lines: &[&str]) -> Option<Fence> {
    let (fence, info) = fences::opens(lines[0])?;
    let is_heading =
        || lines[1..].iter().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with('#'));
    match info.to_ascii_lowercase().as_str() {
        "markdown" | "md" => Some(fence),
        "" | "text" | "txt" | "mdx" | "plaintext" => is_heading().then_some(fence),
        _ => None,
    }
}

/// The document with all edits made, or why not: all or none.
///
/// A search that is not found to the letter is tried once more without regard to blanks at line ends.
pub fn apply(document: &str, edits: &[Edit]) -> Result<String, Problem> {
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    let mut problems = Vec::new();
    for (i, edit) in edits.iter().enumerate() {
        let place = if edit.or.is_empty() {
            place_of(&lines, &edit.search, i + 1).map(|place| (place, &edit.search, &edit.replace))
        } else {
            divided(&lines, edit, i + 1)
        };
        match place {
            Ok((place, search, replace)) => {
                let replace = replace.lines().map(str::to_owned);
                lines.splice(place..place + search.lines().count(), replace);
            }
            Err(problem) => problems.push(problem),
        }
    }
    match problems.len() {
        0 => {}
        1 => return Err(problems.remove(0)),
        _ => return Err(Problem::Several(problems)),
    }
    let mut document = lines.join("\n");
    document.push('\n');
    if document.trim().is_empty() {
        return Err(Problem::Empty);
    }
    if document.len() > DOCUMENT_BYTES {
        return Err(Problem::TooLarge);
    }
    Ok(document)
}

/// The only place where the lines of `search` stand.
fn place_of(lines: &[String], search: &str, number: usize) -> Result<usize, Problem> {
    let wanted: Vec<&str> = search.lines().collect();
    let begins = || wanted.iter().find(|l| !l.trim().is_empty()).unwrap_or(&"").chars().take(80).collect();
    let mut places = find(lines, &wanted, |a, b| a == b);
    if places.is_empty() {
        places = find(lines, &wanted, |a, b| a.trim_end() == b.trim_end());
    }
    match places[..] {
        [place] => Ok(place),
        [] => Err(Problem::NoMatch(number, begins())),
        _ => Err(Problem::Ambiguous(number, begins())),
    }
}

/// The place of a block with several rows of `=`: that of the longest search that the document has. A shorter one would put
/// lines in that stand there already.
fn divided<'a>(
    lines: &[String],
    edit: &'a Edit,
    number: usize,
) -> Result<(usize, &'a String, &'a String), Problem> {
    let first = (&edit.search, &edit.replace);
    let divisions = std::iter::once(first).chain(edit.or.iter().map(|(search, replace)| (search, replace)));
    divisions
        .filter(|(search, _)| !search.trim().is_empty())
        .filter_map(|(search, replace)| Some((place_of(lines, search, number).ok()?, search, replace)))
        .next_back()
        .map_or_else(
            || place_of(lines, &edit.search, number).map(|place| (place, &edit.search, &edit.replace)),
            Ok,
        )
}

/// The first two places where `wanted` stands: more need not be known.
fn find(lines: &[String], wanted: &[&str], same: impl Fn(&str, &str) -> bool) -> Vec<usize> {
    if wanted.is_empty() {
        return Vec::new();
    }
    lines
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, window)| window.iter().zip(wanted).all(|(a, b)| same(a, b)))
        .map(|(place, _)| place)
        .take(2)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(search: &str, replace: &str) -> String {
        format!("<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
    }

    fn edit(search: &str, replace: &str) -> Edit {
        Edit::new(search, replace)
    }

    #[test]
    fn whole_documents_are_freed_of_what_stands_around_them() {
        for answer in [
            "# T\n\ntext\n",
            "\n\n# T\n\ntext",
            "Here is the document:\n\n# T\n\ntext\n",
            "Sure!\n```markdown\n# T\n\ntext\n```\nTell me if it helps.",
            "```md\n# T\n\ntext\n```",
            "```\n# T\n\ntext\n```",
            "````Markdown\n# T\n\ntext\n````",
            "~~~\n# T\n\ntext\n~~~",
            "Here:\n\n```text\n# T\n\ntext\n```\n\nShall I go on?",
            "<think>\n# Not T\n</think>\n\n# T\n\ntext\n",
            "# Not T\n</think>\n# T\n\ntext\n",
        ] {
            assert_eq!(read(answer), Ok(Draft::Whole("# T\n\ntext\n".into())), "{answer:?}");
        }
        let inner = "```markdown\n# T\n```rust\nfn f() {}\n```\nend\n```\n";
        assert_eq!(read(inner), Ok(Draft::Whole("# T\n```rust\nfn f() {}\n```\nend\n".into())));
        assert_eq!(read("no heading at all"), Ok(Draft::Whole("no heading at all\n".into())));
    }

    #[test]
    fn edit_blocks_are_read_with_prose_around_them() {
        let answer = format!("First:\n{}then\n```\n{}```\n", block("a\nb", "c"), block("d", ""));
        assert_eq!(read(&answer), Ok(Draft::Edits(vec![edit("a\nb", "c"), edit("d", "")])));
        let underlined = "<<<<< SEARCH\na\n=====\nTitle\n=======\nb\n>>>>>>>>> REPLACE";
        let Ok(Draft::Edits(edits)) = read(underlined) else { panic!() };
        assert_eq!(apply("x\na\n", &edits).unwrap(), "x\nTitle\n=======\nb\n");
        let both = "<<<<<<< SEARCH\nEnd\n=======\n\nBye.\n=======\nEnd\n=======\n\nGoodbye.\n>>>>>>> REPLACE";
        let Ok(Draft::Edits(edits)) = read(both) else { panic!() };
        assert_eq!(apply("End\n=======\n\nBye.\n", &edits).unwrap(), "End\n=======\n\nGoodbye.\n");
        assert_eq!(
            apply("End\n===\n\nEnd\n=======\n\nBye.\n", &edits).unwrap(),
            "End\n===\n\nEnd\n=======\n\nGoodbye.\n"
        );
    }

    #[test]
    fn useless_answers_are_named() {
        for (answer, problem) in [
            (String::new(), Problem::Empty),
            (" \n\t\n".into(), Problem::Empty),
            ("```markdown\n```".into(), Problem::Empty),
            ("<<<<<<< SEARCH\na\n".into(), Problem::BrokenBlock(1)),
            (block("a", "b") + "<<<<<<< SEARCH\na\n=======\nb\n", Problem::BrokenBlock(2)),
            ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n".into(), Problem::BrokenBlock(1)),
            (block("", "b"), Problem::EmptySearch(1)),
            (block("a", "b").repeat(BLOCKS + 1), Problem::TooManyBlocks),
            ("x".repeat(20 << 20), Problem::TooLarge),
            ("# x".repeat(DOCUMENT_BYTES / 2), Problem::TooLarge),
        ] {
            assert_eq!(read(&answer), Err(problem), "{answer:.60}");
        }
    }

    #[test]
    fn edits_are_applied_all_or_none() {
        let document = "# T\n\none\ntwo  \none\nthree\n";
        for (edits, result) in [
            (vec![edit("three", "3")], Ok("# T\n\none\ntwo  \none\n3\n")),
            (vec![edit("one\ntwo", "1\n2\n2b")], Ok("# T\n\n1\n2\n2b\none\nthree\n")),
            (vec![edit("two  \none", "")], Ok("# T\n\none\nthree\n")),
            (vec![edit("three", "four"), edit("four", "five")], Ok("# T\n\none\ntwo  \none\nfive\n")),
            (vec![edit("one", "1")], Err(Problem::Ambiguous(1, "one".into()))),
            (vec![edit("three", "3"), edit("3x", "")], Err(Problem::NoMatch(2, "3x".into()))),
            (vec![edit(document, "")], Err(Problem::Empty)),
            (vec![edit("three", &"x\n".repeat(DOCUMENT_BYTES))], Err(Problem::TooLarge)),
            (
                vec![edit("\nnowhere", ""), edit("one", "")],
                Err(Problem::Several(vec![
                    Problem::NoMatch(1, "nowhere".into()),
                    Problem::Ambiguous(2, "one".into()),
                ])),
            ),
        ] {
            assert_eq!(apply(document, &edits), result.map(str::to_owned), "{:.60}", format!("{edits:?}"));
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_and_applied_without_a_panic(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("<<<<<<< SEARCH\n".to_owned()), Just("=======\n".to_owned()),
                    Just(">>>>>>> REPLACE\n".to_owned()), Just("```markdown\n".to_owned()),
                    Just("```\n".to_owned()), Just("one\n".to_owned()), ".*",
                ],
                0..20,
            )
        ) {
            if let Ok(Draft::Edits(edits)) = read(&parts.concat()) {
                let _ = apply("# T\none\ntwo\none\n", &edits);
            }
        }

        #[test]
        fn an_edit_of_a_unique_line_changes_that_line_only(before in "[a-m \n]{0,40}", after in "[a-m \n]{0,40}") {
            let document = format!("{before}\nUNIQUE\n{after}");
            let changed = apply(&document, &[edit("UNIQUE", "CHANGED")]).unwrap();
            let back = changed.replace("CHANGED", "UNIQUE");
            prop_assert!(back.lines().eq(document.lines()), "{back:?}");
        }
    }
}
