//! Removes the checkpoints of items that are done, in a thread of its own: where the file system gives blocks back at
//! once, a removal takes milliseconds in which nobody would get a key.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use wf_worker::checkpoint;

/// Removals that may wait; whoever has one more waits with them.
const WAITING: usize = 1024;

/// The thread; it is started when there is something to do for the first time.
#[derive(Debug, Default)]
pub struct Janitor {
    working: Option<(SyncSender<PathBuf>, JoinHandle<()>)>,
}

impl Janitor {
    /// Nothing is to do yet.
    pub fn new() -> Janitor {
        Janitor::default()
    }

    /// Removes a checkpoint soon; one that is not there is no error.
    pub fn remove(&mut self, checkpoint: PathBuf) {
        // Most commands have none, and one look is cheaper than waking somebody.
        if !checkpoint.exists() {
            return;
        }
        if self.working.is_none() {
            let (tell, told) = mpsc::sync_channel::<PathBuf>(WAITING);
            let work = move || told.iter().for_each(|path| remove(&path));
            self.working = match thread::Builder::new().name("janitor".into()).spawn(work) {
                Ok(thread) => Some((tell, thread)),
                Err(_) => return remove(&checkpoint),
            };
        }
        if let Some((tell, _)) = &self.working {
            let _ = tell.send(checkpoint);
        }
    }

    /// Returns when all is removed.
    pub fn finish(self) {
        if let Some((tell, thread)) = self.working {
            drop(tell);
            let _ = thread.join();
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = checkpoint::remove(path) {
        log::warn!("cannot remove the checkpoint {} of a finished item: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_has_finished_everything_is_gone_and_what_was_not_there_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let mut janitor = Janitor::new();
        for n in 0..10 {
            let path = dir.path().join(format!("{n}.db"));
            if n % 2 == 0 {
                std::fs::write(&path, b"").unwrap();
                std::fs::write(dir.path().join(format!("{n}.db-wal")), b"").unwrap();
            }
            janitor.remove(path);
        }
        janitor.finish();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
