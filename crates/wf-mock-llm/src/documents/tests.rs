//! The embedded documents satisfy what the workflows ask of them.

use super::*;

#[test]
fn titles_lose_their_labels() {
    for (prompt, want) in [
        ("intro\n# Retry uploads\n# Other", Some("Retry uploads")),
        ("# LLD-42: Retry uploads", Some("Retry uploads")),
        ("# Retry: uploads", Some("Retry: uploads")),
        ("## Second level", None),
        ("# ", None),
        (
            "<template>\n# LLD: <title>\n</template>\n<input id=\"42\">\n# Retry\n</input>\nAnswer.",
            Some("Retry"),
        ),
        ("<document>\n# LLD-42: Old\n</document>\n<input id=\"42\">\n# New\n</input>", Some("New")),
        ("<input>\nno heading\n</input>\n# Elsewhere", None),
    ] {
        assert_eq!(title(prompt).as_deref(), want, "{prompt}");
    }
}

#[test]
fn points_are_list_items_after_the_title() {
    let prompt = "- an instruction of the prompt\n# Title\n- [ ] Uploads are retried three times.\n- short\n\
                  ```\n- an example inside a fence\n```\n* The log names every attempt\n- fill in <this one> please\n\
                  - TODO: ask the team about it\n";
    assert_eq!(points(prompt), ["Uploads are retried three times", "The log names every attempt"]);
}

const TEMPLATE: &str =
    "<template>\n# LLD: <title>\n\n## Requirements\n<!-- A numbered list. -->\n</template>";
const INPUT: &str = "<input id=\"42\">\n# Retry failed uploads\n\nUploads fail at night.\n\n- [ ] A failed upload is \
                     retried three times\n- The log names every attempt and its reason\n</input>";
const BLOCKS: &str = "<<<<<<< SEARCH\nlines\n=======\nother lines\n>>>>>>> REPLACE";

struct Item {
    workflow: &'static str,
    script: Script,
}

impl Item {
    fn asked<T>(
        &self,
        node: &str,
        iteration: u32,
        earlier: u32,
        prompt: &str,
        ask: fn(&Asked<'_>) -> T,
    ) -> T {
        let context =
            Context { workflow: self.workflow.into(), node: node.into(), iteration, item: "42".into() };
        let title = title(prompt).unwrap_or_default();
        ask(&Asked { context: &context, title: &title, prompt, script: self.script, earlier })
    }

    fn draft(&self, iteration: u32, earlier: u32, prompt: &str) -> String {
        self.asked("N1_draft", iteration, earlier, prompt, draft)
    }

    fn review(&self, iteration: u32, earlier: u32) -> String {
        self.asked("N3_review", iteration, earlier, INPUT, review)
    }
}

fn item(workflow: &'static str, script: Script) -> Item {
    Item { workflow, script }
}

fn first_draft(workflow: &'static str) -> String {
    item(workflow, Script::Never).draft(1, 0, &format!("{TEMPLATE}\n{INPUT}"))
}

fn revise_prompt(current: &str) -> String {
    format!(
        "Revise it.\n<document>\n{current}\n</document>\n{INPUT}\nAnswer with blocks:\n{BLOCKS}\nor all of it."
    )
}

/// Carries out search and replace blocks as a worker does.
fn apply(document: &str, answer: &str) -> String {
    let mut out = document.to_owned();
    for block in answer.split("<<<<<<< SEARCH\n").skip(1) {
        let (search, rest) = block.split_once("\n=======\n").unwrap();
        let (replace, _) = rest.split_once("\n>>>>>>> REPLACE").unwrap();
        assert_eq!(out.matches(search).count(), 1, "{search:?} is to match once");
        out = out.replace(search, replace);
    }
    out
}

fn headings(document: &str) -> Vec<&str> {
    document.lines().filter_map(|line| line.strip_prefix("## ")).collect()
}

#[test]
fn a_design_has_all_sections_and_a_scenario_for_every_requirement() {
    let draft = first_draft("lld");
    assert!(draft.starts_with("# LLD-42: Retry failed uploads\n"), "{draft}");
    assert_eq!(
        headings(&draft),
        ["Context & Goal", "Proposed Changes", "Requirements", "Security & Safety", "Verification & Testing"]
    );
    assert!(draft.contains("1. **REQ-1:** A failed upload is retried three times."), "{draft}");
    let (before, tests) = draft.split_once("## Verification").unwrap();
    let requirements = (1..100).take_while(|n| before.contains(&format!("\n{n}. **REQ-{n}:** "))).count();
    assert!(requirements >= 4);
    for n in 1..=requirements {
        assert!(tests.contains(&format!("| REQ-{n} |")), "no scenario for {n}");
    }
    let leftover = ["<", ">", "{", "}", "[", "TODO", "TBD"].into_iter().find(|sign| draft.contains(sign));
    assert_eq!(leftover, None, "{draft}");
}

#[test]
fn an_issue_has_all_sections() {
    let draft = first_draft("issue");
    assert_eq!(headings(&draft), ["User Story", "Acceptance Criteria", "Definition of Done"]);
    assert!(
        draft.starts_with("# Retry failed uploads\n") && draft.contains("- [ ] The log names every attempt")
    );
}

#[test]
fn an_incomplete_draft_is_completed_when_asked_again() {
    for (workflow, section) in [("lld", "## Verification & Testing"), ("issue", "## Definition of Done")] {
        let item = item(workflow, Script::Incomplete);
        let first = item.draft(1, 0, INPUT);
        assert!(!first.contains(section));
        assert!(item.draft(1, 1, &revise_prompt(&first)).contains(section));
    }
}

#[test]
fn revisions_take_up_the_findings_as_blocks_and_as_whole_documents() {
    for workflow in ["lld", "issue"] {
        let item = item(workflow, Script::Never);
        let mut current = first_draft(workflow);
        for iteration in 2..=6 {
            let prompt = revise_prompt(current.trim_end());
            let answer = item.draft(iteration, 0, &prompt);
            let is_blocks = answer.starts_with("<<<<<<< SEARCH");
            assert_eq!(is_blocks, iteration % 2 == 0, "{answer}");
            let next = if is_blocks { apply(&current, &answer) } else { answer };
            let (blocking, high) = findings::of_review("42", iteration - 1);
            for finding in [blocking, high] {
                assert!(next.contains(finding.resolution), "{} is missing in {next}", finding.title);
            }
            assert_ne!(next, current);
            assert_eq!(headings(&next), headings(&current), "{next}");
            assert!(next.contains(&format!("\n**Revision:** {iteration}\n")));
            assert_eq!(next.trim_end().lines().last(), current.trim_end().lines().last());
            // Whoever asks again gets the whole document, which is the same.
            let whole = item.draft(iteration, 1, &prompt);
            assert_eq!(whole.trim_end(), next.trim_end());
            current = next;
        }
    }
}

#[test]
fn a_draft_that_is_not_ours_is_written_anew() {
    let prompt = revise_prompt("# Somebody's\n\n**Revision:** 7\n\ntext");
    assert!(item("lld", Script::Never).draft(2, 0, &prompt).contains("## Verification & Testing"));
}

#[test]
fn reviews_follow_the_script() {
    for (script, iteration, earlier, marked, has_blocking) in [
        (Script::Approve(1), 1, 0, "[x] **APPROVED**", false),
        (Script::Approve(2), 1, 0, "[x] **REVISE**", true),
        (Script::Approve(2), 2, 0, "[x] **APPROVED**", false),
        (Script::Approve(2), 3, 0, "[x] **APPROVED**", false),
        (Script::Never, 9, 0, "[x] **REVISE**", true),
        (Script::Stagnate, 3, 0, "[x] **REVISE**", true),
        (Script::Discuss, 1, 0, "[x] **DISCUSS**", true),
        (Script::Block, 1, 0, "**Verdict: BLOCK", true),
        (Script::GarbageOnce, 1, 1, "[x] **APPROVED**", false),
        (Script::Incomplete, 1, 0, "[x] **APPROVED**", false),
    ] {
        let text = item("lld", script).review(iteration, earlier);
        assert!(text.contains(marked), "{script:?}: {text}");
        assert_eq!(text.matches("[x]").count(), usize::from(script != Script::Block), "{text}");
        assert_eq!(text.contains("- [ ] **"), has_blocking, "{script:?}: {text}");
    }
    for (script, earlier) in [(Script::Garbage, 0), (Script::Garbage, 5), (Script::GarbageOnce, 0)] {
        let text = item("lld", script).review(1, earlier);
        assert!(!text.to_lowercase().contains("verdict") && !text.contains("[x]"), "{text}");
    }
    let stagnant = item("lld", Script::Stagnate);
    assert_eq!(stagnant.review(2, 0), stagnant.review(3, 0));
}
