//! From a free slot to a running process.

use std::time::Duration;

use super::{ANSWER, OWN_CALLS, SHORTAGES, Supervisor};
use crate::attempt::{Attempt, Kind, Phase};
use crate::credentials::{CallId, LeaseRequest};
use crate::event::{Effect, Saying};
use crate::retry::Backoff;
use crate::shutdown::Stage;
use crate::watchdog::Watchdog;
use crate::{AttemptEnd, AttemptId, Record, Time};

impl Supervisor {
    pub(super) fn fill_slots(&mut self, now: Time) {
        (self.is_short, self.short_until) = (false, None);
        while self.plan.is_none() && self.ladder.stage() == Stage::Running && self.frozen_since.is_none() {
            if self.batch.can_begin(now) && self.workers() >= self.most_workers(now) {
                (self.is_short, self.short_until) = (true, self.pool.next_usable_at(now));
                break;
            }
            let Some((id, slot)) = self.batch.begin_next(now) else { break };
            let item = self.batch.id(id.item).clone();
            self.record(Record::AttemptStarted { item, attempt: id.number, slot });
            let mut attempt = Attempt::new(id, slot, now);
            if self.bounds.with_keys.is_empty() {
                self.crew.join(attempt);
                self.order_start(id, now);
            } else {
                attempt.phase = Phase::Keys;
                let calls = 0..self.bounds.with_keys.len() as u64;
                attempt.keys_wanted = calls.map(|n| CallId(OWN_CALLS + n)).collect();
                self.crew.join(attempt);
                self.lease_keys(id, now);
            }
        }
    }

    /// With fewer than two keys usable of a pool that has more, more workers would only wait: as many run as the usable
    /// share of the keys can feed, and one at least. A run that has no use for keys is not held back by their state.
    fn most_workers(&self, now: Time) -> usize {
        let needs_keys = self.bounds.kind == Kind::Workflow || !self.bounds.with_keys.is_empty();
        let (usable, all) = self.pool.crew(now);
        if usable >= 2 || all < 2 || !(needs_keys || self.pool.is_asked_of()) {
            return usize::MAX;
        }
        (self.crew.slots() * usable).div_ceil(all).max(1)
    }

    pub(super) fn lease_keys(&mut self, id: AttemptId, now: Time) {
        for (n, provider) in self.bounds.with_keys.clone().into_iter().enumerate() {
            let call = CallId(OWN_CALLS + n as u64);
            let request = LeaseRequest {
                call,
                provider,
                model: String::new(),
                tokens: 0,
                share: 0,
                whole_attempt: true,
            };
            self.ask_pool(now, |pool, out| {
                pool.request(id, request, now, out);
            });
        }
    }

    pub(super) fn order_start(&mut self, id: AttemptId, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        attempt.phase = Phase::Starting;
        attempt.ordered = now;
        attempt.answer_by = Some(now + ANSWER);
        let (slot, keys) = (attempt.slot, attempt.keys.clone());
        self.out.push(Effect::Start { attempt: id, slot, keys });
    }

    pub(super) fn spawned(&mut self, id: AttemptId, pid: u32, now: Time) {
        let (timeout, idle) = (self.bounds.timeout, self.bounds.idle_timeout);
        let timeout = self.batch.slot_of(id).and_then(|_| self.batch.timeout(id.item)).or(timeout);
        let Some(attempt) = self.attempt(id).filter(|a| a.phase == Phase::Starting) else { return };
        attempt.phase = Phase::Running;
        attempt.answer_by = None;
        attempt.overhead += now.since(attempt.ordered);
        attempt.wall = timeout.map(|limit| Watchdog::start(limit, now));
        attempt.idle = idle.map(|limit| Watchdog::start(limit, now));
        let item = self.batch.id(id.item).clone();
        self.record(Record::Spawned { item, attempt: id.number, pid });
        // A stop that came while it was being started could not reach it.
        match (self.ladder.stage(), self.ladder.cause()) {
            (Stage::Asking, Some(cause)) => self.ask(id, cause, now),
            (Stage::Killing, Some(cause)) => self.kill(id, cause, now),
            _ => {}
        }
    }

    pub(super) fn spawn_failed(&mut self, id: AttemptId, shortage: bool, why: String, now: Time) {
        let cause = self.ladder.cause();
        let may_wait = self.ladder.stage() == Stage::Running && self.batch.shortages(id.item) < SHORTAGES;
        let Some(attempt) = self.attempt(id).filter(|a| a.phase == Phase::Starting) else { return };
        let slot = attempt.slot;
        if shortage && may_wait {
            let seed = self.seed(id.item);
            let mut wait = Duration::ZERO;
            self.batch.put_back(id, |times| {
                wait = Backoff::SHORTAGE.wait(times, seed);
                now + wait
            });
            self.crew.leave(slot);
            self.ask_pool(now, |pool, out| pool.forget(id, now, out));
            let item = self.batch.id(id.item).clone();
            let end = AttemptEnd::NotSpawned { why: why.clone() };
            let (verdict, leftovers) = (None, Vec::new());
            self.record(Record::AttemptEnded {
                item,
                attempt: id.number,
                end,
                verdict,
                wall_ms: 0,
                leftovers,
                unnamed: 0,
                log_bytes: None,
            });
            self.out.push(Effect::Close { attempt: id, slot });
            self.out.push(Effect::Say(Saying::Shortage { item: id.item, why, wait }));
        } else {
            if shortage {
                // It is no failure of the item that the run was stopped before its start could be tried again.
                attempt.stop = cause;
            }
            attempt.end = Some((AttemptEnd::NotSpawned { why }, now));
            attempt.swept = true;
            attempt.output_ended = true;
            self.end_attempt(id, now);
        }
    }
}
