//! Server-sent events out of bytes, in whatever pieces they come.
//!
//! Source: the WHATWG HTML standard, "Server-sent events": lines end in LF, CR LF or CR; a blank line ends an event;
//! lines of `data` are joined by LF; a colon begins a comment; fields other than `event` and `data` matter to browsers
//! only. One thing is added, because servers do it: an event that the end of the stream completes counts.

/// The longest event that is taken, in bytes. The whole text of the longest answer of any model fits several times.
pub const LONGEST_EVENT_BYTES: usize = 8 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// The field `event`; empty where there is none.
    pub name: String,
    /// The lines of `data`, joined.
    pub data: String,
}

/// An event went over [`LONGEST_EVENT_BYTES`]; nothing more is read from this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong;

/// Cuts bytes into events. It holds one unfinished event and nothing else, and what it finds does not depend on how the
/// bytes are cut into pieces.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR: an LF right behind it belongs to it.
    after_cr: bool,
    past_first_line: bool,
    too_long: bool,
}

impl EventReader {
    /// Nothing read yet.
    pub fn new() -> EventReader {
        EventReader::default()
    }

    /// Takes bytes, and adds the events they complete to `found`.
    pub fn push(&mut self, mut bytes: &[u8], found: &mut Vec<StreamEvent>) -> Result<(), EventTooLong> {
        while !bytes.is_empty() && !self.too_long {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + self.data.len() + part.len() > LONGEST_EVENT_BYTES {
                self.too_long = true;
                break;
            }
            self.line.extend_from_slice(part);
            let Some((mark, after)) = rest.split_first() else { break };
            self.after_cr = *mark == b'\r';
            found.extend(self.end_line());
            bytes = after;
        }
        if self.too_long { Err(EventTooLong) } else { Ok(()) }
    }

    /// The stream ended as it should: what it left unfinished is an event too.
    pub fn finish(mut self) -> Option<StreamEvent> {
        if self.too_long {
            return None;
        }
        self.end_line().or_else(|| self.end_event())
    }

    fn end_line(&mut self) -> Option<StreamEvent> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<StreamEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        let had_data = std::mem::take(&mut self.has_data);
        had_data.then(|| StreamEvent { name, data: String::from_utf8_lossy(&data).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<StreamEvent>, EventTooLong> {
        let mut reader = EventReader::new();
        let mut found = Vec::new();
        for piece in pieces {
            reader.push(piece, &mut found)?;
        }
        found.extend(reader.finish());
        Ok(found)
    }

    #[test]
    fn events_in_every_manner_of_writing() {
        for (text, want) in [
            ("data: a\n\n", vec![("", "a")]),
            ("data:a\r\n\r\ndata:  b\r\n\r\n", vec![("", "a"), ("", " b")]),
            ("data: a\r\rdata: b\r\r", vec![("", "a"), ("", "b")]),
            ("\u{feff}data: a\n\n", vec![("", "a")]),
            ("data: a\n\u{feff}data: b\n\n", vec![("", "a")]),
            (": a comment\n\n:\n\nevent: ping\ndata: {}\n\n", vec![("ping", "{}")]),
            ("event: nothing\n\ndata: a\n\n", vec![("", "a")]),
            ("data: a\ndata: b\ndata\n\n", vec![("", "a\nb\n")]),
            ("data\n\n", vec![("", "")]),
            ("id: 1\nretry: 5\nunknown: x\ndatum: y\ndata: a\n\n", vec![("", "a")]),
            ("data: a: b\n\n", vec![("", "a: b")]),
            ("data: unfinished", vec![("", "unfinished")]),
            ("data: unfinished\n", vec![("", "unfinished")]),
            ("", vec![]),
            ("\n\n\r\n", vec![]),
        ] {
            let found = read(&[text.as_bytes()]).unwrap();
            let found: Vec<_> = found.iter().map(|e| (e.name.as_str(), e.data.as_str())).collect();
            assert_eq!(found, want, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let found = read(&[b"data: \xff\xfe\n\n", b"data: caf\xc3", b"\xa9\n\n"]).unwrap();
        assert_eq!((found[0].data.as_str(), found[1].data.as_str()), ("\u{fffd}\u{fffd}", "café"));
    }

    #[test]
    fn an_event_is_bounded_in_one_line_and_in_many() {
        let line = format!("data: {}", "x".repeat(LONGEST_EVENT_BYTES)).into_bytes();
        assert_eq!(read(&[&line]), Err(EventTooLong));
        let mut reader = EventReader::new();
        let lines = format!("data: {}\n", "x".repeat(1 << 20));
        let refused = (0..9).find(|_| reader.push(lines.as_bytes(), &mut Vec::new()).is_err());
        assert_eq!(refused, Some(7));
        assert_eq!(reader.push(b"\n\ndata: a\n\n", &mut Vec::new()), Err(EventTooLong), "and stays so");
        assert!(reader.line.len() + reader.data.len() <= LONGEST_EVENT_BYTES + 8);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(b"data: ".to_vec()),
            Just(b"event: x".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\xef\xbb\xbf".to_vec()),
            Just(b":".to_vec()),
            "[a-z\u{e9}{}]{0,4}".prop_map(String::into_bytes),
            any::<Vec<u8>>(),
        ];
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = read(&[&bytes]);
            prop_assert_eq!(&read(&pieces), &whole);
            prop_assert_eq!(&read(&single), &whole);
        }
    }
}
