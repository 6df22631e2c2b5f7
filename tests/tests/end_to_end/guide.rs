//! "Ten things people do" of docs/usage.md: each block is run as it is written, in a project of its own.

use std::os::unix::fs::PermissionsExt as _;

use wf_tests::{Finished, Project};

const HEADING: &str = "\n## Ten things people do\n";

/// The blocks with their headings, in the page's order.
fn blocks() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/usage.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let section = page.split_once(HEADING).expect("the page has the section").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut blocks = Vec::new();
    for part in section.split("\n**").skip(1) {
        let title = part.split("**").next().unwrap_or_default().to_owned();
        let code = part.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```"));
        blocks.push((title, code.unwrap_or_else(|| panic!("{part} has no block")).0.to_owned()));
    }
    blocks
}

/// What the blocks name: lists, inputs, and little programs in the place of agents.
fn project() -> Project {
    let p = Project::new();
    p.write("prompts.txt", "Fix the login\nExplain the cache\nName the tests\nSort the imports\n");
    p.write(
        "tasks.jsonl",
        "{\"instance_id\": \"astropy__astropy-12907\", \"problem_statement\": \"Fix it\"}\n\
         {\"instance_id\": \"t.2\", \"problem_statement\": \"Mend it\"}\n\
         {\"instance_id\": \"t.3\", \"problem_statement\": \"Break it\"}\n",
    );
    p.write("questions.csv", "id,language,question\nq1,French,\"Why, then?\"\nq2,Latin,Who?\n");
    p.write("prompts/a.md", "Look at a\n");
    p.write("prompts/b.md", "Look at b\n");
    p.write("src/main.rs", "fn main() {}\n");
    p.write("src/with space.rs", "\n\n");
    for id in ["42", "43"] {
        p.write(&format!("issues/{id}.md"), "# Two\n\n<!-- mock: approve@1 -->\n\nValues grow.\n");
    }
    for (name, script) in [
        ("bin/claude", "echo \"answer to: $2\""),
        ("review", "echo \"reviewed $1: $2\""),
        ("flaky", "if [ \"$1\" = t.3 ]; then echo 'no way' >&2; exit 4; fi; echo done"),
    ] {
        let path = p.write(name, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it was just written");
    }
    p
}

/// Runs a block as a person's shell would, and answers with what it printed.
#[track_caller]
fn run(p: &Project, block: &str) -> Finished {
    let environment = p.environment();
    let path = environment.iter().find(|(name, _)| name == "PATH").expect("a project has a PATH");
    let mut dirs = p.path("bin").into_os_string();
    dirs.push(":");
    dirs.push(&path.1);
    p.supervisor("").via(["sh", "-ec", block, "sh"]).env("PATH", dirs).run()
}

/// What each block must have printed, so that a block that does nothing is found.
const PRINTS: [&[&str]; 10] = [
    &["answer to: Fix the login", "answer to: Explain the cache\n"],
    &["answer to: Name the tests", "answer to: Sort the imports"],
    &["run     ", "[astropy__astropy-12907] answer to: Fix it"],
    &["[q1] answer to: Answer in French: Why, then?", "[q2] answer to: Answer in Latin: Who?"],
    &["[a] reviewed a: Look at a", "[b] reviewed b: Look at b"],
    &["1 src/main.rs", "2 src/with space.rs"],
    &["issues/42.md -> ", "approved"],
    &["Exitval"],
    &["nightly"],
    &["t.3", "no way", "exit code 1"],
];

#[test]
fn each_of_the_ten_things_is_done_as_it_is_written() {
    let blocks = blocks();
    assert_eq!(blocks.len(), PRINTS.len());
    for ((title, block), prints) in blocks.iter().zip(PRINTS) {
        let p = project();
        let finished = run(&p, block);
        assert_eq!(finished.exit_code(), Some(0), "{title}\n{finished}");
        for words in prints {
            assert!(finished.out().contains(words), "{title}: {words:?} is not in\n{finished}");
        }
    }
}

#[test]
fn the_demo_needs_nothing_and_goes_on_where_it_was() {
    let p = Project::new();
    let first = p.run("demo");
    first.code(0).says("10 items: 10 approved").says("wf-demo/.wf/mock/docs/lld");
    assert_eq!(std::fs::read_dir(p.path("wf-demo/.wf/mock/docs/lld")).unwrap().count(), 10);
    p.run("demo").code(0).never_says("N1_draft");
    p.write("mine/file", "");
    p.run("demo --dir mine").code(2).says("has something else in it");
}
