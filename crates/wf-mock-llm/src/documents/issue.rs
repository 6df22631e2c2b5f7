//! The first draft of an issue.

use std::fmt::Write as _;

use super::{Asked, points, revision};

/// A complete issue, or one without its definition of done.
pub fn draft(asked: &Asked<'_>, is_complete: bool) -> String {
    let title = asked.title;
    let mut criteria = points(asked.prompt);
    if criteria.is_empty() {
        criteria.push(format!("What \"{title}\" describes can be done with one command"));
    }
    criteria.push("A failure is reported in one sentence that names the file and what to do".to_owned());
    criteria.push("Existing command lines give the same output as before".to_owned());
    let mut out = format!(
        "# {title}\n\n\
         {}\n\n\
         ## User Story\n\n\
         As somebody who uses the program every day, I want \"{title}\" to be taken care of, so that I can rely on the \
         result without looking after it.\n\n\
         ## Acceptance Criteria\n\n",
        revision::line(1)
    );
    for criterion in &criteria {
        let _ = writeln!(out, "- [ ] {criterion}.");
    }
    if is_complete {
        let _ = write!(
            out,
            "\n## Definition of Done\n\n\
             - [ ] Every criterion above is covered by an automated test\n\
             - [ ] The user documentation says what has changed\n\
             - [ ] The change log names the issue\n\n\
             {}\n",
            revision::LAST_LINES[1]
        );
    }
    out
}
