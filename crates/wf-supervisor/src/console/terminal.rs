//! The one thread that writes to stdout and stderr.
