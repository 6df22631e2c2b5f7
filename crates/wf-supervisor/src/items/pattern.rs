//! Paths with `{id}` in them: the inputs and outputs of workflows.

use std::cmp::Ordering;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use wf_core::ItemId;

use super::collector::Collector;
use super::{ItemSpec, ItemsError};

const ID: &str = "{id}";

/// A path in which `{id}` stands for the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; without `{id}` all items would have the same file.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.contains('\0') {
            Err("a path cannot contain a NUL".to_owned())
        } else if !text.contains(ID) {
            Err(format!("{text:?} has no {{id}}, so all items would have the same file"))
        } else if text.ends_with('/') {
            Err(format!("{text:?} is a directory; a file is needed"))
        } else {
            Ok(Pattern(text.to_owned()))
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for an item, relative to the project where the pattern is.
    pub fn path(&self, id: &ItemId) -> PathBuf {
        PathBuf::from(self.0.replace(ID, id.as_str()))
    }

    /// Every item whose file exists under `project`, in natural order (2 before 10), and warnings about files whose name
    /// would be an item's but for its form. A directory that is missing has no files. `prefix` precedes ids in labels.
    pub fn inputs(
        &self,
        project: &Path,
        prefix: &'static str,
    ) -> Result<(Vec<ItemSpec>, Vec<String>), ItemsError> {
        let (before, after) = self.0.split_once(ID).expect("new() has seen {id}");
        let start = before.rfind('/').map_or(0, |slash| slash + 1);
        let end = before.len() + ID.len() + after.find('/').unwrap_or(after.len());
        let component = &self.0[start..end];
        let directory = project.join(&self.0[..start]);
        let unreadable = |error| ItemsError::one(format!("{} cannot be read: {error}", directory.display()));
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            Err(error) => return Err(unreadable(error)),
        };
        let mut warnings = Vec::new();
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // A pattern that begins with its id would take every hidden file for a bad id.
            let Some(id) = id_in(component, &name).filter(|id| !id.starts_with('.')) else { continue };
            if !project.join(self.0.replace(ID, id)).is_file() || stands_beside(id) {
                continue;
            }
            match ItemId::new(id) {
                Ok(id) => ids.push(id),
                Err(why) => warnings.push(format!("{} is left out: {why}", entry.path().display())),
            }
        }
        ids.sort_by(|a, b| natural(a.as_str(), b.as_str()));
        warnings.sort();
        let mut list = Collector::new("", prefix);
        for id in ids {
            list.add(0, ItemSpec::bare(id));
        }
        list.problems.finish()?;
        Ok((list.items, warnings))
    }
}

/// Whether a file is one that was put beside an item's output (`42.new`, `42.draft`), and no item's of its own.
fn stands_beside(id: &str) -> bool {
    let Some((_, end)) = id.rsplit_once('.') else { return false };
    let numbered = end.strip_prefix("new-").is_some_and(|n| n.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(end, "new" | "draft") || numbered
}

/// What `{id}` stands for in `name`, if `component` with it is `name`. Every `{id}` stands for the same text.
fn id_in<'a>(component: &str, name: &'a str) -> Option<&'a str> {
    let places = component.matches(ID).count();
    let literal = component.len() - places * ID.len();
    let length = name.len().checked_sub(literal)? / places;
    let start = component.find(ID)?;
    let id = name.get(start..start + length)?;
    (!id.is_empty() && component.replace(ID, id) == name).then_some(id)
}

/// Order of names in which runs of digits count as numbers.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let numbers = (digits(left), digits(right));
        let (order, lengths) = if numbers.0.is_empty() || numbers.1.is_empty() {
            let (Some(first), Some(second)) = (left.chars().next(), right.chars().next()) else {
                // One is the beginning of the other, or they differ in leading zeros only.
                return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
            };
            (first.cmp(&second), (first.len_utf8(), second.len_utf8()))
        } else {
            let values = (numbers.0.trim_start_matches('0'), numbers.1.trim_start_matches('0'));
            let order = values.0.len().cmp(&values.1.len()).then_with(|| values.0.cmp(values.1));
            (order, (numbers.0.len(), numbers.1.len()))
        };
        if order != Ordering::Equal {
            return order;
        }
        left = &left[lengths.0..];
        right = &right[lengths.1..];
    }
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["a10", "a2", "a", "10", "9", "1", "a02", "b", "A"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["1", "9", "10", "A", "a", "a02", "a2", "a10", "b"]);
    }

    proptest! {
        #[test]
        fn an_order(one in "[a01é]{0,6}", two in "[a01é]{0,6}", three in "[a01é]{0,6}") {
            prop_assert_eq!(natural(&one, &two), natural(&two, &one).reverse());
            prop_assert_eq!(natural(&one, &two) == Ordering::Equal, one == two);
            if natural(&one, &two) != Ordering::Greater && natural(&two, &three) != Ordering::Greater {
                prop_assert_ne!(natural(&one, &three), Ordering::Greater);
            }
        }

        #[test]
        fn ids_are_found_where_they_were_put(before in "[a-z-]{0,3}", between in "[a-z-]{0,3}", id in "[a-z0-9_]{1,5}") {
            for component in [format!("{before}{ID}.md"), format!("{before}{ID}{between}{ID}")] {
                let name = component.replace(ID, &id);
                prop_assert_eq!(id_in(&component, &name), Some(id.as_str()));
            }
        }
    }
}
