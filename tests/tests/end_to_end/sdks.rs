//! The providers' own SDKs for Python talk to the mock: what it speaks are the real dialects.
//!
//! They are installed into a virtual environment under the target directory, once; from then on no network is needed.
//! Where they cannot be had the test says so and passes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wf_tests::Project;
use wf_tests::mock::MockProvider;

/// What is installed. The versions are pinned so that a new one breaks this test when we look at it, not before.
const SDKS: [&str; 3] = ["google-genai==3.4.0", "anthropic==2.12.0", "openai==3.54.0"];

/// How long a step of installing may take: a package index that answers slowly is like one that does not.
const INSTALL_SECONDS: &str = "300";

#[test]
fn the_official_sdks_talk_to_the_mock_without_complaint() {
    let python = match environment() {
        Ok(python) => python,
        Err(why) => {
            // Not captured, unlike what macros print: a test that did nothing must be seen.
            let _ = writeln!(io::stderr(), "skipped: the official SDKs are not here: {why}");
            return;
        }
    };
    let project = Project::new();
    let mock = MockProvider::start(&project, "--profile instant --group-rpm 1000");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks/talk.py");
    // None of the variables in which SDKs look for keys, addresses and proxies.
    let output = Command::new(python)
        .arg(script)
        .args([&mock.base_url, &mock.keys[0].1])
        .env_clear()
        .env("HOME", project.dir())
        .output()
        .expect("Python can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out}\n{err}");
    assert_eq!(out, "anthropic: ok\nopenai: ok\ngenai: ok\n");
    let counters = mock.counters();
    assert_eq!(counters["not_understood"], 0);
    assert_eq!(counters["total"]["ok"], 7, "three whole answers and four streams were delivered: {counters}");
    mock.stop();
}

/// The Python of an environment with the SDKs in it.
fn environment() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    // <target>/<profile>/deps/<test>
    let target = own.ancestors().nth(3).ok_or("the test lies outside of a target directory")?;
    let dir = target.join("python-sdks");
    let python = dir.join("bin/python");
    let mark = dir.join("installed");
    let wanted = SDKS.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    // What a broken attempt left is no beginning.
    let _ = std::fs::remove_dir_all(&dir);
    let place = dir.to_str().ok_or("the target directory's name is not UTF-8")?;
    finish(Path::new("python3"), &["-m", "venv", place])?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
    finish(&python, &[&pip[..], &SDKS].concat())?;
    std::fs::write(&mark, wanted).map_err(|e| e.to_string())?;
    Ok(python)
}

/// Runs a command to its end, for [`INSTALL_SECONDS`] at most.
fn finish(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("timeout");
    command.arg(INSTALL_SECONDS).arg(program).args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("{}: {e}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().last().unwrap_or("no word of why").to_owned();
    Err(format!("{} {}: {}: {last}", program.display(), arguments.join(" "), output.status))
}
