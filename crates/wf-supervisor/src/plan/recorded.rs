//! The past as `history.db`, the journals and the checkpoints have it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::{Past, Plan, PlannedItem};
use crate::config::{Settings, Work};
use crate::items::ItemSpec;
use crate::store::StoreError;
use crate::store::history::{Claim, History, LastState};
use crate::store::layout::StateDir;
use crate::store::work::{Realm, Work as RecordedWork};
use wf_core::ItemId;
use wf_core::resume::{Checkpoint, Holder, LastWork};
use wf_worker::checkpoint;
use wf_worker::workflow::Next;

/// What was recorded of the items of one run.
#[derive(Debug)]
pub struct Recorded<'a> {
    claims: HashMap<&'a ItemId, Claim>,
    state: &'a StateDir,
    work: RecordedWork,
    is_command: bool,
    /// Most projects have no checkpoint at all; then nobody has to look for each item's.
    any_checkpoint: bool,
}

impl<'a> Recorded<'a> {
    /// Reads what is known of `items` without writing anything. Who works on them now is not known to it.
    pub fn peek(
        state: &'a StateDir,
        settings: &Settings,
        items: &'a [ItemSpec],
    ) -> Result<Recorded<'a>, StoreError> {
        let ids: Vec<ItemId> = items.iter().map(|item| item.id.clone()).collect();
        let facts = History::peek(state)?.facts(&recorded_work(settings), &ids)?;
        let claims = facts.into_iter().map(|last| Claim { held: None, last }).collect();
        Ok(Recorded::of_claims(state, settings, items, claims))
    }

    /// With what came of claiming the items, in their order.
    pub fn of_claims(
        state: &'a StateDir,
        settings: &Settings,
        items: &'a [ItemSpec],
        claims: Vec<Claim>,
    ) -> Recorded<'a> {
        let work = recorded_work(settings);
        let some_checkpoint = items.first().map(|item| state.checkpoint(&work, &item.id));
        let entries =
            some_checkpoint.as_deref().and_then(Path::parent).and_then(|dir| fs::read_dir(dir).ok());
        Recorded {
            claims: items.iter().map(|item| &item.id).zip(claims).collect(),
            state,
            work,
            is_command: matches!(settings.work, Work::Command(_)),
            any_checkpoint: entries.is_some_and(|mut entries| entries.next().is_some()),
        }
    }

    /// Tokens that earlier runs spent on the items as they are now.
    pub fn tokens_spent(&self, plan: &Plan) -> u64 {
        let spent = |planned: &PlannedItem| {
            let last = self.claims.get(&planned.item.id)?.last.as_ref()?;
            (last.fingerprint == planned.fingerprint).then_some(last.tokens)
        };
        plan.items.iter().filter_map(spent).fold(0, u64::saturating_add)
    }

    fn last_state(&self, id: &ItemId) -> Option<&LastState> {
        self.claims.get(id)?.last.as_ref()
    }
}

impl Past for Recorded<'_> {
    fn last(&self, id: &ItemId) -> Option<LastWork> {
        self.last_state(id).map(|last| LastWork {
            run: last.run.as_str().to_owned(),
            outcome: Some(last.outcome),
            fingerprint: last.fingerprint.clone(),
            owes_redo: last.owes_redo,
        })
    }

    fn output_of_ours(&self, id: &ItemId) -> Option<String> {
        self.last_state(id)?.output.as_ref().map(|output| output.sha256.clone())
    }

    fn checkpoint(&self, id: &ItemId) -> Checkpoint {
        if !self.any_checkpoint {
            return Checkpoint::None;
        }
        let path = self.state.checkpoint(&self.work, id);
        if self.is_command {
            return if path.exists() { Checkpoint::Opaque } else { Checkpoint::None };
        }
        match checkpoint::peek(&path) {
            Ok(None) => Checkpoint::None,
            Ok(Some(peek)) => match peek.next {
                Next::Node(at) => Checkpoint::At { node: at.node.clone(), iteration: at.iteration },
                Next::End { .. } => Checkpoint::Opaque,
            },
            Err(error) => Checkpoint::Corrupt(error.to_string()),
        }
    }

    fn holder(&self, id: &ItemId) -> Option<Holder> {
        let held = self.claims.get(id)?.held.as_ref()?;
        Some(Holder { run: held.run.to_string(), pid: held.pid })
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
