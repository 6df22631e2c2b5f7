//! `wf-supervisor list`.
