//! The key pool: who may call, with which key, and when.
//!
//! [`CredentialCoordinator`] owns every fact about keys, quota groups, leases and waiting calls. It is asked
//! ([`request`](CredentialCoordinator::request)), told ([`release`](CredentialCoordinator::release),
//! [`forget`](CredentialCoordinator::forget)) and woken ([`advance`](CredentialCoordinator::advance)); each answers with
//! the [`Decision`]s that follow, and [`next_deadline`](CredentialCoordinator::next_deadline) says when it wants to be
//! woken next.

mod breaker;
mod bucket;
mod calls;
mod coincidence;
mod coordinator;
mod day;
mod dice;
mod episodes;
mod hold;
mod key;
mod limit;
mod meter;
mod notice;
mod outcome;
mod pool;
mod queue;
mod quota;
mod retry;
mod serve;
mod snapshot;
mod spending;
mod status;
mod survey;
#[cfg(test)]
mod tests;
mod types;
mod waits;
mod window;
mod words;

pub use coordinator::CredentialCoordinator;
pub use limit::LimitOrigin;
pub use snapshot::{HoldFacts, PoolSnapshot, QuotaFacts};
pub use status::{KeyState, KeyStatus, QuotaStatus};

pub use notice::{Condition, Notice};
pub use types::{
    Asked, Budget, CallId, CallOutcome, Decision, DenyCause, Dimension, KeyIndex, KeySpec, LeaseId,
    LeaseRequest, MAX_OPEN_CALLS, Policy, PoolSpec, QuotaHint, QuotaLimits, Release, WaitReason,
};
pub use waits::Wait;
