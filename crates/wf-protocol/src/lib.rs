//! The messages between the supervisor and its workers, their framing, and the workers' client.
//!
//! A worker connects to the local socket in `WF_SOCKET`, says [`Hello`](ToSupervisor::Hello) with the token in
//! `WF_TOKEN`, and is answered with [`Welcome`](ToWorker::Welcome). From then on either side may send at any time.
//! `docs/protocol.md` has the bytes.

mod client;
mod frame;
mod intake;
pub mod limits;
mod message;
mod secret;
mod socket;
mod validate;

pub use client::{AcquireError, Client, ClientError, Grant, Waiting};
pub use frame::{Decoder, FrameError, Message, encode};
pub use intake::{Intake, Refusal};
pub use message::{
    CallOutcome, DenyCause, Dimension, JobVerdict, LeaseRequest, QuotaHint, RefusalCode, StopReason,
    ToSupervisor, ToWorker, VERSION, WaitReason,
};
pub use secret::Secret;
pub use socket::{SocketPathError, socket_name};
pub use validate::FieldError;
