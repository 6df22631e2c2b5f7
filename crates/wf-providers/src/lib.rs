//! The wire formats of GenAI providers: build a request, read a reply, classify a refusal.
//!
//! Nothing here does I/O or looks at a clock: the caller sends the [`Request`] with the HTTP client of its choice and
//! hands back what came in. [`Incoming`], which takes a reply in pieces, streamed or not, and [`read_reply`], which takes
//! it whole, are total: any status, any headers and any bytes give a [`Reply`].

mod dialect;
mod events;
mod hint;
mod incoming;
mod models;
mod parse;
mod reply;
mod request;
mod text;

pub use dialect::{Dialect, UnknownDialect};
pub use events::{EventReader, EventTooLong, LONGEST_EVENT_BYTES, StreamEvent};
pub use hint::{Dimension, QuotaHint};
pub use incoming::{End, Incoming, LONGEST_REPLY_BYTES, Wanted};
pub use models::{DefaultModels, MODELS_AS_OF, default_models};
pub use parse::LONGEST_HINT;
pub use reply::{Answer, Refusal, Reply, read_key_check, read_reply};
pub use request::{Delivery, Prompt, Request, Speaker, Turn, build_key_check, build_request};
pub use text::{LONGEST_MESSAGE_CHARS, clean_message};
