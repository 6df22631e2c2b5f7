//! Consolidation of the workers’ audit files.
