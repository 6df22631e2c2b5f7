//! Drafter and reviewer at different providers: each has its own address, keys, pool and limits.

use std::fmt::Write as _;

use serde_json::Value;
use wf_tests::Project;
use wf_tests::mock::MockProvider;

use super::{Flow, item};

/// A provider of its own, with two keys in one group.
struct Provider {
    name: &'static str,
    model: &'static str,
    mock: MockProvider,
}

impl Provider {
    fn start(p: &Project, name: &'static str, model: &'static str, options: &str) -> Provider {
        let options = format!(
            "--profile instant --latency 20ms --key {name}-a,secret-{name}-a,{name} --key {name}-b,secret-{name}-b,{name}"
        ) + options;
        Provider { name, model, mock: MockProvider::start(p, &options) }
    }

    /// Its tables in `wf.toml`; `more` stands in each key's.
    fn tables(&self, p: &Project, more: &str) -> String {
        let name = self.name;
        let mut toml = format!("[providers.{name}]\nbase_url = \"{}\"\n", self.mock.base_url);
        for (key, secret, group) in &self.mock.keys {
            let secret = p.key_file(secret);
            // Writing to memory cannot fail.
            let _ = write!(
                toml,
                "[[keys]]\nname = \"{key}\"\nprovider = \"{name}\"\nquota_group = \"{group}\"\nsecret = {secret}\n{more}"
            );
        }
        toml
    }

    fn role(&self) -> String {
        format!("{{ provider = \"{}\", model = \"{}\" }}", self.name, self.model)
    }

    fn total(&self, what: &str) -> u64 {
        self.mock.counters()["total"][what].as_u64().expect("the mock counts it")
    }
}

fn project(drafter: (&Provider, &str), reviewer: (&Provider, &str), p: &Project) {
    for (id, reviews) in [("1", 1), ("2", 2), ("3", 3), ("4", 2)] {
        Flow::find("lld").write_input(p, id, &format!("approve@{reviews}"));
    }
    p.write("items.txt", "1\n2\n3\n4\n");
    let tables = drafter.0.tables(p, drafter.1) + &reviewer.0.tables(p, reviewer.1);
    let roles = format!("drafter = {}\nreviewer = {}\n", drafter.0.role(), reviewer.0.role());
    p.write("wf.toml", format!("{tables}[workflow.lld]\n{roles}"));
}

#[test]
fn every_pair_of_providers_works_together() {
    for [(drafter, its_model), (reviewer, other_model)] in [
        [("anthropic", "claude-drafts"), ("gemini", "gemini-reviews")],
        [("gemini", "gemini-drafts"), ("openai", "gpt-reviews")],
        [("openai", "gpt-drafts"), ("anthropic", "claude-reviews")],
    ] {
        let p = Project::new();
        let drafter = Provider::start(&p, drafter, its_model, "");
        let reviewer = Provider::start(&p, reviewer, other_model, "");
        // One pool is narrow, the other wide.
        project((&drafter, "max_in_flight = 1\n"), (&reviewer, ""), &p);
        let run = p.run("run items.txt -j4");
        run.code(0).says(&format!(
            "drafter {its_model} ({}), reviewer {other_model} ({})",
            drafter.name, reviewer.name
        ));

        for provider in [&drafter, &reviewer] {
            let counters = provider.mock.counters();
            assert_eq!((provider.total("ok"), provider.total("calls")), (8, 8), "{counters}");
            assert_eq!((&counters["unknown_key"], &counters["not_understood"]), (&0.into(), &0.into()));
            let nodes = counters["answered"].as_object().expect("answers are by name").keys();
            let own = if provider.name == drafter.name { "/N1_draft/" } else { "/N3_review/" };
            assert!(nodes.clone().all(|name| name.contains(own)), "{counters}");
        }
        for key in drafter.mock.counters()["keys"].as_object().expect("keys have tallies").values() {
            assert!(key["in_flight_max"].as_u64() <= Some(1), "{key}");
        }

        let mut calls = 0;
        for line in p.read(".wf/runs/latest/audit.jsonl").lines() {
            let line: Value = serde_json::from_str(line).expect("an audit line is JSON");
            if line["event"] == "call" || line["event"] == "verdict" {
                let of = if line["node"] == "N1_draft" { &drafter } else { &reviewer };
                assert_eq!(
                    (&line["provider"], &line["model"]),
                    (&of.name.into(), &of.model.into()),
                    "{line}"
                );
            }
            if line["event"] == "call" {
                calls += 1;
                let key = line["key"].as_str().expect("a call has a key");
                assert!(key.starts_with(line["provider"].as_str().unwrap_or("no provider")), "{line}");
                for field in ["tokens_in", "tokens_out", "duration_ms", "iteration", "attempt"] {
                    assert!(line[field].is_u64(), "{field} in {line}");
                }
            }
        }
        assert_eq!(calls, 16);
        drafter.mock.stop();
        reviewer.mock.stop();
    }
}

#[test]
fn a_reviewer_without_quota_stops_no_drafter_and_its_drafts_are_kept() {
    let p = Project::new();
    let drafter = Provider::start(&p, "anthropic", "claude-drafts", "");
    let reviewer = Provider::start(&p, "gemini", "gemini-reviews", " --exhaust-day gemini");
    project((&drafter, ""), (&reviewer, ""), &p);
    p.run("run items.txt -j4 --max-wait 1s").code(75);
    for id in ["1", "2", "3", "4"] {
        assert_eq!(item(&p, id)["outcome"], "interrupted");
    }
    assert_eq!((drafter.total("ok"), reviewer.total("ok")), (4, 0), "each was drafted, none reviewed");
    reviewer.mock.control(r#"{"exhaust_day": {"gemini": false}}"#);
    // What is known of the day's quota would keep the pool blocked until midnight.
    std::fs::remove_file(p.path(".wf/history.db")).expect("the index can be made again");
    p.run("run items.txt -j4").code(0);
    assert_eq!((drafter.total("ok"), reviewer.total("ok")), (8, 8), "no draft was paid twice");
    drafter.mock.stop();
    reviewer.mock.stop();
}
