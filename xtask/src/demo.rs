//! `cargo xtask demo`: ten example issues become reviewed designs, on the embedded mock provider.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, check, root, say, target_dir};

/// Builds the programs, sets a project up in a fresh directory and runs the batch as its user would.
pub fn run() -> Result<()> {
    check(cargo().args(["build", "--quiet", "--locked", "--package", "wf-supervisor", "--bins"]))?;
    let program = target_dir().join("debug/wf-supervisor");
    let project = target_dir().join("demo");
    if project.exists() {
        fs::remove_dir_all(&project).with_context(|| format!("cannot clear {}", project.display()))?;
    }
    set_up(&project)?;

    let args = ["run", "--mock", "--parallel", "5", "items.txt"];
    say(&format!("$ cd {}\n$ {} {}\n", project.display(), program.display(), args.join(" ")));
    let status = Command::new(&program).args(args).current_dir(&project).status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("the demo's run ended with {status}");
    }
    let outputs = project.join(".wf/mock/docs/lld");
    say(&format!(
        "\nwhere to look:\n  {}   the ten designs\n  {}   the run: journal, logs, audit, summary\n  {}   every draft and verdict\n\
         \nand from {}:\n  {program} list\n  {program} show\n  {program} show --item 42\n  {program} logs 42",
        outputs.display(),
        project.join(".wf/runs/latest").display(),
        project.join(".wf/mock/lineage").display(),
        project.display(),
        program = program.display(),
    ));
    let written = fs::read_dir(&outputs).with_context(|| outputs.display().to_string())?.count();
    if written != 10 {
        bail!("{} has {written} designs instead of 10", outputs.display());
    }
    Ok(())
}

/// The examples as a project: ten issues and the list of them.
fn set_up(project: &Path) -> Result<()> {
    let examples = root().join("docs/examples");
    fs::create_dir_all(project.join("issues"))?;
    // A project of its own: without this file its state would be kept at the root of the checkout around it.
    fs::write(project.join("wf.toml"), "# The defaults do.\n")?;
    fs::copy(examples.join("items.txt"), project.join("items.txt"))?;
    for entry in fs::read_dir(examples.join("issues"))? {
        let entry = entry?;
        fs::copy(entry.path(), project.join("issues").join(entry.file_name()))?;
    }
    Ok(())
}
