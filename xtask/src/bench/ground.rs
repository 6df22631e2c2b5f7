//! A project of its own for each run: a directory, an environment, and what the supervisor left there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::Bench;
use super::contest::Sample;
use super::process::{Family, Taken};

/// No run of any suite takes this long on a machine that works.
const BOUND: Duration = Duration::from_secs(1200);

/// Where programs are looked for, the same for everybody: a long list would cost those more who search it per item.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A fresh directory, which stays until all suites are through: a file system may need long to create files where many were
/// just deleted (ext4 without a journal avoids their inodes for minutes, and looks at each), so that a round would pay for
/// the clearing up after the one before it.
pub struct Ground {
    dir: PathBuf,
    home: PathBuf,
}

impl Ground {
    /// An empty one.
    pub fn new(bench: &Bench) -> Result<Ground> {
        let dir = tempfile::Builder::new().prefix("ground-").tempdir_in(&bench.work)?.keep();
        // GNU parallel keeps things in its home and is slower without them: they outlive the ground.
        let home = bench.work.join("home");
        fs::create_dir_all(&home)?;
        let ground = Ground { dir, home };
        // A project of its own: without this, what runs here would take the checkout around it for its project.
        ground.write("wf.toml", "")?;
        Ok(ground)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, with the directories it is in.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A command in this directory. Its environment is small and the same for all (with a language to load, `true` itself
    /// would take longer, and all else seem cheaper); its output goes nowhere, what it complains about into a file.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear();
        command.env("PATH", PATH).env("HOME", &self.home).env("LANG", "C");
        let complaints = File::options().create(true).append(true).open(self.complaints())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
        Ok(command)
    }

    /// A command that gets a file as its input.
    pub fn fed(&self, program: impl AsRef<OsStr>, input: &Path) -> Result<Command> {
        let mut command = self.command(program)?;
        command.stdin(File::open(input).with_context(|| input.display().to_string())?);
        Ok(command)
    }

    fn complaints(&self) -> PathBuf {
        self.file("stderr.txt")
    }

    /// Runs one command to its end, which must be a success.
    pub fn measure(&self, command: &mut Command) -> Result<Sample> {
        self.measure_all(Family::of(command)?)
    }

    /// Waits for programs that run together. All must succeed.
    pub fn measure_all(&self, family: Family) -> Result<Sample> {
        let taken = self.wait(family)?;
        if let Some(bad) = taken.statuses.iter().find(|status| !status.success()) {
            bail!("{bad}; it wrote:\n{}", self.last_words());
        }
        Ok(Sample { wall: taken.wall, cpu: taken.cpu, peak_bytes: taken.peak_bytes, ..Sample::default() })
    }

    /// Waits for programs that run together, however they end.
    pub fn wait(&self, family: Family) -> Result<Taken> {
        family.wait(BOUND).with_context(|| format!("it wrote:\n{}", self.last_words()))
    }

    /// The last lines of what was complained about.
    pub fn last_words(&self) -> String {
        let bytes = fs::read(self.complaints()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Writes a pool of keys for everybody's own provider `bench`, each with its secret in a file, with what else `wf.toml` is to
    /// say. `address` is where the provider listens.
    pub fn write_pool(&self, address: &str, keys: &[Key], more: &str) -> Result<()> {
        use std::fmt::Write as _;
        let mut toml = format!("[providers.bench]\nkind = \"openai\"\nbase_url = \"{address}\"\n");
        for Key { name, secret, group } in keys {
            let path = self.write(&format!("keys/{name}"), secret)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            let _ = writeln!(
                toml,
                "[[keys]]\nname = \"{name}\"\nprovider = \"bench\"\nquota_group = \"{group}\"\nsecret = {{ file = \"keys/{name}\" }}"
            );
        }
        toml.push_str(more);
        self.write("wf.toml", &toml)?;
        Ok(())
    }

    /// Removes it already now, because it holds few files and much in them.
    pub fn clear(self) -> Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| self.dir.display().to_string())
    }

    /// What the supervisor says about its latest run here.
    pub fn summary(&self) -> Result<Summary> {
        let path = self.file(".wf/runs/latest/summary.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// A key of the mock provider's.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// What people call it.
    pub name: String,
    /// What is sent.
    pub secret: String,
    /// Whose limits it shares.
    pub group: String,
}

/// What `wf.toml` says of the limits of these keys' groups: so many requests per minute each.
pub fn limits(keys: &[Key], rpm: u32) -> String {
    let groups: BTreeSet<&str> = keys.iter().map(|key| key.group.as_str()).collect();
    let tables: Vec<String> = groups.iter().map(|group| format!("[quota.{group}]\nrpm = {rpm}\n")).collect();
    tables.concat()
}

/// What suites need of a run's `summary.json`.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// How many items ended how.
    pub counts: Counts,
    /// Sums over the items.
    pub totals: Totals,
    /// Of the workers' time, what was the supervisor's own doing, in percent.
    pub overhead_percent: f64,
}

/// How many items ended how.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Counts {
    /// By a workflow.
    pub approved: u32,
    /// By a command.
    pub succeeded: u32,
    /// Stopped, to be resumed.
    pub interrupted: u32,
}

/// Sums over the items.
#[derive(Debug, Deserialize)]
pub struct Totals {
    /// API calls.
    pub calls: u64,
    /// Of those, calls that were refused or lost.
    #[serde(default)]
    pub retries: u64,
}

/// The numbers from 1, one per line: the list of items for everybody.
pub fn numbers(count: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 1..=count {
        let _ = writeln!(text, "{number}");
    }
    text
}
