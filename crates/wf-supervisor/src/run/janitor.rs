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

    /// Takes a checkpoint away. Its name is free when this returns, so it has to be called while nobody else may take up the
    /// item; its files are removed soon. One that is not there is no error.
    pub fn discard(&mut self, path: &Path) {
        // Most commands have none, and one look is cheaper than three renamings.
        if !path.exists() {
            return;
        }
        match checkpoint::discard(path) {
            Ok(Some(done)) => self.remove_soon(done),
            Ok(None) => {}
            Err(error) => {
                log::warn!("cannot discard the checkpoint {} of a done item: {error}", path.display());
            }
        }
    }

    fn remove_soon(&mut self, done: PathBuf) {
        if self.working.is_none() {
            let (tell, told) = mpsc::sync_channel::<PathBuf>(WAITING);
            let work = move || told.iter().for_each(|path| remove(&path));
            self.working = match thread::Builder::new().name("janitor".into()).spawn(work) {
                Ok(thread) => Some((tell, thread)),
                Err(_) => return remove(&done),
            };
        }
        if let Some((tell, _)) = &self.working {
            let _ = tell.send(done);
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
        log::warn!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_free_at_once_and_in_the_end_everything_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut janitor = Janitor::new();
        for n in 0..10 {
            let path = dir.path().join(format!("{n}.db"));
            if n % 2 == 0 {
                std::fs::write(&path, b"").unwrap();
                std::fs::write(dir.path().join(format!("{n}.db-wal")), b"").unwrap();
            }
            janitor.discard(&path);
            assert!(!path.exists());
        }
        let anew = dir.path().join("0.db");
        std::fs::write(&anew, b"another worker's").unwrap();
        janitor.finish();
        assert_eq!(std::fs::read(&anew).unwrap(), b"another worker's");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
