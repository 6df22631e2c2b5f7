//! What a returned lease means: for its call, its key, its group's quota, and its provider.

use super::calls::{Next, Whereabouts};
use super::coordinator::{CredentialCoordinator, Lease};
use super::hold::Hold;
use super::notice::Notice;
use super::quota::{Blocked, Need, Refusal};
use super::retry;
use super::types::{CallOutcome, Decision, DenyCause, LeaseId, QuotaHint};
use crate::Time;

impl CredentialCoordinator {
    /// Takes a lease back, once: it is out of the table before anything else happens.
    pub(super) fn finish(&mut self, id: LeaseId, outcome: &CallOutcome, now: Time, out: &mut Vec<Decision>) {
        let Some(lease) = self.leases.remove(&id) else { return };
        self.expiries.remove(&(lease.expires, id));
        let (tokens_in, tokens_out) = match outcome {
            CallOutcome::Ok { tokens_in, tokens_out, .. } => (*tokens_in, *tokens_out),
            _ => (0, 0),
        };
        self.spending.settle(lease.ticket.tokens, tokens_in.saturating_add(tokens_out));
        out.push(Decision::Returned {
            who: lease.who,
            call: lease.call,
            lease: id,
            key: lease.key,
            outcome: outcome.word(),
            tokens_in,
            tokens_out,
        });
        let quota = &mut self.pool.classes[lease.class].quotas[lease.position];
        let is_day_probe = quota.is_probe(id);
        let key = self.pool.key_mut(lease.key);
        key.in_flight = key.in_flight.saturating_sub(1);
        if lease.need == Need::Attempt {
            // Nobody here saw its calls: it says nothing of the pool.
            self.inconclusive(&lease, now);
            self.calls.close((lease.who, lease.call));
            return;
        }
        self.pool.classes[lease.class].quotas[lease.position].returned(lease.ticket);
        let provider = &mut self.pool.providers[self.pool.classes[lease.class].provider];
        provider.in_flight = provider.in_flight.saturating_sub(1);
        match outcome {
            CallOutcome::Ok { hints, .. } => {
                let used = tokens_in.saturating_add(tokens_out);
                self.accepted(&lease, used, hints, is_day_probe, now, out);
            }
            CallOutcome::Limited { dimension, retry_after, limit, slow_down, hints } => {
                let refusal = Refusal {
                    dimension: *dimension,
                    retry_after: *retry_after,
                    limit: *limit,
                    slow_down: *slow_down,
                    hints,
                };
                self.limited(&lease, refusal, is_day_probe, now, out);
            }
            CallOutcome::Overloaded { retry_after } => {
                self.key_and_group_inconclusive(&lease, now);
                let provider_index = self.pool.classes[lease.class].provider;
                let provider = &mut self.pool.providers[provider_index];
                let opened =
                    provider.breaker.overloaded(lease.breaker_epoch, *retry_after, &mut self.dice, now);
                if let Some(wait) = opened {
                    let provider = provider.name.clone();
                    out.push(Decision::Notice(Notice::Overloaded { provider, wait }));
                }
                self.faulted(&lease, "the provider is overloaded", now);
            }
            CallOutcome::KeyRefused { detail } => self.key_refused(&lease, detail, now, out),
            CallOutcome::Billing { detail } => self.unpaid(&lease, detail, now, out),
            CallOutcome::RequestRefused { detail } => {
                self.answered(&lease);
                self.key_and_group_inconclusive(&lease, now);
                self.next(&lease, Next::Denied(DenyCause::Refused(detail.clone())));
            }
            CallOutcome::Transient { detail } => {
                self.inconclusive(&lease, now);
                self.faulted(&lease, detail, now);
            }
            CallOutcome::Abandoned => {
                self.inconclusive(&lease, now);
                self.faulted(&lease, "the lease came back without an answer", now);
            }
        }
    }

    /// The provider said something: it is not overloaded.
    fn answered(&mut self, lease: &Lease) {
        let provider = self.pool.classes[lease.class].provider;
        self.pool.providers[provider].breaker.answered(lease.ticket.lease, lease.breaker_epoch);
    }

    /// If the call was to find out something of its key, its group or its provider: it did not.
    fn inconclusive(&mut self, lease: &Lease, now: Time) {
        self.key_and_group_inconclusive(lease, now);
        let provider = self.pool.classes[lease.class].provider;
        self.pool.providers[provider].breaker.inconclusive(lease.ticket.lease, &mut self.dice, now);
    }

    fn key_and_group_inconclusive(&mut self, lease: &Lease, now: Time) {
        let id = lease.ticket.lease;
        let key = self.pool.key_mut(lease.key);
        key.inconclusive(id, now);
        let group = key.group;
        if let Some(hold) = self.pool.groups[group].hold.as_mut().filter(|hold| hold.is_probe(id)) {
            hold.probe_lost(now);
        }
    }

    /// What the call gets when its worker asks again.
    fn next(&mut self, lease: &Lease, next: Next) {
        if let Some(call) = self.calls.get_mut((lease.who, lease.call)) {
            call.whereabouts = Whereabouts::Refused(next);
        }
    }

    fn accepted(
        &mut self,
        lease: &Lease,
        used: u64,
        hints: &[QuotaHint],
        is_day_probe: bool,
        now: Time,
        out: &mut Vec<Decision>,
    ) {
        let id = lease.ticket.lease;
        self.answered(lease);
        self.retries.success();
        let quota = &mut self.pool.classes[lease.class].quotas[lease.position];
        quota.accepted(lease.ticket, used, hints, is_day_probe, now);
        self.pool.classes[lease.class].coincidences.answered(lease.position, lease.ticket.granted);
        let key = self.pool.key_mut(lease.key);
        key.tokens = key.tokens.saturating_add(used);
        let freed = key.accepted(id);
        let group = key.group;
        let lifted = self.pool.groups[group].hold.take_if(|hold| hold.is_probe(id)).is_some();
        let Some(call) = self.calls.close((lease.who, lease.call)) else { return };
        let mut changed = lifted || freed;
        for refused in call.refused_keys.into_iter().filter(|refused| *refused != lease.key) {
            let key = self.pool.key_mut(refused);
            if let Some(detail) = key.call_worked_elsewhere((lease.who, lease.call), now) {
                out.push(Decision::Notice(Notice::Quarantined { key: refused, detail }));
                changed = true;
            }
        }
        if changed {
            self.check_standing(now, out);
        }
    }

    fn limited(
        &mut self,
        lease: &Lease,
        refusal: Refusal<'_>,
        is_day_probe: bool,
        now: Time,
        out: &mut Vec<Decision>,
    ) {
        self.answered(lease);
        self.key_and_group_inconclusive(lease, now);
        self.pool.key_mut(lease.key).refusals += 1;
        let quota = &mut self.pool.classes[lease.class].quotas[lease.position];
        let was_told = quota.is_told();
        match quota.refused(lease.ticket, refusal, is_day_probe, &mut self.dice, now) {
            Blocked::Straggler | Blocked::Prolonged => {}
            Blocked::Began(wait) => {
                let usable = self.pool.usable_for(lease.class, now);
                let total = self.pool.keys_of(self.pool.classes[lease.class].provider).count();
                let (key, dimension) = (lease.key, refusal.dimension);
                out.push(Decision::Notice(Notice::RateLimit { key, dimension, wait, usable, total }));
                if was_told {
                    self.look_for_sharing(lease, wait, now, out);
                }
            }
            Blocked::Barred => {
                let model = self.pool.classes[lease.class].model.clone();
                let group = self.pool.groups[self.pool.key(lease.key).group].name.clone();
                out.push(Decision::Notice(Notice::NoQuota { key: lease.key, group, model }));
                self.check_standing(now, out);
                // Each such refusal takes a group out of use for the model: that bounds them, not --max-retries.
                self.next(lease, Next::Line);
                return;
            }
        }
        let most = self.policy.max_retries;
        let Some(call) = self.calls.get_mut((lease.who, lease.call)) else { return };
        call.limited += 1;
        let next = if most.is_some_and(|most| call.limited > most) {
            Next::Denied(DenyCause::RateLimited { attempts: call.attempts })
        } else {
            Next::Line
        };
        call.whereabouts = Whereabouts::Refused(next);
    }

    fn key_refused(&mut self, lease: &Lease, detail: &str, now: Time, out: &mut Vec<Decision>) {
        self.answered(lease);
        let id = (lease.who, lease.call);
        let key = self.pool.key_mut(lease.key);
        let was_good = key.is_good();
        let quarantined = key.refused(id, lease.ticket.lease, detail, now);
        let group = key.group;
        if let Some(hold) = self.pool.groups[group].hold.as_mut().filter(|h| h.is_probe(lease.ticket.lease)) {
            hold.probe_lost(now);
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.refused_keys.push(lease.key);
            let next = if call.refused_keys.len() as u64 > u64::from(retry::KEY_REFUSALS) {
                Next::Denied(DenyCause::KeyRefused(detail.to_owned()))
            } else {
                Next::Line
            };
            call.whereabouts = Whereabouts::Refused(next);
        }
        if quarantined {
            let detail = detail.to_owned();
            out.push(Decision::Notice(Notice::Quarantined { key: lease.key, detail }));
        }
        if quarantined || !was_good {
            self.check_standing(now, out);
        }
    }

    fn unpaid(&mut self, lease: &Lease, detail: &str, now: Time, out: &mut Vec<Decision>) {
        self.answered(lease);
        let id = lease.ticket.lease;
        let key = self.pool.key_mut(lease.key);
        key.refusals += 1;
        key.inconclusive(id, now);
        let group = key.group;
        match &mut self.pool.groups[group].hold {
            Some(hold) if hold.is_probe(id) => hold.probe_failed(now),
            Some(_) => {}
            None => {
                self.pool.groups[group].hold = Some(Hold::new(detail.to_owned(), now));
                let detail = detail.to_owned();
                out.push(Decision::Notice(Notice::Billing { key: lease.key, detail }));
            }
        }
        if let Some(call) = self.calls.get_mut((lease.who, lease.call)) {
            call.billing += 1;
            let next = if call.billing > retry::BILLING {
                Next::Denied(DenyCause::KeyRefused(detail.to_owned()))
            } else {
                Next::Line
            };
            call.whereabouts = Whereabouts::Refused(next);
        }
        self.check_standing(now, out);
    }

    /// A passing fault: the call may be repeated a few times, later and later.
    fn faulted(&mut self, lease: &Lease, detail: &str, now: Time) {
        let Some(call) = self.calls.get_mut((lease.who, lease.call)) else { return };
        call.faults += 1;
        let next =
            if call.faults > self.policy.max_retries.map_or(retry::FAULTS, |most| most.min(retry::FAULTS)) {
                Next::Denied(DenyCause::Unreachable { attempts: call.attempts, detail: detail.to_owned() })
            } else {
                Next::After(now + retry::spacing(call.faults, &mut self.dice))
            };
        call.whereabouts = Whereabouts::Refused(next);
    }
}
