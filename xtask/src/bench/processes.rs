//! What `/proc` says about processes: who descends from whom, who is left, how much they hold, how often they wake.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::unistd::{Pid, SysconfVar, sysconf};

/// One process as `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// Its program's name, at most 15 bytes.
    pub name: String,
    /// `S` sleeping, `Z` ended and not reaped, and so on.
    pub state: char,
    /// When it started, in the kernel's ticks: with the number, it names the process for good.
    pub started: u64,
    /// Processor time in the kernel's ticks.
    cpu_ticks: u64,
}

impl Process {
    /// The process with this number, if there is one.
    pub fn read(pid: Pid) -> Option<Process> {
        parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it has not ended. One that waits to be reaped has.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// Whether this very process still runs: its number may be another's by now.
    pub fn still_runs(&self) -> bool {
        Process::read(self.pid).is_some_and(|now| now.started == self.started && now.is_alive())
    }
}

/// Whether a process with this number runs.
#[cfg(test)]
pub fn is_alive(pid: Pid) -> bool {
    Process::read(pid).is_some_and(|process| process.is_alive())
}

/// The name may hold anything, also `)` and blanks: the fields are counted from the last `)`.
fn parse(stat: &str) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        pid: Pid::from_raw(pid.parse().ok()?),
        parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        started: number(19)?,
        cpu_ticks: number(11)? + number(12)?,
    })
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Process::read(Pid::from_raw(pid))).collect()
}

/// All that descends from this process and has not ended, itself not included.
pub fn below(ancestor: Pid) -> Vec<Process> {
    let mut by_parent: BTreeMap<Pid, Vec<Process>> = BTreeMap::new();
    for process in all().into_iter().filter(Process::is_alive) {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        let children = by_parent.remove(&parent).unwrap_or_default();
        parents.extend(children.iter().map(|child| child.pid));
        found.extend(children);
    }
    found
}

/// Whatever runs anywhere with this text in its environment, for what has left its family.
pub fn marked(mark: &str) -> Vec<Process> {
    let has_mark = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    all().into_iter().filter(|process| process.is_alive() && has_mark(process)).collect()
}

/// The most memory it held at once, in bytes, while it has any.
pub fn peak_bytes(pid: Pid) -> Option<u64> {
    Some(status_number(pid, "VmHWM:")? * 1024)
}

/// The memory that is this process's alone (nothing of its files), in bytes.
pub fn private_bytes(pid: Pid) -> Option<u64> {
    Some(status_number(pid, "RssAnon:")? * 1024)
}

fn status_number(pid: Pid, field: &str) -> Option<u64> {
    number_after(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, field)
}

fn number_after(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What processes did between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activity {
    /// Times one of their threads gave the processor away to wait for something.
    pub waits: u64,
    /// Processor time, to the kernel's tick (usually 10 ms).
    pub cpu: Duration,
}

impl Activity {
    /// Of these processes and all their threads, since they started.
    pub fn of(pids: &[Pid]) -> Activity {
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1) as u64;
        let mut sum = Activity::default();
        for pid in pids {
            let ticks = Process::read(*pid).map_or(0, |process| process.cpu_ticks);
            sum.cpu += Duration::from_millis(ticks * 1000 / per_second);
            let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for thread in threads.flatten() {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                sum.waits += number_after(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            }
        }
        sum
    }

    /// What was added since an earlier look.
    pub fn since(self, earlier: Activity) -> Activity {
        Activity {
            waits: self.waits.saturating_sub(earlier.waits),
            cpu: self.cpu.saturating_sub(earlier.cpu),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let line =
            "4242 (a) S 1 (b) Z 17 4242 4242 0 -1 4194560 100 0 0 0 3 4 0 0 20 0 1 0 987654 1000000 200";
        let process = parse(line).unwrap();
        assert_eq!(process.name, "a) S 1 (b");
        assert_eq!((process.pid.as_raw(), process.parent.as_raw(), process.state), (4242, 17, 'Z'));
        assert_eq!((process.started, process.cpu_ticks), (987_654, 7));
        assert!(!process.is_alive());
        for torn in ["", "12", "12 (sh", "12 (sh)", "12 (sh) S 1 2 3"] {
            assert_eq!(parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn we_are_below_our_parent() {
        let me = Process::read(Pid::this()).unwrap();
        assert!(me.still_runs());
        assert!(below(me.parent).iter().any(|process| process.pid == me.pid));
        assert!(peak_bytes(me.pid).unwrap() > 100_000);
        assert!(!Process { started: me.started + 1, ..me }.still_runs());
    }
}
