//! Replaces secrets in a stream of bytes.
