//! A file system that is soon full.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mounted tmpfs of a bounded size; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes over an existing directory. `None` where this user may not.
    pub fn mount(at: &Path, bytes: usize) -> Option<SmallDisk> {
        let size = format!("size={bytes},mode=0700");
        mount(Some("wf-test"), at, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).ok()?;
        Some(SmallDisk { path: at.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached, so that also a test that failed leaves no mount behind.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
