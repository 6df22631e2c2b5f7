//! Asking and killing: one path for every reason to stop.

use std::time::Duration;

use super::{KILL, Supervisor};
use crate::attempt::Phase;
use crate::event::{Effect, Saying, StopCause, StopSignal};
use crate::shutdown::Stage;
use crate::{AttemptEnd, AttemptId, Record, Time};

impl Supervisor {
    pub(super) fn stop(&mut self, stage: Stage, cause: StopCause, now: Time) {
        self.ladder.note(cause);
        if !self.ladder.climb(stage) {
            return;
        }
        let signal = self.ladder.stopped_by().filter(|_| cause == StopCause::Operator);
        let why = signal.map_or_else(|| format!("{cause:?}"), |s| s.name().to_owned());
        self.record(Record::Stopping { why });
        let ids: Vec<AttemptId> = self.crew.iter().map(|a| a.id).collect();
        let (workers, grace) = (ids.len(), self.bounds.grace);
        self.out.push(Effect::Say(if stage == Stage::Killing {
            Saying::Killing { workers }
        } else {
            Saying::Stopping { cause, signal, workers, grace }
        }));
        for id in ids {
            if stage == Stage::Killing { self.kill(id, cause, now) } else { self.ask(id, cause, now) }
        }
    }

    /// Nothing can be written any more, or the supervisor cannot do its work for another reason.
    pub(super) fn trouble(&mut self, what: String, now: Time) {
        if self.ladder.cause() != Some(StopCause::Trouble) {
            self.out.push(Effect::Say(Saying::Trouble { what }));
        }
        self.stop(Stage::Asking, StopCause::Trouble, now);
    }

    /// The operator stops the run. Where it stops already for another reason, that is said: a Ctrl+C nobody answers is
    /// pressed again, and the second one kills.
    pub(super) fn stop_by_signal(&mut self, stage: Stage, signal: StopSignal, now: Time) {
        if stage > self.ladder.stage() || stage == Stage::Killing {
            return self.stop(stage, StopCause::Operator, now);
        }
        self.record(Record::Stopping { why: signal.name().to_owned() });
        let workers = self.workers();
        let last = self.crew.iter().filter_map(|a| a.kill_at).max();
        let grace = last.map_or(Duration::ZERO, |at| at.since(now));
        let (cause, signal) = (StopCause::Operator, Some(signal));
        self.out.push(Effect::Say(Saying::Stopping { cause, signal, workers, grace }));
    }

    pub(super) fn ask(&mut self, id: AttemptId, cause: StopCause, now: Time) {
        let grace = self.bounds.grace;
        let Some(attempt) = self.attempt(id) else { return };
        let (slot, connected) = (attempt.slot, attempt.line_open);
        match attempt.phase {
            Phase::Keys => self.cancel(id, cause, now),
            Phase::Running if attempt.stop.is_none() => {
                attempt.stop = Some(cause);
                attempt.kill_at = Some(now + grace);
                let item = self.batch.id(id.item).clone();
                self.record(Record::Asked { item, attempt: id.number, why: format!("{cause:?}") });
                self.out.push(Effect::Ask { attempt: id, slot, connected, cause, grace });
            }
            // A start in flight is asked once it is answered; what is ending needs no asking.
            _ => {}
        }
    }

    pub(super) fn kill(&mut self, id: AttemptId, cause: StopCause, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        let slot = attempt.slot;
        attempt.stop.get_or_insert(cause);
        match attempt.phase {
            Phase::Keys => self.cancel(id, cause, now),
            Phase::Running if !attempt.killed => {
                attempt.killed = true;
                attempt.kill_at = Some(now + KILL);
                let item = self.batch.id(id.item).clone();
                self.record(Record::Killed { item, attempt: id.number, why: format!("{cause:?}") });
                self.out.push(Effect::Kill { attempt: id, slot });
            }
            // Killed a moment ago: its end is on the way.
            Phase::Running if attempt.kill_at.is_some() => {}
            // Killed and still there: the sweep kills, waits within its bound, and names what it cannot kill.
            Phase::Running | Phase::Draining(_) => self.sweep(id, now),
            Phase::Starting | Phase::Sweeping | Phase::Closing(_) => {}
        }
    }

    /// An attempt that waits for its keys has no process yet: it is over at once.
    pub(super) fn cancel(&mut self, id: AttemptId, cause: StopCause, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        attempt.stop = Some(cause);
        attempt.end = Some((AttemptEnd::NotSpawned { why: "the run was stopped".into() }, now));
        attempt.swept = true;
        attempt.output_ended = true;
        self.end_attempt(id, now);
    }
}
