//! A TCP segment as it stands on the wire (RFC 9293 3.1), read without any of the code that is under test. Over IPv4 and
//! IPv6 without extension headers; fragments are not put together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::packets::{ACK, FIN, RST, SYN, checksum};

/// A segment, with its sender's and its receiver's address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireSegment<'a> {
    /// Sender and receiver.
    pub ends: [SocketAddr; 2],
    /// The header.
    pub header: WireHeader,
    /// What follows it.
    pub payload: &'a [u8],
}

/// A header of RFC 9293 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireHeader {
    /// Source and destination port.
    pub ports: [u16; 2],
    /// SEG.SEQ.
    pub seq: u32,
    /// The field of SEG.ACK, whether the ACK bit is set or not.
    pub ack: u32,
    /// The eight control bits.
    pub flags: u8,
    /// SEG.WND, not scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The options.
    pub options: WireOptions,
    /// Bytes of header and options.
    pub header_bytes: usize,
}

/// The options that are known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireOptions {
    /// Maximum segment size, bytes.
    pub mss: Option<u16>,
    /// Window scale, a shift.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    sack: [(u32, u32); SACK_BLOCKS_MAX],
    sack_count: u8,
}

impl WireOptions {
    /// The blocks of the SACK option, in their order: left edge, right edge.
    #[must_use]
    pub fn sack(&self) -> &[(u32, u32)] {
        &self.sack[..usize::from(self.sack_count)]
    }
}

impl WireHeader {
    /// Reads the header at the front of a segment. `None` if it is none, or its options make no sense.
    #[must_use]
    pub fn read(segment: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(segment.get(at..at + 4)?.try_into().ok()?));
        let header_bytes = usize::from(segment.get(12)? >> 4) * 4;
        Some(Self {
            ports: [short(0)?, short(2)?],
            seq: long(4)?,
            ack: long(8)?,
            flags: *segment.get(13)?,
            window: short(14)?,
            urgent: short(18)?,
            options: read_options(segment.get(20..header_bytes)?)?,
            header_bytes,
        })
    }

    /// Whether all of these control bits are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// SEG.LEN with this much payload, bytes: SYN and FIN count (RFC 9293 3.4).
    #[must_use]
    pub const fn segment_len(&self, payload_bytes: usize) -> u64 {
        payload_bytes as u64 + self.has(SYN) as u64 + self.has(FIN) as u64
    }
}

impl<'a> WireSegment<'a> {
    /// Reads a frame. `None` if it carries no TCP segment that can be read.
    #[must_use]
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        Self::read_with_pseudo_header(frame).map(|(segment, ..)| segment)
    }

    /// The same for a frame that arrived: `None` also if its checksum is wrong.
    #[must_use]
    pub fn read_intact(frame: &'a [u8]) -> Option<Self> {
        let (segment, pseudo, bytes) = Self::read_with_pseudo_header(frame)?;
        // The sum of the sums: the pseudo-header has an even length.
        let sum = u32::from(!checksum(&pseudo)) + u32::from(!checksum(bytes));
        (sum == 0xffff || sum == 0x1_fffe).then_some(segment)
    }

    fn read_with_pseudo_header(frame: &'a [u8]) -> Option<(Self, Vec<u8>, &'a [u8])> {
        let packet = frame.get(14..)?;
        let (bytes, ips, addresses): (_, [IpAddr; 2], _) = match frame.get(12..14)? {
            [0x08, 0x00] => {
                let header_bytes = usize::from(packet.first()? & 0xf) * 4;
                let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
                let is_whole = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x3fff == 0;
                if *packet.get(9)? != TCP || !is_whole || checksum(packet.get(..header_bytes)?) != 0 {
                    return None;
                }
                let ip = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
                (packet.get(header_bytes..total)?, [ip(12)?, ip(16)?], packet.get(12..20)?)
            }
            [0x86, 0xdd] if *packet.get(6)? == TCP => {
                let length = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
                let ip = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
                (packet.get(40..40 + length)?, [ip(8)?, ip(24)?], packet.get(8..40)?)
            }
            _ => return None,
        };
        let header = WireHeader::read(bytes)?;
        let ends = [SocketAddr::new(ips[0], header.ports[0]), SocketAddr::new(ips[1], header.ports[1])];
        let mut pseudo = addresses.to_vec();
        pseudo.extend([0, TCP]);
        pseudo.extend((bytes.len() as u16).to_be_bytes());
        let payload = bytes.get(header.header_bytes..)?;
        Some((Self { ends, header, payload }, pseudo, bytes))
    }
}

/// As tcpdump would print it, with the numbers of the wire.
impl std::fmt::Display for WireSegment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = &self.header;
        write!(f, "{} > {} {}", self.ends[0], self.ends[1], letters(header.flags))?;
        write!(f, " seq {}", header.seq)?;
        if header.has(ACK) {
            write!(f, " ack {}", header.ack)?;
        }
        write!(f, " win {} len {}", header.window, self.payload.len())?;
        if let Some((value, echo)) = header.options.timestamps {
            write!(f, " TS {value} {echo}")?;
        }
        for (left, right) in header.options.sack() {
            write!(f, " sack {left}:{right}")?;
        }
        Ok(())
    }
}

/// Control bits by tcpdump's letters: `[S.]` is a SYN with an ACK.
#[must_use]
pub fn letters(flags: u8) -> String {
    let named = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (URG, 'U'), (ECE, 'E'), (CWR, 'W'), (ACK, '.')];
    let set: String = named.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
    format!("[{}]", if set.is_empty() { "none" } else { &set })
}

fn read_options(mut bytes: &[u8]) -> Option<WireOptions> {
    let mut options = WireOptions::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            0 => break,
            1 => bytes = rest,
            _ => {
                let len = usize::from(*rest.first()?);
                let value = bytes.get(2..len)?;
                bytes = &bytes[len..];
                read_option(kind, value, &mut options);
            }
        }
    }
    Some(options)
}

fn read_option(kind: u8, value: &[u8], options: &mut WireOptions) {
    let long = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    match (kind, value.len()) {
        (2, 2) => options.mss = Some(u16::from_be_bytes([value[0], value[1]])),
        (3, 1) => options.window_scale = Some(value[0]),
        (4, 0) => options.sack_permitted = true,
        (5, 8 | 16 | 24 | 32) => {
            options.sack_count = (value.len() / 8) as u8;
            for (at, block) in options.sack.iter_mut().take(value.len() / 8).enumerate() {
                *block = (long(at * 8), long(at * 8 + 4));
            }
        }
        (8, 8) => options.timestamps = Some((long(0), long(4))),
        _ => {}
    }
}

/// Flags of RFC 9293 3.1 beside those of [`packets`](crate::packets).
pub const PSH: u8 = 8;
/// See [`PSH`].
pub const URG: u8 = 32;
/// See [`PSH`].
pub const ECE: u8 = 64;
/// See [`PSH`].
pub const CWR: u8 = 128;

/// Most blocks that a SACK option has room for (RFC 2018 3).
pub const SACK_BLOCKS_MAX: usize = 4;
const TCP: u8 = 6;
