//! What transports compose: buffers, reassembly, ranges, timers, round-trip times, loss detection, header fields; and, made of
//! these, the whole of a reliable sender, of messages both ways, and what a protocol has to know of its peer: who it is
//! ([`handshake`]), where ([`peer_path`]), whether it is there at all ([`liveness`]), and what to tell it when all is over
//! ([`last_word`]). The more a protocol finds here, the less it has to be.

pub mod ack_block;
pub mod ack_owed;
pub mod answers;
mod chunks;
pub mod cookie;
pub mod delivery_rate;
pub mod fields;
pub mod handshake;
pub mod isn;
pub mod last_word;
pub mod ledger;
pub mod liveness;
pub mod mem;
pub mod message;
pub mod message_channel;
pub mod message_stream;
pub mod mtu_search;
pub mod pacer;
pub mod packet_number;
pub mod peer_path;
pub mod ports;
pub mod prr;
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
pub use delivery_rate::DeliveryRate;
pub use fields::{Field, FieldReader, FieldWriter};
pub use handshake::{AddressValidator, Opening, Validation};
pub use isn::InitialSequence;
pub use last_word::LastWord;
pub use ledger::{Acked, Loss, Recovery, Sacked, SentLedger, Timeout};
pub use liveness::{Liveness, LivenessPolicy};
pub use mem::Mem;
pub use message::{MessageError, MessageInfo, MessageLimits, MessageQueue};
pub use message_channel::{ChannelConfig, MessageChannel};
pub use message_stream::{MessageStreamLimits, MessageStreamReader, MessageStreamSender, StreamAt, StreamError};
pub use mtu_search::MtuSearch;
pub use pacer::Pacer;
pub use packet_number::PacketNumbers;
pub use peer_path::{PathParts, PeerPath, Way};
pub use ports::PortPicker;
pub use prr::{Prr, Repair};
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
