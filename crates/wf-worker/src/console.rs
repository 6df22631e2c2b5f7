//! What a worker says of itself: whole lines on its standard output, which the supervisor prefixes and keeps.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Longest line; a finding or an error may be any length.
const LINE_BYTES: usize = 500;

/// Where lines go.
pub struct Console {
    out: Mutex<Box<dyn Write + Send>>,
}

impl Console {
    /// The process's standard output.
    pub fn stdout() -> Console {
        Console::to(Box::new(io::stdout()))
    }

    /// Any other sink.
    pub fn to(out: Box<dyn Write + Send>) -> Console {
        Console { out: Mutex::new(out) }
    }

    /// Says one line. Control characters in it become spaces and a long one is cut: it may quote a model.
    ///
    /// That nobody listens is no error: the socket, not the pipe, tells a worker that its supervisor is gone.
    pub fn say(&self, line: &str) {
        let mut line = one_line(line, LINE_BYTES);
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    /// Passes on what a program wrote, as it is: the supervisor cuts it into lines.
    pub fn pass(&self, bytes: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
}

/// `text` as one line of at most `max_bytes` (and an ellipsis), free of control characters.
pub fn one_line(text: &str, max_bytes: usize) -> String {
    let text = text.trim();
    let end = text.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= max_bytes).last();
    let end = end.unwrap_or(0);
    let mut line: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_line_and_bounded() {
        for (text, max, line) in [
            ("plain", 10, "plain"),
            (" a\nb\tc\u{1b}[31m ", 20, "a b c [31m"),
            ("äöü", 4, "äö…"),
            ("äöü", 1, "…"),
            ("", 1, ""),
        ] {
            assert_eq!(one_line(text, max), line);
        }
    }
}
