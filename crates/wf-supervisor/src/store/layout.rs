//! Where everything lies: the state directory `.wf/` and the names in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wf_core::ItemId;

use super::StoreError;
use super::atomic::{TEMPORARY_PREFIX, remove_temporary_files};
use super::run_dir::{RunDir, RunId};
use super::work::{Realm, Work};

/// Where the state directory is or will be. Nothing is written before [`Location::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
    /// Named by the user: then it may be a directory with other things in it, which is refused.
    explicit: bool,
}

/// The state directory. It existed when this was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// The name of the state directory.
pub const STATE_DIR_NAME: &str = ".wf";

impl StateDir {
    /// Decides on the place: `explicit` (`--state-dir`) as it is; else `.wf` beside `config_file`; else `.wf` at the
    /// root of the repository `cwd` lies in (the nearest ancestor with a `.git`); else `.wf` in `cwd`.
    /// `cwd` is absolute; the other paths are relative to it or absolute.
    pub fn locate(explicit: Option<&Path>, config_file: Option<&Path>, cwd: &Path) -> Location {
        if let Some(path) = explicit {
            return Location { path: cwd.join(path), explicit: true };
        }
        let beside_config =
            config_file.map(|file| cwd.join(file)).and_then(|f| f.parent().map(Path::to_owned));
        let at_root = || cwd.ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned);
        let parent = beside_config.or_else(at_root).unwrap_or_else(|| cwd.to_owned());
        Location { path: parent.join(STATE_DIR_NAME), explicit: false }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index of the journals.
    pub fn history_db(&self) -> PathBuf {
        self.path.join("history.db")
    }

    /// Held while `history.db` is being made.
    pub fn history_lock(&self) -> PathBuf {
        self.path.join("history.lock")
    }

    /// What `clean` keeps of the journals it deletes.
    pub fn archive(&self) -> PathBuf {
        self.path.join("archive.jsonl")
    }

    /// The directory of the runs.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The link to the latest run's directory.
    pub fn latest(&self) -> PathBuf {
        self.runs().join("latest")
    }

    /// The directory of a run, existing or not.
    pub fn run(&self, id: &RunId) -> RunDir {
        RunDir::at(self.runs().join(id.as_str()), id.clone())
    }

    /// Where the state of work items lies. That of the mock provider is apart, because it never counts for a real run.
    pub fn realm_dir(&self, realm: Realm) -> PathBuf {
        match realm {
            Realm::Real => self.path.clone(),
            Realm::Mock => self.path.join("mock"),
        }
    }

    /// The directory that takes the place of the project's for outputs of a mock run.
    pub fn mock_outputs(&self) -> PathBuf {
        self.realm_dir(Realm::Mock)
    }

    /// The repository that takes the place of the project's for branches of a mock run.
    pub fn mock_repository(&self) -> PathBuf {
        self.realm_dir(Realm::Mock).join("repository.git")
    }

    /// The directory of the checkpoint databases.
    pub fn checkpoints(&self, realm: Realm) -> PathBuf {
        self.realm_dir(realm).join("checkpoints")
    }

    /// An item's checkpoint database.
    pub fn checkpoint(&self, work: &Work, id: &ItemId) -> PathBuf {
        self.checkpoints(work.realm).join(format!("{}_workflow_{id}.db", work.file_stem()))
    }

    /// The directory of an item's drafts and verdicts.
    pub fn lineage(&self, work: &Work, id: &ItemId) -> PathBuf {
        self.realm_dir(work.realm).join("lineage").join(format!("{}_{id}", work.file_stem()))
    }

    /// The worktree of an item of the `implement` workflow.
    pub fn worktree(&self, realm: Realm, id: &ItemId) -> PathBuf {
        self.realm_dir(realm).join("worktrees").join(format!("impl-{id}"))
    }

    /// Creates the directories the work of `realm` needs (mode 0700).
    pub fn prepare(&self, realm: Realm) -> Result<(), StoreError> {
        let base = self.realm_dir(realm);
        for name in ["checkpoints", "lineage", "worktrees"] {
            create_private(&base.join(name))?;
        }
        Ok(())
    }

    /// All runs that have a directory, oldest first. What else lies there is ignored.
    pub fn run_ids(&self) -> Result<Vec<RunId>, StoreError> {
        let runs = self.runs();
        let entries = match fs::read_dir(&runs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(StoreError::reading(&runs))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::reading(&runs))?;
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            ids.extend(entry.file_name().to_str().filter(|_| is_dir).and_then(RunId::parse));
        }
        ids.sort();
        Ok(ids)
    }

    /// The run that `name` means: `None` or `latest` for the newest; an id, a beginning of one, or the four digits at
    /// its end, as messages name it, where only one run fits.
    pub fn find_run(&self, name: Option<&str>) -> Result<RunDir, StoreError> {
        let ids = self.run_ids()?;
        let name = name.filter(|name| *name != "latest");
        let Some(name) = name else {
            let linked = fs::read_link(self.latest()).ok();
            let linked = linked.as_deref().and_then(Path::to_str).and_then(RunId::parse);
            let latest = linked.filter(|id| ids.contains(id)).or_else(|| ids.last().cloned());
            return latest
                .map(|id| self.run(&id))
                .ok_or_else(|| StoreError::NoRuns { path: self.path.clone() });
        };
        let fitting: Vec<&RunId> = match ids.iter().find(|id| id.as_str() == name) {
            Some(id) => vec![id],
            None => ids
                .iter()
                .filter(|id| !name.is_empty() && (id.as_str().starts_with(name) || id.short() == name))
                .collect(),
        };
        match fitting.as_slice() {
            [] => Err(StoreError::UnknownRun { name: name.to_owned(), path: self.path.clone() }),
            [id] => Ok(self.run(id)),
            several => Err(StoreError::AmbiguousRun {
                name: name.to_owned(),
                matches: several.iter().take(5).map(ToString::to_string).collect(),
            }),
        }
    }

    /// Points `runs/latest` to a run, in one step.
    pub fn point_latest(&self, id: &RunId) -> Result<(), StoreError> {
        let latest = self.latest();
        let temporary = self.runs().join(format!("{TEMPORARY_PREFIX}latest-{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(id.as_str(), &temporary).map_err(StoreError::writing(&latest))?;
        fs::rename(&temporary, &latest).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            StoreError::writing(&latest)(e)
        })
    }
}

impl Location {
    /// Where it is or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state directory, if it is there. Writes nothing.
    pub fn open_existing(&self) -> Option<StateDir> {
        self.path.is_dir().then(|| StateDir { path: self.path.clone() })
    }

    /// As [`Location::open_existing`], for commands that have nothing to show without runs.
    pub fn require(&self) -> Result<StateDir, StoreError> {
        self.open_existing().ok_or_else(|| StoreError::NoRuns { path: self.path.clone() })
    }

    /// The state directory, made where it is missing: mode 0700, with a `.gitignore` that ignores all of it.
    pub fn create(&self) -> Result<StateDir, StoreError> {
        if self.explicit && !is_ours_or_empty(&self.path)? {
            return Err(StoreError::NotAStateDir { path: self.path.clone() });
        }
        // Whoever names a directory that somebody lent knows whose it is; what lies in it must be ours all the same.
        if !self.explicit {
            refuse_foreign(&self.path)?;
        }
        for name in PARTS {
            refuse_foreign(&self.path.join(name))?;
        }
        create_private(&self.path)?;
        let ignore = self.path.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(StoreError::writing(&ignore))?;
        }
        let state = StateDir { path: self.path.clone() };
        create_private(&state.runs())?;
        Ok(state)
    }
}

/// What lies directly in a state directory and decides what is done, what is gone on with, and where it is written.
const PARTS: [&str; 7] =
    ["runs", "checkpoints", "lineage", "worktrees", "mock", "history.db", "history.lock"];

/// Refuses what another user made, or leads into with a link: its maker could exchange records and checkpoints, or have
/// lineage written into any directory. Root's is taken, as everywhere.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let own = nix::unistd::geteuid().as_raw();
    for found in [fs::symlink_metadata(path), fs::metadata(path)] {
        match found {
            Ok(meta) if meta.uid() != own && meta.uid() != 0 => {
                return Err(StoreError::ForeignOwner { path: path.to_owned(), owner: meta.uid() });
            }
            // What is not there is nobody's. What cannot be looked at cannot be used either, which is said then.
            _ => {}
        }
    }
    Ok(())
}

/// A directory that is not there is empty.
fn is_ours_or_empty(path: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(StoreError::of("use", path)(e)),
        Ok(mut entries) => Ok(entries.next().is_none() || path.join("runs").is_dir()),
    }
}

/// Creates a directory and what is missing above it, and makes it ours alone.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::writing(path))?;
    let mode = fs::metadata(path).map_err(StoreError::reading(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        // Another user's directory, lent to us, stays as it is: the directories we make in it are private.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o077));
    }
    Ok(())
}

/// No temporary file of a living run is needed for so long.
const LONG: Duration = Duration::from_secs(3600);

/// Removes temporary files that killed runs left in the state directory, and returns what it removed.
pub fn remove_leftovers(state: &StateDir) -> Result<Vec<PathBuf>, StoreError> {
    let mut removed = Vec::new();
    for id in state.run_ids()? {
        let run = state.run(&id);
        if !run.lock().exists() {
            // It belongs to a run that is just starting, or to one that was killed there.
            removed.extend(remove_temporary_files(run.path(), LONG));
        } else if run.live_pid().is_none() {
            removed.extend(remove_temporary_files(run.path(), Duration::ZERO));
        }
    }
    // Those of all runs together: whose they are cannot be told.
    for shared in [state.path().to_owned(), state.runs()] {
        removed.extend(remove_temporary_files(&shared, LONG));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RunId {
        RunId::parse(text).unwrap()
    }

    #[test]
    fn the_place_is_named_or_beside_the_configuration_or_at_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let at = |explicit: Option<&str>, config: Option<&str>| {
            StateDir::locate(explicit.map(Path::new), config.map(Path::new), &deep).path().to_owned()
        };
        assert_eq!(at(None, None), deep.join(".wf"));
        fs::write(root.join(".git"), "gitdir: elsewhere").unwrap();
        assert_eq!(at(None, None), root.join(".wf"));
        assert_eq!(at(None, Some("../wf.toml")), deep.join("../.wf"));
        assert_eq!(at(Some("state"), Some("../wf.toml")), deep.join("state"));
        assert_eq!(at(Some("/s"), None), Path::new("/s"));
        assert!(StateDir::locate(None, None, &deep).open_existing().is_none());
        assert!(!root.join(".wf").exists());
    }

    #[test]
    fn it_is_private_and_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let place = StateDir::locate(None, None, dir.path());
        let state = place.create().unwrap();
        place.create().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(&state.runs()), 0o700);
        assert_eq!(fs::read_to_string(state.path().join(".gitignore")).unwrap(), "*\n");
        assert_eq!(place.open_existing(), Some(state));
    }

    #[test]
    fn a_named_directory_with_other_things_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = StateDir::locate(Some(dir.path()), None, Path::new("/")).create().unwrap_err();
        assert!(matches!(error, StoreError::NotAStateDir { .. }));
        assert_eq!(error.exit_code(), 2);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_made_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".wf"), "a file").unwrap();
        let error = StateDir::locate(None, None, dir.path()).create().unwrap_err();
        assert_eq!(error.exit_code(), 125);
        assert!(error.to_string().contains(".wf"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(".wf")).unwrap(), "a file");
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let state = StateDir { path: PathBuf::from("/p/.wf") };
        let item = ItemId::new("42").unwrap();
        let lld = |realm| Work::workflow(realm, "lld");
        let names = [
            (state.checkpoint(&lld(Realm::Real), &item), "/p/.wf/checkpoints/lld_workflow_42.db"),
            (state.checkpoint(&lld(Realm::Mock), &item), "/p/.wf/mock/checkpoints/lld_workflow_42.db"),
            (state.lineage(&lld(Realm::Real), &item), "/p/.wf/lineage/lld_42"),
            (state.worktree(Realm::Real, &item), "/p/.wf/worktrees/impl-42"),
            (state.history_db(), "/p/.wf/history.db"),
            (state.latest(), "/p/.wf/runs/latest"),
        ];
        for (path, expected) in names {
            assert_eq!(path, Path::new(expected));
        }
    }

    #[test]
    fn runs_are_found_by_id_beginning_or_short_name() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::locate(None, None, dir.path()).create().unwrap();
        assert!(matches!(state.find_run(None), Err(StoreError::NoRuns { .. })));
        let old = id("2026-11-20T05-14-49Z-7f3a");
        let new = id("2026-11-21T05-14-49Z-0001");
        for run in [&new, &old] {
            fs::create_dir(state.run(run).path()).unwrap();
        }
        fs::create_dir(state.runs().join("notes")).unwrap();
        assert_eq!(state.run_ids().unwrap(), [old.clone(), new.clone()]);
        let found = |name: Option<&str>| state.find_run(name).map(|run| run.id().to_string());
        assert_eq!(found(None).unwrap(), new.as_str());
        state.point_latest(&old).unwrap();
        state.point_latest(&old).unwrap();
        assert_eq!(fs::read_link(state.latest()).unwrap(), Path::new(old.as_str()));
        assert_eq!(found(Some("latest")).unwrap(), old.as_str());
        assert_eq!(found(Some("7f3a")).unwrap(), old.as_str());
        assert_eq!(found(Some("2026-11-21")).unwrap(), new.as_str());
        assert_eq!(found(Some(new.as_str())).unwrap(), new.as_str());
        assert!(matches!(found(Some("2026")), Err(StoreError::AmbiguousRun { .. })));
        for unknown in ["2027", "", "notes", "../x"] {
            assert!(matches!(found(Some(unknown)), Err(StoreError::UnknownRun { .. })), "{unknown}");
        }
        // A link into nowhere is no reason to show nothing.
        fs::remove_dir(state.run(&old).path()).unwrap();
        assert_eq!(found(None).unwrap(), new.as_str());
    }
}
