//! What `wf-supervisor` promises, tried with the real binaries.
