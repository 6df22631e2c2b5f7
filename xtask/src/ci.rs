//! `cargo xtask ci`: the one command that says whether the tree is good.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Result;

use crate::{bench, cargo, check, say, tidy};

/// A step's name and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 7] = [
    ("format", || check(cargo().args(["fmt", "--all", "--check"]))),
    ("clippy", || {
        check(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    }),
    ("tidy", tidy::run),
    ("dependencies", deny),
    ("build", || check(cargo().args(["build", "--workspace", "--locked"]))),
    ("benchmarks run", bench::prove),
    ("tests", || check(cargo().args(["test", "--workspace", "--locked"]))),
];

/// Runs all steps, stopping at the first that fails.
pub fn run() -> Result<()> {
    for (name, step) in STEPS {
        let start = Instant::now();
        say(&format!("--- {name}"));
        step()?;
        say(&format!("--- {name}: good, {:.0?}", start.elapsed()));
    }
    say("all good");
    Ok(())
}

/// Licences, sources, bans and advisories of all dependencies.
fn deny() -> Result<()> {
    let installed =
        cargo().args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    if !installed {
        say("cargo-deny is not installed; installing it");
        // Outside the project's own build directory: another profile would rebuild everything there.
        let dir = tempfile::tempdir()?;
        check(cargo().args(["install", "cargo-deny", "--locked", "--target-dir"]).arg(dir.path()))?;
    }
    check(&mut deny_check(&["bans", "licenses", "sources"]))?;
    // The advisory database is a git repository elsewhere. Where it cannot be fetched, that is no fault of the tree.
    if deny_fetch() {
        check(&mut deny_check(&["advisories"]))?;
    } else {
        say("SKIPPED: advisories (the advisory database cannot be fetched from here)");
    }
    Ok(())
}

fn deny_check(what: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["deny", "--all-features", "check", "--hide-inclusion-graph"]).args(what);
    command
}

fn deny_fetch() -> bool {
    let fetch = cargo().args(["deny", "fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    fetch.is_ok_and(|status| status.success())
}
