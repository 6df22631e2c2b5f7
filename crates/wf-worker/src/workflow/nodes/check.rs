//! `N2_check`: what can be found without paying for a review.

use crate::checks;
use crate::halt::Halt;
use crate::workflow::graph::{Done, Position};
use crate::workflow::work::{Work, bounded};

/// Checks the draft against its template.
#[expect(clippy::unnecessary_wraps, reason = "the signature is the table's")]
pub fn run(work: &mut Work, _: &Position) -> Result<Done, Halt> {
    let found = bounded(checks::check(&work.state.document, work.prompts.text(work.kind.template)));
    work.state.unresolved.clone_from(&found);
    work.state.reviewed = false;
    let done = match &found[..] {
        [] => Done::pass("complete"),
        [only] => Done::findings(format!("1 finding: {only}")),
        [first, ..] => Done::findings(format!("{} findings, first: {first}", found.len())),
    };
    work.state.findings = found;
    Ok(done)
}
