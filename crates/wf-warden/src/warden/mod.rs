//! A warden's life: it waits for the supervisor and for its children, and serves one attempt after the other.
//!
//! One thread, nothing that blocks but `poll`, few system calls: this is the whole price of an item.

mod child_signal;
mod start;
mod tree;

use std::fs::File;
use std::io::{self, Stdin, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::socket::{MsgFlags, getsockopt, send, sockopt};
use nix::unistd::{Pid, getpgid};

use crate::environment::Environment;
use crate::frame::{Incoming, frame};
use crate::launch::Launcher;
use crate::message::{Exit, Order, Report, Spawn, Swept, ToWarden};
use crate::raw::{self, Child, Waited};
use child_signal::ChildSignal;
use start::Refusal;
use tree::Tree;

/// How long a sweep may take before what is left is named instead.
const SWEEP_BOUND: Duration = Duration::from_secs(10);

/// The same when the supervisor is gone and nobody waits, so that only what truly cannot be killed survives.
const LAST_SWEEP_BOUND: Duration = Duration::from_secs(60);

/// The `main` of a warden. Returns when the supervisor has closed the socket and everything below is dead.
pub fn warden_main() -> ExitCode {
    let mut room = match Room::prepare() {
        Ok(room) => room,
        Err(error) => {
            let report = Report::Broken(format!("a warden cannot start: {error}"));
            if tell(&io::stdin(), &report).is_err() {
                // Started by hand.
                let text = "This is a part of the supervisor's own machinery, and of no use by itself.";
                let _ = writeln!(io::stderr().lock(), "{text} ({error})");
            }
            return ExitCode::from(2);
        }
    };
    let broken = match catch_unwind(AssertUnwindSafe(|| room.serve())) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("a warden failed: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Some(format!("a warden panicked: {text}"))
        }
    };
    let _ = room.sweep(LAST_SWEEP_BOUND);
    let Some(text) = broken else { return ExitCode::SUCCESS };
    let _ = tell(&room.socket, &Report::Broken(text));
    ExitCode::FAILURE
}

/// What a warden has.
struct Room {
    socket: Stdin,
    incoming: Incoming,
    descriptors: Vec<OwnedFd>,
    child_signal: ChildSignal,
    environment: Environment,
    launcher: Launcher,
    null: File,
    tree: Tree,
    frozen: bool,
    attempt: Option<Attempt>,
    /// Held, never used: the lock of the run lasts as long as anything of it lives.
    lock: Option<OwnedFd>,
}

/// A worker, from its start until nothing of it is left.
struct Attempt {
    leader: i32,
    /// How the leader ended, while it is kept unreaped: it pins the number of its group.
    ended: Option<Exit>,
    /// SIGKILL went to the group: what dies of that is not a leftover.
    killed: bool,
    found: Swept,
}

impl Room {
    fn prepare() -> io::Result<Room> {
        let socket = io::stdin();
        getsockopt(&socket, sockopt::SockType)?;
        SigSet::all().thread_set_mask()?;
        #[cfg(target_os = "linux")]
        {
            use nix::sys::prctl;
            let _ = prctl::set_name(c"wf-warden");
            prctl::set_child_subreaper(true)?;
            // Commands may bring keys in their environment, which passes through this memory.
            prctl::set_dumpable(false)?;
            // A worker may have stopped its warden, and `killall -STOP` stops it together with the supervisor; it
            // must still see the end of the file when the supervisor dies.
            prctl::set_pdeathsig(nix::sys::signal::Signal::SIGCONT)?;
        }
        let this = nix::unistd::getpid();
        if nix::unistd::getsid(None)? != this {
            nix::unistd::setsid()?;
        }
        Ok(Room {
            socket,
            incoming: Incoming::default(),
            descriptors: Vec::new(),
            child_signal: ChildSignal::new()?,
            environment: Environment::of_this_process(),
            launcher: Launcher::for_workers()?,
            null: File::open("/dev/null")?,
            tree: Tree::below_this_process(),
            frozen: false,
            attempt: None,
            lock: None,
        })
    }

    /// Until the supervisor closes the socket.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let (readable, children) = {
                let mut ready = [
                    PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                    PollFd::new(self.child_signal.as_fd(), PollFlags::POLLIN),
                ];
                match poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) => (ready[0].any() != Some(false), ready[1].any() != Some(false)),
                    Err(Errno::EINTR) => (false, true),
                    Err(error) => return Err(error.into()),
                }
            };
            if children {
                self.child_signal.clear()?;
                self.children_changed()?;
            }
            if readable && !self.read()? {
                return Ok(());
            }
        }
    }

    /// Reads and obeys what has come; false at the end of the file.
    fn read(&mut self) -> io::Result<bool> {
        let Room { socket, incoming, descriptors, .. } = self;
        let count = incoming.fill(|into| {
            // Descriptors that found no room here are missed by the command that they belong to.
            raw::receive(socket.as_fd(), into, descriptors).map(|(count, _all)| count)
        });
        match count {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
        loop {
            match self.incoming.next(ToWarden::decode) {
                Ok(Some(message)) => self.obey(message)?,
                Ok(None) => return Ok(true),
                Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "malformed message")),
            }
        }
    }

    fn obey(&mut self, message: ToWarden) -> io::Result<()> {
        match message {
            ToWarden::Setup { soft_nofile, lock } => {
                if lock && !self.descriptors.is_empty() {
                    self.lock = Some(self.descriptors.remove(0));
                }
                if let Some(soft) = soft_nofile {
                    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
                    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?;
                }
                Ok(())
            }
            ToWarden::Spawn(spawn) => self.spawn(spawn),
            ToWarden::Order(Order::Signal(signal)) => {
                if let Some(attempt) = &self.attempt {
                    attempt.signal(signal);
                }
                Ok(())
            }
            ToWarden::Order(Order::Kill) => {
                if let Some(attempt) = &mut self.attempt {
                    self.tree.hold();
                    if attempt.ended.is_some() {
                        self.tree.name(attempt);
                        self.tree.kill_all_but(attempt.leader);
                    }
                    attempt.kill();
                }
                Ok(())
            }
            ToWarden::Order(Order::Sweep) => {
                if self.attempt.is_none() {
                    return Ok(());
                }
                let swept = self.sweep(SWEEP_BOUND)?;
                tell(&self.socket, &Report::Swept(swept))
            }
            ToWarden::Order(Order::Freeze) => {
                self.frozen = true;
                self.tree.freeze(&self.child_signal)?;
                // Waiting for the stops has used up what else there was to notice.
                self.children_changed()?;
                tell(&self.socket, &Report::Frozen)
            }
            ToWarden::Order(Order::Thaw) => {
                self.frozen = false;
                self.tree.thaw();
                Ok(())
            }
        }
    }

    fn spawn(&mut self, spawn: Spawn) -> io::Result<()> {
        let count = self.descriptors.len().min(2);
        let mut outputs = self.descriptors.drain(..count);
        let started = match (outputs.next(), outputs.next()) {
            _ if self.attempt.is_some() => Err(Refusal::busy()),
            (Some(stdout), Some(stderr)) => {
                let standard = [self.null.as_fd(), stdout.as_fd(), stderr.as_fd()];
                start::start(&self.launcher, &self.environment, spawn, standard)
            }
            _ => Err(Refusal::no_descriptors()),
        };
        drop(outputs);
        match started {
            Ok(leader) => {
                self.attempt = Some(Attempt::new(leader));
                if self.frozen {
                    self.tree.freeze(&self.child_signal)?;
                    tell(&self.socket, &Report::Spawned { pid: leader })?;
                    return self.children_changed();
                }
                tell(&self.socket, &Report::Spawned { pid: leader })
            }
            Err(refusal) => tell(&self.socket, &refusal.report()),
        }
    }

    /// Some child has ended, perhaps several: the leader is looked at, everybody else is reaped.
    fn children_changed(&mut self) -> io::Result<()> {
        loop {
            let Waited::Ended(pid, exit) = raw::look(Child::Any)? else { return Ok(()) };
            match &mut self.attempt {
                Some(attempt) if attempt.leader == pid && attempt.ended.is_none() => {
                    let alone = self.tree.is_empty_but_for(pid)?;
                    if alone {
                        raw::reap(Child::Pid(pid))?;
                        self.attempt = None;
                    } else {
                        attempt.ended = Some(exit);
                    }
                    tell(&self.socket, &Report::Exited { exit, alone })?;
                    if alone {
                        return Ok(());
                    }
                }
                Some(attempt) if attempt.leader == pid => {
                    // From now on looking at any child may find the unreaped leader for ever.
                    return self.tree.is_empty_but_for(pid).map(|_| ());
                }
                _ => {
                    raw::reap(Child::Pid(pid))?;
                    self.tree.forget(pid);
                }
            }
        }
    }

    /// Kills and reaps all that is below, the attempt's leader included, and ends the attempt. `ECHILD` is the only
    /// proof that nothing is left, so it goes on until then, or until `bound`.
    fn sweep(&mut self, bound: Duration) -> io::Result<Swept> {
        self.tree.hold();
        let mut attempt = self.attempt.take();
        if let Some(attempt) = &mut attempt {
            if attempt.ended.is_some() {
                self.tree.name(attempt);
            }
            attempt.kill();
            if attempt.ended.is_some() {
                raw::reap(Child::Pid(attempt.leader))?;
            }
        }
        let socket = &self.socket;
        let mut found =
            attempt.as_mut().map(|attempt| std::mem::take(&mut attempt.found)).unwrap_or_default();
        let unreported = attempt.filter(|attempt| attempt.ended.is_none()).map(|attempt| attempt.leader);
        self.tree.sweep(bound, &self.child_signal, &mut found, |pid, exit| {
            if Some(pid) == unreported {
                // When nobody listens any more, that is no reason to stop here.
                let _ = tell(socket, &Report::Exited { exit, alone: false });
            }
        })?;
        Ok(found)
    }
}

impl Attempt {
    fn new(leader: i32) -> Attempt {
        Attempt { leader, ended: None, killed: false, found: Swept::default() }
    }

    /// To the group, and to the leader where it has left its own group. The leader is unreaped, so the numbers are
    /// still theirs.
    fn signal(&self, signal: i32) {
        let _ = raw::kill_group(self.leader, signal);
        let leader = Pid::from_raw(self.leader);
        if self.ended.is_none() && getpgid(Some(leader)) != Ok(leader) {
            let _ = raw::kill(self.leader, signal);
        }
    }

    fn kill(&mut self) {
        self.killed |= self.ended.is_none();
        self.signal(libc::SIGKILL);
    }
}

/// Sends a report as a whole. It waits when the supervisor does not read, which never waits for a warden.
fn tell(socket: &Stdin, report: &Report) -> io::Result<()> {
    let bytes = frame(|out| report.encode(out)).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = &bytes[..];
    #[cfg(target_os = "linux")]
    let flags = MsgFlags::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = MsgFlags::empty();
    while !rest.is_empty() {
        match send(socket.as_raw_fd(), rest, flags) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
