//! `posix_spawn`, for wardens and for workers.
//!
//! Not through `std::process::Command`: that lets the child inherit the signal mask, and a warden has every signal
//! blocked; unblocking around each spawn would open the gap that the blocking closes. `posix_spawn` shares the memory
//! of its parent until the `exec` (`CLONE_VM|CLONE_VFORK`), so its price does not grow with the supervisor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

/// How children are started: signals, group and session. Made once.
pub(crate) struct Launcher(PosixSpawnAttr);

impl Launcher {
    /// For workers: a process group of their own, no signal blocked, none ignored. The warden itself ignores nothing
    /// but SIGPIPE, which the runtime of the language does at the start of every program.
    pub(crate) fn for_workers() -> io::Result<Launcher> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        let mut default = SigSet::empty();
        default.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&default)?;
        Ok(Launcher(attributes))
    }

    /// For wardens: a session of their own and every signal blocked from the first instruction, so that no Ctrl+C
    /// falls between their start and their being ready for it; and none ignored, whatever the supervisor was
    /// started with (`nohup`, or a parent that ignores SIGCHLD, which would reap the workers unseen).
    pub(crate) fn for_wardens() -> io::Result<Launcher> {
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        #[cfg(target_os = "linux")]
        {
            // glibc 2.26 and musl have it; `nix` has no name for it.
            flags |= PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSID.into());
        }
        attributes.set_flags(flags)?;
        attributes.set_sigmask(&SigSet::all())?;
        attributes.set_sigdefault(&SigSet::all())?;
        Ok(Launcher(attributes))
    }

    /// Starts `program` (a path) with the descriptors as its 0, 1 and 2, which must not themselves be among these
    /// numbers. Everything else that it should not have must be close-on-exec. The child's process id; the error is
    /// that of `execve(2)` or `clone(2)`.
    pub(crate) fn launch<A: AsRef<CStr>, E: AsRef<CStr>>(
        &self,
        program: &CStr,
        argv: &[A],
        environment: &[E],
        standard: [BorrowedFd<'_>; 3],
    ) -> io::Result<i32> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (number, descriptor) in (0..).zip(standard) {
            actions.add_dup2(descriptor.as_raw_fd(), number)?;
        }
        let pid = nix::spawn::posix_spawn(program, &actions, &self.0, argv, environment)?;
        Ok(pid.as_raw())
    }
}
