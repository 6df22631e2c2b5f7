//! `wf-supervisor clean`.
