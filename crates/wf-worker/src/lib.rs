//! wf-worker
