//! Lines of hostile text: bounded, checked for UTF-8 and NUL, without byte order mark and carriage returns.

use std::io::{self, BufRead, Read as _};

/// The longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Reads lines one by one into one buffer.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    number: usize,
    /// What ends a line: a line feed, or a NUL.
    end: u8,
}

/// A line, or the clause that says what is wrong with it.
pub type Line<'a> = Result<&'a str, &'static str>;

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Lines<R> {
        Lines { reader, buffer: Vec::new(), number: 0, end: b'\n' }
    }

    /// Records that end with a NUL, as `find -print0` writes them: nothing else in them is an end.
    pub fn ended_by_nul(self) -> Lines<R> {
        Lines { end: 0, ..self }
    }

    /// The next line with its number from 1; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<(usize, Line<'_>)>> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64 + 2;
        if self.reader.by_ref().take(limit).read_until(self.end, &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.len() as u64 == limit && self.buffer.last() != Some(&self.end) {
            self.reader.skip_until(self.end)?;
            return Ok(Some((self.number, Err("the line is longer than 16 MiB"))));
        }
        let mut line = self.buffer.as_slice();
        line = line.strip_suffix(&[self.end]).unwrap_or(line);
        if self.end == b'\n' {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        if self.number == 1 {
            if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
                return Ok(Some((1, Err("this is UTF-16; save the file as UTF-8"))));
            }
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let checked = match std::str::from_utf8(line) {
            Err(_) => Err("the line is not valid UTF-8"),
            Ok(text) if text.contains('\0') => {
                Err("the line contains a NUL byte (a list whose items end with NUL is read with -0)")
            }
            // All of a file whose lines end in CR alone is one line: one item, silently, with the text of all.
            Ok(text) if self.end == b'\n' && text.contains('\r') => Err(
                "a carriage return inside the line: if lines end in CR alone, convert the file (tr '\\r' '\\n')",
            ),
            Ok(text) => Ok(text),
        };
        Ok(Some((self.number, checked)))
    }
}
