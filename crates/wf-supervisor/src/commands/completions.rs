//! `wf-supervisor completions`.
