//! Items files in plain text: `ID`, `ID TEXT...`, or with `--lines` a text per line.

use std::borrow::Cow;
use std::io::BufRead;

use sha2::{Digest as _, Sha256};
use wf_core::ItemId;

use super::collector::{Collector, each_line};
use super::fingerprint::hex;
use super::lines::Lines;
use super::{ItemSpec, ItemsError, excerpt, hash_hint};
use crate::console::redact::Redactor;

/// Characters of a text that go into its slug.
const SLUG_CHARS: usize = 40;
/// Digits of the hash that follows: 40 bits, because the slugs of a hundred thousand texts without a single ASCII letter
/// are all the same.
const HASH_DIGITS: usize = 10;

/// Reads all items of `reader`; `source` names it in messages, `prefix` precedes ids in labels.
pub fn read(
    source: &str,
    reader: impl BufRead,
    by_line: bool,
    prefix: &'static str,
) -> Result<Vec<ItemSpec>, ItemsError> {
    let list = Collector::new(source, prefix).by_text(by_line);
    each_line(list, Lines::new(reader), |list, number, line| {
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return;
        }
        let (word, rest) = match trimmed.split_once(|c: char| c.is_ascii_whitespace()) {
            Some((word, rest)) => (word, rest.trim_ascii_start()),
            None => (trimmed, ""),
        };
        // `#42` is how people name an issue. Taking it for a comment would lose an item without a word; where every line
        // is a text, it is one.
        let hint = hash_hint(word);
        if word.starts_with('#') && (hint.is_empty() || !by_line) {
            if !hint.is_empty() {
                list.problem_at(number, &format!("{} looks like a comment{hint}", excerpt(word)));
            }
            return;
        }
        if by_line {
            list.add(number, ItemSpec { text: Some(line.into()), ..ItemSpec::bare(id_of_text(line)) });
            return;
        }
        match ItemId::new(word) {
            Ok(id) => {
                let text = (!rest.is_empty()).then(|| rest.into());
                list.add(number, ItemSpec { text, ..ItemSpec::bare(id) });
            }
            Err(why) => {
                list.problem_at(number, &format!("{}: {why}", excerpt(word)));
                list.hint("if every line is an item's text, add --lines");
            }
        }
    })
}

/// Reads records that end with a NUL (`find -print0`): each is a text, whatever else is in it.
pub fn read_nul(
    source: &str,
    reader: impl BufRead,
    prefix: &'static str,
) -> Result<Vec<ItemSpec>, ItemsError> {
    let list = Collector::new(source, prefix).by_text(true).counting("record");
    each_line(list, Lines::new(reader).ended_by_nul(), |list, number, text| {
        if !text.trim().is_empty() {
            list.add(number, ItemSpec { text: Some(text.into()), ..ItemSpec::bare(id_of_text(text)) });
        }
    })
}

/// The id of an item that has only a text: what is readable of it, and a hash that tells similar texts apart. It depends
/// on nothing but the text.
pub fn id_of_text(text: &str) -> ItemId {
    id_of_veiled_text(text, text)
}

/// The id of such an item whose text holds a secret: nothing of that is readable in it. The hash of the whole text tells too
/// little to find the secret by.
fn id_of_veiled_text(text: &str, veiled: &str) -> ItemId {
    let mut slug = String::new();
    for c in veiled.chars() {
        if slug.len() >= SLUG_CHARS {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = match slug.trim_end_matches('-') {
        "" => "item",
        slug => slug,
    };
    let hash = hex(&Sha256::digest(text.as_bytes()));
    ItemId::new(&format!("{slug}-{}", &hash[..HASH_DIGITS]))
        .expect("lower-case letters, digits and inner dashes, at most 51 bytes")
}

/// Takes secrets out of the ids that were made from the items' texts.
pub fn veil(items: &mut [ItemSpec], redactor: &Redactor) {
    for item in items {
        let Some(text) = item.text.as_deref() else { continue };
        if let Cow::Owned(veiled) = redactor.redact(text)
            && item.id == id_of_text(text)
        {
            item.id = id_of_veiled_text(text, &veiled);
        }
    }
}
