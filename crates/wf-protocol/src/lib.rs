//! wf-protocol
