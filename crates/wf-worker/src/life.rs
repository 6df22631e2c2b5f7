//! A worker's life: connect, work, say how it went, exit in time.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wf_protocol::{Client, ClientError, StopReason};

use crate::console::Console;
use crate::http::Http;
use crate::job::Job;
use crate::run::{Finish, Surroundings, run};
use crate::settings::Settings;
use crate::stop::{Cause, Stop};

/// How long work in progress may take to notice a stop request. Whatever it is doing then, the checkpoint is whole.
const NOTICE: Duration = Duration::from_millis(700);

/// Exit code of a worker that was stopped with its state saved.
const INTERRUPTED: u8 = 75;

/// Exit code of a worker that was not started by a supervisor.
const USAGE: u8 = 2;

/// The worker's `main`: exit code 0 for success, 3 where a person must look, 75 when it was interrupted with its state
/// saved, 1 for a failure, 2 when it was started by hand.
pub fn main() -> ExitCode {
    // A logger that is there already is as good.
    let _ = env_logger::Builder::from_env(env_logger::Env::new().filter_or("WF_LOG", "warn")).try_init();
    ExitCode::from(live())
}

fn live() -> u8 {
    if let Err(error) = forbid_dumps() {
        complain(&format!("wf-worker: its memory cannot be closed to other processes: {error}"));
        return 1;
    }
    let (client, job) = match Client::from_env() {
        Ok(connected) => connected,
        Err(error @ ClientError::NotAWorker { .. }) => {
            complain(&format!(
                "wf-worker runs one item of a built-in workflow for `wf-supervisor run`, which starts it.\n{error}\n\
                 Try `wf-supervisor run --help`."
            ));
            return USAGE;
        }
        Err(error) => {
            complain(&format!("wf-worker: {error}"));
            return 1;
        }
    };
    let stop = Stop::new();
    listen_for_stops(&client, &stop);
    let finish = match (Settings::read(|name| std::env::var_os(name)), serde_json::from_str::<Job>(&job)) {
        (Err(why), _) => Some(Finish::failed(why)),
        (_, Err(why)) => Some(Finish::failed(format!("the job cannot be read: {why}"))),
        (Ok(settings), Ok(job)) => work(settings, job, &client, &stop),
    };
    match finish {
        Some(finish) => {
            client.finished(finish.verdict, &finish.detail, finish.output.clone());
            finish.exit_code()
        }
        None => INTERRUPTED,
    }
}

/// Before a key arrives: no core file of this process, and no look into its memory or environment by others of the same user.
/// It runs tests that a model wrote, its own and beside it those of other items. Not through `RLIMIT_CORE`, which tests would
/// inherit. Does nothing but on Linux.
fn forbid_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

fn listen_for_stops(client: &Client, stop: &Stop) {
    let of_supervisor = stop.clone();
    client.on_stop(Box::new(move |reason| of_supervisor.request(Cause::Asked(reason))));
    let (of_signal, waiting) = (stop.clone(), client.clone());
    let handler = ctrlc::set_handler(move || {
        of_signal.request(Cause::Signal);
        // A wait for a lease is the client's to end.
        waiting.stop(StopReason::Shutdown);
    });
    if let Err(error) = handler {
        log::warn!("signals cannot be handled, only the supervisor can stop this worker: {error}");
    }
}

/// Works in a thread of its own. `None`: asked to stop, and the work did not notice in time.
fn work(settings: Settings, job: Job, client: &Client, stop: &Stop) -> Option<Finish> {
    enum News {
        Done(Finish),
        Stop,
    }
    let (tell, news) = mpsc::channel();
    let stopped = tell.clone();
    let _listening = stop.listen(move |_| {
        let _ = stopped.send(News::Stop);
    });
    let around = Surroundings {
        session: Arc::new(client.clone()),
        wire: Arc::new(Http::new(stop.clone())),
        console: Arc::new(Console::stdout()),
        stop: stop.clone(),
    };
    let working = thread::Builder::new().name("work".into()).spawn(move || {
        let finish = panic::catch_unwind(AssertUnwindSafe(|| run(&settings, job, around)));
        let finish = finish.unwrap_or_else(|panic| {
            Finish::failed(format!("the worker is broken, please report it: {}", panic_message(&*panic)))
        });
        let _ = tell.send(News::Done(finish));
    });
    if let Err(error) = working {
        return Some(Finish::failed(format!("no thread to work in: {error}")));
    }
    // Both senders live until they have sent; how long the work may take is the supervisor's watchdog's business.
    match news.recv() {
        Ok(News::Done(finish)) => Some(finish),
        Ok(News::Stop) | Err(_) => match news.recv_timeout(NOTICE) {
            Ok(News::Done(finish)) => Some(finish),
            Ok(News::Stop) | Err(_) => None,
        },
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

fn complain(text: &str) {
    // Nobody is left to tell when even this fails.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
