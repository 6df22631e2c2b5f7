//! Programs under measurement: started together, watched, and ended by their pid if they take too long.

use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::processes;
use crate::shown;

/// How often memory is looked at. Its high-water mark only grows, so at most the last look is missed.
const LOOK: Duration = Duration::from_millis(10);

/// What programs took from the first start to the last end.
#[derive(Debug)]
pub struct Taken {
    /// By the wall's clock.
    pub wall: Duration,
    /// Of the processors, by the programs and all they waited for.
    pub cpu: Duration,
    /// The most memory the first program itself held at once, in bytes; not what its children held.
    pub peak_bytes: u64,
    /// How each ended, in the order of their starts.
    pub statuses: Vec<ExitStatus>,
}

/// Programs that run together. Dropped before their end, they are killed.
pub struct Family {
    children: Vec<Child>,
    begun: Instant,
    cpu_before: Duration,
}

impl Family {
    /// Starts the clock.
    pub fn begin() -> Family {
        Family { children: Vec::new(), cpu_before: cpu_of_children(), begun: Instant::now() }
    }

    /// One program alone.
    pub fn of(command: &mut Command) -> Result<Family> {
        let mut family = Family::begin();
        family.add(command)?;
        Ok(family)
    }

    /// Starts one more.
    pub fn add(&mut self, command: &mut Command) -> Result<&mut Child> {
        let child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
        self.children.push(child);
        self.children.last_mut().ok_or_else(|| anyhow!("nothing was started"))
    }

    /// The first program.
    pub fn first(&self) -> Result<Pid> {
        let first = self.children.first().ok_or_else(|| anyhow!("nothing was started"))?;
        Ok(pid(first))
    }

    /// Waits for all of them, at most for `bound`; past it they are killed, and that is an error.
    pub fn wait(mut self, bound: Duration) -> Result<Taken> {
        let pids: Vec<Pid> = self.children.iter().map(pid).collect();
        let watch = Watch::over(pids.clone(), bound);
        for pid in pids {
            // Left unreaped: as long as the watch may kill, the number must not become a stranger's.
            while let Err(error) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                if error != Errno::EINTR {
                    return Err(error).context("cannot wait for a program");
                }
            }
        }
        let wall = self.begun.elapsed();
        let (peak_bytes, overran) = watch.end();
        let mut statuses = Vec::new();
        for mut child in self.children.drain(..) {
            statuses.push(child.wait()?);
        }
        if overran {
            bail!("took longer than {} s and was killed", bound.as_secs());
        }
        let cpu = cpu_of_children().saturating_sub(self.cpu_before);
        Ok(Taken { wall, cpu, peak_bytes, statuses })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks at the memory of the first program, and kills all of them when their time is over.
struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<(u64, bool)>,
}

impl Watch {
    fn over(pids: Vec<Pid>, bound: Duration) -> Watch {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let end = Instant::now() + bound;
            let (mut peak, mut overran) = (0, false);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                peak = pids.first().and_then(|first| processes::peak_bytes(*first)).unwrap_or(0).max(peak);
                if !overran && Instant::now() > end {
                    overran = true;
                    for pid in &pids {
                        // One that has ended is an unreaped child of ours: nobody else is hit.
                        let _ = kill(*pid, Signal::SIGKILL);
                    }
                }
            }
            (peak, overran)
        });
        Watch { stop, thread }
    }

    fn end(self) -> (u64, bool) {
        drop(self.stop);
        self.thread.join().unwrap_or((0, false))
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// What all children that were waited for have used, and theirs.
pub fn cpu_of_children() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Duration::ZERO };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_waited_for() {
        let mut family = Family::begin();
        family.add(&mut Command::new("true")).unwrap();
        family.add(&mut Command::new("false")).unwrap();
        let taken = family.wait(Duration::from_secs(60)).unwrap();
        let codes: Vec<_> = taken.statuses.iter().map(ExitStatus::code).collect();
        assert_eq!(codes, [Some(0), Some(1)]);
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let family = Family::of(Command::new("sleep").arg("1000")).unwrap();
        let error = family.wait(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "took longer than 0 s and was killed");
    }

    #[test]
    fn what_is_dropped_is_killed() {
        let family = Family::of(Command::new("sleep").arg("1000")).unwrap();
        let pid = family.first().unwrap();
        assert!(processes::is_alive(pid));
        drop(family);
        assert!(!processes::is_alive(pid));
    }
}
