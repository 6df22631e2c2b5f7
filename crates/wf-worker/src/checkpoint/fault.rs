//! Why a checkpoint cannot be used, in words that say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use super::SCHEMA;

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// It is no database of ours, or a damaged one.
    #[error("checkpoint {} is corrupt ({why}); --redo sets it aside and starts anew", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "checkpoint {} has schema version {found}, this program knows {SCHEMA}: use the program that wrote it, or \
         --redo to set it aside and start anew",
        path.display()
    )]
    OtherSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It belongs to another item or workflow.
    #[error("checkpoint {} is of {found}, not of {wanted}; --redo sets it aside and starts anew", path.display())]
    OtherWork {
        /// The database.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Another process holds it.
    #[error("checkpoint {} is held by another process: is another worker on this item?", path.display())]
    Held {
        /// The database.
        path: PathBuf,
    },
    /// The file system or `SQLite` failed: a full disk, a read-only directory.
    #[error("checkpoint {} cannot be used: {why}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What was said.
        why: String,
    },
}

impl CheckpointError {
    /// Whether setting the file aside, as `--redo` does, would help.
    pub fn is_cured_by_redo(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::OtherSchema { .. } | Self::OtherWork { .. })
    }

    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> CheckpointError {
        let (path, why) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CheckpointError::Held { path },
            // The last three: a missing table or column, a value of the wrong type. The file is not what its marks say.
            Some(
                ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::Unknown
                | ErrorCode::TypeMismatch,
            )
            | None => CheckpointError::Corrupt { path, why },
            Some(_) => CheckpointError::Io { path, why },
        }
    }
}
