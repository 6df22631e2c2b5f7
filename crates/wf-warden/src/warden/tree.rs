//! All that is below a warden: counting, naming, stopping, killing, reaping.

use std::io;
use std::time::{Duration, Instant};

use super::Attempt;
use super::child_signal::ChildSignal;
use crate::message::{Exit, Swept};
use crate::processes::{self, Known, OwnChildren, Process, Stat, Strike, walk};
use crate::raw::{self, Child, Waited};

/// How long freezing waits for everybody to stand still.
const FREEZE_BOUND: Duration = Duration::from_millis(200);

/// How long stopping may go on before the killing begins.
const HOLD_BOUND: Duration = Duration::from_secs(2);

/// How long a sweep waits for a child to end before it looks at the tree again: what it kills ends within microseconds,
/// but the orphans of the killed fall to this process without a word.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

pub(super) struct Tree {
    /// `None` where children cannot be listed.
    children: Option<OwnChildren>,
    /// What no sweep could kill. It stays our child; it must not spoil the attempts that follow.
    given_up: Vec<i32>,
    /// What was stopped by [`Tree::freeze`], number and start, parents first.
    stopped: Vec<(i32, u64)>,
}

impl Tree {
    pub(super) fn below_this_process() -> Tree {
        Tree { children: OwnChildren::open().ok(), given_up: Vec::new(), stopped: Vec::new() }
    }

    /// Reaps what has ended, and tells whether nothing but the leader, itself a zombie, is left. Unknown is no.
    pub(super) fn is_empty_but_for(&mut self, leader: i32) -> io::Result<bool> {
        let Some(children) = &self.children else { return Ok(false) };
        loop {
            let mut others = false;
            let mut reaped = false;
            for child in children.list()?.into_iter().filter(|child| *child != leader) {
                match raw::reap(Child::Pid(child))? {
                    Waited::Ended(..) | Waited::Nobody => {
                        reaped = true;
                        self.given_up.retain(|other| *other != child);
                    }
                    Waited::Alive => others |= !self.given_up.contains(&child),
                }
            }
            if others || !reaped {
                return Ok(!others);
            }
        }
    }

    /// This child was reaped.
    pub(super) fn forget(&mut self, pid: i32) {
        self.given_up.retain(|other| *other != pid);
    }

    /// Writes down the living that an ended leader has left, up to the limit.
    pub(super) fn name(&self, attempt: &mut Attempt) {
        let Attempt { leader, killed, found, .. } = attempt;
        self.visit(Some(*leader), |process, stat| {
            if !(*killed && stat.group == *leader) {
                found.note_killed(process.pid(), &stat.name);
            }
        });
    }

    /// Stops everything for good, before any of it is killed: see [`Strike`].
    pub(super) fn hold(&mut self) {
        self.stopped.clear();
        Strike::default().stop(|| self.list(None), Instant::now() + HOLD_BOUND);
    }

    /// SIGKILL for all but the leader, which stays unreaped and pins the number of its group.
    pub(super) fn kill_all_but(&self, leader: i32) {
        Strike::default().blow(|| self.list(Some(leader)), Instant::now() + HOLD_BOUND);
    }

    /// Kills and reaps until nothing is left; what remains after `bound` is written down as unkillable. `ended` is
    /// called for each child that is reaped.
    pub(super) fn sweep(
        &mut self,
        bound: Duration,
        child_signal: &ChildSignal,
        found: &mut Swept,
        mut ended: impl FnMut(i32, Exit),
    ) -> io::Result<()> {
        let deadline = Instant::now() + bound;
        let mut look = FIRST_LOOK;
        let mut strike = Strike::default();
        loop {
            strike.blow(|| self.list(None), deadline);
            loop {
                match raw::reap(Child::Any)? {
                    Waited::Ended(pid, exit) => {
                        self.forget(pid);
                        ended(pid, exit);
                    }
                    Waited::Alive => break,
                    Waited::Nobody => return Ok(()),
                }
            }
            if !self.given_up.is_empty() && self.list(None).is_empty() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.give_up(found);
                return Ok(());
            }
            child_signal.wait(look.min(left))?;
            look = (look * 2).min(LONGEST_LOOK);
        }
    }

    /// SIGSTOP to all, parents first, so that none of them sees a child stop and acts on it; again until a pass finds
    /// nobody running, since a fork may have been under way.
    pub(super) fn freeze(&mut self, child_signal: &ChildSignal) -> io::Result<()> {
        let deadline = Instant::now() + FREEZE_BOUND;
        let mut stopped = std::mem::take(&mut self.stopped);
        loop {
            let mut running = false;
            self.visit(None, |process, stat| {
                let known = stopped.contains(&(process.pid(), stat.start));
                // Who was stopped before is not ours to continue. Who waits in the kernel (for a `vfork` child that
                // has stopped, for a disk) does nothing more either, once it has the signal.
                if stat.is_stopped() || (known && stat.state == b'D') {
                    return;
                }
                running = true;
                if !known && process.signal(libc::SIGSTOP).is_ok() {
                    stopped.push((process.pid(), stat.start));
                }
            });
            if !running || Instant::now() >= deadline {
                break;
            }
            child_signal.wait(FIRST_LOOK)?;
        }
        self.stopped = stopped;
        Ok(())
    }

    /// SIGCONT in reverse order.
    pub(super) fn thaw(&mut self) {
        for (pid, start) in std::mem::take(&mut self.stopped).into_iter().rev() {
            if let Ok(process) = Process::open(pid)
                && process.stat().is_some_and(|stat| stat.start == start)
            {
                let _ = process.signal(libc::SIGCONT);
            }
        }
    }

    fn give_up(&mut self, found: &mut Swept) {
        let mut named = Vec::new();
        self.visit(None, |process, stat| {
            named.push(process.pid());
            found.note_unkillable(process.pid(), &stat.name);
        });
        let children = self.list(None);
        for child in children {
            if !named.contains(&child) {
                found.note_unkillable(child, "?");
            }
            self.given_up.push(child);
        }
    }

    /// The direct children that matter.
    fn list(&self, but: Option<i32>) -> Vec<i32> {
        let children = self.children.as_ref().and_then(|children| children.list().ok()).unwrap_or_default();
        children.into_iter().filter(|child| Some(*child) != but && !self.given_up.contains(child)).collect()
    }

    fn visit(&self, but: Option<i32>, visit: impl FnMut(&Process, &Stat)) {
        let known = Known::ChildOf(processes::this());
        walk(self.list(but).into_iter().map(|child| (child, known)), visit);
    }
}
