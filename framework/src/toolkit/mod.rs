//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.
