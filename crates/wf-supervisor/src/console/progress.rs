//! The bar on a terminal, and plain lines elsewhere.
