//! `wf-supervisor run`.
