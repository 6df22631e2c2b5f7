//! What people see.

pub mod prefixer;
pub mod progress;
pub mod redact;
pub mod terminal;
