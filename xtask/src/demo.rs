//! `cargo xtask demo`: builds the programs and runs `wf-supervisor demo` in a fresh directory.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, check, target_dir};

/// Ten example issues become reviewed designs, on the embedded mock provider.
pub fn run() -> Result<()> {
    check(cargo().args(["build", "--quiet", "--locked", "--package", "wf-supervisor", "--bins"]))?;
    let project = target_dir().join("demo");
    if project.exists() {
        fs::remove_dir_all(&project).with_context(|| format!("cannot clear {}", project.display()))?;
    }
    check(Command::new(target_dir().join("debug/wf-supervisor")).args(["demo", "--dir"]).arg(&project))?;
    let outputs = project.join(".wf/mock/docs/lld");
    let written = fs::read_dir(&outputs).with_context(|| outputs.display().to_string())?.count();
    if written != 10 {
        bail!("{} has {written} designs instead of 10", outputs.display());
    }
    Ok(())
}
