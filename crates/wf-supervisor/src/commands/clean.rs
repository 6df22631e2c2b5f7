//! `clean`: deletes the directories of old runs, and nothing that marks an item as done.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::StoreError;
use crate::store::archive::Archive;
use crate::store::error::unless_closed;
use crate::store::layout::{Location, StateDir, remove_leftovers};
use crate::store::run_dir::RunDir;
use crate::store::text::{about_bytes, counted};

/// How many runs are kept when nothing is said.
pub const DEFAULT_KEEP: usize = 10;

/// What to delete.
#[derive(Clone, Debug, Default)]
pub struct CleanOptions {
    /// Keep this many of the newest runs; [`DEFAULT_KEEP`] where neither this nor `older_than` is given.
    pub keep: Option<usize>,
    /// Delete only runs that started longer ago than this. With `keep`, both must hold.
    pub older_than: Option<Duration>,
    /// Say what would be deleted, and delete nothing.
    pub dry_run: bool,
}

/// Deletes old runs, never a live one. Checkpoints, lineage, outputs and the history stay.
pub fn clean(
    location: &Location,
    options: &CleanOptions,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let Some(state) = location.open_existing() else {
        return unless_closed(say(
            out,
            format_args!("nothing to delete: no runs in {}", location.path().display()),
        ));
    };
    let doomed = doomed(&state, options, now)?;
    if options.dry_run {
        let mut sum = 0;
        for run in &doomed {
            let bytes = bytes_below(run.path());
            sum += bytes;
            unless_closed(say(out, format_args!("would delete {}  {:>7}", run.id(), about_bytes(bytes))))?;
        }
        let all = if doomed.is_empty() { String::new() } else { format!(", {}", about_bytes(sum)) };
        return unless_closed(say(out, format_args!("{} to delete{all}", runs(doomed.len()))));
    }
    // The next run that begins would do it as well; whoever cleans expects it now.
    remove_leftovers(&state)?;
    if doomed.is_empty() {
        return unless_closed(say(out, format_args!("nothing to delete")));
    }
    let mut archive = Archive::open(&state)?;
    let mut deleted = 0;
    for run in &doomed {
        if archive.delete(run)? {
            deleted += 1;
            // Whether anybody reads this does not change what is to be done.
            unless_closed(say(out, format_args!("deleted {}", run.id())))?;
        }
    }
    archive.finish()?;
    let rest = "; what is done stays done, and checkpoints and lineage are kept";
    unless_closed(say(out, format_args!("{} deleted{rest}", runs(deleted))))
}

fn doomed(state: &StateDir, options: &CleanOptions, now: Timestamp) -> Result<Vec<RunDir>, StoreError> {
    let keep = match (options.keep, options.older_than) {
        (None, None) => DEFAULT_KEEP,
        (keep, _) => keep.unwrap_or(0),
    };
    let mut ids = state.run_ids()?;
    ids.truncate(ids.len().saturating_sub(keep));
    let is_old = |run: &RunDir| match options.older_than {
        None => true,
        Some(age) => {
            let passed = now.duration_since(run.id().started());
            std::time::Duration::try_from(passed).is_ok_and(|passed| passed > age)
        }
    };
    Ok(ids.iter().map(|id| state.run(id)).filter(|run| is_old(run) && run.live_pid().is_none()).collect())
}

/// What the files below a directory hold together. Links are not followed; what vanishes meanwhile counts nothing.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

fn runs(number: usize) -> String {
    counted(number as u64, "run", "runs")
}

fn say(out: &mut dyn Write, line: std::fmt::Arguments<'_>) -> Result<(), StoreError> {
    writeln!(out, "{line}").map_err(StoreError::Output)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wf_core::{Outcome, PlanAction};

    use super::*;
    use crate::store::history::History;
    use crate::store::journal_reader::Entry;
    use crate::store::testing::{at, attempt, id, planned, returned, sample_run, started, state, write_run};
    use crate::store::work::{Realm, Work};

    /// Five runs of a day each; the third was killed, the fifth is live.
    fn five() -> (tempfile::TempDir, StateDir, crate::store::lock::HeldLock) {
        let (dir, state) = state();
        let mut history = History::open(&state).unwrap();
        for day in 1..=4 {
            let name = format!("2026-11-0{day}T05-14-49Z-000{day}");
            let mut entries = sample_run(&name, 2);
            if day == 3 {
                let records = [
                    started(&name, 1),
                    planned("9", PlanAction::Run),
                    attempt("9", 1),
                    returned("9", 1, 1, "ok"),
                ];
                entries = records.into_iter().map(|record| Entry { at: at(0), record }).collect();
            } else {
                history.record(&crate::store::run_dir::RunId::parse(&name).unwrap(), &entries).unwrap();
            }
            let (run, lock) = write_run(&state, &name, &entries);
            fs::write(run.log("LLD-1"), "output\n").unwrap();
            drop(lock);
        }
        let live = "2026-11-05T05-14-49Z-0005";
        let (run, lock) = write_run(&state, live, &sample_run(live, 2)[..4]);
        state.point_latest(run.id()).unwrap();
        (dir, state, lock)
    }

    fn run(state: &StateDir, options: &CleanOptions) -> String {
        let location = StateDir::locate(Some(state.path()), None, std::path::Path::new("/"));
        let mut out = Vec::new();
        clean(&location, options, "2026-11-05T12:00:00Z".parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn left(state: &StateDir) -> Vec<String> {
        state.run_ids().unwrap().iter().map(|id| id.short().to_owned()).collect()
    }

    fn facts(history: &History) -> String {
        let work = Work::workflow(Realm::Real, "lld");
        format!("{:#?}", history.facts(&work, &["1", "2", "9"].map(id)).unwrap())
    }

    #[test]
    fn what_is_done_stays_done() {
        let (_dir, state, lock) = five();
        drop(lock);
        let before = facts(&History::peek(&state).unwrap());
        assert!(
            before.contains(&format!("{:?}", Outcome::Interrupted)) && before.contains("tokens: 1200"),
            "{before}"
        );
        let text = run(&state, &CleanOptions { keep: Some(0), ..CleanOptions::default() });
        assert!(
            text.ends_with("5 runs deleted; what is done stays done, and checkpoints and lineage are kept\n"),
            "{text}"
        );
        assert_eq!(fs::read_dir(state.runs()).unwrap().count(), 0, "the link is gone, too");
        assert_eq!(facts(&History::open(&state).unwrap()), before);
        fs::remove_file(state.history_db()).unwrap();
        assert_eq!(facts(&History::open(&state).unwrap()), before, "from the archive alone");
    }

    #[test]
    fn a_live_run_is_never_deleted_and_counts_among_the_newest() {
        let (_dir, state, _lock) = five();
        run(&state, &CleanOptions { keep: Some(2), ..CleanOptions::default() });
        assert_eq!(left(&state), ["0004", "0005"]);
        run(&state, &CleanOptions { keep: Some(0), ..CleanOptions::default() });
        assert_eq!(left(&state), ["0005"]);
        assert_eq!(state.find_run(None).unwrap().id().short(), "0005");
    }

    #[test]
    fn age_and_number_must_both_hold() {
        let (_dir, state, _lock) = five();
        let two_days = Some(Duration::from_secs(2 * 86_400));
        assert_eq!(run(&state, &CleanOptions::default()), "nothing to delete\n");
        run(&state, &CleanOptions { keep: Some(4), older_than: two_days, ..CleanOptions::default() });
        assert_eq!(left(&state), ["0002", "0003", "0004", "0005"]);
        run(&state, &CleanOptions { older_than: two_days, ..CleanOptions::default() });
        assert_eq!(left(&state), ["0004", "0005"]);
    }

    #[test]
    fn a_dry_run_deletes_nothing() {
        let (_dir, state, _lock) = five();
        let before = fs::read_dir(state.path()).unwrap().count();
        let text = run(&state, &CleanOptions { keep: Some(3), dry_run: true, ..CleanOptions::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("would delete 2026-11-01T05-14-49Z-0001  "), "{text}");
        assert!(lines[1].starts_with("would delete 2026-11-02T05-14-49Z-0002  "), "{text}");
        let sizes: u64 = ["0001", "0002"]
            .map(|end| bytes_below(&state.runs().join(format!("2026-11-0{}T05-14-49Z-{end}", &end[3..]))))
            .iter()
            .sum();
        assert!(sizes > 0);
        assert_eq!(lines[2], format!("2 runs to delete, {}", about_bytes(sizes)));
        assert_eq!(left(&state).len(), 5);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), before);
    }

    #[test]
    fn an_interrupted_clean_is_made_good_by_the_next() {
        let (_dir, state, _lock) = five();
        let before = facts(&History::peek(&state).unwrap());
        // Killed once in the middle of the archive's line, and once between the rename and the removal.
        let line = fs::read(state.find_run(Some("0002")).unwrap().journal()).unwrap();
        fs::write(state.archive(), &line[..line.len() - 30]).unwrap();
        let doomed = state.runs().join(".wf-tmp-deleted-2026-10-01T05-14-49Z-0000");
        fs::create_dir(&doomed).unwrap();
        fs::write(doomed.join("journal.jsonl"), "").unwrap();
        run(&state, &CleanOptions { keep: Some(1), ..CleanOptions::default() });
        assert_eq!(left(&state), ["0005"]);
        assert!(!doomed.exists());
        fs::remove_file(state.history_db()).unwrap();
        assert_eq!(facts(&History::open(&state).unwrap()), before);
    }

    #[test]
    fn without_a_state_directory_there_is_nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let location = StateDir::locate(None, None, dir.path());
        let mut out = Vec::new();
        clean(&location, &CleanOptions::default(), at(0), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("nothing to delete"));
        assert!(!location.path().exists());
    }
}
