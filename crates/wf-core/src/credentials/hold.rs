//! Something that is out of use until the operator acts, but for a rare probe.

use std::time::Duration;

use super::types::LeaseId;
use crate::Time;

/// The first probe comes this long after the refusal, each further one after twice the time.
const FIRST_PROBE: Duration = Duration::from_secs(3600);
/// A probe that proved nothing (the network failed) may be repeated after this.
const INCONCLUSIVE: Duration = Duration::from_secs(60);

/// What a held key or group lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldGate {
    /// Nothing before then.
    Shut(Time),
    /// One probe.
    Probe,
    /// Nothing until the probe is back.
    Probing,
}

/// A quarantine, or a billing hold.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// The provider's words.
    pub(super) detail: String,
    probe_at: Time,
    next_wait: Duration,
    probing: Option<LeaseId>,
}

impl Hold {
    pub(super) fn new(detail: String, now: Time) -> Hold {
        Hold { detail, probe_at: now + FIRST_PROBE, next_wait: FIRST_PROBE * 2, probing: None }
    }

    /// As kept from an earlier run.
    pub(super) fn restored(detail: String, probe_at: Time, next_wait: Duration) -> Hold {
        Hold { detail, probe_at, next_wait: next_wait.max(FIRST_PROBE), probing: None }
    }

    pub(super) fn gate(&self, now: Time) -> HoldGate {
        if self.probing.is_some() {
            HoldGate::Probing
        } else if self.probe_at <= now {
            HoldGate::Probe
        } else {
            HoldGate::Shut(self.probe_at)
        }
    }

    /// When the next probe is due, and how long to wait after that.
    pub(super) fn schedule(&self) -> (Time, Duration) {
        (self.probe_at, self.next_wait)
    }

    /// Allows a probe now: somebody started a run that can do nothing without.
    pub(super) fn probe_now(&mut self, now: Time) {
        self.probe_at = self.probe_at.min(now);
    }

    pub(super) fn begin_probe(&mut self, lease: LeaseId) {
        self.probing = Some(lease);
    }

    pub(super) fn is_probe(&self, lease: LeaseId) -> bool {
        self.probing == Some(lease)
    }

    /// The probe was refused like the call before it.
    pub(super) fn probe_failed(&mut self, now: Time) {
        self.probing = None;
        self.probe_at = now + self.next_wait;
        self.next_wait = self.next_wait.saturating_mul(2);
    }

    /// The probe came back without an answer to the question.
    pub(super) fn probe_lost(&mut self, now: Time) {
        self.probing = None;
        self.probe_at = now + INCONCLUSIVE;
    }
}
