//! What a provider's replies teach of a quota: headers correct it downwards, refusals block it.

use std::time::Duration;

use super::super::bucket::MINUTE;
use super::super::day::DAY;
use super::super::dice::Dice;
use super::super::retry::LONGEST_HINT;
use super::super::types::{Dimension, QuotaHint};
use super::{Block, MOST_PATIENCE, Quota, Ticket};
use crate::Time;

/// Without a hint a block lasts this long, twice as long after each further refusal, and no longer than a minute, which
/// clears every limit of a minute. See [`Quota::bare_wait`] for what a minute does not clear.
const FIRST_BARE_WAIT: Duration = Duration::from_secs(4);
/// An exhausted day gets its first probe this long after the refusal.
pub(super) const DAY_PROBE: Duration = Duration::from_secs(15 * 60);
/// A limit of zero is looked at again after this: it is a matter of the project's plan, which changes seldom.
pub(super) const BARRED: Duration = DAY;
/// A header never holds a bucket longer than this: it was true when it was written.
const LONGEST_RESYNC: Duration = Duration::from_secs(120);

/// How a 429 was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Blocked {
    /// The call was granted before a block that is known: it says nothing new.
    Straggler,
    /// A block begins and lasts so long.
    Began(Duration),
    /// The probe of a blocked day was refused, too.
    Prolonged,
    /// The limit is zero.
    Barred,
}

/// A 429's content.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Refusal<'a> {
    pub(in super::super) dimension: Option<Dimension>,
    pub(in super::super) retry_after: Option<Duration>,
    pub(in super::super) limit: Option<u64>,
    pub(in super::super) slow_down: bool,
    pub(in super::super) hints: &'a [QuotaHint],
}

impl Quota {
    /// Takes a reply's header into account: limits as stated, and less room where the provider sees less.
    pub(super) fn hint(&mut self, hint: QuotaHint, tokens: u64, now: Time) {
        let left = hint.remaining;
        match hint.dimension {
            Dimension::RequestsPerDay => {
                if let Some(limit) = hint.limit.filter(|n| *n > 0) {
                    self.day.state(limit);
                    self.day.at_least(left.map_or(0, |left| limit.saturating_sub(left)));
                }
            }
            Dimension::RequestsPerMinute => {
                self.requests_limit.state(hint.limit.unwrap_or(0));
                self.retune(now);
                if let (Some(bucket), Some(left)) = (&mut self.requests, left) {
                    // Calls in flight may or may not be in the provider's count yet: count them.
                    let missing = (u64::from(self.in_flight) + 1).saturating_sub(left);
                    let wait = refill(hint, missing).unwrap_or_else(|| bucket.spacing(missing));
                    if missing > 0 {
                        bucket.hold_until(now + wait.min(LONGEST_RESYNC));
                    }
                }
            }
            Dimension::TokensPerMinute => {
                let is_news = self.tokens.is_none();
                self.tokens_limit.state(hint.limit.unwrap_or(0));
                self.retune(now);
                if let (Some(bucket), Some(left), Some(limit), true) =
                    (&mut self.tokens, left, hint.limit, is_news)
                {
                    // Calls in flight may not be in the provider's count yet: count them.
                    bucket.count_from(limit.saturating_sub(left).saturating_add(self.tokens_in_flight), now);
                }
                if let (Some(bucket), Some(left)) = (&mut self.tokens, left) {
                    let missing = self.tokens_in_flight.saturating_add(tokens).saturating_sub(left);
                    let wait = refill(hint, missing).unwrap_or_else(|| bucket.spacing(missing));
                    if missing > 0 {
                        bucket.hold_until(now + wait.min(LONGEST_RESYNC));
                    }
                }
            }
        }
    }

    /// A call was refused with 429.
    pub(in super::super) fn refused(
        &mut self,
        ticket: Ticket,
        refusal: Refusal<'_>,
        probe: bool,
        dice: &mut Dice,
        now: Time,
    ) -> Blocked {
        self.accepted.settle(ticket.granted, 1, 0);
        self.accepted_tokens.settle(ticket.granted, ticket.tokens, 0);
        self.refusal_took = self.refusal_took.max(now.since(ticket.granted)).min(MOST_PATIENCE);
        if ticket.epoch != self.epoch {
            return Blocked::Straggler;
        }
        if refusal.limit == Some(0) {
            self.barred_until = Some(now + BARRED);
            return Blocked::Barred;
        }
        for hint in refusal.hints {
            self.hint(*hint, ticket.tokens, now);
        }
        let is_unnamed = refusal.dimension.is_none();
        let alone = is_unnamed && self.latest == Some((ticket.granted, true));
        self.learn(refusal, alone, now);
        let hinted = refusal.retry_after.map(|wait| wait.min(LONGEST_HINT));
        let is_day = refusal.dimension == Some(Dimension::RequestsPerDay);
        let (wait, probe_in) = match hinted {
            _ if is_day => self.day_wait(hinted, probe, dice, now),
            Some(wait) => (dice.stretched(wait), None),
            None => (dice.stretched(self.bare_wait(is_unnamed, alone)), None),
        };
        let before = self.block.as_ref().map_or(Time::ZERO, |b| b.until);
        let until = (now + wait).max(before);
        let probe_at = probe_in.map(|after| now + after).filter(|at| *at < until);
        self.block = Some(Block { until, dimension: refusal.dimension, probe_at, probing: None });
        self.epoch = self.epoch.wrapping_add(1);
        (self.ramp, self.resumed, self.fresh_in_flight) = (Some(1), None, 0);
        if let Some(bucket) = &mut self.requests {
            bucket.hold_until(until);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.hold_until(until);
        }
        if probe { Blocked::Prolonged } else { Blocked::Began(until.since(now)) }
    }

    /// How long to send nothing after a refusal that says nothing of its end.
    ///
    /// Where it does not say which limit was met either, a second one in a row is no limit of a minute's if nothing was
    /// sent for a minute before its call: the day
    /// is used up, or the project has no quota, and each try is a call lost. It is looked at again as a used-up day is.
    /// Where nothing was ever answered and nothing is under way, the first wait is that minute already: two calls are lost
    /// to a day that was used up before the run, instead of ten in seven minutes.
    fn bare_wait(&mut self, is_unnamed: bool, alone: bool) -> Duration {
        self.bare += 1;
        if self.bare > 1 && alone {
            let wait = DAY_PROBE * (1 << self.day_probes.min(6));
            self.day_probes += 1;
            return wait;
        }
        if is_unnamed && !self.answered && self.in_flight == 0 {
            return MINUTE;
        }
        FIRST_BARE_WAIT.saturating_mul(1 << (self.bare - 1).min(8)).min(MINUTE)
    }

    /// How long a day that is used up stays so, and when that is probed.
    ///
    /// Where the provider's midnight is known, it lasts until then whatever the refusal says, with one probe: reports of
    /// such refusals that end sooner conflict. Elsewhere a day may be a rolling one: the refusal's own hint is believed,
    /// and without one there are probes, rarer each time.
    fn day_wait(
        &mut self,
        hinted: Option<Duration>,
        is_probe: bool,
        dice: &mut Dice,
        now: Time,
    ) -> (Duration, Option<Duration>) {
        if self.day.has_midnights() {
            let wait = dice.stretched(hinted.unwrap_or_default());
            let midnight = dice.stretched(self.day.ends(now).since(now));
            return (wait.max(midnight), (!is_probe).then(|| wait.max(DAY_PROBE)));
        }
        if let Some(wait) = hinted {
            // Believed once: a hint of a second that was followed and led to the next refusal is no hint of the day's end.
            let proved = self.day_probes.checked_sub(1).map(|times| DAY_PROBE * (1 << times.min(6)));
            self.day_probes += 1;
            return (dice.stretched(wait.max(proved.unwrap_or_default())), None);
        }
        let probe_in = DAY_PROBE * (1 << self.day_probes.min(6));
        self.day_probes += 1;
        (DAY, Some(probe_in))
    }

    /// Corrects the belief a refusal disproved. One of a call that was `alone` in its minute, and does not say why, disproves
    /// none: no rate is that low.
    fn learn(&mut self, refusal: Refusal<'_>, alone: bool, now: Time) {
        let whole = self.accepted.has_seen_a_minute(now);
        match (refusal.dimension, refusal.limit) {
            (Some(Dimension::RequestsPerDay), Some(limit)) => self.day.state(limit),
            (Some(Dimension::RequestsPerDay), None) => {}
            (Some(Dimension::TokensPerMinute), Some(limit)) => self.tokens_limit.state(limit),
            (Some(Dimension::TokensPerMinute), None) => {
                self.tokens_limit.refused_although_paced(self.accepted_tokens.last_minute(now), whole);
            }
            (Some(Dimension::RequestsPerMinute), Some(limit)) => self.requests_limit.state(limit),
            (None, _) if alone => {}
            (Some(Dimension::RequestsPerMinute) | None, _) => {
                self.requests_limit.refused_although_paced(self.accepted.last_minute(now), whole);
            }
        }
        if refusal.slow_down {
            self.requests_limit.slow_down(self.accepted.last_minute(now));
        }
        self.retune(now);
    }
}

/// The time until `missing` units are back, by a header that says when the bucket is full again.
fn refill(hint: QuotaHint, missing: u64) -> Option<Duration> {
    let used = hint.limit?.checked_sub(hint.remaining?).filter(|used| *used > 0)?;
    let reset = hint.reset?.min(DAY);
    Some(reset.mul_f64((missing as f64 / used as f64).min(1.0)))
}
