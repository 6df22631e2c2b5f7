//! While workers wait for quota, key sources are read again every few seconds, so that an operator can help a waiting run;
//! and once more, at once, when the pool is dead and the run would end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::config::ProcessEnviron;
use crate::keys::{KeyChange, KeyRing};

/// How often, at most.
const EVERY: Duration = Duration::from_secs(5);

/// How long a command may take to print a secret while a run goes on. Shorter than at the start, when a person may have
/// to unlock something: a run that ends waits for it.
const COMMAND_TIME: Duration = Duration::from_secs(5);

/// Reads the sources when it is time to. Idle, without any timer, while nobody waits.
#[derive(Debug, Default)]
pub struct KeyWatch {
    due: Option<Instant>,
    /// A source may be a command that takes its time: it is read beside the loop.
    reading: Option<JoinHandle<(KeyRing, Vec<KeyChange>)>>,
    wanted: Wanted,
}

/// A reading that somebody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    No,
    /// It has not begun: one that is under way may have read a source before its change.
    Next,
    /// It has begun.
    This,
}

impl KeyWatch {
    /// Asks for a reading now.
    pub fn read_now(&mut self) {
        self.wanted = Wanted::Next;
        self.due = Some(Instant::now());
    }

    /// After a reading: whether it was the one that was asked for.
    pub fn was_asked_for(&mut self) -> bool {
        let is_it = self.wanted == Wanted::This;
        if is_it {
            self.wanted = Wanted::No;
        }
        is_it
    }

    /// Whether somebody waits for quota now.
    pub fn follow(&mut self, waiting: bool) {
        if self.wanted != Wanted::No {
            return;
        }
        if !waiting {
            self.due = None;
        } else if self.reading.is_none() {
            self.due.get_or_insert_with(|| Instant::now() + EVERY);
        }
    }

    /// Waits for a reading that is under way, so that no command of a source outlives the run.
    pub async fn finish(self) {
        if let Some(reading) = self.reading {
            // What it read is of no use any more, and neither is why it failed.
            let _ = reading.await;
        }
    }

    /// The next reading: the ring as it is now, and what changed in it. May be dropped and called again at any time.
    pub async fn next(&mut self, ring: &KeyRing) -> (KeyRing, Vec<KeyChange>) {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = reading.await;
                self.reading = None;
                if let Ok(read) = read {
                    return read;
                }
            }
            match self.due {
                Some(at) => {
                    sleep_until(at).await;
                    self.due = None;
                    if self.wanted == Wanted::Next {
                        self.wanted = Wanted::This;
                    }
                    let mut ring = ring.clone();
                    self.reading = Some(tokio::task::spawn_blocking(move || {
                        let changes = ring.reload(&ProcessEnviron, COMMAND_TIME);
                        (ring, changes)
                    }));
                }
                None => std::future::pending().await,
            }
        }
    }
}
