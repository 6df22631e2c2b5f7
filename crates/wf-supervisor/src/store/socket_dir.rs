//! The private directory of a run's socket, outside the state directory because a socket's path has to be short.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::StoreError;
use super::lock::{self, HeldLock};

/// The longest path of a socket, in bytes. The kernel's own limit is 108 on Linux and 104 on macOS, its end included.
pub const MAX_SOCKET_PATH_BYTES: usize = 100;

const PREFIX: &str = "wf-supervisor-";
const SOCKET: &str = "s";
const LOCK: &str = "lock";

/// How old a directory without a lock has to be to count as left behind: its owner may be about to make the lock.
const UNLOCKED_AGE: Duration = Duration::from_secs(60);

/// A directory of mode 0700 for one socket. It is removed when this is dropped.
#[derive(Debug)]
pub struct SocketDir {
    path: PathBuf,
    _lock: HeldLock,
}

impl SocketDir {
    /// Makes one in the user's runtime directory or, where there is none or its path is too long, in the temporary
    /// directory; and removes those that dead runs of this user left in the same places.
    pub fn create() -> Result<SocketDir, StoreError> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = [runtime, Some(std::env::temp_dir()), Some(PathBuf::from("/tmp"))];
        let candidates: Vec<PathBuf> =
            candidates.into_iter().flatten().filter(|path| path.is_absolute()).collect();
        SocketDir::create_in(&candidates)
    }

    fn create_in(candidates: &[PathBuf]) -> Result<SocketDir, StoreError> {
        let mut failure = None;
        for base in candidates {
            remove_stale(base);
            match SocketDir::try_create(base) {
                Ok(dir) => return Ok(dir),
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.unwrap_or_else(|| {
            StoreError::of("find", Path::new("a directory for the socket"))(io::ErrorKind::NotFound.into())
        }))
    }

    fn try_create(base: &Path) -> Result<SocketDir, StoreError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|e| StoreError::of("name", base)(io::Error::other(e.to_string())))?;
        let path = base.join(format!("{PREFIX}{:016x}", u64::from_le_bytes(random)));
        let length = path.join(SOCKET).as_os_str().len();
        if length > MAX_SOCKET_PATH_BYTES {
            let why = format!(
                "its path would have {length} bytes, and a socket's may have {MAX_SOCKET_PATH_BYTES}"
            );
            return Err(StoreError::of("put a socket into", base)(io::Error::other(why)));
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(StoreError::writing(&path))?;
        match HeldLock::create(&path.join(LOCK)) {
            Ok(lock) => Ok(SocketDir { path, _lock: lock }),
            Err(e) => {
                remove_known(&path);
                Err(e)
            }
        }
    }

    /// The socket's path, at most [`MAX_SOCKET_PATH_BYTES`] long. Nothing is there yet.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        remove_known(&self.path);
    }
}

/// Removes what dead runs of this user left in `base`. Others' directories, and what is not of our making, stay.
fn remove_stale(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let is_ours = found.is_dir()
            && found.uid() == nix::unistd::getuid().as_raw()
            && (found.mode() & 0o777) == 0o700;
        if is_ours && is_left_behind(&path, &found) {
            remove_known(&path);
        }
    }
}

fn is_left_behind(path: &Path, found: &Metadata) -> bool {
    let lock_file = path.join(LOCK);
    if lock_file.exists() {
        return lock::holder(&lock_file).is_none();
    }
    found.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > UNLOCKED_AGE)
}

/// Removes the files of our making, then the directory if that emptied it.
fn remove_known(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_socket = name == OsStr::new(SOCKET) && entry.file_type().is_ok_and(|kind| kind.is_socket());
        let is_temporary = name.as_bytes().starts_with(super::atomic::TEMPORARY_PREFIX.as_bytes());
        if is_socket || name == OsStr::new(LOCK) || is_temporary {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn dir(base: &Path) -> SocketDir {
        SocketDir::create_in(&[base.to_owned()]).unwrap()
    }

    #[test]
    fn it_is_private_takes_a_socket_and_goes_with_its_owner() {
        let base = tempfile::tempdir().unwrap();
        let made = dir(base.path());
        let path = made.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(made.socket().as_os_str().len() <= MAX_SOCKET_PATH_BYTES);
        let _listener = UnixListener::bind(made.socket()).unwrap();
        drop(made);
        assert!(!path.exists());
    }

    #[test]
    fn only_what_dead_runs_left_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let live = dir(base.path());
        let stale = base.path().join("wf-supervisor-dead");
        DirBuilder::new().mode(0o700).create(&stale).unwrap();
        drop(UnixListener::bind(stale.join(SOCKET)).unwrap());
        fs::write(stale.join(LOCK), "1\n").unwrap();
        let starting = base.path().join("wf-supervisor-starting");
        DirBuilder::new().mode(0o700).create(&starting).unwrap();
        let foreign = base.path().join("wf-supervisor-foreign");
        DirBuilder::new().mode(0o700).create(&foreign).unwrap();
        fs::write(foreign.join(LOCK), "1\n").unwrap();
        fs::write(foreign.join("notes"), "").unwrap();
        let _other = dir(base.path());
        assert!(live.path.exists());
        assert!(!stale.exists());
        assert!(starting.exists(), "it may be about to be locked");
        assert!(foreign.join("notes").exists());
    }

    #[test]
    fn a_base_that_is_too_long_is_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(90));
        fs::create_dir(&long).unwrap();
        let made = SocketDir::create_in(&[long.clone(), base.path().to_owned()]).unwrap();
        assert_eq!(made.path.parent(), Some(base.path()));
        assert!(SocketDir::create_in(&[long]).is_err());
        assert!(SocketDir::create_in(&[]).is_err());
    }
}
