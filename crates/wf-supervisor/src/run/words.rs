//! What the coordinator says, in words. The core names what happened; the wall clock and the names are added here.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use wf_core::credentials::{Dimension, Notice};
use wf_core::{Outcome, RECORDS_PER_SECOND, Saying, StopCause, Time, words};

use crate::store::board::on_the_wall;
use crate::store::moment::moment;
use crate::store::text::grouped;

/// A line for people: the coordinator's own, or one that carries an item's prefix.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// `[COORDINATOR] ...`
    Coordinator(String),
    /// `[LLD-42] ...`
    Item(wf_core::ItemIndex, String),
}

/// What the words need beyond the saying itself.
#[derive(Debug)]
pub struct Speaker {
    /// The wall clock when the run's clock was at zero.
    pub origin: Timestamp,
    /// In which times of day are shown.
    pub zone: TimeZone,
    /// Key names by index.
    pub keys: Vec<String>,
}

impl Speaker {
    /// The lines for a saying.
    pub fn lines(&self, saying: &Saying) -> Vec<Line> {
        let coordinator = |text: String| vec![Line::Coordinator(text)];
        match saying {
            Saying::ItemTrouble { item, outcome, why, retry_in } => {
                let mut text = match outcome {
                    Outcome::Failed => format!("FAILED: {why}"),
                    Outcome::TimedOut => format!("TIMED OUT: {why}"),
                    Outcome::NeedsRevision => format!("NEEDS REVISION: {why}"),
                    Outcome::Interrupted => format!("INTERRUPTED: {why}"),
                    other => format!("{other}: {why}"),
                };
                if let Some(wait) = retry_in {
                    text = format!("{text}. Trying again in {}", rounded(*wait));
                }
                vec![Line::Item(*item, text)]
            }
            Saying::PutOff { item, code, wait } => {
                vec![Line::Item(*item, format!("exit code {code}: not now; again in {}", rounded(*wait)))]
            }
            Saying::Leftovers { item, leftovers, unnamed } => {
                let name = |killed: bool| {
                    let list = leftovers.iter().filter(|l| l.killed == killed);
                    list.map(|l| format!("{} ({})", l.name, l.pid)).collect::<Vec<_>>()
                };
                let (gone, left) = (name(true), name(false));
                // The longer list is the one that came to its bound.
                let unnamed = *unnamed as usize;
                let more = if gone.len() >= left.len() { (unnamed, 0) } else { (0, unnamed) };
                let mut lines = Vec::new();
                if !gone.is_empty() {
                    let all = count(gone.len() + more.0, "process");
                    let text = format!("killed {all} left behind: {}", few(&gone, more.0));
                    lines.push(Line::Item(*item, text));
                }
                if !left.is_empty() {
                    let all = count(left.len() + more.1, "process");
                    let text = format!("could not kill {all}: {}", few(&left, more.1));
                    lines.push(Line::Item(*item, text));
                }
                lines
            }
            Saying::Watchdog { item, cause, limit } => {
                let limit = words(*limit);
                vec![Line::Item(
                    *item,
                    match cause {
                        StopCause::Idle => {
                            format!("no sign of life for {limit} (--idle-timeout). Stopping it...")
                        }
                        _ => format!("has run for {limit} (--timeout). Stopping it..."),
                    },
                )]
            }
            Saying::GraceOver { item, grace } => {
                vec![Line::Item(*item, format!("did not stop within {}. Killing it...", words(*grace)))]
            }
            Saying::Chatter { item } => vec![Line::Item(
                *item,
                format!(
                    "says more than {RECORDS_PER_SECOND} things a second of its progress: the rest is not recorded"
                ),
            )],
            Saying::Shortage { item, why, wait } => {
                vec![Line::Item(
                    *item,
                    format!("cannot start yet: {why}. Trying again in {}", rounded(*wait)),
                )]
            }
            Saying::Stopping { cause, signal, workers, grace } => coordinator(match (cause, workers) {
                (StopCause::Operator, 0) => "Shutting down...".to_owned(),
                (StopCause::Operator, n) => {
                    let second = match signal {
                        Some(wf_core::StopSignal::Interrupt) => " Ctrl+C again kills them.",
                        _ => "",
                    };
                    format!("Shutting down... {}.{second}", waiting(*n, *grace))
                }
                (StopCause::RunTimeout, n) => {
                    format!("The run's time is up (--run-timeout). Shutting down... {}", waiting(*n, *grace))
                }
                (StopCause::PoolDead, n) => {
                    format!("No usable key left. Shutting down... {}", waiting(*n, *grace))
                }
                (_, n) => format!("Shutting down... {}", waiting(*n, *grace)),
            }),
            Saying::Killing { workers } => {
                coordinator(format!("Killing {} and all that is below...", count(*workers, "worker")))
            }
            Saying::MaxFail { failures } => coordinator(format!(
                "{} failed (--max-fail). Starting nothing more; what runs may finish.",
                count(*failures as usize, "item")
            )),
            Saying::Trouble { what } => coordinator(format!("ERROR: {what}")),
            Saying::Pool { notice, now } => coordinator(self.notice(notice, *now)),
        }
    }

    /// An episode of the pool.
    pub fn notice(&self, notice: &Notice, now: Time) -> String {
        let key = |index: wf_core::credentials::KeyIndex| self.key(index);
        match notice {
            Notice::RateLimit {
                key: index,
                dimension: Some(Dimension::RequestsPerDay),
                wait,
                usable,
                total,
            } => {
                format!(
                    "The day's requests of {} are used up. Nothing is sent before {} (in {}). {usable} of {} usable.",
                    key(*index),
                    self.moment(now + *wait, now),
                    rounded(*wait),
                    count(*total, "key"),
                )
            }
            Notice::RateLimit { key: index, dimension, wait, usable, total } => {
                let which = dimension.map_or_else(String::new, |d| format!(" ({})", d.words()));
                format!(
                    "Rate limit hit on {}{which}. Backing off for {}. {usable} of {} usable.",
                    key(*index),
                    rounded(*wait),
                    count(*total, "key"),
                )
            }
            Notice::SharedQuota { keys } => {
                let names: Vec<String> = keys.iter().map(|index| key(*index).to_owned()).collect();
                format!(
                    "warning: the keys {} seem to share one quota: give them one quota_group in wf.toml",
                    few(&names, 0)
                )
            }
            Notice::Exhausted { keys, waiting, provider } => {
                let of = of_provider(provider.as_deref());
                let all = if *keys == 1 {
                    format!("the only key{of} is")
                } else {
                    format!("all {keys} keys{of} are")
                };
                format!("Credential pool exhausted: {all} reserved. Pausing {}...", count(*waiting, "worker"))
            }
            Notice::AllLimited { until, provider } => format!(
                "All keys{} rate-limited until {} (in {}). Pausing all workflows...",
                of_provider(provider.as_deref()),
                self.moment(*until, now),
                rounded(until.since(now))
            ),
            Notice::Quarantined { key: index, detail } => {
                format!("Key {} was refused by its provider and is not used any more: {detail}", key(*index))
            }
            Notice::Billing { key: index, detail } => {
                format!("The account behind {} cannot pay; its keys rest: {detail}", key(*index))
            }
            Notice::Overloaded { provider, wait } => {
                format!("Provider {provider} is overloaded. Leaving it alone for {}.", rounded(*wait))
            }
            Notice::NoQuota { key: index, group, model } => {
                let of = if group == key(*index) { String::new() } else { format!(" (quota group {group})") };
                format!("The project of {}{of} has no quota for the model {model}", key(*index))
            }
            Notice::Dead { reasons, provider } => {
                let each: Vec<String> =
                    reasons.iter().map(|(k, why)| format!("{}: {why}", key(*k))).collect();
                format!("No usable key left{}. {}", of_provider(provider.as_deref()), each.join("; "))
            }
        }
    }

    fn key(&self, index: wf_core::credentials::KeyIndex) -> &str {
        self.keys.get(usize::from(index.0)).map_or("?", String::as_str)
    }

    /// A point of the run's time on the clock of the wall; with its date where that is not today's.
    pub fn moment(&self, at: Time, now: Time) -> String {
        match (on_the_wall(self.origin, at), on_the_wall(self.origin, now)) {
            (Some(at), Some(now)) => moment(at, now, &self.zone),
            _ => "further notice".to_owned(),
        }
    }
}

/// ` of gemini`, where the pool has several providers.
fn of_provider(provider: Option<&str>) -> String {
    provider.map_or_else(String::new, |name| format!(" of {name}"))
}

fn waiting(workers: usize, grace: Duration) -> String {
    format!("waiting for {} to checkpoint ({})", count(workers, "worker"), words(grace))
}

/// Whole seconds from one second on, rounded up: "in 0s" helps nobody.
fn rounded(d: Duration) -> String {
    if d < Duration::from_secs(1) {
        return words(d.max(Duration::from_millis(1)));
    }
    words(Duration::from_secs(d.as_secs() + u64::from(d.subsec_nanos() > 0)))
}

/// `1 worker`, `3 workers`, `2 processes`.
pub fn count(n: usize, noun: &str) -> String {
    let plural = if noun.ends_with('s') { "es" } else { "s" };
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}{plural}", grouped(n as u64)) }
}

/// At most eight names, and how many more there are, those included that nobody named; a fork bomb's list helps nobody.
fn few(names: &[String], unnamed: usize) -> String {
    let shown = names.len().min(8);
    match names.len() - shown + unnamed {
        0 => names.join(", "),
        more => format!("{}, and {} more", names[..shown].join(", "), grouped(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wf_core::credentials::KeyIndex;
    use wf_core::{ItemIndex, Leftover, StopSignal};

    fn speaker() -> Speaker {
        Speaker {
            origin: "2026-11-21T05:14:49Z".parse().unwrap(),
            zone: TimeZone::UTC,
            keys: vec!["gemini-a".into(), "gemini-b".into()],
        }
    }

    fn say(saying: &Saying) -> String {
        let line = |l: Line| match l {
            Line::Coordinator(text) => format!("[COORDINATOR] {text}"),
            Line::Item(ItemIndex(i), text) => format!("[{i}] {text}"),
        };
        speaker().lines(saying).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn notice(notice: Notice) -> String {
        say(&Saying::Pool { notice, now: Time::from_millis(38_000) })
    }

    #[test]
    fn the_three_conditions_of_the_pool_have_three_messages() {
        let wait = Duration::from_millis(55_400);
        let dimension = Some(Dimension::RequestsPerMinute);
        assert_eq!(
            notice(Notice::RateLimit { key: KeyIndex(1), dimension, wait, usable: 3, total: 4 }),
            "[COORDINATOR] Rate limit hit on gemini-b (requests per minute). Backing off for 56s. 3 of 4 keys usable."
        );
        assert_eq!(
            notice(Notice::SharedQuota { keys: vec![KeyIndex(0), KeyIndex(1)] }),
            "[COORDINATOR] warning: the keys gemini-a, gemini-b seem to share one quota: give them one quota_group in \
             wf.toml"
        );
        assert_eq!(
            notice(Notice::NoQuota { key: KeyIndex(0), group: "project-1".into(), model: "flash".into() }),
            "[COORDINATOR] The project of gemini-a (quota group project-1) has no quota for the model flash"
        );
        assert_eq!(
            notice(Notice::Exhausted { provider: None, keys: 4, waiting: 1 }),
            "[COORDINATOR] Credential pool exhausted: all 4 keys are reserved. Pausing 1 worker..."
        );
        assert_eq!(
            notice(Notice::AllLimited { provider: None, until: Time::from_millis(81_000) }),
            "[COORDINATOR] All keys rate-limited until 05:16:10 (in 43s). Pausing all workflows..."
        );
        let tomorrow = Time::from_millis(38_000) + Duration::from_secs(87_660);
        assert_eq!(
            notice(Notice::AllLimited { provider: None, until: tomorrow }),
            "[COORDINATOR] All keys rate-limited until tomorrow 05:36 (in 24h21m). Pausing all workflows..."
        );
        assert_eq!(
            notice(Notice::Dead {
                provider: None,
                reasons: vec![(KeyIndex(0), "refused".into()), (KeyIndex(1), "no credit".into())]
            }),
            "[COORDINATOR] No usable key left. gemini-a: refused; gemini-b: no credit"
        );
    }

    #[test]
    fn stopping_says_what_is_waited_for() {
        let grace = Duration::from_secs(5);
        let stopping = |workers, signal, cause| say(&Saying::Stopping { cause, signal, workers, grace });
        assert_eq!(
            stopping(3, Some(StopSignal::Terminate), StopCause::Operator),
            "[COORDINATOR] Shutting down... waiting for 3 workers to checkpoint (5s)."
        );
        assert_eq!(
            stopping(1, Some(StopSignal::Interrupt), StopCause::Operator),
            "[COORDINATOR] Shutting down... waiting for 1 worker to checkpoint (5s). Ctrl+C again kills them."
        );
        assert_eq!(stopping(0, None, StopCause::Operator), "[COORDINATOR] Shutting down...");
    }

    #[test]
    fn leftovers_are_named_but_not_by_the_hundred() {
        let leftovers = (0..20).map(|pid| Leftover { pid, name: "sleep".into(), killed: pid > 0 }).collect();
        let text = say(&Saying::Leftovers { item: ItemIndex(7), leftovers, unnamed: 0 });
        assert_eq!(
            text,
            "[7] killed 19 processes left behind: sleep (1), sleep (2), sleep (3), sleep (4), sleep (5), sleep (6), \
             sleep (7), sleep (8), and 11 more\n[7] could not kill 1 process: sleep (0)"
        );
        let leftovers = (0..64).map(|pid| Leftover { pid, name: "a".into(), killed: true }).collect();
        let text = say(&Saying::Leftovers { item: ItemIndex(7), leftovers, unnamed: 1_936 });
        assert_eq!(
            text,
            "[7] killed 2,000 processes left behind: a (0), a (1), a (2), a (3), a (4), a (5), a (6), a (7), and 1,992 more"
        );
    }
}
