//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.

pub mod cookie;
pub mod isn;
pub mod ledger;
pub mod pacer;
pub mod ports;
pub mod ranges;
pub mod rtt;
pub mod seq;
pub mod slab;
pub mod tuple;
pub mod wheel;

pub use cookie::CookieJar;
pub use isn::InitialSequence;
pub use ledger::{Acked, Loss, Recovery, Sacked, SentLedger, Timeout};
pub use pacer::Pacer;
pub use ports::PortPicker;
pub use ranges::RangeSet;
pub use rtt::{RtoConfig, RttEstimator};
pub use seq::SeqNum;
pub use slab::{Key, Slab};
pub use tuple::FourTuple;
pub use wheel::{Entry, Wheel};
