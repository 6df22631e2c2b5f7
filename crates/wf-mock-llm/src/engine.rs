//! What becomes of a call: the server's decisions, without its sockets and clocks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::config::MockConfig;
use crate::context::Context;
use crate::counters::{Counters, LastMinute, Tally};
use crate::faults::Fault;
use crate::quota::{Dimension, Excess, GroupQuota, Level};
use crate::wire::{Call, Dialect, Encoded, Levels, Manner, Refusal};
use crate::{answers, draw};

/// How long a refusal tells to wait where no limit says it, on the server's clock.
const USUAL_WAIT: Duration = Duration::from_secs(1);

/// The two clocks, read at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The server's clock, scaled: since its start.
    pub mock: Duration,
    /// The wall clock: since the Unix epoch.
    pub unix: Duration,
}

/// How a reply is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// In pieces, with this pause between them.
    Slow(Duration),
    /// The first half, then the connection closes.
    Cut,
    /// Not at all: the connection closes.
    Dropped,
    /// The first half, then nothing more on an open connection.
    Stalled,
}

/// What is to be done about a call.
#[derive(Debug)]
pub struct Plan {
    /// The reply.
    pub reply: Encoded,
    /// When to deliver it, from now, on the wall clock.
    pub delay: Duration,
    /// How.
    pub delivery: Delivery,
    /// To be handed to [`Engine::end`] when the call is over. `None` for refusals, which are over already.
    pub ticket: Option<Ticket>,
}

/// A call at work.
#[derive(Debug)]
pub struct Ticket {
    key: usize,
    prompt: u64,
    context: Option<Context>,
    tokens_in: u64,
    tokens_out: u64,
    whole: bool,
}

/// What is known of a prompt.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    attempts: u32,
    faults: u32,
    answers: u32,
}

/// The server's state.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: MockConfig,
    pub(crate) counters: Counters,
    /// Faults for the next calls, in order.
    pub(crate) next: VecDeque<Fault>,
    /// Everything is refused as overloaded.
    pub(crate) overloaded: bool,
    quotas: HashMap<(String, String), GroupQuota>,
    minutes: HashMap<(String, String), LastMinute>,
    seen: HashMap<u64, Seen>,
    replies: BTreeMap<Context, u32>,
}

impl Engine {
    /// A server that has seen nothing yet.
    pub fn new(config: MockConfig) -> Engine {
        let mut engine = Engine {
            config,
            counters: Counters::default(),
            next: VecDeque::new(),
            overloaded: false,
            quotas: HashMap::new(),
            minutes: HashMap::new(),
            seen: HashMap::new(),
            replies: BTreeMap::new(),
        };
        engine.reset_counters();
        engine
    }

    /// Counts from zero again. Calls at work stay counted as such.
    pub fn reset_counters(&mut self) {
        let old = std::mem::take(&mut self.counters);
        let at_work = |tally: Tally| Tally {
            in_flight: tally.in_flight,
            in_flight_max: tally.in_flight,
            ..Tally::default()
        };
        self.counters.total = at_work(old.total);
        for key in &self.config.keys {
            let tally = old.keys.get(&key.name).copied().unwrap_or_default();
            self.counters.keys.insert(key.name.clone(), at_work(tally));
            let group = old.groups.get(&key.group).map(|group| group.tally).unwrap_or_default();
            self.counters.groups.entry(key.group.clone()).or_default().tally = at_work(group);
        }
        self.minutes.clear();
        self.seen.clear();
    }

    /// Forgets what was taken of every quota. Called when limits change.
    pub fn reset_quotas(&mut self) {
        self.quotas.clear();
    }

    /// A request that only checks its key.
    pub fn check_key(&mut self, dialect: Dialect, secret: Option<&str>, now: Now) -> Encoded {
        self.counters.key_checks += 1;
        match self.key(secret) {
            Ok(_) => dialect.models(),
            Err(refusal) => dialect.refusal(&refusal, &self.manner("", now, Levels::default())),
        }
    }

    /// A request that was not understood.
    pub fn not_understood(&mut self, dialect: Dialect, refusal: &Refusal, now: Now) -> Encoded {
        self.counters.not_understood += 1;
        dialect.refusal(refusal, &self.manner("", now, Levels::default()))
    }

    /// Decides what becomes of a call that has just arrived.
    pub fn begin(&mut self, call: &Call, secret: Option<&str>, now: Now) -> Plan {
        let key = match self.key(secret) {
            Ok(key) => key,
            Err(refusal) => {
                if let Some(known) = secret.and_then(|secret| self.known(secret)) {
                    self.tally(known, |tally| {
                        tally.calls += 1;
                        tally.refused += 1;
                    });
                } else {
                    self.counters.unknown_key += 1;
                    self.counters.total.calls += 1;
                    self.counters.total.refused += 1;
                }
                return self.refuse(call, &refusal, Levels::default(), now);
            }
        };
        self.tally(key, |tally| tally.calls += 1);
        let (name, group) = (self.config.keys[key].name.clone(), self.config.keys[key].group.clone());

        let prompt = draw::hash(&[call.model.as_bytes(), call.system.as_bytes(), call.prompt.as_bytes()]);
        let seen = self.seen.entry(prompt).or_default();
        seen.attempts += 1;
        let chance = draw::hash(&[
            &self.config.seed.to_le_bytes(),
            &prompt.to_le_bytes(),
            &seen.attempts.to_le_bytes(),
        ]);
        let fault = self.fault(prompt, chance);
        if let Some(refusal) = self.refusal(&name, &group, &call.model, fault) {
            self.count_refusal(key, &refusal);
            let levels = self.levels(&group, &call.model, now);
            return self.refuse(call, &refusal, levels, now);
        }

        let context = Context::find(&call.system);
        let earlier = context.as_ref().and_then(|context| self.replies.get(context)).copied().unwrap_or(0);
        let answer = answers::bounded(answers::write(&self.config, context.as_ref(), call, earlier), call);
        if let Err(excess) = self.admit(key, &group, &call.model, answer.tokens_in + answer.tokens_out, now) {
            let refusal = self.limited(&excess);
            self.count_refusal(key, &refusal);
            let levels = self.levels(&group, &call.model, now);
            return self.refuse(call, &refusal, levels, now);
        }

        self.tally(key, |tally| {
            tally.in_flight += 1;
            tally.in_flight_max = tally.in_flight_max.max(tally.in_flight);
        });
        let delay = self.config.on_the_wall(self.config.latency.draw(chance));
        let delivery = match fault {
            Fault::Cut => Delivery::Cut,
            Fault::Dropped => Delivery::Dropped,
            Fault::Stalled => Delivery::Stalled,
            Fault::Slow => Delivery::Slow(delay.max(Duration::from_millis(40)).mul_f64(0.375)),
            _ => Delivery::Whole,
        };
        let broken_off = (fault == Fault::ErrorInside).then_some(&Refusal::Overloaded);
        let levels = self.levels(&group, &call.model, now);
        Plan {
            reply: call.dialect.reply(call.form, &answer, broken_off, &self.manner(&call.model, now, levels)),
            delay,
            delivery,
            ticket: Some(Ticket {
                key,
                prompt,
                context,
                tokens_in: answer.tokens_in,
                tokens_out: answer.tokens_out,
                whole: broken_off.is_none() && matches!(delivery, Delivery::Whole | Delivery::Slow(_)),
            }),
        }
    }

    /// A call is over: its reply was handed to the connection to the last byte it was to have, or the client is gone.
    pub fn end(&mut self, ticket: Ticket, delivered: bool) {
        let (tokens_in, tokens_out, whole) = (ticket.tokens_in, ticket.tokens_out, ticket.whole);
        self.tally(ticket.key, |tally| {
            tally.in_flight = tally.in_flight.saturating_sub(1);
            match (delivered, whole) {
                (true, true) => {
                    tally.ok += 1;
                    tally.tokens_in += tokens_in;
                    tally.tokens_out += tokens_out;
                }
                (true, false) => tally.errors += 1,
                (false, _) => tally.abandoned += 1,
            }
        });
        if !delivered || !whole {
            return;
        }
        let seen = self.seen.entry(ticket.prompt).or_default();
        seen.answers += 1;
        if seen.answers == 1 {
            self.counters.prompts += 1;
        } else {
            self.counters.duplicates += 1;
        }
        if let Some(context) = ticket.context {
            let name =
                format!("{}/{}/{}/{}", context.workflow, context.node, context.iteration, context.item);
            *self.counters.answered.entry(name).or_default() += 1;
            *self.replies.entry(context).or_default() += 1;
        }
    }

    fn known(&self, secret: &str) -> Option<usize> {
        self.config.keys.iter().position(|key| key.secret == secret)
    }

    fn key(&self, secret: Option<&str>) -> Result<usize, Refusal> {
        let secret = secret.filter(|secret| !secret.is_empty()).ok_or(Refusal::KeyMissing)?;
        let key = self.known(secret).ok_or(Refusal::KeyInvalid)?;
        if self.config.revoked.contains(&self.config.keys[key].name) {
            Err(Refusal::KeyInvalid)
        } else {
            Ok(key)
        }
    }

    /// The fault this call meets: one that was asked for, else one that chance has.
    fn fault(&mut self, prompt: u64, chance: u64) -> Fault {
        if let Some(next) = self.next.pop_front() {
            return next;
        }
        let faults = self.config.faults;
        let seen = self.seen.entry(prompt).or_default();
        let fault = faults.pick(draw::unit(draw::hash(&[b"fault", &chance.to_le_bytes()])));
        if matches!(fault, Fault::None | Fault::Slow) {
            return fault;
        }
        if faults.per_prompt > 0 && seen.faults >= faults.per_prompt {
            return Fault::None;
        }
        seen.faults += 1;
        fault
    }

    fn refusal(&self, key: &str, group: &str, model: &str, fault: Fault) -> Option<Refusal> {
        let in_flight = self.counters.keys.get(key).map_or(0, |tally| tally.in_flight);
        let concurrency = self.config.key_concurrency.map(u64::from);
        let limited =
            |dimension, limit| Some(self.limited(&Excess { dimension, limit, retry_after: USUAL_WAIT }));
        match fault {
            Fault::KeyRefused => return Some(Refusal::KeyInvalid),
            Fault::NoCredit => return Some(Refusal::NoCredit),
            Fault::Overloaded => return Some(Refusal::Overloaded),
            Fault::Failed => return Some(Refusal::Failed),
            Fault::NoCapacity => return Some(Refusal::NoCapacity),
            Fault::Limited => {
                let rpm = self.config.limits_of(group).rpm.unwrap_or(60);
                return limited(Dimension::RequestsPerMinute, u64::from(rpm));
            }
            Fault::None | Fault::Cut | Fault::Dropped | Fault::Slow | Fault::Stalled | Fault::ErrorInside => {
            }
        }
        if self.config.no_credit.contains(group) {
            return Some(Refusal::NoCredit);
        }
        if self.config.no_quota.get(group).is_some_and(|models| models.contains(model)) {
            return Some(Refusal::NoQuota);
        }
        if self.overloaded {
            return Some(Refusal::Overloaded);
        }
        if self.config.day_exhausted.contains(group) {
            let rpd = self.config.limits_of(group).rpd.unwrap_or(1_500);
            return limited(Dimension::RequestsPerDay, u64::from(rpd));
        }
        match concurrency {
            Some(most) if in_flight >= most => limited(Dimension::Concurrency, most),
            _ => None,
        }
    }

    fn limited(&self, excess: &Excess) -> Refusal {
        Refusal::Limited(excess.dimension, excess.limit, self.config.on_the_wall(excess.retry_after))
    }

    fn admit(&mut self, key: usize, group: &str, model: &str, tokens: u64, now: Now) -> Result<(), Excess> {
        self.quota(group, model).admit(now.mock, tokens)?;
        let bucket = (group.to_owned(), model.to_owned());
        let (requests, tokens) = self.minutes.entry(bucket).or_default().admit(now.mock, tokens);
        let group = self.counters.groups.entry(self.config.keys[key].group.clone()).or_default();
        group.minute_max = group.minute_max.max(requests);
        group.minute_max_tokens = group.minute_max_tokens.max(tokens);
        Ok(())
    }

    fn quota(&mut self, group: &str, model: &str) -> &mut GroupQuota {
        let config = &self.config;
        let fresh = || GroupQuota::new(config.limits_of(group), config.window, config.count_refused);
        self.quotas.entry((group.to_owned(), model.to_owned())).or_insert_with(fresh)
    }

    fn levels(&mut self, group: &str, model: &str, now: Now) -> Levels {
        let quota = self.quota(group, model);
        let (requests, tokens) = (quota.requests(now.mock), quota.tokens(now.mock));
        let on_the_wall = |level: Level| Level { full_in: self.config.on_the_wall(level.full_in), ..level };
        Levels { requests: requests.map(on_the_wall), tokens: tokens.map(on_the_wall) }
    }

    fn manner<'a>(&self, model: &'a str, now: Now, levels: Levels) -> Manner<'a> {
        // Whole seconds are the exact form of an unscaled clock only.
        let whole_seconds = (self.config.time_scale - 1.0).abs() < f64::EPSILON;
        Manner { model, hints: self.config.hints, now_unix: now.unix, whole_seconds, levels }
    }

    fn refuse(&self, call: &Call, refusal: &Refusal, levels: Levels, now: Now) -> Plan {
        let reply = call.dialect.refusal(refusal, &self.manner(&call.model, now, levels));
        Plan { reply, delay: Duration::ZERO, delivery: Delivery::Whole, ticket: None }
    }

    fn count_refusal(&mut self, key: usize, refusal: &Refusal) {
        self.tally(key, |tally| match refusal {
            Refusal::Limited(..) | Refusal::NoQuota => tally.limited += 1,
            Refusal::Overloaded | Refusal::NoCapacity => tally.overloaded += 1,
            Refusal::Failed => tally.errors += 1,
            Refusal::KeyMissing | Refusal::KeyInvalid | Refusal::NoCredit | Refusal::BadRequest(_) => {
                tally.refused += 1;
            }
        });
    }

    /// Counts something of a key, of its group and in total.
    fn tally(&mut self, key: usize, count: impl Fn(&mut Tally)) {
        let key = &self.config.keys[key];
        count(self.counters.keys.entry(key.name.clone()).or_default());
        count(&mut self.counters.groups.entry(key.group.clone()).or_default().tally);
        count(&mut self.counters.total);
    }
}

#[cfg(test)]
mod tests;
