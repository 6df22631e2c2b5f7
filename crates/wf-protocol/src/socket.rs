//! The name of the local socket: a path, short enough for every system this runs on.

use std::io;
use std::path::{Path, PathBuf};

use interprocess::local_socket::{GenericFilePath, Name, ToFsName};
use thiserror::Error;

use crate::limits::MAX_SOCKET_PATH_BYTES;

/// A path that cannot be a socket's.
#[derive(Debug, Error)]
pub enum SocketPathError {
    /// Over the limit of the system's address structure.
    #[error(
        "the socket's path {path:?} has {bytes} bytes; {MAX_SOCKET_PATH_BYTES} is the most that works everywhere"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Empty, or with a NUL.
    #[error("{path:?} cannot be a socket's path: {reason}")]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// The socket's name for `interprocess`, on either side.
pub fn socket_name(path: &Path) -> Result<Name<'_>, SocketPathError> {
    let bytes = path.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        return Err(SocketPathError::TooLong { path: path.to_owned(), bytes });
    }
    let unusable = |reason| SocketPathError::Unusable { path: path.to_owned(), reason };
    if bytes == 0 {
        return Err(unusable(io::ErrorKind::NotFound.into()));
    }
    path.to_fs_name::<GenericFilePath>().map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_bounded() {
        assert!(socket_name(Path::new("/run/user/1000/wf/s")).is_ok());
        assert!(socket_name(Path::new(&"s".repeat(100))).is_ok());
        let long = "s".repeat(101);
        assert!(matches!(socket_name(Path::new(&long)), Err(SocketPathError::TooLong { bytes: 101, .. })));
        for unusable in ["", "a\0b"] {
            assert!(
                matches!(socket_name(Path::new(unusable)), Err(SocketPathError::Unusable { .. })),
                "{unusable:?}"
            );
        }
    }
}
