//! The first draft of a low-level design.

use std::fmt::Write as _;

use super::{Asked, points, revision};

/// A complete design, or one without its verification section.
pub fn draft(asked: &Asked<'_>, is_complete: bool) -> String {
    let (item, title) = (&asked.context.item, asked.title);
    let label = if item.starts_with("LLD-") { item.clone() } else { format!("LLD-{item}") };
    let requirements = requirements(asked);
    let mut out = format!(
        "# {label}: {title}\n\n\
         {}\n\n\
         ## Context & Goal\n\n\
         The issue \"{title}\" describes a gap between what the program promises and what its users see. This design \
         closes it with the smallest change that keeps existing behaviour, and says how the result is proved.\n\n\
         In scope is what the requirements below name. Out of scope are changes to the storage format and to the \
         command line beyond the options named here.\n\n\
         ## Proposed Changes\n\n\
         | file | change |\n\
         |---|---|\n\
         | `src/plan.rs` | decides what is to be done; pure, takes the time as an argument |\n\
         | `src/apply.rs` | carries the plan out; the only place that touches files and network |\n\
         | `src/report.rs` | tells the user what happened, one line per step |\n\
         | `tests/end_to_end.rs` | drives the built program |\n\n\
         The decision and its execution are separate so that every case can be tested without a file system. \
         `plan()` takes the current state and the request, and returns a list of steps; `apply()` performs them in \
         order and stops at the first that fails, which leaves the state as the completed steps made it.\n\n",
        revision::line(1),
    );
    out.push_str("## Requirements\n\n");
    for (n, requirement) in (1..).zip(&requirements) {
        let _ = writeln!(out, "{n}. **REQ-{n}:** {requirement}.");
    }
    out.push_str(
        "\n## Security & Safety\n\n\
         - Input is checked where it enters; what is refused is named in the message, shortened to a line.\n\
         - Secrets come from the environment and are never written to a log, an error or a file.\n\
         - A step that cannot be undone asks first, and does nothing when there is nobody to answer.\n\n",
    );
    if is_complete {
        out.push_str(
            "## Verification & Testing\n\n| ID | Scenario | Expected | Requirement |\n|---|---|---|---|\n",
        );
        for (n, requirement) in (1..).zip(&requirements) {
            let expected = requirement.replace('|', "/");
            let _ = writeln!(
                out,
                "| T{n} | the situation is set up in a temporary directory and the program acts once | {expected} | REQ-{n} |"
            );
        }
        let _ = write!(
            out,
            "\nThe scenarios run in continuous integration on every change; none of them needs a network.\n\n{}\n",
            revision::LAST_LINES[0]
        );
    }
    out
}

fn requirements(asked: &Asked<'_>) -> Vec<String> {
    let mut all = points(asked.prompt);
    if all.is_empty() {
        all.push(format!(
            "The program does what \"{}\" asks for, without a new mandatory option",
            asked.title
        ));
        all.push("Existing command lines give the same output as before".to_owned());
    }
    all.push(
        "A failure leaves the files as they were and is reported in one sentence that says what to do"
            .to_owned(),
    );
    all.push(
        "The change adds less than a tenth to the running time of the test suite's largest case".to_owned(),
    );
    all
}
