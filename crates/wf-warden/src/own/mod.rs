//! For the supervisor's own process: its limits and secrets, and its part as the reaper of last resort.

mod environ;
mod sweep;

use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::message::Exit;
use crate::raw::{self, Child, Waited};

pub use environ::overwrite_environment_value;
pub use sweep::{kill_by_cookie, sweep_orphans};

/// As many open files as a supervisor can use; beyond it, programs that go through all possible numbers get slow.
const MOST_FILES: u64 = 1 << 16;

/// Makes this process the one to which the tree of a killed warden falls. To be called before the first
/// [`crate::Warden::start`]. Does nothing but on Linux.
pub fn become_subreaper() -> io::Result<()> {
    raw::stop_ignoring_children()?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// No core dumps of this process, and no look into its memory or environment by other processes of the same user, the
/// workers among them. Not through `RLIMIT_CORE`, which workers would inherit. Does nothing but on Linux.
pub fn forbid_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// From now on a file that would outgrow `RLIMIT_FSIZE` is an error of that write, not the end of this process. Children
/// are not concerned. To be called before the first write.
pub fn survive_file_limit() -> io::Result<()> {
    raw::survive_file_limit()
}

/// Raises the soft limit of open files towards the hard one, and returns what it was: for
/// [`crate::Setup::soft_nofile`].
pub fn raise_soft_nofile() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = hard.min(MOST_FILES);
    if raised > soft {
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard)?;
    }
    Ok(soft)
}

/// Stops this process until somebody sends it SIGCONT; returns then.
pub fn stop_self() -> io::Result<()> {
    raw::kill(crate::processes::this(), libc::SIGSTOP)
}

/// Kills a child of this process that is not reaped yet, which pins its number. One that has ended is fine.
pub fn kill_child(pid: i32) {
    // Nothing else can be wrong with a child.
    let _ = raw::kill(pid, libc::SIGKILL);
}

/// Whether whoever started this process had SIGHUP ignored, as `nohup` does. To be called before a handler is installed.
pub fn ignores_hangup() -> bool {
    raw::is_ignored(libc::SIGHUP)
}

/// Waits for a child of this process to end, a warden that was closed or died, and reaps it. Blocks, `bound` at most;
/// then the error is `TimedOut`. `NotFound` when there is no such child.
pub fn reap(pid: i32, bound: Duration) -> io::Result<Exit> {
    let deadline = Instant::now() + bound;
    loop {
        match raw::reap(Child::Pid(pid))? {
            Waited::Ended(_, exit) => return Ok(exit),
            Waited::Nobody => return Err(io::ErrorKind::NotFound.into()),
            Waited::Alive => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sweep::wait_for_end(pid, left)?;
    }
}
