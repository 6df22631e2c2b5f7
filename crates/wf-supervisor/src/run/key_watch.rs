//! While workers wait for quota, key sources are read again every few seconds, so that an operator can help a waiting run.
//! While a key is out of use until somebody acts, they are read, too, but only when something happens anyway; and once
//! more, at once, when the pool is dead and the run would end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
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
#[derive(Debug)]
pub struct KeyWatch {
    /// Held while a source's command runs.
    births: Arc<Mutex<()>>,
    /// When the last reading began.
    last: Option<Instant>,
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
    /// Which reads nothing before [`follow`](KeyWatch::follow) says that it is time.
    pub fn new(births: Arc<Mutex<()>>) -> KeyWatch {
        KeyWatch { births, last: None, due: None, reading: None, wanted: Wanted::No }
    }

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

    /// Something has happened: whether somebody waits for quota now, and whether a key is out of use until somebody acts.
    pub fn follow(&mut self, waiting: bool, misses_a_key: bool) {
        if self.wanted != Wanted::No || self.reading.is_some() {
            return;
        }
        if waiting {
            self.due.get_or_insert_with(|| Instant::now() + EVERY);
        } else if misses_a_key && self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.due = Some(Instant::now());
        } else {
            self.due = None;
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
                    self.last = Some(Instant::now());
                    let (mut ring, births) = (ring.clone(), Arc::clone(&self.births));
                    self.reading = Some(tokio::task::spawn_blocking(move || {
                        let changes = ring.reload(&ProcessEnviron, COMMAND_TIME, &births);
                        (ring, changes)
                    }));
                }
                None => std::future::pending().await,
            }
        }
    }
}
