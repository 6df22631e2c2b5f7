//! A run: the driver and what it drives.

pub mod capture;
