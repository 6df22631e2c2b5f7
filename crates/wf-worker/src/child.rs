//! Programs a worker runs: bounded in time and output, ended on a stop request, and without the worker's own token.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::console::Console;
use crate::stop::{Cause, Stop};

/// What a child must not have: the way to the supervisor and the proof of being this worker; and what git tells its
/// hooks about their repository, which may not be the one meant here (`git rev-parse --local-env-vars`).
const PRIVATE: [&str; 12] = [
    "WF_SOCKET",
    "WF_TOKEN",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_WORK_TREE",
];

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
    /// What becomes of its output.
    pub output: Output<'a>,
}

/// What becomes of a program's output.
#[derive(Clone, Copy)]
pub enum Output<'a> {
    /// Its standard output is kept; its standard error is the worker's. More than this many bytes end it.
    Kept(usize),
    /// The same with its standard error among the output.
    KeptWithErrors(usize),
    /// Both are the worker's own output as they come, and the last bytes, so many, are kept.
    Shown(&'a Arc<Console>, usize),
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
    /// It took too long and was ended; with what was kept of its output.
    TimedOut(Duration, Vec<u8>),
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
            ChildError::TimedOut(limit, _) => {
                write!(f, "took longer than {} s and was ended", limit.as_secs())
            }
            ChildError::TooMuch(bytes) => write!(f, "wrote more than {bytes} bytes and was ended"),
            ChildError::Stopped(cause) => write!(f, "was ended: {}", cause.words()),
            ChildError::Io(e) => write!(f, "could not be waited for: {e}"),
        }
    }
}

/// Runs a program to its end, and ends what it left behind in its process group.
pub fn run(program: &Program<'_>, stop: &Stop) -> Result<Ended, ChildError> {
    if let Some(cause) = stop.requested() {
        return Err(ChildError::Stopped(cause));
    }
    let mut command = Command::new(program.name);
    command.args(program.args).current_dir(program.dir).stdin(Stdio::null());
    // A group of its own, so that what it starts can be ended with it and not only when the worker ends.
    command.process_group(0);
    for name in PRIVATE {
        command.env_remove(name);
    }
    let (read, write) = io::pipe().map_err(ChildError::Io)?;
    if !matches!(program.output, Output::Kept(_)) {
        command.stderr(write.try_clone().map_err(ChildError::Io)?);
    }
    command.stdout(write);
    let mut child = command.spawn().map_err(ChildError::NotStarted)?;
    // The command holds the pipe's write end, and with it the end of the output.
    drop(command);
    let reading = match Reading::start(read, program.output) {
        Ok(reading) => reading,
        Err(error) => {
            end(&mut child);
            return Err(ChildError::Io(error));
        }
    };
    match wait(&mut child, program.limit, stop, &reading) {
        Ok(status) => Ok(Ended { status, output: reading.finish()? }),
        Err(ChildError::TimedOut(limit, _)) => Err(ChildError::TimedOut(limit, reading.finish()?)),
        Err(error) => Err(error),
    }
}

/// A pipe being read by a thread of its own.
struct Reading {
    kept: Arc<Mutex<Kept>>,
    /// Disconnected at the end of the output.
    over: Receiver<()>,
    most: Option<usize>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    too_much: bool,
}

impl Reading {
    fn start(mut pipe: io::PipeReader, output: Output<'_>) -> io::Result<Reading> {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let (tell, over) = mpsc::channel();
        let (shown, bytes, most) = match output {
            Output::Kept(most) | Output::KeptWithErrors(most) => (None, most, Some(most)),
            Output::Shown(console, tail) => (Some(Arc::clone(console)), tail, None),
        };
        let keeping = Arc::clone(&kept);
        thread::Builder::new().name("child-output".into()).spawn(move || {
            let _tell = tell;
            let mut chunk = vec![0; 16 * 1024];
            loop {
                let count = match pipe.read(&mut chunk) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                if let Some(console) = &shown {
                    console.pass(&chunk[..count]);
                }
                let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
                kept.bytes.extend_from_slice(&chunk[..count]);
                if shown.is_none() && kept.bytes.len() > bytes {
                    kept.too_much = true;
                    break;
                }
                // Trimmed now and then, not with every chunk.
                if kept.bytes.len() > 2 * bytes {
                    let surplus = kept.bytes.len() - bytes;
                    kept.bytes.drain(..surplus);
                }
            }
        })?;
        Ok(Reading { kept, over, most })
    }

    fn is_too_much(&self) -> Option<usize> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.most.filter(|_| kept.too_much)
    }

    fn finish(self) -> Result<Vec<u8>, ChildError> {
        let _ = self.over.recv_timeout(DRAIN);
        if let Some(most) = self.is_too_much() {
            return Err(ChildError::TooMuch(most));
        }
        Ok(std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes))
    }
}

/// Waits for the child's end.
///
/// Asking again and again, ever less often, instead of a blocking wait in a second thread: that one would reap the
/// child while this one may be about to signal it, and the number could by then be a stranger's.
fn wait(
    child: &mut Child,
    limit: Duration,
    stop: &Stop,
    reading: &Reading,
) -> Result<ExitStatus, ChildError> {
    let until = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if has_exited(child) {
            // Unreaped, it still pins the number of its group.
            signal(child, Signal::SIGKILL);
            return child.wait().map_err(ChildError::Io);
        }
        let why = if let Some(most) = reading.is_too_much() {
            Some(ChildError::TooMuch(most))
        } else if Instant::now() >= until {
            Some(ChildError::TimedOut(limit, Vec::new()))
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

/// Whether the child has exited; it is not reaped by this.
fn has_exited(child: &Child) -> bool {
    let asked = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // An error is left to the wait that follows.
    !matches!(waitid(Id::Pid(pid(child)), asked), Ok(WaitStatus::StillAlive))
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Signals the child's group. Only while the child is not reaped: then the number is still its own.
fn signal(child: &Child, signal: Signal) {
    // Nobody in it is as good as nobody left.
    let _ = killpg(pid(child), signal);
}

/// Ends a child and its group: SIGTERM, a grace, SIGKILL. What left the group is the warden's to sweep.
fn end(child: &mut Child) {
    signal(child, Signal::SIGTERM);
    let until = Instant::now() + GRACE;
    while !has_exited(child) && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    signal(child, Signal::SIGKILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration, output: Output<'_>, stop: &Stop) -> Result<Ended, ChildError> {
        let args = ["-c".into(), script.into()];
        let (name, dir) = (OsStr::new("sh"), Path::new("/"));
        run(&Program { name, args: &args, dir, limit, output }, stop)
    }

    const FEW: Output<'static> = Output::Kept(100);

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_exit_code_are_told() {
        let ended = sh("pwd; exit 3", LONG, FEW, &Stop::new()).unwrap();
        assert_eq!((ended.status.code(), ended.output.as_slice()), (Some(3), b"/\n".as_slice()));
        assert!(sh("test -z \"$(cat)\"", LONG, FEW, &Stop::new()).unwrap().status.success());
    }

    #[test]
    fn a_flood_is_ended_and_so_is_one_that_fits_no_more_at_the_end() {
        for script in ["yes", "printf 12345"] {
            assert!(
                matches!(sh(script, LONG, Output::Kept(4), &Stop::new()), Err(ChildError::TooMuch(4))),
                "{script}"
            );
        }
        assert_eq!(sh("printf 1234", LONG, Output::Kept(4), &Stop::new()).unwrap().output, b"1234");
    }

    #[test]
    fn a_child_that_takes_too_long_is_ended_also_when_it_is_deaf() {
        for script in ["exec sleep 60", "trap '' TERM; while :; do sleep 0.05; done"] {
            let ended = sh(script, Duration::from_millis(50), FEW, &Stop::new());
            assert!(matches!(ended, Err(ChildError::TimedOut(..))), "{script}: {ended:?}");
        }
    }

    #[test]
    fn a_stop_request_ends_it() {
        let stop = Stop::new();
        let asker = stop.clone();
        let running = thread::spawn(move || sh("exec sleep 60", LONG, FEW, &stop).map(|_| ()));
        asker.request(Cause::Signal);
        assert!(matches!(running.join().unwrap(), Err(ChildError::Stopped(Cause::Signal))));
    }

    #[test]
    fn what_a_child_leaves_in_its_group_ends_with_it() {
        let (mut read, write) = io::pipe().unwrap();
        // The grandchild holds this pipe's end through its standard error as long as it lives.
        let mut child = Command::new("sh");
        child.args(["-c", "sleep 600 & echo $!"]).process_group(0).stdout(Stdio::piped()).stderr(write);
        let mut spawned = child.spawn().unwrap();
        drop(child);
        let reading = Reading::start(io::pipe().unwrap().0, FEW).unwrap();
        assert!(wait(&mut spawned, LONG, &Stop::new(), &reading).unwrap().success());
        assert_eq!(read.read(&mut [0]).unwrap(), 0, "end of file: nobody is left");
    }

    #[test]
    fn a_grandchild_that_left_the_group_holds_nothing_up() {
        let ended = sh("setsid sleep 3 & echo $!", LONG, FEW, &Stop::new()).unwrap();
        assert!(ended.status.success());
        let pid: i32 = String::from_utf8(ended.output).unwrap().trim().parse().unwrap();
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }

    #[test]
    fn of_a_flood_that_is_shown_the_end_is_kept() {
        let sink = crate::testing::Sink::default();
        let console = Arc::new(Console::to(Box::new(sink.clone())));
        let script = "seq 1 20000; echo oops >&2; printf end";
        let ended = sh(script, LONG, Output::Shown(&console, 1000), &Stop::new()).unwrap();
        let kept = String::from_utf8(ended.output).unwrap();
        assert!(kept.ends_with("20000\noops\nend") && kept.len() <= 2000, "{kept}");
        assert!(sink.text().starts_with("1\n2\n3\n") && sink.text().ends_with("oops\nend"));
    }

    #[test]
    fn a_program_that_does_not_exist_is_named_as_such() {
        let program = Program {
            name: OsStr::new("no-such-program"),
            args: &[],
            dir: Path::new("/"),
            limit: LONG,
            output: FEW,
        };
        assert!(matches!(run(&program, &Stop::new()), Err(ChildError::NotStarted(_))));
    }
}
