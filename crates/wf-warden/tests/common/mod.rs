//! A test's warden: starts it, talks to it with a bound on every wait, and proves at the end that nothing is left.
#![expect(dead_code, reason = "each test program uses its own part")]

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wf_warden::{Exit, Order, Outputs, Received, Report, Setup, Spawn, Swept, Warden, own};

/// No wait of a test is longer.
pub const BOUND: Duration = Duration::from_secs(60);

/// The program with all the bad manners.
pub const FIXTURE: &str = env!("CARGO_BIN_EXE_wf-warden-fixture");

/// A warden and its supervisor, which is the test.
pub struct Harness {
    warden: Option<Warden>,
    pub cookie: String,
}

/// What an attempt writes.
pub struct Streams {
    pub stdout: PipeReader,
    pub stderr: PipeReader,
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(Setup::default())
    }

    pub fn with(setup: Setup<'_>) -> Harness {
        let cookie = unique_cookie();
        let path = OsString::from("/usr/local/bin:/usr/bin:/bin");
        let env = [("PATH".into(), path), ("WF_RUN_ID".into(), OsString::from(&cookie))];
        let warden = Warden::start(Path::new(FIXTURE), &env, setup).expect("a warden starts");
        Harness { warden: Some(warden), cookie }
    }

    pub fn warden(&mut self) -> &mut Warden {
        self.warden.as_mut().expect("taken only at the end")
    }

    /// Sends a command and reads the answer.
    pub fn spawn(&mut self, spawn: &Spawn) -> (Report, Streams) {
        let (stdout, stdout_writer) = io::pipe().unwrap();
        let (stderr, stderr_writer) = io::pipe().unwrap();
        let outputs = Outputs { stdout: stdout_writer.as_fd(), stderr: stderr_writer.as_fd() };
        self.warden().spawn(spawn, outputs).expect("a command can be sent");
        drop((stdout_writer, stderr_writer));
        (self.next(), Streams { stdout, stderr })
    }

    /// Starts the fixture as a worker; its process id.
    pub fn start(&mut self, words: &[&str]) -> (i32, Streams) {
        self.start_spawn(&fixture(words))
    }

    pub fn start_spawn(&mut self, spawn: &Spawn) -> (i32, Streams) {
        match self.spawn(spawn) {
            (Report::Spawned { pid }, streams) => (pid, streams),
            (other, _) => panic!("not started: {other:?}"),
        }
    }

    pub fn send(&mut self, order: Order) {
        self.warden().send(order).expect("an order can be sent");
    }

    pub fn receive(&mut self) -> Received {
        receive(self.warden())
    }

    pub fn next(&mut self) -> Report {
        match self.receive() {
            Received::Report(report) => report,
            Received::Closed => panic!("the warden has ended"),
        }
    }

    /// The end of an attempt that left something or was killed.
    pub fn sweep(&mut self) -> Swept {
        self.send(Order::Sweep);
        match self.next() {
            Report::Swept(swept) => swept,
            other => panic!("instead of the sweep: {other:?}"),
        }
    }

    pub fn expect_exit(&mut self, exit: Exit, alone: bool) {
        assert_eq!(self.next(), Report::Exited { exit, alone });
    }

    /// When the test itself has ended the warden.
    pub fn forget_warden(&mut self) {
        let pid = self.warden.take().expect("taken only at the end").close();
        let _ = own::reap(pid, BOUND);
    }

    /// Kills the worker and all it has, whatever it was doing.
    pub fn end_attempt(&mut self) {
        self.send(Order::Kill);
        match self.next() {
            Report::Exited { exit: Exit::Signal(libc::SIGKILL), alone: true } => {}
            Report::Exited { exit: Exit::Signal(libc::SIGKILL), alone: false } => {
                self.sweep();
            }
            other => panic!("instead of the end: {other:?}"),
        }
    }
}

/// Every test ends with this: the warden goes in peace, and nothing is left of it nor of what it started.
impl Drop for Harness {
    fn drop(&mut self) {
        let Some(warden) = self.warden.take() else { return };
        let pid = warden.close();
        if std::thread::panicking() {
            let _ = own::reap(pid, BOUND);
            return;
        }
        assert_eq!(own::reap(pid, BOUND).expect("the warden ends"), Exit::Code(0));
        assert_nothing_left(&self.cookie);
    }
}

pub fn fixture(words: &[&str]) -> Spawn {
    let argv = std::iter::once("fixture").chain(words.iter().copied());
    Spawn {
        program: FIXTURE.into(),
        argv: argv.map(OsString::from).collect(),
        cwd: "/".into(),
        ..Spawn::default()
    }
}

pub fn shell(script: &str) -> Spawn {
    Spawn {
        program: "/bin/sh".into(),
        argv: ["sh", "-c", script].map(OsString::from).into(),
        cwd: "/".into(),
        ..Spawn::default()
    }
}

pub fn unique_cookie() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("warden-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn receive(warden: &mut Warden) -> Received {
    let deadline = Instant::now() + BOUND;
    loop {
        match warden.receive() {
            Ok(received) => return received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, warden.wants_to_write());
        wait(&*warden, events, deadline);
        warden.flush().expect("flushing works");
    }
}

/// Waits until there is something to read, then panics when there is not in time.
fn wait(descriptor: impl AsFd, events: PollFlags, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap();
    let ready = poll(&mut [PollFd::new(descriptor.as_fd(), events)], timeout).unwrap();
    assert!(ready > 0, "nothing came in time");
}

/// One line of output.
pub fn line(from: &mut PipeReader) -> String {
    let deadline = Instant::now() + BOUND;
    let mut line = Vec::new();
    loop {
        wait(&*from, PollFlags::POLLIN, deadline);
        let mut byte = [0];
        let count = from.read(&mut byte).unwrap();
        if count == 0 || byte[0] == b'\n' {
            return String::from_utf8(line).unwrap();
        }
        line.push(byte[0]);
    }
}

/// The rest of the output, up to its end: until the last process that holds it is dead.
pub fn rest(from: &mut PipeReader) -> String {
    let deadline = Instant::now() + BOUND;
    let mut text = Vec::new();
    loop {
        wait(&*from, PollFlags::POLLIN, deadline);
        let mut bytes = [0; 4096];
        match from.read(&mut bytes).unwrap() {
            0 => return String::from_utf8(text).unwrap(),
            count => text.extend_from_slice(&bytes[..count]),
        }
    }
}

/// The state letter of a process; `None` when there is none, or only its zombie.
pub fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].chars().next().filter(|state| *state != 'Z')
}

/// Processes that carry the mark, living ones.
pub fn carriers(cookie: &str) -> HashSet<i32> {
    let mark = format!("WF_RUN_ID={cookie}");
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
        .collect()
}

/// For wardens that are nobody's children any more: they let go of everything a moment before they are gone themselves.
pub fn wait_until_nothing_left(cookie: &str) {
    let deadline = Instant::now() + BOUND;
    while !carriers(cookie).is_empty() {
        assert!(Instant::now() < deadline, "processes are left: {:?}", carriers(cookie));
        std::thread::yield_now();
    }
}

pub fn assert_nothing_left(cookie: &str) {
    assert_eq!(carriers(cookie), HashSet::new(), "processes are left");
}
