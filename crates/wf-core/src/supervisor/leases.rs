//! What a running worker says, and what the pool decides about it.

use super::{LAST_READING, OWN_CALLS, Supervisor};
use crate::attempt::Phase;
use crate::batch::whole_ms;
use crate::credentials::{
    CallId, CallOutcome, CredentialCoordinator, Decision, DenyCause, KeyIndex, LeaseId, LeaseRequest, Notice,
};
use crate::event::{Effect, Reply, Saying, StopCause};
use crate::shutdown::Stage;
use crate::{AttemptEnd, AttemptId, ItemId, ItemIndex, Record, Time};

impl Supervisor {
    pub(super) fn connected(&mut self, id: AttemptId, now: Time) {
        let grace = self.bounds.grace;
        if let Some(item) = self.heard(id, now) {
            self.record(Record::Connected { item, attempt: id.number });
        }
        let Some(attempt) = self.attempt(id) else { return };
        attempt.connected = true;
        attempt.line_open = true;
        let slot = attempt.slot;
        // It was asked by a signal that it may have missed while it set itself up.
        if let Some(cause) = attempt.stop {
            self.out.push(Effect::Ask { attempt: id, slot, connected: true, cause, grace });
        }
    }

    /// Without its connection a worker can neither return a lease nor hear of a grant. Its process is not judged by it.
    pub(super) fn disconnected(&mut self, id: AttemptId, now: Time) {
        if let Some(attempt) = self.attempt(id) {
            attempt.line_open = false;
            self.ask_pool(now, |pool, out| pool.hang_up(id, now, out));
            self.settle_waiting(id, now);
        }
    }

    /// A sign of life.
    pub(super) fn alive(&mut self, id: AttemptId, now: Time) -> Option<ItemIndex> {
        let attempt = self.attempt(id)?;
        if let Some(idle) = &mut attempt.idle {
            idle.feed(now);
        }
        Some(id.item)
    }

    /// A sign of life that is worth a record: the item's name, unless the worker has had its share of the journal.
    pub(super) fn heard(&mut self, id: AttemptId, now: Time) -> Option<ItemId> {
        let item = self.alive(id, now)?;
        let chatter = &mut self.attempt(id)?.chatter;
        if chatter.take(now) {
            return Some(self.batch.id(item).clone());
        }
        if chatter.is_news() {
            self.out.push(Effect::Say(Saying::Chatter { item }));
        }
        None
    }

    pub(super) fn acquire(&mut self, id: AttemptId, mut request: LeaseRequest, now: Time) {
        if self.alive(id, now).is_none() {
            return;
        }
        request.call.0 &= OWN_CALLS - 1;
        request.whole_attempt = false;
        self.ask_pool(now, |pool, out| {
            pool.request(id, request, now, out);
        });
    }

    pub(super) fn release(&mut self, id: AttemptId, lease: LeaseId, outcome: &CallOutcome, now: Time) {
        if self.alive(id, now).is_none() {
            return;
        }
        self.ask_pool(now, |pool, out| {
            pool.release(id, lease, outcome, now, out);
        });
    }

    /// Lets the pool decide and carries out what follows.
    pub(super) fn ask_pool(
        &mut self,
        now: Time,
        ask: impl FnOnce(&mut CredentialCoordinator, &mut Vec<Decision>),
    ) {
        let mut decisions = Vec::new();
        ask(&mut self.pool, &mut decisions);
        self.carry_out(decisions, now);
    }

    /// Passes on what the pool decided.
    pub(super) fn carry_out(&mut self, decisions: Vec<Decision>, now: Time) {
        let mut dead = false;
        for decision in decisions {
            match decision {
                Decision::Granted { who, call, lease, key, model, waited, expires } => {
                    self.record(Record::LeaseGranted {
                        item: self.batch.id(who.item).clone(),
                        attempt: who.number,
                        lease: lease.0,
                        key: self.pool.key_name(key).to_owned(),
                        model,
                        waited_ms: whole_ms(waited),
                    });
                    self.settle_waiting(who, now);
                    if call.0 >= OWN_CALLS {
                        self.key_leased(who, call, key, now);
                    } else {
                        let expires_in = expires.since(now);
                        let reply = Reply::Granted { call, lease, key, expires_in };
                        self.out.push(Effect::Tell { attempt: who, reply });
                    }
                }
                Decision::Returned { who, lease, key, outcome, tokens_in, tokens_out, .. } => {
                    let costs = self.batch.costs_mut(who.item);
                    let sent = outcome != CallOutcome::Abandoned.word();
                    costs.calls += u32::from(sent);
                    costs.retries += u32::from(sent && outcome != "ok");
                    costs.tokens_in = costs.tokens_in.saturating_add(tokens_in);
                    costs.tokens_out = costs.tokens_out.saturating_add(tokens_out);
                    self.record(Record::LeaseReturned {
                        item: self.batch.id(who.item).clone(),
                        attempt: who.number,
                        lease: lease.0,
                        key: self.pool.key_name(key).to_owned(),
                        outcome: outcome.to_owned(),
                        tokens_in,
                        tokens_out,
                    });
                }
                Decision::Waiting { who, call, reason, until } => {
                    self.settle_waiting(who, now);
                    if call.0 < OWN_CALLS {
                        let wait = until.map(|t| t.since(now));
                        self.out.push(Effect::Tell {
                            attempt: who,
                            reply: Reply::Waiting { call, reason, wait },
                        });
                    }
                }
                Decision::Denied { who, call, cause } => {
                    self.settle_waiting(who, now);
                    if call.0 >= OWN_CALLS {
                        self.key_denied(who, &cause, now);
                    } else {
                        if let Some(attempt) = self.attempt(who) {
                            attempt.denied = Some((cause.is_passing(), cause.to_string()));
                        }
                        self.out.push(Effect::Tell { attempt: who, reply: Reply::Denied { call, cause } });
                    }
                }
                Decision::Notice(notice) => {
                    dead |= matches!(notice, Notice::Dead { .. });
                    self.out.push(Effect::Say(Saying::Pool { notice, now }));
                }
            }
        }
        if dead && self.ladder.stage() < Stage::Asking && self.reading_until.is_none() {
            self.reading_until = Some(now + LAST_READING);
            self.out.push(Effect::ReadKeys);
        }
    }

    /// The key sources were read once more, or that took too long. A pool that is still dead ends the run.
    pub(super) fn keys_read(&mut self, now: Time) {
        if self.reading_until.take().is_some() && self.pool.is_dead() {
            self.stop(Stage::Asking, StopCause::PoolDead, now);
            self.ask_pool(now, |pool, out| pool.wait_for_operator(false, now, out));
        }
    }

    pub(super) fn key_leased(&mut self, id: AttemptId, call: CallId, key: KeyIndex, now: Time) {
        let Some(attempt) = self.attempt(id) else { return };
        attempt.keys_wanted.retain(|c| *c != call);
        attempt.keys.push(key);
        if attempt.keys_wanted.is_empty() && attempt.phase == Phase::Keys {
            self.order_start(id, now);
        }
    }

    /// A key for the whole attempt is not to be had: the attempt ends before it began.
    pub(super) fn key_denied(&mut self, id: AttemptId, cause: &DenyCause, now: Time) {
        let Some(attempt) = self.attempt(id).filter(|a| a.phase == Phase::Keys) else { return };
        attempt.denied = Some((cause.is_passing(), cause.to_string()));
        attempt.end = Some((AttemptEnd::NotSpawned { why: cause.to_string() }, now));
        attempt.swept = true;
        attempt.output_ended = true;
        self.end_attempt(id, now);
    }

    /// Keeps the attempt's watchdogs in step with whether it waits for quota.
    pub(super) fn settle_waiting(&mut self, id: AttemptId, now: Time) {
        let waiting = self.pool.waiting(id);
        if let Some(attempt) = self.attempt(id) {
            let waited = attempt.set_waiting(waiting, now);
            self.batch.costs_mut(id.item).waited += waited;
            self.waited += waited;
        }
    }
}
