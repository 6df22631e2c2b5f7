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
    if shell == Shell::Bash {
        return out.write_all(agreeing(&String::from_utf8_lossy(&script)).as_bytes());
    }
    out.write_all(&script)
}

/// A bash script whose functions are found. The generator takes the hyphen of the program's name for a step down to a verb
/// where it writes a verb's label, and not where it looks for one (clap-rs/clap issues 6386, 6421 and 6529): with a name
/// like ours no verb's options would ever be completed. Where both agree, nothing is changed.
fn agreeing(script: &str) -> String {
    script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__"))
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

    /// What bash offers for the last of these words, with the script sourced as a user's shell does it.
    fn offered(words: &[&str]) -> String {
        let mut script = Vec::new();
        completions(Shell::Bash, crate::cli::command(), &mut script).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("completions.bash");
        std::fs::write(&file, script).unwrap();
        let ask = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); \
                   _wf__supervisor \"$1\" \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[*]}\"";
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", ask, "bash"]).arg(&file).arg(NAME).args(words);
        let asked = bash.output().expect("bash is installed");
        assert!(asked.stderr.is_empty(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn bash_offers_the_options_and_values_of_every_verb() {
        assert_eq!(offered(&["run", "--pa"]), "--parallel --pass-env");
        assert_eq!(offered(&["run", "-w", ""]), "issue lld implement");
        assert_eq!(offered(&["run", "--output", "g"]), "grouped");
        for verb in crate::cli::command().get_subcommands().filter(|verb| verb.get_name() != "help") {
            let offered = offered(&[verb.get_name(), "--state"]);
            assert_eq!(offered, "--state-dir", "{}", verb.get_name());
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
