//! Waiting for a thing itself, with a bound: the only place of these tests that sleeps.

use std::time::{Duration, Instant};

/// How long anything may take on a slow and busy machine before a test gives up. Nothing is measured against it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `look` until it has an answer. Panics after [`PATIENCE`], naming `what` was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match poll(PATIENCE, look) {
        Some(found) => found,
        None => panic!("waited {} s in vain for {what}", PATIENCE.as_secs()),
    }
}

/// Asks `look` until it has an answer, for `bound` at most.
pub(crate) fn poll<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
