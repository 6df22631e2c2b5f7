//! What `wf-supervisor` promises, tried with the real binaries.

mod bounds;
mod happy_path;
mod items;
mod kills;
mod output;
mod resume;
mod secrets;
mod signals;
mod usage;
mod verbs;
