//! What came of a call, as a provider's reply says it, in the words of a returned lease: neither crate knows the other.

use std::time::Duration;

use wf_protocol::{CallOutcome, Dimension, QuotaHint};
use wf_providers::{Answer, Refusal};

/// The call was answered.
pub fn of_answer(answer: &Answer) -> CallOutcome {
    CallOutcome::Ok {
        tokens_in: answer.tokens_in,
        tokens_out: answer.tokens_out,
        hints: answer.hints.iter().map(hint).collect(),
    }
}

/// The call was refused. `detail` is the refusal's own, without any secret.
pub fn of_refusal(refusal: &Refusal, detail: String) -> CallOutcome {
    match refusal {
        Refusal::Limited { dimension: of, retry_after, limit, slow_down, hints, .. } => {
            CallOutcome::Limited {
                dimension: of.map(dimension),
                retry_after_ms: retry_after.map(millis),
                limit: *limit,
                slow_down: *slow_down,
                hints: hints.iter().map(hint).collect(),
            }
        }
        Refusal::Overloaded { retry_after, .. } => {
            CallOutcome::Overloaded { retry_after_ms: retry_after.map(millis) }
        }
        Refusal::KeyRefused { .. } => CallOutcome::KeyRefused { detail },
        Refusal::Billing { .. } => CallOutcome::Billing { detail },
        Refusal::RequestRefused { .. } => CallOutcome::RequestRefused { detail },
        Refusal::Transient { .. } => CallOutcome::Transient { detail },
    }
}

fn hint(hint: &wf_providers::QuotaHint) -> QuotaHint {
    QuotaHint {
        dimension: dimension(hint.dimension),
        limit: hint.limit,
        remaining: hint.remaining,
        reset_ms: hint.reset.map(millis),
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

fn dimension(dimension: wf_providers::Dimension) -> Dimension {
    match dimension {
        wf_providers::Dimension::RequestsPerMinute => Dimension::RequestsPerMinute,
        wf_providers::Dimension::TokensPerMinute => Dimension::TokensPerMinute,
        wf_providers::Dimension::RequestsPerDay => Dimension::RequestsPerDay,
    }
}
