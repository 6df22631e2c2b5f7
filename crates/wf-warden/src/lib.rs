//! One process tree: spawn, signal, reap, sweep. The only room of the house that does any of these, and the only
//! one with `unsafe` code.
//!
//! Each slot of the pool is a **warden**, a small process between the supervisor and its workers. It is the program
//! itself, started again with [`HIDDEN_ARGUMENT`], in a session of its own, with one end of a socket pair as its
//! standard input, and a *child subreaper*: whatever a worker starts falls to the warden when its parent dies,
//! also after `setsid`, a double fork or a cleared environment. So leftovers belong to exactly one attempt and can be
//! found, killed and named; and end of file on the socket, which is what the death of the supervisor looks like from
//! below, means: kill all, exit.
//!
//! The supervisor's side is [`Warden`]; the other is [`warden_main`], which the binary calls before anything else. What
//! they say to each other is [`Spawn`], [`Order`] and [`Report`]. [`own`] is for the supervisor's own process: its
//! part as the subreaper of last resort, its limits, its environment.
//!
//! Linux does all of it. Elsewhere there is no subreaper and no `/proc`: the worker's process group is killed, what
//! has left it is not.

mod environment;
mod frame;
mod handle;
mod launch;
mod message;
pub mod own;
mod processes;
mod raw;
mod warden;

pub use handle::{Outputs, Received, Setup, Warden};
pub use message::{Exit, Leftover, Order, Report, Spawn, Swept};
pub use warden::warden_main;

/// The first argument that makes the program a warden. It is not for people: without a socket as its standard input
/// the program says so and ends.
pub const HIDDEN_ARGUMENT: &str = "__warden";
