//! The thread that keeps the index up while a run goes on.
//!
//! SQLite and `fdatasync` can take their time, and the run's loop cannot. So records go through a bounded queue to a
//! thread that makes them durable at most once a second. It is woken when something comes after nothing, or when much has
//! come, and otherwise looks when its second is over: waking it for every record took three of the five futex calls that a
//! lease cost the machine, and a switch of threads. If the queue is full, nothing is waited for: the journal has
//! everything, and what the thread missed it reads from there at the end.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use wf_core::Record;

use super::super::StoreError;
use super::super::journal::JournalSync;
use super::super::journal_reader::Entry;
use super::super::run_dir::RunId;
use super::{History, apply};

/// The least time between two synchronisations.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many records may wait for the thread.
const QUEUE: usize = 3 * BATCH;

/// How many records make it write before its time.
const BATCH: usize = 1_000;

/// The thread, as its owner sees it.
#[derive(Debug)]
pub struct HistoryWriter {
    inbox: Arc<Inbox>,
    thread: JoinHandle<Result<History, StoreError>>,
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    /// Something came after nothing, much has come, or nothing more will.
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Something did not fit: there is a gap in what comes, and the journal has none.
    is_behind: bool,
    /// Nothing more will come.
    is_closed: bool,
}

/// What is done in one go.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    /// The pool's state and its name, the latest only.
    pool: Option<(&'static str, serde_json::Value)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pool.is_none()
    }
}

impl Inbox {
    /// Nobody panics while holding it, and a whole entry is there or not.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entries: impl Iterator<Item = Entry>) {
        let mut waiting = self.lock();
        if waiting.is_behind {
            return;
        }
        let was_empty = waiting.batch.is_empty();
        let before = waiting.batch.entries.len();
        waiting.batch.entries.extend(entries);
        let after = waiting.batch.entries.len();
        if after > QUEUE {
            waiting.is_behind = true;
            waiting.batch.entries = Vec::new();
        }
        if (was_empty && after > 0) || (before < BATCH && after >= BATCH) {
            self.news.notify_one();
        }
    }

    fn keep_pool(&self, name: &'static str, value: serde_json::Value) {
        let mut waiting = self.lock();
        if waiting.batch.is_empty() {
            self.news.notify_one();
        }
        waiting.batch.pool = Some((name, value));
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.news.notify_one();
    }

    /// What has come by `due`, or earlier when it is much or the last; `None` when nothing more will come.
    fn take(&self, due: Option<Instant>) -> Option<Batch> {
        let is_idle = |waiting: &mut Waiting| waiting.batch.is_empty() && !waiting.is_closed;
        let mut waiting = self.news.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        if let Some(due) = due {
            let is_little = |waiting: &mut Waiting| waiting.batch.entries.len() < BATCH && !waiting.is_closed;
            let left = due.saturating_duration_since(Instant::now());
            let waited = self.news.wait_timeout_while(waiting, left, is_little);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let batch = std::mem::take(&mut waiting.batch);
        (!batch.is_empty() || !waiting.is_closed).then_some(batch)
    }
}

impl HistoryWriter {
    /// Starts the thread for `run`. `on_failure` is called once, from the thread, when something cannot be made
    /// durable; the run should end then (exit code 125), and [`finish`](HistoryWriter::finish) returns the error.
    pub fn start(
        history: History,
        run: RunId,
        journal: JournalSync,
        on_failure: impl FnOnce(&StoreError) + Send + 'static,
    ) -> Result<HistoryWriter, StoreError> {
        let inbox = Arc::new(Inbox::default());
        let path = history.path.clone();
        let mut work = Work { history, run, journal, inbox: Arc::clone(&inbox) };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || match work.go_on().and_then(|()| work.end()) {
                Ok(()) => Ok(work.history),
                Err(e) => {
                    on_failure(&e);
                    Err(e)
                }
            })
            .map_err(StoreError::of("start a thread for", &path))?;
        Ok(HistoryWriter { inbox, thread })
    }

    /// Hands on the records that concern the index, and never waits. They must be in the journal already.
    pub fn send(&self, records: &[Record], at: Timestamp) {
        let concern = records.iter().filter(|record| apply::concerns(record));
        // A thread that has ended has said why already; what is handed on to it stays within the queue's bound.
        self.inbox.put(concern.map(|record| Entry { at, record: record.clone() }));
    }

    /// Keeps the pool's state under `name`, and never waits: of several that come before the thread writes, the latest.
    pub fn keep_pool(&self, name: &'static str, value: serde_json::Value) {
        self.inbox.keep_pool(name, value);
    }

    /// Whether the thread missed something and will read the journal at the end.
    #[cfg(test)]
    pub fn is_behind(&self) -> bool {
        self.inbox.lock().is_behind
    }

    /// Whether something waits for the thread.
    #[cfg(test)]
    pub fn has_waiting(&self) -> bool {
        !self.inbox.lock().batch.is_empty()
    }

    /// Waits until everything is durable.
    pub fn finish(self) -> Result<History, StoreError> {
        self.inbox.close();
        self.thread.join().unwrap_or_else(|_| {
            let detail = "the thread that writes it panicked".to_owned();
            Err(StoreError::Database { path: "history.db".into(), detail })
        })
    }
}

struct Work {
    history: History,
    run: RunId,
    journal: JournalSync,
    inbox: Arc<Inbox>,
}

impl Work {
    /// Writes what comes until no more can. What the queue holds when something was missed is left: the journal has that
    /// too.
    fn go_on(&mut self) -> Result<(), StoreError> {
        let mut due = None;
        while let Some(batch) = self.inbox.take(due) {
            if let Some((name, value)) = &batch.pool {
                self.history.set_pool_state(name, value)?;
            }
            if !batch.entries.is_empty() {
                self.write(&batch.entries)?;
            }
            due = Some(Instant::now() + INTERVAL);
        }
        Ok(())
    }

    /// The journal first: the index may lag behind it, never be ahead of it.
    fn write(&mut self, batch: &[Entry]) -> Result<(), StoreError> {
        if batch
            .iter()
            .any(|entry| matches!(entry.record, Record::ItemEnded { .. } | Record::RunEnded { .. }))
        {
            self.journal.sync()?;
        }
        self.history.record(&self.run, batch)
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.journal.sync()?;
        if self.inbox.lock().is_behind {
            self.history.reread(&self.run, self.journal.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry { at: Timestamp::UNIX_EPOCH, record: Record::Stopping { why: "a test".to_owned() } }
    }

    fn put(inbox: &Inbox, count: usize) {
        inbox.put(std::iter::repeat_with(entry).take(count));
    }

    fn in_an_hour() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[test]
    fn the_first_is_taken_at_once_and_the_end_is_told() {
        let inbox = Inbox::default();
        put(&inbox, 1);
        assert_eq!(inbox.take(None).map(|batch| batch.entries.len()), Some(1));
        put(&inbox, 2);
        inbox.close();
        assert_eq!(inbox.take(Some(in_an_hour())).map(|batch| batch.entries.len()), Some(2));
        assert!(inbox.take(None).is_none());
    }

    #[test]
    fn much_is_taken_before_its_time() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| inbox.take(Some(in_an_hour())));
            for _ in 0..BATCH {
                put(&inbox, 1);
                // So that it waits already when the last one comes, most of the time.
                std::thread::yield_now();
            }
            assert!(taken.join().unwrap().is_some_and(|batch| batch.entries.len() >= BATCH));
        });
    }

    #[test]
    fn of_the_pools_states_the_latest_is_kept_with_or_without_records() {
        let inbox = Inbox::default();
        inbox.keep_pool("real", 1.into());
        inbox.keep_pool("real", 2.into());
        let batch = inbox.take(None).unwrap();
        assert_eq!((batch.pool, batch.entries.len()), (Some(("real", 2.into())), 0));
        put(&inbox, 1);
        inbox.keep_pool("real", 3.into());
        let batch = inbox.take(None).unwrap();
        assert_eq!((batch.pool, batch.entries.len()), (Some(("real", 3.into())), 1));
    }

    #[test]
    fn nothing_is_kept_after_a_gap() {
        let inbox = Inbox::default();
        put(&inbox, QUEUE);
        assert!(!inbox.lock().is_behind);
        put(&inbox, 1);
        put(&inbox, 1);
        inbox.close();
        assert!(inbox.lock().is_behind && inbox.take(None).is_none());
    }
}
