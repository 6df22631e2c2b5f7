//! The wire facts as rows: what came in, and what it means.

mod answers;
mod hostile;
mod kinds;
mod refusals;
mod streams;

use serde_json::{Value, json};

use super::*;
use crate::LONGEST_MESSAGE_CHARS;

/// 2026-11-21T12:00:00Z, which is 04:00 in California.
const NOW: Duration = Duration::from_secs(1_795_262_400);
const TO_MIDNIGHT: Duration = Duration::from_secs(20 * 3_600);

const RPM: Option<Dimension> = Some(Dimension::RequestsPerMinute);
const TPM: Option<Dimension> = Some(Dimension::TokensPerMinute);
const RPD: Option<Dimension> = Some(Dimension::RequestsPerDay);

fn read(dialect: Dialect, status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read_reply(dialect, status, &headers, body.as_bytes(), NOW)
}

/// A refusal without its words, so that a row fits a line.
fn kind(reply: &Reply) -> (&'static str, Option<Dimension>, Option<u128>, Option<u64>) {
    let ms = |wait: &Option<Duration>| wait.map(|wait| wait.as_millis());
    match reply {
        Reply::Answer(_) => ("ok", None, None, None),
        Reply::Refused(refusal) => match refusal {
            Refusal::Limited { dimension, retry_after, limit, .. } => {
                ("limited", *dimension, ms(retry_after), *limit)
            }
            Refusal::Overloaded { retry_after, .. } => ("overloaded", None, ms(retry_after), None),
            Refusal::KeyRefused { .. } => ("key-refused", None, None, None),
            Refusal::Billing { .. } => ("billing", None, None, None),
            Refusal::RequestRefused { .. } => ("request-refused", None, None, None),
            Refusal::Transient { .. } => ("transient", None, None, None),
        },
    }
}

fn gemini_error(code: u16, status: &str, message: &str, details: &Value) -> String {
    json!({ "error": { "code": code, "status": status, "message": message, "details": details } }).to_string()
}

fn quota_failure(violations: &[(&str, &str)]) -> Value {
    let violations: Vec<Value> = violations
        .iter()
        .map(|(id, value)| json!({ "quotaId": id, "quotaValue": value, "quotaDimensions": { "model": "m" } }))
        .collect();
    json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations })
}

fn retry_info(delay: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay })
}

fn error_info(reason: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com" })
}

const PER_MINUTE: &str = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
const PER_DAY: &str = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
const TOKENS: &str = "GenerateContentInputTokensPerModelPerMinute-FreeTier";
const DAY_TOKENS: &str = "GenerateContentInputTokensPerModelPerDay-FreeTier";

#[test]
fn a_cut_answer_is_a_passing_fault() {
    let whole = json!({ "candidates": [{ "content": { "parts": [{ "text": "One" }] } }] }).to_string();
    for dialect in Dialect::ALL {
        let reply = read(dialect, 200, &[], &whole[..whole.len() - 3]);
        assert_eq!(kind(&reply).0, "transient");
        assert!(
            matches!(&reply, Reply::Refused(r) if r.detail().contains("cut or is not JSON")),
            "{reply:?}"
        );
    }
}

#[test]
fn a_megabyte_of_prose_is_a_short_message() {
    let prose = "all work and no play ".repeat(50_000);
    let in_json = json!({ "error": { "message": prose, "status": "X" } }).to_string();
    for dialect in Dialect::ALL {
        for body in [&prose, &in_json] {
            let reply = read(dialect, 400, &[], body);
            let Reply::Refused(refusal) = reply else { panic!("an answer?") };
            assert!(refusal.detail().starts_with("HTTP 400: all work"), "{refusal:?}");
            assert!(refusal.detail().chars().count() <= LONGEST_MESSAGE_CHARS);
        }
    }
}

#[test]
fn a_key_check_spends_nothing_and_says_the_same() {
    let check = |status, body: &str| read_key_check(Dialect::Gemini, status, &[], body.as_bytes(), NOW);
    assert_eq!(check(200, r#"{"models":[]}"#), None);
    let bad =
        gemini_error(400, "INVALID_ARGUMENT", "API key not valid.", &json!([error_info("API_KEY_INVALID")]));
    assert_eq!(check(400, &bad), Some(Refusal::KeyRefused { detail: "HTTP 400: API key not valid.".into() }));
}
