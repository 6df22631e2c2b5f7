//! Removing directories, also those in which a test took its own rights away.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::repository::failed;
use crate::halt::Halt;

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove_dir(dir: &Path) -> Result<(), Halt> {
    let removed = match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dir);
            fs::remove_dir_all(dir)
        }
        other => other,
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(dir, "cannot be removed", &e)),
        _ => Ok(()),
    }
}

/// Gives the directories of a tree back the rights that their owner needs to remove them: tests take them away, and git
/// gives up there. What cannot be changed is left to the removal to name.
fn open_up(dir: &Path) {
    let Ok(meta) = fs::symlink_metadata(dir) else { return };
    if !meta.is_dir() {
        return;
    }
    let mode = meta.permissions().mode();
    if mode & 0o700 != 0o700 {
        let _ = fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o700));
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_tests_made_unwritable_go_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let (top, inner) = (dir.path().join("w"), dir.path().join("w/out/inner"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "").unwrap();
        for (path, mode) in [(&inner, 0o500), (&top, 0o000)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        // Rights do not hold root back, so they are looked at before the removal.
        open_up(&top);
        for path in [&top, &inner] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o700, 0o700, "{path:?}");
        }
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
        assert!(remove_dir(&top).is_ok() && !top.exists());
    }
}
