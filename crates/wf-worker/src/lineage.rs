//! An item's lineage: every input, draft and verdict as a file of its own, numbered, kept over runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::output;

/// What a lineage file holds; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the work starts from.
    Input,
    /// The document as the drafter left it.
    Draft,
    /// A review, as the reviewer wrote it.
    Verdict,
    /// A model's reply that could not be used.
    Reply,
    /// The tests of a design, as the drafter wrote them.
    Tests,
    /// Code, as the drafter wrote it.
    Code,
    /// The end of a failing test's output.
    Output,
    /// A diff.
    Diff,
    /// Uncommitted work of an earlier try, as a diff.
    Leftover,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Draft => "draft",
            Kind::Verdict => "verdict",
            Kind::Reply => "reply",
            Kind::Tests => "tests",
            Kind::Code => "code",
            Kind::Output => "output",
            Kind::Diff => "diff",
            Kind::Leftover => "leftover",
        }
    }
}

/// Writes `text` as the next file, such as `002-draft.md`, and returns its path.
///
/// The latest file is not written again: a node that was interrupted after writing runs once more and has the same
/// text.
pub fn add(dir: &Path, kind: Kind, text: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let latest = latest(dir)?;
    if let Some((_, path)) = latest.as_ref().filter(|(_, path)| is_of(path, kind))
        && fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
    {
        return Ok(path.clone());
    }
    let number = latest.map_or(1, |(number, _)| number + 1);
    let path = dir.join(format!("{number:03}-{}.md", kind.word()));
    // Whole or not at all, but not synced to the disk: the checkpoint is what must outlive a power cut.
    let mut file = tempfile::Builder::new().prefix(".").permissions(output::usual_mode()).tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(&path)?;
    Ok(path)
}

fn is_of(path: &Path, kind: Kind) -> bool {
    path.file_stem().and_then(|s| s.to_str()).is_some_and(|s| s.ends_with(kind.word()))
}

/// The file with the highest number.
fn latest(dir: &Path) -> io::Result<Option<(u64, PathBuf)>> {
    let mut latest = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.split_once('-'))
            .and_then(|(number, _)| number.parse::<u64>().ok())
            .filter(|n| *n < u64::MAX);
        if let Some(number) = number {
            latest = latest.max(Some((number, path)));
        }
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_and_the_latest_is_not_written_twice() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("lld_42");
        let name =
            |kind, text| add(&dir, kind, text).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name(Kind::Input, "i"), "001-input.md");
        assert_eq!(name(Kind::Draft, "d"), "002-draft.md");
        assert_eq!(name(Kind::Draft, "d"), "002-draft.md");
        assert_eq!(name(Kind::Verdict, "d"), "003-verdict.md");
        assert_eq!(name(Kind::Draft, "d"), "004-draft.md");
        fs::write(dir.join("1000-note.md"), "").unwrap();
        fs::write(dir.join("README.md"), "").unwrap();
        fs::write(dir.join("x-y.md"), "").unwrap();
        assert_eq!(name(Kind::Reply, ""), "1001-reply.md");
    }
}
