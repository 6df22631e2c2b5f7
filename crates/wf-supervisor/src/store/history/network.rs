//! Whether a directory lies on a network file system, where SQLite's WAL (shared memory between processes) is unsafe.

use std::path::Path;

/// A sentence for the operator, if `path` is not on a local disk.
pub(super) fn warning(path: &Path) -> Option<String> {
    let name = network_file_system(path)?;
    Some(format!(
        "{} is on a network file system ({name}): the history is kept without WAL there, which is slower, and locks \
         between machines may not hold; `--state-dir DIR` puts it on a local disk",
        path.display()
    ))
}

/// Magic numbers as in statfs(2) and linux/magic.h. FUSE is among them: what is behind it (sshfs, a share of a virtual
/// machine) cannot be told, and memory shared between processes is not promised there.
#[cfg(target_os = "linux")]
const NETWORK: &[(i64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x564c, "NCP"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "vboxsf"),
];

#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<String> {
    let found = nix::sys::statfs::statfs(path).ok()?;
    // The field is signed on some machines and 32 bits wide on others.
    let magic = i64::from(found.filesystem_type().0) & 0xffff_ffff;
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned())
}

#[cfg(target_os = "macos")]
fn network_file_system(path: &Path) -> Option<String> {
    let found = nix::sys::statfs::statfs(path).ok()?;
    let name = found.filesystem_type_name();
    ["nfs", "smbfs", "afpfs", "webdav", "cifs", "osxfuse", "macfuse"].contains(&name).then(|| name.to_owned())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn network_file_system(_path: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_not_warned_of() {
        assert_eq!(warning(Path::new("/nonexistent")), None);
        assert_eq!(network_file_system(Path::new("/proc")), None);
    }
}
