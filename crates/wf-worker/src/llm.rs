//! One API call, from the question to a reply that is kept: lease, send, classify, return, and again if need be.
//!
//! The worker never decides how often a call is repeated or how long it waits: it reports what it saw and asks again,
//! under the same number, until the supervisor grants or denies.

use std::time::{Duration, Instant};

use wf_protocol::{AcquireError, CallOutcome, LeaseRequest, Secret, WaitReason, Waiting};
use wf_providers::{Answer, Prompt, Reply};

use crate::audit::{Audit, Entry};
use crate::console::Console;
use crate::halt::Halt;
use crate::job::Role;
use crate::outcome;
use crate::session::Session;
use crate::stop::{Cause, Stop};

/// More sends of one call than any policy allows: a supervisor that grants for ever is broken.
const MOST_SENDS: u32 = 1000;

/// Waits for pacing that are shorter are not worth a line.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// Sends a prompt; the seam to the network.
pub trait Wire: Send + Sync {
    /// Sends it and reads the reply, within `limit`.
    fn send(&self, role: &Role, prompt: &Prompt, secret: &Secret, limit: Duration) -> Sent;
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An answer or a refusal; a connection that failed is a refusal in passing.
    Replied(Reply),
    /// A stop request came first; nobody knows what became of the call.
    Abandoned(Cause),
}

/// A call to make.
pub struct Call<'a> {
    /// The worker's number for it.
    pub number: u64,
    /// The node it is made in.
    pub node: &'a str,
    /// The iteration it is made in.
    pub iteration: u32,
    /// How far the workflow has come, in thousandths.
    pub share: u16,
    /// Who is asked.
    pub role: &'a Role,
    /// What is asked.
    pub prompt: &'a Prompt,
    /// Tokens of the reply, as expected.
    pub expected_tokens: u64,
    /// How long it may take.
    pub limit: Duration,
}

/// Makes calls.
pub struct Caller<'a> {
    /// Grants leases.
    pub session: &'a dyn Session,
    /// Sends.
    pub wire: &'a dyn Wire,
    /// Hears of long waits.
    pub console: &'a Console,
    /// Hears of everything.
    pub audit: &'a Audit,
    /// Ends it.
    pub stop: &'a Stop,
}

impl Caller<'_> {
    /// Makes a call until it is answered, denied or abandoned. `keep` keeps the answer, so that it outlives this
    /// worker; it runs before the lease is returned: what the supervisor counted as answered is not asked for again.
    pub fn make(
        &self,
        call: &Call<'_>,
        keep: &mut dyn FnMut(&Answer) -> Result<(), Halt>,
    ) -> Result<Answer, Halt> {
        let request = LeaseRequest {
            call: call.number,
            provider: call.role.provider.clone(),
            model: call.role.model.clone(),
            tokens: call.prompt.estimated_input_tokens().saturating_add(call.expected_tokens),
            share: call.share,
        };
        for _ in 0..MOST_SENDS {
            if let Some(cause) = self.stop.requested() {
                return Err(Halt::Stopped(cause));
            }
            let mut told = false;
            let lease = self
                .session
                .acquire(&request, &mut |waiting| self.tell_once(&mut told, call, waiting))
                .map_err(|error| self.halted(error))?;
            let key = lease.key().to_owned();
            let began = Instant::now();
            let sent = self.wire.send(call.role, call.prompt, lease.secret(), call.limit.min(lease.left()));
            let entry = Entry {
                node: call.node,
                iteration: call.iteration,
                provider: Some(&call.role.provider),
                model: Some(&call.role.model),
                key: Some(&key),
                duration_ms: Some(began.elapsed().as_millis() as u64),
                ..Entry::default()
            };
            match sent {
                Sent::Abandoned(cause) => {
                    lease.release(CallOutcome::Abandoned);
                    self.audit.record(&Entry { event: "abandoned", detail: cause.words(), ..entry });
                    return Err(Halt::Stopped(cause));
                }
                Sent::Replied(Reply::Answer(mut answer)) => {
                    // Nothing that is kept has a key in it, also where a model was shown one and repeats it.
                    answer.text = without_key(answer.text, lease.secret(), &key);
                    let kept = keep(&answer);
                    lease.release(outcome::of_answer(&answer));
                    let (tokens_in, tokens_out) = (Some(answer.tokens_in), Some(answer.tokens_out));
                    self.audit.record(&Entry { event: "call", tokens_in, tokens_out, ..entry });
                    kept?;
                    return Ok(answer);
                }
                Sent::Replied(Reply::Refused(refusal)) => {
                    // A provider may quote the key it refuses.
                    let detail = without_key(refusal.detail().to_owned(), lease.secret(), &key);
                    self.audit.record(&Entry { event: "refused", detail: &detail, ..entry });
                    log::debug!("call {} refused on {key}: {detail}", call.number);
                    lease.release(outcome::of_refusal(&refusal, detail));
                }
            }
        }
        Err(Halt::Passing(format!(
            "{} was refused {MOST_SENDS} times; run the same command again",
            call.node
        )))
    }

    /// Says once per wait why nothing happens.
    fn tell_once(&self, told: &mut bool, call: &Call<'_>, waiting: Waiting) {
        let short = waiting.wait.is_some_and(|wait| wait < SHORT_WAIT);
        if *told || (short && matches!(waiting.reason, WaitReason::Pacing | WaitReason::Backoff)) {
            return;
        }
        *told = true;
        let why = match waiting.reason {
            WaitReason::AllReserved => "all keys are reserved",
            WaitReason::Pacing => "the next call fits soon",
            WaitReason::RateLimited => "all keys are rate-limited",
            WaitReason::Overloaded => "the provider is overloaded",
            WaitReason::Backoff => "the call is repeated after a pause",
            WaitReason::NoUsableKey => "no usable key is left",
        };
        let until = waiting.wait.map_or(String::new(), |wait| format!(", about {} s", wait.as_secs().max(1)));
        let line = format!("waiting for {}: {why}{until}", call.role.provider);
        self.console.say(&line);
        self.audit.record(&Entry {
            node: call.node,
            iteration: call.iteration,
            event: "waiting",
            provider: Some(&call.role.provider),
            model: Some(&call.role.model),
            detail: &line,
            ..Entry::default()
        });
    }

    fn halted(&self, error: AcquireError) -> Halt {
        // The first cause wins: a signal of our own also reaches the client as a stop.
        let stopped = |cause| Halt::Stopped(self.stop.requested().unwrap_or(cause));
        match error {
            AcquireError::Stopped(reason) => stopped(Cause::Asked(reason)),
            AcquireError::Lost => stopped(Cause::SupervisorLost),
            AcquireError::Denied { detail, passing: true, .. } => Halt::Passing(detail),
            AcquireError::Denied { detail, .. } => Halt::Failed(detail),
            AcquireError::Invalid(_) | AcquireError::InProgress(_) => Halt::Failed(error.to_string()),
        }
    }
}

fn without_key(text: String, secret: &Secret, key: &str) -> String {
    let secret = secret.expose();
    if secret.is_empty() || !text.contains(secret) {
        return text;
    }
    text.replace(secret, &format!("[REDACTED:{key}]"))
}
