//! `wf-supervisor completions` and `wf-supervisor man`: made from the command line's definition.

use std::io::{self, Write};

use clap_complete::Shell;
use clap_mangen::Man;

const NAME: &str = "wf-supervisor";

/// Writes the completions of a shell.
pub fn completions(shell: Shell, mut command: clap::Command, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    out.write_all(&script)
}

/// Writes the manual page: the program, and below it each verb with its options.
pub fn man(mut command: clap::Command, out: &mut dyn Write) -> io::Result<()> {
    command.build();
    Man::new(command.clone()).render(out)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let mut page = Vec::new();
        let man = Man::new(verb.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_extra_section(&mut page)?;
        writeln!(out, ".SH \"{} {}\"", NAME.to_uppercase(), verb.get_name().to_uppercase())?;
        // One page for all: the verbs' sections become sub-sections of it.
        let page = String::from_utf8_lossy(&page);
        for line in page.lines() {
            match line.strip_prefix(".SH ") {
                Some(title) => writeln!(out, ".SS {title}")?,
                None => writeln!(out, "{line}")?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_completions_that_know_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut out = Vec::new();
            completions(shell, crate::cli::command(), &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(script.contains("review-verdict") && script.contains("budget-tokens"), "{shell}");
        }
    }

    #[test]
    fn the_page_has_every_verb_and_option() {
        let mut out = Vec::new();
        man(crate::cli::command(), &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(page.lines().any(|line| line.starts_with(".TH wf-supervisor")));
        for part in [
            ".SH \"WF-SUPERVISOR RUN\"",
            ".SH \"WF-SUPERVISOR REVIEW-VERDICT\"",
            "budget\\-tokens",
            "Exit codes",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("SUPERVISOR HELP"));
    }
}
