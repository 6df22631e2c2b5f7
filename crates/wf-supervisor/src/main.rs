//! `wf-supervisor`: runs a list of items through a workflow, many at once, on one shared pool of API keys.

mod cli;
mod commands;
mod config;
mod console;
mod duration;
mod exit;
mod items;
mod keys;
mod plan;
mod run;
mod store;

fn main() {}
