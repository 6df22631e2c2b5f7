//! The log of one item: what its attempts wrote, byte for byte but for secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// An open log. All attempts of an item append to the same file, one after the other.
#[derive(Debug)]
pub struct ItemLog {
    file: File,
    path: PathBuf,
    /// Bytes in it.
    len: u64,
    max_bytes: u64,
    state: State,
    /// The last byte is no line end.
    in_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// It has reached `max_bytes` and says so.
    Full,
    Failed,
}

/// What became of some bytes.
#[derive(Debug, Default)]
pub struct Appended {
    /// Where the first of them is.
    pub offset: u64,
    /// How many, from the first, are in the log.
    pub len: u32,
    /// The log became full with them.
    pub reached_limit: bool,
    /// The log failed with them.
    pub failure: Option<io::Error>,
}

impl ItemLog {
    /// Opens `LABEL.log` in `run_dir`, and makes it where it does not exist.
    pub fn open(run_dir: &Path, label: &str, max_bytes: u64) -> io::Result<ItemLog> {
        let path = run_dir.join(format!("{label}.log"));
        // A worker may have put anything in its place: never follow a link, never wait for a reader.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let len = metadata.len();
        // More than `max_bytes` are there only when an earlier attempt has added the notice.
        let state = if len > max_bytes { State::Full } else { State::Open };
        Ok(ItemLog { file, path, len, max_bytes, state, in_line: false })
    }

    /// A log whose every write fails.
    #[cfg(test)]
    pub fn broken(path: &Path) -> ItemLog {
        let file = File::open("/dev/null").expect("it is always there");
        ItemLog {
            file,
            path: path.to_owned(),
            len: 0,
            max_bytes: u64::MAX,
            state: State::Open,
            in_line: false,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing more can be written because of an error.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// What the console says when the log is full; `goes_on` where it shows the rest.
    pub fn limit_notice(&self, goes_on: bool) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let rest = if goes_on { "the rest is shown here only" } else { "the rest is not kept" };
        format!("{name} has reached run.max_log ({}) and stops; {rest}", size(self.max_bytes))
    }

    /// Appends `bytes`, less than 4 GiB, as far as they fit.
    pub fn append(&mut self, bytes: &[u8]) -> Appended {
        let mut appended = Appended { offset: self.len, ..Appended::default() };
        if self.state != State::Open {
            return appended;
        }
        let room = self.max_bytes.saturating_sub(self.len);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        appended.len = self.write(&bytes[..fits], &mut appended.failure);
        if fits < bytes.len() && appended.failure.is_none() {
            appended.reached_limit = true;
            let start = if self.in_line { "\n" } else { "" };
            let max = size(self.max_bytes);
            let notice =
                format!("{start}[COORDINATOR] this log has reached run.max_log ({max}) and stops here\n");
            self.write(notice.as_bytes(), &mut appended.failure);
            if appended.failure.is_none() {
                self.state = State::Full;
            }
        }
        appended
    }

    /// Writes, returns how many bytes are written, and fails for good on an error.
    fn write(&mut self, bytes: &[u8], failure: &mut Option<io::Error>) -> u32 {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => *failure = Some(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => *failure = Some(e),
            }
            if failure.is_some() {
                self.state = State::Failed;
                break;
            }
        }
        self.len += written as u64;
        if let Some(&last) = bytes[..written].last() {
            self.in_line = last != b'\n';
        }
        written as u32
    }
}

/// `1 GiB`, `64 KiB`, `1000 bytes`: the largest unit that leaves no rest.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, word)| format!("{} {word}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_append_and_the_limit_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = ItemLog::open(dir.path(), "LLD-1", 16).unwrap();
        let appended = first.append(b"0123456789\n");
        assert_eq!((appended.offset, appended.len, appended.reached_limit), (0, 11, false));
        drop(first);
        let mut second = ItemLog::open(dir.path(), "LLD-1", 16).unwrap();
        let appended = second.append(b"abcdefgh");
        assert_eq!((appended.offset, appended.len, appended.reached_limit), (11, 5, true));
        let appended = second.append(b"more");
        assert_eq!((appended.len, appended.reached_limit), (0, false));
        let mut third = ItemLog::open(dir.path(), "LLD-1", 16).unwrap();
        let appended = third.append(b"more");
        assert_eq!((appended.len, appended.reached_limit), (0, false));
        insta::assert_snapshot!(std::fs::read_to_string(dir.path().join("LLD-1.log")).unwrap(), @r"
        0123456789
        abcde
        [COORDINATOR] this log has reached run.max_log (16 bytes) and stops here
        ");
    }

    #[test]
    fn a_log_that_is_exactly_full_is_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ItemLog::open(dir.path(), "x", 4).unwrap();
        assert!(!log.append(b"four").reached_limit);
        assert_eq!(std::fs::read(log.path()).unwrap(), b"four");
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("link.log")).unwrap();
        for label in ["pipe", "link"] {
            ItemLog::open(dir.path(), label, 4).unwrap_err();
        }
    }

    #[test]
    fn a_failure_is_for_good_and_told_once() {
        let mut log = ItemLog::broken(Path::new("x.log"));
        let appended = log.append(b"lost");
        assert_eq!(appended.len, 0);
        assert!(appended.failure.is_some() && log.has_failed());
        assert!(log.append(b"lost").failure.is_none());
    }

    #[test]
    fn sizes() {
        assert_eq!(
            [1 << 30, 65536, 1536, 1000, 0].map(size),
            ["1 GiB", "64 KiB", "1536 bytes", "1000 bytes", "0 bytes"]
        );
    }
}
