//! `wf-supervisor demo`: ten example issues become reviewed designs on the embedded mock provider, without a checkout,
//! keys or network.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::exit::{Trouble, refused};

/// Where the demo lies unless told otherwise.
pub const DIR: &str = "wf-demo";
/// What is run there, as it would be typed.
pub const COMMAND: [&str; 6] = ["wf-supervisor", "run", "--mock", "--parallel", "5", "items.txt"];

const ITEMS: (&str, &str) = ("items.txt", include_str!("../../../../docs/examples/items.txt"));

/// The configuration doubles as the mark of a directory that this command made.
const CONFIG: (&str, &str) = (
    "wf.toml",
    "# Made by `wf-supervisor demo`. The defaults do; this file makes the directory a project.\n",
);

macro_rules! issues {
    ($($id:literal)*) => {
        [$((
            concat!("issues/", $id, ".md"),
            include_str!(concat!("../../../../docs/examples/issues/", $id, ".md")),
        )),*]
    };
}

const ISSUES: [(&str, &str); 10] = issues!("17" "23" "31" "42" "43" "58" "64" "71" "77" "85");

/// Writes the project into `dir`. A directory that an earlier demo made is completed: its run goes on there, as any
/// run does. Any other directory with something in it is refused, for its files are somebody's.
pub fn set_up(dir: &Path) -> Result<(), Trouble> {
    let shown = dir.display();
    let is_ours = fs::read(dir.join(CONFIG.0)).is_ok_and(|found| found == CONFIG.1.as_bytes());
    let entries = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => {
            return refused(format!("{shown} cannot hold the demo: {error}; name another with --dir"));
        }
    };
    if entries && !is_ours {
        return refused(format!("{shown} has something else in it; name another directory with --dir"));
    }
    let broken = |path: &Path, error| anyhow::anyhow!("{} cannot be written: {error}", path.display());
    fs::create_dir_all(dir.join("issues")).map_err(|error| broken(dir, error))?;
    for (name, text) in [CONFIG, ITEMS].iter().chain(&ISSUES) {
        let path = dir.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => file.write_all(text.as_bytes()).map_err(|error| broken(&path, error))?,
            // Somebody may have changed an example to see what becomes of it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Trouble::Broken(broken(&path, error))),
        }
    }
    Ok(())
}

/// What to look at after the run.
pub fn where_to_look(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "\nwhere to look:
  {dir}/.wf/mock/docs/lld    the ten designs
  {dir}/.wf/mock/lineage     every draft and verdict
  {dir}/.wf/runs/latest      the run: journal, logs, audit, summary

and in {dir}:
  wf-supervisor show              the run
  wf-supervisor show --item 42    what happened to one item
  wf-supervisor logs 42           what its worker wrote
  wf-supervisor run --all --dry-run

With a key in GEMINI_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY the same command without --mock works for real."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_list_has_its_issue() {
        let dir = tempfile::tempdir().unwrap();
        let demo = dir.path().join("demo");
        set_up(&demo).unwrap();
        let lines = ITEMS.1.lines().filter(|line| !line.starts_with('#'));
        let ids: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(ids.len(), ISSUES.len());
        for id in ids {
            assert!(demo.join(format!("issues/{id}.md")).is_file(), "{id}");
        }
    }

    #[test]
    fn its_own_directory_is_kept_and_another_refused() {
        let dir = tempfile::tempdir().unwrap();
        let demo = dir.path().join("demo");
        set_up(&demo).unwrap();
        fs::write(demo.join("issues/42.md"), "# Mine\n").unwrap();
        fs::remove_file(demo.join("items.txt")).unwrap();
        set_up(&demo).unwrap();
        assert_eq!(fs::read_to_string(demo.join("issues/42.md")).unwrap(), "# Mine\n");
        assert!(demo.join("items.txt").is_file());

        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.tex"), "").unwrap();
        assert_eq!(set_up(&other).unwrap_err().code(), 2);
        assert_eq!(set_up(&other.join("thesis.tex")).unwrap_err().code(), 2);
    }
}
