//! One run's directory: its name, its files, its lock.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wf_core::ItemId;

use super::StoreError;
use super::atomic::sync_directory;
use super::layout::StateDir;
use super::lock::{self, HeldLock};

/// A run's id: its start in UTC and four random hexadecimal digits, such as `2026-11-21T05-14-49Z-7f3a`. Sorting them
/// sorts the runs by their start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// A text that is no [`RunId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no run id")]
pub struct RunIdError(String);

impl RunId {
    const SHAPE: &'static [u8] = b"dddd-dd-ddTdd-dd-ddZ-xxxx";
    /// How much of it names the second.
    const SECOND: usize = "dddd-dd-ddTdd-dd-ddZ".len();

    /// The id of a run that starts at `at`.
    pub fn new(at: Timestamp, random: u16) -> RunId {
        RunId(format!("{}-{random:04x}", at.strftime("%Y-%m-%dT%H-%M-%SZ")))
    }

    /// The id of a run that starts at `at`, later in the order of ids than all of `others`: runs are listed and cleaned in
    /// that order, and several may start within a second.
    pub fn after(others: &[RunId], at: Timestamp, random: u16) -> RunId {
        // Room is left above the first of a second for those that follow it.
        let first = RunId::new(at, random % 0x8000);
        let same_second = |id: &&RunId| id.0[..Self::SECOND] == first.0[..Self::SECOND];
        match others.iter().filter(same_second).max() {
            None => first,
            Some(latest) => {
                let taken = u16::from_str_radix(latest.short(), 16).unwrap_or(u16::MAX);
                match taken.checked_add(1 + random % 0x100) {
                    Some(next) => RunId::new(at, next),
                    // A second with that many runs is over soon.
                    None => RunId::new(at + jiff::SignedDuration::from_secs(1), random % 0x8000),
                }
            }
        }
    }

    /// `text` as an id, if it has the form of one. It is safe as a file name then.
    pub fn parse(text: &str) -> Option<RunId> {
        let fits = |(byte, shape): (u8, &u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            literal => byte == *literal,
        };
        let fitting = text.len() == Self::SHAPE.len() && text.bytes().zip(Self::SHAPE).all(fits);
        fitting.then(|| RunId(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run started, to the second; the beginning of time for an id that names no date.
    pub fn started(&self) -> Timestamp {
        Timestamp::strptime("%Y-%m-%dT%H-%M-%SZ%z", format!("{}+0000", &self.0[..20])).unwrap_or_default()
    }

    /// The four digits at its end, as messages about earlier runs name it.
    pub fn short(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        RunId::parse(&text).ok_or(RunIdError(text))
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

/// A run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
    id: RunId,
}

impl RunDir {
    pub(super) fn at(path: PathBuf, id: RunId) -> RunDir {
        RunDir { path, id }
    }

    /// Makes the directory of a new run (mode 0700), locks it, and points `runs/latest` to it.
    ///
    /// The lock is there before anything else of the run is, so a run without a lock that is held is over.
    pub fn create(state: &StateDir, at: Timestamp) -> Result<(RunDir, HeldLock), StoreError> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        // Another process may take the same name at the same moment; sixteen times in a row means something else.
        for _ in 0..16 {
            let mut random = [0; 2];
            getrandom::fill(&mut random)
                .map_err(|e| StoreError::of("name", &state.runs())(io::Error::other(e.to_string())))?;
            let run = state.run(&RunId::after(&state.run_ids()?, at, u16::from_le_bytes(random)));
            match DirBuilder::new().mode(0o700).create(&run.path) {
                Ok(()) => {
                    let lock = HeldLock::create(&run.lock())?;
                    sync_directory(&state.runs())?;
                    state.point_latest(&run.id)?;
                    return Ok((run, lock));
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
                Err(e) => return Err(StoreError::writing(&run.path)(e)),
            }
        }
        Err(StoreError::writing(&state.runs())(last))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The process of the run, while anything of it lives (0 where it cannot be told).
    pub fn live_pid(&self) -> Option<u32> {
        lock::holder(&self.lock())
    }

    /// Held while anything of the run lives.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Every event, one line each.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The summary, once the run is over.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// How the key pool stands, while the run lives.
    pub fn pool(&self) -> PathBuf {
        self.path.join("pool.json")
    }

    /// What the workflows of all items did, in order of time.
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit.jsonl")
    }

    /// What the workflow of one item did.
    pub fn item_audit(&self, id: &ItemId) -> PathBuf {
        self.path.join(format!("workflow-audit-{id}.jsonl"))
    }

    /// What an item wrote. `label` is [`ItemId::label`].
    pub fn log(&self, label: &str) -> PathBuf {
        self.path.join(log_name(label))
    }
}

/// The file name of an item's log.
pub fn log_name(label: &str) -> String {
    format!("{label}.log")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_run_is_later_than_all_that_started_in_its_second() {
        let at: Timestamp = "2026-11-21T05:14:49.5Z".parse().unwrap();
        let mut ids = Vec::new();
        for random in [0xffff, 0, 0x1234, 0xff, 7] {
            let id = RunId::after(&ids, at, random);
            assert!(ids.iter().all(|other| other < &id), "{id} after {ids:?}");
            ids.push(id);
        }
        let full = [RunId::new(at, u16::MAX)];
        assert_eq!(RunId::after(&full, at, 3).as_str(), "2026-11-21T05-14-50Z-0003");
    }

    #[test]
    fn ids_have_one_form() {
        let at: Timestamp = "2026-11-21T05:14:49.987Z".parse().unwrap();
        let id = RunId::new(at, 0x7f3a);
        assert_eq!(id.as_str(), "2026-11-21T05-14-49Z-7f3a");
        assert_eq!(id.short(), "7f3a");
        assert_eq!(id.started().to_string(), "2026-11-21T05:14:49Z");
        assert_eq!(RunId::parse("2026-99-21T05-14-49Z-7f3a").unwrap().started(), Timestamp::UNIX_EPOCH);
        assert_eq!(RunId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "latest",
            "2026-11-21T05-14-49Z-7F3A",
            "2026-11-21T05-14-49Z-7f3",
            "2026/11-21T05-14-49Z-7f3a",
            "..",
            "2026-11-21T05-14-49Z-7f3é",
        ] {
            assert_eq!(RunId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn runs_of_one_second_get_directories_of_their_own_and_are_live_until_unlocked() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::locate(None, None, dir.path()).create().unwrap();
        let at: Timestamp = "2026-11-21T05:14:49Z".parse().unwrap();
        let runs: Vec<_> = (0..20).map(|_| RunDir::create(&state, at).unwrap()).collect();
        let ids: BTreeSet<_> = runs.iter().map(|(run, _)| run.id().clone()).collect();
        assert_eq!(ids.len(), 20);
        assert_eq!(state.find_run(None).unwrap(), runs[19].0);
        let (run, lock) = runs.into_iter().next().unwrap();
        assert_eq!(run.live_pid(), Some(std::process::id()));
        drop(lock);
        assert_eq!(run.live_pid(), None);
    }
}
