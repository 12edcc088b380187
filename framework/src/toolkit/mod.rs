//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.

pub mod rtt;
pub mod seq;

pub use rtt::{RtoConfig, RttEstimator};
pub use seq::SeqNum;
