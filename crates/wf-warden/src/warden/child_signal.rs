//! Learning that a child has ended, as something that `poll` can wait for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

#[cfg(target_os = "linux")]
mod source {
    //! `signalfd(2)`: SIGCHLD stays blocked, and no handler runs.
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::signalfd::{SfdFlags, SignalFd};
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};

    pub(super) struct Source(SignalFd);

    impl Source {
        pub(super) fn new() -> io::Result<Source> {
            let mut set = SigSet::empty();
            set.add(Signal::SIGCHLD);
            Ok(Source(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
        }

        pub(super) fn clear(&self) -> io::Result<()> {
            // A pending SIGCHLD is one, however many children have ended.
            self.0.read_signal()?;
            Ok(())
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod source {
    //! A handler that writes a byte into a socket of our own.
    #![expect(
        unsafe_code,
        reason = "installing a signal handler, and what it may do, is the caller's to argue"
    )]
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use std::io::{self, Read as _};
    use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicI32, Ordering};

    static WRITE_END: AtomicI32 = AtomicI32::new(-1);

    extern "C" fn on_child(_: i32) {
        // SAFETY: `write` may be called in a handler; the buffer is a constant; the descriptor is never closed.
        let _ = unsafe { libc::write(WRITE_END.load(Ordering::Relaxed), [0u8].as_ptr().cast(), 1) };
    }

    pub(super) struct Source(UnixStream);

    impl Source {
        pub(super) fn new() -> io::Result<Source> {
            let (reading, writing) = UnixStream::pair()?;
            reading.set_nonblocking(true)?;
            writing.set_nonblocking(true)?;
            WRITE_END.store(writing.into_raw_fd(), Ordering::Relaxed);
            let action = SigAction::new(SigHandler::Handler(on_child), SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handler does nothing but one `write`, and keeps to what is allowed there.
            unsafe { sigaction(Signal::SIGCHLD, &action)? };
            let mut set = SigSet::empty();
            set.add(Signal::SIGCHLD);
            set.thread_unblock()?;
            Ok(Source(reading))
        }

        pub(super) fn clear(&self) -> io::Result<()> {
            let mut bytes = [0; 64];
            loop {
                match (&self.0).read(&mut bytes) {
                    Ok(count) if count == bytes.len() => {}
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// Readable when children have ended or stopped since it was cleared.
pub(super) struct ChildSignal(source::Source);

impl ChildSignal {
    pub(super) fn new() -> io::Result<ChildSignal> {
        Ok(ChildSignal(source::Source::new()?))
    }

    /// To be called before looking at the children, so that nothing is missed between.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.0.clear()
    }

    /// Waits until a child changes, `bound` at most, and clears.
    pub(super) fn wait(&self, bound: Duration) -> io::Result<()> {
        let bound = PollTimeout::try_from(bound).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], bound) {
            Ok(_) | Err(Errno::EINTR) => self.clear(),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for ChildSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
