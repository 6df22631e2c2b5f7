//! Files below one directory, and nowhere else, whatever links lie there and whoever changes them meanwhile.
//!
//! A path is walked name by name from an open directory, never following a link in the kernel: each link is read and
//! walked by hand, and `..` in it goes back to a directory that is held open. So a link that leads out is refused and
//! one that stays inside is not, and a directory that is swapped for a link between two steps is an error and no way
//! out.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::{SafePath, check_name};

/// Most links on one way: as many as Linux follows.
const LINKS: u32 = 40;

/// Most directories on one way.
const DEPTH: usize = 100;

/// A directory below which files are read and written.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    /// What is not yet whole lies here: outside of the tree, on the same file system.
    unfinished: PathBuf,
}

/// Why a file cannot be had.
#[derive(Debug)]
pub enum Fault {
    /// The path leads where it may not: a clause for the model, to follow the path.
    Refused(String),
    /// The system failed.
    Io(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused(why) => f.write_str(why),
            Fault::Io(error) => write!(f, "cannot be used: {error}"),
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::Io(errno.into())
    }
}

/// Where a path leads.
struct Place {
    /// The innermost directory that exists.
    dir: Option<OwnedFd>,
    /// The directories that do not exist yet, outermost first.
    missing: Vec<String>,
    /// The file's name.
    name: String,
    /// The same as a path from the root, links resolved.
    path: String,
    /// The file, if there is one.
    found: Option<FileStat>,
}

impl Tree {
    /// Files below `root`. `unfinished` is a path of ours alone, outside of `root` and on the same file system; what a
    /// killed process of ours left there is removed.
    pub fn open(root: &Path, unfinished: PathBuf) -> io::Result<Tree> {
        let _ = fs::remove_file(&unfinished);
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(root, flags, Mode::empty())?;
        Ok(Tree { root, unfinished })
    }

    /// The path with its links resolved. It need not exist.
    pub fn resolve(&self, path: &SafePath) -> Result<SafePath, Fault> {
        let place = self.find(path)?;
        SafePath::read(&place.path).map_err(|why| Fault::Refused(why.to_string()))
    }

    /// A file's bytes, or `None` where there is none. One of more than `most` bytes is refused.
    pub fn read(&self, path: &SafePath, most: usize) -> Result<Option<Vec<u8>>, Fault> {
        let place = self.find(path)?;
        if place.found.is_none() {
            return Ok(None);
        }
        // Not blocking: what was a file may be a pipe by now.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(self.dir_of(&place), place.name.as_str(), flags, Mode::empty())?);
        if !file.metadata().map_err(Fault::Io)?.is_file() {
            return Err(Fault::Refused("is not a regular file".into()));
        }
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(Fault::Io)?;
        if bytes.len() > most {
            return Err(Fault::Refused(format!("is larger than {most} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Writes a file whole, with the directories it needs. An existing one keeps its mode; if it has other names, they
    /// keep the old content.
    pub fn write(&self, path: &SafePath, bytes: &[u8]) -> Result<(), Fault> {
        let mut place = self.find(path)?;
        for name in std::mem::take(&mut place.missing) {
            match mkdirat(self.dir_of(&place), name.as_str(), Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            place.dir = Some(open_dir(self.dir_of(&place), &name)?);
        }
        let unfinished = self.unfinished(&place).map_err(Fault::Io)?;
        (&unfinished).write_all(bytes).map_err(Fault::Io)?;
        drop(unfinished);
        let here = nix::fcntl::AT_FDCWD;
        renameat(here, &self.unfinished, self.dir_of(&place), place.name.as_str())?;
        Ok(())
    }

    /// Removes a file. One that is not there is no error.
    pub fn remove(&self, path: &SafePath) -> Result<(), Fault> {
        let place = self.find(path)?;
        if place.found.is_none() {
            return Ok(());
        }
        match unlinkat(self.dir_of(&place), place.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn unfinished(&self, place: &Place) -> io::Result<File> {
        match fs::remove_file(&self.unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o666).open(&self.unfinished)?;
        if let Some(found) = &place.found {
            file.set_permissions(fs::Permissions::from_mode(found.st_mode & 0o777))?;
        }
        Ok(file)
    }

    fn dir_of<'a>(&'a self, place: &'a Place) -> &'a OwnedFd {
        place.dir.as_ref().unwrap_or(&self.root)
    }

    fn find(&self, path: &SafePath) -> Result<Place, Fault> {
        // What is left of the way, the next name last.
        let mut rest: Vec<String> = path.names().rev().map(str::to_owned).collect();
        let mut dirs: Vec<(String, OwnedFd)> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." if dirs.pop().is_some() => continue,
                ".." => return Err(refused("leads out of the project's directory through a link")),
                _ => check_name(&name).map_err(|why| Fault::Refused(why.to_string()))?,
            }
            if dirs.len() > DEPTH {
                return Err(refused("is too deep"));
            }
            let dir = dirs.last().map_or(&self.root, |(_, dir)| dir);
            let found = match fstatat(dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => Some(found),
                Err(Errno::ENOENT) => None,
                Err(errno) => return Err(errno.into()),
            };
            let is_last = rest.iter().all(|name| matches!(name.as_str(), "" | "."));
            match found.map(|f| SFlag::from_bits_truncate(f.st_mode) & SFlag::S_IFMT) {
                Some(SFlag::S_IFLNK) => {
                    links += 1;
                    if links > LINKS {
                        return Err(refused("goes through too many links"));
                    }
                    let target = readlinkat(dir, name.as_str())?;
                    let target = target.to_str().ok_or_else(|| refused("goes through an odd link"))?;
                    if target.starts_with('/') {
                        return Err(refused("leads out of the project's directory through a link"));
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(SFlag::S_IFDIR) if is_last => return Err(refused("is a directory: name a file")),
                Some(SFlag::S_IFDIR) => {
                    let inner = open_dir(dir, &name)?;
                    if fstatat(&inner, ".git", AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
                        return Err(refused("lies in another repository"));
                    }
                    dirs.push((name, inner));
                }
                Some(SFlag::S_IFREG) if is_last => return Ok(place(dirs, Vec::new(), name, found)),
                Some(SFlag::S_IFREG) => return Err(Fault::Refused(format!("goes through the file {name}"))),
                Some(_) => return Err(refused("is not a regular file")),
                None if is_last => return Ok(place(dirs, Vec::new(), name, None)),
                None => {
                    rest.reverse();
                    return missing(dirs, name, rest);
                }
            }
        }
        Err(refused("is a directory: name a file"))
    }
}

/// A place below a directory that does not exist.
fn missing(dirs: Vec<(String, OwnedFd)>, first: String, rest: Vec<String>) -> Result<Place, Fault> {
    let mut names = vec![first];
    for name in rest.into_iter().filter(|name| !matches!(name.as_str(), "" | ".")) {
        check_name(&name).map_err(|why| Fault::Refused(why.to_string()))?;
        names.push(name);
    }
    let name = names.pop().expect("the first is in it");
    Ok(place(dirs, names, name, None))
}

fn place(dirs: Vec<(String, OwnedFd)>, missing: Vec<String>, name: String, found: Option<FileStat>) -> Place {
    let above = dirs.iter().map(|(name, _)| name).chain(&missing);
    let path = above.chain([&name]).map(String::as_str).collect::<Vec<_>>().join("/");
    Place { dir: dirs.into_iter().next_back().map(|(_, dir)| dir), missing, name, path, found }
}

fn open_dir(dir: &OwnedFd, name: &str) -> Result<OwnedFd, Fault> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

fn refused(why: &str) -> Fault {
    Fault::Refused(why.to_owned())
}

/// The path beside a worktree where its unfinished files lie, one at a time.
pub fn unfinished_beside(worktree: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(worktree.file_name().unwrap_or(OsStr::new("worktree")));
    name.push(".wf-tmp");
    worktree.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    struct World {
        dir: tempfile::TempDir,
        tree: Tree,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("w");
        fs::create_dir_all(root.join("src/deep")).unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        fs::write(root.join("src/lib.rs"), "lib").unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        let tree = Tree::open(&root, unfinished_beside(&root)).unwrap();
        World { dir, tree }
    }

    impl World {
        fn root(&self) -> PathBuf {
            self.dir.path().join("w")
        }

        fn link(&self, target: &str, name: &str) {
            symlink(target, self.root().join(name)).unwrap();
        }

        fn write(&self, path: &str) -> Result<(), String> {
            let path = SafePath::read(path).unwrap();
            self.tree.write(&path, b"new").map_err(|fault| fault.to_string())
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.root().join(path)).unwrap()
        }
    }

    #[test]
    fn files_are_made_replaced_read_and_removed() {
        let w = world();
        let path = |text| SafePath::read(text).unwrap();
        fs::write(unfinished_beside(&w.root()), "half of it").unwrap();
        Tree::open(&w.root(), unfinished_beside(&w.root())).unwrap();
        assert!(!unfinished_beside(&w.root()).exists());
        w.write("a/b/c.rs").unwrap();
        assert_eq!(w.text("a/b/c.rs"), "new");
        fs::set_permissions(w.root().join("src/lib.rs"), fs::Permissions::from_mode(0o755)).unwrap();
        w.write("src/lib.rs").unwrap();
        assert_eq!(w.text("src/lib.rs"), "new");
        assert_eq!(fs::metadata(w.root().join("src/lib.rs")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(w.tree.read(&path("src/lib.rs"), 3).unwrap().unwrap(), b"new");
        assert!(matches!(w.tree.read(&path("src/lib.rs"), 2), Err(Fault::Refused(_))));
        assert_eq!(w.tree.read(&path("src/none.rs"), 9).unwrap(), None);
        w.tree.remove(&path("src/lib.rs")).unwrap();
        w.tree.remove(&path("src/lib.rs")).unwrap();
        assert!(!w.root().join("src/lib.rs").exists());
        let beside: Vec<_> = fs::read_dir(w.dir.path()).unwrap().collect();
        assert_eq!(beside.len(), 2, "nothing unfinished is left: {beside:?}");
    }

    #[test]
    fn links_that_stay_inside_are_followed_and_those_that_leave_are_refused() {
        let w = world();
        for (target, name) in [
            ("src", "code"),
            ("../src/lib.rs", "src/deep"),
            ("lib.rs", "src/same"),
            ("../outside", "out"),
            ("../outside/secret", "file"),
            ("/etc", "etc"),
            ("src/../../outside", "round"),
            ("b", "a"),
            ("a", "b"),
            (".git/hooks", "hooks"),
            ("new/place", "dangling"),
            ("new/../../outside/x", "sly"),
        ] {
            let _ = fs::remove_dir(w.root().join(name));
            w.link(target, name);
        }
        for (path, resolved) in [
            ("code/lib.rs", "src/lib.rs"),
            ("src/deep", "src/lib.rs"),
            ("src/same", "src/lib.rs"),
            ("dangling", "new/place"),
            ("dangling/x", "new/place/x"),
            ("none/x", "none/x"),
        ] {
            let found = w.tree.resolve(&SafePath::read(path).unwrap()).unwrap();
            assert_eq!(found.as_str(), resolved, "{path}");
        }
        let out = "leads out of the project's directory through a link";
        for (path, why) in [
            ("out/secret", out),
            ("out/new", out),
            ("file", out),
            ("etc/passwd", out),
            ("round/secret", out),
            ("a/x", "goes through too many links"),
            ("hooks/pre-commit", "belongs to git, which no change may touch"),
            ("sly", "has \"..\": only paths below the project's directory are allowed"),
            ("src", "is a directory: name a file"),
            ("code", "is a directory: name a file"),
            ("src/lib.rs/x", "goes through the file lib.rs"),
        ] {
            assert_eq!(w.write(path).unwrap_err(), why, "{path}");
            assert!(w.tree.read(&SafePath::read(path).unwrap(), 99).is_err(), "{path}");
            assert!(w.tree.remove(&SafePath::read(path).unwrap()).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(w.dir.path().join("outside")).unwrap().count(), 1);
        w.write("src/same").unwrap();
        assert_eq!(w.text("src/lib.rs"), "new", "the link's target is written, the link stays");
        assert!(w.root().join("src/same").is_symlink());
    }

    #[test]
    fn other_names_of_a_file_pipes_and_other_repositories_are_left_alone() {
        let w = world();
        fs::hard_link(w.dir.path().join("outside/secret"), w.root().join("hard")).unwrap();
        w.write("hard").unwrap();
        assert_eq!(fs::read_to_string(w.dir.path().join("outside/secret")).unwrap(), "secret");
        nix::unistd::mkfifo(&w.root().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(w.write("pipe").unwrap_err(), "is not a regular file");
        fs::create_dir_all(w.root().join("vendor/lib")).unwrap();
        fs::write(w.root().join("vendor/.git"), "gitdir: elsewhere").unwrap();
        assert_eq!(w.write("vendor/x").unwrap_err(), "lies in another repository");
        assert_eq!(w.write("vendor/lib/x").unwrap_err(), "lies in another repository");
    }

    #[test]
    fn a_root_that_is_a_link_is_none() {
        let w = world();
        symlink(w.root(), w.dir.path().join("link")).unwrap();
        assert!(Tree::open(&w.dir.path().join("link"), PathBuf::from("/nowhere")).is_err());
    }
}
