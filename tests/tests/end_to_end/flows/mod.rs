//! The built-in workflows, each through the same trials: what a trial needs to know of a workflow is a row of a table.

mod kills;
mod outcomes;
mod resume;
mod roles;
mod story;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use wf_tests::mock::MockProvider;
use wf_tests::{Project, files_below};

/// A workflow, as the trials need it.
struct Flow {
    /// Its name on the command line.
    name: &'static str,
    /// What precedes an id in labels.
    prefix: &'static str,
    /// The nodes that an item passes which is approved by its second review, each with the calls made by its end.
    way: &'static [(&'static str, u32)],
    /// Where its inputs are; `{id}` is the item.
    input: &'static str,
    /// Where its results are. A trial compares all that is below.
    results: &'static str,
    /// The result of an item, with the ending that a draft for a person has in place of `.md`.
    output: &'static str,
}

const WAY_OF_DOCUMENTS: &[(&str, u32)] = &[
    ("N0_load", 0),
    ("N1_draft", 1),
    ("N2_check", 1),
    ("N3_review", 2),
    ("N1_draft", 3),
    ("N2_check", 3),
    ("N3_review", 4),
    ("N4_finalize", 4),
];

/// Every workflow that goes through the trials.
const FLOWS: &[Flow] = &[
    Flow {
        name: "issue",
        prefix: "ISSUE-",
        way: WAY_OF_DOCUMENTS,
        input: "briefs/{id}.md",
        results: "issues",
        output: "issues/{id}.md",
    },
    Flow {
        name: "lld",
        prefix: "LLD-",
        way: WAY_OF_DOCUMENTS,
        input: "issues/{id}.md",
        results: "docs/lld",
        output: "docs/lld/LLD-{id}.md",
    },
];

impl Flow {
    fn find(name: &str) -> &'static Flow {
        FLOWS.iter().find(|flow| flow.name == name).expect("a test names a flow of the table")
    }

    /// Writes an item's input, which tells the mock how the item is to fare.
    fn write_input(&self, p: &Project, id: &str, script: &str) {
        let text = format!(
            "# Export reports as CSV, part {id}\n\n<!-- mock: {script} -->\n\nPeople copy numbers by hand.\n\n\
             - The report page has a button that downloads a CSV file\n\
             - Columns have the names shown on the page\n\
             - A report without rows gives a file with the header alone\n"
        );
        p.write(&self.input.replace("{id}", id), text);
    }

    fn output(&self, id: &str) -> String {
        self.output.replace("{id}", id)
    }

    /// Where the last draft of an item is that a person must look at.
    fn draft(&self, id: &str) -> String {
        self.output(id).replace(".md", ".draft.md")
    }

    fn label(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// The files below a directory of the project, by name.
    fn results(&self, p: &Project) -> BTreeMap<String, Vec<u8>> {
        contents(&p.path(self.results))
    }

    /// What an item leaves in its lineage, by name.
    fn lineage(&self, p: &Project, id: &str) -> BTreeMap<String, Vec<u8>> {
        contents(&p.path(format!(".wf/lineage/{}_{id}", self.name)))
    }
}

/// All files below a directory, by path.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.strip_prefix(dir).unwrap_or(path).display().to_string();
    files_below(dir).iter().map(|path| (name(path), fs::read(path).unwrap_or_default())).collect()
}

/// A summary's object of an item.
#[track_caller]
fn item(p: &Project, id: &str) -> Value {
    let summary = p.summary();
    let items = summary["items"].as_array().expect("a summary has items").clone();
    items.into_iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("no item {id}"))
}

/// How often each question was answered, by workflow, node, iteration and item.
fn answered(mock: &MockProvider) -> BTreeMap<String, u64> {
    serde_json::from_value(mock.counters()["answered"].clone()).expect("the mock counts answers")
}
