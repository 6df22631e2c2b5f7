//! Why work ends before its workflow does.

use crate::stop::Cause;

/// Why a node did not finish. Its sentences are for a person: what happened, to which file, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Somebody asked.
    Stopped(Cause),
    /// Quota, overload or the network: a later run goes on from here.
    Passing(String),
    /// The work went wrong.
    Failed(String),
    /// A model's reply could not be used, also when asked again. The reply is kept but answers no more: a later run
    /// asks anew.
    BadReply(String),
}
