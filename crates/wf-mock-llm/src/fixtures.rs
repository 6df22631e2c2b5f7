//! Replies from a directory: `<dir>/<workflow>/<node>.md`, or for one iteration `<node>.<iteration>.md`, or for one reply
//! of that `<node>.<iteration>.<reply>.md`; those of one item below `<dir>/<workflow>/<item>/`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::context::Context;

/// The largest fixture that is read: more than a client should take.
const LARGEST_BYTES: u64 = 64 << 20;

/// Replies by workflow, node and iteration, read once at the start.
///
/// `{{item}}`, `{{iteration}}` and `{{title}}` in them are replaced.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    /// By workflow or `workflow/item`, and file name without `.md`.
    texts: BTreeMap<(String, String), String>,
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

impl Fixtures {
    /// Reads all `*.md` files one and two levels below `dir`. An error names the file.
    pub fn load(dir: &Path) -> io::Result<Fixtures> {
        let mut fixtures = Fixtures::default();
        for (workflow, below) in directories(dir)? {
            fixtures.read(&workflow, &below)?;
            for (item, below) in directories(&below)? {
                fixtures.read(&format!("{workflow}/{item}"), &below)?;
            }
        }
        if fixtures.texts.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "no <workflow>/<node>.md file in it");
            return Err(named(dir, &error));
        }
        Ok(fixtures)
    }

    fn read(&mut self, whose: &str, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir).map_err(|e| named(dir, &e))? {
            let path = entry.map_err(|e| named(dir, &e))?.path();
            if path.extension().is_none_or(|extension| extension != "md") || path.is_dir() {
                continue;
            }
            if fs::metadata(&path).map_err(|e| named(&path, &e))?.len() > LARGEST_BYTES {
                return Err(named(&path, &io::Error::other("larger than 64 MiB")));
            }
            let text = fs::read_to_string(&path).map_err(|e| named(&path, &e))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            self.texts.insert((whose.to_owned(), name), text);
        }
        Ok(())
    }

    /// The reply for this request, if there is a file for it; `earlier` replies of the node in this iteration came before
    /// it. The item's own files come first, and of those the most particular.
    pub fn reply(&self, context: &Context, title: &str, earlier: u32) -> Option<String> {
        let Context { workflow, node, iteration, item } = context;
        let names =
            [format!("{node}.{iteration}.{}", earlier + 1), format!("{node}.{iteration}"), node.clone()];
        let find =
            |whose: String| names.iter().find_map(|name| self.texts.get(&(whose.clone(), name.clone())));
        let text = find(format!("{workflow}/{item}")).or_else(|| find(workflow.clone()))?;
        Some(
            text.replace("{{item}}", item)
                .replace("{{iteration}}", &iteration.to_string())
                .replace("{{title}}", title),
        )
    }
}

/// The directories in a directory, by name.
fn directories(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| named(dir, &e))? {
        let path = entry.map_err(|e| named(dir, &e))?.path();
        if path.is_dir() {
            found.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(node: &str, iteration: u32) -> Context {
        Context { workflow: "lld".into(), node: node.into(), iteration, item: "42".into() }
    }

    #[test]
    fn the_iteration_s_own_file_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let lld = dir.path().join("lld");
        fs::create_dir(&lld).unwrap();
        fs::write(lld.join("N1_draft.md"), "any of {{item}}").unwrap();
        fs::write(lld.join("N1_draft.2.md"), "second: {{title}} ({{iteration}})").unwrap();
        fs::write(lld.join("notes.txt"), "not a fixture").unwrap();
        let fixtures = Fixtures::load(dir.path()).unwrap();
        let reply = |node, iteration| fixtures.reply(&context(node, iteration), "Retry", 0);
        assert_eq!(reply("N1_draft", 1).as_deref(), Some("any of 42"));
        assert_eq!(reply("N1_draft", 2).as_deref(), Some("second: Retry (2)"));
        assert_eq!(reply("N3_review", 1), None);
    }

    #[test]
    fn an_item_s_own_file_and_one_for_a_single_reply_come_before_others() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("lld/42");
        fs::create_dir_all(&own).unwrap();
        fs::write(dir.path().join("lld/N1_draft.1.2.md"), "second try").unwrap();
        fs::write(dir.path().join("lld/N3_review.md"), "all").unwrap();
        fs::write(own.join("N3_review.md"), "own").unwrap();
        let fixtures = Fixtures::load(dir.path()).unwrap();
        let reply = |node, earlier| fixtures.reply(&context(node, 1), "", earlier);
        assert_eq!(reply("N1_draft", 0), None);
        assert_eq!(reply("N1_draft", 1).as_deref(), Some("second try"));
        assert_eq!(reply("N3_review", 0).as_deref(), Some("own"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Fixtures::load(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("nowhere"), "{missing}");
        let empty = Fixtures::load(dir.path()).unwrap_err().to_string();
        assert!(empty.contains("no <workflow>/<node>.md"), "{empty}");
    }
}
