//! The names people see where an item's own is long: its position and the beginning of its label.

use std::borrow::Cow;

/// Labels up to here are shown as they are, in characters.
const MOST: usize = 24;

/// How much of a longer one is shown, in characters.
const BEGINNING: usize = 14;

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
