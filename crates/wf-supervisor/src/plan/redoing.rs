//! What `--redo` means for the items of a list, given what an unfinished redo did already.

use wf_core::resume::LastWork;
use wf_core::{ItemId, Outcome};

use super::Past;
use crate::cli::value::Redo;
use crate::config::Settings;
use crate::items::ItemSpec;

/// What `--redo` has done again in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redoing {
    /// What is not done, and items named by `--redo-item`.
    Nothing,
    /// What a redo that ended early did not come to: doing the rest again would pay for it twice.
    TheRest,
    /// What is done or waits for a person.
    All,
    /// What waits for a person; what failed is run again anyway.
    Failed,
}

impl Redoing {
    pub(super) fn of(settings: &Settings, items: &[ItemSpec], past: &dyn Past) -> Redoing {
        match settings.redo {
            Redo::Off => Redoing::Nothing,
            Redo::Failed => Redoing::Failed,
            Redo::On if items.iter().any(|item| past.last(&item.id).is_some_and(|last| last.owes_redo)) => {
                Redoing::TheRest
            }
            Redo::All | Redo::On => Redoing::All,
        }
    }

    pub(super) fn concerns(self, settings: &Settings, id: &ItemId, last: Option<&LastWork>) -> bool {
        let is_done = last.and_then(|last| last.outcome).is_some_and(Outcome::is_done);
        let is_named = settings.redo_items.iter().any(|named| named == id);
        is_named
            || match self {
                Redoing::Nothing => false,
                // What the unfinished redo itself brought to an end stays so.
                Redoing::TheRest => last.is_none_or(|last| {
                    last.owes_redo || !(is_done || last.outcome == Some(Outcome::NeedsRevision))
                }),
                Redoing::All => true,
                Redoing::Failed => !is_done,
            }
    }
}
