//! Starting one command, and saying in clear words why it did not start.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use zeroize::Zeroize;

use crate::environment::Environment;
use crate::launch::Launcher;
use crate::message::{Report, Spawn};

/// Why no process was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    errno: Errno,
    text: String,
}

impl Refusal {
    fn new(errno: Errno, text: impl Into<String>) -> Refusal {
        Refusal { errno, text: text.into() }
    }

    /// The supervisor asked for two attempts at once.
    pub(super) fn busy() -> Refusal {
        Refusal::new(Errno::EBUSY, "the slot is still occupied by another attempt")
    }

    /// The pipes did not arrive: this process has no room for their descriptors.
    pub(super) fn no_descriptors() -> Refusal {
        Refusal::new(Errno::EMFILE, "too many open files (see `ulimit -n`)")
    }

    pub(super) fn report(self) -> Report {
        let shortage = matches!(self.errno, Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM);
        Report::SpawnFailed { errno: self.errno as i32, shortage, text: self.text }
    }
}

/// Starts a command with these as its standard descriptors; the process id of the leader of its new group. The command
/// is wiped, since its environment may hold a key.
pub(super) fn start(
    launcher: &Launcher,
    environment: &Environment,
    mut spawn: Spawn,
    standard: [BorrowedFd<'_>; 3],
) -> Result<i32, Refusal> {
    let result = try_start(launcher, environment, &spawn, standard);
    for (_, value) in spawn.set_env.drain(..) {
        value.into_vec().zeroize();
    }
    result
}

fn try_start(
    launcher: &Launcher,
    environment: &Environment,
    spawn: &Spawn,
    standard: [BorrowedFd<'_>; 3],
) -> Result<i32, Refusal> {
    // By ourselves and not as a part of the spawn, where its error could not be told from one of the program.
    std::env::set_current_dir(&spawn.cwd).map_err(|error| {
        let errno = errno_of(&error);
        Refusal::new(errno, format!("cannot enter the directory {}: {}", spawn.cwd.display(), errno.desc()))
    })?;
    let nul = |_| Refusal::new(Errno::EINVAL, "an argument contains a NUL byte");
    let program = CString::new(spawn.program.as_os_str().as_bytes()).map_err(nul)?;
    let argv = spawn.argv.iter().map(|argument| CString::new(argument.as_bytes()));
    let mut argv = argv.collect::<Result<Vec<CString>, _>>().map_err(nul)?;
    let variables = environment.with(&spawn.set_env, &spawn.unset_env).map_err(|name| {
        Refusal::new(Errno::EINVAL, format!("the environment variable {} cannot be set", name.display()))
    })?;
    let launch = |program: &CStr, argv: &[CString]| {
        launcher.launch(program, argv, variables.as_slice(), standard).map_err(|error| errno_of(&error))
    };
    let result = match launch(&program, &argv) {
        // As every shell, `env` and `xargs` do with a script that does not name its interpreter (`execvp(3)`).
        Err(Errno::ENOEXEC) if looks_like_text(&spawn.program) => {
            let shell = c"/bin/sh";
            let arguments = argv.split_off(argv.len().min(1));
            argv = [shell.to_owned(), program].into_iter().chain(arguments).collect();
            launch(shell, &argv)
        }
        result => result,
    };
    result.map_err(|errno| Refusal::new(errno, explain(errno, &spawn.program, &spawn.argv)))
}

/// What the error of `execve(2)` means for this file.
fn explain(errno: Errno, program: &Path, argv: &[OsString]) -> String {
    let shown = program.display();
    match errno {
        Errno::ENOENT if program.metadata().is_ok() => format!(
            "cannot execute {shown}: the interpreter in its first line, or its dynamic loader, does not exist"
        ),
        Errno::ENOENT if program.is_symlink() => {
            format!("command not found: {shown} is a symbolic link to nothing")
        }
        Errno::ENOENT | Errno::ENOTDIR => format!("command not found: {shown}"),
        Errno::EACCES if program.is_dir() => format!("not a command: {shown} is a directory"),
        Errno::EACCES if is_without_permission(program) => {
            format!("not executable: {shown} (chmod +x makes it so)")
        }
        Errno::EACCES => format!("permission denied: {shown}"),
        Errno::ENOEXEC => {
            format!("not executable here: {shown} is no script and no program for this machine")
        }
        Errno::E2BIG => {
            let longest = argv.iter().map(|argument| argument.len()).max().unwrap_or(0);
            format!("argument list too long for {shown} (the longest argument has {longest} bytes)")
        }
        Errno::ETXTBSY => format!("cannot execute {shown}: some process is writing to it"),
        Errno::EAGAIN => format!("cannot start {shown}: too many processes (see `ulimit -u`)"),
        Errno::ENOMEM => format!("cannot start {shown}: out of memory"),
        Errno::EMFILE | Errno::ENFILE => {
            format!("cannot start {shown}: too many open files (see `ulimit -n`)")
        }
        _ => format!("cannot execute {shown}: {}", errno.desc()),
    }
}

fn is_without_permission(program: &Path) -> bool {
    program.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 == 0)
}

/// No NUL at its beginning. A shell given a foreign program would only say `Syntax error`.
fn looks_like_text(program: &Path) -> bool {
    let mut beginning = [0; 256];
    File::open(program)
        .and_then(|mut file| file.read(&mut beginning))
        .is_ok_and(|count| !beginning[..count].contains(&0))
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_told_from_mistakes() {
        let shortage = |errno| match Refusal::new(errno, "").report() {
            Report::SpawnFailed { shortage, .. } => shortage,
            other => panic!("{other:?}"),
        };
        for errno in [Errno::EAGAIN, Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM] {
            assert!(shortage(errno), "{errno}");
        }
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::E2BIG, Errno::ENOEXEC] {
            assert!(!shortage(errno), "{errno}");
        }
    }
}
