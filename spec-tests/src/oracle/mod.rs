//! Oracle.
pub mod segment;
