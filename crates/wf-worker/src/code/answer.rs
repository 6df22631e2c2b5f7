//! A model's answer about several files: whole files, edit blocks, deletions.
//!
//! The model is told the format in `prompts/implement-format.md`. A line `### FILE: path` begins a file's section; in it
//! stands either the whole file in a fence or edit blocks (see [`edits`]). A line `### DELETE: path` removes a file.
//! Reading is total: whatever comes is a list of changes or a [`Problem`] that can be told to the model.

use std::fmt;

use crate::edits::{self, Draft, Edit, Mark, mark};
use crate::fences::{self, Unread};
use crate::thoughts;

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
    /// A fence that more than one line may close.
    UnclearFence(String),
    /// Thoughts that do not end.
    OpenThoughts,
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
            Problem::UnclearFence(path) => write!(
                f,
                "nobody can tell which line closes the fence around {path}, for there are fences inside or after it: put a longer \
                 fence (````) around the file"
            ),
            Problem::OpenThoughts => f.write_str("its thoughts do not end (</think> is missing)"),
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
    let answer = thoughts::without(answer).ok_or(Problem::OpenThoughts)?;
    let lines: Vec<&str> = answer.lines().collect();
    let mut named = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(head) = head(lines[at]) else {
            at += step(&lines[at..]);
            continue;
        };
        if named.len() == SECTIONS {
            return Err(Problem::TooMany);
        }
        let (Head::File(path) | Head::Delete(path)) = &head;
        let (change, taken) = match &head {
            Head::Delete(_) => (Change::Delete, 0),
            Head::File(path) => content(path, &lines[at + 1..])?,
        };
        named.push(Named { path: path.clone(), change });
        at += 1 + taken;
    }
    if named.is_empty() { Err(Problem::NoSection) } else { Ok(named) }
}

/// How many lines to go on by outside of a file's content: what a fence there shows is no head.
fn step(lines: &[&str]) -> usize {
    let Some((fence, _)) = fences::opens(lines[0]) else { return 1 };
    match fences::inside(fence, &lines[1..], |_| false) {
        Ok(inside) => inside + 2,
        Err(_) => 1,
    }
}

enum Head {
    File(String),
    Delete(String),
}

/// What models write behind a path to say what becomes of it.
const NOTES: [&str; 16] = [
    "new",
    "added",
    "created",
    "create",
    "modified",
    "modify",
    "updated",
    "update",
    "changed",
    "edited",
    "edit",
    "existing",
    "unchanged",
    "full",
    "complete",
    "continued",
];

/// `### FILE: src/lib.rs`, with the path in backticks or bold, a colon or a note behind it, as models like to have it.
fn head(line: &str) -> Option<Head> {
    let rest = line.strip_prefix("##")?.trim_start_matches('#').trim_matches([' ', '\t', '*']);
    let (word, path) = rest.split_once(':')?;
    let path = path_of(path);
    match word.trim_matches([' ', '*']).to_ascii_uppercase().as_str() {
        "FILE" => Some(Head::File(path)),
        "DELETE" => Some(Head::Delete(path)),
        _ => None,
    }
}

/// A path without what stands around it.
fn path_of(text: &str) -> String {
    const AROUND: [char; 5] = [' ', '\t', '*', '`', ':'];
    let text = text.trim_matches(AROUND);
    // In backticks the path is all that is in them.
    if let Some((path, note)) = text.split_once('`')
        && is_note(note)
    {
        return path.trim_matches(AROUND).to_owned();
    }
    for mark in [" (", " [", " - ", " \u{2013} ", " \u{2014} ", " # ", " // "] {
        if let Some((path, note)) = text.split_once(mark)
            && is_note(note)
        {
            return path.trim_matches(AROUND).to_owned();
        }
    }
    text.to_owned()
}

fn is_note(text: &str) -> bool {
    let mut words =
        text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_lowercase);
    text.len() <= 60 && words.any(|word| NOTES.contains(&word.as_str()))
}

/// The content below a file's head, and how many lines it takes.
fn content(path: &str, lines: &[&str]) -> Result<(Change, usize), Problem> {
    for (at, line) in lines.iter().enumerate() {
        if mark(line) == Some(Mark::Search) {
            let end = at + blocks_end(&lines[at..]);
            return Ok((edit_blocks(path, &lines[at..end])?, end));
        }
        if head(line).is_some() {
            break;
        }
        let Some((fence, _)) = fences::opens(line) else { continue };
        let inner = &lines[at + 1..];
        // A fence may stand around edit blocks as well.
        if inner.iter().find(|l| !l.trim().is_empty()).is_some_and(|l| mark(l) == Some(Mark::Search)) {
            continue;
        }
        let end =
            fences::inside(fence, inner, |line| head(line).is_some()).map_err(|unread| match unread {
                Unread::Open => Problem::OpenFence(path.to_owned()),
                Unread::Unclear => Problem::UnclearFence(path.to_owned()),
            })?;
        let mut text = inner[..end].join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        return Ok((Change::Whole(text), at + end + 2));
    }
    Err(Problem::NoContent(path.to_owned()))
}

/// Where the edit blocks of a file end: at the next head that is not inside of one.
fn blocks_end(lines: &[&str]) -> usize {
    let mut in_block = false;
    for (at, line) in lines.iter().enumerate() {
        match mark(line) {
            Some(Mark::Search) => in_block = true,
            Some(Mark::Replace) => in_block = false,
            _ if !in_block && head(line).is_some() => return at,
            _ => {}
        }
    }
    lines.len()
}

fn edit_blocks(path: &str, lines: &[&str]) -> Result<Change, Problem> {
    match edits::read(&lines.join("\n")) {
        Ok(Draft::Edits(edits)) => Ok(Change::Edits(edits)),
        Ok(Draft::Whole(_)) => Err(Problem::NoContent(path.to_owned())),
        Err(problem) => Err(Problem::Edits(path.to_owned(), problem)),
    }
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
        let edit = Edit::new("a", "b");
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
        let longer = "### FILE: a.md\n````\n```\nx\n```\n````\n\nAnd:\n````\nno content\n````\n";
        assert_eq!(read(longer).unwrap()[0], whole("a.md", "```\nx\n```\n"));
        for text in ["", "x", "```\n````x\n", "~~~~\n"] {
            let fence = fences::around(text);
            let answer = format!("### FILE: f\n{fence}\n{text}\n{fence}\n");
            let Change::Whole(read) = &read(&answer).unwrap()[0].change else { panic!() };
            assert_eq!(read.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn paths_are_freed_of_what_models_put_beside_them() {
        for (head, path) in [
            ("### FILE: src/a.py", "src/a.py"),
            ("### File: `src/a.py`:", "src/a.py"),
            ("## **FILE:** **src/a.py**", "src/a.py"),
            ("### FILE: src/a.py (new file)", "src/a.py"),
            ("### FILE: `src/a.py` (modified, see below)", "src/a.py"),
            ("### FILE: src/a.py - updated", "src/a.py"),
            ("### FILE: src/a.py # new", "src/a.py"),
            ("### FILE: docs/a (1).md", "docs/a (1).md"),
            ("### FILE: a - b.md", "a - b.md"),
        ] {
            assert_eq!(read(&format!("{head}\n```\nx\n```\n")).unwrap()[0].path, path, "{head}");
        }
    }

    #[test]
    fn what_is_shown_around_a_file_is_none_of_it() {
        let answer = "<think>\n### FILE: no\n```\nno\n```\n</think>\n### FILE: a.py\n```python\nx = 1\n```\n\nRun it:\n\n\
                      ```\n### FILE: no\npython3 a.py\n```\n";
        assert_eq!(read(answer).unwrap(), [whole("a.py", "x = 1\n")]);
        let inside = "### FILE: a.md\n````\n### FILE: b\n```\n<<<<<<< HEAD\n````\n";
        assert_eq!(read(inside).unwrap(), [whole("a.md", "### FILE: b\n```\n<<<<<<< HEAD\n")]);
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
            ("### FILE: a\n```md\n```\nx\n```\ny\n```\n".into(), Problem::UnclearFence("a".into())),
            ("<think>\n### FILE: a\n".into(), Problem::OpenThoughts),
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
        /// However it is given, a file comes back byte for byte.
        #[test]
        fn a_file_in_an_answer_comes_back(
            lines in proptest::collection::vec("[ a-z#`~=<>]{0,12}|### FILE: x|</think>|<think>|=======|<<<<<<< HEAD|```|```sh", 0..12),
            thinks in any::<bool>(), note in 0..3_usize, explains in any::<bool>(),
        ) {
            let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
            // What a fence begins with may be taken for edit blocks.
            prop_assume!(text.lines().find(|l| !l.trim().is_empty()).is_none_or(|l| mark(l) != Some(Mark::Search)));
            let fence = fences::around(&text);
            let answer = format!(
                "{}Here it is.\n\n### FILE: {}\n{fence}py\n{text}{fence}\n{}",
                if thinks { "<think>\n### FILE: no\n</think>\n" } else { "" },
                ["src/a", "`src/a`:", "src/a (new file)"][note],
                if explains { "\nRun:\n\n```\nsh a\n```\n" } else { "" },
            );
            prop_assert_eq!(read(&answer), Ok(vec![whole("src/a", &text)]));
        }

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
