//! Wiping a variable out of the environment that this process was started with.
#![expect(
    unsafe_code,
    reason = "the block that the kernel shows lives outside of the language; see each argument"
)]

use std::ffi::{CStr, OsStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;

use zeroize::Zeroize;

unsafe extern "C" {
    /// The list of `NAME=VALUE` strings, ended by a null; `environ(7)`.
    static mut environ: *mut *mut c_char;
}

/// Overwrites the value of a variable with zeros where it lies, so that `/proc/<pid>/environ` and a core dump no longer
/// show it, and removes the variable. Copies made before (`std::env::var_os`) are the caller's to keep or to wipe.
///
/// To be called early: it refuses, with the error `ResourceBusy`, as soon as this process has a second thread, which
/// might be reading the environment. `Unsupported` but on Linux, where that cannot be found out.
pub fn overwrite_environment_value(name: &OsStr) -> io::Result<()> {
    let wanted = name.as_bytes();
    if wanted.is_empty() || wanted.contains(&b'=') || wanted.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    only_thread()?;
    // SAFETY: there is no other thread, and this one holds no reference into the block. `environ` is null or a list of
    // writable C strings ended by a null, kept so by libc; each string is borrowed for one round only. The zeros are
    // written inside the string's own length, after its `=`.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if text.strip_prefix(wanted).is_some_and(|rest| rest.first() == Some(&b'=')) {
                let from = wanted.len() + 1;
                let length = text.len() - from;
                let value = (*entry).cast::<u8>().add(from);
                std::slice::from_raw_parts_mut(value, length).zeroize();
            }
            entry = entry.add(1);
        }
    }
    // SAFETY: there is no other thread.
    unsafe { std::env::remove_var(name) };
    Ok(())
}

#[cfg(target_os = "linux")]
fn only_thread() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.take(2).count();
    if threads == 1 { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

#[cfg(not(target_os = "linux"))]
fn only_thread() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
