//! What lies on disk.

pub mod audit;
pub mod history;
pub mod journal;
pub mod layout;
pub mod summary;
