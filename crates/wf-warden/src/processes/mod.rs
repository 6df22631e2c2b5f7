//! Looking at processes: who is below whom, and what they are called.

mod strike;
pub(crate) use strike::Strike;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{OwnChildren, Process, Stat, all, of_this_process, walk};

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{OwnChildren, Process, Stat, all, of_this_process, walk};

/// The number of this process.
pub(crate) fn this() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// What is known of a process beside its number, which may be another's by now.
#[derive(Clone, Copy)]
pub(crate) enum Known {
    /// Whose child it is.
    ChildOf(i32),
    /// When it began, in the clock ticks of its [`Stat`].
    BegunAt(u64),
}

/// How many processes one walk of a tree looks at, at most. A fork bomb can grow as fast as it is walked; coming back
/// to its root, and to reaping, beats following it.
pub(crate) const MOST_IN_A_WALK: usize = 4096;
