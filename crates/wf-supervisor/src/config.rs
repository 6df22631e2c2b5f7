//! `wf.toml`, environment and command line, layered into one set of settings.
