//! The command line of `wf-mock-llm`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use crate::control::duration;
use crate::{Fixtures, MockConfig, MockKey, MockServer, PROFILES, Script, Window};

const EXAMPLES: &str = "\
Examples:
  wf-mock-llm                                  a steady provider on a free port
  wf-mock-llm --port 8080 --profile storm      many 429s and some 503s
  wf-mock-llm --keys 12 --groups 4 --group-rpm 60 --window fixed --time-scale 60
  wf-mock-llm --plan 42=never --plan 43=approve@3 --revoke mock-b

Paths: POST /v1beta/models/MODEL:generateContent, :streamGenerateContent, /v1/messages, /v1/chat/completions;
       GET /v1beta/models, /v1/models; GET /__mock/counters; POST /__mock/control (docs/mock.md)";

/// A mock GenAI server for development and benchmarks: Gemini, Anthropic and OpenAI dialects on one loopback port.
///
/// The first lines of its output say where it listens and which keys it accepts (`key NAME SECRET GROUP`); the keys
/// are made up. It runs until SIGINT, SIGTERM or SIGHUP.
#[derive(Debug, Parser)]
#[command(name = "wf-mock-llm", version, after_help = EXAMPLES)]
struct Args {
    /// Loopback port; 0 for any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The weather: steady, storm, slow, strict, flaky or instant
    #[arg(long, default_value = "steady", value_parser = profile)]
    profile: MockConfig,
    /// Keys to make up
    #[arg(long, value_name = "N", default_value_t = 4)]
    keys: u32,
    /// Quota groups they are dealt out to
    #[arg(long, value_name = "N", default_value_t = 2)]
    groups: u32,
    /// A key of your own instead of made-up ones (repeatable)
    #[arg(long, value_name = "NAME,SECRET,GROUP", value_parser = key)]
    key: Vec<MockKey>,
    /// Requests per minute of each group and model
    #[arg(long, value_name = "N")]
    group_rpm: Option<u32>,
    /// Tokens per minute of each group and model
    #[arg(long, value_name = "N")]
    group_tpm: Option<u64>,
    /// Requests per day of each group and model
    #[arg(long, value_name = "N")]
    group_rpd: Option<u32>,
    /// Requests at once on one key
    #[arg(long, value_name = "N")]
    key_concurrency: Option<u32>,
    /// How limits per minute are enforced
    #[arg(long)]
    window: Option<Window>,
    /// Neither say how long to wait nor what is left
    #[arg(long)]
    no_hints: bool,
    /// Let refused calls count towards the limits
    #[arg(long)]
    count_refused: bool,
    /// Median latency of a call, such as 300ms
    #[arg(long, value_name = "DUR", value_parser = duration)]
    latency: Option<Duration>,
    /// Spread of latencies: standard deviation of their logarithm; 0 for always the median
    #[arg(long, value_name = "X")]
    latency_sigma: Option<f64>,
    /// How much faster than the wall its clock goes; at 60 a minute is a second
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    time_scale: f64,
    /// What chance depends on
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Replies by <workflow>/<node>.<iteration>.md or <node>.md, instead of the embedded ones
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    #[arg(long, value_name = "ITEM=SCRIPT", value_parser = planned, help = plan_help())]
    plan: Vec<(String, Script)>,
    /// Refuse this key (repeatable)
    #[arg(long, value_name = "NAME")]
    revoke: Vec<String>,
    /// Refuse this group for lack of credit (repeatable)
    #[arg(long, value_name = "GROUP")]
    no_credit: Vec<String>,
    /// Give this group no quota for this model: a limit of zero (repeatable)
    #[arg(long, value_name = "GROUP=MODEL", value_parser = group_and_model)]
    no_quota: Vec<(String, String)>,
    /// Begin with this group's day used up (repeatable)
    #[arg(long, value_name = "GROUP")]
    exhaust_day: Vec<String>,
}

fn profile(name: &str) -> Result<MockConfig, String> {
    MockConfig::profile(name).ok_or_else(|| {
        let known = PROFILES.map(|(name, what)| format!("\n  {name:8} {what}")).concat();
        format!("there is no such profile; these are:{known}")
    })
}

fn key(text: &str) -> Result<MockKey, String> {
    let mut parts = text.splitn(3, ',').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(secret), Some(group)) => Ok(MockKey { name, secret, group }),
        _ => Err("write NAME,SECRET,GROUP".to_owned()),
    }
}

fn group_and_model(text: &str) -> Result<(String, String), String> {
    let (group, model) = text.split_once('=').ok_or("write GROUP=MODEL")?;
    Ok((group.to_owned(), model.to_owned()))
}

fn planned(text: &str) -> Result<(String, Script), String> {
    let (item, script) = text.split_once('=').ok_or("write ITEM=SCRIPT")?;
    Ok((item.to_owned(), script.parse().map_err(|e: crate::BadScript| e.to_string())?))
}

fn plan_help() -> String {
    format!("How an item fares: {} (repeatable)", crate::script::SCRIPTS)
}

impl Args {
    fn config(self) -> anyhow::Result<MockConfig> {
        let mut config = self.profile;
        config.port = self.port;
        config.seed = self.seed;
        config.time_scale = self.time_scale;
        config.keys = if self.key.is_empty() {
            MockConfig::generated_keys(self.keys, self.groups, self.seed)
        } else {
            self.key
        };
        config.limits.rpm = self.group_rpm.or(config.limits.rpm);
        config.limits.tpm = self.group_tpm.or(config.limits.tpm);
        config.limits.rpd = self.group_rpd.or(config.limits.rpd);
        config.key_concurrency = self.key_concurrency.or(config.key_concurrency);
        config.window = self.window.unwrap_or(config.window);
        config.hints = !self.no_hints;
        config.count_refused |= self.count_refused;
        config.latency.median = self.latency.unwrap_or(config.latency.median);
        // A latency that was asked for is meant exactly, unless a spread was asked for too.
        config.latency.sigma =
            self.latency_sigma.unwrap_or(if self.latency.is_some() { 0.0 } else { config.latency.sigma });
        config.plan.extend(self.plan);
        config.revoked.extend(self.revoke);
        config.no_credit.extend(self.no_credit);
        config.day_exhausted.extend(self.exhaust_day);
        for (group, model) in self.no_quota {
            config.no_quota.entry(group).or_default().insert(model);
        }
        if let Some(dir) = &self.fixtures {
            config.fixtures = Fixtures::load(dir).context("the fixtures cannot be read")?;
        }
        config.check().map_err(anyhow::Error::msg)?;
        Ok(config)
    }
}

/// Runs the server until a signal ends it. Exit code 2 for a wrong command line, 1 if it cannot start.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            // With standard error gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "wf-mock-llm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => {
            let _ = writeln!(io::stderr(), "wf-mock-llm: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The receiver is gone once the first signal was heard.
        let _ = stop.send(());
    })
    .context("signals cannot be handled")?;
    let port = config.port;
    let server = MockServer::start(config).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    // A reader that has gone away does not stop the server: its counters are served over HTTP.
    let _ = announce(&server);
    let _ = stopped.recv();
    server.stop();
    Ok(ExitCode::SUCCESS)
}

fn announce(server: &MockServer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", server.base_url())?;
    for key in server.keys() {
        writeln!(out, "key {} {} {}", key.name, key.secret, key.group)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn config(args: &[&str]) -> anyhow::Result<MockConfig> {
        Args::try_parse_from([&["wf-mock-llm"], args].concat())?.config()
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        for (name, _) in PROFILES {
            assert!(help.contains(name), "{name} is not in the help");
        }
    }

    #[test]
    fn options_change_the_profile() {
        let steady = config(&[]).unwrap();
        assert_eq!((steady.keys.len(), steady.latency.median), (4, Duration::from_millis(300)));
        let changed = config(&[
            "--profile",
            "strict",
            "--keys",
            "6",
            "--groups",
            "3",
            "--group-rpm",
            "7",
            "--latency",
            "1s",
            "--no-hints",
            "--plan",
            "42=never",
            "--revoke",
            "mock-b",
            "--time-scale",
            "60",
        ])
        .unwrap();
        assert_eq!((changed.limits.rpm, changed.limits.tpm), (Some(7), Some(250_000)));
        assert_eq!((changed.window, changed.count_refused, changed.hints), (Window::Fixed, true, false));
        assert_eq!(changed.latency, crate::Latency::fixed(Duration::from_secs(1)));
        assert_eq!(changed.keys[5].group, "mock-3");
        assert_eq!(changed.plan["42"], Script::Never);
        let own = config(&["--key", "mine,secret,with,commas,g"]).unwrap();
        assert_eq!((own.keys.len(), own.keys[0].group.as_str()), (1, "with,commas,g"));
    }

    #[test]
    fn wrong_options_are_named() {
        for (args, words) in [
            (&["--profile", "sunny"][..], "storm"),
            (&["--latency", "soon"], "soon"),
            (&["--plan", "42"], "ITEM=SCRIPT"),
            (&["--plan", "42=maybe"], "approve@N"),
            (&["--revoke", "nobody"], "no key is named nobody"),
            (&["--time-scale", "0"], "time scale"),
            (&["--fixtures", "/nowhere"], "/nowhere"),
        ] {
            let error = format!("{:#}", config(args).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
