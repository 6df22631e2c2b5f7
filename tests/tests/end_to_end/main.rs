//! What `wf-supervisor` promises, tried with the real binaries.

mod bounds;
mod chaos;
mod deaths;
mod edges;
mod flows;
mod guide;
mod happy_path;
mod implement;
mod items;
mod keys;
mod kills;
mod output;
mod pool;
mod resume;
mod sdks;
mod secrets;
mod signals;
mod socket;
mod store;
mod storm;
mod telling;
mod terminal;
mod usage;
mod verbs;
mod workflow;
