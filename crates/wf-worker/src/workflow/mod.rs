//! The built-in workflows: tables ([`graph`]) over the nodes they share.

mod code;
mod document;
pub mod graph;
mod implement;
mod issue;
mod lld;
mod nodes;
pub mod work;

pub use document::Kind;
pub use graph::{Ending, Next, Position, Workflow};
use work::{State, Work};

/// A built-in workflow: its table, and what is particular to it.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// The table.
    pub workflow: &'static Workflow<Work>,
    /// Words and templates.
    pub kind: &'static Kind,
    /// The node that makes sure, without a call, that an approved item's output is in its place.
    pub places: &'static str,
    /// The node at which `--redo` takes up an item that needed a person.
    pub redone_at: fn(&State) -> &'static str,
    /// The most calls before the loop of iterations, and in one iteration, each answer of a usable form.
    calls: (u32, u32),
}

/// All of them, in the order of a project's life.
pub const BUILTINS: [Builtin; 3] = [
    of_document(&issue::WORKFLOW, &issue::KIND),
    of_document(&lld::WORKFLOW, &lld::KIND),
    Builtin {
        workflow: &implement::WORKFLOW,
        kind: &implement::KIND,
        places: implement::COMMIT,
        redone_at: |state| if state.code.is_red() { implement::WRITE_CODE } else { implement::WRITE_TESTS },
        // Tests and their rounds; then code and a review.
        calls: (implement::TEST_ROUNDS + 1, 2),
    },
];

const fn of_document(workflow: &'static Workflow<Work>, kind: &'static Kind) -> Builtin {
    Builtin {
        workflow,
        kind,
        places: document::FINALIZE,
        redone_at: |_| document::REDRAFT,
        // A draft, its rounds with the check, and a review.
        calls: (0, document::CHECK_ROUNDS + 2),
    }
}

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

    /// The most calls an item can take, each round used and every answer of a usable form.
    pub fn most_calls(&self, max_iterations: u32) -> u32 {
        let (once, each) = self.calls;
        max_iterations.max(1).saturating_mul(each).saturating_add(once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sound() {
        for builtin in BUILTINS {
            assert_eq!(builtin.workflow.problems(), Vec::<String>::new(), "{}", builtin.workflow.name);
            assert_eq!(builtin.workflow.name, builtin.kind.workflow);
            for node in [builtin.places, (builtin.redone_at)(&State::default())] {
                assert!(builtin.nodes().contains(&node), "{node}");
            }
        }
        assert_eq!(BUILTINS[1].nodes(), ["N0_load", "N1_draft", "N2_check", "N3_review", "N4_finalize"]);
        assert_eq!(
            BUILTINS[2].nodes(),
            ["N0_load", "N1_worktree", "N2_tests", "N3_red", "N4_code", "N5_green", "N6_review", "N7_commit"]
        );
        assert_eq!(BUILTINS.map(|b| b.most_calls(5)), [20, 20, 13]);
    }

    #[test]
    fn an_unknown_workflow_names_those_there_are() {
        let Err(why) = find("deploy") else { panic!() };
        assert_eq!(why, "workflow \"deploy\" is not built into this worker (it has issue, lld, implement)");
    }
}
