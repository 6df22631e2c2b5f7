//! What is done at the start of a run for those that were killed before it.

use std::path::PathBuf;

use jiff::Timestamp;

use super::StoreError;
use super::audit::consolidate;
use super::layout::{StateDir, remove_leftovers};
use super::run_dir::RunDir;
use super::summary;

/// What was put in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Temporary files that were removed.
    pub removed: Vec<PathBuf>,
    /// Killed runs that got their summary and audit now.
    pub completed: Vec<String>,
    /// What is wrong with their journals, a sentence each.
    pub damaged: Vec<String>,
}

/// Removes temporary files of dead runs, and gives killed ones the summary and the audit they could not write.
///
/// A run whose journal cannot be read stays as it is: that is no reason not to start another.
pub fn put_in_order(state: &StateDir, redact: &mut dyn FnMut(&mut Vec<u8>)) -> Result<Upkeep, StoreError> {
    let mut upkeep = Upkeep { removed: remove_leftovers(state)?, ..Upkeep::default() };
    for id in state.run_ids()? {
        let run = state.run(&id);
        if !run.summary().exists() && run.journal().exists() && run.live_pid().is_none() {
            match complete(&run, redact) {
                Ok(damage) => {
                    upkeep.completed.push(id.to_string());
                    upkeep.damaged.extend(damage);
                }
                Err(e) => log::warn!("run {id} was killed and cannot be completed: {e}"),
            }
        }
    }
    Ok(upkeep)
}

/// Writes `audit.jsonl` and then `summary.json` of a run that is over, and says what is wrong with its journal.
pub fn complete(run: &RunDir, redact: &mut dyn FnMut(&mut Vec<u8>)) -> Result<Option<String>, StoreError> {
    let (_, flaws) = summary::fold_journal(run)?;
    let summary = summary::load(run, Timestamp::now())?;
    consolidate(run, redact)?;
    summary.write(run)?;
    Ok(flaws.words(&run.journal()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::summary::RunState;
    use super::super::testing::{id, sample_run, state, write_run};
    use super::*;

    #[test]
    fn killed_runs_are_completed_and_live_ones_left_alone() {
        let (_dir, state) = state();
        let killed = "2026-11-20T05-14-49Z-0001";
        let (run, lock) = write_run(&state, killed, &sample_run(killed, 3)[..12]);
        drop(lock);
        fs::write(run.item_audit(&id("1")), "{}\n").unwrap();
        fs::write(run.path().join(".wf-tmp-x"), "").unwrap();
        let live = "2026-11-20T05-14-49Z-0002";
        let (live, _lock) = write_run(&state, live, &sample_run(live, 3)[..12]);
        fs::write(live.path().join(".wf-tmp-y"), "").unwrap();
        let headless = "2026-11-20T05-14-49Z-0003";
        drop(write_run(&state, headless, &sample_run(headless, 3)[1..]));

        let upkeep = put_in_order(&state, &mut |_| {}).unwrap();
        assert_eq!(upkeep.completed, [killed]);
        assert_eq!(upkeep.removed, [run.path().join(".wf-tmp-x")]);
        assert!(run.audit().exists());
        assert_eq!(summary::load(&run, Timestamp::now()).unwrap().state, RunState::Killed);
        assert!(!live.summary().exists() && live.path().join(".wf-tmp-y").exists());
        assert_eq!(put_in_order(&state, &mut |_| {}).unwrap(), Upkeep::default());
    }
}
