//! wf-review
