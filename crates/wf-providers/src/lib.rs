//! wf-providers
