//! The supervisor's side of a warden.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};
use zeroize::Zeroize;

use crate::frame::{Incoming, frame};
use crate::launch::Launcher;
use crate::message::{Order, Report, Spawn, Swept, ToWarden};
use crate::{HIDDEN_ARGUMENT, environment, own, raw};

/// The most messages that wait for a warden to read. A warden always reads, so more means that it stands still.
const MOST_WAITING: usize = 64;

/// What a warden needs to know before its first attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// The slot, for people who look at `ps`: it is the warden's second argument.
    pub slot: usize,
    /// The soft limit of open files that workers are to have, as [`own::raise_soft_nofile`] returned it. `None` leaves
    /// it as it is.
    pub soft_nofile: Option<u64>,
    /// A descriptor to hold as long as the warden lives, and not to pass on: the lock of the run.
    pub lock: Option<BorrowedFd<'a>>,
}

/// The write ends of the two pipes of an attempt. Close them right after the call: the end of the output is seen only
/// when no write end is left.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The worker's standard output.
    pub stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub stderr: BorrowedFd<'a>,
}

/// What [`Warden::receive`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Report(Report),
    /// The warden has ended; nothing more will come. Go on with [`Warden::bury`].
    Closed,
}

/// A running warden. Dropping it closes the socket, at which the warden kills all below it and ends; somebody must
/// still reap it, which [`Warden::close`] leaves to the caller and [`Warden::bury`] does.
#[derive(Debug)]
pub struct Warden {
    pid: i32,
    socket: UnixStream,
    incoming: Incoming,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes sent", self.sent, self.bytes.len())
    }
}

impl Warden {
    /// Starts one: `exe` is the program whose `main` calls [`crate::warden_main`], best the one that is running
    /// (`/proc/self/exe` also finds it when it was replaced meanwhile). `env` is exactly the environment of the warden
    /// and so the base of its workers'; keys must be gone from it.
    ///
    /// The call returns when the program is executed, not when it is ready; a warden that cannot work says
    /// [`Report::Broken`].
    pub fn start(exe: &Path, env: &[(OsString, OsString)], setup: Setup<'_>) -> io::Result<Warden> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // Not the supervisor's stderr: a warden outlives it by a moment, must not hold a pipe open behind `2>&1 | ...`,
        // and must never hang on a terminal that was stopped by Ctrl+S. What it has to say it reports.
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let program = c_string(exe.as_os_str())?;
        let argv0 = c_string(std::env::args_os().next().as_deref().unwrap_or(exe.as_os_str()))?;
        let argv = [argv0, c_string(HIDDEN_ARGUMENT.as_ref())?, c_string(setup.slot.to_string().as_ref())?];
        let variables = env
            .iter()
            .map(|(name, value)| environment::entry(name, value))
            .collect::<Option<Vec<CString>>>()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let [socket, null] = [OwnedFd::from(theirs), OwnedFd::from(null)].map(above_standard);
        let (socket, null) = (socket?, null?);
        let standard = [socket.as_fd(), null.as_fd(), null.as_fd()];
        let pid = Launcher::for_wardens()?.launch(&program, &argv, &variables, standard)?;
        let mut warden =
            Warden { pid, socket: ours, incoming: Incoming::default(), waiting: VecDeque::new() };
        let message = ToWarden::Setup { soft_nofile: setup.soft_nofile, lock: setup.lock.is_some() };
        warden.queue(|out| message.encode(out), setup.lock.as_slice())?;
        Ok(warden)
    }

    /// The warden's own process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Starts a command; [`Report::Spawned`] or [`Report::SpawnFailed`] answers. Never blocks. The error
    /// `ArgumentListTooLong` means that nothing was sent.
    pub fn spawn(&mut self, spawn: &Spawn, outputs: Outputs<'_>) -> io::Result<()> {
        self.queue(|out| spawn.encode(out), &[outputs.stdout, outputs.stderr])
    }

    /// Sends an order. Never blocks. That the warden is gone is no error here: [`Warden::receive`] tells it, once.
    pub fn send(&mut self, order: Order) -> io::Result<()> {
        self.queue(|out| ToWarden::Order(order).encode(out), &[])
    }

    /// True while something is left to be written: call [`Warden::flush`] when the socket is writable.
    pub fn wants_to_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what waits, as far as the socket takes it now.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.waiting.front_mut() {
            let fds: Vec<RawFd> = first.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            match write(&self.socket, &first.bytes[first.sent..], &fds) {
                Ok(count) => {
                    first.descriptors.clear();
                    first.sent += count;
                    if first.sent == first.bytes.len() {
                        self.waiting.pop_front();
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.waiting.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next message. The error `WouldBlock` means that there is none now: wait until the socket is readable.
    pub fn receive(&mut self) -> io::Result<Received> {
        loop {
            match self.incoming.next(Report::decode) {
                Ok(Some(report)) => return Ok(Received::Report(report)),
                Ok(None) => {}
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the warden sent bytes that are no report",
                    ));
                }
            }
            let socket = self.socket.as_raw_fd();
            let read = self.incoming.fill(|into| Ok(recv(socket, into, MsgFlags::empty())?));
            match read {
                Ok(0) => return Ok(Received::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Received::Closed),
                Err(error) => return Err(error),
            }
        }
    }

    /// Kills a warden that does not answer. Its socket then closes; go on with [`Warden::bury`].
    pub fn kill(&self) {
        // The number is its own as long as this value lives: only this process can reap it. One that is gone is fine.
        let _ = raw::kill(self.pid, libc::SIGKILL);
    }

    /// Closes the socket, at which the warden ends. Returns its process id for [`own::reap`]: with many wardens, close
    /// all first.
    pub fn close(self) -> i32 {
        // Also where somebody still holds a copy of the descriptor, to wait for what it has to say.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.pid
    }

    /// Ends a warden that died or does not answer, and what was below it: kills it, reaps it, and sweeps its tree, which
    /// has then fallen to this process. `spare` are the other children of this process, the living wardens above all.
    /// Blocks, `bound` at most.
    pub fn bury(self, spare: &[i32], bound: Duration) -> io::Result<Swept> {
        let pid = self.pid;
        self.kill();
        drop(self);
        own::reap(pid, bound)?;
        own::sweep_orphans(spare, bound)
    }

    /// Nearly always the socket takes the message at once; only what it does not take is kept, with copies of the
    /// descriptors, since the caller closes its own.
    fn queue(&mut self, encode: impl FnOnce(&mut Vec<u8>), descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = frame(encode).ok_or(io::ErrorKind::ArgumentListTooLong)?;
        let mut message = Waiting { bytes, sent: 0, descriptors: Vec::new() };
        if self.waiting.is_empty() {
            let fds: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            match write(&self.socket, &message.bytes, &fds) {
                Ok(count) if count == message.bytes.len() => return Ok(()),
                Ok(count) => message.sent = count,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        } else if self.waiting.len() >= MOST_WAITING {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the warden does not read its messages"));
        }
        if message.sent == 0 {
            message.descriptors =
                descriptors.iter().map(BorrowedFd::try_clone_to_owned).collect::<io::Result<_>>()?;
        }
        self.waiting.push_back(message);
        self.flush()
    }
}

impl AsFd for Warden {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For `tokio::io::unix::AsyncFd`.
impl AsRawFd for Warden {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn write(socket: &UnixStream, bytes: &[u8], fds: &[RawFd]) -> Result<usize, Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    let controls = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    #[cfg(target_os = "linux")]
    let flags = MsgFlags::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = MsgFlags::empty();
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], controls, flags, None)
}

/// A program may be started with its standard descriptors closed, and then gets these numbers for its own files.
fn above_standard(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    // `F_DUPFD_CLOEXEC` from 3 on, which is what cloning an owned descriptor is.
    if descriptor.as_raw_fd() > libc::STDERR_FILENO { Ok(descriptor) } else { descriptor.try_clone() }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}
