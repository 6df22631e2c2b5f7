//! Cuts a stream into prefixed lines. Pure: bytes in, whole lines out.
//!
//! What a reader gets, for any way the stream is cut into pieces:
//!
//! * Every line begins with the prefix and is appended in one piece, so lines of different items never mix.
//! * A line longer than [`MAX_PIECE_BYTES`] is shown in pieces; each but the first begins with [`CONTINUED`] after
//!   the prefix. No piece ends inside a UTF-8 character or a control sequence.
//! * CR LF (also CR CR LF, as pseudo-terminals write it) ends a line as LF does. A carriage return by itself ends a
//!   line too, unless that line is empty, so a worker's progress bar shows as lines.
//! * Colours that are still on at the end of a line are switched off there.
//! * Everything that would move the cursor, erase, or speak to the terminal is left out, colours alone excepted: also
//!   where no terminal is, for what goes into a pipe or a file is looked at on one later (`tee`, `cat`). Colours go the
//!   same way where none are wanted. The items' logs have it all.
//! * NUL and bytes that are not UTF-8 pass unchanged.

mod sequence;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sequence::{Sequence, Step};

/// The longest piece of a line that is held before it is shown, in bytes.
pub const MAX_PIECE_BYTES: usize = 8 * 1024;

/// What follows the prefix where a line goes on that was too long for one piece.
pub const CONTINUED: &[u8] = b"... ";

/// Switches all colours off (ECMA-48, SGR 0).
const COLOURS_OFF: &[u8] = b"\x1b[0m";

/// Capacity a quiet stream may keep for its unfinished line.
const KEPT_BYTES: usize = 1024;

/// What a carriage return has done that a following line feed must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterReturn {
    /// The last byte was none.
    No,
    /// It ended a line: a line feed adds nothing.
    EndedLine,
    /// It stood on an empty line: a line feed ends that line.
    Nothing,
}

/// One stream of one item.
#[derive(Debug)]
pub struct Prefixer {
    prefix: Arc<[u8]>,
    /// Whether colours pass.
    colours: bool,
    /// The unfinished line as it will be shown, at most [`MAX_PIECE_BYTES`].
    line: Vec<u8>,
    /// Whether a piece of this line has been shown.
    continued: bool,
    /// Whether this piece switched a colour on and not off again.
    coloured: bool,
    sequence: Sequence,
    after_return: AfterReturn,
}

impl Prefixer {
    /// A stream whose lines begin with `prefix` (its blank included), with its colours or without.
    pub fn new(prefix: Arc<[u8]>, colours: bool) -> Prefixer {
        Prefixer {
            prefix,
            colours,
            line: Vec::new(),
            continued: false,
            coloured: false,
            sequence: Sequence::default(),
            after_return: AfterReturn::No,
        }
    }

    /// Takes the next bytes and appends every line they finish to `out`: at most about
    /// `bytes.len() * (prefix + 2)` bytes (for a piece full of empty lines) and one held piece.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&next) = bytes.first() {
            if self.sequence.is_idle() && self.after_return == AfterReturn::No {
                let plain = plain_len(bytes);
                self.plain(&bytes[..plain], out);
                bytes = &bytes[plain..];
                if let Some(&special) = bytes.first() {
                    self.byte(special, out);
                    bytes = &bytes[1..];
                }
            } else {
                self.byte(next, out);
                bytes = &bytes[1..];
            }
        }
        if self.line.is_empty() && self.line.capacity() > KEPT_BYTES {
            self.line = Vec::new();
        }
    }

    /// Ends the stream: an unfinished last line is completed.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.break_sequence(out);
        if !self.is_blank() {
            self.end_line(out);
        }
        self.after_return = AfterReturn::No;
        self.line = Vec::new();
    }

    /// Text and line feeds only.
    fn plain(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut from = 0;
        for feed in memchr::memchr_iter(b'\n', bytes) {
            if self.is_blank() && feed - from <= MAX_PIECE_BYTES {
                // Most of all output goes this way: a whole line, its feed included, in two copies.
                out.extend_from_slice(&self.prefix);
                out.extend_from_slice(&bytes[from..=feed]);
            } else {
                self.hold(&bytes[from..feed], out);
                self.end_line(out);
            }
            from = feed + 1;
        }
        self.hold(&bytes[from..], out);
    }

    /// Any byte, in any state.
    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let after_return = std::mem::replace(&mut self.after_return, AfterReturn::No);
        match byte {
            b'\n' => {
                self.break_sequence(out);
                if after_return != AfterReturn::EndedLine {
                    self.end_line(out);
                }
            }
            b'\r' => {
                self.break_sequence(out);
                self.after_return = if self.is_blank() {
                    if after_return == AfterReturn::EndedLine { after_return } else { AfterReturn::Nothing }
                } else {
                    self.end_line(out);
                    AfterReturn::EndedLine
                };
            }
            _ if self.sequence.is_idle() => self.fresh(byte, out),
            _ => match self.sequence.feed(byte) {
                Step::Pending => {}
                Step::Colour { on } if self.colours => {
                    self.keep_sequence(out);
                    self.coloured = on;
                }
                Step::Colour { .. } | Step::Control => self.sequence.clear(),
                Step::Broken => {
                    self.sequence.clear();
                    self.fresh(byte, out);
                }
                Step::Text => {
                    self.keep_sequence(out);
                    self.fresh(byte, out);
                }
            },
        }
    }

    /// A byte outside any sequence that is no line end.
    fn fresh(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            sequence::ESCAPE | sequence::C1_LEAD => self.sequence.begin(byte),
            _ if is_special(byte) => {}
            _ => self.hold(&[byte], out),
        }
    }

    /// Appends to the unfinished line, showing pieces of it when it grows too long.
    fn hold(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        if self.line.last() == Some(&sequence::C1_LEAD) {
            // Something between the two was left out; together they would be a control.
            let controls = bytes.iter().take_while(|b| matches!(b, 0x80..=0x9f)).count();
            bytes = &bytes[controls..];
        }
        while self.line.len() + bytes.len() > MAX_PIECE_BYTES {
            let (fits, rest) = bytes.split_at(MAX_PIECE_BYTES - self.line.len());
            self.line.extend_from_slice(fits);
            bytes = rest;
            self.show_piece(whole_characters(&self.line), out);
        }
        self.line.extend_from_slice(bytes);
    }

    /// Appends a finished sequence in one piece.
    fn keep_sequence(&mut self, out: &mut Vec<u8>) {
        if self.line.len() + self.sequence.bytes().len() > MAX_PIECE_BYTES {
            self.show_piece(self.line.len(), out);
        }
        self.line.extend_from_slice(self.sequence.bytes());
        self.sequence.clear();
    }

    /// The line or the stream ends inside a sequence.
    fn break_sequence(&mut self, out: &mut Vec<u8>) {
        if self.sequence.is_text() {
            self.keep_sequence(out);
        }
        self.sequence.reset();
    }

    fn is_blank(&self) -> bool {
        self.line.is_empty() && !self.continued
    }

    fn show_piece(&mut self, len: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        if self.continued {
            out.extend_from_slice(CONTINUED);
        }
        out.extend_from_slice(&self.line[..len]);
        if self.coloured {
            out.extend_from_slice(COLOURS_OFF);
        }
        out.push(b'\n');
        self.line.drain(..len);
        self.continued = true;
        self.coloured = false;
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.show_piece(self.line.len(), out);
        self.continued = false;
    }
}

/// Control characters that move the cursor, switch the character set or make the terminal answer, and what begins
/// a longer sequence. Line feed, tab, bell and NUL are harmless.
fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'\r' | sequence::ESCAPE | sequence::C1_LEAD | 0x05 | 0x08 | 0x0b | 0x0c | 0x0e | 0x0f | 0x18 | 0x1a
    )
}

/// Bytes at the beginning of `bytes` that need no look at each of them.
fn plain_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    for chunk in bytes.chunks(64) {
        // A sum without branches is made for many bytes at once, and most output has none of these at all.
        let suspicion = |b: u8| {
            let control = u8::from(b < b' ') * u8::from(b != b'\n') * u8::from(b != b'\t');
            control + u8::from(b == sequence::C1_LEAD)
        };
        if chunk.iter().map(|b| suspicion(*b)).sum::<u8>() > 0
            && let Some(special) = chunk.iter().position(|b| is_special(*b))
        {
            return at + special;
        }
        at += chunk.len();
    }
    at
}

/// The length of `bytes` without a UTF-8 character that is cut off at the end; all of them when nothing is left.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for at in (tail..bytes.len()).rev() {
        let needed = match bytes[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if at > 0 && at + needed > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}
