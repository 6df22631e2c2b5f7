//! One run of one contender against a mock of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::scenario::{FIRST_GROUP, FIRST_KEY, Scenario, Trouble};
use crate::bench::Bench;
use crate::bench::actor::{Ended, Lane, LaneKey};
use crate::bench::ground::{Ground, Key, numbers};
use crate::bench::process::Family;

/// No lane takes longer than this many times what it is given, and what loading a library may take on a busy machine.
const PATIENCE: f64 = 1.5;
const LOADING_S: f64 = 180.0;
/// How long a workflow rests that saw a failure, before somebody has it go on.
const AFTER_FAILURE_S: f64 = 1.0;

/// Who makes the calls.
#[derive(Clone, Debug)]
pub enum Who {
    /// `wf-supervisor`.
    Supervisor,
    /// This program with another policy.
    Policy(&'static str),
    /// A Python script.
    Script {
        /// The interpreter.
        python: PathBuf,
        /// The script.
        text: &'static str,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From the start (ours: of the program; others: of the first call) to the last answer (ours: the end of the program).
    pub seconds: f64,
    /// Failures that workflows got to see.
    pub failures: u64,
    /// Calls that were never answered.
    pub unfinished: u64,
    /// What the mock saw in the end.
    pub counted: Tally,
    /// Calls that were refused because a key is revoked or a day is over.
    pub lost: u64,
    /// What the supervisor says: calls, and those of them that were refused.
    pub reported: Option<(u64, u64)>,
    /// What the mock had seen, and when.
    pub history: Vec<(f64, Tally)>,
}

impl Outcome {
    /// Calls that were refused, of all that were sent.
    pub fn wasted(&self) -> f64 {
        self.refused() as f64 / self.counted.calls.max(1) as f64
    }

    /// Calls that were refused.
    pub fn refused(&self) -> u64 {
        self.counted.limited + self.counted.refused
    }

    /// Whether the supervisor and the mock counted the same; `None` for others.
    pub fn agrees(&self) -> Option<bool> {
        self.reported.map(|reported| reported == (self.counted.calls, self.counted.calls - self.counted.ok))
    }
}

/// What the mock counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// All calls.
    pub calls: u64,
    /// Answered.
    pub ok: u64,
    /// Refused with 429.
    pub limited: u64,
    /// Refused for the key's sake.
    pub refused: u64,
}

/// The counters, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
struct Counters {
    total: Tally,
    #[serde(default)]
    keys: BTreeMap<String, Tally>,
    #[serde(default)]
    groups: BTreeMap<String, Tally>,
}

impl Counters {
    /// Calls that were refused because a key is revoked or a day is over.
    fn lost(&self, trouble: Trouble) -> u64 {
        match trouble {
            Trouble::RevokedKey => self.keys.get(FIRST_KEY).map_or(0, |key| key.refused),
            Trouble::DayOver => self.groups.get(FIRST_GROUP).map_or(0, |group| group.limited),
            _ => 0,
        }
    }
}

/// A mock server of its own, killed when it is not needed any more.
pub struct Mock {
    child: Child,
    /// Where it listens.
    pub base_url: String,
    /// Its keys.
    pub keys: Vec<Key>,
}

impl Mock {
    /// Starts one that is to say as many keys as `keys`.
    pub fn start(bench: &Bench, ground: &Ground, args: &[String], keys: u32) -> Result<Mock> {
        let mut command = ground.command(&bench.mock)?;
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().context("cannot start the mock")?;
        let out = child.stdout.take().context("the mock has no output")?;
        let mut mock = Mock { child, base_url: String::new(), keys: Vec::new() };
        for line in BufReader::new(out).lines() {
            let line = line?;
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["listening", "on", address] => (*address).clone_into(&mut mock.base_url),
                ["key", name, secret, group] => {
                    let [name, secret, group] = [name, secret, group].map(|word| (*word).to_owned());
                    mock.keys.push(Key { name, secret, group });
                }
                _ => bail!("the mock says {line:?}"),
            }
            if mock.keys.len() == keys as usize {
                return Ok(mock);
            }
        }
        bail!("the mock did not start: {}", ground.last_words())
    }

    fn counters(&self) -> Result<Counters> {
        let mut response = ureq::get(format!("{}/__mock/counters", self.base_url)).call()?;
        Ok(serde_json::from_slice(&response.body_mut().read_to_vec()?)?)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it.
pub fn run(bench: &Bench, scenario: &Scenario, who: &Who, seed: u32) -> Result<Outcome> {
    let ground = Ground::new(bench)?;
    let mock = Mock::start(bench, &ground, &scenario.mock_args(seed), scenario.size.keys)?;
    let (stop, stopped) = mpsc::channel::<()>();
    let look = Duration::from_secs_f64((scenario.bound_s() / 60.0).clamp(0.05, 5.0));
    let (outcome, history) = std::thread::scope(|scope| {
        let mock = &mock;
        let sampler = scope.spawn(move || {
            let begun = Instant::now();
            let mut history = Vec::new();
            loop {
                if let Ok(counters) = mock.counters() {
                    history.push((begun.elapsed().as_secs_f64(), counters.total));
                }
                if !matches!(stopped.recv_timeout(look), Err(RecvTimeoutError::Timeout)) {
                    return history;
                }
            }
        });
        let outcome = match who {
            Who::Supervisor => supervised(bench, &ground, scenario, mock),
            Who::Policy(_) | Who::Script { .. } => unsupervised(bench, &ground, scenario, who, mock),
        };
        drop(stop);
        (outcome, sampler.join().unwrap_or_default())
    });
    let outcome = outcome?;
    let counters = mock.counters()?;
    let lost = counters.lost(scenario.trouble);
    Ok(Outcome { counted: counters.total, lost, history, ..outcome })
}

fn supervised(bench: &Bench, ground: &Ground, scenario: &Scenario, mock: &Mock) -> Result<Outcome> {
    let size = scenario.size;
    ground.write("items.txt", &numbers(size.workflows as usize))?;
    ground.write_pool(&mock.base_url, &mock.keys, &scenario.settings(&mock.keys))?;
    let mut command = ground.command(&bench.supervisor)?;
    command.args(["run", "items.txt", "-j", &size.workflows.to_string(), "--"]);
    command.arg(&bench.actor).args([
        "bench-actor",
        "workflow",
        &mock.base_url,
        &size.calls.to_string(),
        "{}",
    ]);
    let taken = Family::of(&mut command)?.wait(patience(scenario))?;
    let summary = ground.summary().with_context(|| ground.last_words())?;
    let answered = mock.counters()?.total.ok;
    Ok(Outcome {
        seconds: taken.wall.as_secs_f64(),
        failures: u64::from(size.workflows.saturating_sub(summary.counts.succeeded)),
        unfinished: u64::from(scenario.calls()).saturating_sub(answered),
        reported: Some((summary.totals.calls, summary.totals.retries)),
        ..Outcome::default()
    })
}

fn unsupervised(
    bench: &Bench,
    ground: &Ground,
    scenario: &Scenario,
    who: &Who,
    mock: &Mock,
) -> Result<Outcome> {
    let size = scenario.size;
    let keys = mock.keys.iter().map(|key| LaneKey { secret: key.secret.clone(), group: key.group.clone() });
    let lane = Lane {
        base_url: mock.base_url.clone(),
        workflows: size.workflows,
        calls: size.calls,
        rpm: size.rpm,
        give_up_s: scenario.give_up_s(),
        after_failure_s: AFTER_FAILURE_S,
        keys: keys.collect(),
    };
    let lane = ground.write("lane.json", &serde_json::to_string(&lane)?)?;
    let mut command = match who {
        Who::Script { python, text } => {
            let mut command = ground.command(python)?;
            command.arg(ground.write("peer.py", text)?);
            command
        }
        Who::Policy(policy) => {
            let mut command = ground.command(&bench.actor)?;
            command.args(["bench-actor", "share", *policy]);
            command
        }
        Who::Supervisor => bail!("the supervisor takes no lane"),
    };
    let printed = ground.file("ended.json");
    command.arg(&lane).stdout(File::create(&printed)?);
    let taken = Family::of(&mut command)?.wait(patience(scenario))?;
    ensure!(taken.statuses.iter().all(std::process::ExitStatus::success), "{}", ground.last_words());
    let text = fs::read_to_string(&printed)?;
    // Libraries print what they like before.
    let last = text.lines().last().unwrap_or_default();
    let ended: Ended = serde_json::from_str(last).with_context(|| format!("it printed {last:?}"))?;
    Ok(Outcome {
        seconds: ended.seconds,
        failures: ended.failures,
        unfinished: ended.unfinished,
        ..Outcome::default()
    })
}

fn patience(scenario: &Scenario) -> Duration {
    Duration::from_secs_f64(scenario.give_up_s() * PATIENCE + LOADING_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_cost_is_told_from_other_refusals() {
        let json = r#"{"total":{"calls":9,"ok":3,"limited":4,"refused":2},
            "keys":{"mock-a":{"calls":2,"ok":0,"limited":0,"refused":2}},
            "groups":{"mock-1":{"calls":5,"ok":2,"limited":1,"refused":2},"mock-2":{"calls":4,"ok":1,"limited":3,"refused":0}}}"#;
        let counters: Counters = serde_json::from_str(json).unwrap();
        let lost =
            [Trouble::None, Trouble::RevokedKey, Trouble::DayOver].map(|trouble| counters.lost(trouble));
        assert_eq!(lost, [0, 2, 1]);
    }

    #[test]
    fn what_was_refused_is_wasted() {
        let counted = Tally { calls: 1_000, ok: 980, limited: 15, refused: 5 };
        let outcome = Outcome { counted, reported: Some((1_000, 20)), ..Outcome::default() };
        assert_eq!((outcome.refused(), outcome.agrees()), (20, Some(true)));
        assert!((outcome.wasted() - 0.02).abs() < 1e-9);
        let other = Outcome { reported: Some((1_000, 19)), ..outcome };
        assert_eq!(other.agrees(), Some(false));
        assert_eq!(Outcome::default().agrees(), None);
    }
}
