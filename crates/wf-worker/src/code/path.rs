//! Paths as models name them: harmless in themselves, or refused. What links make of them is [`tree`](super::tree)'s.

use std::fmt;
use std::path::Path;

/// Longest path, in bytes.
const PATH_BYTES: usize = 1024;

/// Longest name of one file or directory, in bytes; file systems allow no more.
const NAME_BYTES: usize = 255;

/// A relative path below some root: no `..`, nothing of git's own, `/` between plain names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafePath(String);

/// Why a path is refused: a clause for the model, to follow the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is named.
    Empty,
    /// More than any file needs.
    TooLong,
    /// It begins at the root or at a home directory.
    Absolute,
    /// It has a `..`.
    Upwards,
    /// A part of it is `.git`, or what some file system takes for it.
    Git,
    /// A part of it is `.wf`, where runs keep what they know, or what some file system takes for it.
    State,
    /// It has a NUL, a line break, another control character, or a backslash.
    Odd,
    /// It ends in a slash.
    Directory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Empty => "names no file",
            Refusal::TooLong => "is too long",
            Refusal::Absolute => "is not relative to the project's directory",
            Refusal::Upwards => "has \"..\": only paths below the project's directory are allowed",
            Refusal::Git => "belongs to git, which no change may touch",
            Refusal::State => "belongs to wf-supervisor's records, which no change may touch",
            Refusal::Odd => "has a backslash or a control character",
            Refusal::Directory => "is a directory: name a file",
        })
    }
}

impl SafePath {
    /// Reads a path. `./` and doubled slashes are taken out.
    pub fn read(text: &str) -> Result<SafePath, Refusal> {
        if text.is_empty() {
            return Err(Refusal::Empty);
        }
        if text.len() > PATH_BYTES {
            return Err(Refusal::TooLong);
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err(Refusal::Odd);
        }
        let is_drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
        if text.starts_with(['/', '~']) || is_drive {
            return Err(Refusal::Absolute);
        }
        let mut names = Vec::new();
        for name in text.split('/') {
            check_name(name)?;
            if !matches!(name, "" | ".") {
                names.push(name);
            }
        }
        if names.is_empty() || text.ends_with('/') || text.ends_with("/.") {
            return Err(if names.is_empty() { Refusal::Empty } else { Refusal::Directory });
        }
        Ok(SafePath(names.join("/")))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, from the outermost directory to the file.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories above the file, outermost first.
    pub fn above(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// Whether the path is this directory of the project or lies in it, by whatever spelling.
    pub fn is_in(&self, dir: &Path) -> bool {
        let mut names = self.names().map(folded);
        dir.components()
            .all(|part| names.next().is_some_and(|name| name == folded(&part.as_os_str().to_string_lossy())))
    }

    /// Whether the path has the form that test runners look for: in a directory of tests, or called a test.
    pub fn looks_like_a_test(&self) -> bool {
        let is_directory =
            |name: &str| matches!(name, "test" | "tests" | "spec" | "specs" | "__tests__" | "testdata");
        let mut names = self.names().rev();
        let file = names.next().unwrap_or_default();
        let stem = file.split('.').next().unwrap_or_default();
        names.any(is_directory)
            || file.starts_with("test_")
            || ["_test", "_tests", "_spec", "Test", "Tests"].iter().any(|ending| stem.ends_with(ending))
            || matches!(stem, "tests" | "conftest")
            || [".test.", ".spec."].iter().any(|part| file.contains(part))
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether one part of a path is allowed. Empty ones and `.` are.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    if name == ".." {
        return Err(Refusal::Upwards);
    }
    if name.len() > NAME_BYTES {
        return Err(Refusal::TooLong);
    }
    let folded = folded(name);
    match folded.as_str() {
        ".git" | "git~1" => Err(Refusal::Git),
        // Git takes the files of an ignored directory for expendable: merging such a branch would replace them unasked.
        ".wf" | "wf~1" => Err(Refusal::State),
        _ => Ok(()),
    }
}

/// A name as any file system may read it: without regard to case, with the dots and blanks at the end that Windows
/// drops, without a stream of it, or with the characters that HFS+ ignores (git's own checks of the paths in a tree,
/// `is_ntfs_dotgit` and `is_hfs_dotgit`, are of these). A short name there is another name, and looked for as one.
fn folded(name: &str) -> String {
    let ignored = |c: &char| matches!(*c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let name: String = name.chars().filter(|c| !ignored(c)).collect();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_are_taken_and_put_in_order() {
        for (text, path) in [
            ("src/lib.rs", "src/lib.rs"),
            ("./src//./lib.rs", "src/lib.rs"),
            ("a b/ü.md", "a b/ü.md"),
            (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
            (".gitignore", ".gitignore"),
            ("...", "..."),
            ("git/x", "git/x"),
            ("-rf", "-rf"),
            (":(top)x", ":(top)x"),
        ] {
            assert_eq!(SafePath::read(text).unwrap().as_str(), path, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, refusal) in [
            ("", Refusal::Empty),
            (".", Refusal::Empty),
            ("./", Refusal::Empty),
            ("/etc/passwd", Refusal::Absolute),
            ("~/.bashrc", Refusal::Absolute),
            ("C:/x", Refusal::Absolute),
            ("../x", Refusal::Upwards),
            ("a/../../x", Refusal::Upwards),
            ("a/..", Refusal::Upwards),
            (".git/hooks/pre-commit", Refusal::Git),
            ("a/.git/config", Refusal::Git),
            (".GIT/config", Refusal::Git),
            (".git", Refusal::Git),
            (".git./config", Refusal::Git),
            (".git /config", Refusal::Git),
            (".git::$INDEX_ALLOCATION/config", Refusal::Git),
            ("GIT~1/config", Refusal::Git),
            (".g\u{200c}it/config", Refusal::Git),
            (".wf/history.db", Refusal::State),
            ("sub/.wf/runs/x", Refusal::State),
            (".WF/history.db", Refusal::State),
            (".wf./history.db", Refusal::State),
            (".w\u{200d}f/history.db", Refusal::State),
            (".wf", Refusal::State),
            ("a\0b", Refusal::Odd),
            ("a\nb", Refusal::Odd),
            ("a\u{1b}[2J", Refusal::Odd),
            ("..\\x", Refusal::Odd),
            ("src/", Refusal::Directory),
            ("src/.", Refusal::Directory),
        ] {
            assert_eq!(SafePath::read(text), Err(refusal), "{text:?}");
        }
        assert_eq!(SafePath::read(&"a/".repeat(600)), Err(Refusal::TooLong));
        assert_eq!(SafePath::read(&"a".repeat(256)), Err(Refusal::TooLong));
    }

    #[test]
    fn a_directory_is_found_in_every_spelling() {
        let dir = Path::new("var/state");
        for inside in
            ["var/state", "var/state/history.db", "VAR/State./x", "var/st\u{200c}ate/x", "./var//state/x"]
        {
            assert!(SafePath::read(inside).unwrap().is_in(dir), "{inside}");
        }
        for outside in ["var", "var/states/x", "state/x", "src/var/state/x"] {
            assert!(!SafePath::read(outside).unwrap().is_in(dir), "{outside}");
        }
    }

    #[test]
    fn tests_are_known_by_their_place_or_name() {
        for path in [
            "tests/cache.rs",
            "pkg/tests/a/b.txt",
            "test_cache.py",
            "pkg/cache_test.go",
            "a/b.test.ts",
            "src/x.spec.js",
            "CacheTest.java",
            "conftest.py",
            "src/cache/tests.rs",
        ] {
            assert!(SafePath::read(path).unwrap().looks_like_a_test(), "{path}");
        }
        for path in ["src/lib.rs", "contest.py", "src/latest.rs", "attest/x.rs", "Cargo.toml"] {
            assert!(!SafePath::read(path).unwrap().looks_like_a_test(), "{path}");
        }
    }

    #[test]
    fn the_directories_above_are_named_from_the_outside() {
        let path = SafePath::read("a/b/c").unwrap();
        assert_eq!(path.above().collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(SafePath::read("c").unwrap().above().count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_below_and_out_of_git(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("..".to_owned()), Just(".".to_owned()), Just(".git".to_owned()), Just(".GiT".to_owned()),
                    Just(String::new()), Just("/".to_owned()), ".{0,6}",
                ],
                0..6,
            )
        ) {
            if let Ok(path) = SafePath::read(&parts.join("/")) {
                let joined = std::path::Path::new("/root").join(path.as_str());
                prop_assert!(joined.starts_with("/root") && joined != std::path::Path::new("/root"));
                prop_assert!(path.names().all(|n| !n.is_empty() && n != ".." && n != "."));
                prop_assert!(!path.as_str().to_lowercase().split('/').any(|n| n == ".git"));
                prop_assert_eq!(SafePath::read(path.as_str()).unwrap(), path);
            }
        }
    }
}
