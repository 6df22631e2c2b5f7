//! System calls that `nix` does not have, or has too narrowly: it knows no real-time signals, so that a worker killed
//! by one would be an error of `waitid`.
#![expect(unsafe_code, reason = "these are the system calls themselves; each call has its argument")]

use std::io;
#[cfg(not(target_os = "linux"))]
use std::os::fd::AsFd as _;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{self, ControlMessageOwned, MsgFlags};

use crate::message::Exit;

/// Whom to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Child {
    Any,
    Pid(i32),
}

/// What waiting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// This child has ended.
    Ended(i32, Exit),
    /// There are such children, and none has ended.
    Alive,
    /// There is no such child: `ECHILD`.
    Nobody,
}

/// Looks for a child that has ended, and leaves it unreaped.
pub(crate) fn look(child: Child) -> io::Result<Waited> {
    wait(child, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Reaps a child if it has ended.
pub(crate) fn reap(child: Child) -> io::Result<Waited> {
    wait(child, libc::WEXITED | libc::WNOHANG)
}

fn wait(child: Child, options: i32) -> io::Result<Waited> {
    let (kind, number) = match child {
        Child::Any => (libc::P_ALL, 0),
        Child::Pid(pid) => (libc::P_PID, pid),
    };
    // SAFETY: `siginfo_t` is plain numbers (a C struct with a union of such), for which zero bytes are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is ours and outlives the call, which writes nothing else.
    let result = unsafe { libc::waitid(kind, number as libc::id_t, &raw mut info, options) };
    if result == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(Waited::Nobody),
            Some(libc::EINTR) => Ok(Waited::Alive),
            _ => Err(error),
        };
    }
    // SAFETY: the fields of a child's report are the ones that `waitid` fills; where it found none they are still zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(Waited::Alive);
    }
    let exit = if info.si_code == libc::CLD_EXITED { Exit::Code(status as u8) } else { Exit::Signal(status) };
    Ok(Waited::Ended(pid, exit))
}

/// Whether this process ignores a signal.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: `sigaction` is plain numbers and a nullable function, for which zero bytes are a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call changes nothing; it writes `action`, which is ours and outlives it.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Sends a signal to one process. Zero, one and negative numbers mean something else to `kill(2)`, everybody among it,
/// and are refused.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no memory is passed.
    check(unsafe { libc::kill(pid, signal) })
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no memory is passed.
    check(unsafe { libc::kill(-group, signal) })
}

/// Sends a signal to the process that a descriptor stands for: a pidfd, or an open `/proc/<pid>`. Never reaches
/// another process that got the number since (`pidfd_send_signal(2)`, Linux 5.1).
#[cfg(target_os = "linux")]
pub(crate) fn signal_through(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the length of the call; a null `siginfo` asks for the default one.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) };
    check(if result == -1 { -1 } else { 0 })
}

/// A descriptor that becomes readable when the process ends (`pidfd_open(2)`, Linux 5.3).
#[cfg(target_os = "linux")]
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    check(fd)?;
    // SAFETY: the call succeeded, so this is an open descriptor, and nobody else knows of it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads from the socket, taking descriptors that come along (close-on-exec). The second value is false when some were
/// lost because this process has no room for them.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<(usize, bool)> {
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let mut into = [io::IoSliceMut::new(into)];
    #[cfg(target_os = "linux")]
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = MsgFlags::empty();
    let message = socket::recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut control), flags)?;
    let Ok(controls) = message.cmsgs() else { return Ok((message.bytes, false)) };
    for control in controls {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just opened these for us, and nobody else knows of them.
            descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    #[cfg(not(target_os = "linux"))]
    for descriptor in descriptors.iter() {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(descriptor.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((message.bytes, true))
}

/// Undoes an ignored SIGCHLD, which a program may inherit and under which its children are reaped by nobody and unseen.
/// A handler stays.
pub(crate) fn stop_ignoring_children() -> io::Result<()> {
    // SAFETY: `sigaction` is numbers and pointers, for which zero bytes are a value (no flags, default action).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only; `action` is ours and outlives the call.
    check(unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut action) })?;
    if action.sa_sigaction != libc::SIG_IGN {
        return Ok(());
    }
    action.sa_sigaction = libc::SIG_DFL;
    // SAFETY: the default action runs no code of ours.
    check(unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) })
}

/// Gives SIGXFSZ a handler that does nothing: the write that went too far fails with `EFBIG` instead. A handler and not
/// `SIG_IGN`, which children would inherit.
pub(crate) fn survive_file_limit() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: `sigaction` is numbers and pointers, for which zero bytes are a value (no flags, empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler touches nothing, so it may run at any point; `action` is ours and outlives the call.
    check(unsafe { libc::sigaction(libc::SIGXFSZ, &raw const action, std::ptr::null_mut()) })
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
