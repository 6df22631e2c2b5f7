//! `wf-supervisor workflows`.
