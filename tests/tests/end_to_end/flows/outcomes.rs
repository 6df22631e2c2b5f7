//! Every way in which an item can end with its reviewer, on ten items each, hostile replies among them.

use std::fmt::Write as _;

use wf_tests::Project;
use wf_tests::mock::MockProvider;

use super::{Flow, item};

/// How items fare of which the mock was told the script, three iterations at most.
struct Case {
    script: &'static str,
    items: u32,
    outcome: &'static str,
    calls: u64,
    /// What the detail says.
    says: &'static str,
    /// The endings of the lineage's files, in order.
    lineage: &'static str,
}

const fn case(script: &'static str, outcome: &'static str, calls: u64, says: &'static str) -> Case {
    Case { script, items: 10, outcome, calls, says, lineage: "" }
}

/// Variants of the others, on fewer items.
const FEW: u32 = 3;

const CASES: &[Case] = &[
    Case { lineage: "input draft verdict", ..case("approve@1", "approved", 2, "approved after 1 review") },
    Case {
        lineage: "input draft verdict draft verdict draft verdict",
        ..case("approve@3", "approved", 6, "approved after 3 reviews")
    },
    Case { items: FEW, ..case("incomplete", "approved", 3, "approved after 1 review") },
    Case {
        items: FEW,
        lineage: "input draft verdict verdict",
        ..case("garbage-once", "approved", 3, "approved after 1 review")
    },
    Case {
        lineage: "input draft verdict verdict draft verdict",
        ..case("fenced", "approved", 5, "approved after 2 reviews")
    },
    Case {
        lineage: "input draft verdict reply draft verdict",
        ..case("misfit-once", "approved", 5, "approved after 2 reviews")
    },
    // Each of its replies takes a while to be read.
    Case {
        items: 2,
        lineage: "input reply draft verdict verdict",
        ..case("huge", "approved", 4, "approved after 1 review")
    },
    case("never", "needs-revision", 6, "not approved after 3 iterations; the last draft is "),
    Case {
        items: FEW,
        ..case("block", "needs-revision", 6, "not approved after 3 iterations; the last draft is ")
    },
    Case {
        items: FEW,
        ..case("stagnate", "needs-revision", 4, "stagnated: two reviews in a row have the same findings")
    },
    case(
        "discuss",
        "needs-revision",
        2,
        "a person must decide: Question: May the old behaviour be dropped for existing users, or must both be kept?",
    ),
    // A reply that is the same as the one before it is kept once.
    Case {
        lineage: "input draft verdict",
        ..case("garbage", "failed", 3, "no verdict can be read from the review, also when asked again")
    },
    Case {
        items: FEW,
        lineage: "input draft verdict",
        ..case("unmarked", "failed", 3, "no verdict can be read from the review, also when asked again")
    },
    Case {
        items: FEW,
        lineage: "input draft verdict reply",
        ..case(
            "misfit",
            "failed",
            4,
            "the drafter's answer cannot be used, also when asked again: edit block 1 matches nowhere",
        )
    },
];

fn ids(case: &Case) -> impl Iterator<Item = String> {
    let name = case.script.replace('@', "-");
    (0..case.items).map(move |n| format!("{name}-{n}"))
}

fn every_outcome(flow: &str) {
    let flow = Flow::find(flow);
    let p = Project::new();
    let mut list = String::new();
    for case in CASES {
        for id in ids(case) {
            flow.write_input(&p, &id, case.script);
            // Writing to memory cannot fail.
            let _ = writeln!(list, "{id}");
        }
    }
    p.write("items.txt", list);
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, &format!("[workflow.{}]\nmax_iterations = 3\n", flow.name));
    let run = p.run(&format!("run items.txt -w {} -j6", flow.name));
    run.code(1);
    for case in CASES {
        for id in ids(case) {
            let item = item(&p, &id);
            let detail = item["detail"].as_str().unwrap_or_default();
            assert_eq!(
                (&item["outcome"], &item["calls"]),
                (&case.outcome.into(), &case.calls.into()),
                "{item:#}"
            );
            assert!(detail.contains(case.says), "{id}: {detail}");
            assert_eq!(p.has(flow.output(&id)), case.outcome == "approved", "{id}");
            assert_eq!(p.has(flow.draft(&id)), case.outcome == "needs-revision", "{id}");
            let lineage = flow.lineage(&p, &id);
            let kinds: Vec<&str> = lineage.keys().map(|name| &name[4..name.len() - 3]).collect();
            assert!(case.lineage.is_empty() || kinds.join(" ") == case.lineage, "{id}: {kinds:?}");
            if case.outcome == "failed" {
                let (kept, _) = lineage.last_key_value().expect("a lineage has files");
                let path = format!(".wf/lineage/{}_{id}/{kept}", flow.name);
                assert!(detail.ends_with(&path), "the reply is kept: {detail}");
            }
        }
    }
    assert_eq!(mock.counters()["duplicates"], 0);
    // What a person must look at is not paid for again.
    let before = mock.counters()["total"]["ok"].clone();
    let list: String = ["never", "discuss", "stagnate"].map(|script| format!("{script}-0\n")).concat();
    p.write("items.txt", list);
    p.run(&format!("run items.txt -w {} -j3", flow.name)).code(3);
    assert_eq!(mock.counters()["total"]["ok"], before);
    mock.stop();
}

#[test]
fn issue() {
    every_outcome("issue");
}

#[test]
fn lld() {
    every_outcome("lld");
}
