//! What is said of the pool, and what is not: one line when an episode begins, one when it ends, and between them one a
//! minute at most, with the count of what was left out.
//!
//! The core tells every block. In a storm that is a line per block and group, so here they become episodes: per provider
//! one of rate limits and one of overload. Nothing here needs a timer: an episode's end is noticed when something
//! happens, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wf_core::credentials::{Dimension, KeyIndex, KeyState, KeyStatus, Notice, QuotaStatus};
use wf_core::{Record, Time};

use super::words::{Speaker, count};

/// While an episode lasts, a further line comes this long after the last one at the earliest.
const AGAIN: Duration = Duration::from_secs(60);
/// So long nothing is refused before an episode is over.
const QUIET: Duration = Duration::from_secs(10);
/// A block that was shorter, with nothing left out, needs no word about its end.
const SHORT: Duration = Duration::from_secs(10);
/// Groups of one episode whose first block has a line of its own.
const NAMED: usize = 3;

/// A provider's refusals of one kind, from the first to a while after the last.
#[derive(Clone, Debug)]
struct Episode {
    since: Time,
    /// The last refusal.
    last: Time,
    /// The last line; none before the first.
    said: Option<Time>,
    /// Refusals that no line has told yet.
    untold: u64,
    /// Quota groups whose block was told.
    named: BTreeSet<String>,
    /// Keys that were out of use.
    keys: BTreeSet<KeyIndex>,
    longest: Duration,
}

impl Episode {
    fn new(now: Time) -> Episode {
        Episode {
            since: now,
            last: now,
            said: None,
            untold: 0,
            named: BTreeSet::new(),
            keys: BTreeSet::new(),
            longest: Duration::ZERO,
        }
    }

    fn is_due(&self, now: Time) -> bool {
        self.said.is_none_or(|said| now.since(said) >= AGAIN)
    }

    /// The line, with the count of what was left out since the last one.
    fn line(&mut self, text: &str, now: Time) -> String {
        self.said = Some(now);
        let stop = if text.ends_with('.') { "." } else { "" };
        format!("{}{}{stop}", text.trim_end_matches('.'), left_out(std::mem::take(&mut self.untold)))
    }
}

/// What was told, so that it is not told again, and what is left to be told.
#[derive(Clone, Debug, Default)]
pub struct Teller {
    /// By provider.
    limits: BTreeMap<String, Episode>,
    /// By provider.
    overloads: BTreeMap<String, Episode>,
    /// By provider, where it is named: when it was said that all keys are limited, and until when.
    all_limited: BTreeMap<Option<String>, (Time, Time)>,
    /// Keys told to be in doubt, and when.
    suspects: BTreeMap<KeyIndex, Time>,
    /// Keys told to be out of use until the operator acts.
    out: BTreeSet<KeyIndex>,
    /// Groups told to have used up their day.
    days: BTreeSet<String>,
}

impl Teller {
    /// Whether the end of something may have to be told.
    pub fn is_open(&self) -> bool {
        let is_quiet = self.limits.is_empty() && self.overloads.is_empty();
        let is_whole = self.out.is_empty() && self.suspects.is_empty() && self.days.is_empty();
        !is_quiet || !is_whole
    }

    /// Whether a key was told to be out of use until the operator acts.
    pub fn misses_a_key(&self) -> bool {
        !self.out.is_empty()
    }

    /// Whether these records ask for a look at the pool.
    pub fn concerns(&self, records: &[Record]) -> bool {
        let is_refusal =
            |record: &Record| matches!(record, Record::LeaseReturned { outcome, .. } if outcome != "ok");
        let is_return = |record: &Record| matches!(record, Record::LeaseReturned { .. });
        records.iter().any(|record| is_refusal(record) || (self.is_open() && is_return(record)))
    }

    /// What earlier runs left of the pool, said once at the start.
    pub fn opening(&mut self, speaker: &Speaker, keys: &[KeyStatus]) -> Option<String> {
        let mut parts = Vec::new();
        for key in keys {
            let why = if key.detail.is_empty() { String::new() } else { format!(" ({})", key.detail) };
            let until = |quota: &QuotaStatus| {
                quota
                    .until
                    .map_or_else(String::new, |until| format!(" until {}", speaker.moment(until, Time::ZERO)))
            };
            let longest = key.quotas.iter().filter(|quota| quota.until.is_some()).max_by_key(|q| q.until);
            parts.push(match (key.state, longest) {
                (KeyState::Quarantined, _) => format!("{} is quarantined{why}", key.name),
                (KeyState::OutOfCredit, _) => format!("the account of {} cannot pay{why}", key.name),
                (_, Some(quota)) if is_of_the_day(quota) => {
                    self.days.insert(key.group.clone());
                    format!("the day of {} is used up{}", key.name, until(quota))
                }
                (_, Some(quota)) => format!("{} is limited{}", key.name, until(quota)),
                _ => continue,
            });
            if matches!(key.state, KeyState::Quarantined | KeyState::OutOfCredit) {
                self.out.insert(key.key);
            }
        }
        if parts.is_empty() {
            return None;
        }
        // Of what is only remembered the run has asked for nothing yet, so no key's state tells of it.
        let is_free =
            |key: &&KeyStatus| is_usable(key) && key.quotas.iter().all(|quota| quota.until.is_none());
        let free = keys.iter().filter(is_free).count();
        Some(format!(
            "From earlier runs: {}. {free} of {} usable.",
            parts.join("; "),
            count(keys.len(), "key")
        ))
    }

    /// A key has another secret: what was told of it is void.
    pub fn renewed(&mut self, key: &str, keys: &[KeyStatus]) {
        let Some(key) = keys.iter().find(|k| k.name == key) else { return };
        let sharers = keys.iter().filter(|k| k.provider == key.provider && k.group == key.group);
        sharers.for_each(|k| {
            self.out.remove(&k.key);
        });
        self.suspects.remove(&key.key);
    }

    /// The lines for a turn: its records, what the core told, and how the keys stand after it.
    pub fn turn(
        &mut self,
        records: &[Record],
        notices: &[Notice],
        speaker: &Speaker,
        keys: &[KeyStatus],
        now: Time,
    ) -> Vec<String> {
        for record in records {
            if let Record::LeaseReturned { key, outcome, .. } = record
                && let Some(key) = keys.iter().find(|k| k.name == *key)
            {
                let episodes = match outcome.as_str() {
                    "limited" => &mut self.limits,
                    "overloaded" => &mut self.overloads,
                    _ => continue,
                };
                let episode = episodes.entry(key.provider.clone()).or_insert_with(|| Episode::new(now));
                episode.untold += 1;
                episode.last = now;
            }
        }
        let mut lines: Vec<String> =
            notices.iter().filter_map(|notice| self.hear(notice, speaker, keys, now)).collect();
        lines.extend(self.look(speaker, keys, now));
        lines
    }

    fn hear(&mut self, notice: &Notice, speaker: &Speaker, keys: &[KeyStatus], now: Time) -> Option<String> {
        let words = speaker.notice(notice, now);
        match notice {
            Notice::RateLimit { key: index, dimension, wait, .. } => {
                let key = keys.iter().find(|k| k.key == *index)?;
                if *dimension == Some(Dimension::RequestsPerDay) {
                    self.days.insert(key.group.clone());
                }
                let episode = self.limits.entry(key.provider.clone()).or_insert_with(|| Episode::new(now));
                let sharers = keys.iter().filter(|k| k.provider == key.provider && k.group == key.group);
                episode.keys.extend(sharers.map(|k| k.key));
                (episode.last, episode.longest) = (now, episode.longest.max(*wait));
                let is_another = episode.named.len() < NAMED && !episode.named.contains(&key.group);
                if !is_another && !episode.is_due(now) {
                    return None;
                }
                episode.named.insert(key.group.clone());
                // The line itself is one of them.
                episode.untold = episode.untold.saturating_sub(1);
                Some(episode.line(&words, now))
            }
            Notice::Overloaded { provider, .. } => {
                let episode = self.overloads.entry(provider.clone()).or_insert_with(|| Episode::new(now));
                episode.last = now;
                if !episode.is_due(now) {
                    return None;
                }
                episode.untold = episode.untold.saturating_sub(1);
                Some(episode.line(&words, now))
            }
            Notice::AllLimited { provider, until } => {
                let told = self.all_limited.get(provider).copied();
                let is_news =
                    told.is_none_or(|(said, end)| now.since(said) >= AGAIN || until.since(end) >= AGAIN);
                if !is_news {
                    return None;
                }
                self.all_limited.insert(provider.clone(), (now, *until));
                Some(words)
            }
            Notice::Quarantined { key: index, .. } | Notice::Billing { key: index, .. } => {
                let key = keys.iter().find(|k| k.key == *index)?;
                let is_billing = matches!(notice, Notice::Billing { .. });
                let gone = keys.iter().filter(|k| {
                    k.key == *index || (is_billing && k.provider == key.provider && k.group == key.group)
                });
                self.out.extend(gone.map(|k| k.key));
                self.suspects.remove(index);
                Some(format!("{}. {}.", words.trim_end_matches('.'), usable(keys, Some(&key.provider))))
            }
            _ => Some(words),
        }
    }

    /// What has begun or ended without the core's word for it.
    pub fn look(&mut self, speaker: &Speaker, keys: &[KeyStatus], now: Time) -> Vec<String> {
        let mut lines = Vec::new();
        self.look_at_limits(keys, now, &mut lines);
        let is_overloaded = |provider: &str| {
            keys.iter().any(|key| key.provider == provider && key.state == KeyState::Overloaded)
        };
        self.overloads.retain(|provider, episode| {
            let is_over = now.since(episode.last) >= QUIET && !is_overloaded(provider);
            if is_over && episode.said.is_some() {
                lines.push(format!("Provider {provider} answers again{}.", left_out(episode.untold)));
            }
            !is_over
        });
        self.look_at_days(speaker, keys, now, &mut lines);
        for key in keys {
            match key.state {
                KeyState::Suspect => {
                    let is_news = self.suspects.get(&key.key).is_none_or(|said| now.since(*said) >= AGAIN);
                    if is_news {
                        self.suspects.insert(key.key, now);
                        lines.push(format!(
                            "Key {} was refused once and is used last until another call decides: {}",
                            key.name, key.detail
                        ));
                    }
                }
                KeyState::Available | KeyState::Reserved => {
                    if self.out.remove(&key.key) {
                        lines.push(back(&[key], keys, &key.provider, 0));
                    }
                    // A key that is refused now and then is told once a minute, not whenever it is in doubt again.
                    if self.suspects.get(&key.key).is_some_and(|said| now.since(*said) >= AGAIN) {
                        self.suspects.remove(&key.key);
                    }
                }
                _ => {}
            }
        }
        lines
    }

    fn look_at_limits(&mut self, keys: &[KeyStatus], now: Time, lines: &mut Vec<String>) {
        self.limits.retain(|provider, episode| {
            let concerned = keys.iter().filter(|key| episode.keys.contains(&key.key));
            let is_limited = concerned
                .clone()
                .any(|key| key.quotas.iter().any(|quota| quota.until.is_some() && !is_of_the_day(quota)));
            if is_limited || now.since(episode.last) < QUIET {
                return true;
            }
            let returned: Vec<&KeyStatus> = concerned.filter(|key| is_usable(key)).collect();
            let is_worth_it = episode.longest >= SHORT || episode.untold > 0;
            if episode.said.is_some() && is_worth_it && !returned.is_empty() {
                lines.push(back(&returned, keys, provider, episode.untold));
            }
            false
        });
    }

    fn look_at_days(&mut self, speaker: &Speaker, keys: &[KeyStatus], now: Time, lines: &mut Vec<String>) {
        self.days.retain(|group| {
            let members: Vec<&KeyStatus> = keys.iter().filter(|key| key.group == *group).collect();
            if members.iter().any(|key| key.quotas.iter().any(is_of_the_day)) {
                return true;
            }
            let returned: Vec<&KeyStatus> = members.into_iter().filter(|key| is_usable(key)).collect();
            if let Some(first) = returned.first() {
                lines.push(back(&returned, keys, &first.provider, 0));
            }
            // Of one that is limited or refused in another way now, the day's end is no news.
            false
        });
        for key in keys.iter().filter(|key| key.state == KeyState::DayExhausted) {
            if self.days.insert(key.group.clone()) {
                let until = key.until.map_or_else(|| "further notice".to_owned(), |t| speaker.moment(t, now));
                lines.push(format!(
                    "The day's requests of {} are used up. Nothing is sent before {until}. {}.",
                    key.group,
                    usable(keys, Some(&key.provider))
                ));
            }
        }
    }

    /// At the end of the run: what no line has told yet.
    pub fn farewell(&mut self, speaker: &Speaker) -> Vec<String> {
        let kinds = [(&mut self.limits, "rate limits of"), (&mut self.overloads, "overload of")];
        let mut lines = Vec::new();
        for (episodes, what) in kinds {
            for (provider, episode) in std::mem::take(episodes) {
                if episode.untold > 0 && episode.said.is_some() {
                    let refusals = refusals(episode.untold);
                    let since = speaker.moment(episode.since, episode.since);
                    lines.push(format!("{refusals} by {what} {provider} since {since}."));
                }
            }
        }
        lines
    }
}

/// ` (and 37 more refusals in this episode)`, or nothing.
fn left_out(untold: u64) -> String {
    if untold == 0 { String::new() } else { format!(" (and {} in this episode)", refusals(untold)) }
}

fn refusals(n: u64) -> String {
    if n == 1 { "1 more refusal".to_owned() } else { format!("{n} more refusals") }
}

fn is_of_the_day(quota: &QuotaStatus) -> bool {
    quota.until.is_some() && quota.limited_by == Some(Dimension::RequestsPerDay)
}

fn is_usable(key: &KeyStatus) -> bool {
    matches!(key.state, KeyState::Available | KeyState::Reserved | KeyState::Suspect)
}

/// `3 of 4 keys usable`, of one provider or of all.
fn usable(keys: &[KeyStatus], provider: Option<&str>) -> String {
    let all = keys.iter().filter(|key| provider.is_none_or(|name| key.provider == name));
    let total = all.clone().count();
    format!("{} of {} usable", all.filter(|key| is_usable(key)).count(), count(total, "key"))
}

/// `gemini-b is back: 4 of 4 keys usable.`
fn back(returned: &[&KeyStatus], keys: &[KeyStatus], provider: &str, untold: u64) -> String {
    let who = match returned {
        [one] => format!("{} is", one.name),
        [one, two] => format!("{} and {} are", one.name, two.name),
        more => format!("{} keys are", more.len()),
    };
    format!("{who} back: {}{}.", usable(keys, Some(provider)), left_out(untold))
}

#[cfg(test)]
mod tests;
