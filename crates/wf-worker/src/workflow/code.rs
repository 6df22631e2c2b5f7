//! What the nodes of `implement` leave for those after them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::code::path::SafePath;
use crate::code::repository::Place;

/// Most text of all files together that one item may write, in bytes: it is part of every checkpoint.
pub const FILES_BYTES: usize = 2 * 1024 * 1024;

/// The state of work on code; the checkpoint has it.
///
/// The files' texts are here, and not only in the worktree: a node that was killed while it wrote them runs again on
/// what was there before it, and a worktree that is gone can be made again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Code {
    /// Where it is written.
    pub place: Place,
    /// The files that differ from the base, by path; `None`: removed.
    pub files: BTreeMap<String, Option<String>>,
    /// The files that hold the tests of the design.
    pub tests: BTreeSet<String>,
    /// The tests' texts as they were when they failed for want of code.
    pub seen_failing: BTreeMap<String, Option<String>>,
    /// What failed before anything was changed.
    pub failed_before: Vec<String>,
    /// Whether the tests may no longer be changed.
    pub frozen: bool,
    /// What failed when the tests were run last; empty when they passed.
    pub failing: Vec<String>,
    /// How often in a row that was the same.
    pub repeated: u32,
    /// The end of the last failing output.
    pub output: String,
}

impl Code {
    /// Takes a failing set; how often in a row it has been this one.
    pub fn fails(&mut self, failing: Vec<String>, output: String) -> u32 {
        self.repeated = if self.failing == failing { self.repeated + 1 } else { 1 };
        self.failing = failing;
        self.output = output;
        self.repeated
    }

    /// The tests pass.
    pub fn passes(&mut self) {
        self.failing.clear();
        self.repeated = 0;
        self.output.clear();
    }

    /// A person asked for another go: what stood still before may move again.
    pub fn start_over(&mut self) {
        self.frozen = false;
        self.failing.clear();
        self.repeated = 0;
    }

    /// Whether the tests were seen failing, so that it is worth writing code for them.
    pub fn is_red(&self) -> bool {
        !self.seen_failing.is_empty()
    }

    /// The tests that are others than those that were seen failing.
    pub fn changed_tests(&self) -> Vec<String> {
        let changed =
            |path: &&String| self.seen_failing.get(*path) != Some(self.files.get(*path).unwrap_or(&None));
        self.tests.iter().filter(changed).cloned().collect()
    }

    /// Takes the changed files of the node that writes tests. Those count as tests that look like it; where none does,
    /// all that are new do.
    pub fn take_tests(
        &mut self,
        changed: BTreeMap<SafePath, Option<String>>,
        is_new: impl Fn(&SafePath) -> bool,
    ) {
        let written = |path: &&SafePath| changed.get(*path).is_some_and(Option::is_some);
        let looks = |path: &&SafePath| path.looks_like_a_test();
        let mut tests: Vec<&SafePath> = changed.keys().filter(written).filter(looks).collect();
        if tests.is_empty() {
            tests = changed.keys().filter(written).filter(|path| is_new(path)).collect();
        }
        self.tests.extend(tests.into_iter().map(ToString::to_string));
        self.take(changed);
    }

    /// Takes changed files.
    pub fn take(&mut self, changed: BTreeMap<SafePath, Option<String>>) {
        self.files.extend(changed.into_iter().map(|(path, text)| (path.to_string(), text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> BTreeMap<SafePath, Option<String>> {
        paths.iter().map(|path| (SafePath::read(path).unwrap(), Some("text".to_owned()))).collect()
    }

    #[test]
    fn the_same_failing_set_is_counted_and_another_begins_anew() {
        let mut code = Code::default();
        let set = |name: &str| vec![name.to_owned()];
        let counts: Vec<u32> =
            ["a", "a", "b", "b", "b"].into_iter().map(|n| code.fails(set(n), "out".into())).collect();
        assert_eq!(counts, [1, 2, 1, 2, 3]);
        code.passes();
        assert_eq!(code.fails(set("b"), String::new()), 1);
    }

    #[test]
    fn tests_are_what_looks_like_it_or_else_what_is_new() {
        let mut code = Code::default();
        code.take_tests(files(&["tests/a.rs", "src/stub.rs", "Cargo.toml"]), |_| true);
        assert_eq!(Vec::from_iter(code.tests.clone()), ["tests/a.rs"]);
        let mut code = Code::default();
        code.take_tests(files(&["check.sh", "Makefile"]), |path| path.as_str() == "check.sh");
        assert_eq!(Vec::from_iter(code.tests.clone()), ["check.sh"]);
        assert_eq!(code.files.len(), 2);
    }

    #[test]
    fn tests_that_were_changed_after_they_failed_are_named() {
        let mut code = Code::default();
        code.take_tests(files(&["tests/a.rs", "tests/b.rs"]), |_| true);
        code.seen_failing = code.files.clone();
        assert!(code.changed_tests().is_empty());
        code.files.insert("tests/b.rs".into(), None);
        assert_eq!(code.changed_tests(), ["tests/b.rs"]);
    }
}
