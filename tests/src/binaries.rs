//! Where the real binaries are. They are built when they are missing or older than the sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The directory with `wf-supervisor`, `wf-worker`, `wf-mock-llm` and `wf-fixture-worker`: the one that the running
/// test was built into.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(prepare)
}

fn prepare() -> PathBuf {
    let own = std::env::current_exe().expect("the test knows its own file");
    // <target>/<profile>/deps/<test>
    let profile_dir = own.ancestors().nth(2).expect("a test lies two levels below its profile").to_owned();
    for (package, names, sources) in [
        ("wf-supervisor", &["wf-supervisor", "wf-worker", "wf-mock-llm"][..], &["crates"][..]),
        ("wf-tests", &["wf-fixture-worker"], &["tests/src", "crates/wf-protocol"]),
    ] {
        let built = names.iter().map(|name| modified(&profile_dir.join(name))).min().flatten();
        if built.is_none_or(|built| newest(sources).is_some_and(|source| source > built)) {
            build(package, &profile_dir);
        }
    }
    profile_dir
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in a workspace")
}

/// When the sources in these directories changed last; `None` where there are none (binaries carried elsewhere).
fn newest(sources: &[&str]) -> Option<SystemTime> {
    let mut newest = None;
    let mut dirs: Vec<PathBuf> = sources.iter().map(|dir| workspace().join(dir)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("tests") && !path.ends_with("target") {
                    dirs.push(path);
                }
            } else {
                newest = newest.max(modified(&path));
            }
        }
    }
    newest
}

fn build(package: &str, profile_dir: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--quiet", "--package", package, "--bins"]);
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    command.env("CARGO_TARGET_DIR", profile_dir.parent().expect("a profile lies below the target directory"));
    let output = command.output().expect("cargo can be started");
    assert!(
        output.status.success(),
        "{package} does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
