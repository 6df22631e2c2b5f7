//! The built-in workflows: tables ([`graph`]) over the nodes they share.

mod document;
pub mod graph;
mod issue;
mod lld;
mod nodes;
pub mod work;

pub use document::{CHECK_ROUNDS, FINALIZE, Kind, REDRAFT};
pub use graph::{Ending, Next, Position, Workflow};
use work::Work;

/// A built-in workflow: its table, and what is particular to it.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// The table.
    pub workflow: &'static Workflow<Work>,
    /// Words and templates.
    pub kind: &'static Kind,
}

/// All of them, in the order of a project's life.
pub const BUILTINS: [Builtin; 2] = [
    Builtin { workflow: &issue::WORKFLOW, kind: &issue::KIND },
    Builtin { workflow: &lld::WORKFLOW, kind: &lld::KIND },
];

/// The workflow of this name. The error is a sentence that names those there are.
pub fn find(name: &str) -> Result<Builtin, String> {
    BUILTINS.into_iter().find(|b| b.workflow.name == name).ok_or_else(|| {
        let known: Vec<&str> = BUILTINS.iter().map(|b| b.workflow.name).collect();
        format!("workflow {name:?} is not built into this worker (it has {})", known.join(", "))
    })
}

impl Builtin {
    /// The nodes' names, in order.
    pub fn nodes(&self) -> Vec<&'static str> {
        self.workflow.nodes.iter().map(|n| n.name).collect()
    }

    /// The most calls an item can take, each round of the check used and every answer of a usable form.
    pub fn most_calls(&self, max_iterations: u32) -> u32 {
        max_iterations.max(1).saturating_mul(CHECK_ROUNDS + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sound() {
        for builtin in BUILTINS {
            assert_eq!(builtin.workflow.problems(), Vec::<String>::new(), "{}", builtin.workflow.name);
            assert_eq!(builtin.nodes(), ["N0_load", "N1_draft", "N2_check", "N3_review", "N4_finalize"]);
            assert_eq!(builtin.workflow.name, builtin.kind.workflow);
            assert!(builtin.nodes().contains(&REDRAFT));
        }
        assert_eq!(BUILTINS[0].most_calls(5), 20);
    }

    #[test]
    fn an_unknown_workflow_names_those_there_are() {
        let Err(why) = find("implement") else { panic!() };
        assert_eq!(why, "workflow \"implement\" is not built into this worker (it has issue, lld)");
    }
}
