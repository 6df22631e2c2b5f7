//! wf-warden
