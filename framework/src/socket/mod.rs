//! What applications hold.
