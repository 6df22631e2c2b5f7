//! One file per verb.

pub mod clean;
pub mod completions;
pub mod demo;
pub mod init;
pub mod keys;
pub mod list;
pub mod logs;
pub mod plan;
pub mod pool;
pub mod review_verdict;
pub mod run;
pub mod show;
pub mod workflows;
