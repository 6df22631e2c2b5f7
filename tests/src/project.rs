//! A project directory of its own for a test, with everything a supervisor may read or write inside it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use signal_hook::consts::SIGHUP;
use tempfile::TempDir;

use crate::processes::{Found, Traces};
use crate::waiting::poll;
use crate::{Call, Finished, Running, Words, binaries};

/// What the project and its running programs share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where programs are started.
    pub dir: PathBuf,
    pub traces: Traces,
    /// Those that run now.
    pub supervisors: Mutex<BTreeSet<i32>>,
    /// Other programs that a test runs now, such as the mock provider.
    pub bystanders: Mutex<BTreeSet<i32>>,
}

impl Shared {
    /// The project's processes, but for `known` ones and those a test itself runs beside its supervisors.
    pub fn left(&self, known: &[i32]) -> Vec<Found> {
        let bystanders = self.bystanders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_known = |pid: i32| bystanders.contains(&pid) || known.contains(&pid);
        self.traces.find().into_iter().filter(|found| !is_known(found.pid)).collect()
    }

    /// Waits for the end of what is left, for `bound` at most; answers with what is there still.
    pub fn wait_gone(&self, known: &[i32], bound: Duration) -> Vec<Found> {
        poll(bound, || self.left(known).is_empty().then_some(()))
            .map_or_else(|| self.left(known), |()| Vec::new())
    }
}

static HANGUPS_COUNT: OnceLock<()> = OnceLock::new();

/// Has the programs that tests start begin with the default for SIGHUP, also where the tests run under `nohup`: what is
/// ignored is inherited, what has a handler is reset by exec.
fn hangups_count() {
    signal_hook::flag::register(SIGHUP, Arc::default()).expect("a handler can be installed");
}

/// A directory with a home, a runtime directory and an environment of its own. Dropping it checks that no process of
/// it is left anywhere.
#[derive(Debug)]
pub struct Project {
    shared: Arc<Shared>,
    root: TempDir,
    files: AtomicU32,
}

impl Default for Project {
    fn default() -> Self {
        Project::new()
    }
}

impl Project {
    /// An empty project.
    pub fn new() -> Project {
        HANGUPS_COUNT.get_or_init(hangups_count);
        // Short, because the path of a socket below it has 100 bytes at most.
        let root =
            tempfile::Builder::new().prefix("wft").tempdir().expect("a temporary directory can be made");
        let real = root.path().canonicalize().expect("it was just made");
        for name in ["home", "run", "tmp", "p"] {
            fs::create_dir(real.join(name)).expect("a directory can be made in a new one");
        }
        fs::set_permissions(real.join("run"), fs::Permissions::from_mode(0o700))
            .expect("the mode of a new directory can be set");
        let mark = format!("wf-test-mark-{}-{}", std::process::id(), real.display());
        let shared = Shared {
            dir: real.join("p"),
            traces: Traces { mark, root: real },
            supervisors: Mutex::default(),
            bystanders: Mutex::default(),
        };
        Project { shared: Arc::new(shared), root, files: AtomicU32::new(0) }
    }

    /// A project with this as `items.txt`.
    pub fn with_items(items: &str) -> Project {
        let project = Project::new();
        project.write("items.txt", items);
        project
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The project's directory, in which programs are started.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// A path in the project's directory.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir().join(path)
    }

    /// A new path that is not in the project's directory, but goes with it.
    pub fn new_path_outside(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.shared.traces.root.join(format!("{name}-{number}"))
    }

    /// The whole environment that programs are started with.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let root = &self.shared.traces.root;
        let search = std::env::join_paths([binaries::directory(), Path::new("/usr/bin"), Path::new("/bin")])
            .expect("the path of a target directory has no colon");
        let fixed = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        vec![
            ("PATH".into(), search),
            ("HOME".into(), root.join("home").into()),
            ("XDG_RUNTIME_DIR".into(), root.join("run").into()),
            ("TMPDIR".into(), root.join("tmp").into()),
            fixed("LANG", "C.UTF-8"),
            fixed("TZ", "UTC"),
            fixed("WF_TEST_MARK", &self.shared.traces.mark),
        ]
    }

    /// A call of `wf-supervisor`.
    pub fn supervisor(&self, words: impl Words) -> Call<'_> {
        Call::new(self, binaries::directory().join("wf-supervisor"), words.words())
    }

    /// A call of another of the binaries.
    pub fn program(&self, name: &str, words: impl Words) -> Call<'_> {
        Call::new(self, binaries::directory().join(name), words.words())
    }

    /// Runs `wf-supervisor` to its end.
    #[track_caller]
    pub fn run(&self, words: impl Words) -> Finished {
        self.supervisor(words).run()
    }

    /// Starts `wf-supervisor`.
    #[track_caller]
    pub fn start(&self, words: impl Words) -> Running {
        self.supervisor(words).start()
    }

    /// Writes a file, with the directories it needs.
    #[track_caller]
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        let parent = path.parent().expect("a file of the project has a directory");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, content))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// Reads a file as text.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&self.read_bytes(path)).into_owned()
    }

    /// Reads a file.
    #[track_caller]
    pub fn read_bytes(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(path);
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Reads a file with a process number in it.
    #[track_caller]
    pub fn read_pid(&self, path: impl AsRef<Path>) -> i32 {
        let text = self.read(path);
        text.trim().parse().unwrap_or_else(|_| panic!("{text:?} is no process number"))
    }

    /// Whether a file is there.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// The lines of a file, sorted; none where there is no file.
    pub fn sorted_lines(&self, path: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(path)).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// What is in the project's directory.
    pub fn listing(&self) -> Vec<String> {
        let mut names: Vec<String> = files_below(self.dir())
            .iter()
            .filter_map(|path| Some(path.strip_prefix(self.dir()).ok()?.display().to_string()))
            .collect();
        names.sort();
        names
    }

    /// The directories of all runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let mut runs: Vec<PathBuf> = fs::read_dir(self.path(".wf/runs"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        runs.sort();
        runs
    }

    /// The latest run's directory, as `.wf/runs/latest` has it.
    #[track_caller]
    pub fn latest(&self) -> PathBuf {
        let link = self.path(".wf/runs/latest");
        link.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", link.display()))
    }

    /// The latest run's id.
    #[track_caller]
    pub fn run_id(&self) -> String {
        let dir = self.latest();
        dir.file_name().and_then(|name| name.to_str()).expect("runs have plain names").to_owned()
    }

    /// The ending of the latest run's id, by which people call it.
    #[track_caller]
    pub fn short_run_id(&self) -> String {
        let id = self.run_id();
        id.rsplit('-').next().expect("a split text has a last part").to_owned()
    }

    /// Writes a key file, outside of the project's directory, and answers with what `secret` in `wf.toml` is to be.
    pub fn key_file(&self, secret: &str) -> String {
        let path = self.new_path_outside("key");
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        written
            .and_then(|mut file| file.write_all(secret.as_bytes()))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        format!("{{ file = {:?} }}", path.display().to_string())
    }

    /// The latest run's `summary.json`.
    #[track_caller]
    pub fn summary(&self) -> Value {
        let text = self.read(self.latest().join("summary.json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("summary.json is no JSON: {error}\n{text}"))
    }

    /// The outcome of an item in the latest run's summary.
    #[track_caller]
    pub fn outcome(&self, id: &str) -> String {
        let summary = self.summary();
        let items = summary["items"].as_array().expect("a summary has items");
        let item = items.iter().find(|item| item["id"] == id);
        let item = item.unwrap_or_else(|| panic!("no item {id} in {summary:#}"));
        item["outcome"].as_str().unwrap_or_default().to_owned()
    }

    /// All events of the latest run's journal.
    #[track_caller]
    pub fn journal(&self) -> Vec<Value> {
        let text = self.read(self.latest().join("journal.jsonl"));
        let event = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a journal's line is no JSON: {error}\n{line}"))
        };
        text.lines().map(event).collect()
    }

    /// An item's log of the latest run, by the name on its prefix.
    #[track_caller]
    pub fn log(&self, label: &str) -> Vec<u8> {
        self.read_bytes(self.latest().join(format!("{label}.log")))
    }

    /// Checks that nothing was written: neither a state directory nor anything else beside `files`.
    #[track_caller]
    pub fn assert_only(&self, files: &[&str]) {
        assert_eq!(self.listing(), files, "something else was written");
    }

    /// Checks that the bytes stand in no file that the supervisor wrote, and that there was one to look at.
    #[track_caller]
    pub fn assert_nowhere_in_state(&self, secret: &[u8]) {
        let files = files_below(&self.path(".wf"));
        assert!(!files.is_empty(), "there is no state directory");
        for file in files {
            let content = fs::read(&file).unwrap_or_default();
            assert!(!crate::processes::contains(&content, secret), "a secret stands in {}", file.display());
        }
    }

    /// Checks that nothing of the project runs any more, after at most `bound`.
    #[track_caller]
    pub fn assert_nobody_within(&self, bound: Duration) {
        let left = self.shared.wait_gone(&[], bound);
        assert!(left.is_empty(), "processes are left: {left:#?}");
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let left = self.shared.wait_gone(&[], Duration::from_secs(5));
        self.shared.traces.kill_all();
        // Directories that a test made read-only must not be in the way of the others.
        for dir in files_and_dirs_below(self.root.path()).into_iter().filter(|path| path.is_dir()) {
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
        }
        assert!(left.is_empty() || std::thread::panicking(), "the test left processes behind: {left:#?}");
    }
}

/// All files below a directory, links not followed.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    files_and_dirs_below(dir).into_iter().filter(|path| !path.is_dir() || path.is_symlink()).collect()
}

fn files_and_dirs_below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                dirs.push(path.clone());
            }
            all.push(path);
        }
    }
    all
}

/// A list of so many lines.
pub fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}
