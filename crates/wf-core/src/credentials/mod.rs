//! The key pool: who may call, with which key, and when.
//!
//! [`CredentialCoordinator`] owns every fact about keys, quota groups, leases and waiting calls. It is asked
//! ([`request`](CredentialCoordinator::request)), told ([`release`](CredentialCoordinator::release),
//! [`forget`](CredentialCoordinator::forget)) and woken ([`advance`](CredentialCoordinator::advance)); each answers with
//! the [`Decision`]s that follow, and [`next_deadline`](CredentialCoordinator::next_deadline) says when it wants to be
//! woken next.

mod types;

pub use types::{
    Budget, CallId, CallOutcome, Condition, Decision, DenyCause, Dimension, KeyIndex, KeySpec, LeaseId,
    LeaseRequest, Notice, Policy, PoolSpec, QuotaHint, QuotaLimits, WaitReason,
};
