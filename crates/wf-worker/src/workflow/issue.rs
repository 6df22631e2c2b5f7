//! From a brief to an issue.

use super::document::{Kind, NODES};
use super::graph::Workflow;
use super::work::Work;

/// The workflow `issue`.
pub static WORKFLOW: Workflow<Work> = Workflow { name: "issue", prefix: "ISSUE-", nodes: NODES };

/// Its words and templates.
pub static KIND: Kind = Kind {
    workflow: "issue",
    document: "issue",
    template: "issue-template.md",
    drafter: "drafter.md",
    reviewer: "reviewer.md",
    draft: "issue-draft.md",
    mend: "mend.md",
    review: "issue-review.md",
};
