//! The built-in worker: one item, one workflow, one process.

pub mod job;
