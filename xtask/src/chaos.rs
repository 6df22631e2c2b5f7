//! `cargo xtask chaos`: batches that are killed and damaged by chance, as many as wanted.

use anyhow::Result;

use crate::{cargo, check};

/// Kill batches at random moments and system calls, damage their state, and see them end well. Five rounds are part of
/// the tests; a night has time for `--rounds 100`
#[derive(clap::Args)]
pub struct Args {
    /// Batches to hurt; each takes seconds
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u64,
    /// The first round's seed; round n has seed + n
    #[arg(long, value_name = "S", default_value_t = 2026)]
    seed: u64,
}

/// Runs the rounds through the end-to-end tests' harness, which proves after each that no process is left.
pub fn run(args: &Args) -> Result<()> {
    check(
        cargo()
            .args([
                "test",
                "--locked",
                "--package",
                "wf-tests",
                "--test",
                "end_to_end",
                "chaos::",
                "--",
                "--nocapture",
            ])
            .env("WF_CHAOS_ROUNDS", args.rounds.to_string())
            .env("WF_CHAOS_SEED", args.seed.to_string()),
    )
}
