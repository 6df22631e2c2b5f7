//! What `wf-supervisor` promises, tried with the real binaries.

mod bounds;
mod happy_path;
mod items;
mod kills;
mod signals;
mod usage;
