//! One attempt from its registration to its end, and the judgement of how it went.

use std::time::Duration;

use crate::chatter::Chatter;
use crate::credentials::{CallId, KeyIndex};
use crate::watchdog::Watchdog;
use crate::{AttemptEnd, AttemptId, Leftover, Outcome, OutputRef, Slot, StopCause, Time, Verdict};

/// Exit code of a worker that found no room for what it has to write (`EX_IOERR` of sysexits.h).
const OUT_OF_ROOM: u8 = 74;

/// What runs the items, and so what an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `wf-worker` with a built-in workflow: it must say hello, and success is approval.
    Workflow,
    /// Any command.
    Command,
}

/// Where an attempt is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for the keys of `--with-key`.
    Keys,
    /// Its start was ordered; no answer yet.
    Starting,
    /// Its process exists.
    Running,
    /// Its process ended; its last output is being read until then at the latest.
    Draining(Time),
    /// What it left is being killed and reaped.
    Sweeping,
    /// Nothing of it is left; only the end of its output is awaited.
    Closing(Time),
}

/// A running attempt.
#[derive(Debug)]
pub struct Attempt {
    /// Which.
    pub id: AttemptId,
    /// Where.
    pub slot: Slot,
    /// When it was registered.
    pub registered: Time,
    /// When its start was ordered.
    pub ordered: Time,
    /// Where it is in its life.
    pub phase: Phase,
    /// No answer from the warden by then means that the warden is lost.
    pub answer_by: Option<Time>,
    /// Whether it ever said hello: its exit codes have a meaning then.
    pub connected: bool,
    /// Whether it can be told something.
    pub line_open: bool,
    /// Its bound on time.
    pub wall: Option<Watchdog>,
    /// Its bound on silence.
    pub idle: Option<Watchdog>,
    /// Since when it waits for quota.
    pub waiting_since: Option<Time>,
    /// Why it was asked to stop.
    pub stop: Option<StopCause>,
    /// When it is killed, once asked.
    pub kill_at: Option<Time>,
    /// Whether it was killed.
    pub killed: bool,
    /// Calls still to be granted before it may start, for `--with-key`, and the keys already granted.
    pub keys_wanted: Vec<CallId>,
    /// Keys leased for its whole life.
    pub keys: Vec<KeyIndex>,
    /// What it said of itself.
    pub finished: Option<(Verdict, String, Option<OutputRef>)>,
    /// The last reason for which it was denied a call, and whether a later run may succeed.
    pub denied: Option<(bool, String)>,
    /// What may still be recorded of what it says.
    pub chatter: Chatter,
    /// How its process ended, and when.
    pub end: Option<(AttemptEnd, Time)>,
    /// Whether its tree is empty.
    pub swept: bool,
    /// Whether its output is at its end.
    pub output_ended: bool,
    /// What outlived it.
    pub leftovers: Vec<Leftover>,
    /// How many more there were than are named.
    pub unnamed: u32,
    /// Time between the order to start and the process, and between its end and this attempt's.
    pub overhead: Duration,
}

impl Attempt {
    /// An attempt that was just registered.
    pub fn new(id: AttemptId, slot: Slot, now: Time) -> Attempt {
        Attempt {
            id,
            slot,
            registered: now,
            ordered: now,
            phase: Phase::Starting,
            answer_by: None,
            connected: false,
            line_open: false,
            wall: None,
            idle: None,
            waiting_since: None,
            stop: None,
            kill_at: None,
            killed: false,
            keys_wanted: Vec::new(),
            keys: Vec::new(),
            finished: None,
            denied: None,
            chatter: Chatter::new(now),
            end: None,
            swept: false,
            output_ended: false,
            leftovers: Vec::new(),
            unnamed: 0,
            overhead: Duration::ZERO,
        }
    }

    /// The next time at which something must be done about it without any event.
    pub fn deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Draining(until) | Phase::Closing(until) => Some(until),
            Phase::Keys | Phase::Starting | Phase::Running | Phase::Sweeping => None,
        };
        let dogs = [&self.wall, &self.idle].into_iter().flatten().filter_map(Watchdog::deadline);
        let dogs = dogs.filter(|_| self.stop.is_none() && self.phase == Phase::Running).min();
        [phase, self.answer_by, self.kill_at, dogs].into_iter().flatten().min()
    }

    /// The watchdog that has expired, if one has.
    pub fn expired(&self, now: Time) -> Option<(StopCause, Duration)> {
        if self.stop.is_some() || self.phase != Phase::Running {
            return None;
        }
        let bite = |dog: &Option<Watchdog>, cause| {
            dog.as_ref().filter(|d| d.has_expired(now)).map(|d| (cause, d.limit()))
        };
        bite(&self.wall, StopCause::Timeout).or_else(|| bite(&self.idle, StopCause::Idle))
    }

    /// Moves every deadline by time in which nothing could be seen or done.
    pub fn credit(&mut self, lost: Duration) {
        for dog in [&mut self.wall, &mut self.idle].into_iter().flatten() {
            dog.credit(lost);
        }
        for at in [&mut self.answer_by, &mut self.kill_at].into_iter().flatten() {
            *at = *at + lost;
        }
        if let Phase::Draining(at) | Phase::Closing(at) = &mut self.phase {
            *at = *at + lost;
        }
    }

    /// It begins or ceases to wait for quota: its watchdogs pause meanwhile. Answers with the time waited.
    pub fn set_waiting(&mut self, waiting: bool, now: Time) -> Duration {
        let dogs = [&mut self.wall, &mut self.idle].into_iter().flatten();
        match (waiting, self.waiting_since) {
            (true, None) => {
                dogs.for_each(|dog| dog.pause(now));
                self.waiting_since = Some(now);
                Duration::ZERO
            }
            (false, Some(since)) => {
                for dog in dogs {
                    dog.resume(now);
                }
                if let Some(idle) = &mut self.idle {
                    idle.feed(now);
                }
                self.waiting_since = None;
                now.since(since)
            }
            _ => Duration::ZERO,
        }
    }

    /// Whether it ended because there is no room to write, which no other attempt would find either.
    pub fn is_out_of_room(&self) -> bool {
        self.connected && matches!(self.end, Some((AttemptEnd::Exited { code: OUT_OF_ROOM }, _)))
    }

    /// How it went, in a word and a sentence. Called once nothing of it is left.
    pub fn judge(&self, kind: Kind) -> (Outcome, String) {
        let end = self.end.as_ref().map_or(&AttemptEnd::Lost, |(end, _)| end);
        let said = self.finished.as_ref().map(|(_, detail, _)| detail.clone()).filter(|d| !d.is_empty());
        let success = match kind {
            Kind::Workflow => Outcome::Approved,
            Kind::Command => Outcome::Succeeded,
        };
        let code = match end {
            AttemptEnd::Exited { code } => Some(*code),
            _ => None,
        };
        let mute = kind == Kind::Workflow && !self.connected;
        match code {
            // Whoever says that it finished just before the stop took effect has finished. Of a plain command nobody
            // knows: many exit with 0 when they are asked to stop, and work that is repeated is not lost.
            Some(0) if !mute && (self.connected || self.stop.is_none()) => {
                return (success, said.unwrap_or_default());
            }
            Some(3) if self.connected => {
                return (Outcome::NeedsRevision, said.unwrap_or_else(|| "a person must look at it".into()));
            }
            _ => {}
        }
        if let Some(cause) = self.stop {
            return match cause {
                StopCause::Timeout => (Outcome::TimedOut, format!("ran longer than {}", self.bound(true))),
                StopCause::Idle => (Outcome::TimedOut, format!("was silent for {}", self.bound(false))),
                StopCause::PoolDead => (Outcome::Interrupted, "no usable key left".into()),
                StopCause::RunTimeout => (Outcome::Interrupted, "the run's time was up".into()),
                StopCause::Operator => (Outcome::Interrupted, "stopped by the operator".into()),
                StopCause::Trouble => (Outcome::Interrupted, "the supervisor could not go on".into()),
            };
        }
        match end {
            AttemptEnd::Exited { code: 75 | OUT_OF_ROOM } if self.connected => {
                let why = said.or_else(|| self.denied.as_ref().map(|(_, why)| why.clone()));
                (Outcome::Interrupted, why.unwrap_or_else(|| "stopped itself, its state saved".into()))
            }
            AttemptEnd::Exited { code: 0 } => {
                (Outcome::Failed, "the worker ended without having said hello to the supervisor".into())
            }
            AttemptEnd::Exited { code } => {
                (Outcome::Failed, said.unwrap_or_else(|| format!("exit code {code}")))
            }
            AttemptEnd::Signalled { signal } => {
                (Outcome::Failed, format!("killed by {}", signal_name(*signal)))
            }
            AttemptEnd::NotSpawned { why } => {
                let may_come = self.denied.as_ref().is_some_and(|(passing, _)| *passing);
                (if may_come { Outcome::Interrupted } else { Outcome::Failed }, why.clone())
            }
            AttemptEnd::Lost => (Outcome::Failed, "the warden process above it was lost".into()),
        }
    }

    fn bound(&self, wall: bool) -> String {
        let dog = if wall { &self.wall } else { &self.idle };
        words(dog.as_ref().map_or(Duration::ZERO, Watchdog::limit))
    }
}

/// A duration as people write it on the command line: `1h30m`, `5m`, `30s`, `1.5s`, `500ms`.
pub fn words(d: Duration) -> String {
    let (secs, ms) = (d.as_secs(), d.subsec_millis());
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (h, m, s, ms) {
        (0, 0, 0, ms) => format!("{ms}ms"),
        (0, 0, s, 0) => format!("{s}s"),
        (0, 0, s, ms) => format!("{}s", f64::from(ms).mul_add(0.001, s as f64)),
        (0, m, 0, _) => format!("{m}m"),
        (0, m, s, _) => format!("{m}m{s}s"),
        (h, 0, _, _) => format!("{h}h"),
        (h, m, _, _) => format!("{h}h{m}m"),
    }
}

/// The usual name of a signal's number (Linux numbering for the ones that differ between systems).
pub fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 20] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (16, "SIGSTKFLT"),
        (24, "SIGXCPU"),
        (25, "SIGXFSZ"),
        (26, "SIGVTALRM"),
        (31, "SIGSYS"),
    ];
    NAMES
        .iter()
        .find(|(n, _)| *n == signal)
        .map_or_else(|| format!("signal {signal}"), |(n, name)| format!("{name} (signal {n})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemIndex;

    fn ended(end: AttemptEnd, connected: bool, stop: Option<StopCause>) -> Attempt {
        let id = AttemptId { item: ItemIndex(0), number: 1 };
        let mut attempt = Attempt::new(id, Slot(0), Time::ZERO);
        attempt.end = Some((end, Time::ZERO));
        attempt.connected = connected;
        attempt.stop = stop;
        attempt
    }

    #[test]
    fn exit_codes_mean_what_the_contract_says() {
        use Kind::{Command, Workflow};
        use Outcome::{Approved, Failed, Interrupted, NeedsRevision, Succeeded, TimedOut};
        let exit = |code| AttemptEnd::Exited { code };
        let by = |signal| AttemptEnd::Signalled { signal };
        let stop = Some(StopCause::Operator);
        let table = [
            // end, said hello, asked to stop, kind -> outcome
            (exit(0), false, None, Command, Succeeded),
            (exit(0), true, None, Command, Succeeded),
            (exit(0), true, None, Workflow, Approved),
            (exit(0), false, None, Workflow, Failed),
            (exit(1), false, None, Command, Failed),
            (exit(3), false, None, Command, Failed),
            (exit(75), false, None, Command, Failed),
            (exit(3), true, None, Command, NeedsRevision),
            (exit(75), true, None, Command, Interrupted),
            (exit(3), true, None, Workflow, NeedsRevision),
            (exit(75), true, None, Workflow, Interrupted),
            (exit(42), true, None, Workflow, Failed),
            (exit(74), true, None, Workflow, Interrupted),
            (exit(74), false, None, Command, Failed),
            (by(9), true, None, Workflow, Failed),
            (by(11), false, None, Command, Failed),
            (by(15), false, stop, Command, Interrupted),
            (by(9), true, stop, Workflow, Interrupted),
            (exit(143), false, stop, Command, Interrupted),
            (exit(0), false, stop, Command, Interrupted),
            (exit(0), false, Some(StopCause::Timeout), Command, TimedOut),
            (exit(0), true, stop, Command, Succeeded),
            (exit(0), true, stop, Workflow, Approved),
            (exit(3), true, stop, Workflow, NeedsRevision),
            (exit(75), true, Some(StopCause::Timeout), Workflow, TimedOut),
            (by(9), false, Some(StopCause::Idle), Command, TimedOut),
            (exit(75), true, Some(StopCause::PoolDead), Workflow, Interrupted),
            (AttemptEnd::Lost, true, None, Workflow, Failed),
            (AttemptEnd::Lost, true, stop, Workflow, Interrupted),
            (AttemptEnd::NotSpawned { why: "x".into() }, false, None, Command, Failed),
        ];
        for (end, connected, stop, kind, outcome) in table {
            let attempt = ended(end.clone(), connected, stop);
            assert_eq!(attempt.judge(kind).0, outcome, "{end:?} hello={connected} stop={stop:?} {kind:?}");
        }
    }

    #[test]
    fn durations_read_as_they_are_written() {
        let table = [
            (500, "500ms"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (90_000, "1m30s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (86_400_000, "24h"),
        ];
        for (ms, text) in table {
            assert_eq!(words(Duration::from_millis(ms)), text);
        }
    }
}
