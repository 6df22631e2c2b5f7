//! The items of a run: files, standard input, `--item`, `--all`; placeholders of commands.
//!
//! Loading reads and checks everything before anything is started or written. Errors are sentences with the file and
//! the line, as many as fit a screen.

mod fingerprint;
mod json_lines;
mod lines;
mod pattern;
pub mod placeholders;
mod text;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wf_core::ItemId;

pub use fingerprint::{command_fingerprint, hex, workflow_fingerprint};
pub use pattern::Pattern;
use placeholders::Template;

use lines::Lines;

/// The longest TEXT that is handed over as an argument and in `WF_ITEM_TEXT`; a longer one goes to a file named in
/// `WF_ITEM_TEXT_FILE`. Linux takes no single string over 128 KiB at exec.
pub const MAX_INLINE_TEXT_BYTES: usize = 64 * 1024;
/// The longest single argument or environment entry Linux accepts at exec (`MAX_ARG_STRLEN`), its final NUL included.
const MAX_ARGUMENT_BYTES: usize = 128 * 1024;
/// How many problems are told at once.
const MAX_PROBLEMS: usize = 10;

/// Variables, names and values.
pub type Variables = Box<[(Box<str>, Box<str>)]>;

/// An item as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSpec {
    /// Its name.
    pub id: ItemId,
    /// TEXT, where there is one; never empty.
    pub text: Option<Box<str>>,
    /// Its own limit on an attempt's time.
    pub timeout: Option<Duration>,
    /// Variables for its worker, sorted by name; none begins with `WF_`.
    pub env: Variables,
}

impl ItemSpec {
    /// An item with nothing but a name.
    pub fn bare(id: ItemId) -> ItemSpec {
        ItemSpec { id, text: None, timeout: None, env: Box::default() }
    }

    /// TEXT, or the id where there is none: what `{}` stands for.
    pub fn text_or_id(&self) -> &str {
        self.text.as_deref().unwrap_or(self.id.as_str())
    }

    /// Whether TEXT is too long for an argument or a variable and goes to a file.
    pub fn text_goes_to_file(&self) -> bool {
        self.text.as_deref().is_some_and(|t| t.len() > MAX_INLINE_TEXT_BYTES)
    }
}

/// Where the items of a run are named one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemSource {
    /// An items file; one whose name ends in `.jsonl` has JSON objects.
    File(PathBuf),
    /// Standard input, as text.
    Stdin,
    /// `--item`, in the order given.
    Named(Vec<String>),
}

/// Why a list of items is refused. Nothing was started or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentences())]
pub struct ItemsError {
    /// One sentence per problem, in order, at most [`MAX_PROBLEMS`].
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub more: usize,
    /// What may help, said once.
    pub hint: Option<&'static str>,
}

impl ItemsError {
    fn one(problem: String) -> ItemsError {
        ItemsError { problems: vec![problem], more: 0, hint: None }
    }

    fn sentences(&self) -> String {
        let more = (self.more > 0).then(|| format!("... and {} more", self.more));
        let lines = self.problems.iter().map(String::as_str).chain(more.as_deref()).chain(self.hint);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Reads the items of a file or of standard input.
///
/// `stdin` is only read for [`ItemSource::Stdin`]; `relative_to` is where relative paths begin. With `by_line` every
/// line is a text. `prefix` precedes an id in the names people see, so two ids it makes alike are duplicates. What
/// `--all` finds is [`Pattern::inputs`]' affair.
pub fn load(
    source: &ItemSource,
    by_line: bool,
    prefix: &'static str,
    relative_to: &Path,
    stdin: impl BufRead,
) -> Result<Vec<ItemSpec>, ItemsError> {
    match source {
        ItemSource::File(path) => {
            let name = path.display().to_string();
            let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jsonl"));
            if json && by_line {
                return Err(ItemsError::one(format!(
                    "--lines reads text, but {name} has JSON objects with ids of their own"
                )));
            }
            let file = open(&relative_to.join(path), &name)?;
            let reader = BufReader::with_capacity(64 * 1024, file);
            if json {
                json_lines::read(&name, reader, prefix)
            } else {
                text::read(&name, reader, by_line, prefix)
            }
        }
        ItemSource::Stdin => text::read("standard input", stdin, by_line, prefix),
        ItemSource::Named(ids) => named(ids, prefix),
    }
}

fn open(path: &Path, name: &str) -> Result<File, ItemsError> {
    let sentence = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("the items file {name} does not exist"),
        _ => format!("the items file {name} cannot be read: {error}"),
    };
    let file = File::open(path).map_err(|e| ItemsError::one(sentence(&e)))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => {
            Err(ItemsError::one(format!("{name} is a directory; an items file or '-' is needed")))
        }
        Ok(_) => Ok(file),
        Err(error) => Err(ItemsError::one(sentence(&error))),
    }
}

fn named(ids: &[String], prefix: &'static str) -> Result<Vec<ItemSpec>, ItemsError> {
    let mut list = Collector::new("", prefix);
    for (index, id) in ids.iter().enumerate() {
        match ItemId::new(id) {
            Ok(id) => list.add(index + 1, ItemSpec::bare(id)),
            Err(why) => list.problem(format!("--item {}: {why}{}", excerpt(id), hash_hint(id))),
        }
    }
    list.finish()
}

/// Refuses items whose text cannot be handed to this command as an argument.
pub fn check_command(items: &[ItemSpec], template: &Template) -> Result<(), ItemsError> {
    let mut problems = Problems::default();
    for item in items {
        let bytes = item.text_or_id().len();
        if item.text_goes_to_file() && template.carries_text() {
            problems.add(format!(
                "{}: its text has {bytes} bytes, too long for an argument: use {{id}} in the command and let it read \
                 the file named in WF_ITEM_TEXT_FILE",
                item.id
            ));
        } else if template.longest_argument_bytes(bytes) >= MAX_ARGUMENT_BYTES {
            problems.add(format!("{}: an argument of the command would be longer than 128 KiB", item.id));
        }
    }
    problems.finish()
}

/// A text as it appears in a message: quoted, escaped, bounded.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The advice for `#42`, the way people write the number of an issue.
fn hash_hint(word: &str) -> String {
    match word.strip_prefix('#') {
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("; write {number}")
        }
        _ => String::new(),
    }
}

#[derive(Default)]
struct Problems {
    told: Vec<String>,
    more: usize,
    hint: Option<&'static str>,
}

impl Problems {
    fn add(&mut self, problem: String) {
        if self.told.len() < MAX_PROBLEMS { self.told.push(problem) } else { self.more += 1 }
    }

    fn finish(self) -> Result<(), ItemsError> {
        if self.told.is_empty() {
            return Ok(());
        }
        Err(ItemsError { problems: self.told, more: self.more, hint: self.hint })
    }
}

/// Collects items, notices duplicates, and keeps problems until the end.
struct Collector<'a> {
    /// What the places are named after: a file, or nothing for `--item`.
    source: &'a str,
    /// What precedes the ids in labels.
    prefix: &'static str,
    items: Vec<ItemSpec>,
    /// Where each id was first seen (the item's index and line), by its lower-case form.
    seen: HashMap<Box<str>, (u32, u32)>,
    /// The same by label, which names the item's log and lines. Empty where ids are their own labels.
    labels: HashMap<Box<str>, (u32, u32)>,
    problems: Problems,
}

impl<'a> Collector<'a> {
    fn new(source: &'a str, prefix: &'static str) -> Collector<'a> {
        let (seen, labels) = (HashMap::new(), HashMap::new());
        Collector { source, prefix, items: Vec::new(), seen, labels, problems: Problems::default() }
    }

    fn place(&self, line: usize) -> String {
        if self.source.is_empty() { String::new() } else { format!("{}:{line}: ", self.source) }
    }

    fn problem(&mut self, problem: String) {
        self.problems.add(problem);
    }

    /// Advice to stand below all problems, once.
    fn hint(&mut self, hint: &'static str) {
        self.problems.hint = Some(hint);
    }

    /// A problem of one line.
    fn problem_at(&mut self, line: usize, clause: &str) {
        let place = self.place(line);
        self.problem(format!("{place}{clause}"));
    }

    fn add(&mut self, line: usize, item: ItemSpec) {
        let Ok(index) = u32::try_from(self.items.len()) else {
            return self.problem_at(line, "more items than a run can have");
        };
        let key = |text: &str| text.to_ascii_lowercase().into_boxed_str();
        let label = (!self.prefix.is_empty()).then(|| item.id.label(self.prefix));
        let of_label = label.as_deref().and_then(|label| self.labels.get(&key(label)));
        if let Some((first, first_line)) = self.seen.get(&key(item.id.as_str())).or(of_label) {
            let other = &self.items[*first as usize].id;
            let first_at =
                if self.source.is_empty() { String::new() } else { format!(" (first in line {first_line})") };
            let clause = if *other == item.id {
                format!("duplicate id {}{first_at}", item.id)
            } else if other.as_str().eq_ignore_ascii_case(item.id.as_str()) {
                format!(
                    "duplicate id {}: {other}{first_at} differs only in case, and some systems take their files for one",
                    item.id
                )
            } else {
                let label = label.unwrap_or_default();
                format!("duplicate id {}: {other}{first_at} is called {label} as well", item.id)
            };
            return self.problem_at(line, &clause);
        }
        let place = (index, u32::try_from(line).unwrap_or(u32::MAX));
        self.seen.insert(key(item.id.as_str()), place);
        if let Some(label) = &label {
            self.labels.insert(key(label), place);
        }
        self.items.push(item);
    }

    fn finish(self) -> Result<Vec<ItemSpec>, ItemsError> {
        self.problems.finish()?;
        if self.items.is_empty() {
            return Err(ItemsError::one(format!("the list is empty: {} has no items", self.source)));
        }
        Ok(self.items)
    }
}

/// The lines of a source, with unreadable ones told to the collector.
fn each_line(
    source: &str,
    prefix: &'static str,
    reader: impl BufRead,
    mut take: impl FnMut(&mut Collector<'_>, usize, &str),
) -> Result<Vec<ItemSpec>, ItemsError> {
    let mut list = Collector::new(source, prefix);
    let mut lines = Lines::new(reader);
    loop {
        match lines.next_line() {
            Ok(Some((number, Ok(line)))) => take(&mut list, number, line),
            Ok(Some((number, Err(clause)))) => list.problem_at(number, clause),
            Ok(None) => return list.finish(),
            Err(error) => return Err(ItemsError::one(format!("{source} cannot be read: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests;
