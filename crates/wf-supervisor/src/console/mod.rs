//! What people see.

pub mod prefixer;
pub mod redact;
pub mod progress;
pub mod terminal;
