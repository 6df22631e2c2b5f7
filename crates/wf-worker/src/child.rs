//! Programs a worker runs: bounded in time and output, ended on a stop request, and without the worker's own token.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stop::{Cause, Stop};

/// What a child must not have: the way to the supervisor and the proof of being this worker.
const PRIVATE: [&str; 2] = ["WF_SOCKET", "WF_TOKEN"];

/// How long a child may take to end after SIGTERM; `git` removes its lock files meanwhile.
const GRACE: Duration = Duration::from_millis(300);

/// How long is read on after a child's end: something it left in the background may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(500);

/// A program to run. Its standard input is empty.
pub struct Program<'a> {
    /// Its name, looked up in `PATH`, or its path.
    pub name: &'a OsStr,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Where it runs.
    pub dir: &'a Path,
    /// How long it may take.
    pub limit: Duration,
    /// How much of its standard output is kept; more ends it. `None`: its output is the worker's.
    pub keep_bytes: Option<usize>,
    /// Whether its standard error is kept with the output instead of being the worker's.
    pub with_stderr: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Ended {
    /// How it exited.
    pub status: ExitStatus,
    /// What it wrote, where that was kept.
    pub output: Vec<u8>,
}

/// Why there is no end to tell of.
#[derive(Debug)]
pub enum ChildError {
    /// It could not be started.
    NotStarted(io::Error),
    /// It took too long and was killed.
    TimedOut(Duration),
    /// It wrote more than may be kept and was killed.
    TooMuch(usize),
    /// The worker was asked to stop; the child was ended.
    Stopped(Cause),
    /// The system failed.
    Io(io::Error),
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::NotStarted(e) => write!(f, "could not be started: {e}"),
            ChildError::TimedOut(limit) => write!(f, "took longer than {} s and was ended", limit.as_secs()),
            ChildError::TooMuch(bytes) => write!(f, "wrote more than {bytes} bytes and was ended"),
            ChildError::Stopped(cause) => write!(f, "was ended: {}", cause.words()),
            ChildError::Io(e) => write!(f, "could not be waited for: {e}"),
        }
    }
}

/// Runs a program to its end.
pub fn run(program: &Program<'_>, stop: &Stop) -> Result<Ended, ChildError> {
    if let Some(cause) = stop.requested() {
        return Err(ChildError::Stopped(cause));
    }
    let mut command = Command::new(program.name);
    command.args(program.args).current_dir(program.dir).stdin(Stdio::null());
    for name in PRIVATE {
        command.env_remove(name);
    }
    let mut pipe = None;
    if program.keep_bytes.is_some() {
        let (read, write) = io::pipe().map_err(ChildError::Io)?;
        if program.with_stderr {
            command.stderr(write.try_clone().map_err(ChildError::Io)?);
        }
        command.stdout(write);
        pipe = Some(read);
    }
    let mut child = command.spawn().map_err(ChildError::NotStarted)?;
    // The command holds the pipe's write end, and with it the end of the output.
    drop(command);
    let keep = program.keep_bytes.unwrap_or(0);
    let reading = match pipe {
        None => None,
        Some(pipe) => match read_aside(pipe, keep) {
            Ok(reading) => Some(reading),
            Err(error) => {
                end(&mut child);
                return Err(ChildError::Io(error));
            }
        },
    };
    let status = wait(&mut child, program.limit, stop, reading.as_ref(), keep)?;
    let output = match reading {
        None => Vec::new(),
        Some(reading) => reading.finish(keep)?,
    };
    Ok(Ended { status, output })
}

/// A pipe being read by a thread of its own.
struct Reading {
    chunks: Receiver<Vec<u8>>,
    kept: std::cell::RefCell<Vec<u8>>,
}

impl Reading {
    /// Takes what has arrived; whether it is too much.
    fn take(&self, keep: usize) -> bool {
        let mut kept = self.kept.borrow_mut();
        while let Ok(chunk) = self.chunks.try_recv() {
            kept.extend_from_slice(&chunk);
        }
        kept.len() > keep
    }

    fn finish(self, keep: usize) -> Result<Vec<u8>, ChildError> {
        let mut kept = self.kept.into_inner();
        let until = Instant::now() + DRAIN;
        while kept.len() <= keep {
            match self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(chunk) => kept.extend_from_slice(&chunk),
                Err(_) => return Ok(kept),
            }
        }
        Err(ChildError::TooMuch(keep))
    }
}

fn read_aside(mut pipe: io::PipeReader, keep: usize) -> io::Result<Reading> {
    // Bounded: a flood waits in the pipe, not in memory.
    let (send, chunks) = mpsc::sync_channel(16);
    thread::Builder::new().name("child-output".into()).spawn(move || {
        let mut chunk = vec![0; 16 * 1024];
        let mut read = 0;
        while read <= keep {
            match pipe.read(&mut chunk) {
                Ok(0) => return,
                Ok(n) => {
                    read += n;
                    if send.send(chunk[..n].to_vec()).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(Reading { chunks, kept: std::cell::RefCell::default() })
}

/// Waits for the child's end.
///
/// Asking again and again, ever less often, instead of a blocking wait in a second thread: that one would reap the
/// child while this one may be about to signal it, and the number could by then be a stranger's.
fn wait(
    child: &mut Child,
    limit: Duration,
    stop: &Stop,
    reading: Option<&Reading>,
    keep: usize,
) -> Result<ExitStatus, ChildError> {
    let until = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(ChildError::Io)? {
            return Ok(status);
        }
        let why = if reading.is_some_and(|r| r.take(keep)) {
            Some(ChildError::TooMuch(keep))
        } else if Instant::now() >= until {
            Some(ChildError::TimedOut(limit))
        } else {
            stop.wait(pause).map(ChildError::Stopped)
        };
        if let Some(why) = why {
            end(child);
            return Err(why);
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends a child: SIGTERM, a grace, SIGKILL. What it started is the warden's to sweep.
fn end(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // Not reaped yet, so the number is still this child's.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let until = Instant::now() + GRACE;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(
        script: &str,
        limit: Duration,
        keep_bytes: Option<usize>,
        stop: &Stop,
    ) -> Result<Ended, ChildError> {
        let args = ["-c".into(), script.into()];
        let (name, dir) = (OsStr::new("sh"), Path::new("/"));
        run(&Program { name, args: &args, dir, limit, keep_bytes, with_stderr: false }, stop)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_exit_code_are_told() {
        let ended = sh("pwd; exit 3", LONG, Some(100), &Stop::new()).unwrap();
        assert_eq!((ended.status.code(), ended.output.as_slice()), (Some(3), b"/\n".as_slice()));
        assert!(sh("test -z \"$(cat)\"", LONG, None, &Stop::new()).unwrap().status.success());
    }

    #[test]
    fn a_flood_is_ended_and_so_is_one_that_fits_no_more_at_the_end() {
        for script in ["yes", "printf 12345"] {
            assert!(
                matches!(sh(script, LONG, Some(4), &Stop::new()), Err(ChildError::TooMuch(4))),
                "{script}"
            );
        }
        assert_eq!(sh("printf 1234", LONG, Some(4), &Stop::new()).unwrap().output, b"1234");
    }

    #[test]
    fn a_child_that_takes_too_long_is_ended_also_when_it_is_deaf() {
        for script in ["exec sleep 60", "trap '' TERM; while :; do sleep 0.05; done"] {
            let ended = sh(script, Duration::from_millis(50), Some(4), &Stop::new());
            assert!(matches!(ended, Err(ChildError::TimedOut(_))), "{script}: {ended:?}");
        }
    }

    #[test]
    fn a_stop_request_ends_it() {
        let stop = Stop::new();
        let asker = stop.clone();
        let running = thread::spawn(move || sh("exec sleep 60", LONG, None, &stop).map(|_| ()));
        asker.request(Cause::Signal);
        assert!(matches!(running.join().unwrap(), Err(ChildError::Stopped(Cause::Signal))));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_holds_nothing_up() {
        let ended = sh("sleep 3 & echo $!", LONG, Some(100), &Stop::new()).unwrap();
        let pid: i32 = String::from_utf8(ended.output).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_program_that_does_not_exist_is_named_as_such() {
        let program = Program {
            name: OsStr::new("no-such-program"),
            args: &[],
            dir: Path::new("/"),
            limit: LONG,
            keep_bytes: None,
            with_stderr: false,
        };
        assert!(matches!(run(&program, &Stop::new()), Err(ChildError::NotStarted(_))));
    }
}
