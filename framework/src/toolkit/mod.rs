//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.

pub mod ranges;
pub mod rtt;
pub mod seq;
pub mod tuple;

pub use ranges::RangeSet;
pub use rtt::{RtoConfig, RttEstimator};
pub use seq::SeqNum;
pub use tuple::FourTuple;
