//! The end of a run, after its last record: the wardens end, the books are closed, the summary is shown.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use wf_core::Event;
use wf_core::credentials::PoolSnapshot;
use wf_warden::own;

use super::{Hands, Parts};
use crate::console::terminal::Console;
use crate::diagnostics;
use crate::exit;
use crate::run::pool_memory;
use crate::run::signals::Signals;
use crate::run::slots::Slots;
use crate::store::audit;
use crate::store::board::PoolBoard;
use crate::store::run_dir::RunDir;
use crate::store::summary::{Page, Rows, write_summary};

/// The exit code of a run whose time was up; those of other stops are above it.
const RUN_TIMEOUT: u8 = 124;
/// For how long the output of a run that was stopped may stand still before what is left of it is not shown.
const NOBODY_READS: Duration = Duration::from_secs(2);

impl Hands {
    /// Ends what is left of the run and answers with the exit code, which is another one if the books cannot be closed.
    pub async fn finish(
        self,
        run: &RunDir,
        code: u8,
        pool: PoolSnapshot,
        color: bool,
        quiet: bool,
        signals: &mut Signals,
    ) -> u8 {
        let Parts {
            slots,
            ipc,
            console,
            capture,
            redactor,
            mut journal,
            history,
            summary,
            ring,
            keeps_pool,
            janitor,
            ..
        } = self.parts;
        close_slots(slots, &console, signals).await;
        drop((ipc, capture));
        janitor.finish();
        let mut closed = journal.sync();
        let indexed = history.finish().and_then(|mut history| {
            if keeps_pool {
                history.set_pool_state(pool_memory::NAME, &pool_memory::to_keep(pool, &ring, &redactor))?;
            }
            history.release_claims(run.id())
        });
        PoolBoard::remove(run);
        let mut redact = |line: &mut Vec<u8>| {
            if let Cow::Owned(redacted) = redactor.redact(&String::from_utf8_lossy(line)) {
                *line = redacted.into_bytes();
            }
        };
        let audited = audit::consolidate(run, &mut redact).map(drop);
        let kept = summary.write(run);
        closed = closed.and(indexed).and(audited).and(kept);
        console.end_progress();
        let code = match closed {
            Ok(()) => code,
            Err(error) => {
                console.coordinator(&format!("ERROR: {error}"));
                exit::BROKEN
            }
        };
        let mut table = Vec::new();
        // Writing to memory cannot fail.
        let zone = TimeZone::system();
        let page = Page {
            run_dir: run.path(),
            color,
            zone: &zone,
            now: Timestamp::now(),
            width: terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0)),
            rows: if quiet { Rows::Wrong } else { Rows::Telling },
            names_run: false,
        };
        let _ = write_summary(&mut table, &summary, &page);
        console.text(&String::from_utf8_lossy(&table));
        // A terminal that stands still holds the last page up for as long as its user wants; a signal skips it. Of a run that
        // was stopped nobody waits for that page but whoever stopped it, and for its end.
        let was_stopped = code >= RUN_TIMEOUT;
        let mut taken = console.taken();
        loop {
            tokio::select! {
                () = tokio::time::sleep(NOBODY_READS), if was_stopped => {
                    let before = std::mem::replace(&mut taken, console.taken());
                    if before == taken {
                        console.skip_rest();
                    }
                }
                () = console.finish() => break,
                event = signals.next() => match event {
                    Event::Signal(_) => console.skip_rest(),
                    Event::Suspend => {
                        let _ = own::stop_self();
                    }
                    _ => {}
                }
            }
        }
        diagnostics::to_stderr();
        code
    }
}

/// Ends the wardens. One that takes its time is killed at the next signal.
async fn close_slots(slots: Slots, console: &Console, signals: &mut Signals) {
    let hurry = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&hurry);
    let closing = tokio::task::spawn_blocking({
        let wardens = slots.close();
        move || wardens.end(&told)
    });
    tokio::pin!(closing);
    loop {
        tokio::select! {
            ended = &mut closing => {
                match ended {
                    Ok(late) => late.iter().for_each(|why| log::warn!("{why}")),
                    Err(error) => log::warn!("the end of the wardens failed: {error}"),
                }
                return;
            }
            event = signals.next() => match event {
                Event::Signal(_) if !hurry.swap(true, Ordering::Relaxed) => {
                    console.coordinator("Killing what is left...");
                }
                Event::Suspend => {
                    let _ = own::stop_self();
                }
                _ => {}
            }
        }
    }
}
