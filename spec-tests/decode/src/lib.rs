//! An independent decoder of what we send: fields are read by `pnet_packet`, which shares no line with our own headers, and
//! each is held against its RFC: lengths, checksums, reserved bits, flags, options, fragments. A [`Watch`] judges all that one
//! sender hands to its device. Bytes come in and a verdict goes out: the framework's own tests use it too, so nothing of the
//! framework is known here.
//!
//! It judges what *we* may send, which is narrower than what must be accepted: a reserved bit that a receiver has to ignore
//! is a flaw here. RFC 791, 792, 768, 826, 4443, 4861, 8200, 9293; 2018, 2883 and 7323 for TCP's options.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's tool: what cannot be fails the test"
)]

use std::fmt;
use std::net::IpAddr;

use pnet_packet::arp::ArpPacket;
use pnet_packet::ethernet::EthernetPacket;

/// Ends with [`Flaw`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::Flaw(format!($($reason)+)));
        }
    };
}

mod fragments;
mod icmp;
mod ip;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod watch;

pub use fragments::{Fragment, Fragments};
pub use ip::IpHeader;
pub use tcp::{Options, Segment};
pub use udp::Datagram;
pub use watch::{Cut, Device, Task, Watch};

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(pub String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a sender may do beside what the RFCs say.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Largest IP packet, bytes.
    pub mtu: usize,
    /// Whose frames these are, if that is known.
    pub mac: Option<[u8; 6]>,
    /// IP protocols whose packets may be cut into fragments; none by default.
    pub fragments_of: &'static [u8],
}

impl Default for Rules {
    fn default() -> Self {
        Self { mtu: 65_535, mac: None, fragments_of: &[] }
    }
}

/// A frame without a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'f> {
    /// A question for an Ethernet address, or the answer (RFC 826).
    Arp,
    /// An IP packet, and what is in it.
    Ip(IpHeader, Content<'f>),
}

/// What is in an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'f> {
    /// A TCP segment.
    Tcp(Segment<'f>),
    /// A UDP datagram.
    Udp(Datagram<'f>),
    /// An ICMP or ICMPv6 message of this type.
    Icmp(u8),
    /// A piece of something; only all of them together can be judged ([`Fragments`]).
    Fragment(Fragment<'f>),
    /// A protocol that nobody here knows.
    Unknown(&'f [u8]),
}

impl<'f> Content<'f> {
    /// The payload of a transport that has a header of its own.
    #[must_use]
    pub const fn payload(&self) -> Option<&'f [u8]> {
        match self {
            Self::Tcp(segment) => Some(segment.payload),
            Self::Udp(datagram) => Some(datagram.payload),
            Self::Icmp(_) | Self::Fragment(_) | Self::Unknown(_) => None,
        }
    }
}

/// Reads a frame, Ethernet header first.
///
/// # Errors
/// The first thing that is wrong with it. Any bytes are a frame or an error, never a panic.
pub fn decode<'f>(frame: &'f [u8], rules: &Rules) -> Result<Decoded<'f>, Flaw> {
    let ethernet = EthernetPacket::new(frame).ok_or_else(|| Flaw("shorter than an Ethernet header".into()))?;
    let source = ethernet.get_source().octets();
    ensure!(source[0] & 1 == 0, "a group's Ethernet address as source");
    ensure!(rules.mac.is_none_or(|mac| mac == source), "not the interface's Ethernet address as source");
    ensure!(ethernet.get_destination().octets() != [0; 6], "no Ethernet destination");
    let (ether_type, packet) = match (ethernet.get_ethertype().0, &frame[ETHERNET_BYTES..]) {
        (VLAN, [_, _, high, low, packet @ ..]) => (u16::from_be_bytes([*high, *low]), packet),
        (ether_type, packet) => (ether_type, packet),
    };
    match ether_type {
        ARP => arp(frame, packet, &source).map(|()| Decoded::Arp),
        IPV4 => ip::v4(frame, packet, rules),
        IPV6 => ip::v6(frame, packet, rules),
        other => Err(Flaw(format!("EtherType {other:#06x}, which we never send"))),
    }
}

/// RFC 826, for IPv4 over Ethernet.
fn arp(frame: &[u8], packet: &[u8], source: &[u8; 6]) -> Result<(), Flaw> {
    let arp = ArpPacket::new(packet).ok_or_else(|| Flaw("ARP: too short".into()))?;
    let kinds = (arp.get_hardware_type().0, arp.get_protocol_type().0);
    ensure!(kinds == (1, IPV4), "ARP: not for IPv4 over Ethernet: {kinds:?}");
    let lengths = (arp.get_hw_addr_len(), arp.get_proto_addr_len());
    ensure!(lengths == (6, 4), "ARP: address lengths {lengths:?}");
    ensure!(matches!(arp.get_operation().0, 1 | 2), "ARP: operation {}", arp.get_operation().0);
    ensure!(arp.get_sender_hw_addr().octets() == *source, "ARP: the sender is not who sends the frame");
    ensure_padding(frame, packet, ARP_BYTES)
}

/// What stands behind the `packet_bytes` bytes of a packet is padding of a small frame (IEEE 802.3 4.2.3.3), and zero.
fn ensure_padding(frame: &[u8], packet: &[u8], packet_bytes: usize) -> Result<(), Flaw> {
    let rest = &packet[packet_bytes..];
    ensure!(rest.is_empty() || frame.len() <= MIN_FRAME_BYTES, "{} bytes behind the packet's end", rest.len());
    ensure!(rest.iter().all(|byte| *byte == 0), "padding that tells something");
    Ok(())
}

/// What the transport's protocol makes of a packet's body.
fn content<'f>(header: &IpHeader, body: &'f [u8]) -> Result<Content<'f>, Flaw> {
    match (header.protocol, header.source) {
        (TCP, _) => tcp::decode(header, body).map(Content::Tcp),
        (UDP, _) => udp::decode(header, body).map(Content::Udp),
        (ICMP, IpAddr::V4(_)) => icmp::v4(body).map(Content::Icmp),
        (ICMPV6, IpAddr::V6(_)) => icmp::v6(header, body).map(Content::Icmp),
        _ => Ok(Content::Unknown(body)),
    }
}

/// The sum of 16-bit words in ones' complement (RFC 1071), not folded. An odd last byte is the high half of a word.
fn ones_sum(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    sum + u64::from(u32::from_be_bytes(rest))
}

/// The same in 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const ETHERNET_BYTES: usize = 14;
const MIN_FRAME_BYTES: usize = 60;
const ARP_BYTES: usize = 28;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
