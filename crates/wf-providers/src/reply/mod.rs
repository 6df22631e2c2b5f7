//! From a status, headers and bytes to an answer or a refusal. Total: every input gives one of them.

mod anthropic;
mod assembly;
mod gemini;
mod kinds;
mod openai;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use serde_json::Value;

pub(crate) use assembly::Assembly;

use crate::text::beginning;
use crate::{Dialect, Dimension, QuotaHint, clean_message, parse};

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The model answered.
    Answer(Answer),
    /// It did not.
    Refused(Refusal),
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All text parts in order, thoughts left out. Empty also where the model ended without a word: it was paid for, and
    /// is told so.
    pub text: String,
    /// Tokens of the input, cached ones included; 0 where the provider did not say.
    pub tokens_in: u64,
    /// Tokens of the output, thoughts included; 0 where the provider did not say.
    pub tokens_out: u64,
    /// The reply ended at its token limit, not where the model wanted.
    pub truncated: bool,
    /// What the headers said of the quota: at most one hint per dimension.
    pub hints: Vec<QuotaHint>,
}

/// Why there is no answer. `detail` is the status and the provider's words, bounded and on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A quota of the key's group is used up.
    Limited {
        /// Which one, where stated; the strictest where several are.
        dimension: Option<Dimension>,
        /// The latest of all hints, at most [`LONGEST_HINT`](crate::LONGEST_HINT).
        retry_after: Option<Duration>,
        /// The limit of that dimension, where stated.
        limit: Option<u64>,
        /// The provider asks for a lower rate than its own limit.
        slow_down: bool,
        /// What the headers said of the quota: at most one hint per dimension.
        hints: Vec<QuotaHint>,
        /// For people.
        detail: String,
    },
    /// The provider's trouble; no key is to blame.
    Overloaded {
        /// As told.
        retry_after: Option<Duration>,
        /// For people.
        detail: String,
    },
    /// The key was refused as invalid, or may not do this.
    KeyRefused {
        /// For people.
        detail: String,
    },
    /// The account behind the key's group cannot pay.
    Billing {
        /// For people.
        detail: String,
    },
    /// The request itself was refused: repeating it is pointless.
    RequestRefused {
        /// For people.
        detail: String,
    },
    /// A passing fault: 5xx, a reply that was cut or is not what the API sends.
    Transient {
        /// For people.
        detail: String,
    },
}

impl Refusal {
    /// A 429 that says at most when to come back.
    fn limited_by_status(retry_after: Option<Duration>, detail: String) -> Refusal {
        Refusal::Limited {
            dimension: None,
            retry_after,
            limit: None,
            slow_down: false,
            hints: Vec::new(),
            detail,
        }
    }

    /// For people: the status and the provider's words, bounded and on one line.
    pub fn detail(&self) -> &str {
        match self {
            Refusal::Limited { detail, .. }
            | Refusal::Overloaded { detail, .. }
            | Refusal::KeyRefused { detail }
            | Refusal::Billing { detail }
            | Refusal::RequestRefused { detail }
            | Refusal::Transient { detail } => detail,
        }
    }
}

/// Reads a reply. `now_unix` is the wall-clock time since the Unix epoch at which it arrived: providers name some
/// times of day, and everything returned here is a distance from now.
///
/// Header names are compared without regard to case. A client that could not decode a header's bytes may pass them
/// lossily: values that make no sense are ignored.
pub fn read_reply(
    dialect: Dialect,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    now_unix: Duration,
) -> Reply {
    let raw = Raw::new(dialect, status, headers, body, now_unix);
    if !raw.is_success() {
        return Reply::Refused(raw.refusal());
    }
    if dialect == Dialect::Gemini
        && let Some(chunks) = assembly::chunks(body)
    {
        return chunks.reply(status, headers, now_unix);
    }
    if let Some(refusal) = raw.error_inside() {
        return Reply::Refused(refusal);
    }
    read_answer(&raw)
}

/// Reads a good reply, put together where it was streamed.
fn read_answer(raw: &Raw<'_>) -> Reply {
    let read = match raw.dialect {
        Dialect::Gemini => gemini::answer(raw),
        Dialect::Anthropic => anthropic::answer(raw),
        Dialect::OpenAi => openai::answer(raw),
    };
    match read {
        Ok(answer) => Reply::Answer(answer),
        Err(refusal) => Reply::Refused(refusal),
    }
}

/// Reads the reply to a [`build_key_check`](crate::build_key_check): `None` when the key is good.
pub fn read_key_check(
    dialect: Dialect,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    now_unix: Duration,
) -> Option<Refusal> {
    let raw = Raw::new(dialect, status, headers, body, now_unix);
    if raw.is_success() { raw.error_inside() } else { Some(raw.refusal()) }
}

/// A reply as it came in, and the questions every dialect asks of it.
struct Raw<'a> {
    dialect: Dialect,
    status: u16,
    headers: &'a [(String, String)],
    json: Option<Value>,
    text: String,
    /// The provider's words, whatever shape they came in.
    words: String,
    now_unix: Duration,
}

impl<'a> Raw<'a> {
    fn new(
        dialect: Dialect,
        status: u16,
        headers: &'a [(String, String)],
        body: &[u8],
        now_unix: Duration,
    ) -> Raw<'a> {
        let json = match serde_json::from_slice::<Value>(body).ok() {
            // Gemini wraps an error in a list of one where it streams without `alt=sse`.
            Some(Value::Array(mut list)) if !list.is_empty() => Some(list.swap_remove(0)),
            other => other,
        };
        let text = if json.is_some() { String::new() } else { beginning(body) };
        let words = words::of(json.as_ref(), &text);
        Raw { dialect, status, headers, json, text, words, now_unix }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn refusal(&self) -> Refusal {
        if let Some(refusal) = kinds::refusal(self) {
            return refusal;
        }
        let refusal = match self.dialect {
            Dialect::Gemini => gemini::refusal(self),
            Dialect::Anthropic => anthropic::refusal(self),
            Dialect::OpenAi => openai::refusal(self),
        };
        believable(refusal)
    }

    /// An error that arrived under a good status: in the body itself, or as an event of a stream.
    fn error_inside(&self) -> Option<Refusal> {
        let error = match &self.json {
            Some(json) => json.get("error").filter(|error| !error.is_null()).map(|_| json.clone()),
            None => stream_error(&self.text),
        }?;
        let words = words::of(Some(&error), "");
        Some(Raw { json: Some(error), text: String::new(), words, ..*self }.refusal_inside())
    }

    /// The refusal in an error that arrived under a good status: its own code speaks, where it has one.
    fn refusal_inside(self) -> Refusal {
        let code = parse::count(&self.error()["code"]).and_then(|code| u16::try_from(code).ok());
        let status = code.filter(|code| (400..600).contains(code)).unwrap_or(self.status);
        Raw { status, ..self }.refusal()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name))?;
        Some(parse::cut(found.1.trim(), 256))
    }

    /// The object that describes the error, wherever this kind of server puts it.
    fn error(&self) -> &Value {
        self.json.as_ref().map_or(&Value::Null, words::error)
    }

    /// A text field of the error object, or nothing.
    fn error_word(&self, field: &str) -> &str {
        self.error().get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The codes, types and reasons of the error wherever they stand, in small letters.
    fn codes(&self) -> Vec<String> {
        let error = self.error();
        let tops = [Some(error), self.json.as_ref()];
        let of = |value: &Value, field: &str| match value.get(field) {
            Some(Value::String(word)) => Some(word.to_lowercase()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let mut codes = Vec::new();
        for top in tops.into_iter().flatten() {
            codes.extend(["code", "type", "status", "reason"].iter().filter_map(|field| of(top, field)));
        }
        // Anthropic's details are an object, Google's a list; some lists have entries without a type.
        match error.get("details") {
            Some(Value::Array(details)) => {
                codes.extend(details.iter().filter_map(|detail| of(detail, "reason")));
            }
            Some(details) => codes.extend(of(details, "error_code")),
            None => {}
        }
        codes
    }

    /// The provider's words; the beginning of the body where there is no field for them.
    fn message(&self) -> &str {
        &self.words
    }

    /// Status and words, for people.
    fn detail(&self) -> String {
        let message = clean_message(self.message());
        if message.is_empty() {
            format!("HTTP {}", self.status)
        } else {
            clean_message(&format!("HTTP {}: {message}", self.status))
        }
    }

    /// The longest of the waits every server may ask for: `retry-after-ms`, `retry-after` in seconds, as a date or as an
    /// instant, a reset in a header, the body or a header repeated in the body, and prose.
    fn retry_after(&self) -> Option<Duration> {
        let millis =
            self.header("retry-after-ms").and_then(|text| parse::seconds(text.parse::<f64>().ok()? / 1e3));
        let instant = |text: &str| parse::wait_or_instant(text, self.now_unix);
        let stated = self
            .header("retry-after")
            .and_then(|text| instant(text).or_else(|| parse::until_http_date(text, self.now_unix)));
        let error = self.error();
        let field = |name: &str| match error.get(name) {
            Some(Value::String(text)) => instant(text).or_else(|| parse::until_rfc3339(text, self.now_unix)),
            Some(Value::Number(number)) => instant(&number.to_string()),
            _ => None,
        };
        // Google's `RetryInfo`, whoever repeats it.
        let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
        let delays = details.iter().filter_map(|detail| parse::proto_duration(detail.get("retryDelay")?));
        let told = [
            millis,
            stated,
            parse::prose_wait(self.message()),
            parse::prose_date(self.message(), self.now_unix),
        ]
        .into_iter()
        .flatten()
        .chain(delays)
        .max();
        // Headers of a plan that signs in (`anthropic-ratelimit-unified-*`, as its clients read them), of OpenRouter's
        // free models (repeated in the body's metadata), and the fields of Codex's `usage_limit_reached`.
        let in_body = &error["metadata"]["headers"]["X-RateLimit-Reset"];
        let in_body = in_body.as_str().map(str::to_owned).or_else(|| in_body.as_u64().map(|n| n.to_string()));
        let reset = || {
            let header = ["anthropic-ratelimit-unified-reset", "x-ratelimit-reset"]
                .into_iter()
                .find_map(|name| self.header(name));
            header.and_then(instant).or_else(|| instant(&in_body?)).or_else(|| field("resets_at"))
        };
        told.or_else(|| field("resets_in_seconds")).or_else(reset)
    }

    /// What the status alone says.
    fn by_status(&self) -> Refusal {
        let detail = self.detail();
        match self.status {
            401 | 403 => Refusal::KeyRefused { detail },
            402 => Refusal::Billing { detail },
            429 => Refusal::limited_by_status(self.retry_after(), detail),
            503 | 529 => Refusal::Overloaded { retry_after: self.retry_after(), detail },
            // A request that timed out, collided or came too early on the server's side may be sent again.
            // 499: the connection was given up on their side (nginx; Gemini's CANCELLED).
            408 | 409 | 425 | 499 => Refusal::Transient { detail },
            300..=399 => Refusal::RequestRefused { detail: self.redirect() },
            400..=499 => Refusal::RequestRefused { detail },
            _ => Refusal::Transient { detail },
        }
    }

    /// A redirect is never followed: it would carry the key to wherever it points.
    fn redirect(&self) -> String {
        // What comes after the path may hold anything, secrets included.
        let place = self.header("location").and_then(|to| to.split(['?', '#']).next()).unwrap_or_default();
        let place = if place.is_empty() { "elsewhere" } else { place };
        clean_message(&format!(
            "HTTP {}: the address redirects to {place}, and keys are not sent along: put the right address into base_url \
             of this provider",
            self.status
        ))
    }

    /// A good status without a usable answer.
    fn not_an_answer(&self, what: &str) -> Refusal {
        Refusal::Transient { detail: clean_message(&format!("HTTP {}: {what}", self.status)) }
    }

    fn json_or_cut(&self) -> Result<&Value, Refusal> {
        let what =
            if self.text.is_empty() { "an empty reply" } else { "a reply that was cut or is not JSON" };
        self.json.as_ref().ok_or_else(|| self.not_an_answer(what))
    }
}

/// A wait that its kind cannot be is cut: a limit of a minute is over within an hour.
fn believable(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Limited {
            dimension: dimension @ Some(Dimension::RequestsPerMinute | Dimension::TokensPerMinute),
            retry_after: Some(wait),
            limit,
            slow_down,
            hints,
            detail,
        } => Refusal::Limited {
            dimension,
            retry_after: Some(wait.min(kinds::LONGEST_MINUTE)),
            limit,
            slow_down,
            hints,
            detail,
        },
        other => other,
    }
}

/// The first event of a text/event-stream whose data is an error object.
fn stream_error(text: &str) -> Option<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok())
        .find(|event| event.get("error").is_some_and(|error| !error.is_null()))
}

/// Of several hints for one dimension the tightest is kept: the one with the smallest share left.
fn tightest(hints: impl IntoIterator<Item = QuotaHint>) -> Option<QuotaHint> {
    let share = |hint: &QuotaHint| match (hint.remaining, hint.limit) {
        (Some(remaining), Some(limit)) if limit > 0 => remaining as f64 / limit as f64,
        _ => f64::INFINITY,
    };
    hints.into_iter().min_by(|a, b| share(a).total_cmp(&share(b)))
}
