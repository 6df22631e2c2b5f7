//! The one answer to "shall I stop?": set once, by whoever hears of it first; everything that waits, waits on it too.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wf_protocol::StopReason;

/// Why to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The supervisor asked.
    Asked(StopReason),
    /// A signal came: SIGTERM, SIGINT or SIGHUP.
    Signal,
    /// The supervisor is gone.
    SupervisorLost,
}

impl Cause {
    /// The same in words for a person.
    pub fn words(self) -> &'static str {
        match self {
            Cause::Asked(StopReason::Shutdown) => "the run is stopping",
            Cause::Asked(StopReason::Watchdog) => "its time is up",
            Cause::Asked(StopReason::PoolDead) => "no usable key is left",
            Cause::Signal => "a signal asked it to stop",
            Cause::SupervisorLost => "the supervisor is gone",
        }
    }
}

/// A stop request that has or has not come yet; clones are the same one.
#[derive(Clone, Default)]
pub struct Stop {
    state: Arc<Mutex<State>>,
    /// The thread of the last race, if it came to its end: it runs the next one.
    runner: Arc<Mutex<Option<Runner>>>,
}

/// A thread that runs what it is sent, one after the other, until nobody can send any more.
type Runner = mpsc::Sender<Box<dyn FnOnce() + Send>>;

#[derive(Default)]
struct State {
    cause: Option<Cause>,
    listeners: BTreeMap<u64, Box<dyn FnOnce(Cause) + Send>>,
    next: u64,
}

/// How [`Stop::race`] came out.
#[derive(Debug, PartialEq, Eq)]
pub enum Raced<T> {
    /// The work was first.
    Done(T),
    /// The stop request was first; the work is left to itself.
    Stopped(Cause),
    /// The limit was first; the work is left to itself.
    TimedOut,
}

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks. Only the first cause counts.
    pub fn request(&self, cause: Cause) {
        let listeners = {
            let mut state = self.state();
            if state.cause.is_some() {
                return;
            }
            state.cause = Some(cause);
            std::mem::take(&mut state.listeners)
        };
        for (_, listener) in listeners {
            listener(cause);
        }
    }

    /// Why to stop, if anybody asked.
    pub fn requested(&self) -> Option<Cause> {
        self.state().cause
    }

    /// Calls `listener` once when somebody asks, or at once if somebody has; not after the guard is dropped.
    pub fn listen(&self, listener: impl FnOnce(Cause) + Send + 'static) -> Listening {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if let Some(cause) = state.cause {
            drop(state);
            listener(cause);
        } else {
            state.listeners.insert(id, Box::new(listener));
        }
        Listening { stop: self.clone(), id }
    }

    /// Runs `work` in another thread and waits for it, for a stop request, or for `limit`, whichever is first.
    ///
    /// Work that lost is abandoned, not ended: it must be harmless when nobody takes its result. Work that panics
    /// counts as timed out. The error is the thread that could not be started.
    pub fn race<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Raced<T>> {
        let (done, first) = mpsc::channel();
        let stopped = done.clone();
        let _listening = self.listen(move |cause| {
            let _ = stopped.send(Raced::Stopped(cause));
        });
        if let Some(cause) = self.requested() {
            return Ok(Raced::Stopped(cause));
        }
        // Taken out, so that a race in the middle of this one has a thread of its own.
        let idle = self.runner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let runner = idle.map_or_else(start_runner, Ok)?;
        let run = Box::new(move || {
            let _ = done.send(Raced::Done(work()));
        });
        // It lives as long as it can be sent to: work that panicked lost its race, and its thread is not kept.
        let _ = runner.send(run);
        Ok(match first.recv_timeout(limit) {
            Ok(Raced::Done(result)) => {
                *self.runner.lock().unwrap_or_else(PoisonError::into_inner) = Some(runner);
                Raced::Done(result)
            }
            Ok(lost) => lost,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Raced::TimedOut,
        })
    }

    /// Waits for a stop request, at most this long.
    pub fn wait(&self, limit: Duration) -> Option<Cause> {
        let (tell, told) = mpsc::channel();
        let _listening = self.listen(move |cause| {
            let _ = tell.send(cause);
        });
        told.recv_timeout(limit).ok()
    }
}

fn start_runner() -> io::Result<Runner> {
    let (runner, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    thread::Builder::new().name("race".into()).spawn(move || {
        for run in work {
            run();
        }
    })?;
    Ok(runner)
}

/// Keeps a listener listening; see [`Stop::listen`].
#[must_use = "a dropped listener hears nothing"]
pub struct Listening {
    stop: Stop,
    id: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.state().listeners.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_first_cause_counts_and_late_listeners_hear_it() {
        let stop = Stop::new();
        assert_eq!(stop.requested(), None);
        stop.request(Cause::Signal);
        stop.request(Cause::SupervisorLost);
        assert_eq!(stop.requested(), Some(Cause::Signal));
        assert_eq!(stop.wait(LONG), Some(Cause::Signal));
        assert_eq!(stop.race(LONG, || 1).unwrap(), Raced::Stopped(Cause::Signal));
    }

    #[test]
    fn work_wins_when_nobody_asks_and_leaves_no_listener_behind() {
        let stop = Stop::new();
        assert_eq!(stop.race(LONG, || 7).unwrap(), Raced::Done(7));
        assert!(stop.state().listeners.is_empty());
    }

    #[test]
    fn a_request_ends_the_wait_for_work_that_never_ends() {
        let stop = Stop::new();
        let asker = stop.clone();
        let raced = stop.race(LONG, move || {
            asker.request(Cause::SupervisorLost);
            thread::park_timeout(LONG);
        });
        assert_eq!(raced.unwrap(), Raced::Stopped(Cause::SupervisorLost));
    }

    #[test]
    fn one_thread_runs_race_after_race_until_one_is_lost() {
        let stop = Stop::new();
        let id = || thread::current().id();
        let Raced::Done(first) = stop.race(LONG, id).unwrap() else { panic!("nobody asked") };
        assert_eq!(stop.race(LONG, id).unwrap(), Raced::Done(first));
        let panics = stop.race(Duration::from_millis(1), || panic!("on purpose"));
        assert_eq!(panics.unwrap(), Raced::<()>::TimedOut);
        let Raced::Done(next) = stop.race(LONG, id).unwrap() else { panic!("nobody asked") };
        assert_ne!(next, first);
        // Two at once have two threads.
        let inner = stop.clone();
        let both = stop.race(LONG, move || (id(), inner.race(LONG, id).unwrap()));
        let Raced::Done((outer, Raced::Done(inner))) = both.unwrap() else { panic!("nobody asked") };
        assert_ne!(outer, inner);
    }

    #[test]
    fn the_limit_ends_the_wait() {
        let raced = Stop::new().race(Duration::from_millis(1), || thread::park_timeout(LONG));
        assert_eq!(raced.unwrap(), Raced::TimedOut);
    }
}
