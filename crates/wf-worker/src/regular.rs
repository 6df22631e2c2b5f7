//! Opening files that others name: without waiting for anybody, and nothing that has no end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Opens a regular file for reading; a link to one is one. A pipe that nobody writes to would be waited for without a bound,
/// and a device such as `/dev/zero` read without an end: both are errors of kind `InvalidInput` that say what is there.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let (file, kind) = open(path)?;
    match kind {
        Kind::File => Ok(file),
        Kind::Pipe => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe, not a regular file")),
    }
}

/// Opens a regular file, or a pipe: one without a writer is at its end at once.
pub fn open_file_or_pipe(path: &Path) -> io::Result<File> {
    let (file, kind) = open(path)?;
    if let Kind::Pipe = kind {
        // From here on it is waited for what a writer that is there still writes.
        let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags & !OFlag::O_NONBLOCK))?;
    }
    Ok(file)
}

enum Kind {
    File,
    Pipe,
}

fn open(path: &Path) -> io::Result<(File, Kind)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
    if kind.is_file() {
        Ok((file, Kind::File))
    } else if kind.is_fifo() {
        Ok((file, Kind::Pipe))
    } else if kind.is_dir() {
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"))
    } else if kind.is_block_device() || kind.is_char_device() {
        refuse("it is a device, not a regular file")
    } else {
        refuse("it is not a regular file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_end_is_opened_and_nobody_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (link, target) in [("good", "file"), ("zero", "/dev/zero"), ("to-pipe", "pipe")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        assert!(open_regular(&at("file")).is_ok() && open_regular(&at("good")).is_ok());
        for (name, what) in [
            ("pipe", "it is a pipe, not a regular file"),
            ("to-pipe", "it is a pipe, not a regular file"),
            ("zero", "it is a device, not a regular file"),
            (".", "it is a directory"),
        ] {
            assert_eq!(open_regular(&at(name)).unwrap_err().to_string(), what, "{name}");
        }
        assert_eq!(io::read_to_string(open_file_or_pipe(&at("pipe")).unwrap()).unwrap(), "");
        assert!(open_file_or_pipe(&at("zero")).is_err());
    }
}
