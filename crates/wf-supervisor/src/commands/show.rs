//! `wf-supervisor show`.
