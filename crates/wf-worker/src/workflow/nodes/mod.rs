//! What the nodes do. Each takes the work as it stands and leaves it changed; the table says what follows.

pub mod check;
pub mod draft;
pub mod finalize;
pub mod load;
pub mod review;

#[cfg(test)]
mod tests;
