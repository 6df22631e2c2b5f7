//! Reads what workers write: pipe → redaction → log, and tells the console.
