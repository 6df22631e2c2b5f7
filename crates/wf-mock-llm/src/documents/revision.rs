//! Later drafts: the previous one with the last review's findings taken up.

use super::{Asked, findings, tagged};
use crate::script::Script;

/// How our drafts end, so that one can be cut out of a prompt again: designs, issues.
pub const LAST_LINES: [&str; 2] = [
    "Every requirement above is named by at least one scenario.",
    "Whatever is not named above is not part of this issue.",
];

const REVISION: &str = "**Revision:** ";

/// The line that counts the drafts.
pub fn line(revision: u32) -> String {
    format!("{REVISION}{revision}")
}

/// A replacement of one line by several.
struct Edit {
    search: String,
    replace: String,
}

/// The next draft, if the prompt holds a draft of ours: as edit blocks in even iterations where the prompt asks for such,
/// else as a whole document, so that both forms are met.
pub fn revise(asked: &Asked<'_>) -> Option<String> {
    let document = tagged(asked.prompt, "<document>", "</document>").unwrap_or(asked.prompt);
    let previous = previous(document)?;
    let edits = edits(asked, previous)?;
    let blocks_wanted = asked.prompt.contains("<<<<<<< SEARCH") || asked.prompt.contains(">>>>>>> REPLACE");
    if asked.script == Script::Misfit || (asked.script == Script::MisfitOnce && asked.earlier == 0) {
        let nowhere = "This line stands nowhere in the document.";
        return Some(format!("<<<<<<< SEARCH\n{nowhere}\n=======\nNeither does this.\n>>>>>>> REPLACE\n"));
    }
    // A second reply in the same iteration means that the first one would not do.
    if blocks_wanted && asked.context.iteration.is_multiple_of(2) && asked.earlier == 0 {
        let blocks = edits
            .iter()
            .map(|e| format!("<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE\n", e.search, e.replace));
        return Some(blocks.collect::<Vec<_>>().join("\n"));
    }
    let mut text = previous.to_owned();
    for edit in edits {
        text = text.replacen(&edit.search, &edit.replace, 1);
    }
    Some(text + "\n")
}

/// Cuts our last draft out of a prompt, from its title to its last line.
fn previous(prompt: &str) -> Option<&str> {
    let revision = prompt.rfind(&format!("\n{REVISION}"))?;
    let start = prompt[..revision]
        .rfind("\n# ")
        .map(|at| at + 1)
        .or_else(|| prompt.starts_with("# ").then_some(0))?;
    let rest = &prompt[start..];
    let end = LAST_LINES.iter().filter_map(|last| Some(rest.find(last)? + last.len())).min()?;
    Some(&rest[..end])
}

fn edits(asked: &Asked<'_>, previous: &str) -> Option<Vec<Edit>> {
    let iteration = asked.context.iteration;
    let counted = previous.lines().find(|line| line.starts_with(REVISION))?;
    let review = iteration.saturating_sub(1);
    let (blocking, high) = findings::of_review(&asked.context.item, review);
    let (first, second) = match asked.context.workflow.as_str() {
        "issue" => ("## Acceptance Criteria", "## Definition of Done"),
        _ => ("## Security & Safety", "## Proposed Changes"),
    };
    let mut edits = vec![Edit { search: counted.to_owned(), replace: line(iteration) }];
    for (heading, finding) in [(first, blocking), (second, high)] {
        // An edit must match one place only.
        if previous.lines().filter(|line| *line == heading).count() != 1
            || previous.matches(heading).count() != 1
        {
            return None;
        }
        let taken_up = format!("**{} (review {review}):** {}", finding.title, finding.resolution);
        edits.push(Edit { search: heading.to_owned(), replace: format!("{heading}\n\n{taken_up}") });
    }
    Some(edits)
}
