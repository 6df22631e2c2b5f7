//! The end of a log: its last lines, however long the log is.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

/// Lines that are shown of what failed.
pub const LINES: usize = 10;

/// Bytes of a log that are looked at.
const BYTES: u64 = 8 * 1024;

/// The last lines of a log, and how much came before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Whole lines as they stand, without their ends; the first of them may have lost its beginning.
    pub lines: Vec<Vec<u8>>,
    /// Whether something came before them.
    pub is_cut: bool,
}

/// The last `most` lines of a part of a log; none where there is no log. Blank lines at the end do not count.
pub fn last_lines(path: &Path, part: Range<u64>, most: usize) -> io::Result<Tail> {
    // A worker may have put anything in the log's place: never follow a link, never wait on a pipe.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let end = metadata.len().min(part.end);
    let from = part.start.min(end);
    let begin = end.saturating_sub(BYTES).max(from);
    let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or(0)];
    file.read_exact_at(&mut bytes, begin)?;
    let mut lines: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .collect();
    while lines.last().is_some_and(|line| line.trim_ascii().is_empty()) {
        lines.pop();
    }
    let over = lines.len().saturating_sub(most);
    lines.drain(..over);
    Ok(Tail { lines, is_cut: over > 0 || begin > from })
}

/// The last line of a log that has text, for people: one line, nothing in it that a terminal would obey.
pub fn last_words(path: &Path, limit: usize) -> Option<String> {
    let tail = last_lines(path, 0..u64::MAX, 1).ok()?;
    let line = plain(tail.lines.first()?);
    let words = super::text::one_line(line.trim(), limit).into_owned();
    (!words.is_empty()).then_some(words)
}

/// A line of a foreign program without the sequences that steer a terminal, colours too.
pub fn plain(line: &[u8]) -> String {
    let mut out = Vec::new();
    let mut filter = crate::console::prefixer::Prefixer::new(Vec::new().into(), false);
    filter.push(line, &mut out);
    filter.close(&mut out);
    String::from_utf8_lossy(&out).trim_end_matches('\n').replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_short_and_long_logs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        assert_eq!(last_lines(&path, 0..u64::MAX, 3).unwrap(), Tail::default());
        let seen = |text: &str, from, most| {
            std::fs::write(&path, text).unwrap();
            let tail = last_lines(&path, from..u64::MAX, most).unwrap();
            let lines = tail.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
            (lines.collect::<Vec<_>>().join("|"), tail.is_cut)
        };
        assert_eq!(seen("", 0, 3), (String::new(), false));
        assert_eq!(seen("one\ntwo\r\nthree", 0, 3), ("one|two|three".to_owned(), false));
        assert_eq!(seen("one\ntwo\n\n \n", 0, 3), ("one|two".to_owned(), false));
        assert_eq!(seen("one\ntwo\nthree\nfour\n", 0, 2), ("three|four".to_owned(), true));
        assert_eq!(seen("one\ntwo\n", 4, 3), ("two".to_owned(), false), "the attempt before is left out");
        assert_eq!(seen("one\n", 400, 3), (String::new(), false), "a log that was cut meanwhile");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(last_lines(&path, 4..8, 3).unwrap().lines, [b"two"], "the attempt after is left out");
        let long = "x".repeat(100_000);
        let (text, is_cut) = seen(&format!("{long}\nend"), 0, 3);
        assert!(text.len() < 10_000 && text.ends_with("|end") && is_cut);
        assert_eq!(last_words(&path, 40).unwrap(), "end");
        std::fs::write(&path, "a\n\x1b[31mred\x1b[0m \x1b[2Jthing\r\n\n").unwrap();
        assert_eq!(last_words(&path, 40).unwrap(), "red thing");
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        last_lines(&dir.path().join("pipe"), 0..u64::MAX, 3).unwrap_err();
    }
}
