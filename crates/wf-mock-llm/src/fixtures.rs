//! Replies from a directory: `<dir>/<workflow>/<node>.<iteration>.md`, else `<node>.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::context::Context;

/// The largest fixture that is read.
const LARGEST_BYTES: u64 = 4 << 20;

/// Replies by workflow, node and iteration, read once at the start.
///
/// `{{item}}`, `{{iteration}}` and `{{title}}` in them are replaced.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    /// By (workflow, file name without `.md`).
    texts: BTreeMap<(String, String), String>,
}

impl Fixtures {
    /// Reads all `*.md` files one level below `dir`. An error names the file.
    pub fn load(dir: &Path) -> io::Result<Fixtures> {
        let named = |path: &Path, e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut texts = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(|e| named(dir, e))? {
            let below = entry.map_err(|e| named(dir, e))?.path();
            if !below.is_dir() {
                continue;
            }
            let workflow = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for entry in fs::read_dir(&below).map_err(|e| named(&below, e))? {
                let path = entry.map_err(|e| named(&below, e))?.path();
                if path.extension().is_none_or(|extension| extension != "md") {
                    continue;
                }
                if fs::metadata(&path).map_err(|e| named(&path, e))?.len() > LARGEST_BYTES {
                    return Err(named(&path, io::Error::other("larger than 4 MiB")));
                }
                let text = fs::read_to_string(&path).map_err(|e| named(&path, e))?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                texts.insert((workflow.clone(), name), text);
            }
        }
        if texts.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "no <workflow>/<node>.md file in it");
            return Err(named(dir, error));
        }
        Ok(Fixtures { texts })
    }

    /// The reply for this request, if there is a file for it.
    pub fn reply(&self, context: &Context, title: &str) -> Option<String> {
        let find = |name: String| self.texts.get(&(context.workflow.clone(), name));
        let text =
            find(format!("{}.{}", context.node, context.iteration)).or_else(|| find(context.node.clone()))?;
        Some(
            text.replace("{{item}}", &context.item)
                .replace("{{iteration}}", &context.iteration.to_string())
                .replace("{{title}}", title),
        )
    }
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
        let reply = |node, iteration| fixtures.reply(&context(node, iteration), "Retry");
        assert_eq!(reply("N1_draft", 1).as_deref(), Some("any of 42"));
        assert_eq!(reply("N1_draft", 2).as_deref(), Some("second: Retry (2)"));
        assert_eq!(reply("N3_review", 1), None);
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
