//! Between the protocol's words and the core's: neither crate knows the other.

use std::time::Duration;

use wf_core::credentials as pool;
use wf_core::{AttemptId, Event, OutputRef, Reply, StopCause, Verdict};
use wf_protocol as wire;

/// What a worker's message means to the core. `None`: a hello, which means nothing to it.
pub fn event(attempt: AttemptId, message: wire::ToSupervisor) -> Option<Event> {
    Some(match message {
        wire::ToSupervisor::Hello { .. } => return None,
        wire::ToSupervisor::Acquire(r) => Event::Acquire {
            attempt,
            request: pool::LeaseRequest {
                call: pool::CallId(r.call),
                provider: r.provider,
                model: r.model,
                tokens: r.tokens,
                share: r.share,
                whole_attempt: false,
            },
        },
        wire::ToSupervisor::Release { lease, outcome } => {
            Event::Release { attempt, lease: pool::LeaseId(lease), outcome: call_outcome(outcome) }
        }
        wire::ToSupervisor::Progress { node, iteration, share } => {
            Event::Progress { attempt, node, iteration, share }
        }
        wire::ToSupervisor::Checkpointed { node } => Event::Checkpointed { attempt, node },
        wire::ToSupervisor::Finished { verdict, detail, output } => Event::Finished {
            attempt,
            verdict: match verdict {
                wire::JobVerdict::Approved => Verdict::Approved,
                wire::JobVerdict::NeedsRevision => Verdict::NeedsRevision,
                wire::JobVerdict::Interrupted => Verdict::Interrupted,
                wire::JobVerdict::Failed => Verdict::Failed,
            },
            detail,
            output: output.map(|(path, sha256)| OutputRef { path, sha256 }),
        },
    })
}

fn call_outcome(outcome: wire::CallOutcome) -> pool::CallOutcome {
    use wire::CallOutcome as W;
    let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
    match outcome {
        W::Ok { tokens_in, tokens_out, hints } => {
            pool::CallOutcome::Ok { tokens_in, tokens_out, hints: hints.into_iter().map(hint).collect() }
        }
        W::Limited { dimension: d, retry_after_ms, limit, slow_down, hints } => pool::CallOutcome::Limited {
            dimension: d.map(dimension),
            retry_after: ms(retry_after_ms),
            limit,
            slow_down,
            hints: hints.into_iter().map(hint).collect(),
        },
        W::Overloaded { retry_after_ms } => pool::CallOutcome::Overloaded { retry_after: ms(retry_after_ms) },
        W::KeyRefused { detail } => pool::CallOutcome::KeyRefused { detail },
        W::Billing { detail } => pool::CallOutcome::Billing { detail },
        W::RequestRefused { detail } => pool::CallOutcome::RequestRefused { detail },
        W::Transient { detail } => pool::CallOutcome::Transient { detail },
        W::Abandoned => pool::CallOutcome::Abandoned,
    }
}

fn dimension(d: wire::Dimension) -> pool::Dimension {
    match d {
        wire::Dimension::RequestsPerMinute => pool::Dimension::RequestsPerMinute,
        wire::Dimension::TokensPerMinute => pool::Dimension::TokensPerMinute,
        wire::Dimension::RequestsPerDay => pool::Dimension::RequestsPerDay,
    }
}

fn hint(h: wire::QuotaHint) -> pool::QuotaHint {
    pool::QuotaHint {
        dimension: dimension(h.dimension),
        limit: h.limit,
        remaining: h.remaining,
        reset: h.reset_ms.map(Duration::from_millis),
    }
}

/// The core's answer as a message. `secret` gives the key's name and its secret, for the one message that carries it.
pub fn reply(reply: Reply, secret: impl FnOnce(pool::KeyIndex) -> (String, wire::Secret)) -> wire::ToWorker {
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    match reply {
        Reply::Granted { call, lease, key, expires_in } => {
            let (key, secret) = secret(key);
            wire::ToWorker::Granted { call: call.0, lease: lease.0, key, secret, expires_ms: ms(expires_in) }
        }
        Reply::Waiting { call, reason, wait } => {
            wire::ToWorker::Waiting { call: call.0, reason: wait_reason(reason), wait_ms: wait.map(ms) }
        }
        Reply::Denied { call, cause } => wire::ToWorker::Denied {
            call: call.0,
            detail: cause.to_string(),
            passing: cause.is_passing(),
            cause: deny_cause(&cause),
        },
    }
}

fn wait_reason(reason: pool::WaitReason) -> wire::WaitReason {
    match reason {
        pool::WaitReason::AllReserved => wire::WaitReason::AllReserved,
        pool::WaitReason::Pacing => wire::WaitReason::Pacing,
        pool::WaitReason::RateLimited => wire::WaitReason::RateLimited,
        pool::WaitReason::Overloaded => wire::WaitReason::Overloaded,
        pool::WaitReason::Backoff => wire::WaitReason::Backoff,
        pool::WaitReason::NoUsableKey => wire::WaitReason::NoUsableKey,
    }
}

fn deny_cause(cause: &pool::DenyCause) -> wire::DenyCause {
    match cause {
        pool::DenyCause::MaxWait | pool::DenyCause::Beyond { .. } => wire::DenyCause::MaxWait,
        pool::DenyCause::Budget => wire::DenyCause::Budget,
        pool::DenyCause::PoolDead(_) => wire::DenyCause::PoolDead,
        pool::DenyCause::NoSuchProvider(_) => wire::DenyCause::NoSuchProvider,
        pool::DenyCause::RateLimited { .. } => wire::DenyCause::RateLimited,
        pool::DenyCause::Unreachable { .. } => wire::DenyCause::Unreachable,
        pool::DenyCause::Refused(_) => wire::DenyCause::Refused,
        pool::DenyCause::KeyRefused(_) => wire::DenyCause::KeyRefused,
    }
}

/// Why a worker is asked to stop, in the protocol's words.
pub fn stop_reason(cause: StopCause) -> wire::StopReason {
    match cause {
        StopCause::Timeout | StopCause::Idle => wire::StopReason::Watchdog,
        StopCause::PoolDead => wire::StopReason::PoolDead,
        StopCause::RunTimeout | StopCause::Operator | StopCause::Trouble => wire::StopReason::Shutdown,
    }
}
