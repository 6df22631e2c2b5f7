//! The past as `history.db`, the journals and the checkpoints have it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use wf_core::ItemId;
use wf_core::resume::{Checkpoint, Holder, LastWork};

use super::Past;
use crate::config::{Settings, Work};
use crate::items::ItemSpec;
use crate::store::StoreError;
use crate::store::history::{History, LastState};
use crate::store::layout::StateDir;
use crate::store::work::{Realm, Work as RecordedWork};

/// What was recorded of the items of one run.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    last: HashMap<ItemId, LastState>,
    checkpoints: HashMap<ItemId, Checkpoint>,
    holders: HashMap<ItemId, Holder>,
}

impl Recorded {
    /// Reads what is known of `items` without writing anything.
    pub fn peek(state: &StateDir, settings: &Settings, items: &[ItemSpec]) -> Result<Recorded, StoreError> {
        let work = recorded_work(settings);
        let ids: Vec<ItemId> = items.iter().map(|item| item.id.clone()).collect();
        let facts = History::peek(state)?.facts(&work, &ids)?;
        let mut recorded = Recorded::default();
        for (id, last) in ids.into_iter().zip(facts) {
            recorded.add(id, last, None, |id| checkpoint(&state.checkpoint(&work, id)));
        }
        Ok(recorded)
    }

    /// Adds what is known of one item. `checkpoint` is asked once, for this item.
    pub fn add(
        &mut self,
        id: ItemId,
        last: Option<LastState>,
        holder: Option<Holder>,
        checkpoint: impl FnOnce(&ItemId) -> Checkpoint,
    ) {
        match checkpoint(&id) {
            Checkpoint::None => {}
            there => {
                self.checkpoints.insert(id.clone(), there);
            }
        }
        if let Some(holder) = holder {
            self.holders.insert(id.clone(), holder);
        }
        if let Some(last) = last {
            self.last.insert(id, last);
        }
    }
}

impl Past for Recorded {
    fn last(&self, id: &ItemId) -> Option<LastWork> {
        self.last.get(id).map(|last| LastWork {
            run: last.run.as_str().to_owned(),
            outcome: Some(last.outcome),
            fingerprint: last.fingerprint.clone(),
        })
    }

    fn output_of_ours(&self, id: &ItemId) -> Option<String> {
        self.last.get(id)?.output.as_ref().map(|output| output.sha256.clone())
    }

    fn checkpoint(&self, id: &ItemId) -> Checkpoint {
        self.checkpoints.get(id).cloned().unwrap_or(Checkpoint::None)
    }

    fn holder(&self, id: &ItemId) -> Option<Holder> {
        self.holders.get(id).cloned()
    }
}

/// How the store calls the work of this run.
pub fn recorded_work(settings: &Settings) -> RecordedWork {
    let realm = Realm::of(settings.mock.is_some());
    match &settings.work {
        Work::Workflow(workflow) => RecordedWork::workflow(realm, workflow.name.word()),
        Work::Command(template) => {
            use std::os::unix::ffi::OsStrExt as _;
            let words: Vec<&[u8]> = template.typed().iter().map(|word| word.as_bytes()).collect();
            RecordedWork::command(realm, &words, &settings.project.cwd)
        }
    }
}

/// A checkpoint as far as it can be seen from outside.
fn checkpoint(path: &Path) -> Checkpoint {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => Checkpoint::Opaque,
        _ => Checkpoint::None,
    }
}
