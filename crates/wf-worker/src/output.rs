//! Files that are written whole or not at all, and never over somebody else's.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What the name of an unfinished output ends with.
const UNFINISHED: &str = ".wf-tmp";

/// How many names are tried beside an output that is not ours.
const BESIDE: u32 = 99;

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Where an output went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The file that holds it now.
    pub path: PathBuf,
    /// Whether that is beside the wanted path, because somebody else's file is there.
    pub beside: bool,
    /// Whether the very bytes were there already, and nothing was written.
    pub already: bool,
}

/// Puts `bytes` at `path`, durably and atomically.
///
/// A file that is there and is none of `ours` (SHA-256 of what we wrote before) is never replaced, nor is a symbolic
/// link or anything else: the output then goes beside it as `<stem>.new.<ext>`, or, where that is somebody else's
/// too, as `<stem>.new-2.<ext>` and so on.
pub fn place(path: &Path, bytes: &[u8], ours: &[&str]) -> io::Result<Placed> {
    for n in 0..=BESIDE {
        let candidate = if n == 0 { path.to_owned() } else { beside(path, n) };
        let placed = |already| Placed { path: candidate.clone(), beside: n > 0, already };
        match standing(&candidate, bytes, ours)? {
            Standing::Same => return Ok(placed(true)),
            Standing::Foreign => {}
            Standing::Ours => {
                write(&candidate, bytes, true)?;
                return Ok(placed(false));
            }
            // Somebody may have made the file since: then it is theirs.
            Standing::Free => match write(&candidate, bytes, false) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
                Ok(()) => return Ok(placed(false)),
            },
        }
    }
    Err(io::Error::other(format!("{} and {BESIDE} names beside it are not ours", path.display())))
}

enum Standing {
    Free,
    Same,
    Ours,
    Foreign,
}

fn standing(path: &Path, bytes: &[u8], ours: &[&str]) -> io::Result<Standing> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Standing::Free),
        other => other?,
    };
    if !meta.is_file() {
        return Ok(Standing::Foreign);
    }
    let found = sha256_of(path)?;
    Ok(if found == sha256(bytes) {
        Standing::Same
    } else if ours.contains(&found.as_str()) {
        Standing::Ours
    } else {
        Standing::Foreign
    })
}

/// SHA-256 of a file, however large: somebody else's may be.
fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(n) => hasher.update(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The `n`th name beside a path, from 1: `LLD-42.new.md`, `LLD-42.new-2.md`, ...
fn beside(path: &Path, n: u32) -> PathBuf {
    let mark = if n == 1 { "new".to_owned() } else { format!("new-{n}") };
    marked(path, &mark)
}

/// The path with a mark before its extension: `LLD-42.md` and `draft` make `LLD-42.draft.md`.
pub fn marked(path: &Path, mark: &str) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or(OsStr::new("output")));
    name.push(".");
    name.push(mark);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Writes a file durably and atomically: temporary file in the same directory, fsync, rename, fsync of the directory.
/// Where it may not `replace`, an existing file is an error of kind `AlreadyExists`.
pub fn write(path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let dir = directory(path);
    create_dirs(dir)?;
    let mut file = tempfile::Builder::new()
        .prefix(&unfinished_prefix(path))
        .suffix(UNFINISHED)
        .permissions(usual_mode())
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    if replace {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    File::open(dir)?.sync_all()
}

/// The mode of a new file, as the umask has it; tempfile's own choice is 0600.
pub fn usual_mode() -> Permissions {
    Permissions::from_mode(0o666)
}

/// Removes what a killed worker left of `path` half-written. Errors are of no consequence: the next start tries again.
pub fn remove_unfinished(path: &Path) {
    let prefix = unfinished_prefix(path);
    let Ok(entries) = fs::read_dir(directory(path)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let chance = bytes
            .strip_prefix(prefix.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()));
        // A dot between: that is the draft's, or the output of another item, whose id goes on after a dot.
        if chance.is_some_and(|chance| !chance.contains(&b'.')) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn unfinished_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_stem().unwrap_or_default());
    prefix.push(".");
    prefix
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a directory and those above it, each made durable in the one that holds it.
fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = directory(dir);
    if above != dir {
        create_dirs(above)?;
    }
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_output_is_there_whole_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/LLD-42.md");
        let placed = place(&path, b"text", &[]).unwrap();
        assert_eq!(placed, Placed { path: path.clone(), beside: false, already: false });
        assert_eq!(fs::read(&path).unwrap(), b"text");
        assert_eq!(names(path.parent().unwrap()), ["LLD-42.md"]);
        assert!(place(&path, b"text", &[]).unwrap().already, "the same bytes again are no conflict");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_ne!(mode & 0o044, 0, "readable as the umask has it, not 0600: {mode:o}");
    }

    #[test]
    fn an_output_of_ours_is_replaced_and_any_other_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LLD-42.md");
        fs::write(&path, b"old").unwrap();
        place(&path, b"newer", &[&sha256(b"old")]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");

        fs::write(&path, b"edited by hand").unwrap();
        let ours = sha256(b"newer");
        let placed = place(&path, b"newest", &[&ours]).unwrap();
        assert_eq!((placed.path, placed.beside), (dir.path().join("LLD-42.new.md"), true));
        assert_eq!(fs::read(&path).unwrap(), b"edited by hand");

        // Beside it is ours to replace as well, but only as we left it.
        let ours = sha256(b"newest");
        assert_eq!(place(&path, b"v4", &[&ours]).unwrap().path, dir.path().join("LLD-42.new.md"));
        let placed = place(&path, b"v5", &[&ours]).unwrap();
        assert_eq!(placed.path, dir.path().join("LLD-42.new-2.md"));
        assert_eq!(names(dir.path()), ["LLD-42.md", "LLD-42.new-2.md", "LLD-42.new.md"]);
    }

    #[test]
    fn links_and_directories_are_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LLD-42.md");
        let precious = dir.path().join("precious");
        fs::write(&precious, b"p").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(place(&path, b"x", &[&sha256(b"p")]).unwrap().beside);
        assert_eq!(fs::read(&precious).unwrap(), b"p");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(place(&path, b"x", &[]).unwrap().beside);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LLD-42.md");
        fs::write(&path, b"theirs").unwrap();
        assert_eq!(write(&path, b"x", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(dir.path()), ["LLD-42.md"]);
        assert!(place(&path.join("below-a-file.md"), b"x", &[]).is_err());
    }

    #[test]
    fn what_a_killed_worker_left_goes_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let others =
            [".LLD-4.1.abc.wf-tmp", ".LLD-4.draft.abc.wf-tmp", ".LLD-4.md", ".LLD-42.abc.wf-tmp", "LLD-4.md"];
        for name in others.iter().chain(&[".LLD-4.abc.wf-tmp"]) {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        remove_unfinished(&dir.path().join("LLD-4.md"));
        assert_eq!(names(dir.path()), others);
    }

    #[test]
    fn marks_go_before_the_extension() {
        for (path, marked_path) in
            [("a/L.md", "a/L.draft.md"), ("L", "L.draft"), ("a.b/L.x.md", "a.b/L.x.draft.md")]
        {
            assert_eq!(marked(Path::new(path), "draft"), Path::new(marked_path));
        }
    }
}
