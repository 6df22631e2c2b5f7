//! The mechanics of code work: what a model may touch, what it answered, what the tests said, and the worktree all of
//! it happens in. No workflow is known here.

pub mod answer;
pub mod changes;
pub mod failing;
pub mod left_out;
mod leftovers;
pub mod path;
mod removal;
pub mod repository;
pub mod tree;
pub mod unworkable;
