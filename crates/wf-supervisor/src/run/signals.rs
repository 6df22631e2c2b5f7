//! Signals to the supervisor, as events.

use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use wf_core::{Event, StopSignal};
use wf_warden::own;

/// The signals a run listens to.
#[derive(Debug)]
pub struct Signals {
    /// `None` where SIGHUP was ignored at the start (`nohup`): it stays ignored.
    hangup: Option<Stream>,
    interrupt: Stream,
    quit: Stream,
    terminate: Stream,
    suspend: Stream,
    resume: Stream,
}

impl Signals {
    /// Installs the handlers. Handlers, never `SIG_IGN`: an ignored signal would be inherited by the workers.
    pub fn listen() -> std::io::Result<Signals> {
        let raw = |s: Signal| signal(SignalKind::from_raw(s as i32));
        Ok(Signals {
            hangup: if own::ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            suspend: raw(Signal::SIGTSTP)?,
            resume: raw(Signal::SIGCONT)?,
        })
    }

    /// Whether SIGCONT came and was not taken yet; takes it.
    pub fn was_continued(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.resume.poll_recv(&mut context).is_ready()
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Event {
        let hangup = async {
            match &mut self.hangup {
                Some(stream) => stream.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.quit.recv() => Event::Signal(StopSignal::Quit),
            _ = self.interrupt.recv() => Event::Signal(StopSignal::Interrupt),
            _ = self.terminate.recv() => Event::Signal(StopSignal::Terminate),
            _ = hangup => Event::Signal(StopSignal::Hangup),
            _ = self.suspend.recv() => Event::Suspend,
            _ = self.resume.recv() => Event::Continue,
        }
    }
}
