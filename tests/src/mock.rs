//! The mock provider as a process of its own, for runs that configure their keys as for a real one.

use serde_json::Value;

use crate::{Project, Running};

/// A running `wf-mock-llm`.
#[derive(Debug)]
pub struct MockProvider {
    running: Running,
    /// Its address.
    pub base_url: String,
    /// Its keys: name, secret, quota group.
    pub keys: Vec<(String, String, String)>,
}

impl MockProvider {
    /// Starts one with these options.
    #[track_caller]
    pub fn start(project: &Project, options: &str) -> MockProvider {
        let mut running = project.program("wf-mock-llm", options).start();
        let base_url = running.wait_for("the mock's address", |running| {
            let out = running.out();
            Some(out.lines().find_map(|line| line.strip_prefix("listening on "))?.to_owned())
        });
        // The keys stand in the same write as the address, or right behind it; every mock here has two at least.
        let keys = running.wait_for("the mock's keys", |running| {
            let keys: Vec<_> = running.out().lines().filter_map(key).collect();
            (keys.len() >= 2 && running.out().ends_with('\n')).then_some(keys)
        });
        MockProvider { running, base_url, keys }
    }

    /// A `wf.toml` whose keys are the mock's first `count`, for the provider `gemini`, read from files that are written.
    pub fn configure(&self, project: &Project, count: usize, more: &str) {
        use std::fmt::Write as _;
        let mut toml = format!("[providers.gemini]\nbase_url = \"{}\"\n", self.base_url);
        for (name, secret, group) in self.keys.iter().take(count) {
            let secret = project.key_file(secret);
            // Writing to memory cannot fail.
            let _ = writeln!(
                toml,
                "[[keys]]\nname = \"{name}\"\nprovider = \"gemini\"\nquota_group = \"{group}\"\nsecret = {secret}"
            );
        }
        toml.push_str(more);
        project.write("wf.toml", toml);
    }

    /// What it has counted.
    #[track_caller]
    pub fn counters(&self) -> Value {
        let url = format!("{}/__mock/counters", self.base_url);
        let text = ureq::get(&url).call().expect("the mock answers").body_mut().read_to_string();
        serde_json::from_str(&text.expect("counters are text")).expect("counters are JSON")
    }

    /// Changes how it behaves.
    #[track_caller]
    pub fn control(&self, json: &str) {
        let url = format!("{}/__mock/control", self.base_url);
        ureq::post(&url).send(json).expect("the mock takes a change");
    }

    /// Ends it.
    #[track_caller]
    pub fn stop(self) {
        self.running.signal(nix::sys::signal::Signal::SIGTERM);
        self.running.wait();
    }
}

fn key(line: &str) -> Option<(String, String, String)> {
    let mut words = line.strip_prefix("key ")?.split(' ').map(str::to_owned);
    Some((words.next()?, words.next()?, words.next()?))
}
