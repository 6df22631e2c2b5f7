//! `wf-supervisor review-verdict`.
