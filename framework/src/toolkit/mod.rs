//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection.

mod chunks;
pub mod cookie;
pub mod isn;
pub mod ledger;
pub mod mem;
pub mod message;
pub mod pacer;
pub mod ports;
pub mod ranges;
pub mod reassembly;
pub mod recv_buffer;
pub mod rtt;
pub mod send_buffer;
pub mod seq;
pub mod slab;
pub mod tuple;
pub mod wheel;

pub use cookie::CookieJar;
pub use isn::InitialSequence;
pub use ledger::{Acked, Loss, Recovery, Sacked, SentLedger, Timeout};
pub use mem::Mem;
pub use message::{MessageError, MessageInfo, MessageLimits, MessageQueue};
pub use pacer::Pacer;
pub use ports::PortPicker;
pub use ranges::RangeSet;
pub use reassembly::{Reassembly, ReassemblyLimits};
pub use recv_buffer::RecvBuffer;
pub use rtt::{RtoConfig, RttEstimator};
pub use send_buffer::SendBuffer;
pub use seq::SeqNum;
pub use slab::{Key, Slab};
pub use tuple::FourTuple;
pub use wheel::{Entry, Wheel};
