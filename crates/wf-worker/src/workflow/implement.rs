//! From an approved design to code on a branch: tests first and seen failing, then code until they pass, then a review.

use super::document::Kind;
use super::graph::{Counter, Edge, Ending, Exit, Node, Past, Workflow};
use super::nodes::{commit, green, load, red, review, worktree, write_code, write_tests};
use super::work::Work;

/// The workflow `implement`.
pub static WORKFLOW: Workflow<Work> = Workflow { name: "implement", prefix: "IMPL-", nodes: NODES };

/// Its words and templates.
pub static KIND: Kind = Kind {
    workflow: "implement",
    document: "code change",
    template: "",
    drafter: "coder.md",
    reviewer: "code-reviewer.md",
    draft: "implement-code.md",
    mend: "implement-mend.md",
    review: "implement-review.md",
};

/// How often tests that pass before there is any code are written anew.
pub const TEST_ROUNDS: u32 = 2;

const NODES: &[Node<Work>] = &[
    Node { name: "N0_load", run: load::design, exits: &[(Exit::Pass, Edge::To("N1_worktree"))] },
    Node { name: "N1_worktree", run: worktree::run, exits: &[(Exit::Pass, Edge::To(WRITE_TESTS))] },
    Node { name: WRITE_TESTS, run: write_tests::run, exits: &[(Exit::Pass, Edge::To("N3_red"))] },
    Node {
        name: "N3_red",
        run: red::run,
        exits: &[
            (Exit::Pass, Edge::To(WRITE_CODE)),
            (
                Exit::Findings,
                Edge::Again {
                    to: WRITE_TESTS,
                    counts: Counter::Round(TEST_ROUNDS),
                    past: Past::End(Ending::NeedsRevision),
                },
            ),
        ],
    },
    Node { name: WRITE_CODE, run: write_code::run, exits: &[(Exit::Pass, Edge::To("N5_green"))] },
    Node {
        name: "N5_green",
        run: green::run,
        exits: &[(Exit::Pass, Edge::To("N6_review")), AGAIN, UNDECIDED],
    },
    Node { name: "N6_review", run: review::diff, exits: &[(Exit::Pass, Edge::To(COMMIT)), AGAIN, UNDECIDED] },
    Node { name: COMMIT, run: commit::run, exits: &[(Exit::Pass, Edge::End(Ending::Approved))] },
];

/// Failing tests and findings of a review go back to the same node and share one bound: an iteration is a round of code.
const AGAIN: (Exit, Edge) = (
    Exit::Findings,
    Edge::Again { to: WRITE_CODE, counts: Counter::Iteration, past: Past::End(Ending::NeedsRevision) },
);

const UNDECIDED: (Exit, Edge) = (Exit::Undecided, Edge::End(Ending::NeedsRevision));

/// Where tests that prove nothing are written anew.
pub const WRITE_TESTS: &str = "N2_tests";

/// Where findings are resolved.
pub const WRITE_CODE: &str = "N4_code";

/// Where approved code is committed.
pub const COMMIT: &str = "N7_commit";
