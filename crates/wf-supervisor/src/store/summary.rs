//! A run in figures: folded from its records, kept as `summary.json`, shown as a table.
