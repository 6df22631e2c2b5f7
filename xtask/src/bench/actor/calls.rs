//! Calls to the mock provider over HTTP: as a worker with leases makes them, and without anybody above.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use ureq::Agent;
use wf_protocol::{CallOutcome, Client, Dimension, LeaseRequest, QuotaHint};
use wf_providers::{Delivery, Dialect, Prompt, Refusal, Reply, build_request, read_reply};

/// The model that is asked for: the mock answers as any.
pub const MODEL: &str = "bench";
/// No reply of any suite takes this long.
const LONGEST: Duration = Duration::from_secs(240);

/// Sends calls.
pub struct Wire {
    agent: Agent,
    base_url: String,
}

impl Wire {
    /// To the server at this address.
    pub fn new(base_url: &str) -> Wire {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(LONGEST)).build();
        Wire { agent: config.new_agent(), base_url: base_url.to_owned() }
    }

    /// Sends one and reads what comes back.
    pub fn send(&self, secret: &str, prompt: &Prompt) -> Reply {
        self.exchange(secret, prompt)
            .unwrap_or_else(|error| Reply::Refused(Refusal::Transient { detail: error.to_string() }))
    }

    fn exchange(&self, secret: &str, prompt: &Prompt) -> Result<Reply, ureq::Error> {
        let dialect = Dialect::OpenAi;
        let request = build_request(dialect, &self.base_url, MODEL, secret, prompt, Delivery::Whole);
        let mut call = self.agent.post(&request.url);
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        let mut response = call.send(request.body.as_bytes())?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect();
        let body = response.body_mut().read_to_vec()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(read_reply(dialect, response.status().as_u16(), &headers, &body, now))
    }
}

/// The prompt of a call. The mock's latency depends on it, so it is the same for everybody.
pub fn prompt(workflow: &str, call: u32) -> Prompt {
    Prompt::ask("", format!("Workflow {workflow} wants to know what comes after step {call}."), 200)
}

/// A workflow of calls one after the other, each with a lease. It ends with the first call that is denied: that is what a
/// worker gets to see.
pub fn workflow(base_url: &str, calls: u32, item: &str) -> Result<()> {
    let (client, _) = Client::from_env()?;
    let wire = Wire::new(base_url);
    for number in 0..calls {
        let prompt = prompt(item, number);
        let request = LeaseRequest {
            call: u64::from(number),
            provider: "bench".to_owned(),
            model: MODEL.to_owned(),
            tokens: prompt.estimated_input_tokens() + 50,
            share: (number * 1000 / calls) as u16,
        };
        loop {
            let grant = client.acquire(&request, &mut |_| ())?;
            match wire.send(grant.secret().expose(), &prompt) {
                Reply::Answer(answer) => {
                    let hints = answer.hints.iter().map(hint).collect();
                    let (tokens_in, tokens_out) = (answer.tokens_in, answer.tokens_out);
                    grant.release(CallOutcome::Ok { tokens_in, tokens_out, hints });
                    break;
                }
                Reply::Refused(refusal) => grant.release(outcome(&refusal)),
            }
        }
    }
    Ok(())
}

/// As the built-in worker tells it. That one's code is not used, so that building this program does not take its libraries.
fn outcome(refusal: &Refusal) -> CallOutcome {
    let ms = |wait: Option<Duration>| wait.map(|wait| wait.as_millis() as u64);
    let detail = refusal.detail().to_owned();
    match refusal {
        Refusal::Limited { dimension: of, retry_after, limit, slow_down, hints, .. } => {
            CallOutcome::Limited {
                dimension: of.map(dimension),
                retry_after_ms: ms(*retry_after),
                limit: *limit,
                slow_down: *slow_down,
                hints: hints.iter().map(hint).collect(),
            }
        }
        Refusal::Overloaded { retry_after, .. } => {
            CallOutcome::Overloaded { retry_after_ms: ms(*retry_after) }
        }
        Refusal::KeyRefused { .. } => CallOutcome::KeyRefused { detail },
        Refusal::Billing { .. } => CallOutcome::Billing { detail },
        Refusal::RequestRefused { .. } => CallOutcome::RequestRefused { detail },
        Refusal::Transient { .. } => CallOutcome::Transient { detail },
    }
}

fn hint(hint: &wf_providers::QuotaHint) -> QuotaHint {
    let reset_ms = hint.reset.map(|reset| reset.as_millis() as u64);
    QuotaHint { dimension: dimension(hint.dimension), limit: hint.limit, remaining: hint.remaining, reset_ms }
}

fn dimension(dimension: wf_providers::Dimension) -> Dimension {
    match dimension {
        wf_providers::Dimension::RequestsPerMinute => Dimension::RequestsPerMinute,
        wf_providers::Dimension::TokensPerMinute => Dimension::TokensPerMinute,
        wf_providers::Dimension::RequestsPerDay => Dimension::RequestsPerDay,
    }
}

/// What is needed of an audit's line.
#[derive(Debug, Deserialize)]
struct Audited {
    event: String,
    workflow: String,
    item: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    iteration: u32,
    #[serde(default)]
    tokens_in: u64,
}

/// Makes the calls that an audit tells of once more, in this one process and without leases: the same nodes of the same items, with
/// prompts of the same length. Answers with how many.
pub fn replay(base_url: &str, secret: &str, audit: &Path) -> Result<usize> {
    let wire = Wire::new(base_url);
    let text = fs::read_to_string(audit).with_context(|| audit.display().to_string())?;
    let mut calls = 0;
    for line in text.lines() {
        let entry: Audited = serde_json::from_str(line).context("a line of the audit")?;
        if entry.event != "call" {
            continue;
        }
        match wire.send(secret, &same_size(&entry)) {
            Reply::Answer(_) => calls += 1,
            Reply::Refused(refusal) => bail!("call {calls} was refused: {}", refusal.detail()),
        }
    }
    if calls == 0 {
        return Err(anyhow!("{} tells of no call", audit.display()));
    }
    Ok(calls)
}

/// A prompt that the mock takes for this one's: its node by the line that all of them have, its length by the mock's own measure of
/// four bytes a token.
fn same_size(entry: &Audited) -> Prompt {
    let Audited { workflow, item, node, iteration, .. } = entry;
    let system = format!("wf-context: workflow={workflow} node={node} iteration={iteration} item={item}");
    let bytes = (entry.tokens_in as usize * 4).saturating_sub(system.len());
    let question: String =
        "<!-- mock: approve@2 -->\n".chars().chain("lorem ipsum ".chars().cycle()).take(bytes).collect();
    Prompt::ask(system, question, 16_384)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replayed_prompt_has_the_length_of_the_first() {
        let line =
            r#"{"event":"call","workflow":"lld","item":"7","node":"N1_draft","iteration":1,"tokens_in":500}"#;
        let prompt = same_size(&serde_json::from_str(line).unwrap());
        assert_eq!(prompt.system.len() + prompt.turns[0].text.len(), 2_000);
        assert_eq!(prompt.system, "wf-context: workflow=lld node=N1_draft iteration=1 item=7");
    }
}
