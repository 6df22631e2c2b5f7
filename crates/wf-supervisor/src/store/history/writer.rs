//! The thread that keeps the index up while a run goes on.
//!
//! SQLite and `fdatasync` can take their time, and the run's loop cannot. So records go through a bounded queue to a
//! thread that makes them durable at most once a second. If the queue is full, nothing is waited for: the journal has
//! everything, and what the thread missed it reads from there at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
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

/// How many turns of the run's loop may wait for the thread.
const QUEUE: usize = 1024;

/// How many records are taken together at most.
const BATCH: usize = 10_000;

/// The thread, as its owner sees it.
#[derive(Debug)]
pub struct HistoryWriter {
    queue: SyncSender<Job>,
    is_behind: Arc<AtomicBool>,
    thread: JoinHandle<Result<History, StoreError>>,
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
        let (queue, records) = mpsc::sync_channel(QUEUE);
        let is_behind = Arc::new(AtomicBool::new(false));
        let path = history.path.clone();
        let mut work = Work { history, run, journal, is_behind: Arc::clone(&is_behind) };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || match work.go_on(&records).and_then(|()| work.end()) {
                Ok(()) => Ok(work.history),
                Err(e) => {
                    on_failure(&e);
                    Err(e)
                }
            })
            .map_err(StoreError::of("start a thread for", &path))?;
        Ok(HistoryWriter { queue, is_behind, thread })
    }

    /// Hands on the records that concern the index, and never waits. They must be in the journal already.
    pub fn send(&self, records: &[Record], at: Timestamp) {
        let entries: Vec<Entry> = records
            .iter()
            .filter(|record| apply::concerns(record))
            .map(|record| Entry { at, record: record.clone() })
            .collect();
        if entries.is_empty() || self.is_behind.load(Ordering::Relaxed) {
            return;
        }
        // A thread that has ended has said why already.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Job::Records(entries)) {
            self.is_behind.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps the pool's state under `name`, and never waits: if there is no room now, a later state will be kept.
    pub fn keep_pool(&self, name: &'static str, value: serde_json::Value) {
        let _ = self.queue.try_send(Job::Pool(name, value));
    }

    /// Whether the thread missed something and will read the journal at the end.
    #[cfg(test)]
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// Waits until everything is durable.
    pub fn finish(self) -> Result<History, StoreError> {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|_| {
            let detail = "the thread that writes it panicked".to_owned();
            Err(StoreError::Database { path: "history.db".into(), detail })
        })
    }
}

/// What the thread has to do.
#[derive(Debug)]
enum Job {
    Records(Vec<Entry>),
    Pool(&'static str, serde_json::Value),
}

/// What is done in one go.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    /// The latest only.
    pool: Option<(&'static str, serde_json::Value)>,
}

impl Batch {
    fn add(&mut self, job: Job) {
        match job {
            Job::Records(entries) => self.entries.extend(entries),
            Job::Pool(name, value) => self.pool = Some((name, value)),
        }
    }
}

struct Work {
    history: History,
    run: RunId,
    journal: JournalSync,
    is_behind: Arc<AtomicBool>,
}

impl Work {
    /// Writes what comes until no more can.
    fn go_on(&mut self, jobs: &Receiver<Job>) -> Result<(), StoreError> {
        let mut last: Option<Instant> = None;
        while let Ok(first) = jobs.recv() {
            let mut batch = Batch::default();
            batch.add(first);
            let due = last.map_or_else(Instant::now, |at| at + INTERVAL);
            let mut is_last = false;
            while batch.entries.len() < BATCH {
                match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(more) => batch.add(more),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        is_last = true;
                        break;
                    }
                }
            }
            if let Some((name, value)) = &batch.pool {
                self.history.set_pool_state(name, value)?;
            }
            if self.is_behind.load(Ordering::Relaxed) {
                // There is a gap in what comes; the journal has none.
                continue;
            }
            if !batch.entries.is_empty() {
                self.write(&batch.entries)?;
            }
            last = Some(Instant::now());
            if is_last {
                break;
            }
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
        if self.is_behind.load(Ordering::Relaxed) {
            self.history.reread(&self.run, self.journal.path())?;
        }
        Ok(())
    }
}
