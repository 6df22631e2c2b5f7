//! The wire formats of GenAI providers: build a request, read a reply, classify a refusal.
//!
//! Nothing here does I/O or looks at a clock: the caller sends the [`Request`] with the HTTP client of its choice and
//! hands back what came in. [`read_reply`] is total: any status, any headers and any bytes give a [`Reply`].

mod dialect;
mod hint;
mod models;
mod parse;
mod reply;
mod request;
mod text;

pub use dialect::{Dialect, UnknownDialect};
pub use hint::{Dimension, QuotaHint};
pub use models::{DefaultModels, MODELS_AS_OF, default_models};
pub use parse::LONGEST_HINT;
pub use reply::{Answer, Refusal, Reply, read_key_check, read_reply};
pub use request::{Prompt, Request, Speaker, Turn, build_key_check, build_request};
pub use text::{LONGEST_MESSAGE_CHARS, clean_message};
