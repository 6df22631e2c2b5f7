//! The project as prompts show it: its list of files, and the text of those that matter to the design.

use std::collections::BTreeSet;

use serde::Serialize;

use super::site::Site;
use crate::code::path::SafePath;
use crate::code::tree::Fault;
use crate::fences;
use crate::halt::Halt;
use crate::workflow::work::Work;

/// Most files that are listed.
const LISTED: usize = 400;

/// Largest file that is shown, and most of all that are shown together, in bytes.
const SHOWN_BYTES: usize = 48 * 1024;
const ALL_BYTES: usize = 192 * 1024;

/// Files that say how a project is built and tested.
const MANIFESTS: [&str; 9] = [
    "Cargo.toml",
    "pyproject.toml",
    "setup.py",
    "package.json",
    "go.mod",
    "Makefile",
    "CMakeLists.txt",
    "pom.xml",
    "build.gradle",
];

/// The roots of libraries and programs: what is added has to be named there.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// What a prompt shows of a project.
#[derive(Debug, Default, Serialize)]
pub struct View {
    /// Paths, in order; the last line may say how many more there are.
    pub listing: Vec<String>,
    /// The files that are shown.
    pub files: Vec<Shown>,
}

/// A file with its text.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its path.
    pub path: String,
    /// Its text, with a newline at its end.
    pub text: String,
    /// A fence that nothing in the text closes.
    pub fence: String,
}

/// Looks at the project: shown are the item's own files, those the design names, and those that say how to build it.
pub fn of(work: &Work, site: &Site) -> Result<View, Halt> {
    let mut paths: BTreeSet<String> = site.changes(work).files()?.into_iter().collect();
    for (path, text) in &work.state.code.files {
        if text.is_some() {
            paths.insert(path.clone());
        } else {
            paths.remove(path);
        }
    }
    let own = |path: &&String| work.state.code.files.contains_key(*path);
    let named = |path: &&String| path.len() > 3 && work.state.input.contains(path.as_str());
    let fixed = |path: &&String| MANIFESTS.contains(&path.as_str()) || ROOTS.contains(&path.as_str());
    let mut wanted: Vec<&String> = paths.iter().filter(own).collect();
    wanted.extend(paths.iter().filter(|path| !own(path) && (named(path) || fixed(path))));
    let mut view = View::default();
    let mut left = ALL_BYTES;
    for path in wanted {
        let Some(mut text) = text(site, path)? else { continue };
        if text.len() > left {
            continue;
        }
        left -= text.len();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        view.files.push(Shown { path: path.clone(), fence: fences::around(&text), text });
    }
    let more = paths.len().saturating_sub(LISTED);
    view.listing = paths.into_iter().take(LISTED).collect();
    if more > 0 {
        view.listing.push(format!("... and {more} more"));
    }
    Ok(view)
}

/// A file's text, where it has one of a size to show.
fn text(site: &Site, path: &str) -> Result<Option<String>, Halt> {
    let Ok(path) = SafePath::read(path) else { return Ok(None) };
    match site.tree.read(&path, SHOWN_BYTES) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok())),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(Halt::Failed(format!("{path} {fault}"))),
    }
}
