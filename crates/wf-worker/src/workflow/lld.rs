//! From an issue to its low-level design.

use super::document::{Kind, NODES};
use super::graph::Workflow;
use super::work::Work;

/// The workflow `lld`.
pub static WORKFLOW: Workflow<Work> = Workflow { name: "lld", prefix: "LLD-", nodes: NODES };

/// Its words and templates.
pub static KIND: Kind = Kind {
    workflow: "lld",
    document: "low-level design",
    template: "lld-template.md",
    drafter: "drafter.md",
    reviewer: "reviewer.md",
    draft: "lld-draft.md",
    mend: "mend.md",
    review: "lld-review.md",
};
