//! The built-in worker: one item, one workflow, one process.
//!
//! A worker is started by the supervisor, learns its item from `WF_*` variables and its [`Job`](job::Job) over the
//! socket, and goes through its workflow node by node. After each node its state is durable in the item's checkpoint
//! ([`checkpoint`]); before each API call it asks for a lease. It decides nothing about keys, quotas or retries.
//!
//! Plain synchronous code: one thread works, the main thread only waits for its end or for a stop request.

pub mod checkpoint;
pub mod job;
pub mod prompts;
pub mod workflow;

mod approval;
mod audit;
mod checks;
mod child;
mod code;
mod console;
mod edits;
mod fences;
mod git;
mod halt;
mod http;
mod life;
mod lineage;
mod llm;
mod markdown;
mod outcome;
mod output;
mod proxy;
mod regular;
mod run;
mod session;
mod settings;
mod stop;
#[cfg(test)]
mod testing;
mod thoughts;

pub use http::agent;
pub use life::main;
pub use proxy::{DIRECT, Route};
pub use regular::{open_file_or_pipe, open_regular};
