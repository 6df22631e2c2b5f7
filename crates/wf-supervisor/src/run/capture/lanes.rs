//! Threads for fast streams. They are started when they are needed, and a run without floods has none.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;

/// More threads than this find the disk or the memory busy before they are.
const MAX_LANES: usize = 4;

/// The buffers of one thread, used by all attempts on it in turn.
#[derive(Clone, Debug)]
pub struct Buffers(Arc<Mutex<Pair>>);

/// What is read, and what redaction makes of it where it finds something.
#[derive(Debug)]
pub struct Pair {
    /// As long as one read.
    pub read: Vec<u8>,
    /// Of any length.
    pub redacted: Vec<u8>,
}

impl Buffers {
    /// The buffers, for one read: there is no competition, for they belong to one thread.
    pub fn lock(&self) -> MutexGuard<'_, Pair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers(Arc::new(Mutex::new(Pair { read: vec![0; READ_BYTES], redacted: Vec::new() })))
    }
}

/// A thread with a runtime of its own.
#[derive(Clone, Debug)]
pub struct Lane {
    /// To spawn on it.
    pub runtime: Handle,
    /// Its buffers. Each attempt on it holds a clone.
    pub buffers: Buffers,
}

/// The supervisor's own thread and the lanes.
#[derive(Debug, Default)]
pub struct Lanes {
    home: Buffers,
    /// The threads end when the senders are dropped.
    lanes: Mutex<Vec<(Lane, oneshot::Sender<()>)>>,
}

impl Lanes {
    /// The buffers of the supervisor's own thread.
    pub fn home(&self) -> Buffers {
        self.home.clone()
    }

    /// The lane with the least to do; a new one as long as all have something and there may be more.
    pub fn least_busy(&self) -> io::Result<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |lane: &Lane| Arc::strong_count(&lane.buffers.0) - 1;
        let most = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_LANES);
        let least = lanes.iter().map(|(lane, _)| lane).min_by_key(|lane| load(lane)).cloned();
        match least {
            // The clone in `least` counts.
            Some(lane) if load(&lane) == 1 || lanes.len() >= most => Ok(lane),
            _ => {
                let (lane, end) = Lane::start()?;
                lanes.push((lane.clone(), end));
                Ok(lane)
            }
        }
    }
}

impl Lane {
    fn start() -> io::Result<(Lane, oneshot::Sender<()>)> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let lane = Lane { runtime: runtime.handle().clone(), buffers: Buffers::default() };
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("capture".to_owned()).stack_size(512 * 1024).spawn(move || {
            // Nothing is ever sent; the sender goes with the last capture.
            let _ = runtime.block_on(ended);
        })?;
        Ok((lane, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_over_few_threads() {
        let lanes = Lanes::default();
        let held: Vec<Lane> = (0..3 * MAX_LANES).map(|_| lanes.least_busy().unwrap()).collect();
        let started: Vec<usize> =
            lanes.lanes.lock().unwrap().iter().map(|(l, _)| Arc::strong_count(&l.buffers.0) - 1).collect();
        assert!(started.len() <= MAX_LANES);
        assert!(started.iter().max().unwrap() - started.iter().min().unwrap() <= 1, "{started:?}");
        drop(held);
        lanes.least_busy().unwrap();
        assert_eq!(lanes.lanes.lock().unwrap().len(), started.len(), "an idle one is used again");
    }
}
