//! Where and when something was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde::Serialize;

use crate::root;

/// The machine, the system and the source that was measured. What cannot be found out is "unknown".
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of them there are for us.
    pub processors: usize,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// Distribution and kernel.
    pub system: String,
    /// The file system that runs write to.
    pub file_system: String,
    /// The load average of the last minute before the build began.
    pub load_before: f64,
    /// The source: a commit, with `+` if files were changed since.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// The day, in UTC.
    pub day: String,
}

impl Machine {
    /// Looks around. `work` is where runs write.
    pub fn look(work: &Path) -> Machine {
        let memory_kib =
            field("/proc/meminfo", "MemTotal:").and_then(|kib| kib.split(' ').next()?.parse::<f64>().ok());
        let release = field("/etc/os-release", "PRETTY_NAME=").map(|name| name.trim_matches('"').to_owned());
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Machine {
            processor: field("/proc/cpuinfo", "model name")
                .map_or_else(unknown, |name| name.trim_start_matches([':', ' ', '\t']).to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib.unwrap_or_default() / f64::from(1 << 20),
            system: format!(
                "{}, Linux {kernel}",
                release.unwrap_or_else(|| "unknown distribution".to_owned())
            ),
            file_system: file_system(work),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            commit: commit(),
            rustc: first_line(Command::new("rustc").arg("--version")).unwrap_or_else(unknown),
            day: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "{} ({} processors, {:.0} GiB), {}, {}, {}",
            self.processor, self.processors, self.memory_gib, self.system, self.file_system, self.rustc
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What follows the first line's beginning `name` in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    read(path).lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

fn file_system(path: &Path) -> String {
    let mut stat = Command::new("stat");
    stat.args(["-f", "-c", "%T"]).arg(path);
    first_line(&mut stat).unwrap_or_else(unknown)
}

fn commit() -> String {
    let git = |args: &[&str]| first_line(Command::new("git").current_dir(root()).args(args));
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return unknown() };
    match git(&["status", "--porcelain", "--untracked-files=no", "--", "crates", "Cargo.lock", "Cargo.toml"])
    {
        Some(_) => format!("{commit}+"),
        None => commit,
    }
}

/// The first line a program writes; `None` if it writes nothing or cannot be run.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}
