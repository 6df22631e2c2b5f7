//! How busy others kept the machine while we measured.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{SysconfVar, sysconf};

use super::process::cpu_of_children;

/// The machine's processors at the beginning of a suite.
pub struct Others {
    begun: Instant,
    all: Duration,
    ours: Duration,
}

impl Others {
    /// Looks for the first time.
    pub fn begin() -> Others {
        Others { begun: Instant::now(), all: of_all(), ours: of_us() }
    }

    /// The share of the processors' time since then that went to processes we did not start, from 0 to 1.
    pub fn share(&self) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let available = self.begun.elapsed().as_secs_f64() * processors as f64;
        let all = of_all().saturating_sub(self.all);
        let ours = of_us().saturating_sub(self.ours);
        (all.saturating_sub(ours).as_secs_f64() / available).clamp(0.0, 1.0)
    }
}

/// Ourselves and the children that were waited for. What a peer's daemon leaves unreaped counts as others'.
fn of_us() -> Duration {
    let own = getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    cpu_of_children() + Duration::from_micros(own as u64)
}

/// All processes and the kernel, since the machine started.
fn of_all() -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1) as u64;
    let ticks = busy_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default());
    Duration::from_millis(ticks * 1000 / per_second)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, and guests (which user and nice
/// contain already). Stolen time was taken from us by another machine, so it counts.
fn busy_ticks(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let numbers: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let idle = 3..=4;
    numbers
        .iter()
        .take(8)
        .enumerate()
        .filter(|(index, _)| !idle.contains(index))
        .map(|(_, ticks)| ticks)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_guests_do_not_count() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9"), 63);
        assert_eq!(busy_ticks(""), 0);
    }
}
