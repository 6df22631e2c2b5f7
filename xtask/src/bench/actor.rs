//! The parts this program plays itself: the bare loop that is the limit, a writer of many lines, workers that make leases and
//! calls, and other ways to share keys.

mod calls;
mod lane;
mod leases;
mod policies;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::wait::{WaitStatus, wait};

/// A key that the supervisor is told to keep secret; the writer gives it away once in every block.
pub const SECRET: &str = "bench-5f0c7a41d2e98b36";

/// How much is written at once: what a pipe holds.
const BLOCK_BYTES: usize = 64 * 1024;

pub use lane::{Ended, Lane, LaneKey};

/// A part to play.
#[derive(clap::Subcommand)]
pub enum Part {
    /// Start `true` as often as told, so many at once, and wait for it: nothing else
    SpawnLoop {
        /// How often
        items: u32,
        /// How many at once
        parallel: u32,
    },
    /// Write so many bytes of lines to stdout
    WriteLines {
        /// How many, rounded up to a whole block
        bytes: u64,
        /// What a runner of items adds; without meaning
        item: Option<String>,
    },
    /// A worker that takes leases and returns them at once
    LeaseLoop(leases::Crowd),
    /// The worker's side of the same exchange without a supervisor
    Ping {
        /// Where the other side listens
        socket: PathBuf,
        /// Who is there
        #[command(flatten)]
        crowd: leases::Crowd,
    },
    /// The other side of it
    Pong {
        /// Where to listen
        socket: PathBuf,
        /// How many will come
        workers: usize,
    },
    /// A worker with a workflow of calls, each with a lease
    Workflow {
        /// The provider's address
        base_url: String,
        /// How many calls
        calls: u32,
        /// Which item
        item: String,
    },
    /// Make the calls of an audit once more, without leases
    Replay {
        /// The provider's address
        base_url: String,
        /// A key
        secret: String,
        /// The audit
        audit: PathBuf,
    },
    /// Share keys in another way
    Share {
        /// Which
        policy: policies::Policy,
        /// A JSON file that says what is to be done
        lane: PathBuf,
    },
}

/// Plays it.
pub fn play(part: &Part) -> Result<()> {
    match part {
        Part::SpawnLoop { items, parallel } => spawn_loop(*items, *parallel),
        Part::WriteLines { bytes, item: _ } => write_lines(*bytes),
        Part::LeaseLoop(crowd) => leases::lease_loop(crowd),
        Part::Ping { socket, crowd } => leases::ping(socket, crowd),
        Part::Pong { socket, workers } => leases::pong(socket, *workers),
        Part::Workflow { base_url, calls, item } => calls::workflow(base_url, *calls, item),
        Part::Replay { base_url, secret, audit } => calls::replay(base_url, secret, audit).map(drop),
        Part::Share { policy, lane } => policies::play(*policy, lane),
    }
}

/// Starts the first few, then one for each that ends. `Command` uses `posix_spawn` here; nothing is captured or written.
fn spawn_loop(items: u32, parallel: u32) -> Result<()> {
    let mut running = 0;
    let mut next = 1;
    while next <= items || running > 0 {
        if next <= items && running < parallel {
            // Waited for below, whichever ends first; the handle is not needed for that.
            Command::new("true").arg(next.to_string()).spawn().context("cannot start `true`")?;
            next += 1;
            running += 1;
        } else {
            match wait()? {
                WaitStatus::Exited(_, 0) => running -= 1,
                other => bail!("`true` ended with {other:?}"),
            }
        }
    }
    Ok(())
}

/// Writes the same block over and over, so that making the lines costs nothing.
fn write_lines(bytes: u64) -> Result<()> {
    let block = block();
    // Not through `Stdout`, which would look for line ends in every block.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        out.write_all(&block).context("cannot write")?;
    }
    Ok(())
}

/// Whole lines of the lengths that logs have (20 to 180 bytes), exactly one block of them, with the secret in one.
pub fn block() -> Vec<u8> {
    const WORDS: &[u8] =
        b"building the target graph took longer than the last time, reading the cache of resolved \
        dependencies again before the next of the remaining steps begins; nothing to do for this one ";
    let mut block = format!("the key is {SECRET}, do not tell anybody\n").into_bytes();
    let mut length = 20;
    while block.len() < BLOCK_BYTES {
        let left = BLOCK_BYTES - block.len();
        let line = if left < 400 { left } else { length };
        block.extend(WORDS.iter().cycle().take(line - 1));
        block.push(b'\n');
        length = 20 + (length * 7 + 13) % 160;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_whole_lines() {
        let block = block();
        assert_eq!(block.len(), BLOCK_BYTES);
        assert!(block.ends_with(b"\n"));
        let lengths: Vec<usize> = block.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert!(lengths.iter().all(|length| *length < 400), "{lengths:?}");
        assert!((500..1000).contains(&lengths.len()), "{} lines", lengths.len());
        let has_secret = block.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes()).count();
        assert_eq!(has_secret, 1);
    }
}
