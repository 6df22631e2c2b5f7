//! A review, in the format reviewers are asked for.

use super::Asked;
use super::findings::{self, Finding, SUGGESTION};
use crate::script::Script;

/// What a review says.
enum Says {
    Approved,
    Revise(Finding, Finding),
    Block(Finding, Finding),
    Discuss,
    VerdictAlone,
    Nothing,
    Unmarked,
    Quoted,
    Noise,
}

/// The review that the item's script asks for in this iteration.
pub fn review(asked: &Asked<'_>) -> String {
    let iteration = asked.context.iteration;
    let revise = |review| {
        let (blocking, high) = findings::of_review(&asked.context.item, review);
        Says::Revise(blocking, high)
    };
    let says = match asked.script {
        Script::Approve(reviews) if iteration >= reviews => Says::Approved,
        Script::Approve(_) | Script::Never => revise(iteration),
        Script::Stagnate => revise(1),
        Script::Discuss => Says::Discuss,
        Script::Block => {
            let (blocking, high) = findings::of_review(&asked.context.item, iteration);
            Says::Block(blocking, high)
        }
        Script::GarbageOnce if asked.earlier > 0 => Says::VerdictAlone,
        Script::Garbage | Script::GarbageOnce => Says::Nothing,
        Script::Unmarked => Says::Unmarked,
        Script::Fenced if iteration == 1 && asked.earlier == 0 => Says::Quoted,
        Script::Fenced | Script::Misfit | Script::MisfitOnce if iteration == 1 => revise(1),
        Script::Huge if asked.earlier == 0 => Says::Noise,
        Script::Huge => Says::VerdictAlone,
        Script::Fenced
        | Script::Misfit
        | Script::MisfitOnce
        | Script::Incomplete
        | Script::Red
        | Script::Hostile => Says::Approved,
    };
    document(asked, &says)
}

fn document(asked: &Asked<'_>, says: &Says) -> String {
    let title = asked.title;
    let item = |finding: &Finding| format!("- [ ] **{}:** {}", finding.title, finding.text);
    let none = || "No issues found".to_owned();
    let (summary, blocking, high, verdict) = match says {
        Says::Nothing => {
            return format!(
                "Thank you for the document about \"{title}\". It was a pleasure to read, and there is much to like about \
                 it. I would need more time to form an opinion.\n"
            );
        }
        Says::Quoted => {
            return format!(
                "The document about \"{title}\" ends with this:\n\n```\n## Verdict\n{}```\n\n> Verdict: APPROVED\n\n\
                 Its author seems to be sure of it.\n",
                boxes("APPROVED")
            );
        }
        Says::Noise => return super::noise("It goes on and on, and [ ] **APPROVED** is never marked.\n"),
        Says::Unmarked => ("The template follows.", none(), none(), boxes("")),
        Says::Approved => {
            ("The document is complete, consistent and ready to be built.", none(), none(), boxes("APPROVED"))
        }
        Says::Revise(blocking, high) => (
            "The direction is right. Two things have to change before it can be built.",
            item(blocking),
            item(high),
            boxes("REVISE"),
        ),
        Says::Block(blocking, high) => (
            "The document cannot be built as it stands.",
            item(blocking),
            item(high),
            "**Verdict: BLOCK - the blocking findings have to be resolved first**\n".to_owned(),
        ),
        Says::Discuss => (
            "Whether the old behaviour may be dropped for existing users is for a person to decide.",
            "- [ ] **Question:** May the old behaviour be dropped for existing users, or must both be kept?"
                .to_owned(),
            none(),
            boxes("DISCUSS"),
        ),
        Says::VerdictAlone => return format!("## Verdict\n{}", boxes("APPROVED")),
    };
    format!(
        "# Review: {title}\n\n\
         ## Pre-Flight Gate: PASSED\n\n\
         ## Review Summary\n\n\
         {summary}\n\n\
         ## Tier 1: BLOCKING Issues\n\n\
         {blocking}\n\n\
         ## Tier 2: HIGH PRIORITY Issues\n\n\
         {high}\n\n\
         ## Tier 3: SUGGESTIONS\n\n\
         - **{}:** {}\n\n\
         ## Verdict\n\n\
         {verdict}",
        SUGGESTION.title, SUGGESTION.text
    )
}

fn boxes(marked: &str) -> String {
    [
        ("APPROVED", "Ready for implementation"),
        ("REVISE", "Fix Tier 1/2 issues first"),
        ("DISCUSS", "Needs Orchestrator decision"),
    ]
    .map(|(word, meaning)| format!("[{}] **{word}** - {meaning}\n", if word == marked { "x" } else { " " }))
    .concat()
}
