//! Finding processes in `/proc`: those a project caused, whatever they did to be forgotten.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::waiting::poll;

/// A process, as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its command line, the arguments separated by blanks.
    pub command: String,
    /// What gives it away.
    pub by: &'static str,
}

/// What a project's processes are known by.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// Stands in the environment of everything that was started in the project.
    pub mark: String,
    /// The project's directory: in command lines, as a working directory, in open files.
    pub root: std::path::PathBuf,
}

impl Traces {
    /// All living processes of the project. Zombies do not count: they only wait for their parent.
    pub fn find(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for pid in pids() {
            if pid == std::process::id().cast_signed() {
                continue;
            }
            let Some((parent, state)) = parent_and_state(pid) else { continue };
            if state == b'Z' || state == b'X' {
                continue;
            }
            if let Some(by) = self.betrayed_by(pid) {
                found.push(Found { pid, parent, command: command_line(pid), by });
            }
        }
        found
    }

    fn betrayed_by(&self, pid: i32) -> Option<&'static str> {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let root = self.root.as_os_str().as_bytes();
        let link_is_inside =
            |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(&self.root));
        if contains(&read("environ"), self.mark.as_bytes()) {
            Some("its environment")
        } else if contains(&read("cmdline"), root) {
            Some("its command line")
        } else if link_is_inside(Path::new(&format!("/proc/{pid}/cwd"))) {
            Some("its working directory")
        } else {
            let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            descriptors.any(|entry| link_is_inside(&entry.path())).then_some("an open file")
        }
    }

    /// Kills what is left, so that a failed test disturbs no other.
    pub fn kill_all(&self) {
        let _ = poll(Duration::from_secs(10), || {
            let found = self.find();
            for process in &found {
                // It may be gone by now, which is what is wanted.
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            found.is_empty().then_some(())
        });
    }
}

/// The living children of a process.
pub fn children(of: i32) -> Vec<Found> {
    let child = |pid: i32| {
        let (parent, state) = parent_and_state(pid)?;
        (parent == of && state != b'Z').then(|| Found {
            pid,
            parent,
            command: command_line(pid),
            by: "its parent",
        })
    };
    pids().filter_map(child).collect()
}

/// The wardens of a supervisor.
pub fn wardens(supervisor: i32) -> Vec<Found> {
    children(supervisor).into_iter().filter(|child| child.command.contains("__warden")).collect()
}

/// Whether the process exists and is no zombie.
pub fn is_alive(pid: i32) -> bool {
    parent_and_state(pid).is_some_and(|(_, state)| state != b'Z' && state != b'X')
}

/// Whether the process is stopped by a signal.
pub fn is_stopped(pid: i32) -> bool {
    parent_and_state(pid).is_some_and(|(_, state)| state == b'T')
}

/// The environment a process was started with, variables separated by NUL; nothing where it may not be read.
pub fn environ(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// Whether `haystack` has `needle` in it.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len().max(1)).any(|window| window == needle)
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command_line(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned()
}

fn parent_and_state(pid: i32) -> Option<(i32, u8)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    Some((fields.next()?.parse().ok()?, state))
}
