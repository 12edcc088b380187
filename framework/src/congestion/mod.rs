//! Congestion control that belongs to no transport.
