//! Typed events, counters and captures.
