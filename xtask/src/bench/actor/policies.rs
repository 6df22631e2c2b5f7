//! Other ways to share keys among workflows, each as its users do it: a thread per workflow, real HTTP, no supervisor.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use wf_providers::{Prompt, Refusal, Reply};

use super::calls::{Wire, prompt};
use super::lane::{Ended, Lane};

/// Who calls with which key, and what a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// A key for each worker, and what the providers' SDKs do: two retries, exponential backoff, `retry-after` honoured
    Pinned,
    /// A key by chance for each call; a refused one cools down for a fixed time
    Shuffle,
    /// Keys in turns; a refusal stops everybody for a while
    Coordinated,
    /// The next key at once
    Rotate,
    /// A key to itself for each workflow, from beginning to end
    Exclusive,
}

/// What openai's SDK does by itself: so many retries (`DEFAULT_MAX_RETRIES`), waits from and to (`INITIAL_RETRY_DELAY`,
/// `MAX_RETRY_DELAY`), and a `retry-after` up to a minute.
const SDK_RETRIES: u32 = 2;
const SDK_FIRST: Duration = Duration::from_millis(500);
const SDK_LONGEST: Duration = Duration::from_secs(8);
const SDK_HINT: Duration = Duration::from_secs(60);
/// What litellm's router does: so many retries, and a refused key rests so long (`DEFAULT_COOLDOWN_TIME_SECONDS`).
const COOL_DOWN: Duration = Duration::from_secs(5);
/// A cool-down that all share, where no hint says how long: the limits are per minute.
const SHARED_COOL_DOWN: Duration = Duration::from_secs(60);
/// Who has tried every key rests so long.
const ROUND_PAUSE: Duration = Duration::from_secs(5);

/// Plays a lane and prints what came of it.
pub fn play(policy: Policy, lane: &Path) -> Result<()> {
    let text = fs::read_to_string(lane).with_context(|| lane.display().to_string())?;
    let lane: Lane = serde_json::from_str(&text).context("the lane")?;
    let pool = Pool::new(policy, lane);
    std::thread::scope(|scope| {
        for number in 1..=pool.lane.workflows {
            let pool = &pool;
            scope.spawn(move || pool.workflow(number));
        }
    });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &pool.ended())?;
    Ok(writeln!(out)?)
}

/// The keys of a lane, and what all workflows know of them.
struct Pool {
    policy: Policy,
    lane: Lane,
    wire: Wire,
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
    answered: AtomicU64,
    failures: AtomicU64,
    unfinished: AtomicU64,
    last_ns: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// By key: nobody uses it before.
    cool_until: Vec<Instant>,
    /// By key: taken by a workflow.
    taken: Vec<bool>,
    /// Nobody calls before.
    pause_until: Instant,
    /// Whose turn it is.
    next: usize,
    /// Of the dice.
    seed: u64,
}

/// A call that came to nothing.
enum Failed {
    /// What the workflow sees; it may try again.
    Once,
    /// It can never go on.
    ForGood,
}

impl Pool {
    fn new(policy: Policy, lane: Lane) -> Pool {
        let begun = Instant::now();
        let keys = lane.keys.len();
        let state = State {
            cool_until: vec![begun; keys],
            taken: vec![false; keys],
            pause_until: begun,
            next: 0,
            seed: 0x9e37_79b9_7f4a_7c15,
        };
        Pool {
            policy,
            wire: Wire::new(&lane.base_url),
            lane,
            begun,
            state: Mutex::new(state),
            changed: Condvar::new(),
            answered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            unfinished: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
        }
    }

    fn ended(&self) -> Ended {
        Ended {
            seconds: self.last_ns.load(Ordering::Relaxed) as f64 / 1e9,
            answered: self.answered.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            unfinished: self.unfinished.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gave_up(&self) -> bool {
        self.begun.elapsed().as_secs_f64() > self.lane.give_up_s
    }

    /// Waits, but not much longer than until all give up: a provider may tell to wait for its midnight.
    fn rest(&self, wait: Duration) {
        let left = (self.lane.give_up_s - self.begun.elapsed().as_secs_f64()).max(0.0) + 0.1;
        std::thread::sleep(wait.min(Duration::from_secs_f64(left)));
    }

    fn workflow(&self, number: u32) {
        let mut own = (self.policy == Policy::Exclusive).then(|| self.take());
        for call in 0..self.lane.calls {
            let prompt = prompt(&number.to_string(), call);
            loop {
                if self.gave_up() {
                    self.unfinished.fetch_add(u64::from(self.lane.calls - call), Ordering::Relaxed);
                    return;
                }
                let answered = match self.policy {
                    Policy::Pinned => self.pinned(number as usize % self.lane.keys.len(), &prompt),
                    Policy::Shuffle => self.shuffled(&prompt),
                    Policy::Coordinated => self.coordinated(&prompt),
                    Policy::Rotate => self.rotated(&prompt),
                    Policy::Exclusive => self.exclusive(&mut own, &prompt),
                };
                match answered {
                    Ok(()) => break,
                    Err(Failed::Once) => {
                        self.failures.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_secs_f64(self.lane.after_failure_s));
                    }
                    Err(Failed::ForGood) => {
                        self.failures.fetch_add(1, Ordering::Relaxed);
                        self.unfinished.fetch_add(u64::from(self.lane.calls - call), Ordering::Relaxed);
                        return;
                    }
                }
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.last_ns.fetch_max(self.begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        if let Some(key) = own {
            self.give_back(key);
        }
    }

    fn send(&self, key: usize, prompt: &Prompt) -> Result<(), Refusal> {
        match self.wire.send(&self.lane.keys[key].secret, prompt) {
            Reply::Answer(_) => Ok(()),
            Reply::Refused(refusal) => Err(refusal),
        }
    }

    fn pinned(&self, key: usize, prompt: &Prompt) -> Result<(), Failed> {
        for retry in 0..=SDK_RETRIES {
            match self.send(key, prompt) {
                Ok(()) => return Ok(()),
                Err(Refusal::KeyRefused { .. }) => return Err(Failed::ForGood),
                Err(_) if retry == SDK_RETRIES => {}
                Err(refusal) => self.rest(self.sdk_wait(retry, &refusal)),
            }
        }
        Err(Failed::Once)
    }

    /// How long the SDK waits before it tries again.
    fn sdk_wait(&self, retry: u32, refusal: &Refusal) -> Duration {
        match told(refusal).filter(|wait| *wait <= SDK_HINT) {
            Some(wait) => wait,
            None => (SDK_FIRST * 2_u32.pow(retry)).min(SDK_LONGEST).mul_f64(1.0 - 0.25 * self.dice()),
        }
    }

    fn shuffled(&self, prompt: &Prompt) -> Result<(), Failed> {
        for _ in 0..=SDK_RETRIES {
            let key = self.warm_key();
            match self.send(key, prompt) {
                Ok(()) => return Ok(()),
                Err(_) => self.state().cool_until[key] = Instant::now() + COOL_DOWN,
            }
        }
        Err(Failed::Once)
    }

    /// A key by chance that is not cooling down; where all are, the first that no longer is.
    fn warm_key(&self) -> usize {
        loop {
            let (now, chance) = (Instant::now(), self.dice());
            let state = self.state();
            let warm: Vec<usize> =
                (0..state.cool_until.len()).filter(|key| state.cool_until[*key] <= now).collect();
            if let Some(key) = warm.get((chance * warm.len() as f64) as usize) {
                return *key;
            }
            let first = state.cool_until.iter().min().copied().unwrap_or(now);
            drop(state);
            std::thread::sleep(first.saturating_duration_since(now));
        }
    }

    fn coordinated(&self, prompt: &Prompt) -> Result<(), Failed> {
        loop {
            let now = Instant::now();
            let mut state = self.state();
            let pause = state.pause_until.saturating_duration_since(now);
            if !pause.is_zero() {
                drop(state);
                if self.gave_up() {
                    return Err(Failed::Once);
                }
                self.rest(pause);
                continue;
            }
            let key = state.next % self.lane.keys.len();
            state.next += 1;
            drop(state);
            match self.send(key, prompt) {
                Ok(()) => return Ok(()),
                Err(refusal @ Refusal::Limited { .. }) => {
                    let wait = told(&refusal).unwrap_or(SHARED_COOL_DOWN);
                    let mut state = self.state();
                    state.pause_until = state.pause_until.max(now + wait);
                }
                Err(_) => return Err(Failed::Once),
            }
        }
    }

    fn rotated(&self, prompt: &Prompt) -> Result<(), Failed> {
        loop {
            for _ in 0..self.lane.keys.len() {
                let mut state = self.state();
                let key = state.next % self.lane.keys.len();
                state.next += 1;
                drop(state);
                if self.send(key, prompt).is_ok() {
                    return Ok(());
                }
            }
            if self.gave_up() {
                return Err(Failed::Once);
            }
            std::thread::sleep(ROUND_PAUSE);
        }
    }

    fn exclusive(&self, own: &mut Option<usize>, prompt: &Prompt) -> Result<(), Failed> {
        let mut refused = 0;
        loop {
            let key = *own.get_or_insert_with(|| self.take());
            match self.send(key, prompt) {
                Ok(()) => return Ok(()),
                // It stays taken: nobody gets it any more.
                Err(Refusal::KeyRefused { .. }) => *own = None,
                Err(refusal) => {
                    let wait = told(&refusal).unwrap_or_else(|| self.sdk_wait(refused.min(9), &refusal));
                    refused += 1;
                    self.rest(wait);
                    if self.gave_up() {
                        return Err(Failed::Once);
                    }
                }
            }
        }
    }

    fn take(&self) -> usize {
        let mut state = self.state();
        loop {
            if let Some(free) = state.taken.iter().position(|taken| !taken) {
                state.taken[free] = true;
                return free;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, key: usize) {
        self.state().taken[key] = false;
        self.changed.notify_one();
    }

    /// From 0 to 1 (xorshift64*).
    fn dice(&self) -> f64 {
        let mut state = self.state();
        let mut x = state.seed;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.seed = x;
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How long the provider says to wait.
fn told(refusal: &Refusal) -> Option<Duration> {
    match refusal {
        Refusal::Limited { retry_after, .. } => *retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::LaneKey;
    use super::*;

    fn pool(policy: Policy) -> Pool {
        let key = |n: u32| LaneKey { secret: format!("secret-{n}"), group: "g".to_owned() };
        let keys = (1..=3).map(key).collect();
        let base_url = "http://127.0.0.1:9".to_owned();
        Pool::new(
            policy,
            Lane { base_url, workflows: 2, calls: 5, rpm: 60, give_up_s: -1.0, after_failure_s: 0.0, keys },
        )
    }

    #[test]
    fn the_sdk_doubles_its_wait_unless_it_is_told_one_of_a_minute_at_most() {
        let pool = pool(Policy::Pinned);
        let refusal = |seconds: Option<u64>| Refusal::Limited {
            dimension: None,
            retry_after: seconds.map(Duration::from_secs),
            limit: None,
            slow_down: false,
            hints: Vec::new(),
            detail: String::new(),
        };
        assert_eq!(pool.sdk_wait(0, &refusal(Some(60))), Duration::from_secs(60));
        for (retry, most) in [(0, 0.5), (1, 1.0), (9, 8.0)] {
            let wait = pool.sdk_wait(retry, &refusal(Some(61))).as_secs_f64();
            assert!((most * 0.75..=most).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_key_that_cools_down_is_left_alone() {
        let pool = pool(Policy::Shuffle);
        for key in [0, 2] {
            pool.state().cool_until[key] = Instant::now() + Duration::from_secs(1_000);
        }
        assert!((0..20).all(|_| pool.warm_key() == 1));
    }

    #[test]
    fn whoever_gives_up_leaves_its_calls_unfinished() {
        let pool = pool(Policy::Rotate);
        pool.workflow(1);
        assert_eq!(pool.ended(), Ended { unfinished: 5, ..Ended::default() });
    }
}
