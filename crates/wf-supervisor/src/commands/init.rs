//! `wf-supervisor init`.
