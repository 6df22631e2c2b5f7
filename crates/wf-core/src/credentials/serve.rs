//! Serving: after every event, all that has become possible or impossible is decided here.

use super::calls::{Next, Whereabouts};
use super::coordinator::{CredentialCoordinator, Lease};
use super::pool::Pick;
use super::queue::WaiterId;
use super::quota::{Need, Ticket};
use super::spending::Affordable;
use super::survey::{Stuck, Survey, Wish};
use super::types::{CallOutcome, Decision, DenyCause, LeaseId, WaitReason};
use crate::Time;

/// What became of the attempt to serve a waiting call.
enum Served {
    /// It waits no more.
    Yes,
    /// It waits on.
    No(Stuck),
}

impl CredentialCoordinator {
    /// Decides all that can be decided at `now`. Whoever can be served is served before anybody's patience ends.
    pub(super) fn settle(&mut self, now: Time, out: &mut Vec<Decision>) {
        while let Some((_, lease)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.finish(lease, &CallOutcome::Abandoned, now, out);
        }
        self.end_backoffs(now);
        self.serve(now, out);
        self.deny_in_vain(now, out);
        let mut someone_left = false;
        while let Some((_, id)) = self.queue.next_deadline().filter(|(at, _)| *at <= now) {
            self.deny(id, DenyCause::MaxWait, out);
            someone_left = true;
        }
        if someone_left {
            // Who stood first may have kept the others waiting.
            self.serve(now, out);
        }
        self.tell(now, out);
        self.tell_aside(now, out);
    }

    /// Ends waits at once whose end is known to be beyond anybody's patience: a batch by night should not find that out in
    /// the morning.
    fn deny_in_vain(&mut self, now: Time, out: &mut Vec<Decision>) {
        for class in 0..self.stuck.len() {
            let Some(Stuck { reason: WaitReason::RateLimited, until: Some(until), .. }) = self.stuck[class]
            else {
                continue;
            };
            for id in self.queue.leaving_before(until, class) {
                let (wait, max_wait) = (until.since(now), self.policy.max_wait);
                self.deny(id, DenyCause::Beyond { wait, max_wait }, out);
            }
        }
    }

    /// Lets calls whose time aside is over into line, as far as the budget for repetitions goes.
    fn end_backoffs(&mut self, now: Time) {
        while let Some((due, id)) = self.queue.next_backoff().filter(|(due, _)| *due <= now) {
            if !self.retries.take(now) {
                break;
            }
            self.queue.end_backoff(due, id);
        }
    }

    fn serve(&mut self, now: Time, out: &mut Vec<Decision>) {
        let classes = self.stuck.len();
        self.stuck.fill(None);
        for class in 0..classes {
            for id in self.queue.picky(class) {
                if let Served::No(stuck) = self.try_serve(id, now, out) {
                    self.note_stuck(class, stuck);
                }
            }
        }
        let mut open: Vec<usize> = (0..classes).filter(|class| self.queue.has_line(*class)).collect();
        loop {
            // Classes of one provider compete for its keys: the first of all lines goes first.
            let heads =
                open.iter().enumerate().filter_map(|(at, class)| Some((self.queue.head(*class)?, at)));
            let Some(((_, id), at)) = heads.min() else { break };
            if let Served::No(stuck) = self.try_serve(id, now, out) {
                self.note_stuck(open[at], stuck);
                open.swap_remove(at);
            }
        }
    }

    /// Remembers why a class waits: the line's own reason, and the earliest of all wakes.
    fn note_stuck(&mut self, class: usize, stuck: Stuck) {
        let wake = self.stuck[class].and_then(|other| other.wake);
        let wake = [wake, stuck.wake].into_iter().flatten().min();
        self.stuck[class] = Some(Stuck { wake, ..stuck });
    }

    fn try_serve(&mut self, id: WaiterId, now: Time, out: &mut Vec<Decision>) -> Served {
        let Some(waiter) = self.queue.get(id) else { return Served::Yes };
        let class = waiter.class;
        match self.spending.ask(waiter.tokens) {
            Affordable::Yes => {}
            // Something is in flight, so a return will come.
            Affordable::Perhaps => {
                return Served::No(Stuck { reason: WaitReason::Pacing, wake: None, until: None });
            }
            Affordable::No => {
                self.deny(id, DenyCause::Budget, out);
                return Served::Yes;
            }
        }
        let stay = self.calls.served_by(waiter.who);
        let wish = Wish { need: waiter.need, avoid: &waiter.avoid, stay };
        match self.pool.survey(class, wish, now) {
            Survey::Go(pick) => {
                self.grant(id, pick, now, out);
                Served::Yes
            }
            Survey::Wait(stuck) => Served::No(stuck),
            Survey::Hopeless => {
                let refusal = waiter.avoid.last().and_then(|key| self.pool.key(*key).refusal());
                let detail = refusal.unwrap_or("the key was replaced").to_owned();
                let cause = if self.check_standing_of(class, now, out) {
                    DenyCause::KeyRefused(detail)
                } else if self.is_patient {
                    return Served::No(Stuck { reason: WaitReason::NoUsableKey, wake: None, until: None });
                } else {
                    DenyCause::PoolDead(self.obituary(class, now))
                };
                self.deny(id, cause, out);
                Served::Yes
            }
        }
    }

    fn grant(&mut self, id: WaiterId, pick: Pick, now: Time, out: &mut Vec<Decision>) {
        let Some(waiter) = self.queue.remove(id) else { return };
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        let class = &self.pool.classes[pick.class];
        let provider = &self.pool.providers[class.provider];
        let group = provider.groups[pick.position];
        let ticket =
            Ticket { lease, granted: now, epoch: class.quotas[pick.position].epoch(), tokens: waiter.tokens };
        let (breaker_epoch, model) = (provider.breaker.epoch(), class.model.clone());
        let expires = match waiter.need {
            Need::Call(_) => now + self.policy.lease_time,
            Need::Attempt => Time::NEVER,
        };
        self.pool.take(pick, lease, waiter.need, now);
        self.spending.reserve(waiter.tokens);
        self.calls.set_served_by(waiter.who, group);
        let wait = now.since(waiter.since);
        if let Some(call) = self.calls.get_mut((waiter.who, waiter.call)) {
            call.whereabouts = Whereabouts::Leased(lease);
            call.attempts += 1;
            call.waited += wait;
        }
        if expires < Time::NEVER {
            self.expiries.insert((expires, lease));
        }
        let (who, call, key) = (waiter.who, waiter.call, pick.key);
        self.leases.insert(
            lease,
            Lease {
                who,
                call,
                key,
                class: pick.class,
                position: pick.position,
                need: waiter.need,
                ticket,
                breaker_epoch,
                expires,
            },
        );
        out.push(Decision::Granted { who, call, lease, key, model, waited: wait, expires });
    }

    /// Tells a worker that its call will not be made. Asking again gets the same answer.
    fn deny(&mut self, id: WaiterId, cause: DenyCause, out: &mut Vec<Decision>) {
        let Some(waiter) = self.queue.remove(id) else { return };
        let (who, call) = (waiter.who, waiter.call);
        if let Some(known) = self.calls.get_mut((who, call)) {
            known.whereabouts = Whereabouts::Refused(Next::Denied(cause.clone()));
        }
        out.push(Decision::Denied { who, call, cause });
    }

    /// Each key of a dead class with its reason.
    fn obituary(&self, class: usize, now: Time) -> String {
        let keys = self.pool.keys_of(self.pool.classes[class].provider);
        let lines: Vec<String> = keys
            .map(|k| format!("{}: {}", self.key_name(k), self.pool.reason(k, Some(class), now)))
            .collect();
        lines.join("; ")
    }

    /// Tells workers whose calls stand aside after a fault.
    fn tell_aside(&mut self, now: Time, out: &mut Vec<Decision>) {
        for id in self.queue.take_untold_aside() {
            let Some(waiter) = self.queue.get(id) else { continue };
            let (who, call) = (waiter.who, waiter.call);
            let until = waiter.aside.map(|due| due.max(now));
            if self.queue.tell(id, WaitReason::Backoff) {
                out.push(Decision::Waiting { who, call, reason: WaitReason::Backoff, until });
            }
        }
    }
}
