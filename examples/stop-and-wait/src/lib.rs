//! stop-and-wait
