//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection; and, made of these, the
//! whole of a reliable sender, of messages both ways, of a peer that moves. The more a protocol finds here, the less it has
//! to be.

pub mod ack_block;
pub mod ack_owed;
pub mod answers;
mod chunks;
pub mod cookie;
pub mod fields;
pub mod isn;
pub mod ledger;
pub mod mem;
pub mod message;
pub mod message_channel;
pub mod message_stream;
pub mod pacer;
pub mod peer_path;
pub mod ports;
pub mod ranges;
pub mod reassembly;
pub mod recv_buffer;
pub mod reliable;
pub mod rtt;
pub mod send_buffer;
pub mod seq;
pub mod slab;
pub mod tuple;
pub mod wheel;

pub use ack_block::AckBlock;
pub use ack_owed::AckOwed;
pub use answers::Answers;
pub use cookie::CookieJar;
pub use fields::{FieldReader, FieldWriter};
pub use isn::InitialSequence;
pub use ledger::{Acked, Loss, Recovery, Sacked, SentLedger, Timeout};
pub use mem::Mem;
pub use message::{MessageError, MessageInfo, MessageLimits, MessageQueue};
pub use message_channel::{ChannelConfig, MessageChannel};
pub use message_stream::{MessageStreamLimits, MessageStreamReader, MessageStreamSender, StreamError};
pub use pacer::Pacer;
pub use peer_path::PeerPath;
pub use ports::PortPicker;
pub use ranges::RangeSet;
pub use reassembly::{Reassembly, ReassemblyLimits};
pub use recv_buffer::RecvBuffer;
pub use reliable::{AckRun, Next, Piece, ReliableSender, SenderPolicy};
pub use rtt::{RtoConfig, RttEstimator};
pub use send_buffer::SendBuffer;
pub use seq::SeqNum;
pub use slab::{Key, Slab};
pub use tuple::FourTuple;
pub use wheel::{Entry, Wheel};
