//! The description that goes before each frame, both ways (`struct virtio_net_hdr`, virtio 1.2, 5.1.6), and its mapping
//! to what a frame carries. It is the one place here that knows IP protocol numbers.
//!
//! ```text
//!  0       1          2         4          6            8             10
//!  | flags | gso type | hdr_len | gso_size | csum_start | csum_offset |    host byte order
//! ```

use burstlane::driver::ProtocolSet;
use burstlane::frame::{Checksum, Frame};

/// Bytes of a description.
pub(crate) const DESCRIPTION_BYTES: usize = 10;

/// IP protocols whose segments the kernel cuts for us; those of UDP only where it is new enough.
pub(crate) fn protocols(datagrams: bool) -> ProtocolSet {
    let set = ProtocolSet::NONE.with(TCP);
    if datagrams { set.with(UDP) } else { set }
}

/// A description that is not garbage by itself. Whether it fits its frame, [`apply`](Self::apply) finds out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// First byte that the unfinished checksum covers, and from there to its field.
    partial: Option<(u16, u16)>,
    is_verified: bool,
    merged: Option<Merged>,
}

/// A frame that stands for several packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Merged {
    kind: Kind,
    segment_bytes: u16,
    /// All headers. Only said to the kernel: what the kernel says here is a hint, and often too much.
    header_bytes: u16,
    /// The first segment has CWR set, and the others must not have it (RFC 3168 6.1.2).
    is_ecn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TcpV4,
    TcpV6,
    Udp,
}

/// A description and a frame that do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

impl Description {
    /// Reads a description.
    pub(crate) fn from_bytes(bytes: [u8; DESCRIPTION_BYTES]) -> Result<Self, Misfit> {
        let [flags, gso, h0, h1, s0, s1, c0, c1, o0, o1] = bytes;
        let kind = match gso & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 => Some(Kind::TcpV4),
            GSO_TCPV6 => Some(Kind::TcpV6),
            GSO_UDP_L4 => Some(Kind::Udp),
            _ => return Err(Misfit),
        };
        let segment_bytes = u16::from_ne_bytes([s0, s1]);
        let merged = match kind {
            Some(_) if segment_bytes == 0 => return Err(Misfit),
            Some(kind) => {
                let header_bytes = u16::from_ne_bytes([h0, h1]);
                Some(Merged { kind, segment_bytes, header_bytes, is_ecn: gso & GSO_ECN != 0 })
            }
            None => None,
        };
        let place = (u16::from_ne_bytes([c0, c1]), u16::from_ne_bytes([o0, o1]));
        Ok(Self { partial: (flags & NEEDS_CSUM != 0).then_some(place), is_verified: flags & DATA_VALID != 0, merged })
    }

    /// Writes a description.
    pub(crate) fn to_bytes(self) -> [u8; DESCRIPTION_BYTES] {
        let flags = if self.partial.is_some() { NEEDS_CSUM } else { 0 } | if self.is_verified { DATA_VALID } else { 0 };
        let (start, field) = self.partial.unwrap_or_default();
        let (gso, header_bytes, segment_bytes) = match self.merged {
            None => (GSO_NONE, 0, 0),
            Some(m) => {
                let kind = match m.kind {
                    Kind::TcpV4 => GSO_TCPV4,
                    Kind::TcpV6 => GSO_TCPV6,
                    Kind::Udp => GSO_UDP_L4,
                };
                (kind | if m.is_ecn { GSO_ECN } else { 0 }, m.header_bytes, m.segment_bytes)
            }
        };
        let [h0, h1] = header_bytes.to_ne_bytes();
        let [s0, s1] = segment_bytes.to_ne_bytes();
        let [c0, c1] = start.to_ne_bytes();
        let [o0, o1] = field.to_ne_bytes();
        [flags, gso, h0, h1, s0, s1, c0, c1, o0, o1]
    }

    /// Puts what the kernel said of a received frame into its `meta`.
    pub(crate) fn apply(self, frame: &mut Frame) -> Result<(), Misfit> {
        if let Some((start, field)) = self.partial {
            let (start, field) = (usize::from(start), usize::from(field));
            if start + field + 2 > frame.len() {
                return Err(Misfit);
            }
            frame.set_partial_checksum(start, field);
        } else if self.is_verified {
            frame.meta.checksum = Checksum::Good;
        }
        let Some(merged) = self.merged else { return Ok(()) };
        let protocol = merged.kind.protocol();
        let header_bytes = header_bytes(frame, protocol).ok_or(Misfit)?;
        let payload_bytes = frame.len().checked_sub(header_bytes).ok_or(Misfit)?;
        let packets = payload_bytes.div_ceil(usize::from(merged.segment_bytes)).max(1);
        frame.meta.segment_protocol = protocol;
        frame.meta.segment_bytes = merged.segment_bytes;
        frame.meta.header_bytes = u16::try_from(header_bytes).map_err(|_| Misfit)?;
        frame.meta.coalesced = u16::try_from(packets).map_err(|_| Misfit)?;
        Ok(())
    }

    /// Says of a frame that leaves what the kernel has to do with it.
    pub(crate) fn of(frame: &Frame) -> Result<Self, Misfit> {
        let mut description = Self::default();
        if frame.meta.checksum == Checksum::Partial {
            let (start, field) = frame.partial_checksum().ok_or(Misfit)?;
            if start + field + 2 > frame.len() {
                return Err(Misfit);
            }
            let word = |n: usize| u16::try_from(n).map_err(|_| Misfit);
            description.partial = Some((word(start)?, word(field)?));
        }
        let meta = &frame.meta;
        if meta.segment_bytes == 0 {
            return Ok(description);
        }
        // Cutting rewrites every checksum: the kernel wants it unfinished, and so says where the headers are.
        let (start, _) = frame.partial_checksum().ok_or(Misfit)?;
        let header_bytes = match meta.header_bytes {
            0 => header_bytes(frame, meta.segment_protocol).ok_or(Misfit)?,
            known => usize::from(known),
        };
        if frame.len().saturating_sub(header_bytes) <= usize::from(meta.segment_bytes) {
            return Ok(description);
        }
        let is_v6 = is_ipv6(frame.bytes()).ok_or(Misfit)?;
        let kind = match (meta.segment_protocol, is_v6) {
            (TCP, false) => Kind::TcpV4,
            (TCP, true) => Kind::TcpV6,
            (UDP, _) => Kind::Udp,
            _ => return Err(Misfit),
        };
        let is_ecn = kind != Kind::Udp && frame.bytes().get(start + TCP_FLAGS).is_some_and(|b| b & TCP_CWR != 0);
        description.merged = Some(Merged {
            kind,
            segment_bytes: meta.segment_bytes,
            header_bytes: u16::try_from(header_bytes).map_err(|_| Misfit)?,
            is_ecn,
        });
        Ok(description)
    }
}

impl Kind {
    fn protocol(self) -> u8 {
        match self {
            Self::TcpV4 | Self::TcpV6 => TCP,
            Self::Udp => UDP,
        }
    }
}

/// Bytes of all headers of a frame, the transport's included. The kernel's checksum place tells where that begins; a
/// frame without one is read from the front.
fn header_bytes(frame: &Frame, protocol: u8) -> Option<usize> {
    let bytes = frame.bytes();
    let transport = match frame.partial_checksum() {
        Some((start, _)) => start,
        None => transport_offset(bytes)?,
    };
    let transport_bytes = match protocol {
        TCP => usize::from(*bytes.get(transport + TCP_DATA_OFFSET)? >> 4) * 4,
        UDP => 8,
        _ => return None,
    };
    (transport_bytes >= 8).then_some(transport + transport_bytes)
}

/// Where the transport header begins, of packets without IPv6 extension headers.
fn transport_offset(bytes: &[u8]) -> Option<usize> {
    let network = network_offset(bytes)?;
    if is_ipv6(bytes)? {
        let next_header = *bytes.get(network + 6)?;
        return matches!(next_header, TCP | UDP).then_some(network + 40);
    }
    Some(network + usize::from(*bytes.get(network)? & 0x0f) * 4)
}

fn is_ipv6(bytes: &[u8]) -> Option<bool> {
    let network = network_offset(bytes)?;
    match bytes.get(network - 2..network)? {
        [0x08, 0x00] => Some(false),
        [0x86, 0xdd] => Some(true),
        _ => None,
    }
}

/// Bytes of the Ethernet header with up to two VLAN tags.
fn network_offset(bytes: &[u8]) -> Option<usize> {
    let is_tag = |at: usize| matches!(bytes.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    let offset = match (is_tag(12), is_tag(16)) {
        (false, _) => 14,
        (true, false) => 18,
        (true, true) => 22,
    };
    (bytes.len() > offset).then_some(offset)
}

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// RFC 9293 3.1: the byte of the data offset, that of the flags, and CWR in it.
const TCP_DATA_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use burstlane::frame::{FramePool, PoolConfig};
    use proptest::prelude::*;

    use super::*;

    fn pool() -> FramePool {
        FramePool::new(PoolConfig { slots: 2, slot_bytes: 8192, headroom: 64 })
    }

    fn frame_of(bytes: &[u8]) -> Frame {
        let mut frame = pool().alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        frame
    }

    /// A packet: bytes, and where its transport header begins.
    fn packet(is_v6: bool, tags: usize, protocol: u8, words: usize, cwr: bool, payload: usize) -> (Vec<u8>, usize) {
        let mut bytes = vec![2; 12];
        for _ in 0..tags {
            bytes.extend([0x81, 0, 0, 1]);
        }
        if is_v6 {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]);
            bytes.extend([7; 32]);
        } else {
            bytes.extend([0x08, 0x00, 0x45]);
            bytes.extend([7; 19]);
        }
        let transport = bytes.len();
        if protocol == TCP {
            bytes.resize(transport + words * 4, 0);
            bytes[transport + TCP_DATA_OFFSET] = (words as u8) << 4;
            bytes[transport + TCP_FLAGS] = if cwr { TCP_CWR } else { 0x10 };
        } else {
            bytes.resize(transport + 8, 0);
        }
        bytes.resize(bytes.len() + payload, 9);
        (bytes, transport)
    }

    proptest! {
        /// What we say of a frame, said back to us, is what the frame said; whether it knew its headers or not.
        #[test]
        fn a_description_survives_the_round_trip(
            (is_v6, is_udp, cwr, knows_headers) in any::<(bool, bool, bool, bool)>(),
            tags in 0_usize..3, words in 5_usize..16, payload in 0_usize..5000, segment in prop_oneof![Just(0), 100_u16..3000],
        ) {
            let protocol = if is_udp { UDP } else { TCP };
            let (bytes, transport) = packet(is_v6, tags, protocol, words, cwr, payload);
            let headers = bytes.len() - payload;
            let mut sent = frame_of(&bytes);
            sent.set_partial_checksum(transport, if is_udp { 6 } else { 16 });
            if segment != 0 {
                (sent.meta.segment_protocol, sent.meta.segment_bytes) = (protocol, segment);
                sent.meta.header_bytes = if knows_headers { headers as u16 } else { 0 };
            }
            let said = Description::of(&sent).unwrap().to_bytes();
            let heard = Description::from_bytes(said).unwrap();
            prop_assert_eq!(heard.to_bytes(), said);
            let mut received = frame_of(&bytes);
            heard.apply(&mut received).unwrap();
            prop_assert_eq!(received.partial_checksum(), sent.partial_checksum());
            if segment == 0 || payload <= usize::from(segment) {
                prop_assert_eq!((received.meta.segment_bytes, received.meta.packets()), (0, 1));
            } else {
                prop_assert_eq!(received.meta.segment_protocol, protocol);
                prop_assert_eq!(received.meta.segment_bytes, segment);
                prop_assert_eq!(usize::from(received.meta.header_bytes), headers);
                prop_assert_eq!(received.meta.packets() as usize, payload.div_ceil(usize::from(segment)));
                let ecn = said[1] & GSO_ECN != 0;
                prop_assert_eq!(ecn, cwr && !is_udp);
            }
        }

        #[test]
        fn garbage_is_a_misfit_or_stays_inside_the_frame(
            said: [u8; DESCRIPTION_BYTES],
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            plausible: bool,
        ) {
            let mut said = said;
            if plausible {
                (said[0], said[1], said[7], said[9]) = (said[0] & 3, said[1] % 6, 0, 0);
            }
            let mut frame = frame_of(&bytes);
            if let Ok(description) = Description::from_bytes(said)
                && description.apply(&mut frame).is_ok()
            {
                prop_assert!(usize::from(frame.meta.header_bytes) <= frame.len());
                prop_assert!(frame.partial_checksum().is_none_or(|(start, field)| start + field + 2 <= frame.len()));
                let _ = Description::of(&frame);
            }
        }
    }

    #[test]
    fn a_merged_frame_that_the_kernel_finished_is_read_from_the_front() {
        for (is_v6, protocol) in [(false, TCP), (true, TCP), (true, UDP)] {
            let (bytes, _) = packet(is_v6, 1, protocol, 8, false, 3000);
            let gso = if protocol == UDP { GSO_UDP_L4 } else { GSO_TCPV4 };
            let [s0, s1] = 1000_u16.to_ne_bytes();
            let said = [DATA_VALID, gso, 0, 0, s0, s1, 0, 0, 0, 0];
            let mut frame = frame_of(&bytes);
            Description::from_bytes(said).unwrap().apply(&mut frame).unwrap();
            assert_eq!((frame.meta.packets(), frame.meta.checksum), (3, Checksum::Good));
            assert_eq!(usize::from(frame.meta.header_bytes), bytes.len() - 3000);
        }
    }

    #[test]
    fn what_cannot_be_said_is_a_misfit() {
        let (bytes, transport) = packet(false, 0, TCP, 5, false, 3000);
        let mut frame = frame_of(&bytes);
        (frame.meta.segment_protocol, frame.meta.segment_bytes) = (TCP, 1000);
        assert_eq!(Description::of(&frame), Err(Misfit), "cut, but complete");
        frame.set_partial_checksum(transport, 16);
        frame.meta.segment_protocol = 253;
        assert_eq!(Description::of(&frame), Err(Misfit), "a protocol that the kernel does not cut");
        frame.meta.segment_protocol = TCP;
        assert!(Description::of(&frame).is_ok());
        frame.set_partial_checksum(bytes.len() - 1, 16);
        assert_eq!(Description::of(&frame), Err(Misfit), "a field outside the frame");
    }
}
