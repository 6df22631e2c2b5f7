//! The job log in GNU parallel's columns (`--joblog`), for scripts that read it.
//!
//! The columns are those of the manual page parallel(1), option `--joblog`: `Seq Host Starttime JobRuntime Send
//! Receive Exitval Signal Command`, separated by tabs, after a header line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use wf_core::AttemptEnd;

use super::StoreError;

const HEADER: &[u8] = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// A job log that is being written, one `write` per line.
#[derive(Debug)]
pub struct JobLog {
    file: File,
    path: PathBuf,
}

/// One attempt that is over.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The item's 1-based position in the run.
    pub seq: u32,
    /// When the attempt started.
    pub started: Timestamp,
    /// How long it took.
    pub runtime: Duration,
    /// Bytes it wrote to standard output and standard error.
    pub received_bytes: u64,
    /// How its process ended.
    pub end: &'a AttemptEnd,
    /// What ran, as people would type it.
    pub command: &'a str,
}

impl JobLog {
    /// Opens the file. One that is there keeps its lines and gets the new ones behind them, for running the same command
    /// again is how a run goes on; where nothing runs it stays as it is.
    ///
    /// # Errors
    ///
    /// A file that begins with anything but our header is somebody's and is refused.
    pub fn open(path: &Path) -> Result<JobLog, StoreError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(StoreError::writing(path))?;
        let missing: &[u8] = match look(&file, path)? {
            Found::Nothing => HEADER,
            // Whoever wrote there was killed within a line.
            Found::Torn => b"\n",
            Found::Whole => b"",
        };
        file.write_all(missing).map_err(StoreError::writing(path))?;
        Ok(JobLog { file, path: path.to_owned() })
    }

    /// Refuses what [`open`](JobLog::open) would refuse, and changes nothing.
    pub fn check(path: &Path) -> Result<(), StoreError> {
        // Opening anything but a file may take what is in it, or wait.
        if !path.is_file() {
            return Ok(());
        }
        let file = File::open(path).map_err(StoreError::reading(path))?;
        look(&file, path).map(drop)
    }

    /// Adds a line.
    pub fn add(&mut self, job: &Job<'_>) -> Result<(), StoreError> {
        self.file.write_all(line(job).as_bytes()).map_err(StoreError::writing(&self.path))
    }
}

/// How a job log ends that is there.
enum Found {
    /// It is empty, or no file that can be looked at.
    Nothing,
    Whole,
    Torn,
}

fn look(file: &File, path: &Path) -> Result<Found, StoreError> {
    let meta = file.metadata().map_err(StoreError::reading(path))?;
    if !meta.is_file() || meta.len() == 0 {
        return Ok(Found::Nothing);
    }
    let mut first = vec![0; HEADER.len()];
    if file.read_exact_at(&mut first, 0).is_err() || first != HEADER {
        return Err(StoreError::NotAJobLog { path: path.to_owned() });
    }
    let mut last = [0];
    file.read_exact_at(&mut last, meta.len() - 1).map_err(StoreError::reading(path))?;
    Ok(if last == *b"\n" { Found::Whole } else { Found::Torn })
}

fn line(job: &Job<'_>) -> String {
    // What never ran has the codes a shell gives for a command it cannot start, and -1 where nothing is known.
    let (exit, signal) = match job.end {
        AttemptEnd::Exited { code } => (i32::from(*code), 0),
        AttemptEnd::Signalled { signal } => (0, *signal),
        AttemptEnd::NotSpawned { .. } => (127, 0),
        AttemptEnd::Lost => (-1, 0),
    };
    // A line end inside a command would break the table.
    let command = job.command.replace(|c: char| c.is_control(), " ");
    let started_ms = job.started.as_millisecond();
    format!(
        "{}\t:\t{}.{:03}\t{:10.3}\t0\t{}\t{exit}\t{signal}\t{command}\n",
        job.seq,
        started_ms.div_euclid(1000),
        started_ms.rem_euclid(1000),
        job.runtime.as_secs_f64(),
        job.received_bytes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_gnu_parallel() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.tsv");
        let mut log = JobLog::open(&path).unwrap();
        let job = |end, command| Job {
            seq: 7,
            started: "2026-11-21T05:14:49.5Z".parse().unwrap(),
            runtime: Duration::from_millis(1234),
            received_bytes: 42,
            end,
            command,
        };
        log.add(&job(&AttemptEnd::Exited { code: 3 }, "sh -c 'a\nb'")).unwrap();
        log.add(&job(&AttemptEnd::Signalled { signal: 9 }, "true")).unwrap();
        log.add(&job(&AttemptEnd::NotSpawned { why: "not found".into() }, "nope")).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap().replace('\t', "|"), @r"
        Seq|Host|Starttime|JobRuntime|Send|Receive|Exitval|Signal|Command
        7|:|1795238089.500|     1.234|0|42|3|0|sh -c 'a b'
        7|:|1795238089.500|     1.234|0|42|0|9|true
        7|:|1795238089.500|     1.234|0|42|127|0|nope
        ");
    }

    #[test]
    fn lines_are_added_to_a_log_and_somebody_else_s_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jobs.tsv");
        drop(JobLog::open(&path).unwrap());
        let torn = [HEADER, b"1\t:\thalf"].concat();
        std::fs::write(&path, &torn).unwrap();
        JobLog::check(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), torn);
        drop(JobLog::open(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), [&torn[..], b"\n"].concat());
        std::fs::write(&path, "my thesis\n").unwrap();
        for error in [JobLog::open(&path).map(drop).unwrap_err(), JobLog::check(&path).unwrap_err()] {
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("jobs.tsv"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "my thesis\n");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = JobLog::open(Path::new("/nonexistent/jobs.tsv")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/jobs.tsv"));
    }
}
