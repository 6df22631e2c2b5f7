//! Cuts a stream into prefixed lines.
