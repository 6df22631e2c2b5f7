//! Collecting the items of a list: duplicates are noticed, problems kept until the end.

use std::collections::HashMap;
use std::io::BufRead;

use super::lines::Lines;
use super::{ItemSpec, ItemsError, MAX_PROBLEMS};

#[derive(Default)]
pub(super) struct Problems {
    told: Vec<String>,
    more: usize,
    hint: Option<&'static str>,
}

impl Problems {
    pub fn add(&mut self, problem: String) {
        if self.told.len() < MAX_PROBLEMS { self.told.push(problem) } else { self.more += 1 }
    }

    pub fn finish(self) -> Result<(), ItemsError> {
        if self.told.is_empty() {
            return Ok(());
        }
        Err(ItemsError { problems: self.told, more: self.more, hint: self.hint })
    }
}

/// Collects items, notices duplicates, and keeps problems until the end.
pub(super) struct Collector<'a> {
    /// What the places are named after: a file, or nothing for `--item`.
    source: &'a str,
    /// What precedes the ids in labels.
    prefix: &'static str,
    pub items: Vec<ItemSpec>,
    /// Where each id was first seen (the item's index and line), by its lower-case form.
    seen: HashMap<Box<str>, (u32, u32)>,
    /// The same by label, which names the item's log and lines. Empty where ids are their own labels.
    labels: HashMap<Box<str>, (u32, u32)>,
    pub problems: Problems,
    /// What a number in a message counts: lines, or the elements of a list.
    unit: &'static str,
    /// Whether ids are made of texts, so that nobody has seen them.
    by_text: bool,
}

impl<'a> Collector<'a> {
    pub fn new(source: &'a str, prefix: &'static str) -> Collector<'a> {
        let (seen, labels) = (HashMap::new(), HashMap::new());
        Collector {
            source,
            prefix,
            items: Vec::new(),
            seen,
            labels,
            problems: Problems::default(),
            unit: "line",
            by_text: false,
        }
    }

    /// The same, where `unit` is what is counted.
    pub fn counting(self, unit: &'static str) -> Collector<'a> {
        Collector { unit, ..self }
    }

    /// The same, where ids are made of the texts.
    pub fn by_text(self, by_text: bool) -> Collector<'a> {
        Collector { by_text, ..self }
    }

    fn place(&self, number: usize) -> String {
        match (self.source, self.unit) {
            ("", _) => String::new(),
            (source, "line") => format!("{source}:{number}: "),
            (source, unit) => format!("{source}: {unit} {number}: "),
        }
    }

    pub fn problem(&mut self, problem: String) {
        self.problems.add(problem);
    }

    /// Advice to stand below all problems, once.
    pub fn hint(&mut self, hint: &'static str) {
        self.problems.hint = Some(hint);
    }

    /// A problem of one line.
    pub fn problem_at(&mut self, line: usize, clause: &str) {
        let place = self.place(line);
        self.problem(format!("{place}{clause}"));
    }

    pub fn add(&mut self, line: usize, item: ItemSpec) {
        let Ok(index) = u32::try_from(self.items.len()) else {
            return self.problem_at(line, "more items than a run can have");
        };
        let key = |text: &str| text.to_ascii_lowercase().into_boxed_str();
        let label = (!self.prefix.is_empty()).then(|| item.id.label(self.prefix));
        let of_label = label.as_deref().and_then(|label| self.labels.get(&key(label)));
        if let Some((first, first_line)) = self.seen.get(&key(item.id.as_str())).or(of_label) {
            let other = &self.items[*first as usize].id;
            let first_at = if self.source.is_empty() {
                String::new()
            } else {
                format!(" (first in {} {first_line})", self.unit)
            };
            let clause = if self.by_text && *other == item.id {
                format!(
                    "the same {0} twice ({0}s {first_line} and {line}): leave one out; --repeat N does every item N times",
                    self.unit
                )
            } else if *other == item.id {
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

    pub fn finish(self) -> Result<Vec<ItemSpec>, ItemsError> {
        self.problems.finish()?;
        if self.items.is_empty() {
            return Err(ItemsError::one(format!("the list is empty: {} has no items", self.source)));
        }
        Ok(self.items)
    }
}

/// The lines of a source, with unreadable ones told to the collector.
pub(super) fn each_line(
    mut list: Collector<'_>,
    mut lines: Lines<impl BufRead>,
    mut take: impl FnMut(&mut Collector<'_>, usize, &str),
) -> Result<Vec<ItemSpec>, ItemsError> {
    loop {
        match lines.next_line() {
            Ok(Some((number, Ok(line)))) => take(&mut list, number, line),
            Ok(Some((number, Err(clause)))) => list.problem_at(number, clause),
            Ok(None) => return list.finish(),
            Err(error) => {
                return Err(ItemsError::one(format!("{} cannot be read: {error}", list.source)));
            }
        }
    }
}
