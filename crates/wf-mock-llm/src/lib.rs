//! The mock GenAI server: all three dialects on one loopback port, with quotas, refusals and faults like the real ones.
//!
//! [`MockServer::start`] runs it on a thread of its own; the binary `wf-mock-llm` is [`main`]. Replies are written by
//! workflow node and iteration and depend only on the seed and the prompt, never on timing, so two runs over the same
//! items are answered alike. What the server saw is in its [`Counters`]: the truth from the other side of the wire.

mod answers;
mod body;
mod cli;
mod config;
mod context;
mod control;
mod counters;
mod documents;
mod draw;
mod engine;
mod faults;
mod fixtures;
mod profile;
mod quota;
mod script;
mod server;
mod wire;

pub use cli::main;
pub use config::{Latency, Limits, MockConfig, MockKey};
pub use control::Control;
pub use counters::{Counters, GroupTally, Tally};
pub use faults::{Fault, Faults};
pub use fixtures::Fixtures;
pub use profile::PROFILES;
pub use quota::Window;
pub use script::{BadScript, Script};
pub use server::MockServer;
