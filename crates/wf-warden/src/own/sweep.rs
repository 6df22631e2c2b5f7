//! Clearing up behind wardens that are dead: those of this run, and those of one that crashed.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::message::Swept;
use crate::processes::{self, Known, Process, Strike, walk};
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
    let orphans = || -> io::Result<Vec<i32>> {
        let mut children = processes::of_this_process()?;
        children.retain(|pid| !spare.contains(pid));
        Ok(children)
    };
    let mut found = Swept::default();
    walk(orphans()?.into_iter().map(|pid| (pid, Known::ChildOf(this))), |process, stat| {
        found.note_killed(process.pid(), &stat.name);
    });
    let mut strike = Strike::default();
    loop {
        strike.blow(|| orphans().unwrap_or_default(), deadline);
        for orphan in orphans()? {
            raw::reap(Child::Pid(orphan))?;
        }
        let left = orphans()?;
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
    if run_id.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let cookie = format!("WF_RUN_ID={run_id}");
    let lineage = lineage(processes::this());
    let deadline = Instant::now() + bound;
    let mut found = Swept::default();
    let mut forbidden: HashSet<i32> = HashSet::new();
    let mut quiet = false;
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
                roots.push((pid, Known::BegunAt(stat.start)));
            }
        }
        // First all, then the killing: what has lost its parent can no longer be told from a stranger, since it falls
        // to somebody else.
        let mut tree = Vec::new();
        walk(roots, |process, stat| {
            if !lineage.contains(&process.pid()) && !forbidden.contains(&process.pid()) {
                tree.push((process.pid(), stat.clone()));
            }
        });
        let mut dying = Vec::new();
        for (pid, stat) in tree {
            let Ok(process) = Process::open(pid) else { continue };
            if process.stat().is_none_or(|now| now.start != stat.start) {
                continue;
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
        }
        let Some(next) = dying.first() else {
            // Twice nothing: a process that is just executing another program shows no environment at all.
            if quiet {
                return Ok(found);
            }
            quiet = true;
            continue;
        };
        quiet = false;
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
