//! A program while it runs: its output so far, signals to it, and its end.

use std::io::Read;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::call::Stdout;
use crate::processes::{self, Found};
use crate::project::Shared;
use crate::waiting::{PATIENCE, poll};
use crate::{Finished, wait_until};

/// The longest a program may run.
const LONGEST: Duration = Duration::from_secs(180);
/// How long asynchronous deaths may take after a SIGKILL: far more than the second that is promised, because the machine
/// may be busy.
const DEATHS: Duration = Duration::from_secs(15);

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    project: Arc<Shared>,
    child: Child,
    command: String,
    stdout: Stream,
    stderr: Stream,
    unread: Option<std::process::ChildStdout>,
    status: Option<ExitStatus>,
}

/// One output, collected by a thread.
#[derive(Debug, Default)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    /// Collects until the end of file, or until `enough` of it is there.
    fn collect(mut from: impl Read + Send + 'static, enough: fn(&[u8]) -> bool) -> Stream {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let store = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            loop {
                match from.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(count) => {
                        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                        store.extend_from_slice(&chunk[..count]);
                        if enough(&store) {
                            return;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        });
        Stream { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_ended(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Running {
    pub(crate) fn new(project: Arc<Shared>, mut child: Child, command: String, stdout: Stdout) -> Running {
        let out = child.stdout.take().expect("standard output is a pipe");
        let err = child.stderr.take().expect("standard error is a pipe");
        let mut unread = None;
        let stdout = match stdout {
            Stdout::Collected => Stream::collect(out, |_| false),
            Stdout::FirstLineOnly => Stream::collect(out, |bytes| bytes.contains(&b'\n')),
            Stdout::Closed => Stream::default(),
            Stdout::Unread => {
                unread = Some(out);
                Stream::default()
            }
        };
        let running =
            if command.starts_with("wf-supervisor") { &project.supervisors } else { &project.bystanders };
        running.lock().unwrap_or_else(PoisonError::into_inner).insert(child.id().cast_signed());
        let stderr = Stream::collect(err, |_| false);
        Running { project, child, command, stdout, stderr, unread, status: None }
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout.so_far()).into_owned()
    }

    /// Standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Begins to read a standard output that was left unread.
    pub fn read_stdout(&mut self) {
        if let Some(out) = self.unread.take() {
            self.stdout = Stream::collect(out, |_| false);
        }
    }

    /// Waits for words on standard error.
    #[track_caller]
    pub fn wait_err(&mut self, words: &str) -> &mut Self {
        self.wait_for(&format!("{words:?} on standard error"), |running| {
            running.err().contains(words).then_some(())
        });
        self
    }

    /// Waits for words on standard output.
    #[track_caller]
    pub fn wait_out(&mut self, words: &str) -> &mut Self {
        self.wait_for(&format!("{words:?} on standard output"), |running| {
            running.out().contains(words).then_some(())
        });
        self
    }

    /// Waits for a file of the project.
    #[track_caller]
    pub fn wait_file(&mut self, path: &str) -> &mut Self {
        let file = self.project.dir.join(path);
        self.wait_for(&format!("the file {path}"), |_| file.exists().then_some(()));
        self
    }

    /// Waits until `look` has an answer; gives up when the program ends without it.
    #[track_caller]
    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let found = poll(PATIENCE, || {
            // Asked first: what happened just before the end is there when it is found to have ended.
            let has_ended = self.has_ended() && self.stderr.has_ended() && self.stdout.has_ended();
            match look(self) {
                Some(found) => Some(Some(found)),
                None if has_ended => Some(None),
                None => None,
            }
        });
        match found {
            Some(Some(found)) => found,
            Some(None) => panic!("it ended without {what}\n{}", self.so_far()),
            None => panic!("waited {} s in vain for {what}\n{}", PATIENCE.as_secs(), self.so_far()),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be asked for its end");
        }
        self.status.is_some()
    }

    /// Whether its end was noticed; it may have ended since.
    pub fn is_reaped(&self) -> bool {
        self.status.is_some()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) -> &Self {
        self.assert_not_reaped();
        if let Err(error) = kill(Pid::from_raw(self.pid()), signal) {
            panic!("cannot send {signal}: {error}\n{}", self.so_far());
        }
        self
    }

    /// Sends its process group a signal.
    #[track_caller]
    pub fn signal_group(&self, signal: Signal) -> &Self {
        self.assert_not_reaped();
        if let Err(error) = killpg(Pid::from_raw(self.pid()), signal) {
            panic!("cannot send {signal} to the group: {error}\n{}", self.so_far());
        }
        self
    }

    /// Once its end was read, its number may be somebody else's.
    #[track_caller]
    fn assert_not_reaped(&self) {
        assert!(self.status.is_none(), "it has ended already\n{}", self.so_far());
    }

    /// Its wardens.
    pub fn wardens(&self) -> Vec<Found> {
        processes::wardens(self.pid())
    }

    /// Waits for its end, and checks that it left no process behind: none at all where it ended by itself, none for long
    /// where it was killed.
    #[track_caller]
    pub fn wait(self) -> Finished {
        self.wait_leaving(&[])
    }

    /// As [`wait`](Running::wait), for a death that these processes are expected to survive.
    #[track_caller]
    pub fn wait_leaving(mut self, survivors: &[i32]) -> Finished {
        let ended = poll(LONGEST, || self.has_ended().then_some(()));
        let Some(status) = self.status.filter(|_| ended.is_some()) else {
            panic!("it did not end within {} s\n{}", LONGEST.as_secs(), self.so_far());
        };
        let is_last = self.sign_off();
        let was_killed = status.code().is_none();
        let left = match (is_last, was_killed) {
            (false, _) => Vec::new(),
            (true, true) => self.project.wait_gone(survivors, DEATHS),
            (true, false) => self.project.left(survivors),
        };
        let streams_ended =
            poll(DEATHS, || (self.stdout.has_ended() && self.stderr.has_ended()).then_some(())).is_some();
        let finished = self.so_far();
        assert!(left.is_empty(), "it left processes behind: {left:#?}\n{finished}");
        assert!(streams_ended, "somebody else holds its output open\n{finished}");
        finished
    }

    /// Kills it with SIGKILL and waits until nothing is left of it.
    #[track_caller]
    pub fn kill_nine(self) -> Finished {
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// It runs no more. Answers whether it was the last supervisor of the project.
    fn sign_off(&self) -> bool {
        self.project.bystanders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid());
        let mut supervisors = self.project.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        supervisors.remove(&self.pid());
        supervisors.is_empty()
    }

    fn so_far(&self) -> Finished {
        Finished {
            command: self.command.clone(),
            status: self.status.unwrap_or_default(),
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        }
    }

    /// Waits until it has as many wardens, and answers with them.
    #[track_caller]
    pub fn wait_wardens(&self, count: usize) -> Vec<Found> {
        wait_until(&format!("{count} wardens"), || {
            Some(self.wardens()).filter(|wardens| wardens.len() == count)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            // A test that failed; the project looks after what is below.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.sign_off();
    }
}
