//! `wf-supervisor init --prompts`: the embedded prompt templates as files, for editing.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wf_worker::prompts::EMBEDDED;

use super::{Prompts, write_config};
use crate::cli::GlobalArgs;
use crate::cli::value::WorkflowName;
use crate::config::project::CONFIG_FILE;
use crate::config::{Environ, Project};
use crate::exit::{Trouble, refused};
use crate::store::atomic::TEMPORARY_PREFIX;

/// Where templates go that no configuration gives a place, beside it.
pub const DIR: &str = "prompts/";

/// Writes the templates where the configuration in force has them, and says in `out` what was written and what was left
/// alone. Without a configuration one is written that uses them.
pub fn init(
    global: &GlobalArgs,
    cwd: &Path,
    environ: &dyn Environ,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let named = global.config.as_deref().map(|path| cwd.join(path));
    let is_new = named.as_deref().is_some_and(|path| !path.exists());
    let in_force = if is_new { None } else { Project::locate(global, environ, cwd)?.config_file };
    let Some(file) = in_force else {
        // The templates first: a configuration that names a missing directory is refused.
        let file = named.unwrap_or_else(|| cwd.join(CONFIG_FILE));
        write_templates(&beside(&file).join(DIR), cwd, out)?;
        write_config(Some(&file), cwd, environ, Prompts::Written, out)?;
        writeln!(out, "next: edit a template; wf-supervisor workflows shows where they are taken from")?;
        return Ok(());
    };
    let uses = uses(&file)?;
    let mut dirs: Vec<&PathBuf> = uses.iter().filter_map(|(_, dir)| dir.as_ref()).collect();
    dirs.sort();
    dirs.dedup();
    let fallback = beside(&file).join(DIR);
    if dirs.is_empty() {
        dirs.push(&fallback);
    }
    for dir in dirs {
        write_templates(dir, cwd, out)?;
    }
    let without: Vec<&str> =
        uses.iter().filter(|(_, dir)| dir.is_none()).map(|(name, _)| name.word()).collect();
    if !without.is_empty() {
        writeln!(
            out,
            "built-in templates are still used by {}: to change that, add prompts = \"{DIR}\" to [workflow.NAME] in {}",
            without.join(", "),
            shown(&file, cwd)
        )?;
    }
    Ok(())
}

fn beside(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

fn shown(path: &Path, cwd: &Path) -> String {
    path.strip_prefix(cwd).unwrap_or(path).display().to_string()
}

/// The directory each workflow takes its templates from. Read without the usual checks, one of which is that the
/// directory exists.
fn uses(file: &Path) -> Result<Vec<(WorkflowName, Option<PathBuf>)>, Trouble> {
    let name = file.display();
    let table: toml::Table = match fs::read_to_string(file).map(|text| text.parse()) {
        Ok(Ok(table)) => table,
        Ok(Err(error)) => return refused(format!("{name}: {error}")),
        Err(error) => return refused(format!("{name} cannot be read: {error}")),
    };
    let dir = |workflow: WorkflowName| {
        let dir = table.get("workflow")?.get(workflow.word())?.get("prompts")?.as_str()?;
        Some(beside(file).join(dir))
    };
    Ok(WorkflowName::ALL.iter().map(|workflow| (*workflow, dir(*workflow))).collect())
}

/// Writes what is missing in `dir`. A template that was edited is kept.
fn write_templates(dir: &Path, cwd: &Path, out: &mut dyn Write) -> Result<(), Trouble> {
    let place = shown(dir, cwd);
    if let Err(error) = fs::create_dir_all(dir) {
        return refused(format!("{place} cannot be made: {error}"));
    }
    let (mut written, mut same, mut kept) = (Vec::new(), 0, Vec::new());
    for (name, text) in EMBEDDED {
        let path = dir.join(name);
        match write_new(&path, text) {
            Ok(true) => written.push(*name),
            Ok(false) if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) => same += 1,
            Ok(false) => kept.push(*name),
            Err(error) => {
                return Err(Trouble::Broken(anyhow::anyhow!(
                    "{} cannot be written: {error}",
                    shown(&path, cwd)
                )));
            }
        }
    }
    let place = place.trim_end_matches('/');
    if !written.is_empty() {
        let plural = if written.len() == 1 { "template" } else { "templates" };
        writeln!(out, "wrote {} {plural} to {place}/: {}", written.len(), written.join(", "))?;
    }
    if !kept.is_empty() {
        writeln!(out, "kept in {place}/, because they differ from the built-in ones: {}", kept.join(", "))?;
    }
    if same > 0 {
        writeln!(out, "{same} in {place}/ were as built in already")?;
    }
    Ok(())
}

/// Writes a file whole, unless there is something of that name.
fn write_new(path: &Path, text: &str) -> std::io::Result<bool> {
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    // The usual mode of a file: the umask takes away what it takes away.
    let mode = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(mode).tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, parse};
    use crate::config::Configuration;
    use crate::config::environ::FixedEnviron;

    fn global(args: &[&str]) -> GlobalArgs {
        let words: Vec<_> =
            ["wf-supervisor", "init"].iter().chain(args).map(std::ffi::OsString::from).collect();
        let Cli { global, .. } = parse(&words).unwrap();
        global
    }

    fn run(dir: &Path, args: &[&str]) -> Result<String, Trouble> {
        let mut out = Vec::new();
        init(&global(args), dir, &FixedEnviron::default(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn everything_is_written_once_and_what_was_edited_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(run(dir.path(), &[]).unwrap(), @r"
    wrote 19 templates to prompts/: drafter.md, reviewer.md, lld-template.md, lld-draft.md, lld-review.md, issue-template.md, issue-draft.md, issue-review.md, revise.md, mend.md, verdict-only.md, coder.md, code-reviewer.md, implement-project.md, implement-format.md, implement-tests.md, implement-code.md, implement-mend.md, implement-review.md
    wrote wf.toml: every line is a default, remove a '#' to change it
    no key is set: export GEMINI_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY, or try --mock
    next: edit a template; wf-supervisor workflows shows where they are taken from
    ");
        fs::write(dir.path().join("prompts/drafter.md"), "Mine.").unwrap();
        fs::remove_file(dir.path().join("prompts/mend.md")).unwrap();
        insta::assert_snapshot!(run(dir.path(), &[]).unwrap(), @r"
    wrote 1 template to prompts/: mend.md
    kept in prompts/, because they differ from the built-in ones: drafter.md
    17 in prompts/ were as built in already
    ");
        assert_eq!(fs::read_to_string(dir.path().join("prompts/drafter.md")).unwrap(), "Mine.");
        for (name, text) in EMBEDDED.iter().filter(|(name, _)| *name != "drafter.md") {
            assert_eq!(fs::read_to_string(dir.path().join("prompts").join(name)).unwrap(), *text);
        }
        assert_eq!(fs::read_dir(dir.path().join("prompts")).unwrap().count(), EMBEDDED.len());

        // What was written is what a run uses, in every workflow.
        let environ = FixedEnviron::of(&[("GEMINI_API_KEY", "gemini-secret")]);
        let project = Project::locate(&global(&[]), &environ, dir.path()).unwrap();
        let config = Configuration::load(project, &environ).unwrap();
        for name in WorkflowName::ALL {
            let (workflow, _) = config.workflow(name, &environ, false).unwrap();
            assert_eq!(workflow.prompts_dir, Some(dir.path().join(DIR)), "{name}");
        }
    }

    #[test]
    fn the_configuration_says_where_also_from_below_and_before_the_directory_exists() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("wf.toml"), "[workflow.lld]\nprompts = \"house\"\n").unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        let said = run(&below, &[]).unwrap().replace(&dir.path().display().to_string(), "DIR");
        insta::assert_snapshot!(said, @r#"
    wrote 19 templates to DIR/house/: drafter.md, reviewer.md, lld-template.md, lld-draft.md, lld-review.md, issue-template.md, issue-draft.md, issue-review.md, revise.md, mend.md, verdict-only.md, coder.md, code-reviewer.md, implement-project.md, implement-format.md, implement-tests.md, implement-code.md, implement-mend.md, implement-review.md
    built-in templates are still used by issue, implement: to change that, add prompts = "prompts/" to [workflow.NAME] in DIR/wf.toml
    "#);
        assert!(dir.path().join("house/lld-draft.md").is_file());
        assert!(!dir.path().join("prompts").exists() && fs::read_dir(&below).unwrap().next().is_none());
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("prompts"), "a file").unwrap();
        insta::assert_snapshot!(run(dir.path(), &[]).unwrap_err(), @"prompts cannot be made: File exists (os error 17)");
        assert!(!dir.path().join("wf.toml").exists());
        fs::write(dir.path().join("wf.toml"), "[workflow").unwrap();
        let error = run(dir.path(), &[]).unwrap_err();
        assert!(error.code() == 2 && error.to_string().contains("wf.toml"), "{error}");
        // A configuration that is to be new is made where it is named.
        let own = run(dir.path(), &["--config", "sub/own.toml"]).unwrap();
        assert!(
            own.contains("wrote sub/own.toml") && dir.path().join("sub/prompts/revise.md").is_file(),
            "{own}"
        );
    }
}
