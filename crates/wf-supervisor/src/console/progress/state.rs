//! Where a run stands, and the sentences about it: for the bar, and for the lines that stand in for it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use wf_core::Outcome;

use crate::store::moment::span;

/// From so much silence of all workers on, it is told who runs.
pub const QUIET: Duration = Duration::from_secs(5);

/// From so much silence on, a worker is named although others write.
pub const SLOW: Duration = Duration::from_secs(60);

/// Workers that are named on a line.
pub const NAMED: usize = 6;

/// Workers that are named in the bar, which has one row.
const NAMED_IN_BAR: usize = 3;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noun {
    /// Items of a built-in workflow.
    #[default]
    Workflows,
    /// Items of a command.
    Items,
}

impl Noun {
    fn word(self) -> &'static str {
        match self {
            Noun::Workflows => "workflows",
            Noun::Items => "items",
        }
    }
}

/// A worker that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Its item, as people see it.
    pub name: Arc<str>,
    /// Since it began.
    pub runs: Duration,
    /// Since it wrote something, or began.
    pub silent: Duration,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressState {
    /// What is counted.
    pub noun: Noun,
    /// All items.
    pub total: u32,
    /// Items with an outcome, those skipped included.
    pub complete: u32,
    /// Of those, items done before this run.
    pub skipped: u32,
    /// Of the complete ones, failed or timed out.
    pub failed: u32,
    /// Workers that work.
    pub running: u32,
    /// Workers that wait for quota.
    pub paused: u32,
    /// Where all workers wait and the end of it is known: `until 09:17:37 (in 43s)`.
    pub until: Option<String>,
    /// Since the run began.
    pub elapsed: Duration,
    /// Since any worker began, wrote something or ended.
    pub silent: Duration,
    /// Those that run the longest, [`NAMED`] of them at most.
    pub busy: Vec<Busy>,
}

impl ProgressState {
    /// The time left if the rest goes as what was done so far; `None` before anything was, and while nothing moves.
    pub fn eta(&self) -> Option<Duration> {
        let done = self.complete.saturating_sub(self.skipped);
        let left = self.total.saturating_sub(self.complete);
        let is_waiting = self.paused > 0 && self.running == 0;
        (done > 0 && left > 0 && !is_waiting).then(|| self.elapsed.saturating_mul(left) / done)
    }

    /// The words beside the bar, the fullest form first: `5/10 workflows complete, 1 failed, 3 running, eta 4m, after
    /// 4m30s`. Zeros are left out.
    pub(super) fn forms(&self) -> impl Iterator<Item = String> {
        let facts = self.facts();
        let base = self.count();
        let full = facts.iter().fold(base.clone(), |text, fact| text + ", " + fact);
        let named = (1..=NAMED_IN_BAR).rev().filter_map({
            let full = full.clone();
            let names: Vec<Option<String>> = (1..=NAMED_IN_BAR).map(|most| self.names_in_bar(most)).collect();
            move |most| Some(format!("{full} ({})", names[most - 1].as_ref()?))
        });
        let shorter = (0..=facts.len())
            .rev()
            .map(move |n| facts[..n].iter().fold(base.clone(), |text, fact| text + ", " + fact));
        named.chain(shorter)
    }

    /// The line every half minute: `0/3 items complete after 30s; 3 running: 1 (30s), 2 (30s), 3 (30s); silent for 30s`.
    pub fn sentence(&self) -> String {
        let mut text = self.count();
        if let Some(elapsed) = self.elapsed() {
            let _ = write!(text, " after {elapsed}");
        }
        if self.failed > 0 {
            let _ = write!(text, ", {} failed", self.failed);
        }
        if let Some(eta) = self.eta() {
            let _ = write!(text, ", eta {}", coarse(eta));
        }
        if self.running > 0 {
            let all_are_silent = self.silent >= QUIET;
            let named: Vec<String> = self
                .busy
                .iter()
                .map(|busy| match busy.silent {
                    silent if !all_are_silent && silent >= QUIET => {
                        format!("{} ({}, silent for {})", busy.name, span(busy.runs), span(silent))
                    }
                    _ => format!("{} ({})", busy.name, span(busy.runs)),
                })
                .collect();
            let _ = write!(text, "; {} running", self.running);
            if !named.is_empty() {
                let _ = write!(text, ": {}{}", named.join(", "), self.more(named.len()));
            }
            if all_are_silent {
                let _ = write!(text, "; silent for {}", span(self.silent));
            }
        }
        if let Some(paused) = self.paused() {
            let _ = write!(text, "; {paused}");
        }
        text
    }

    /// The plain line for an item that ended: `LLD-42 approved in 3m12s (5/10 complete, 1 failed)`.
    pub fn finished(&self, label: &str, outcome: Outcome, took: Duration, tries: u32) -> String {
        let mut text = format!("{label} {outcome} in {}", exact(took));
        if tries > 1 {
            let _ = write!(text, " and {tries} tries");
        }
        let _ = write!(text, " ({}/{} complete", self.complete, self.total);
        if self.failed > 0 {
            let _ = write!(text, ", {} failed", self.failed);
        }
        text.push(')');
        text
    }

    fn count(&self) -> String {
        format!("{}/{} {} complete", self.complete, self.total, self.noun.word())
    }

    /// What is told beside the count, the most telling first.
    fn facts(&self) -> Vec<String> {
        let counts = [(self.failed, "failed"), (self.running, "running")];
        let mut facts: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        facts.extend(self.paused());
        facts.extend(self.eta().map(|eta| format!("eta {}", coarse(eta))));
        facts.extend(self.elapsed().map(|elapsed| format!("after {elapsed}")));
        facts
    }

    /// `2 paused`, or `2 paused until 09:17:37 (in 43s)`.
    fn paused(&self) -> Option<String> {
        let until = self.until.as_ref().map(|until| format!(" {until}"));
        (self.paused > 0).then(|| format!("{} paused{}", self.paused, until.unwrap_or_default()))
    }

    /// A run that has just begun need not say so.
    fn elapsed(&self) -> Option<String> {
        (self.elapsed >= Duration::from_secs(1)).then(|| span(self.elapsed))
    }

    /// `1 25s, 2 25s, 6 more, silent for 25s`, once all are silent; those alone that are silent for long before that.
    fn names_in_bar(&self, most: usize) -> Option<String> {
        let all_are_silent = self.silent >= QUIET;
        let shown: Vec<&Busy> =
            self.busy.iter().filter(|busy| all_are_silent || busy.silent >= SLOW).take(most).collect();
        if shown.is_empty() {
            return None;
        }
        let name = |busy: &&Busy| {
            let silence =
                if all_are_silent { String::new() } else { format!(", silent for {}", span(busy.silent)) };
            format!("{} {}{silence}", busy.name, span(busy.runs))
        };
        let mut parts: Vec<String> = shown.iter().map(name).collect();
        if all_are_silent {
            let more = (self.running as usize).saturating_sub(parts.len());
            parts.extend((more > 0).then(|| format!("{more} more")));
            parts.push(format!("silent for {}", span(self.silent)));
        }
        Some(parts.join(if all_are_silent { ", " } else { "; " }))
    }

    /// ` and 494 more` running ones than were named.
    fn more(&self, named: usize) -> String {
        match (self.running as usize).saturating_sub(named) {
            0 => String::new(),
            more => format!(" and {more} more"),
        }
    }
}

/// `40s`, `4m`, `1h05m`: enough for an estimate.
fn coarse(d: Duration) -> String {
    match d.as_secs() {
        s @ 60..3600 => format!("{}m", s / 60),
        _ => span(d),
    }
}

/// `0.4s`, `42s`, `3m12s`, `1h05m`.
fn exact(d: Duration) -> String {
    match d.as_secs() {
        0..10 => format!("{}.{}s", d.as_secs(), d.subsec_millis() / 100),
        _ => span(d),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn state() -> ProgressState {
        ProgressState {
            total: 10,
            complete: 5,
            failed: 1,
            running: 3,
            elapsed: Duration::from_secs(270),
            ..ProgressState::default()
        }
    }

    fn busy(name: &str, runs: u64, silent: u64) -> Busy {
        let (runs, silent) = (Duration::from_secs(runs), Duration::from_secs(silent));
        Busy { name: name.into(), runs, silent }
    }

    fn quiet(workers: u32) -> ProgressState {
        ProgressState {
            noun: Noun::Items,
            total: workers,
            running: workers,
            elapsed: Duration::from_secs(30),
            silent: Duration::from_secs(30),
            busy: (1..=workers).take(NAMED).map(|n| busy(&n.to_string(), 30, 30)).collect(),
            ..ProgressState::default()
        }
    }

    #[test]
    fn the_words_of_the_contract_stand_together() {
        let words = "5/10 workflows complete, 1 failed, 3 running, eta 4m";
        assert_eq!(state().forms().next().unwrap(), format!("{words}, after 4m30s"));
        let begun =
            ProgressState { elapsed: Duration::from_millis(999), running: 3, total: 3, ..Default::default() };
        assert_eq!(begun.forms().next().unwrap(), "0/3 workflows complete, 3 running");
    }

    #[test]
    fn a_quiet_run_tells_who_runs_and_since_when() {
        assert_eq!(
            quiet(3).sentence(),
            "0/3 items complete after 30s; 3 running: 1 (30s), 2 (30s), 3 (30s); silent for 30s"
        );
        assert_eq!(
            quiet(3).forms().next().unwrap(),
            "0/3 items complete, 3 running, after 30s (1 30s, 2 30s, 3 30s, silent for 30s)"
        );
        assert_eq!(
            quiet(500).sentence(),
            "0/500 items complete after 30s; 500 running: 1 (30s), 2 (30s), 3 (30s), 4 (30s), 5 (30s), 6 (30s) and 494 \
             more; silent for 30s"
        );
        let forms: Vec<String> = quiet(500).forms().collect();
        assert_eq!(
            forms[..3],
            [
                "0/500 items complete, 500 running, after 30s (1 30s, 2 30s, 3 30s, 497 more, silent for 30s)",
                "0/500 items complete, 500 running, after 30s (1 30s, 2 30s, 498 more, silent for 30s)",
                "0/500 items complete, 500 running, after 30s (1 30s, 499 more, silent for 30s)",
            ]
        );
        assert_eq!(forms[3], "0/500 items complete, 500 running, after 30s");
    }

    #[test]
    fn one_that_is_silent_among_others_is_named() {
        let mut state = quiet(3);
        (state.silent, state.busy[1].silent) = (Duration::from_secs(1), Duration::from_secs(25));
        state.busy[0].silent = Duration::from_secs(1);
        state.busy[2].silent = Duration::from_secs(2);
        assert_eq!(
            state.sentence(),
            "0/3 items complete after 30s; 3 running: 1 (30s), 2 (30s, silent for 25s), 3 (30s)"
        );
        assert_eq!(state.forms().next().unwrap(), "0/3 items complete, 3 running, after 30s");
        state.busy[1].silent = Duration::from_secs(65);
        assert_eq!(
            state.forms().next().unwrap(),
            "0/3 items complete, 3 running, after 30s (2 30s, silent for 1m05s)"
        );
    }

    #[test]
    fn nothing_is_estimated_while_all_wait() {
        let mut state = ProgressState {
            total: 3,
            complete: 2,
            paused: 1,
            elapsed: Duration::from_secs(10),
            ..ProgressState::default()
        };
        assert_eq!(state.eta(), None);
        assert_eq!(state.sentence(), "2/3 workflows complete after 10s; 1 paused");
        state.until = Some("until tomorrow 09:17 (in 24h21m)".to_owned());
        assert_eq!(
            state.forms().next().unwrap(),
            "2/3 workflows complete, 1 paused until tomorrow 09:17 (in 24h21m), after 10s"
        );
        state.running = 1;
        assert!(state.eta().is_some(), "somebody works");
    }

    #[test]
    fn ended_items_have_a_line() {
        let state = state();
        assert_eq!(
            state.finished("LLD-42", Outcome::Approved, Duration::from_millis(192_345), 1),
            "LLD-42 approved in 3m12s (5/10 complete, 1 failed)"
        );
        let clean = ProgressState { failed: 0, complete: 4, ..state };
        assert_eq!(
            clean.finished("7", Outcome::TimedOut, Duration::from_millis(450), 3),
            "7 timed-out in 0.4s and 3 tries (4/10 complete)"
        );
        assert_eq!(coarse(Duration::from_secs(3900)), "1h05m");
    }
}
