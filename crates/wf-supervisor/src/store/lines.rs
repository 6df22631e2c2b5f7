//! Reading a file line by line with a bound on the length of a line, and with a torn end.

use std::io::{self, BufRead};

use memchr::memchr;

/// The longest line that is read, in bytes. What is longer is skipped: it is none of ours.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line within the bound.
    Whole(&'a [u8]),
    /// A line over the bound; its bytes are dropped.
    TooLong,
}

/// Reads lines. At the end of the file it answers `None`; bytes after the last line end stay with it, so a file that
/// grows can be read on.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    line: Vec<u8>,
    /// The line in `line` was handed out and is to be dropped.
    taken: bool,
    /// The rest of the present line is over the bound.
    skipping: bool,
}

impl<R: BufRead> LineReader<R> {
    /// Reads from where `input` stands.
    pub fn new(input: R) -> Self {
        LineReader { input, line: Vec::new(), taken: false, skipping: false }
    }

    /// The next line that has an end.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if std::mem::take(&mut self.taken) {
            self.line.clear();
        }
        loop {
            let available = match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                return Ok(None);
            }
            let end = memchr(b'\n', available);
            let piece = &available[..end.unwrap_or(available.len())];
            if self.line.len() + piece.len() > MAX_LINE_BYTES {
                self.skipping = true;
                self.line = Vec::new();
            }
            if !self.skipping {
                self.line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                if std::mem::take(&mut self.skipping) {
                    return Ok(Some(Line::TooLong));
                }
                self.taken = true;
                return Ok(Some(Line::Whole(&self.line)));
            }
        }
    }

    /// The bytes without a line end that were left when the end was reached, within the bound.
    pub fn rest(&self) -> &[u8] {
        if self.taken { &[] } else { &self.line }
    }

    /// Whether bytes without a line end were left when the end was reached.
    pub fn is_torn(&self) -> bool {
        self.skipping || (!self.taken && !self.line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(bytes: &[u8], capacity: usize) -> (Vec<Option<Vec<u8>>>, bool) {
        let mut reader = LineReader::new(BufReader::with_capacity(capacity, bytes));
        let mut all = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            all.push(match line {
                Line::Whole(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            });
        }
        (all, reader.is_torn())
    }

    #[test]
    fn lines_are_cut_at_their_ends_whatever_the_buffer() {
        for capacity in [1, 2, 3, 64] {
            assert_eq!(lines(b"", capacity), (vec![], false));
            assert_eq!(
                lines(b"a\n\nbc\n", capacity),
                (vec![Some(b"a".into()), Some(b"".into()), Some(b"bc".into())], false)
            );
            assert_eq!(lines(b"a\nbc", capacity), (vec![Some(b"a".into())], true));
        }
    }

    #[test]
    fn a_line_over_the_bound_is_skipped_and_the_next_one_read() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\n");
        bytes.extend(vec![b'y'; MAX_LINE_BYTES + 1]);
        bytes.extend_from_slice(b"\nz\n");
        let (all, torn) = lines(&bytes, 4096);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].as_ref().unwrap().len(), MAX_LINE_BYTES);
        assert_eq!(all[1], None);
        assert_eq!(all[2].as_deref(), Some(b"z".as_slice()));
        assert!(!torn);
    }

    #[test]
    fn a_growing_file_is_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "one\ntw").unwrap();
        let mut reader = LineReader::new(BufReader::new(std::fs::File::open(&path).unwrap()));
        assert_eq!(reader.next_line().unwrap(), Some(Line::Whole(b"one")));
        assert_eq!(reader.next_line().unwrap(), None);
        assert!(reader.is_torn());
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"o\n").unwrap();
        assert_eq!(reader.next_line().unwrap(), Some(Line::Whole(b"two")));
        assert_eq!(reader.next_line().unwrap(), None);
        assert!(!reader.is_torn());
    }
}
