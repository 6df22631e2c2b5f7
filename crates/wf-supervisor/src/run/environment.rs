//! The workers' environment: the supervisor's own, keys removed, and what is the same for all of a run.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use wf_warden::own;

use crate::config::{Environ, PoolSettings};
use crate::keys::KeyRing;
use crate::keys::environment::removed_variables;

/// The environment before anything of the run is in it.
#[derive(Debug)]
pub struct Base {
    /// What workers get.
    pub variables: Vec<(OsString, OsString)>,
    /// What they do not get because it holds keys.
    pub removed: Vec<OsString>,
}

/// Takes the environment apart and wipes the keys from this process's own, where its children could read them.
///
/// To be called while the process has a single thread.
pub fn take(pool: &PoolSettings, pass_env: &[String], ring: &KeyRing, environ: &dyn Environ) -> Base {
    let removed = removed_variables(environ, pool, ring, pass_env);
    let kept = |name: &OsStr| !removed.iter().any(|r| r == name) && !is_ours(name);
    let variables = std::env::vars_os().filter(|(name, _)| kept(name)).collect();
    for name in &removed {
        if let Err(error) = own::overwrite_environment_value(name) {
            log::warn!("cannot wipe {} from the own environment: {error}", name.to_string_lossy());
        }
    }
    Base { variables, removed }
}

/// `WF_*` of a supervisor above us is not for our workers.
fn is_ours(name: &OsStr) -> bool {
    const OURS: [&str; 11] = [
        "WF_ITEM_ID",
        "WF_ITEM_TEXT",
        "WF_ITEM_TEXT_FILE",
        "WF_WORKFLOW",
        "WF_RUN_ID",
        "WF_RUN_DIR",
        "WF_ATTEMPT",
        "WF_WORKFLOW_DB",
        "WF_SOCKET",
        "WF_TOKEN",
        "WF_LOG_STYLE",
    ];
    OURS.iter().any(|ours| name == *ours)
}

impl Base {
    /// With what is the same for all workers of a run. `WF_RUN_ID` is also the mark by which leftovers are found.
    pub fn of_run(
        mut self,
        workflow: &str,
        run: &str,
        run_dir: &Path,
        socket: &Path,
    ) -> Vec<(OsString, OsString)> {
        let mut set = |name: &str, value: &OsStr| self.variables.push((name.into(), value.into()));
        set("WF_WORKFLOW", OsStr::new(workflow));
        set("WF_RUN_ID", OsStr::new(run));
        set("WF_RUN_DIR", run_dir.as_os_str());
        set("WF_SOCKET", socket.as_os_str());
        self.variables
    }
}
