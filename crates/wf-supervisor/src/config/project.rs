//! Where things are: the configuration file, the project directory, the state directory.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::GlobalArgs;
use crate::config::Environ;
use crate::exit::{Trouble, refused};

/// The name of the configuration file.
pub const CONFIG_FILE: &str = "wf.toml";
const STATE_DIR: &str = ".wf";

/// Where things are. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Where the program was started; commands run here.
    pub cwd: PathBuf,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// The directory of the configuration file, else [`Project::cwd`]: inputs and outputs of workflows are relative to
    /// it.
    pub dir: PathBuf,
    /// Where runs, logs and checkpoints are kept. It need not exist.
    pub state_dir: PathBuf,
    /// Whether [`Project::state_dir`] was named, so that something else may lie there.
    pub state_dir_was_named: bool,
}

impl Project {
    /// Finds everything, and reads nothing but directories.
    pub fn locate(global: &GlobalArgs, environ: &dyn Environ, cwd: &Path) -> Result<Project, Trouble> {
        let named = |option: &Option<PathBuf>, variable| {
            option.clone().or_else(|| environ.get(variable).filter(|v| !v.is_empty()).map(PathBuf::from))
        };
        let config_file = match named(&global.config, "WF_SUPERVISOR_CONFIG") {
            Some(path) => {
                let path = cwd.join(path);
                if !path.is_file() {
                    return refused(format!("the configuration file {} does not exist", path.display()));
                }
                Some(path)
            }
            None => search(cwd)?,
        };
        let dir = config_file.as_deref().and_then(Path::parent).unwrap_or(cwd).to_owned();
        let named_state_dir = named(&global.state_dir, "WF_SUPERVISOR_STATE_DIR");
        let state_dir_was_named = named_state_dir.is_some();
        let state_dir = match named_state_dir {
            Some(path) => cwd.join(path),
            None if config_file.is_some() => dir.join(STATE_DIR),
            None => repository_root(cwd).unwrap_or_else(|| cwd.to_owned()).join(STATE_DIR),
        };
        Ok(Project { cwd: cwd.to_owned(), config_file, dir, state_dir, state_dir_was_named })
    }

    /// A path as people should see it: relative to where they are, where that is shorter.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.cwd).unwrap_or(path).display().to_string()
    }
}

/// The nearest `wf.toml` at or above `from`.
fn search(from: &Path) -> Result<Option<PathBuf>, Trouble> {
    for dir in from.ancestors() {
        let path = dir.join(CONFIG_FILE);
        let Ok(meta) = fs::metadata(&path) else { continue };
        if !meta.is_file() {
            continue;
        }
        // It can name commands to run, so one that somebody else left in a directory above, such as /tmp, is not taken
        // unasked. The same rule as git's for repositories of other users.
        let owner = meta.uid();
        if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
            return refused(format!(
                "{} belongs to another user; use it with --config {}, or put a {CONFIG_FILE} of your own here",
                path.display(),
                path.display()
            ));
        }
        return Ok(Some(path));
    }
    Ok(None)
}

/// The nearest directory at or above `from` that holds a `.git`.
pub fn repository_root(from: &Path) -> Option<PathBuf> {
    from.ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned)
}

/// A variable as text, where it is set and not empty.
pub fn text_of(value: Option<OsString>) -> Option<Result<String, OsString>> {
    value.filter(|v| !v.is_empty()).map(OsString::into_string)
}
