//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.

pub mod ledger;
pub mod ranges;
pub mod rtt;
pub mod seq;
pub mod slab;
pub mod tuple;
pub mod wheel;

pub use ledger::{Acked, Loss, Recovery, Sacked, SentLedger, Timeout};
pub use ranges::RangeSet;
pub use rtt::{RtoConfig, RttEstimator};
pub use seq::SeqNum;
pub use slab::{Key, Slab};
pub use tuple::FourTuple;
pub use wheel::{Entry, Wheel};
