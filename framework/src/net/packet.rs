//! What comes out of the network layer upwards: packets for an engine, and troubles of packets that an engine sent.

use arrayvec::ArrayVec;

use super::claim::EngineIndex;
use crate::addr::{Endpoint, Ip};
use crate::frame::Frame;

/// What became of a received frame.
#[derive(Debug)]
pub enum Input {
    /// A packet for this engine.
    Packet(EngineIndex, Packet),
    /// An ICMP error about a packet that this engine may have sent. Nothing but the addresses and the protocol was
    /// verified: whether the quote is of a packet in flight is for the transport to say (RFC 5927 4).
    Trouble(EngineIndex, Quote, Trouble),
    /// Nothing for an engine: consumed, or dropped and counted.
    Done,
}

/// A received packet whose IP header was validated, and its checksum where one is declared.
#[derive(Debug)]
pub struct Packet {
    /// Its bytes begin at the transport header (behind the UDP header for transports inside UDP) and end where IP says:
    /// padding of the link is gone. At least one byte long only if the sender made it so.
    pub frame: Frame,
    /// Who sent it: a unicast address. The port is 0 for transports directly over IP.
    pub src: Endpoint,
    /// To whom: an address of ours; over UDP also a broadcast or multicast one.
    pub dst: Endpoint,
    /// The ECN bits (RFC 3168 5): 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
    pub ecn: u8,
    /// The hop limit or time to live that was left.
    pub hop_limit: u8,
    /// The interface that it came from: [`NetifId`](super::NetifId)'s number.
    pub netif: u16,
    /// Bytes from the start of the IP header to the start of `frame`: IP header, its options or extensions, and UDP's.
    /// They lie in the frame's headroom.
    pub ip_header_bytes: u16,
}

/// A packet of ours as an ICMP error quotes it: addresses are as *we* sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Our address.
    pub src: Ip,
    /// The peer's.
    pub dst: Ip,
    /// Our UDP port; 0 for transports directly over IP.
    pub src_port: u16,
    /// The peer's UDP port; 0 for transports directly over IP.
    pub dst_port: u16,
    /// The transport header's first bytes: at least 8 directly over IP. Over UDP what followed the UDP header, of which
    /// an IPv4 router need not quote anything.
    pub bytes: ArrayVec<u8, QUOTE_BYTES_MAX>,
}

/// Transport bytes kept of a quote.
pub const QUOTE_BYTES_MAX: usize = 64;

/// What went wrong with packets of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A link on the way takes IP packets of at most `mtu` bytes (RFC 1191, RFC 8201). Believe it only for a quote that
    /// matches, then tell [`Net::lower_mtu`](super::Net::lower_mtu).
    TooBig {
        /// Bytes, header included. Never below 68 for IPv4 and 1,280 for IPv6.
        mtu: u32,
    },
    /// The destination, or something of it, cannot be reached.
    Unreachable(Unreachable),
    /// The hop limit ran out, or reassembly at the peer did (RFC 792, RFC 4443 3.3): soft.
    TimeExceeded,
    /// A header of ours was not understood (RFC 792, RFC 4443 3.4).
    ParameterProblem,
    /// The next hop does not answer on its link.
    NeighbourFailed,
    /// The interface went down.
    LinkDown,
}

/// Why a destination is unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 4443 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// No route to the network.
    Network,
    /// The host does not answer.
    Host,
    /// The host is there and does not know the protocol.
    Protocol,
    /// The host is there, nobody has the port.
    Port,
    /// A source route could not be followed.
    SourceRoute,
    /// Somebody forbids it.
    Prohibited,
    /// A code that says something else.
    Other,
}

impl Unreachable {
    /// Whether trying again is unlikely to help: protocol and port (RFC 1122 4.2.3.9 calls them hard). RFC 5927 6.1
    /// advises to treat even these as soft once a connection stands.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        match self {
            Self::Protocol | Self::Port => true,
            Self::Network | Self::Host | Self::SourceRoute | Self::Prohibited | Self::Other => false,
        }
    }
}
