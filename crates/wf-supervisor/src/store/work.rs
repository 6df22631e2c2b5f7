//! What makes a piece of work the same in two runs.

use std::path::Path;

use sha2::{Digest, Sha256};
use wf_core::Record;

/// Whether real providers answer, or the embedded mock. What was done in one never counts in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Realm {
    /// Real providers, real money.
    Real,
    /// `--mock`.
    Mock,
}

impl Realm {
    /// The word in `history.db`.
    pub fn word(self) -> &'static str {
        match self {
            Realm::Real => "real",
            Realm::Mock => "mock",
        }
    }

    /// From the `mock` flag of a run.
    pub fn of(mock: bool) -> Realm {
        if mock { Realm::Mock } else { Realm::Real }
    }
}

/// What is done to an item: together with the item's id it identifies a work item over all runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work {
    /// Where it counts.
    pub realm: Realm,
    /// The workflow's name, or `command:` and a hash.
    pub name: String,
}

const COMMAND: &str = "command:";

impl Work {
    /// A built-in workflow.
    pub fn workflow(realm: Realm, name: &str) -> Work {
        Work { realm, name: name.to_owned() }
    }

    /// A command: its words as typed after `--` (placeholders not yet replaced) and the directory it runs in. Another
    /// word, or another directory, is other work.
    pub fn command(realm: Realm, template: &[impl AsRef<[u8]>], directory: &Path) -> Work {
        let mut hash = Sha256::new();
        feed(&mut hash, std::os::unix::ffi::OsStrExt::as_bytes(directory.as_os_str()));
        for word in template {
            feed(&mut hash, word.as_ref());
        }
        Work { realm, name: format!("{COMMAND}{}", hex(&hash.finalize())) }
    }

    /// The work of a run by the first line of its journal; `None` for any other record.
    pub fn of_run(record: &Record) -> Option<Work> {
        let Record::RunStarted { workflow, work, mock, .. } = record else { return None };
        let name = if work.is_empty() { workflow } else { work };
        Some(Work { realm: Realm::of(*mock), name: name.clone() })
    }

    /// How its files begin: `lld`, or `command-` and the first 12 digits of the hash.
    pub fn file_stem(&self) -> String {
        match self.name.strip_prefix(COMMAND) {
            Some(hash) => format!("command-{}", &hash[..hash.len().min(12)]),
            None => self.name.clone(),
        }
    }
}

/// The length goes first, so that moving a byte from one part to the next changes the hash.
fn feed(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_command_counts() {
        let work = |words: &[&str], dir: &str| Work::command(Realm::Real, words, Path::new(dir));
        let same = work(&["sh", "-c", "a b"], "/p");
        assert_eq!(same, work(&["sh", "-c", "a b"], "/p"));
        assert_ne!(same, work(&["sh", "-c", "a", "b"], "/p"));
        assert_ne!(same, work(&["sh", "-c", "a b"], "/q"));
        assert_ne!(same, Work::command(Realm::Mock, &["sh", "-c", "a b"], Path::new("/p")));
        assert_eq!(same.file_stem().len(), "command-".len() + 12);
        assert_eq!(Work::workflow(Realm::Real, "lld").file_stem(), "lld");
    }
}
