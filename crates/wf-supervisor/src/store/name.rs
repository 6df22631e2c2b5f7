//! The names people see where an item's own is long: its position and the beginning of its label.

use std::borrow::Cow;

use wf_core::ItemId;

/// Labels up to here are shown as they are, in characters.
const MOST: usize = 24;

/// How much of a longer one is shown, in characters.
const BEGINNING: usize = 14;

/// Names that are proposed, at most.
const NEAR: usize = 3;

/// So much of a hash is enough to mean it.
const LEAST_HASH: usize = 4;

/// A part that is cut off at a dash or the like has at least so many characters.
const LEAST: usize = 6;

/// `LLD-42` as it is; `16 fix-the-bug…` for one whose label is long, which is the sixteenth of its run. Positions make
/// these names unique, and `logs` takes them.
pub fn short(position: u32, label: &str) -> Cow<'_, str> {
    if label.chars().count() <= MOST {
        return Cow::Borrowed(label);
    }
    let beginning: String = label.chars().take(BEGINNING).collect();
    let end = beginning.rfind(['-', '_', '.']).filter(|at| *at >= LEAST).unwrap_or(beginning.len());
    Cow::Owned(format!("{position} {}…", &beginning[..end]))
}

/// The command that prints what the item wrote.
pub fn how_to_read(position: u32, label: &str) -> String {
    match short(position, label) {
        Cow::Borrowed(label) => format!("wf-supervisor logs {label}"),
        Cow::Owned(_) => format!("wf-supervisor logs '#{position}'"),
    }
}

/// Who is meant by a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// This one.
    One(&'a ItemId),
    /// More than one: their labels, some of them.
    Several(Vec<String>),
    /// None of them.
    Nobody,
}

/// Who is meant by a name that is nobody's whole name: a position (`#16`, or `[16 fix-the-bug…]` as the console shows
/// it), the beginning of an id or a label, or of the hash at its end.
pub fn meant<'a>(name: &str, prefix: &str, ids: &'a [ItemId]) -> Meant<'a> {
    let name = name.trim_start_matches('[').trim_end_matches(']').trim();
    let position = match (name.strip_prefix('#'), name.split_once(' ')) {
        (Some(digits), _) | (None, Some((digits, _))) => Some(digits.parse::<usize>()),
        (None, None) => None,
    };
    if let Some(position) = position {
        let place = position.ok().and_then(|position| position.checked_sub(1));
        return place.and_then(|place| ids.get(place)).map_or(Meant::Nobody, Meant::One);
    }
    if name.is_empty() {
        return Meant::Nobody;
    }
    let begins = |id: &ItemId| {
        let hash = id.as_str().rsplit('-').next().filter(|hash| hash.len() < id.as_str().len());
        id.as_str().starts_with(name)
            || id.label(prefix).starts_with(name)
            || hash.is_some_and(|hash| name.len() >= LEAST_HASH && hash.starts_with(name))
    };
    let mut found = ids.iter().filter(|id| begins(id));
    match (found.next(), found.next()) {
        (None, _) => Meant::Nobody,
        (Some(one), None) => Meant::One(one),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(found);
            Meant::Several(all.take(NEAR).map(|id| id.label(prefix)).collect())
        }
    }
}

/// Labels like a name that is nobody's.
pub fn near(name: &str, prefix: &str, ids: &[ItemId]) -> Vec<String> {
    let likeness = |label: &str| {
        // Of a long label its beginning counts, as far as the name goes.
        let beginning: String = label.chars().take(name.chars().count()).collect();
        strsim::jaro_winkler(name, label).max(strsim::jaro_winkler(name, &beginning))
    };
    let mut alike: Vec<(f64, String)> = ids
        .iter()
        .map(|id| {
            let label = id.label(prefix);
            (likeness(id.as_str()).max(likeness(&label)), label)
        })
        .filter(|(likeness, _)| *likeness > 0.85)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(NEAR).map(|(_, label)| label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_labels_are_shortened() {
        for (label, name) in [
            ("42", "42"),
            ("LLD-42", "LLD-42"),
            ("astropy__astropy-12907", "astropy__astropy-12907"),
            ("fix-the-bug-number-16-in-file-src-m16-rs-fa72dc5591", "16 fix-the-bug…"),
            ("oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc", "16 oauthlib_…"),
            ("abcdefghijklmnopqrstuvwxyz", "16 abcdefghijklmn…"),
            ("a-bcdefghijklmnopqrstuvwxyz", "16 a-bcdefghijklm…"),
        ] {
            assert_eq!(short(16, label), name);
        }
    }
}
