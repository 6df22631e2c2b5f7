//! The workflow of every document: draft, check, review, revise until approved.

use super::graph::{Counter, Edge, Ending, Exit, Node, Past};
use super::nodes::{check, draft, finalize, load, review};
use super::work::Work;

/// What differs between workflows beside their tables: words and templates.
pub struct Kind {
    /// The workflow's name.
    pub workflow: &'static str,
    /// What the document is called in prompts.
    pub document: &'static str,
    /// The document's template; empty where there is none.
    pub template: &'static str,
    /// What the drafter is told in every call.
    pub drafter: &'static str,
    /// What the reviewer is told in every call.
    pub reviewer: &'static str,
    /// The prompt for the first draft.
    pub draft: &'static str,
    /// The prompt for an answer that could not be used.
    pub mend: &'static str,
    /// The prompt for reviews.
    pub review: &'static str,
}

/// Rounds between draft and check within one iteration: what the check misreads must not hold a document up for ever.
pub const CHECK_ROUNDS: u32 = 2;

/// The nodes, and where each leads.
pub const NODES: &[Node<Work>] = &[
    Node { name: "N0_load", run: load::run, exits: &[(Exit::Pass, Edge::To(REDRAFT))] },
    Node { name: REDRAFT, run: draft::run, exits: &[(Exit::Pass, Edge::To("N2_check"))] },
    Node {
        name: "N2_check",
        run: check::run,
        exits: &[
            (Exit::Pass, Edge::To("N3_review")),
            (
                Exit::Findings,
                Edge::Again {
                    to: REDRAFT,
                    counts: Counter::Round(CHECK_ROUNDS),
                    past: Past::To("N3_review"),
                },
            ),
        ],
    },
    Node {
        name: "N3_review",
        run: review::run,
        exits: &[
            (Exit::Pass, Edge::To(FINALIZE)),
            (
                Exit::Findings,
                Edge::Again {
                    to: REDRAFT,
                    counts: Counter::Iteration,
                    past: Past::End(Ending::NeedsRevision),
                },
            ),
            (Exit::Undecided, Edge::End(Ending::NeedsRevision)),
        ],
    },
    Node { name: FINALIZE, run: finalize::run, exits: &[(Exit::Pass, Edge::End(Ending::Approved))] },
];

/// Where findings are resolved, in the loop as after `--redo`.
pub const REDRAFT: &str = "N1_draft";

/// Where an approved document is put in its place.
pub const FINALIZE: &str = "N4_finalize";
