//! What the nodes do. Each takes the work as it stands and leaves it changed; the table says what follows.

pub mod check;
pub mod commit;
pub mod draft;
pub mod finalize;
pub mod green;
pub mod load;
pub mod red;
pub mod review;
pub mod worktree;
pub mod write_code;
pub mod write_tests;

mod answered;
mod site;
mod test_run;
mod view;

#[cfg(test)]
mod tests;
