//! What can go wrong on disk, told apart where a caller acts on the difference.

use std::io;
use std::path::{Path, PathBuf};

/// ` (did you mean LLD-42?)`, where something is like it.
fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(" or ")) }
}

/// A failure of the store. Its text is a sentence for the operator: what happened, to which file, what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space, no quota, or a limit on the size of files (`RLIMIT_FSIZE`).
    #[error(
        "no space left to write {path}: {source}. What was recorded is intact; free some space and run the same command again"
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// The place may not be written to.
    #[error("{path} cannot be written: {source}. `--state-dir DIR` puts the state directory elsewhere")]
    NotWritable {
        /// The file or directory.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// Any other refusal of the file system.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// A verb: `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's word for it.
        source: io::Error,
    },
    /// A database of a later version of this program.
    #[error(
        "{path} was written by a newer wf-supervisor (schema {found}, this one knows up to {known}). It is left as it is; use the newer program, or another `--state-dir`"
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest this program knows.
        known: i64,
    },
    /// Not an index of ours, though a database.
    #[error(
        "{path} is a database of another program. It is left as it is: move it away, or name another directory with --state-dir"
    )]
    ForeignDatabase {
        /// The database.
        path: PathBuf,
    },
    /// A database that is damaged.
    #[error(
        "{path} is damaged ({detail}). It is only an index of the journals: the next run sets it aside and makes it again"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// Another process kept the database locked for longer than we wait.
    #[error("{path} is in use by another process and did not become free within {waited_s} s; try again")]
    Busy {
        /// The database or lock file.
        path: PathBuf,
        /// How long we waited, in seconds.
        waited_s: u64,
    },
    /// Any other refusal of SQLite.
    #[error("cannot use {path}: {detail}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// `--state-dir` names a directory with other things in it.
    #[error(
        "{path} is not empty and is no state directory of wf-supervisor (it would be ignored by git as a whole). Name a new or an empty directory"
    )]
    NotAStateDir {
        /// The directory.
        path: PathBuf,
    },
    /// There is no run yet.
    #[error("no runs in {path} yet")]
    NoRuns {
        /// The state directory, existing or not.
        path: PathBuf,
    },
    /// No run of that name.
    #[error("no run {name:?} in {path}; `wf-supervisor list` shows them")]
    UnknownRun {
        /// As asked for.
        name: String,
        /// The state directory.
        path: PathBuf,
    },
    /// Several runs begin or end like that.
    #[error("{name:?} means several runs: {}; write more of it", .matches.join(", "))]
    AmbiguousRun {
        /// As asked for.
        name: String,
        /// Some of those that fit.
        matches: Vec<String>,
    },
    /// The item is not part of the run.
    #[error("no item {item:?} in run {run}{}; `wf-supervisor show {run}` lists its items", did_you_mean(.near))]
    UnknownItem {
        /// As asked for.
        item: String,
        /// The run's id.
        run: String,
        /// Labels that are like it.
        near: Vec<String>,
    },
    /// More than one item may be meant.
    #[error("{item:?} may mean several items of run {run} ({}): write more of its name, or its position as '#N'", .items.join(", "))]
    SeveralItems {
        /// As asked for.
        item: String,
        /// The labels of some of them.
        items: Vec<String>,
        /// The run's id.
        run: String,
    },
    /// The item has no such attempt, or the run was of a version that did not write down where attempts begin.
    #[error(
        "run {run} knows of no output of attempt {attempt} of {item}; `wf-supervisor show --item {item} {run}` tells of its attempts"
    )]
    NoAttempt {
        /// Its label.
        item: String,
        /// As asked for.
        attempt: u32,
        /// The run's id.
        run: String,
    },
    /// No run has output of the item.
    #[error(
        "no run in {path} has output of an item {item:?}{}; `wf-supervisor show` lists the items of the latest run",
        did_you_mean(.near)
    )]
    NoLog {
        /// As asked for.
        item: String,
        /// The state directory.
        path: PathBuf,
        /// Labels that are like it.
        near: Vec<String>,
    },
    /// A run's journal lacks its first line, so nothing can be said about it.
    #[error("{path} has no readable first line, so nothing is known about its run")]
    Headless {
        /// The journal.
        path: PathBuf,
    },
    /// A state directory, or a part of one, that another user made.
    #[error(
        "{path} belongs to another user (uid {owner}), who could exchange what is recorded there: use a directory of your own (--state-dir DIR)"
    )]
    ForeignOwner {
        /// The directory or file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// What was named as a job log is none.
    #[error(
        "{path} is there and is no job log (its first line is not that of one): move it away, or name another file with --joblog"
    )]
    NotAJobLog {
        /// The file.
        path: PathBuf,
    },
    /// A run without a single record: it was killed in its first moments, or is in them.
    #[error("run {run} {}", if *.is_live { "is just starting" } else { "was killed before it began: nothing of it ran" })]
    NeverBegan {
        /// The run.
        run: String,
        /// Whether its process lives.
        is_live: bool,
    },
    /// The command's own output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl StoreError {
    /// The process exit code that says the same: 2 where the user named something that is not there, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            StoreError::NotAStateDir { .. }
            | StoreError::NoRuns { .. }
            | StoreError::UnknownRun { .. }
            | StoreError::AmbiguousRun { .. }
            | StoreError::UnknownItem { .. }
            | StoreError::SeveralItems { .. }
            | StoreError::NoAttempt { .. }
            | StoreError::NeverBegan { .. }
            | StoreError::NotAJobLog { .. }
            | StoreError::ForeignOwner { .. }
            | StoreError::NoLog { .. } => 2,
            _ => 125,
        }
    }

    /// For a failed read of `path`.
    pub fn reading(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        StoreError::of("read", path)
    }

    /// For a failed write, creation, synchronisation or renaming of `path`: a full disk and a read-only place are
    /// told apart from the rest.
    pub fn writing(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::DiskFull { path: path.to_owned(), source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::NotWritable { path: path.to_owned(), source }
            }
            _ => StoreError::Io { action: "write", path: path.to_owned(), source },
        }
    }

    /// For anything else that was tried on `path`; `action` is a verb.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |source| StoreError::Io { action, path: path.to_owned(), source }
    }

    /// What SQLite said about the database at `path`.
    pub fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode as Code;
        move |error| {
            let path = path.to_owned();
            let detail = error.to_string();
            let io_error = |kind| io::Error::new(kind, detail.clone());
            match error.sqlite_error_code() {
                Some(Code::NotADatabase | Code::DatabaseCorrupt) => StoreError::Corrupt { path, detail },
                Some(Code::DiskFull) => {
                    StoreError::DiskFull { source: io_error(io::ErrorKind::StorageFull), path }
                }
                Some(Code::ReadOnly | Code::PermissionDenied) => {
                    StoreError::NotWritable { source: io_error(io::ErrorKind::PermissionDenied), path }
                }
                Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
                    StoreError::Busy { path, waited_s: super::history::BUSY_TIMEOUT.as_secs() }
                }
                _ => StoreError::Database { path, detail },
            }
        }
    }
}

/// Turns a reader that went away (`| head -1`) into success: it has all that it wanted.
pub fn unless_closed(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
