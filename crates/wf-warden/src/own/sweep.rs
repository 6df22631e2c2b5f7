//! Clearing up behind wardens that are dead: those of this run, and those of one that crashed.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::message::Swept;
use crate::processes::{self, Process, walk};
use crate::raw::{self, Child};

/// How long to wait for one process before the others are looked at again.
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// Kills and reaps the trees that have fallen to this process because their warden died: all its children and what is
/// below them, but for `spare` (the living wardens, and whatever else this process has started itself) and what is
/// below those. The dead warden must be reaped first ([`crate::Warden::bury`] does both): only its end hands its tree
/// on. Blocks, `bound` at most; what remains then is named as unkillable. `Unsupported` but on Linux.
pub fn sweep_orphans(spare: &[i32], bound: Duration) -> io::Result<Swept> {
    let this = processes::this();
    let deadline = Instant::now() + bound;
    let mut found = Swept::default();
    let mut first = true;
    loop {
        let mut orphans = processes::of_this_process()?;
        orphans.retain(|pid| !spare.contains(pid));
        walk(orphans.iter().map(|pid| (*pid, this)), this, |process, stat| {
            // An orphan fallen to us in this moment shows up in the next pass; a spared child never may.
            if spare.contains(&process.pid()) {
                return;
            }
            if first {
                found.note_killed(process.pid(), &stat.name);
            }
            let _ = process.signal(libc::SIGKILL);
        });
        first = false;
        for orphan in &orphans {
            // Unreaped, so the number is its own; this also reaches what `/proc` hides.
            let _ = raw::kill(*orphan, libc::SIGKILL);
            raw::reap(Child::Pid(*orphan))?;
        }
        let mut left = processes::of_this_process()?;
        left.retain(|pid| !spare.contains(pid));
        let Some(next) = left.first() else { return Ok(found) };
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            for pid in left {
                let name = Process::open(pid).ok().and_then(|process| process.stat()).map(|stat| stat.name);
                found.note_unkillable(pid, name.as_deref().unwrap_or("?"));
            }
            return Ok(found);
        }
        wait_for_end(*next, time.min(LONGEST_LOOK))?;
    }
}

/// Kills what a crashed run has left, when the supervisor and its wardens were killed in the same instant: the processes
/// that carry `WF_RUN_ID=<run_id>` in the environment they were started with, and what is below them. The caller must
/// hold the run's lock, which proves that the run is dead. Spares this process and those it descends from, which may
/// carry the mark too: a shell in which somebody tries something out. Blocks, `bound` at most; what remains then, or
/// may not be killed, is named as unkillable. `Unsupported` but on Linux.
pub fn kill_by_cookie(run_id: &str, bound: Duration) -> io::Result<Swept> {
    let cookie = format!("WF_RUN_ID={run_id}");
    let this = processes::this();
    let lineage = lineage(this);
    let deadline = Instant::now() + bound;
    let mut found = Swept::default();
    let mut forbidden: HashSet<i32> = HashSet::new();
    loop {
        let mut roots = Vec::new();
        for pid in processes::all()? {
            if lineage.contains(&pid) || forbidden.contains(&pid) {
                continue;
            }
            let Ok(process) = Process::open(pid) else { continue };
            if process.environment_has(cookie.as_bytes())
                && let Some(stat) = process.stat().filter(|stat| !stat.is_dead())
            {
                roots.push((pid, stat.parent));
            }
        }
        let mut dying = Vec::new();
        walk(roots, this, |process, stat| {
            let pid = process.pid();
            if lineage.contains(&pid) || forbidden.contains(&pid) {
                return;
            }
            match process.signal(libc::SIGKILL) {
                Ok(()) => {
                    found.note_killed(pid, &stat.name);
                    dying.push(pid);
                }
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    found.note_unkillable(pid, &stat.name);
                    forbidden.insert(pid);
                }
                Err(_) => {}
            }
        });
        let Some(next) = dying.first() else { return Ok(found) };
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            for pid in dying {
                if let Some(stat) = Process::open(pid).ok().and_then(|process| process.stat())
                    && !stat.is_dead()
                {
                    found.note_unkillable(pid, &stat.name);
                }
            }
            return Ok(found);
        }
        wait_for_end(*next, time.min(LONGEST_LOOK))?;
    }
}

/// A process and all it descends from.
fn lineage(of: i32) -> HashSet<i32> {
    let mut lineage = HashSet::new();
    let mut next = Some(of);
    while let Some(pid) = next.filter(|pid| lineage.insert(*pid)) {
        next = Process::open(pid).ok().and_then(|process| process.stat()).map(|stat| stat.parent);
    }
    lineage
}

/// Waits until a process ends, `bound` at most. One that is gone has ended.
pub(super) fn wait_for_end(pid: i32, bound: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Ok(process) = raw::pidfd(pid) {
        use std::os::fd::AsFd as _;
        return wait(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], bound);
    }
    // No descriptor for it, by an old kernel or because it is gone: a moment, and the caller looks again.
    wait(&mut [], bound.min(Duration::from_millis(2)))
}

fn wait(descriptors: &mut [PollFd<'_>], bound: Duration) -> io::Result<()> {
    // Rounded up: a wait of less than a millisecond must not become none.
    let bound = PollTimeout::try_from(bound + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    match poll(descriptors, bound) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
