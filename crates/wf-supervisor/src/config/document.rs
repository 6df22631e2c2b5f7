//! `wf.toml` as a tree that knows its lines: every problem is told with file and line, every unknown key with the nearest
//! known one.
//!
//! serde's own errors quote the offending line and value, and in this file a value may be a secret that was put in the
//! wrong place; so the tree is read by hand, and no message repeats a value unless its reader chose to.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::Trouble;

/// A file with the beginnings of its lines.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    line_starts: Vec<usize>,
}

impl Source {
    /// Prepares to name places in `text`, which was read from `path`.
    pub fn new(path: &Path, text: &str) -> Source {
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Source { path: path.to_owned(), line_starts: std::iter::once(0).chain(newlines).collect() }
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// A refusal that names file and line.
    pub fn refuse(&self, offset: usize, clause: &str) -> Trouble {
        Trouble::Refused(format!("{}:{}: {clause}", self.path.display(), self.line(offset)))
    }

    /// Parses the file this source was made of.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Spanned<DeTable<'a>>, Trouble> {
        DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            // The message alone: the error's own display quotes the line.
            self.refuse(offset, error.message())
        })
    }
}

/// One table, together with where it is in the tree.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    source: &'a Source,
    entries: &'a DeTable<'a>,
    /// The dotted path of the table, empty for the root.
    path: &'a str,
    /// Where it begins.
    offset: usize,
}

/// One value, together with its key.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    source: &'a Source,
    content: &'a Spanned<DeValue<'a>>,
    offset: usize,
}

impl<'a> Table<'a> {
    /// The root of a document.
    pub fn root(source: &'a Source, document: &'a Spanned<DeTable<'a>>) -> Table<'a> {
        Table { source, entries: document.get_ref(), path: "", offset: 0 }
    }

    /// Refuses keys that are not in `known`, naming the nearest one, and names of secrets with the way they are given.
    pub fn only(&self, known: &[&str]) -> Result<(), Trouble> {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let offset = key.span().start;
            if looks_like_secret_name(name) {
                return Err(self
                    .source
                    .refuse(offset, &format!("{}: {SECRETS_ELSEWHERE}", self.dotted(name))));
            }
            let advice = match nearest(name, known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            let clause = format!("unknown key {}: {advice}", self.dotted(name));
            return Err(self.source.refuse(offset, &clause));
        }
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let (key, content) = self.entries.get_key_value(key)?;
        Some(Value { source: self.source, content, offset: key.span().start })
    }

    /// The dotted path messages call it by.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// All keys with their values, in order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let source = self.source;
        self.entries.iter().map(move |(key, content)| {
            (key.get_ref().as_ref(), Value { source, content, offset: key.span().start })
        })
    }

    /// A refusal that points at the table.
    pub fn refuse(&self, clause: &str) -> Trouble {
        let clause =
            if self.path.is_empty() { clause.to_owned() } else { format!("{}: {clause}", self.path) };
        self.source.refuse(self.offset, &clause)
    }

    /// A sub-table, with the path that messages call it by.
    pub fn table(&self, key: &str, path: &'a str) -> Result<Option<Table<'a>>, Trouble> {
        self.get(key).map(|value| value.table(path)).transpose()
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, Trouble> {
        self.get(key).map(|v| v.string().ok_or_else(|| self.wrong(key, v, "a string"))).transpose()
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        self.get(key).map(|v| v.strings().ok_or_else(|| self.wrong(key, v, "a list of strings"))).transpose()
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Trouble> {
        let read =
            |v: Value<'a>| v.content.get_ref().as_bool().ok_or_else(|| self.wrong(key, v, "true or false"));
        self.get(key).map(read).transpose()
    }

    /// A whole number of at least 1.
    pub fn positive(&self, key: &str) -> Result<Option<u64>, Trouble> {
        let read = |v: Value<'a>| {
            v.integer().filter(|n| *n > 0).ok_or_else(|| self.wrong(key, v, "a whole number from 1"))
        };
        self.get(key).map(read).transpose()
    }

    /// A refusal of one key's value.
    pub fn wrong(&self, key: &str, value: Value<'_>, needed: &str) -> Trouble {
        self.source.refuse(value.offset, &format!("{} must be {needed}", self.dotted(key)))
    }

    /// A refusal of one key in the words of a clause.
    pub fn refuse_key(&self, key: &str, clause: &str) -> Trouble {
        let offset = self.get(key).map_or(self.offset, |v| v.offset);
        self.source.refuse(offset, &format!("{}: {clause}", self.dotted(key)))
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Value<'a> {
    /// The value as a table.
    pub fn table(self, path: &'a str) -> Result<Table<'a>, Trouble> {
        let Value { source, content, offset } = self;
        match content.get_ref().as_table() {
            Some(entries) => Ok(Table { source, entries, path, offset }),
            None => Err(source.refuse(offset, &format!("{path} must be a table"))),
        }
    }

    /// The value as a list of tables.
    pub fn tables(self, path: &'a str) -> Result<Vec<Table<'a>>, Trouble> {
        let wrong = || self.source.refuse(self.offset, &format!("{path} must be written as [[{path}]]"));
        let array = self.content.get_ref().as_array().ok_or_else(wrong)?;
        array
            .iter()
            .map(|content| {
                Value { offset: content.span().start, content, ..self }.table(path).map_err(|_| wrong())
            })
            .collect()
    }

    /// The value as a string.
    pub fn string(self) -> Option<&'a str> {
        self.content.get_ref().as_str()
    }

    /// The value as a list of strings.
    pub fn strings(self) -> Option<Vec<String>> {
        let array = self.content.get_ref().as_array()?;
        array.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
    }

    /// The value as a whole number that is not negative.
    pub fn integer(self) -> Option<u64> {
        let integer = self.content.get_ref().as_integer()?;
        u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
    }

    /// A single value as text, the way it would be written on a command line.
    pub fn scalar(self) -> Option<String> {
        match self.content.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
            DeValue::Integer(_) => self.integer().map(|n| n.to_string()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            DeValue::Boolean(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The line it is on, from 1.
    pub fn line(self) -> usize {
        self.source.line(self.offset)
    }
}

/// What is said when a secret stands where none may stand.
pub const SECRETS_ELSEWHERE: &str = "secrets do not stand in wf.toml; in [[keys]] write secret = { env = \"NAME\" }, \
                                     { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARG\"] }";

fn looks_like_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "api_key", "apikey", "token", "secret", "password"].contains(&name.as_str())
        || name.ends_with("_api_key")
        || name.ends_with("_token")
}

/// Whether a value has the form of a provider's key, so that it must not be repeated or stored.
pub fn looks_like_secret(text: &str) -> bool {
    text.len() >= 20 && ["sk-", "AIza", "gsk_", "xai-"].iter().any(|prefix| text.starts_with(prefix))
}

/// The known word that is most like `word`, if any is like it.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(word, k), *k))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}
