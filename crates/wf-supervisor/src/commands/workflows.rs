//! `wf-supervisor workflows`: the built-in workflows as this project has them.

use std::io::{self, Write};

use wf_providers::MODELS_AS_OF;
use wf_worker::prompts::EMBEDDED;

use crate::cli::value::WorkflowName;
use crate::config::{Configuration, Environ, InputSource, RoleSettings, WorkflowSettings};
use crate::items::placeholders::shown;
use crate::plan::built_in;

/// Writes nodes, input, output and models of every workflow. Where the models cannot be chosen the reason stands in
/// their place.
pub fn workflows(config: &Configuration, environ: &dyn Environ, out: &mut dyn Write) -> io::Result<()> {
    for name in WorkflowName::ALL {
        writeln!(out, "{name} ({}): {}", name.prefix(), purpose(name))?;
        writeln!(out, "  nodes     {}", built_in(name).nodes().join(" -> "))?;
        match config.workflow(name, environ, false) {
            Ok((workflow, warnings)) => {
                describe(&workflow, config, out)?;
                for warning in warnings {
                    writeln!(out, "  note      {warning}")?;
                }
            }
            Err(why) => writeln!(out, "  models    {why}")?,
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "Models without configuration as of {MODELS_AS_OF}; [workflow.NAME] in wf.toml changes them."
    )
}

fn describe(workflow: &WorkflowSettings, config: &Configuration, out: &mut dyn Write) -> io::Result<()> {
    let input = match &workflow.input {
        InputSource::File(pattern) => pattern.as_str().to_owned(),
        InputSource::Command(command) => {
            format!("output of {}", shown(&command.iter().map(Into::into).collect::<Vec<_>>()))
        }
    };
    let kind = if workflow.name == WorkflowName::Implement { "branch " } else { "" };
    let role = |role: &RoleSettings| format!("{} {}", role.provider.name, role.model);
    writeln!(out, "  input     {input}")?;
    writeln!(out, "  output    {kind}{}", workflow.output.as_str())?;
    writeln!(out, "  drafter   {}", role(&workflow.drafter))?;
    writeln!(out, "  reviewer  {}", role(&workflow.reviewer))?;
    writeln!(out, "  rounds    at most {}", workflow.max_iterations)?;
    if workflow.name == WorkflowName::Implement {
        let tests =
            workflow.test_command.as_ref().map(|words| words.iter().map(Into::into).collect::<Vec<_>>());
        let tests = tests.map_or_else(|| "none: test_command is needed".to_owned(), |words| shown(&words));
        writeln!(out, "  tests     {tests}")?;
    }
    let Some(dir) = &workflow.prompts_dir else { return Ok(()) };
    let own = EMBEDDED.iter().filter(|(name, _)| dir.join(name).exists()).count();
    writeln!(out, "  prompts   {} ({own} of {} templates)", config.project.shown(dir), EMBEDDED.len())
}

fn purpose(name: WorkflowName) -> &'static str {
    match name {
        WorkflowName::Issue => "a brief becomes an issue",
        WorkflowName::Lld => "an issue becomes a low-level design",
        WorkflowName::Implement => "a design becomes code on a branch of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environ::FixedEnviron;
    use crate::config::tests::configuration;

    #[test]
    fn every_name_is_a_workflow_of_the_worker() {
        for name in WorkflowName::ALL {
            assert_eq!(built_in(name).workflow.prefix, name.prefix());
        }
    }

    #[test]
    fn as_the_project_has_them() {
        let text = "[workflow.lld]\ninput = { command = [\"gh\", \"issue\", \"view\", \"{id}\"] }\n\
                    drafter = { provider = \"openai\", model = \"a\" }\nreviewer = { provider = \"gemini\", model = \"b\" }\n\
                    [workflow.issue]\ndrafter = { provider = \"grok\" }\n\
                    [workflow.implement]\ndrafter = { provider = \"openai\", model = \"a\" }\n\
                    reviewer = { provider = \"openai\", model = \"a\" }";
        let environ = FixedEnviron::of(&[("GEMINI_API_KEY", "gemini-secret")]);
        let mut out = Vec::new();
        workflows(&configuration(text, &environ).unwrap(), &environ, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap().replace(MODELS_AS_OF, "DATE");
        // Which nodes a workflow has is its own table's affair.
        let of_lld = "N0_load -> N1_draft -> N2_check -> N3_review -> N4_finalize";
        assert!(
            text.contains(&format!(
                "lld (LLD-): an issue becomes a low-level design\n  nodes     {of_lld}\n"
            ))
        );
        let line = |line: &str| {
            if line.starts_with("  nodes     ") { "  nodes     NODES" } else { line }.to_owned() + "\n"
        };
        let text: String = text.lines().map(line).collect();
        insta::assert_snapshot!(text, @r#"
    issue (ISSUE-): a brief becomes an issue
      nodes     NODES
      models    the drafter of [workflow.issue] names the provider "grok", which is neither built in nor in wf.toml

    lld (LLD-): an issue becomes a low-level design
      nodes     NODES
      input     output of gh issue view {id}
      output    docs/lld/LLD-{id}.md
      drafter   openai a
      reviewer  gemini b
      rounds    at most 5

    implement (IMPL-): a design becomes code on a branch of its own
      nodes     NODES
      input     docs/lld/LLD-{id}.md
      output    branch wf/impl-{id}
      drafter   openai a
      reviewer  openai a
      rounds    at most 5
      tests     none: test_command is needed
      note      a reviews its own drafts in workflow implement

    Models without configuration as of DATE; [workflow.NAME] in wf.toml changes them.
    "#);
    }
}
