//! A run as it stands now: what its journal says, and what the time since its last record adds to that.

use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use jiff::Timestamp;
use wf_core::Outcome;

use super::super::StoreError;
use super::super::moment::between;
use super::super::run_dir::RunDir;
use super::{RunState, RunSummary, fold_journal, json};

/// By how much the time of a file may lie behind the clock: the kernel stamps files with the time of its last tick.
const TICK: Duration = Duration::from_millis(10);

/// The summary of a run, whatever its state: from `summary.json` where it has ended and wrote one, else from the
/// journal. Of a run that lives, the clocks stand at `now`; one that was killed has ended with its last record. Writes
/// nothing.
pub fn load(run: &RunDir, now: Timestamp) -> Result<RunSummary, StoreError> {
    // Asked before reading: a run that ends meanwhile is then shown as running once more, not as killed.
    let live = run.live_pid();
    if live.is_none()
        && let Some(summary) = read_summary(run)
    {
        return Ok(summary);
    }
    let (mut summary, _) = fold_journal(run)?;
    if summary.state != RunState::Finished {
        summary.state = if live.is_some() { RunState::Running } else { RunState::Killed };
        match live {
            Some(_) => {
                let now = now.max(summary.last);
                summary.run_on_until(now);
                summary.see_logs(run);
            }
            None => summary.end_killed(),
        }
    }
    Ok(summary)
}

/// As [`load`], without the items where `summary.json` makes them unnecessary: for those who show many runs.
pub fn load_head(run: &RunDir, now: Timestamp) -> Result<RunSummary, StoreError> {
    if run.live_pid().is_none()
        && let Ok(file) = File::open(run.summary())
        && let Ok(summary) = json::read_head(BufReader::new(file))
        && is_final(&summary, run)
    {
        return Ok(summary);
    }
    load(run, now)
}

/// A `summary.json` that is missing, damaged or another run's is passed over: the journal has it all.
fn read_summary(run: &RunDir) -> Option<RunSummary> {
    let file = File::open(run.summary()).ok()?;
    let summary: RunSummary = serde_json::from_reader(BufReader::new(file)).ok()?;
    is_final(&summary, run).then_some(summary)
}

fn is_final(summary: &RunSummary, run: &RunDir) -> bool {
    summary.run == run.id().as_str() && summary.state != RunState::Running
}

impl RunSummary {
    /// Moves the clocks of the run, and of all that runs in it, on to `end`.
    fn run_on_until(&mut self, end: Timestamp) {
        self.totals.wall_ms = whole_ms(between(self.started, end));
        for item in &mut self.items {
            if let Some(since) = item.running_since {
                let so_far = whole_ms(between(since, end));
                item.wall_ms = item.wall_ms.saturating_add(so_far);
                self.totals.worked_ms = self.totals.worked_ms.saturating_add(so_far);
            }
        }
    }

    /// Looks when those that run last wrote something: the time of their logs.
    fn see_logs(&mut self, run: &RunDir) {
        for place in 0..self.items.len() {
            let item = &self.items[place];
            let Some(since) = item.running_since else { continue };
            let log = fs::symlink_metadata(run.log(&self.label(item))).ok().filter(|log| log.len() > 0);
            let written = log.and_then(|log| Timestamp::try_from(log.modified().ok()?).ok());
            // An earlier attempt wrote into the same log.
            self.items[place].last_output = written.filter(|at| *at + TICK >= since).map(|at| at.max(since));
        }
    }

    /// Gives what had no outcome when the run was killed the one it has for the next run.
    fn end_killed(&mut self) {
        self.run_on_until(self.last);
        self.ended = Some(self.last);
        for item in self.items.iter_mut().filter(|item| item.outcome.is_none()) {
            let outcome = if item.attempts > 0 { Outcome::Interrupted } else { Outcome::NotStarted };
            if item.is_running {
                item.detail = "the run was killed".into();
            }
            item.outcome = Some(outcome);
            item.stop_running();
            self.counts.add(outcome);
        }
    }
}

fn whole_ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use wf_core::PlanAction;

    use super::super::super::journal_reader::Entry;
    use super::super::super::testing::{at, attempt, attempt_ended, planned, started, state, write_run};
    use super::*;

    const RUN: &str = "2026-11-21T05-14-49Z-7f3a";

    fn entries() -> Vec<Entry> {
        let plan = ["1", "2", "3"].map(|name| planned(name, PlanAction::Run));
        let mut records = vec![(0, started(RUN, 3))];
        records.extend(plan.map(|record| (0, record)));
        records.extend([(100, attempt("1", 1)), (2_600, attempt_ended("1", 1, 1)), (4_000, attempt("1", 2))]);
        records.push((100, attempt("2", 1)));
        records.into_iter().map(|(ms, record)| Entry { at: at(ms), record }).collect()
    }

    #[test]
    fn the_clocks_of_a_live_run_stand_at_now_and_those_of_a_killed_one_at_its_last_record() {
        let (_dir, state) = state();
        let (run, lock) = write_run(&state, RUN, &entries());
        fs::write(run.log("LLD-1"), "of the first attempt\n").unwrap();
        let log = File::options().append(true).open(run.log("LLD-1")).unwrap();
        log.set_modified(at(2_500).into()).unwrap();
        for seconds in [5, 29] {
            let now = at(seconds * 1000);
            let live = load(&run, now).unwrap();
            assert_eq!(live.totals.wall_ms, 1000 * u64::try_from(seconds).unwrap());
            let wall = |name| live.find(name).unwrap().wall_ms;
            assert_eq!(wall("1"), 2_500 + 1000 * u64::try_from(seconds).unwrap() - 4_000);
            assert_eq!(wall("2"), 1000 * u64::try_from(seconds).unwrap() - 100);
            assert_eq!(wall("3"), 0);
            assert_eq!(live.totals.worked_ms, wall("1") + wall("2"));
            assert_eq!(live.find("1").unwrap().last_output, None, "that was the attempt before");
            assert_eq!(load_head(&run, now).unwrap().totals, live.totals);
        }
        log.set_modified(at(7_000).into()).unwrap();
        let live = load(&run, at(29_000)).unwrap();
        assert_eq!(live.find("1").unwrap().last_output, Some(at(7_000)));
        assert_eq!(live.find("2").unwrap().last_output, None);
        drop(lock);
        let killed = load(&run, at(1_000_000)).unwrap();
        assert_eq!((killed.totals.wall_ms, killed.ended), (4_000, Some(at(4_000))));
        assert_eq!(killed.find("2").unwrap().wall_ms, 3_900);
        assert_eq!(killed.find("2").unwrap().running_since, None);
        // A clock that was put back takes nothing away from what is known.
        let (run, _lock) = write_run(&state, "2026-11-21T05-14-50Z-7f3b", &entries());
        assert_eq!(load(&run, at(0)).unwrap().totals.wall_ms, 4_000);
    }
}
