//! From the end of a process to the outcome of its item.

use super::{ANSWER, DRAIN, Supervisor};
use crate::attempt::{Attempt, Kind, Phase, words};
use crate::batch::whole_ms;
use crate::event::{Effect, Saying};
use crate::retry::Backoff;
use crate::shutdown::Stage;
use crate::{AttemptEnd, AttemptId, Leftover, Outcome, Record, Time};

impl Supervisor {
    pub(super) fn exited(&mut self, id: AttemptId, end: AttemptEnd, alone: bool, now: Time) {
        let stage = self.ladder.stage();
        let live = |a: &&mut Attempt| matches!(a.phase, Phase::Running | Phase::Sweeping);
        let Some(attempt) = self.attempt(id).filter(live) else { return };
        attempt.end = Some((end, now));
        attempt.kill_at = None;
        attempt.swept = alone;
        let is_swept_already = attempt.phase == Phase::Sweeping;
        if alone {
            // Also when a sweep was ordered in the same moment: there was nothing to sweep, so nothing answers.
            attempt.answer_by = None;
        } else if is_swept_already {
            return;
        }
        // Whatever it still held or waited for is free for others at once.
        self.ask_pool(now, |pool, out| pool.forget(id, now, out));
        self.settle_waiting(id, now);
        let Some(attempt) = self.attempt(id) else { return };
        if alone {
            attempt.phase = Phase::Closing(now + DRAIN);
        } else if attempt.output_ended || attempt.killed || stage == Stage::Killing {
            self.sweep(id, now);
        } else {
            attempt.phase = Phase::Draining(now + DRAIN);
        }
        self.end_attempt(id, now);
    }

    pub(super) fn output_ended(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        attempt.output_ended = true;
        if matches!(attempt.phase, Phase::Draining(_)) {
            self.sweep(id, now);
        }
        self.end_attempt(id, now);
    }

    pub(super) fn sweep(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        attempt.phase = Phase::Sweeping;
        attempt.answer_by = Some(now + ANSWER);
        let slot = attempt.slot;
        self.out.push(Effect::Sweep { attempt: id, slot });
    }

    pub(super) fn swept(&mut self, id: AttemptId, leftovers: Vec<Leftover>, unnamed: u32, now: Time) {
        let Some(attempt) = self.attempt(id).filter(|a| a.phase == Phase::Sweeping) else { return };
        (attempt.leftovers, attempt.unnamed) = (leftovers, unnamed);
        attempt.swept = true;
        attempt.answer_by = None;
        attempt.phase = Phase::Closing(now + DRAIN);
        self.end_attempt(id, now);
    }

    pub(super) fn warden_lost(&mut self, id: AttemptId, leftovers: Vec<Leftover>, unnamed: u32, now: Time) {
        let gone = |a: &&mut Attempt| !matches!(a.phase, Phase::Keys | Phase::Closing(_));
        let Some(attempt) = self.attempt(id).filter(gone) else { return };
        attempt.end.get_or_insert((AttemptEnd::Lost, now));
        (attempt.leftovers, attempt.unnamed) = (leftovers, unnamed);
        attempt.swept = true;
        attempt.answer_by = None;
        attempt.kill_at = None;
        attempt.phase = Phase::Closing(now + DRAIN);
        self.end_attempt(id, now);
    }

    /// Ends the attempt if its tree is empty and its output is at its end: two facts, in any order.
    pub(super) fn end_attempt(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        if !(attempt.swept && attempt.output_ended) {
            return;
        }
        let slot = attempt.slot;
        // Whatever it still holds or waits for is free for others, and counted before the item's costs are recorded.
        self.ask_pool(now, |pool, out| pool.forget(id, now, out));
        let Some(mut attempt) = self.crew.leave(slot) else { return };
        let (outcome, detail) = attempt.judge(self.bounds.kind);
        let no_room = attempt.is_out_of_room().then(|| detail.clone());
        let end = attempt.end.clone().map_or(AttemptEnd::Lost, |(end, at)| {
            attempt.overhead += now.since(at);
            end
        });
        let wall = now.since(attempt.registered);
        self.worked += wall;
        self.overhead += attempt.overhead;
        let waited = attempt.set_waiting(false, now);
        self.waited += waited;
        let costs = self.batch.costs_mut(id.item);
        costs.wall += wall;
        costs.waited += waited;
        let finished = attempt.finished.take();
        self.record(Record::AttemptEnded {
            item: self.batch.id(id.item).clone(),
            attempt: id.number,
            end: end.clone(),
            verdict: finished.as_ref().map(|(verdict, ..)| *verdict),
            wall_ms: whole_ms(wall),
            leftovers: attempt.leftovers.clone(),
            unnamed: attempt.unnamed,
            log_bytes: None,
        });
        if !attempt.leftovers.is_empty() {
            let leftovers = std::mem::take(&mut attempt.leftovers);
            let unnamed = attempt.unnamed;
            self.out.push(Effect::Say(Saying::Leftovers { item: id.item, leftovers, unnamed }));
        }
        self.out.push(Effect::Close { attempt: id, slot });
        if let Some(code) = self.says_not_now(&end, outcome) {
            return self.try_later(id, code, now);
        }
        let retry = outcome.is_failure()
            && self.batch.attempts(id.item) <= self.bounds.item_retries
            && self.ladder.stage() == Stage::Running
            && attempt.denied.as_ref().is_none_or(|(passing, _)| *passing);
        let mut retry_in = None;
        if retry {
            let wait = Backoff::ITEM.wait(self.batch.attempts(id.item), self.seed(id.item));
            retry_in = Some(wait);
            self.batch.retry(id.item, now + wait, outcome, detail.clone());
        } else {
            let output = finished.and_then(|(.., output)| output);
            let record = self.batch.end(id.item, outcome, detail.clone(), output);
            self.record(record);
        }
        if !outcome.is_done() {
            let (item, why) = (id.item, detail);
            self.out.push(Effect::Say(Saying::ItemTrouble { item, outcome, why, retry_in }));
        }
        if let Some(why) = no_room {
            let what = format!("item {}: {why}", self.batch.id(id.item));
            self.trouble(what, now);
        }
        self.stop_at_max_fail();
    }

    /// The exit code of a command that could not work now and asks for another time.
    fn says_not_now(&self, end: &AttemptEnd, outcome: Outcome) -> Option<u8> {
        match end {
            // Whoever said hello has other words for it, and whoever was stopped is not the judge of that.
            AttemptEnd::Exited { code }
                if self.bounds.kind == Kind::Command
                    && outcome == Outcome::Failed
                    && self.bounds.tempfail.contains(code) =>
            {
                Some(*code)
            }
            _ => None,
        }
    }

    /// The item is tried again later. That is no failure of it, and no attempt.
    fn try_later(&mut self, id: AttemptId, code: u8, now: Time) {
        let item = id.item;
        let (since, times) = self.batch.not_now(item, now);
        let left = self.max_wait.saturating_sub(now.since(since));
        if left.is_zero() || self.ladder.stage() > Stage::Running {
            let (outcome, waited) = (Outcome::Interrupted, now.since(since));
            let why = if left.is_zero() && !waited.is_zero() {
                format!("exit code {code}: not now, and not for {} (--max-wait)", words(waited))
            } else {
                format!("exit code {code}: not now")
            };
            let record = self.batch.end(item, outcome, why.clone(), None);
            self.record(record);
            self.out.push(Effect::Say(Saying::ItemTrouble { item, outcome, why, retry_in: None }));
            return;
        }
        let wait = Backoff::NOT_NOW.wait(times, self.seed(item)).min(left);
        self.batch.put_off(item, now + wait, format!("exit code {code}: not now"));
        self.out.push(Effect::Say(Saying::PutOff { item, code, wait }));
    }

    pub(super) fn stop_at_max_fail(&mut self) {
        let failures = self.batch.counts().failures();
        if self.bounds.max_fail.is_some_and(|max| failures >= max) && self.ladder.climb(Stage::Finishing) {
            self.record(Record::Stopping { why: format!("{failures} items failed (--max-fail)") });
            self.out.push(Effect::Say(Saying::MaxFail { failures }));
        }
    }
}
