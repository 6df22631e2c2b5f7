//! A model's answer about several files: whole files, edit blocks, deletions.
//!
//! The model is told the format in `prompts/implement-format.md`. A line `### FILE: path` begins a file's section; in it
//! stands either the whole file in a fence or edit blocks (see [`edits`]). A line `### DELETE: path` removes a file.
//! Reading is total: whatever comes is a list of changes or a [`Problem`] that can be told to the model.

use std::fmt;

use crate::edits::{self, Draft, Edit, Mark, mark};

/// Largest answer, in bytes.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Largest file, in bytes.
pub const FILE_BYTES: usize = 1024 * 1024;

/// Most sections in one answer.
const SECTIONS: usize = 100;

/// What is to become of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The path as the model wrote it.
    pub path: String,
    /// The change.
    pub change: Change,
}

/// A change to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file from top to bottom.
    Whole(String),
    /// Changes to the file as it is.
    Edits(Vec<Edit>),
    /// The file goes.
    Delete,
}

/// Why an answer cannot be used: a sentence for the model, and for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing but blanks.
    Empty,
    /// More bytes than any change needs.
    TooLarge,
    /// More files than any change needs.
    TooMany,
    /// No section at all.
    NoSection,
    /// A section with neither a fence nor an edit block.
    NoContent(String),
    /// A fence that is not closed.
    OpenFence(String),
    /// Edit blocks that cannot be read.
    Edits(String, edits::Problem),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Empty => f.write_str("the answer is empty"),
            Problem::TooLarge => write!(f, "the answer is larger than {ANSWER_BYTES} bytes"),
            Problem::TooMany => write!(f, "the answer names more than {SECTIONS} files"),
            Problem::NoSection => f.write_str("the answer has no line of the form \"### FILE: path\""),
            Problem::NoContent(path) => {
                write!(f, "below \"### FILE: {path}\" stands neither a fenced file nor an edit block")
            }
            Problem::OpenFence(path) => write!(f, "the fence around {path} is not closed"),
            Problem::Edits(path, problem) => write!(f, "{path}: {problem}"),
        }
    }
}

/// Reads an answer. Prose before the first section is ignored, and so is what stands around fences and edit blocks.
pub fn read(answer: &str) -> Result<Vec<Named>, Problem> {
    if answer.trim().is_empty() {
        return Err(Problem::Empty);
    }
    if answer.len() > ANSWER_BYTES {
        return Err(Problem::TooLarge);
    }
    let lines: Vec<&str> = answer.lines().collect();
    let heads = heads(&lines);
    if heads.is_empty() {
        return Err(Problem::NoSection);
    }
    if heads.len() > SECTIONS {
        return Err(Problem::TooMany);
    }
    let ends = heads.iter().skip(1).map(|(at, _)| *at).chain([lines.len()]);
    heads
        .iter()
        .zip(ends)
        .map(|((at, head), end)| {
            let change = match head {
                Head::Delete(_) => Change::Delete,
                Head::File(path) => content(path, &lines[at + 1..end])?,
            };
            let (Head::File(path) | Head::Delete(path)) = head;
            Ok(Named { path: (*path).to_owned(), change })
        })
        .collect()
}

enum Head<'a> {
    File(&'a str),
    Delete(&'a str),
}

/// The lines that begin a section. Those inside an edit block are text.
fn heads<'a>(lines: &[&'a str]) -> Vec<(usize, Head<'a>)> {
    let mut heads = Vec::new();
    let mut in_block = false;
    for (at, line) in lines.iter().enumerate() {
        match mark(line) {
            Some(Mark::Search) => in_block = true,
            Some(Mark::Replace) => in_block = false,
            _ if in_block => {}
            _ => heads.extend(head(line).map(|head| (at, head))),
        }
    }
    heads
}

/// `### FILE: src/lib.rs`, with the path in backticks or bold as models like to have it.
fn head(line: &str) -> Option<Head<'_>> {
    let rest = line.strip_prefix("##")?.trim_start_matches('#').trim_matches([' ', '\t', '*']);
    let (word, path) = rest.split_once(':')?;
    let path = path.trim_matches([' ', '\t', '*', '`']);
    match word.trim_matches([' ', '*']).to_ascii_uppercase().as_str() {
        "FILE" => Some(Head::File(path)),
        "DELETE" => Some(Head::Delete(path)),
        _ => None,
    }
}

fn content(path: &str, lines: &[&str]) -> Result<Change, Problem> {
    for (at, line) in lines.iter().enumerate() {
        if mark(line) == Some(Mark::Search) {
            return edit_blocks(path, &lines[at..]);
        }
        let Some((sign, length)) = fence(line) else { continue };
        let inner = &lines[at + 1..];
        // A fence may stand around edit blocks as well.
        if inner.iter().find(|l| !l.trim().is_empty()).is_some_and(|l| mark(l) == Some(Mark::Search)) {
            continue;
        }
        let closes = |l: &&str| fence(l).is_some_and(|f| f == (sign, length)) && l.trim_end().len() == length;
        // A longer fence than usual says that shorter ones are content; with the usual one the last closes, because
        // the file may have fences of its own.
        let end = if length > 3 { inner.iter().position(closes) } else { inner.iter().rposition(closes) };
        let end = end.ok_or_else(|| Problem::OpenFence(path.to_owned()))?;
        let mut text = inner[..end].join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        return Ok(Change::Whole(text));
    }
    Err(Problem::NoContent(path.to_owned()))
}

fn edit_blocks(path: &str, lines: &[&str]) -> Result<Change, Problem> {
    match edits::read(&lines.join("\n")) {
        Ok(Draft::Edits(edits)) => Ok(Change::Edits(edits)),
        Ok(Draft::Whole(_)) => Err(Problem::NoContent(path.to_owned())),
        Err(problem) => Err(Problem::Edits(path.to_owned(), problem)),
    }
}

/// The sign and the length of a fence at the beginning of a line.
fn fence(line: &str) -> Option<(u8, usize)> {
    let sign = line.bytes().next().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = line.bytes().take_while(|b| *b == sign).count();
    (length >= 3).then_some((sign, length))
}

/// A fence that no line of the text closes.
pub fn fence_around(text: &str) -> String {
    let longest = text.lines().filter_map(fence).map(|(_, length)| length).max().unwrap_or(2);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(path: &str, text: &str) -> Named {
        Named { path: path.into(), change: Change::Whole(text.into()) }
    }

    const BLOCK: &str = "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n";

    #[test]
    fn whole_files_edits_and_deletions_are_read_with_prose_around_them() {
        let answer = format!(
            "Here it is.\n\n### FILE: src/a.rs\nA new file:\n```rust\nfn a() {{}}\n```\nDone.\n\n\
             ### FILE: `src/b.rs`\n```rust\n{BLOCK}```\nand\n{BLOCK}\n## **DELETE:** old.rs\n### FILE: empty.py\n```\n```\n"
        );
        let edit = Edit { search: "a".into(), replace: "b".into() };
        assert_eq!(
            read(&answer).unwrap(),
            [
                whole("src/a.rs", "fn a() {}\n"),
                Named { path: "src/b.rs".into(), change: Change::Edits(vec![edit.clone(), edit]) },
                Named { path: "old.rs".into(), change: Change::Delete },
                whole("empty.py", ""),
            ]
        );
    }

    #[test]
    fn fences_in_a_file_are_its_content() {
        let usual = "### FILE: a.md\n```markdown\n# A\n```sh\nls\n```\nend\n```\n### DELETE: b\n";
        assert_eq!(read(usual).unwrap()[0], whole("a.md", "# A\n```sh\nls\n```\nend\n"));
        let longer = "### FILE: a.md\n````\n```\nx\n```\n````\nAnd:\n````\nno content\n````\n";
        assert_eq!(read(longer).unwrap()[0], whole("a.md", "```\nx\n```\n"));
        for text in ["", "x", "```\n````x\n", "~~~~\n"] {
            let fence = fence_around(text);
            let answer = format!("### FILE: f\n{fence}\n{text}\n{fence}\n");
            let Change::Whole(read) = &read(&answer).unwrap()[0].change else { panic!() };
            assert_eq!(read.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn heads_inside_edit_blocks_are_text() {
        let answer = "### FILE: a.md\n<<<<<<< SEARCH\n### FILE: x\n=======\n### DELETE: y\n>>>>>>> REPLACE\n";
        let read = read(answer).unwrap();
        assert_eq!(read.len(), 1);
        assert!(matches!(&read[0].change, Change::Edits(e) if e[0].search == "### FILE: x"));
    }

    #[test]
    fn useless_answers_are_named() {
        for (answer, problem) in [
            (String::new(), Problem::Empty),
            (" \n".into(), Problem::Empty),
            ("I cannot do that.".into(), Problem::NoSection),
            ("### FILE: a\nnothing\n".into(), Problem::NoContent("a".into())),
            ("### FILE: a\n```\nx\n".into(), Problem::OpenFence("a".into())),
            ("### DELETE: a\n".repeat(SECTIONS + 1), Problem::TooMany),
            ("x".repeat(20 << 20), Problem::TooLarge),
            (
                "### FILE: a\n<<<<<<< SEARCH\nx\n".into(),
                Problem::Edits("a".into(), edits::Problem::BrokenBlock(1)),
            ),
        ] {
            assert_eq!(read(&answer), Err(problem), "{answer:.60}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("### FILE: a\n".to_owned()), Just("### DELETE: b\n".to_owned()), Just("```\n".to_owned()),
                    Just("````rust\n".to_owned()), Just("<<<<<<< SEARCH\n".to_owned()), Just("=======\n".to_owned()),
                    Just(">>>>>>> REPLACE\n".to_owned()), ".*",
                ],
                0..20,
            )
        ) {
            let _ = read(&parts.concat());
        }
    }
}
