//! What is kept of deleted runs: the records that `history.db` is made from, so that deleting output never undoes work.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use wf_core::{ItemId, Record};

use super::StoreError;
use super::atomic::{TEMPORARY_PREFIX, sync_directory};
use super::history::History;
use super::journal_reader::JournalReader;
use super::layout::StateDir;
use super::lock::HeldLock;
use super::run_dir::{RunDir, RunId};

/// The right to delete runs; one process at a time has it.
#[derive(Debug)]
pub struct Archive {
    file: File,
    path: PathBuf,
    state: StateDir,
    _lock: HeldLock,
}

impl Archive {
    /// Opens the archive for adding to it, and brings `history.db` up to date first: what only the journals know of
    /// killed runs must be in it before they go.
    pub fn open(state: &StateDir) -> Result<Archive, StoreError> {
        let lock_path = state.path().join("archive.lock");
        let lock =
            HeldLock::try_acquire(&lock_path)?.ok_or(StoreError::Busy { path: lock_path, waited_s: 0 })?;
        History::open(state)?.catch_up()?;
        let path = state.archive();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::writing(&path))?;
        end_torn_line(&mut file).map_err(StoreError::writing(&path))?;
        sync_directory(state.path())?;
        Ok(Archive { file, path, state: state.clone(), _lock: lock })
    }

    /// Deletes a run: its records go into the archive and are made durable, then its directory goes. A run that is
    /// live is left alone (`false`).
    pub fn delete(&mut self, run: &RunDir) -> Result<bool, StoreError> {
        if run.live_pid().is_some() {
            return Ok(false);
        }
        self.keep(run)?;
        // Renamed first, so that nobody meets a run that is half there.
        let doomed = self.state.runs().join(format!("{TEMPORARY_PREFIX}deleted-{}", run.id()));
        fs::rename(run.path(), &doomed).map_err(StoreError::of("delete", run.path()))?;
        fs::remove_dir_all(&doomed).map_err(StoreError::of("delete", &doomed))?;
        Ok(true)
    }

    /// Removes what an interrupted deletion left, and points `runs/latest` to a run that exists.
    pub fn finish(self) -> Result<(), StoreError> {
        let runs = self.state.runs();
        for entry in fs::read_dir(&runs).map_err(StoreError::reading(&runs))?.flatten() {
            let is_doomed =
                entry.file_name().to_string_lossy().starts_with(&format!("{TEMPORARY_PREFIX}deleted-"));
            if is_doomed && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(entry.path()).map_err(StoreError::of("delete", &entry.path()))?;
            }
        }
        let latest = self.state.latest();
        let linked = fs::read_link(&latest).ok();
        if linked.is_some_and(|target| !runs.join(target).exists()) {
            match self.state.run_ids()?.last() {
                Some(id) => self.state.point_latest(id)?,
                None => fs::remove_file(&latest).map_err(StoreError::of("delete", &latest))?,
            }
        }
        sync_directory(&runs)
    }

    /// Copies those lines of the journal that the index is made from, as they stand. Of an item that ended only its plan
    /// and its end are needed; of one that did not, also its attempts and its calls.
    fn keep(&mut self, run: &RunDir) -> Result<(), StoreError> {
        let journal = run.journal();
        if !journal.exists() {
            return Ok(());
        }
        let ended = items_with_an_end(run)?;
        let mut out = BufWriter::new(&self.file);
        let mut reader = JournalReader::open(&journal)?;
        let mut is_first = true;
        while let Some((entry, line)) = reader.next_raw()? {
            let started = matches!(&entry.record, Record::RunStarted { run: id, .. } if RunId::parse(id).as_ref() == Some(run.id()));
            if std::mem::take(&mut is_first) && !started {
                // Without its first line nobody can tell what work it was: the index has nothing of it either.
                break;
            }
            let is_kept = match &entry.record {
                Record::RunStarted { .. }
                | Record::ItemPlanned { .. }
                | Record::ItemEnded { .. }
                | Record::RunEnded { .. } => true,
                Record::AttemptStarted { item, .. } | Record::LeaseReturned { item, .. } => {
                    !ended.contains(item)
                }
                _ => false,
            };
            if is_kept {
                out.write_all(&line)
                    .and_then(|()| out.write_all(b"\n"))
                    .map_err(StoreError::writing(&self.path))?;
            }
        }
        out.flush().map_err(StoreError::writing(&self.path))?;
        drop(out);
        self.file.sync_data().map_err(StoreError::writing(&self.path))
    }
}

fn items_with_an_end(run: &RunDir) -> Result<HashSet<ItemId>, StoreError> {
    let mut ended = HashSet::new();
    for entry in JournalReader::open(&run.journal())? {
        if let Record::ItemEnded { item, .. } = entry?.record {
            ended.insert(item);
        }
    }
    Ok(ended)
}

/// What a killed `clean` left without a line end must not swallow the next line.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}
