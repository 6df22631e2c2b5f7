//! A connected socket that wakes the supervisor for what comes in, and for nothing else.
//!
//! A socket that is watched for both directions reports each time that the peer has read what it was sent, which is of no
//! use where a message goes out whole at once. So this one is watched for reading, and for writing only while its peer does
//! not read.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use interprocess::local_socket::tokio::Stream;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    socket: AsyncFd<UnixStream>,
}

impl Connection {
    /// Takes an accepted connection over.
    pub fn new(stream: Stream) -> io::Result<Connection> {
        let Stream::UdSocket(stream) = stream;
        let stream = tokio::net::UnixStream::from(stream).into_std()?;
        Ok(Connection { socket: watched(stream, Interest::READABLE)? })
    }

    /// Waits for bytes and reads some; 0 at the end. It may be abandoned at any time without loss.
    pub async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut socket = ready.get_inner();
            match socket.read(bytes) {
                Ok(count) => {
                    // Less than there was room for: what comes later is told again, so nobody has to look in vain.
                    if count < bytes.len() {
                        ready.clear_ready();
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of it, and waits where the peer does not read.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut socket = self.socket.get_ref();
        while !bytes.is_empty() {
            match socket.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let full = watched(socket.try_clone()?, Interest::WRITABLE)?;
                    full.writable().await?.retain_ready();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "its successor is for owners that may close early, which a socket of the standard library cannot"
)]
fn watched(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use interprocess::local_socket::ListenerOptions;
    use interprocess::local_socket::traits::tokio::Listener as _;

    use super::*;

    /// The bound of every wait in these tests; only a failing one gets there.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Runs a test on both ends of a connection; the other one blocks and has a thread of its own.
    fn with_pair<F: Future>(
        test: impl FnOnce(Connection) -> F,
        peer: impl FnOnce(UnixStream) + Send + 'static,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let name = wf_protocol::socket_name(&path).unwrap();
            let listener = ListenerOptions::new().name(name).create_tokio().unwrap();
            let dialled = UnixStream::connect(&path).unwrap();
            let peer = std::thread::spawn(move || peer(dialled));
            let connection = Connection::new(listener.accept().await.unwrap()).unwrap();
            tokio::time::timeout(PATIENCE, test(connection)).await.unwrap();
            peer.join().unwrap();
        });
    }

    #[test]
    fn pieces_arrive_as_they_come_and_then_the_end() {
        let (said, next) = std::sync::mpsc::channel();
        with_pair(
            |connection| async move {
                let mut bytes = [0; 4];
                for want in [&b"one"[..], b"four", b"!", b"last"] {
                    said.send(want).unwrap();
                    let mut had = Vec::new();
                    while had.len() < want.len() {
                        let count = connection.read(&mut bytes).await.unwrap();
                        had.extend_from_slice(&bytes[..count]);
                    }
                    assert_eq!(had, want);
                }
                drop(said);
                assert_eq!(connection.read(&mut bytes).await.unwrap(), 0);
                assert_eq!(connection.read(&mut bytes).await.unwrap(), 0, "and again");
            },
            move |mut peer| next.iter().for_each(|bytes| peer.write_all(bytes).unwrap()),
        );
    }

    #[test]
    fn what_is_written_waits_for_a_peer_that_does_not_read_and_ends_with_it() {
        const MANY: usize = 4 << 20;
        let (begun, begins) = std::sync::mpsc::channel();
        with_pair(
            |connection| async move {
                let all = vec![7; MANY];
                let mut writing = Box::pin(connection.write_all(&all));
                // No socket buffer holds all of it, so the first look leaves it waiting.
                let first =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(writing.as_mut().poll(cx))).await;
                assert!(first.is_pending());
                begun.send(()).unwrap();
                writing.await.unwrap();
                let error = connection.write_all(&all).await.unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                    "{error}"
                );
            },
            move |mut peer| {
                begins.recv().unwrap();
                peer.read_exact(&mut vec![0; MANY]).unwrap();
            },
        );
    }
}
