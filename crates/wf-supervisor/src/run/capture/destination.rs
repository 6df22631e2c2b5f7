//! Where redacted bytes go: to the log, and what the log does not take to the console alone.

use std::io;

use tokio::sync::oneshot;

use super::log::ItemLog;
use crate::console::Stream;
use crate::console::terminal::{AttemptOutput, Console};

/// The log of an item and the way to the console for one attempt.
#[derive(Debug)]
pub struct Destination {
    log: ItemLog,
    console: AttemptOutput,
    /// Bytes that are in no log are on their way to the terminal.
    showing: Option<oneshot::Receiver<()>>,
}

impl Destination {
    /// Both.
    pub fn new(log: ItemLog, console: AttemptOutput) -> Destination {
        Destination { log, console, showing: None }
    }

    /// The item's log.
    pub fn log(&self) -> &ItemLog {
        &self.log
    }

    /// Appends to the log and tells the console. An error is returned once, when the log fails.
    pub fn take(&mut self, stream: Stream, bytes: &[u8], console: &Console) -> io::Result<()> {
        let appended = self.log.append(bytes);
        if appended.len > 0 {
            self.console.segment(stream, appended.offset, appended.len);
        }
        if appended.reached_limit {
            console.coordinator(&self.log.limit_notice(self.console.shows_unlogged()));
        }
        let rest = &bytes[appended.len as usize..];
        if !rest.is_empty() && self.may_show() {
            self.showing = self.console.unlogged(stream, rest.to_vec());
        }
        appended.failure.map_or(Ok(()), Err)
    }

    /// What to wait for before more is read.
    pub fn wait_for(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.log.has_failed() { None } else { self.showing.take() }
    }

    /// When the log has failed, the pipes must be drained whatever the terminal does: bytes it is too slow for are
    /// dropped. Else reading waits, so nothing is on its way when more comes.
    fn may_show(&mut self) -> bool {
        let Some(showing) = &mut self.showing else { return true };
        !self.log.has_failed() || showing.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }
}
