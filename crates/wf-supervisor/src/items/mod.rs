//! The items of a run: files, standard input, `--item`, `--all`; placeholders of commands.
//!
//! Loading reads and checks everything before anything is started or written. Errors are sentences with the file and
//! the line, as many as fit a screen.

mod collector;
mod directory;
mod fields;
mod fingerprint;
mod json_lines;
mod lines;
mod pattern;
pub mod placeholders;
mod selection;
mod table;
mod template;
mod text;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wf_core::ItemId;

pub use fingerprint::{command_fingerprint, hex, workflow_fingerprint};
pub use pattern::Pattern;
use placeholders::Template;

pub use selection::Selection;
pub use template::TextTemplate;
pub use text::veil;

use collector::{Collector, Problems};
use fields::Fields;

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

/// How a list is read.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// `--lines`: every line is a text.
    pub by_line: bool,
    /// `--null`: texts that end with a NUL.
    pub by_nul: bool,
    /// What precedes an id in the names people see, so that two ids it makes alike are duplicates.
    pub prefix: &'static str,
    /// `--id-field`.
    pub id_field: Option<&'a str>,
    /// `--text-field`.
    pub text_field: Option<&'a str>,
    /// `--prompt-template`.
    pub template: Option<&'a TextTemplate>,
}

/// A list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The items, in order.
    pub items: Vec<ItemSpec>,
    /// What the user should know of how they were read.
    pub notices: Vec<String>,
    /// Where objects have no text: the sentence for a command that needs one.
    pub textless: Option<String>,
}

/// What a file's name says of what is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    JsonLines,
    JsonList,
    Table(u8),
}

impl Format {
    fn of(path: &Path) -> Format {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "jsonl" | "ndjson" => Format::JsonLines,
            "json" => Format::JsonList,
            "csv" => Format::Table(b','),
            "tsv" => Format::Table(b'\t'),
            _ => Format::Text,
        }
    }

    fn holds(self) -> &'static str {
        match self {
            Format::Table(_) => "a header and columns",
            _ => "JSON objects with ids of their own",
        }
    }
}

/// Reads the items of a file, of a directory or of standard input.
///
/// `stdin` is only read for [`ItemSource::Stdin`]; `relative_to` is where relative paths begin. What `--all` finds is
/// [`Pattern::inputs`]' affair.
pub fn load(
    source: &ItemSource,
    reading: Reading<'_>,
    relative_to: &Path,
    stdin: impl BufRead,
) -> Result<Loaded, ItemsError> {
    let prefix = reading.prefix;
    let mut fields = Fields::new(reading.id_field, reading.text_field, reading.template);
    let mut has_fields = false;
    let mut items = match source {
        ItemSource::File(path) => {
            let name = path.display().to_string();
            let full = relative_to.join(path);
            if full.is_dir() {
                has_fields = true;
                directory::read(&full, &name, prefix, &mut fields)?
            } else {
                let format = Format::of(path);
                has_fields = format != Format::Text;
                if has_fields && (reading.by_line || reading.by_nul) {
                    return Err(ItemsError::one(format!(
                        "{} reads text, but {name} has {}",
                        if reading.by_line { "--lines" } else { "--null" },
                        format.holds()
                    )));
                }
                let reader = BufReader::with_capacity(64 * 1024, open(&full, &name)?);
                match format {
                    Format::JsonLines => json_lines::read(&name, reader, prefix, &mut fields)?,
                    Format::JsonList => json_lines::read_list(&name, reader, prefix, &mut fields)?,
                    Format::Table(delimiter) => table::read(&name, reader, delimiter, prefix, &mut fields)?,
                    Format::Text => plain(&name, reader, reading)?,
                }
            }
        }
        ItemSource::Stdin => plain("standard input", stdin, reading)?,
        ItemSource::Named(ids) => named(ids, prefix)?,
    };
    if !has_fields {
        if let Some(option) =
            reading.id_field.map(|_| "--id-field").or(reading.text_field.map(|_| "--text-field"))
        {
            return Err(ItemsError::one(format!(
                "{option} names a field of .jsonl, .json, .csv and .tsv files, and these items have none"
            )));
        }
        if let Some(template) = reading.template {
            fill(&mut items, template)?;
        }
    }
    Ok(Loaded { items, notices: fields.notices(), textless: fields.textless() })
}

fn plain(name: &str, reader: impl BufRead, reading: Reading<'_>) -> Result<Vec<ItemSpec>, ItemsError> {
    if reading.by_nul {
        return text::read_nul(name, reader, reading.prefix);
    }
    text::read(name, reader, reading.by_line, reading.prefix)
}

/// Makes the texts of items that have no other fields.
fn fill(items: &mut [ItemSpec], template: &TextTemplate) -> Result<(), ItemsError> {
    let mut problems = Problems::default();
    for item in items {
        match template.render(&item.id, item.text.as_deref(), &serde_json::Map::new()) {
            Ok(text) => item.text = (!text.is_empty()).then(|| text.into()),
            Err(clause) => problems.add(format!("{}: {clause}", item.id)),
        }
    }
    problems.finish()
}

/// Opens a list without waiting: a pipe is read like standard input where somebody writes to it (`<(...)`), and is empty where
/// nobody does; a device is none.
fn open(path: &Path, name: &str) -> Result<File, ItemsError> {
    let sentence = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("the items file {name} does not exist"),
        _ => format!("the items file {name} cannot be read: {error}"),
    };
    wf_worker::open_file_or_pipe(path).map_err(|e| ItemsError::one(sentence(&e)))
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

#[cfg(test)]
mod tests;
