//! Writing a run's journal: one line per event, in the order they became true.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use wf_core::Record;

use super::StoreError;
use super::atomic::sync_directory;
use super::lines::MAX_LINE_BYTES;
use super::run_dir::RunDir;

/// A journal that is being written.
///
/// What [`append`](Journal::append) has written survives the death of this process; what was there at a
/// [`sync`](Journal::sync) survives that of the machine.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Lines that are not written yet; empty but after a failure.
    pending: Vec<u8>,
    /// One record as JSON.
    scratch: Vec<u8>,
}

/// How much a journal on a full disk keeps for later, in bytes.
const PENDING_LIMIT_BYTES: usize = 1 << 20;

/// The longest text of a record whose line would be over the bound, in characters.
const SHORTENED_CHARS: usize = 2_000;

/// How many entries a list in such a record keeps.
const SHORTENED_ENTRIES: usize = 100;

impl Journal {
    /// Begins the journal of a new run (mode 0600). It is an error if there is one.
    pub fn create(run: &RunDir) -> Result<Journal, StoreError> {
        let path = run.journal();
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::writing(&path))?;
        sync_directory(run.path())?;
        Ok(Journal::from_file(file, path))
    }

    fn from_file(file: File, path: PathBuf) -> Journal {
        Journal { file, path, pending: Vec::with_capacity(4096), scratch: Vec::with_capacity(1024) }
    }

    /// Writes the records of one turn, all with the time `at`, by one `write`.
    ///
    /// After an error what could not be written is kept (up to 1 MiB, then the newest is dropped) and goes first at
    /// the next call, so that a disk that was full for a moment leaves neither a gap nor a torn line.
    pub fn append(&mut self, records: &[Record], at: Timestamp) -> Result<(), StoreError> {
        if self.pending.len() > PENDING_LIMIT_BYTES {
            self.flush()?;
        }
        for record in records {
            self.encode(record, at)?;
        }
        self.flush()
    }

    /// Makes everything that was written durable.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.file.sync_data().map_err(StoreError::writing(&self.path))
    }

    /// The same for another thread: it synchronises what was written before the call.
    pub fn sync_handle(&self) -> Result<JournalSync, StoreError> {
        let file = self.file.try_clone().map_err(StoreError::of("open", &self.path))?;
        Ok(JournalSync { file, path: self.path.clone() })
    }

    /// Adds the line of one record to what is pending.
    fn encode(&mut self, record: &Record, at: Timestamp) -> Result<(), StoreError> {
        self.serialize(record)?;
        if self.scratch.len() + 64 > MAX_LINE_BYTES {
            self.serialize(&shortened(record))?;
        }
        put_time_before(&self.scratch, at, &mut self.pending).map_err(StoreError::writing(&self.path))?;
        self.pending.push(b'\n');
        Ok(())
    }

    fn serialize(&mut self, record: &Record) -> Result<(), StoreError> {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, record)
            .map_err(|e| StoreError::of("write", &self.path)(io::Error::from(e)))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let mut written = 0;
        let result = loop {
            if written == self.pending.len() {
                break Ok(());
            }
            match self.file.write(&self.pending[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        self.pending.drain(..written);
        result.map_err(StoreError::writing(&self.path))
    }
}

/// The line of a record, without its end.
pub fn encode(record: &Record, at: Timestamp, line: &mut Vec<u8>) -> io::Result<()> {
    put_time_before(&serde_json::to_vec(record)?, at, line)
}

/// Every record is an object that begins with `{"event":`; the time goes in front of that.
fn put_time_before(record: &[u8], at: Timestamp, line: &mut Vec<u8>) -> io::Result<()> {
    write!(line, "{{\"ts\":\"{at:.6}\",")?;
    line.extend_from_slice(&record[1..]);
    Ok(())
}

/// Makes a journal durable from another thread than the one that writes it.
#[derive(Debug)]
pub struct JournalSync {
    file: File,
    path: PathBuf,
}

impl JournalSync {
    /// Makes everything durable that was written before the call.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::writing(&self.path))
    }

    /// The journal.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A record whose foreign texts are cut, for the one in a million that would not fit a line (a command line of a
/// megabyte, say): a reader has to be able to bound what it reads.
fn shortened(record: &Record) -> Record {
    let cut = |text: &mut String| {
        if let Cow::Owned(short) = super::text::one_line(text, SHORTENED_CHARS) {
            *text = short;
        }
    };
    let mut record = record.clone();
    match &mut record {
        Record::RunStarted { argv, .. } => {
            argv.truncate(SHORTENED_ENTRIES);
            argv.iter_mut().for_each(cut);
        }
        Record::ItemPlanned { detail, .. } => cut(detail),
        Record::LeaseGranted { key, model, .. } => {
            cut(key);
            cut(model);
        }
        Record::Progress { node, .. } | Record::Checkpointed { node, .. } => cut(node),
        Record::Pool { message } => cut(message),
        Record::KeyUsed { key, provider, group, .. } => [key, provider, group].into_iter().for_each(cut),
        Record::Asked { why, .. } | Record::Killed { why, .. } | Record::Stopping { why } => cut(why),
        Record::AttemptEnded { end, leftovers, .. } => {
            leftovers.truncate(SHORTENED_ENTRIES);
            for leftover in leftovers {
                cut(&mut leftover.name);
            }
            if let wf_core::AttemptEnd::NotSpawned { why } = end {
                cut(why);
            }
        }
        Record::ItemEnded { detail, output, .. } => {
            cut(detail);
            // A path cut short would name another file.
            if output.as_ref().is_some_and(|output| output.path.len() > MAX_LINE_BYTES / 2) {
                *output = None;
            }
        }
        Record::AttemptStarted { .. }
        | Record::Spawned { .. }
        | Record::Connected { .. }
        | Record::LeaseReturned { .. }
        | Record::RunEnded { .. } => {}
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::journal_reader::JournalReader;
    use super::super::layout::StateDir;
    use super::*;

    fn run() -> (tempfile::TempDir, RunDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::locate(None, None, dir.path()).create().unwrap();
        let (run, _lock) = RunDir::create(&state, at()).unwrap();
        (dir, run)
    }

    fn at() -> Timestamp {
        "2026-11-21T05:14:49.123456789Z".parse().unwrap()
    }

    fn stopping(why: &str) -> Record {
        Record::Stopping { why: why.into() }
    }

    #[test]
    fn a_line_is_the_time_and_the_event() {
        let (_dir, run) = run();
        let mut journal = Journal::create(&run).unwrap();
        journal.append(&[], at()).unwrap();
        journal.append(&[stopping("a"), stopping("b\n\"")], at()).unwrap();
        journal.sync().unwrap();
        journal.sync_handle().unwrap().sync().unwrap();
        assert_eq!(
            std::fs::read_to_string(run.journal()).unwrap(),
            "{\"ts\":\"2026-11-21T05:14:49.123456Z\",\"event\":\"stopping\",\"why\":\"a\"}\n\
             {\"ts\":\"2026-11-21T05:14:49.123456Z\",\"event\":\"stopping\",\"why\":\"b\\n\\\"\"}\n"
        );
    }

    #[test]
    fn there_is_one_journal_per_run() {
        let (_dir, run) = run();
        let mut journal = Journal::create(&run).unwrap();
        journal.append(&[stopping("a")], at()).unwrap();
        let before = std::fs::read(run.journal()).unwrap();
        assert!(Journal::create(&run).is_err());
        assert_eq!(std::fs::read(run.journal()).unwrap(), before);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_named_and_what_was_not_written_is_kept_for_later() {
        let (_dir, run) = run();
        let good = Journal::create(&run).unwrap();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut journal = Journal::from_file(full, run.journal());
        let error = journal.append(&[stopping("a")], at()).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }));
        assert!(error.to_string().contains("journal.jsonl"), "{error}");
        assert_eq!(error.exit_code(), 125);
        journal.append(&[stopping("b")], at()).unwrap_err();
        journal.file = good.file;
        journal.append(&[stopping("c")], at()).unwrap();
        let records: Vec<_> =
            JournalReader::open(&run.journal()).unwrap().map(|e| e.unwrap().record).collect();
        assert_eq!(records, [stopping("a"), stopping("b"), stopping("c")]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_kept_for_later_is_bounded() {
        let (_dir, run) = run();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut journal = Journal::from_file(full, run.journal());
        for _ in 0..100 {
            journal.append(&[stopping(&"x".repeat(100_000))], at()).unwrap_err();
        }
        assert!(journal.pending.len() < 2 * PENDING_LIMIT_BYTES);
    }

    #[test]
    fn a_record_that_would_not_fit_a_line_is_shortened() {
        let (_dir, run) = run();
        let mut journal = Journal::create(&run).unwrap();
        journal.append(&[stopping(&"x".repeat(MAX_LINE_BYTES)), stopping("next")], at()).unwrap();
        let records: Vec<_> =
            JournalReader::open(&run.journal()).unwrap().map(|e| e.unwrap().record).collect();
        assert_eq!(records, [stopping(&format!("{}…", "x".repeat(SHORTENED_CHARS))), stopping("next")]);
    }
}
