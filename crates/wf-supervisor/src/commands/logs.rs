//! `wf-supervisor logs`.
