//! Who runs since when and is silent since when, for the bar and the lines that stand in for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use wf_core::credentials::Condition;
use wf_core::{AttemptId, Supervisor, Time};

use super::Hands;
use crate::console::progress::{Busy, NAMED, Noun, ProgressState};
use crate::store::board::on_the_wall;
use crate::store::moment;

/// One attempt's times.
#[derive(Clone, Copy, Debug)]
struct Times {
    began: Time,
    /// When it last wrote something; at first when it began.
    heard: Time,
}

/// The attempts that run, and their times.
#[derive(Debug, Default)]
pub struct Watch {
    running: HashMap<AttemptId, Times>,
    /// When anything was heard of any of them.
    last: Time,
    /// Those that ran the longest when it was last looked: an event does not look through all.
    longest: Vec<AttemptId>,
}

impl Watch {
    /// An attempt begins.
    pub fn began(&mut self, attempt: AttemptId, now: Time) {
        self.running.insert(attempt, Times { began: now, heard: now });
        self.last = now;
    }

    /// It wrote something.
    pub fn heard(&mut self, attempt: AttemptId, now: Time) {
        if let Some(times) = self.running.get_mut(&attempt) {
            times.heard = now;
            self.last = now;
        }
    }

    /// It is over.
    pub fn ended(&mut self, attempt: AttemptId, now: Time) {
        if self.running.remove(&attempt).is_some() {
            self.last = now;
        }
    }

    /// Looks who runs the longest, those that wait for quota left out.
    fn look(&mut self, waiting: &HashSet<AttemptId>) {
        let mut all: Vec<(Time, AttemptId)> = self
            .running
            .iter()
            .filter(|(attempt, _)| !waiting.contains(attempt))
            .map(|(attempt, times)| (times.began, *attempt))
            .collect();
        if all.len() > NAMED {
            all.select_nth_unstable(NAMED);
            all.truncate(NAMED);
        }
        all.sort_unstable();
        self.longest = all.into_iter().map(|(_, attempt)| attempt).collect();
    }

    /// Those that ran the longest when it was looked and run still, with the time each runs and is silent.
    fn longest(&self, now: Time) -> impl Iterator<Item = (AttemptId, Duration, Duration)> {
        self.longest.iter().filter_map(move |attempt| {
            let times = self.running.get(attempt)?;
            Some((*attempt, now.since(times.began), now.since(times.heard)))
        })
    }
}

impl Hands {
    /// How often to look although nothing happens: only where progress is drawn.
    pub fn progress_interval(&self) -> Option<Duration> {
        self.parts.console.progress_interval()
    }

    /// Shows where the run stands.
    pub fn look(&mut self, supervisor: &Supervisor) {
        let waiting = supervisor.pool().waits().map(|wait| wait.who).collect();
        self.watch.look(&waiting);
        self.parts.console.progress_tick(self.state(supervisor));
    }

    pub(super) fn state(&self, supervisor: &Supervisor) -> ProgressState {
        let counts = self.counts;
        let (put_off, _) = supervisor.put_off();
        let running = supervisor.workers() - supervisor.paused();
        let paused = supervisor.paused() + put_off;
        let now = self.parts.clock.now();
        let launcher = &self.parts.launcher;
        let busy = self.watch.longest(now).map(|(attempt, runs, silent)| Busy {
            name: launcher.shown_name(attempt.item),
            runs,
            silent,
        });
        ProgressState {
            noun: if launcher.is_built_in() { Noun::Workflows } else { Noun::Items },
            total: launcher.count(),
            complete: counts.total() - counts.not_started,
            skipped: counts.skipped,
            failed: counts.failures(),
            running: running as u32,
            paused: paused as u32,
            until: (running == 0 && paused > 0).then(|| self.wait_ends(supervisor, now)).flatten(),
            elapsed: now.since_start(),
            silent: now.since(self.watch.last),
            busy: busy.collect(),
        }
    }

    /// Until when all workers wait, in words, where it is known.
    fn wait_ends(&self, supervisor: &Supervisor, now: Time) -> Option<String> {
        let pool = supervisor.pool();
        let end = match pool.condition(now) {
            _ if supervisor.paused() == 0 => supervisor.put_off().1?,
            Condition::Limited(end) => end,
            // Each waits for something of its own; the first to go on ends it.
            _ => pool.waits().map(|wait| wait.until).min_by_key(|until| until.unwrap_or(Time::ZERO))??,
        };
        let end = on_the_wall(self.parts.clock.wall_origin(), end)?;
        Some(moment::until(end, Timestamp::now(), &self.parts.speaker.zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wf_core::ItemIndex;

    fn attempt(n: u32) -> AttemptId {
        AttemptId { item: ItemIndex(n), number: 1 }
    }

    #[test]
    fn the_longest_running_are_named_and_those_that_wait_are_not() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        for n in 0..500 {
            watch.began(attempt(n), at(u64::from(500 - n)));
        }
        watch.heard(attempt(498), at(600));
        watch.heard(attempt(1000), at(900));
        watch.look(&HashSet::from([attempt(499)]));
        let longest: Vec<_> = watch.longest(at(700)).collect();
        assert_eq!(longest.len(), NAMED);
        assert_eq!(longest[0], (attempt(498), Duration::from_secs(698), Duration::from_secs(100)));
        assert_eq!(longest[1], (attempt(497), Duration::from_secs(697), Duration::from_secs(697)));
        assert_eq!(watch.last, at(600), "what does not run is not heard");
        watch.ended(attempt(498), at(710));
        assert_eq!(
            watch.longest(at(711)).next().unwrap().0,
            attempt(497),
            "over is over, without another look"
        );
        assert_eq!(watch.last, at(710));
    }
}
