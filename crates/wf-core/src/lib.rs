//! wf-core
