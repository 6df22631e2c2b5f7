//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::StoreError;

/// How the temporary files of the supervisor begin. What a killed run left behind is known by it.
pub const TEMPORARY_PREFIX: &str = ".wf-tmp-";

/// Writes `path` by a temporary file beside it, synchronised and then renamed (mode 0600). An older file of that name
/// stays whole until the new one is.
pub fn write_atomic(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(directory)
        .map_err(StoreError::writing(path))?;
    let mut writer = BufWriter::with_capacity(64 * 1024, temporary.as_file());
    fill(&mut writer)?;
    writer.flush().map_err(StoreError::writing(path))?;
    drop(writer);
    temporary.as_file().sync_all().map_err(StoreError::writing(path))?;
    temporary.persist(path).map_err(|e| StoreError::writing(path)(e.error))?;
    sync_directory(directory)
}

/// Makes the names in `directory` durable.
pub fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let opened = File::open(directory).map_err(StoreError::of("open", directory))?;
    match opened.sync_all() {
        // Some file systems (of the network, mostly) cannot synchronise a directory; they have nothing to lose then.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        other => other.map_err(StoreError::writing(directory)),
    }
}

/// Removes what begins with [`TEMPORARY_PREFIX`] directly in `directory` and is at least `age` old, and returns what
/// it removed. A directory that is not there has nothing to remove.
pub fn remove_temporary_files(directory: &Path, age: Duration) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|found| found.modified());
        age.is_zero() || changed.is_ok_and(|at| at.elapsed().is_ok_and(|passed| passed >= age))
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX))
        .map(|entry| entry.path())
        .filter(|path| is_old(path) && fs::remove_file(path).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_while_filling_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.json");
        fs::write(&path, "old").unwrap();
        let result = write_atomic(&path, |w| {
            w.write_all(b"half of the n").unwrap();
            Err(StoreError::Headless { path: PathBuf::new() })
        });
        assert!(result.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        write_atomic(&path, |w| w.write_all(b"new").map_err(StoreError::writing(&path))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_temporary_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".wf-tmp-a1"), "").unwrap();
        fs::write(dir.path().join("journal.jsonl"), "").unwrap();
        assert!(remove_temporary_files(dir.path(), Duration::from_secs(3600)).is_empty());
        let removed = remove_temporary_files(dir.path(), Duration::ZERO);
        assert_eq!(removed, [dir.path().join(".wf-tmp-a1")]);
        assert!(dir.path().join("journal.jsonl").exists());
        assert!(remove_temporary_files(&dir.path().join("absent"), Duration::ZERO).is_empty());
    }
}
