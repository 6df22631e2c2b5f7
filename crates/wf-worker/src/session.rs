//! The seam to the supervisor: leases, and what it is told meanwhile. Nodes see these traits alone, so they are tested
//! without a socket.

use std::time::Duration;

use wf_protocol::{AcquireError, CallOutcome, Client, Grant, LeaseRequest, Secret, Waiting};

/// A connection to the supervisor.
pub trait Session: Send + Sync {
    /// Waits for a lease; `on_waiting` hears why, each time that changes.
    fn acquire(
        &self,
        request: &LeaseRequest,
        on_waiting: &mut dyn FnMut(Waiting),
    ) -> Result<Box<dyn Lease>, AcquireError>;

    /// The workflow entered a node; `share` is in thousandths.
    fn progress(&self, node: &str, iteration: u32, share: u16);

    /// A node's result is durable.
    fn checkpointed(&self, node: &str);
}

/// One call may be sent. A lease that is dropped counts as abandoned.
pub trait Lease {
    /// The key's name.
    fn key(&self) -> &str;
    /// The key.
    fn secret(&self) -> &Secret;
    /// How long until the supervisor takes it back by itself.
    fn left(&self) -> Duration;
    /// Returns it, with what became of the call.
    fn release(self: Box<Self>, outcome: CallOutcome);
}

impl Session for Client {
    fn acquire(
        &self,
        request: &LeaseRequest,
        on_waiting: &mut dyn FnMut(Waiting),
    ) -> Result<Box<dyn Lease>, AcquireError> {
        Client::acquire(self, request, on_waiting).map(|grant| Box::new(grant) as Box<dyn Lease>)
    }

    fn progress(&self, node: &str, iteration: u32, share: u16) {
        Client::progress(self, node, iteration, share);
    }

    fn checkpointed(&self, node: &str) {
        Client::checkpointed(self, node);
    }
}

impl Lease for Grant {
    fn key(&self) -> &str {
        Grant::key(self)
    }

    fn secret(&self) -> &Secret {
        Grant::secret(self)
    }

    fn left(&self) -> Duration {
        Grant::left(self)
    }

    fn release(self: Box<Self>, outcome: CallOutcome) {
        Grant::release(*self, outcome);
    }
}
