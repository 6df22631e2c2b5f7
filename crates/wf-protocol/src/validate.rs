//! The bounds of the fields that a worker fills in. A worker is not trusted: what it says ends up in the journal, on
//! terminals and in the pool's arithmetic.

use thiserror::Error;

use crate::limits::{
    FULL_SHARE, HASH_DIGITS, MAX_HINTS, MAX_MODEL_BYTES, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TEXT_BYTES,
    TOKEN_DIGITS,
};
use crate::{CallOutcome, LeaseRequest, ToSupervisor};

/// A field outside of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A name without a character.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// More bytes than allowed.
    #[error("{field} has {bytes} bytes, {limit} are allowed")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A name with a control character.
    #[error("{field} has a control character")]
    Control {
        /// Which field.
        field: &'static str,
    },
    /// Not that many hexadecimal digits.
    #[error("{field} is not {digits} hexadecimal digits")]
    NotHex {
        /// Which field.
        field: &'static str,
        /// Digits expected.
        digits: usize,
    },
    /// More than the whole.
    #[error("share is {share}, {FULL_SHARE} is the whole")]
    Share {
        /// What was said.
        share: u16,
    },
    /// More quota hints than any provider sends.
    #[error("{hints} quota hints, {MAX_HINTS} are allowed")]
    Hints {
        /// How many came.
        hints: usize,
    },
}

impl ToSupervisor {
    /// Checks every field against its bound.
    pub fn validate(&self) -> Result<(), FieldError> {
        match self {
            ToSupervisor::Hello { version: _, token } => hex("token", token.expose(), TOKEN_DIGITS),
            ToSupervisor::Acquire(request) => request.validate(),
            ToSupervisor::Release { lease: _, outcome } => outcome.validate(),
            ToSupervisor::Progress { node, iteration: _, share } => {
                name("node", node, MAX_NAME_BYTES)?;
                whole(*share)
            }
            ToSupervisor::Checkpointed { node } => name("node", node, MAX_NAME_BYTES),
            ToSupervisor::Finished { verdict: _, detail, output } => {
                text("detail", detail, MAX_TEXT_BYTES)?;
                let Some((path, hash)) = output else { return Ok(()) };
                if path.is_empty() {
                    return Err(FieldError::Empty { field: "output path" });
                }
                text("output path", path, MAX_PATH_BYTES)?;
                hex("output hash", hash, HASH_DIGITS)
            }
        }
    }
}

impl LeaseRequest {
    /// Checks every field against its bound.
    pub fn validate(&self) -> Result<(), FieldError> {
        name("provider", &self.provider, MAX_NAME_BYTES)?;
        name("model", &self.model, MAX_MODEL_BYTES)?;
        whole(self.share)
    }
}

impl CallOutcome {
    /// Checks every field against its bound.
    pub fn validate(&self) -> Result<(), FieldError> {
        match self {
            CallOutcome::Ok { hints, .. } | CallOutcome::Limited { hints, .. } if hints.len() > MAX_HINTS => {
                Err(FieldError::Hints { hints: hints.len() })
            }
            CallOutcome::KeyRefused { detail }
            | CallOutcome::Billing { detail }
            | CallOutcome::RequestRefused { detail }
            | CallOutcome::Transient { detail } => text("detail", detail, MAX_TEXT_BYTES),
            CallOutcome::Ok { .. }
            | CallOutcome::Limited { .. }
            | CallOutcome::Overloaded { .. }
            | CallOutcome::Abandoned => Ok(()),
        }
    }

    /// Cuts what is over its bound, so that a provider's megabyte of prose costs a worker its tail and not the
    /// connection.
    pub(crate) fn clip(&mut self) {
        match self {
            CallOutcome::Ok { hints, .. } | CallOutcome::Limited { hints, .. } => {
                hints.truncate(MAX_HINTS);
            }
            CallOutcome::KeyRefused { detail }
            | CallOutcome::Billing { detail }
            | CallOutcome::RequestRefused { detail }
            | CallOutcome::Transient { detail } => clip_text(detail, MAX_TEXT_BYTES),
            CallOutcome::Overloaded { .. } | CallOutcome::Abandoned => {}
        }
    }
}

/// Cuts a text at the last character that fits.
pub(crate) fn clip_text(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// A name that passes: control characters replaced, cut, never empty.
pub(crate) fn clean_name(raw: &str, limit: usize) -> String {
    let mut name: String = raw.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    clip_text(&mut name, limit);
    if name.is_empty() {
        name.push('_');
    }
    name
}

fn name(field: &'static str, value: &str, limit: usize) -> Result<(), FieldError> {
    if value.is_empty() {
        return Err(FieldError::Empty { field });
    }
    text(field, value, limit)?;
    if value.chars().any(char::is_control) { Err(FieldError::Control { field }) } else { Ok(()) }
}

fn text(field: &'static str, value: &str, limit: usize) -> Result<(), FieldError> {
    let bytes = value.len();
    if bytes > limit { Err(FieldError::TooLong { field, bytes, limit }) } else { Ok(()) }
}

fn hex(field: &'static str, value: &str, digits: usize) -> Result<(), FieldError> {
    let good = value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit());
    if good { Ok(()) } else { Err(FieldError::NotHex { field, digits }) }
}

fn whole(share: u16) -> Result<(), FieldError> {
    if share > FULL_SHARE { Err(FieldError::Share { share }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dimension, JobVerdict, QuotaHint};

    fn acquire(provider: &str, model: &str, share: u16) -> ToSupervisor {
        let (provider, model) = (provider.to_owned(), model.to_owned());
        ToSupervisor::Acquire(LeaseRequest { call: 1, provider, model, tokens: u64::MAX, share })
    }

    fn release(outcome: CallOutcome) -> ToSupervisor {
        ToSupervisor::Release { lease: 1, outcome }
    }

    fn ok_with_hints(count: usize) -> CallOutcome {
        let hint = QuotaHint {
            dimension: Dimension::RequestsPerDay,
            limit: None,
            remaining: Some(0),
            reset_ms: Some(u64::MAX),
        };
        CallOutcome::Ok { tokens_in: 0, tokens_out: u64::MAX, hints: vec![hint; count] }
    }

    fn finished(detail: usize, output: Option<(&str, &str)>) -> ToSupervisor {
        ToSupervisor::Finished {
            verdict: JobVerdict::Approved,
            detail: "d".repeat(detail),
            output: output.map(|(path, hash)| (path.to_owned(), hash.to_owned())),
        }
    }

    #[test]
    fn bounds_are_inclusive_and_every_field_has_one() {
        let hello = |token: &str| ToSupervisor::Hello { version: 9, token: token.into() };
        let progress =
            |node: &str, share| ToSupervisor::Progress { node: node.to_owned(), iteration: 0, share };
        let detail = |bytes: usize| "é".repeat(bytes / 2);
        let hash = "0aF3".repeat(16);
        let good = [
            hello("0123456789abcdefABCDEF0123456789"),
            acquire(&"p".repeat(64), &"m".repeat(128), 1000),
            release(ok_with_hints(16)),
            release(CallOutcome::Billing { detail: detail(4096) }),
            release(CallOutcome::Abandoned),
            progress(&"n".repeat(64), 0),
            ToSupervisor::Checkpointed { node: "N1_draft".into() },
            finished(4096, None),
            finished(0, Some(("docs/lld/LLD-42.md", &hash))),
        ];
        for message in good {
            assert_eq!(message.validate(), Ok(()), "{message:?}");
        }
        let bad = [
            (hello("0123456789abcdef0123456789abcde"), "token is not 32 hexadecimal digits"),
            (hello("0123456789abcdef0123456789abcdeg"), "token is not 32 hexadecimal digits"),
            (acquire("", "m", 0), "provider is empty"),
            (acquire(&"p".repeat(65), "m", 0), "provider has 65 bytes, 64 are allowed"),
            (acquire("p", &"m".repeat(129), 0), "model has 129 bytes, 128 are allowed"),
            (acquire("p", "m\u{1b}[2J", 0), "model has a control character"),
            (acquire("p", "m", 1001), "share is 1001, 1000 is the whole"),
            (release(ok_with_hints(17)), "17 quota hints, 16 are allowed"),
            (
                release(CallOutcome::KeyRefused { detail: detail(4098) }),
                "detail has 4098 bytes, 4096 are allowed",
            ),
            (
                release(CallOutcome::Transient { detail: detail(4098) }),
                "detail has 4098 bytes, 4096 are allowed",
            ),
            (progress("", 0), "node is empty"),
            (progress("a\nb", 0), "node has a control character"),
            (progress("a", u16::MAX), "share is 65535, 1000 is the whole"),
            (ToSupervisor::Checkpointed { node: "n".repeat(65) }, "node has 65 bytes, 64 are allowed"),
            (finished(4097, None), "detail has 4097 bytes, 4096 are allowed"),
            (finished(0, Some(("", &hash))), "output path is empty"),
            (finished(0, Some((&"p".repeat(4097), &hash))), "output path has 4097 bytes, 4096 are allowed"),
            (finished(0, Some(("p", &hash[1..]))), "output hash is not 64 hexadecimal digits"),
        ];
        for (message, words) in bad {
            assert_eq!(message.validate().map_err(|e| e.to_string()), Err(words.to_owned()));
        }
    }

    #[test]
    fn what_is_clipped_passes() {
        let mut outcome = CallOutcome::Transient { detail: format!("a{}", "é".repeat(4000)) };
        outcome.clip();
        assert_eq!(outcome.validate(), Ok(()));
        assert_eq!(outcome, CallOutcome::Transient { detail: format!("a{}", "é".repeat(2047)) });
        let mut outcome = ok_with_hints(40);
        outcome.clip();
        assert_eq!(outcome.validate(), Ok(()));
        for (raw, clean) in [("", "_"), ("N1\tred", "N1_red"), ("éééé", "ééé")] {
            assert_eq!(clean_name(raw, 7), clean);
        }
    }
}
