//! `wf-supervisor keys`.
