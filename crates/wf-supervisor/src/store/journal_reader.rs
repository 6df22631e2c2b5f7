//! Reading a journal back: total, bounded, and tolerant of what a killed writer or a newer program left.

use std::fs::File;
use std::io::BufReader;
#[cfg(test)]
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use wf_core::Record;

use super::StoreError;
use super::journal;
use super::lines::{Line, LineReader};
use super::proven::Proven;

/// A record and when it became true, by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub record: Record,
}

/// What a reader passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Lines with a time and an event that this program does not know: a newer one wrote them.
    pub unknown: u64,
    /// Lines that are none of ours: the file was damaged after it was written.
    pub unreadable: u64,
    /// The first of them, from 1.
    pub first_unreadable: Option<u64>,
    /// Whether the last line has no end: its writer was killed, or is writing it.
    pub torn: bool,
}

/// The records of a journal, in order. It never writes.
///
/// At the end it answers `None`, and goes on when the file has grown.
#[derive(Debug)]
pub struct JournalReader {
    lines: LineReader<BufReader<File>>,
    path: PathBuf,
    flaws: Flaws,
    /// Lines read so far.
    count: u64,
    proven: Proven,
}

impl Flaws {
    /// What is wrong with the journal at `path`, for a person; nothing where only its last line is torn, as every kill
    /// may leave it.
    pub fn words(&self, path: &Path) -> Option<String> {
        let first = self.first_unreadable?;
        let more = match self.unreadable {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Some(format!(
            "{}: line {first}{more} cannot be read: the file was damaged. What the other lines say is used; what stood \
             there may be done again",
            path.display()
        ))
    }
}

/// What every line has, whatever else is in it.
#[derive(Deserialize)]
struct Head {
    ts: Timestamp,
    #[serde(rename = "event")]
    _event: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// A record.
    Entry(Entry),
    /// An event of a newer program.
    Unknown,
    /// Nothing of ours.
    Unreadable,
}

/// Reads one line of a journal, without its end.
pub fn parse(line: &[u8]) -> Parsed {
    let Ok(head) = serde_json::from_slice::<Head>(line) else { return Parsed::Unreadable };
    match serde_json::from_slice(line) {
        Ok(record) => Parsed::Entry(Entry { at: head.ts, record }),
        Err(_) => Parsed::Unknown,
    }
}

impl JournalReader {
    /// Reads `path` from its beginning.
    pub fn open(path: &Path) -> Result<JournalReader, StoreError> {
        let file = File::open(path).map_err(StoreError::reading(path))?;
        Ok(JournalReader {
            lines: LineReader::new(BufReader::with_capacity(64 * 1024, file)),
            path: path.to_owned(),
            flaws: Flaws::default(),
            count: 0,
            proven: Proven::default(),
        })
    }

    /// Reads only the end of `path`: the lines that begin in its last `bytes`.
    #[cfg(test)]
    pub fn open_end(path: &Path, bytes: u64) -> Result<JournalReader, StoreError> {
        let mut file = File::open(path).map_err(StoreError::reading(path))?;
        let length = file.metadata().map_err(StoreError::reading(path))?.len();
        let begin = length.saturating_sub(bytes);
        file.seek(SeekFrom::Start(begin)).map_err(StoreError::reading(path))?;
        let mut reader = JournalReader {
            lines: LineReader::new(BufReader::with_capacity(64 * 1024, file)),
            path: path.to_owned(),
            flaws: Flaws::default(),
            count: 0,
            proven: Proven::default(),
        };
        if begin > 0 {
            // The rest of a line that began earlier.
            reader.lines.next_line().map_err(StoreError::reading(path))?;
        }
        Ok(reader)
    }

    /// The next record and its line as it stands in the file, or as it would where a damaged file lacks it.
    pub fn next_raw(&mut self) -> Result<Option<(Entry, Vec<u8>)>, StoreError> {
        loop {
            let Some(line) = self.lines.next_line().map_err(StoreError::reading(&self.path))? else {
                // Only a damaged journal lacks what it must have.
                let missing = self.flaws.first_unreadable.and_then(|_| self.proven.next());
                let Some(entry) = missing else { return Ok(None) };
                let mut line = Vec::new();
                journal::encode(&entry.record, entry.at, &mut line)
                    .map_err(StoreError::reading(&self.path))?;
                return Ok(Some((entry, line)));
            };
            self.count += 1;
            let parsed = match &line {
                Line::Whole(line) => parse(line),
                Line::TooLong => Parsed::Unreadable,
            };
            match (parsed, line) {
                (Parsed::Entry(entry), Line::Whole(line)) => {
                    let line = line.to_vec();
                    self.proven.see(&entry);
                    return Ok(Some((entry, line)));
                }
                (Parsed::Unknown, _) => self.flaws.unknown += 1,
                _ => {
                    self.flaws.unreadable += 1;
                    self.flaws.first_unreadable.get_or_insert(self.count);
                }
            }
        }
    }

    /// What was passed over so far.
    pub fn flaws(&self) -> Flaws {
        let mut flaws = Flaws { torn: self.lines.is_torn(), ..self.flaws };
        if flaws.torn && !is_beginning_of_a_line(self.lines.rest()) {
            flaws.first_unreadable.get_or_insert(self.count + 1);
        }
        flaws
    }
}

/// Whether a killed writer may have left this without an end. Anything else came later.
fn is_beginning_of_a_line(rest: &[u8]) -> bool {
    let ours = b"{\"";
    rest.iter().zip(ours).all(|(found, ours)| found == ours) && !rest.contains(&0)
}

impl Iterator for JournalReader {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_raw().map(|found| found.map(|(entry, _)| entry)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::testing::{at, journal_of, sample_run};
    use super::*;

    fn read(path: &Path) -> (Vec<Entry>, Flaws) {
        let mut reader = JournalReader::open(path).unwrap();
        let entries = reader.by_ref().map(Result::unwrap).collect();
        (entries, reader.flaws())
    }

    #[test]
    fn a_journal_torn_at_any_byte_has_its_whole_lines_and_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let entries = sample_run("2026-11-21T05-14-49Z-7f3a", 2);
        let whole = journal_of(&entries);
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let complete = memchr::memchr_iter(b'\n', &whole[..cut]).count();
            let (read, flaws) = read(&path);
            assert_eq!(read, entries[..complete], "cut at {cut}");
            let torn = cut > 0 && whole[cut - 1] != b'\n';
            assert_eq!(flaws, Flaws { torn, ..Flaws::default() }, "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap(), whole[..cut]);
        }
    }

    proptest! {
        /// No bytes can do harm: what is read is bounded by what is there, and every line is accounted for.
        #[test]
        fn any_bytes_can_be_read(
            lines in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..60),
                    Just(br#"{"ts":"2026-11-21T05:14:49Z","event":"stopping","why":"a"}"#.to_vec()),
                    Just(br#"{"ts":"2026-11-21T05:14:49Z","event":"run_ended","exit":-1e309}"#.to_vec()),
                    Just(vec![b'['; 300]),
                ],
                0..12,
            )
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal.jsonl");
            let bytes = lines.join(&b'\n');
            fs::write(&path, &bytes).unwrap();
            let (entries, flaws) = read(&path);
            let ends = memchr::memchr_iter(b'\n', &bytes).count() as u64;
            prop_assert_eq!(entries.len() as u64 + flaws.unknown + flaws.unreadable, ends);
            prop_assert_eq!(flaws.torn, bytes.last().is_some_and(|b| *b != b'\n'));
        }
    }

    #[test]
    fn events_and_fields_of_a_newer_program_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let text = concat!(
            r#"{"ts":"2026-11-21T05:14:49.000000Z","event":"stopping","why":"a","mood":["good"]}"#,
            "\n",
            r#"{"ts":"2026-11-21T05:14:49.000000Z","event":"teleported","item":"42"}"#,
            "\n",
            r#"{"ts":"2026-11-21T05:14:49.000000Z","event":"connected","item":"../../etc/passwd","attempt":1}"#,
            "\n",
            "\0\0\0\0\n[1,2]\nnonsense \u{fffd}\n\n",
            r#"{"ts":"yesterday","event":"stopping","why":"b"}"#,
            "\n",
            r#"{"ts":"2026-11-21T05:14:49.000000Z","event":"stopping","why":"c"}"#,
            "\n",
        );
        fs::write(&path, text).unwrap();
        let (entries, flaws) = read(&path);
        let records: Vec<_> = entries.into_iter().map(|entry| entry.record).collect();
        assert_eq!(records, ["a", "c"].map(|why| Record::Stopping { why: why.into() }));
        assert_eq!(flaws, Flaws { unknown: 2, unreadable: 5, first_unreadable: Some(4), torn: false });
    }

    #[test]
    fn an_end_that_no_writer_of_ours_left_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let whole = journal_of(&sample_run("2026-11-21T05-14-49Z-7f3a", 1));
        let count = memchr::memchr_iter(b'\n', &whole).count() as u64;
        for (end, is_damage) in [
            ("", false),
            ("{", false),
            ("{\"ts\":\"20", false),
            ("\0\0", true),
            ("{\"ts\0\0", true),
            ("garbage", true),
        ] {
            fs::write(&path, [&whole, end.as_bytes()].concat()).unwrap();
            let (_, flaws) = read(&path);
            assert_eq!(flaws.first_unreadable, is_damage.then_some(count + 1), "{end:?}");
        }
    }

    #[test]
    fn the_end_of_a_journal_is_read_without_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let entries = sample_run("2026-11-21T05-14-49Z-7f3a", 10);
        let whole = journal_of(&entries);
        fs::write(&path, &whole).unwrap();
        for bytes in [0, 1, 200, 1000, whole.len() as u64, u64::MAX] {
            let read: Vec<_> = JournalReader::open_end(&path, bytes).unwrap().map(Result::unwrap).collect();
            assert_eq!(read, entries[entries.len() - read.len()..]);
        }
        assert!(JournalReader::open_end(&path, 1000).unwrap().count() > 1);
        assert_eq!(JournalReader::open_end(&path, u64::MAX).unwrap().count(), entries.len());
    }

    #[test]
    fn a_growing_journal_is_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let line = journal_of(&[Entry { at: at(0), record: Record::Stopping { why: "a".into() } }]);
        fs::write(&path, &line[..10]).unwrap();
        let mut reader = JournalReader::open(&path).unwrap();
        assert!(reader.next().is_none());
        assert!(reader.flaws().torn);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&line[10..]).unwrap();
        assert!(reader.next().is_some());
        assert!(!reader.flaws().torn);
    }
}
