//! What is kept of an item's way: lineage, audit, and the story that `show --item` tells.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use wf_tests::Project;
use wf_tests::mock::MockProvider;

use super::{FLOWS, Flow};

fn audit(p: &Project, name: &str) -> Vec<Value> {
    let text = p.read(format!(".wf/runs/latest/{name}"));
    text.lines().map(|line| serde_json::from_str(line).expect("an audit line is JSON")).collect()
}

/// The fields each event has beside those that all have.
const FIELDS: &[(&str, &[&str])] = &[
    ("node-started", &["node", "iteration"]),
    ("node-finished", &["node", "iteration", "duration_ms", "detail"]),
    ("call", &["node", "iteration", "provider", "model", "key", "tokens_in", "tokens_out", "duration_ms"]),
    ("verdict", &["node", "iteration", "provider", "model", "verdict"]),
    ("written", &["node", "iteration", "detail"]),
    ("finished", &["node", "iteration", "duration_ms", "verdict", "detail"]),
];

#[test]
fn every_field_that_is_known_is_in_the_audit() {
    for flow in FLOWS {
        let p = Project::new();
        let mock = MockProvider::start(&p, "--profile instant");
        mock.configure(&p, 2, "");
        for (id, script) in [("1", "approve@2"), ("2", "approve@1"), ("3", "discuss")] {
            flow.write_input(&p, id, script);
        }
        p.write("items.txt", "1\n2\n3\n");
        p.run(&format!("run items.txt -w {} -j3", flow.name)).code(3);
        let lines = audit(&p, "audit.jsonl");
        let mut seen = BTreeSet::new();
        for line in &lines {
            let event = line["event"].as_str().expect("every line has an event");
            seen.insert(event.to_owned());
            let of_event = FIELDS.iter().find(|(name, _)| *name == event);
            let (_, fields) = of_event.unwrap_or_else(|| panic!("an event nobody told of: {line}"));
            for field in ["ts", "run", "item", "workflow", "attempt", "event"].iter().chain(*fields) {
                assert!(!line[field].is_null() && line[field] != "", "{field} is missing in {line}");
            }
            assert_eq!((&line["workflow"], &line["run"]), (&flow.name.into(), &p.run_id().into()));
            assert!(line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{line}");
        }
        assert_eq!(seen, FIELDS.iter().map(|(event, _)| (*event).to_owned()).collect());
        assert!(lines.iter().map(|line| line["ts"].as_str()).is_sorted(), "in order of time");
        let sum = |field: &str| lines.iter().filter_map(|line| line[field].as_u64()).sum::<u64>();
        let totals = &p.summary()["totals"];
        assert_eq!(
            (&totals["tokens_in"], &totals["tokens_out"]),
            (&sum("tokens_in").into(), &sum("tokens_out").into())
        );
        mock.stop();
    }
}

#[test]
fn a_reply_that_was_kept_is_told_as_reused() {
    let flow = Flow::find("lld");
    let p = Project::new();
    flow.write_input(&p, "1", "garbage-once");
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    // The review is kept; the question for the verdict alone is not answered.
    mock.control("{\"hold_after\": 2}");
    p.run("run --item 1 --timeout 1s").code(1);
    mock.control("{\"hold\": false}");
    p.run("run --item 1").code(0);
    let lines = audit(&p, "workflow-audit-1.jsonl");
    let reused: Vec<&Value> = lines.iter().filter(|line| line["event"] == "reused").collect();
    assert_eq!(reused.len(), 1, "{lines:#?}");
    for (field, value) in
        [("node", "N3_review"), ("provider", "gemini"), ("detail", "the review was received before")]
    {
        assert_eq!(reused[0][field], value, "{}", reused[0]);
    }
    assert!(reused[0]["model"].is_string() && reused[0]["tokens_in"].is_null(), "{}", reused[0]);
    mock.stop();
}

#[test]
fn the_lineage_goes_on_over_runs() {
    let flow = Flow::find("lld");
    let p = Project::new();
    flow.write_input(&p, "42", "discuss");
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    p.run("run --item 42").code(3);
    let first = flow.lineage(&p, "42");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["001-input.md", "002-draft.md", "003-verdict.md"]);
    assert_eq!(first["001-input.md"], p.read_bytes("issues/42.md"));
    assert_eq!(first["002-draft.md"], p.read_bytes("docs/lld/LLD-42.draft.md"));

    // Somebody decided, and says so in the issue.
    flow.write_input(&p, "42", "approve@1");
    p.run("run --item 42").code(0);
    let second = flow.lineage(&p, "42");
    assert_eq!(second.keys().skip(3).collect::<Vec<_>>(), ["004-input.md", "005-draft.md", "006-verdict.md"]);
    assert!(first.iter().all(|(name, text)| second.get(name) == Some(text)), "what is there stays");
    assert_eq!(second["005-draft.md"], p.read_bytes("docs/lld/LLD-42.md"));
    mock.stop();
}

/// What differs from run to run, replaced by what does not.
fn redacted(p: &Project, text: &str) -> String {
    let text = text.replace(&p.run_id(), "RUN").replace(&p.dir().display().to_string(), "PROJECT");
    let word = |word: &str| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let bare = word.trim_end_matches([',', ';', ':']);
        if bare.starts_with("mock-") && bare.len() == "mock-a".len() {
            // Which of the keys is the pool's affair.
            return word.replace(bare, "KEY");
        }
        let is_time = ["ms", "s"].iter().any(|unit| bare.strip_suffix(unit).is_some_and(digits));
        if is_time { word.replace(bare, "TIME") } else { word.to_owned() }
    };
    let line = |line: &str| {
        let line = match line.split_once("  ") {
            Some((clock, rest)) if clock.len() == 12 && clock.contains(':') => format!("CLOCK  {rest}"),
            _ => line.to_owned(),
        };
        let words: Vec<String> = line.split(' ').map(word).collect();
        match words.iter().position(|w| w == "process") {
            Some(at) => words[..=at].join(" ") + " PID " + &words[at + 2..].join(" "),
            None => words.join(" "),
        }
    };
    // Whether a grant took a millisecond is the machine's affair, and a wait of none is not told.
    text.lines().map(|l| line(l).replace(", TIME of it waiting for quota", "") + "\n").collect()
}

#[test]
fn the_story_of_an_item_has_nodes_verdicts_tokens_time_and_files() {
    let flow = Flow::find("lld");
    let p = Project::new();
    flow.write_input(&p, "42", "approve@2");
    p.run("run --item 42 --mock --mock-profile instant").code(0);
    let story = redacted(&p, &p.run("show --item 42").code(0).out());
    // Journal and audit are written by two processes, so only within each is there an order to rely on.
    let (audit, journal): (Vec<&str>, Vec<&str>) = story.lines().partition(|line| line.contains("  audit: "));
    insta::assert_snapshot!(journal.join("\n"), @r"
    LLD-42 in run RUN: approved: approved after 2 reviews
    TIME in 1 attempt; 4 calls, 0 repeated; 5,256 tokens in, 1,155 out
    output     .wf/mock/docs/lld/LLD-42.md
    log        PROJECT/.wf/runs/RUN/LLD-42.log
    audit      PROJECT/.wf/runs/RUN/workflow-audit-42.jsonl
    lineage    PROJECT/.wf/mock/lineage/lld_42

    CLOCK  planned: run
    CLOCK  attempt 1 begins in slot 1
    CLOCK  process PID started
    CLOCK  worker connected
    CLOCK  N0_load (iteration 1), 0 % done
    CLOCK  N0_load checkpointed
    CLOCK  N1_draft (iteration 1), 4 % done
    CLOCK  call 1 granted after TIME: key KEY, model mock-drafter
    CLOCK  call 1 returned: ok, 778 tokens in, 720 out
    CLOCK  N1_draft checkpointed
    CLOCK  N2_check (iteration 1), 8 % done
    CLOCK  N2_check checkpointed
    CLOCK  N3_review (iteration 1), 12 % done
    CLOCK  call 2 granted after TIME: key KEY, model mock-reviewer
    CLOCK  call 2 returned: ok, 1,452 tokens in, 167 out
    CLOCK  N3_review checkpointed
    CLOCK  N1_draft (iteration 2), 24 % done
    CLOCK  call 3 granted after TIME: key KEY, model mock-drafter
    CLOCK  call 3 returned: ok, 1,415 tokens in, 140 out
    CLOCK  N1_draft checkpointed
    CLOCK  N2_check (iteration 2), 28 % done
    CLOCK  N2_check checkpointed
    CLOCK  N3_review (iteration 2), 32 % done
    CLOCK  call 4 granted after TIME: key KEY, model mock-reviewer
    CLOCK  call 4 returned: ok, 1,611 tokens in, 128 out
    CLOCK  N3_review checkpointed
    CLOCK  N4_finalize (iteration 2), 36 % done
    CLOCK  N4_finalize checkpointed
    CLOCK  attempt 1 exited with code 0 after TIME
    CLOCK  approved: approved after 2 reviews
    ");
    insta::assert_snapshot!(audit.join("\n"), @r"
    CLOCK  audit: node-started in N0_load (iteration 1)
    CLOCK  audit: node-finished in N0_load (iteration 1): TIME, issues/42.md, 9 lines
    CLOCK  audit: node-started in N1_draft (iteration 1)
    CLOCK  audit: call in N1_draft (iteration 1): provider mock, model mock-drafter, key KEY, 778 tokens in, 720 tokens out, TIME
    CLOCK  audit: node-finished in N1_draft (iteration 1): TIME, a whole document, 48 lines
    CLOCK  audit: node-started in N2_check (iteration 1)
    CLOCK  audit: node-finished in N2_check (iteration 1): TIME, complete
    CLOCK  audit: node-started in N3_review (iteration 1)
    CLOCK  audit: call in N3_review (iteration 1): provider mock, model mock-reviewer, key KEY, 1,452 tokens in, 167 tokens out, TIME
    CLOCK  audit: verdict in N3_review (iteration 1): verdict revise, provider mock, model mock-reviewer
    CLOCK  audit: node-finished in N3_review (iteration 1): TIME, revise, 2 findings
    CLOCK  audit: node-started in N1_draft (iteration 2)
    CLOCK  audit: call in N1_draft (iteration 2): provider mock, model mock-drafter, key KEY, 1,415 tokens in, 140 tokens out, TIME
    CLOCK  audit: node-finished in N1_draft (iteration 2): TIME, 3 edits, 52 lines
    CLOCK  audit: node-started in N2_check (iteration 2)
    CLOCK  audit: node-finished in N2_check (iteration 2): TIME, complete
    CLOCK  audit: node-started in N3_review (iteration 2)
    CLOCK  audit: call in N3_review (iteration 2): provider mock, model mock-reviewer, key KEY, 1,611 tokens in, 128 tokens out, TIME
    CLOCK  audit: verdict in N3_review (iteration 2): verdict approved, provider mock, model mock-reviewer
    CLOCK  audit: node-finished in N3_review (iteration 2): TIME, approved, 1 suggestion
    CLOCK  audit: node-started in N4_finalize (iteration 2)
    CLOCK  audit: written in N4_finalize (iteration 2): .wf/mock/docs/lld/LLD-42.md
    CLOCK  audit: node-finished in N4_finalize (iteration 2): TIME, .wf/mock/docs/lld/LLD-42.md
    CLOCK  audit: finished in N4_finalize (iteration 2): verdict approved, TIME, approved after 2 reviews
    ");

    let json = p.run("show --item 42 --json").code(0).json();
    assert_eq!(json["item"]["outcome"], "approved");
    for (name, path) in json["files"].as_object().expect("files have names") {
        let path = path.as_str().expect("a path is text");
        assert!(fs::exists(p.path(path)).unwrap_or_default(), "{name} is not at {path}");
    }
    p.run("show --item 43").code(2).says("43");
}
