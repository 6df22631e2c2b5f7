//! `quota`: many workflows share few keys, and the provider means its limits.

mod contenders;
mod lane;
mod scenario;
mod show;

use std::sync::Mutex;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::bench::report::Finding;
use crate::say;

use contenders::Contender;
use lane::Outcome;
use scenario::{Provider, Scenario, Size, Trouble};

pub use lane::Mock;

/// What is done.
pub const WORK: &str = "48 workflows at once, each of 25 calls one after the other, share 12 keys in 4 quota groups of 60 requests a \
    minute; a call takes 8 s in the median (lognormal, σ 0.5). The release binaries over real HTTP: `wf-supervisor run -j 48 -- \
    worker` with a process per workflow that asks for a lease before each call, against `wf-mock-llm`. Nothing is scaled: a minute \
    is a minute on both sides. What every contender needs is 300 s, because that is what 240 requests a minute allow for 1,200 \
    calls; what a full bucket gives on top at the start does not count.";

/// Runs of one contender in one scenario.
pub struct Lane {
    contender: Contender,
    scenario: Scenario,
    outcomes: Vec<Outcome>,
}

const FULL: Size = Size { workflows: 48, calls: 25, keys: 12, groups: 4, rpm: 60, latency_ms: 8_000 };
const QUICK: Size = Size { workflows: 6, calls: 3, keys: 6, groups: 2, rpm: 600, latency_ms: 40 };
/// Calls of a workflow where it is about a long time.
const MANY_CALLS: u32 = 100;

/// Runs everything there is at the same time: each lane waits for nearly all of its time, and nobody shares a mock.
pub fn run(bench: &Bench) -> Result<Finding> {
    let size = bench.size(FULL, QUICK);
    let rounds = bench.size(3, 1);
    let broken = Mutex::new(Vec::new());
    let lanes = std::thread::scope(|scope| {
        let running: Vec<_> = plan(bench, size)
            .into_iter()
            .map(|lane| {
                let broken = &broken;
                scope.spawn(move || lane.measure(bench, rounds, broken))
            })
            .collect();
        running.into_iter().filter_map(|lane| lane.join().ok()).collect::<Vec<Lane>>()
    });
    let broken = broken.into_inner().unwrap_or_default();
    if let Some(error) = broken.into_iter().next() {
        return Err(error);
    }
    Ok(show::finding(&lanes, size, rounds))
}

/// Who does what. Ours in every scenario, and for a longer time; the others where limits are what they seem, and where something is
/// dead, for most of them do not ask for limits.
fn plan(bench: &Bench, size: Size) -> Vec<Lane> {
    let lane = |contender: Contender, provider, trouble, size| Lane {
        contender,
        scenario: Scenario { provider, trouble, size },
        outcomes: Vec::new(),
    };
    let mut lanes = Vec::new();
    let troubles = bench.size(&Trouble::ALL[..], &[Trouble::None, Trouble::RevokedKey]);
    for provider in Provider::ALL {
        for trouble in troubles {
            lanes.push(lane(Contender::ours(), provider, *trouble, size));
        }
        if !bench.quick {
            lanes.push(lane(Contender::ours(), provider, Trouble::None, Size { calls: MANY_CALLS, ..size }));
        }
    }
    for contender in contenders::peers(&bench.peers) {
        for (provider, trouble) in bench.size(&show::COMPARED[..], &show::COMPARED[..1]) {
            lanes.push(lane(contender.clone(), *provider, *trouble, size));
        }
    }
    lanes
}

impl Lane {
    /// Ours with as many seeds as there are rounds, one after the other; what takes as long as all of them, once.
    fn measure(mut self, bench: &Bench, rounds: usize, broken: &Mutex<Vec<anyhow::Error>>) -> Lane {
        let Some(who) = self.contender.who.clone() else { return self };
        let is_long = self.scenario.size.calls == MANY_CALLS;
        let rounds = if self.contender.is_ours() && !is_long { rounds } else { 1 };
        for seed in 1..=rounds {
            let what = format!("{}, {}", self.contender.name, self.scenario.words());
            match lane::run(bench, &self.scenario, &who, seed as u32).with_context(|| what.clone()) {
                Ok(outcome) => {
                    say(&format!(
                        "{what}, seed {seed}: {:.1} s, {:.3} × the bound, {} of {} calls refused",
                        outcome.seconds,
                        outcome.seconds / self.scenario.bound_s(),
                        outcome.refused(),
                        outcome.counted.calls
                    ));
                    self.outcomes.push(outcome);
                }
                Err(error) => {
                    say(&format!("{error:#}"));
                    broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error);
                }
            }
        }
        self
    }
}
