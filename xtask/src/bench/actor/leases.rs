//! Leases, one after the other as fast as they come, and the same exchange without any of ours: the limit.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wf_protocol::{CallOutcome, Client, LeaseRequest, Secret, ToSupervisor, ToWorker, encode};

/// Round trips before those that count.
const WARM_UP: u32 = 100;
/// How long everybody is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(2);

/// Processes that begin together: each leaves a file in the current directory and waits for the others'.
#[derive(clap::Args)]
pub struct Crowd {
    /// How many they are
    workers: usize,
    /// How many round trips each makes
    count: u32,
    /// Microseconds between two of them, as for a worker that has a call to make
    pause_us: u64,
    /// This one's name
    name: String,
}

impl Crowd {
    /// Makes the round trips and leaves their times, in nanoseconds, in `times-NAME`.
    fn measure(&self, mut once: impl FnMut(u64) -> Result<()>) -> Result<()> {
        for number in 0..WARM_UP {
            once(u64::from(number))?;
        }
        self.meet()?;
        let pause = Duration::from_micros(self.pause_us);
        let mut times = Vec::with_capacity(self.count as usize);
        for number in 0..self.count {
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let begun = Instant::now();
            once(u64::from(WARM_UP + number))?;
            times.push(begun.elapsed());
        }
        let mut file = BufWriter::new(File::create(format!("times-{}", self.name))?);
        for time in times {
            writeln!(file, "{}", time.as_nanos())?;
        }
        Ok(file.flush()?)
    }

    fn meet(&self) -> Result<()> {
        File::create(format!("ready-{}", self.name))?;
        wait_for("the others", || {
            let there = fs::read_dir(".")?
                .flatten()
                .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ready-"));
            Ok((there.count() >= self.workers).then_some(()))
        })
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

/// A worker that takes leases and returns them, as after a call.
pub fn lease_loop(crowd: &Crowd) -> Result<()> {
    let (client, _) = Client::from_env()?;
    crowd.measure(|number| {
        let grant = client.acquire(&request(number), &mut |_| ())?;
        grant.release(answered());
        Ok(())
    })
}

fn request(call: u64) -> LeaseRequest {
    let (provider, model) = ("bench".to_owned(), "model-of-an-ordinary-name".to_owned());
    LeaseRequest { call, provider, model, tokens: 2_000, share: 500 }
}

fn answered() -> CallOutcome {
    CallOutcome::Ok { tokens_in: 1_500, tokens_out: 400, hints: Vec::new() }
}

/// How many bytes a lease is on the socket: asked for, granted, returned.
fn sizes() -> Result<[usize; 3]> {
    let granted = ToWorker::Granted {
        call: 1_000,
        lease: 100_000,
        key: "bench-12".to_owned(),
        secret: Secret::from("x".repeat(40)),
        expires_ms: 300_000,
    };
    let returned = ToSupervisor::Release { lease: 100_000, outcome: answered() };
    Ok([
        encode(&ToSupervisor::Acquire(request(1_000)))?.len(),
        encode(&granted)?.len(),
        encode(&returned)?.len(),
    ])
}

/// The worker's side of the bare exchange.
pub fn ping(socket: &Path, crowd: &Crowd) -> Result<()> {
    let [asked, granted, returned] = sizes()?.map(|bytes| vec![0; bytes]);
    let mut answer = granted;
    let mut stream = wait_for("the other side", || match UnixStream::connect(socket) {
        Ok(stream) => Ok(Some(stream)),
        // Not there yet, or its queue is full.
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock => {
                Ok(None)
            }
            _ => Err(error.into()),
        },
    })?;
    crowd.measure(|_| {
        stream.write_all(&asked)?;
        stream.read_exact(&mut answer)?;
        Ok(stream.write_all(&returned)?)
    })
}

/// The supervisor's side of it: a thread per worker that reads and answers, which is the least there can be.
pub fn pong(socket: &Path, workers: usize) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    let sizes = sizes()?;
    let mut threads = Vec::new();
    for _ in 0..workers {
        let (stream, _) = listener.accept()?;
        threads.push(std::thread::spawn(move || answer(stream, sizes)));
    }
    for thread in threads {
        // A worker that goes away ends its thread: nothing is to be reported.
        let _ = thread.join();
    }
    Ok(())
}

fn answer(mut stream: UnixStream, sizes: [usize; 3]) -> io::Result<()> {
    let [mut asked, granted, mut returned] = sizes.map(|bytes| vec![0; bytes]);
    loop {
        stream.read_exact(&mut asked)?;
        stream.write_all(&granted)?;
        stream.read_exact(&mut returned)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_exchange_has_the_size_of_a_lease() {
        let [asked, granted, returned] = sizes().unwrap();
        assert!((40..80).contains(&asked), "{asked}");
        assert!((60..100).contains(&granted), "{granted}");
        assert!((8..40).contains(&returned), "{returned}");
    }
}
