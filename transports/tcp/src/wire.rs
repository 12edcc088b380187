//! The header of RFC 9293 3.1, read into values that cannot be nonsense and written from them. Nothing behind this file
//! sees raw header bytes. Checksums are the framework's; options are in [`options`].
#![deny(clippy::arithmetic_side_effects)]

use burstlane::net::{DropReason, Packet};
use burstlane::toolkit::{FourTuple, SeqNum};

use crate::ecn::Marks;
use crate::options::{self, Options, Timestamps};

/// A received header, as far as anything behind `parse` wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK, if the ACK bit is set.
    pub ack: Option<SeqNum>,
    /// Payload, bytes; a frame that a device merged carries many segments' worth.
    pub payload_bytes: u32,
    /// The timestamps option.
    pub timestamps: Option<Timestamps>,
    /// The other options.
    pub options: Options,
    /// SEG.WND as it stands in the header, not scaled.
    pub window: u16,
    /// What else the segment does.
    pub control: Control,
    /// The PSH bit.
    pub push: bool,
    /// SEG.UP: urgent data ends so many bytes behind SEG.SEQ (RFC 9293 3.8.5). Zero if none is.
    pub urgent: u16,
    /// Congestion that it met or tells of.
    pub marks: Marks,
}

/// The control bits that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// An ordinary segment.
    None,
    /// One that tells of urgent data. Beside the others the pointer alone does.
    Urgent,
    /// Opens.
    Syn,
    /// The sender sends no more.
    Fin,
    /// Ends the connection at once.
    Rst,
}

impl Header {
    /// Reads a header from the front of a segment. Returns it with its length in bytes, and the two ports.
    ///
    /// # Errors
    /// The reason to drop the segment.
    #[inline]
    pub fn parse(segment: &[u8]) -> Result<(Self, usize, Ports), DropReason> {
        let Some((fixed, rest)) = segment.split_first_chunk::<FIXED_BYTES>() else { return Err(TOO_SHORT) };
        let &[s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] = fixed;
        let header_bytes = usize::from(offset >> 4).saturating_mul(4);
        let options_bytes = header_bytes.checked_sub(FIXED_BYTES).ok_or(BAD_OFFSET)?;
        let Some((option_bytes, payload)) = rest.split_at_checked(options_bytes) else { return Err(BAD_OFFSET) };
        let control = match u16::from(flags) & (FIN | SYN | RST) {
            0 if u16::from(flags) & URG != 0 => Control::Urgent,
            0 => Control::None,
            SYN => Control::Syn,
            FIN => Control::Fin,
            RST | RST_AND_FIN => Control::Rst,
            _ => return Err(BAD_FLAGS),
        };
        let header = |timestamps, options| Self {
            seq: SeqNum(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: (u16::from(flags) & ACK != 0).then_some(SeqNum(u32::from_be_bytes([a0, a1, a2, a3]))),
            payload_bytes: payload.len() as u32,
            timestamps,
            options,
            window: u16::from_be_bytes([w0, w1]),
            control,
            push: u16::from(flags) & PSH != 0,
            urgent: if u16::from(flags) & URG != 0 { u16::from_be_bytes([u0, u1]) } else { 0 },
            marks: Marks::of_header((offset & AE_IN_OFFSET) << 2 | flags >> 6),
        };
        let ports = Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) };
        if ports.source == 0 || ports.destination == 0 {
            return Err(PORT_ZERO); // reserved (RFC 6335 6): nobody is there to be answered
        }
        // The usual header is made of what is in registers: nothing of it may have to come by way of memory.
        match options::timestamps_only(option_bytes).filter(|_| control != Control::Syn) {
            Some(timestamps) => Ok((header(Some(timestamps), Options::None), header_bytes, ports)),
            None => {
                let parsed = options::parse(option_bytes, control == Control::Syn)?;
                let mut header = header(parsed.timestamps, parsed.options);
                header.marks = header.marks.with_marked_bytes(parsed.marked_bytes);
                Ok((header, header_bytes, ports))
            }
        }
    }

    /// SEG.LEN: payload bytes, and one for SYN or FIN (RFC 9293 3.4).
    #[must_use]
    pub fn segment_len(&self) -> u32 {
        let control = matches!(self.control, Control::Syn | Control::Fin);
        self.payload_bytes.saturating_add(u32::from(control))
    }
}

/// The ports of a received header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The peer's.
    pub source: u16,
    /// Ours.
    pub destination: u16,
}

/// The flow that a packet belongs to, by its addresses and the ports at its front.
#[must_use]
pub fn tuple(packet: &Packet) -> Option<FourTuple> {
    let &[s0, s1, d0, d1] = packet.frame.bytes().first_chunk()?;
    let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    Some(FourTuple::from_parts(packet.dst.ip, packet.src.ip, destination, source))
}

/// Our port and the peer's, from the front of a header of ours that came back.
#[must_use]
pub fn quoted_ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[s0, s1, d0, d1] = bytes.first_chunk()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

/// The sequence number of a header of ours that came back.
#[must_use]
pub fn quoted_seq(bytes: &[u8]) -> Option<SeqNum> {
    let &[_, _, _, _, q0, q1, q2, q3] = bytes.first_chunk()?;
    Some(SeqNum(u32::from_be_bytes([q0, q1, q2, q3])))
}

/// A header to be sent: at most 60 bytes, the checksum left zero.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderBytes {
    /// The fixed part. `flags` is a sum of this module's bits; without [`ACK`] the acknowledgement number is zero.
    #[inline(always)]
    #[must_use]
    pub fn new(tuple: &FourTuple, seq: SeqNum, ack: SeqNum, flags: u16, window: u16) -> Self {
        let mut bytes = [0; HEADER_BYTES_MAX];
        let ack = if flags & ACK != 0 { ack.0 } else { 0 };
        bytes[0..8].copy_from_slice(&words(u32::from_be_bytes(tuple.port_bytes()), seq.0));
        bytes[8..16].copy_from_slice(&words(ack, u32::from(flags) << 16 | u32::from(window)));
        let mut header = Self { bytes, len: 0 };
        header.set_len(FIXED_BYTES);
        header
    }

    /// Adds timestamps in the usual place, aligned behind two NOPs (RFC 7323 appendix A). Must come first.
    #[inline(always)]
    #[must_use]
    pub fn with_timestamps(mut self, timestamps: Timestamps) -> Self {
        self.set_timestamps(timestamps);
        self
    }

    /// The same in place.
    #[inline(always)]
    pub fn set_timestamps(&mut self, timestamps: Timestamps) {
        debug_assert_eq!(usize::from(self.len), FIXED_BYTES);
        // Checksum and urgent pointer before it are still zero.
        self.bytes[16..24].copy_from_slice(&words(0, options::TIMESTAMPS_PREFIX));
        self.bytes[24..32].copy_from_slice(&words(timestamps.value, timestamps.echo));
        self.set_len(FIXED_BYTES.saturating_add(options::TIMESTAMPS_BYTES));
    }

    /// Tells of urgent data that ends `pointer` bytes behind the segment's number.
    pub fn set_urgent(&mut self, pointer: u16) {
        self.bytes[13] |= URG as u8;
        self.bytes[18..20].copy_from_slice(&pointer.to_be_bytes());
    }

    /// Appends options, already aligned to four bytes. What does not fit is left out.
    #[inline(always)]
    #[must_use]
    pub fn with_options(mut self, options: &[u8]) -> Self {
        debug_assert_eq!(options.len() % 4, 0);
        let start = usize::from(self.len);
        let end = start.saturating_add(options.len());
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(options);
            self.set_len(end);
        }
        self
    }

    /// With another ACE field.
    #[must_use]
    pub(crate) fn with_ace(mut self, value: u8) -> Self {
        let [high, low] = ace(value).to_be_bytes();
        self.bytes[12] = self.bytes[12] & !AE_IN_OFFSET | high;
        self.bytes[13] = self.bytes[13] & 0x3f | low;
        self
    }

    /// Bytes that options still have room for.
    pub(crate) fn room(&self) -> usize {
        HEADER_BYTES_MAX.saturating_sub(usize::from(self.len))
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    #[inline(always)]
    fn set_len(&mut self, len: usize) {
        self.len = len as u8;
        let [_, _, _, _, _, _, _, _, a0, a1, a2, a3, offset, flags, w0, w1, ..] = self.bytes;
        let offset = (self.len / 4) << 4 | offset & AE_IN_OFFSET;
        self.bytes[8..16].copy_from_slice(&[a0, a1, a2, a3, offset, flags, w0, w1]);
    }
}

/// Two fields of 32 bits. Headers are written by eight bytes, as they are copied: a load that is wider than the store before
/// it waits until that has left the processor.
#[inline(always)]
fn words(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}

/// Writes the sequence number and adds flags, in a header that is cut from a larger one.
#[inline]
pub fn patch(header: &mut [u8], seq: SeqNum, flags: u16) {
    if let Some(fixed) = header.first_chunk_mut::<FIXED_BYTES>() {
        fixed[4..8].copy_from_slice(&seq.0.to_be_bytes());
        fixed[13] |= flags as u8;
    }
}

/// No more data from the sender.
pub const FIN: u16 = 0x01;
/// Synchronize sequence numbers.
pub const SYN: u16 = 0x02;
/// Reset.
pub const RST: u16 = 0x04;
/// Push.
pub const PSH: u16 = 0x08;
/// The acknowledgement field is significant.
pub const ACK: u16 = 0x10;
/// The urgent pointer is significant.
pub const URG: u16 = 0x20;
/// AE, CWR and ECE (RFC 9768 3.2.2), of a number up to seven.
#[inline]
#[must_use]
pub const fn ace(value: u8) -> u16 {
    (value as u16 & 7) << 6
}
const RST_AND_FIN: u16 = RST | FIN;
/// AE, in the byte of the data offset.
const AE_IN_OFFSET: u8 = 1;

/// The header without options.
pub const FIXED_BYTES: usize = 20;
/// The largest header: the data offset has four bits.
pub const HEADER_BYTES_MAX: usize = 60;
/// Where the checksum stands.
pub const CHECKSUM_FIELD: u16 = 16;

const TOO_SHORT: DropReason = DropReason("tcp: shorter than a header");
const PORT_ZERO: DropReason = DropReason("tcp: port 0");
const BAD_OFFSET: DropReason = DropReason("tcp: data offset");
const BAD_FLAGS: DropReason = DropReason("tcp: SYN with FIN or RST");

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::options::{SackBlocks, SynOptions};
    use burstlane::addr::{Endpoint, Ip};
    use pnet_packet::tcp::TcpPacket;
    use proptest::prelude::*;

    fn tuple() -> FourTuple {
        FourTuple::new(Endpoint::new(Ip::v4([10, 0, 0, 1]), 4321), Endpoint::new(Ip::v4([10, 0, 0, 2]), 80))
    }

    #[test]
    fn it_is_small_enough_to_copy() {
        assert!(size_of::<Header>() <= 80, "{}", size_of::<Header>());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok((header, header_bytes, _)) = Header::parse(&bytes) {
                prop_assert_eq!(header_bytes + header.payload_bytes as usize, bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read_back_here_and_by_an_independent_decoder(
            seq: u32, ack: u32, window: u16, value: u32, echo: u32, with_timestamps: bool, push: bool,
            blocks in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..4),
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let flags = ACK | if push { PSH } else { 0 };
            let mut built = HeaderBytes::new(&tuple(), SeqNum(seq), SeqNum(ack), flags, window);
            let timestamps = with_timestamps.then_some(Timestamps { value, echo });
            if let Some(timestamps) = timestamps {
                built = built.with_timestamps(timestamps);
            }
            let mut sack = SackBlocks::default();
            for (left, right) in &blocks {
                sack.push(SeqNum(*left), SeqNum(*right));
            }
            let built = built.with_options(sack.to_bytes().as_slice());
            let mut bytes = built.as_slice().to_vec();
            let header_bytes = bytes.len();
            bytes.extend_from_slice(&payload);
            let (header, len, ports) = Header::parse(&bytes).unwrap();
            let options = if blocks.is_empty() { Options::None } else { Options::Sack(sack) };
            prop_assert_eq!(header, Header {
                seq: SeqNum(seq), ack: Some(SeqNum(ack)), payload_bytes: payload.len() as u32, timestamps, options,
                window, control: Control::None, push, urgent: 0, marks: Marks::default(),
            });
            prop_assert_eq!((len, ports), (header_bytes, Ports { source: 4321, destination: 80 }));
            let pnet = TcpPacket::new(&bytes).unwrap();
            prop_assert_eq!((pnet.get_source(), pnet.get_destination()), (4321, 80));
            prop_assert_eq!((pnet.get_sequence(), pnet.get_acknowledgement()), (seq, ack));
            prop_assert_eq!(usize::from(pnet.get_data_offset()) * 4, header_bytes);
            prop_assert_eq!((u16::from(pnet.get_flags()), pnet.get_window()), (flags, window));
        }

        #[test]
        fn syn_options_survive(mss: Option<u16>, scale in proptest::option::of(0u8..=14), sack: bool, ts: bool) {
            let syn = SynOptions { mss, window_scale: scale, sack_permitted: sack };
            let mut built = HeaderBytes::new(&tuple(), SeqNum(1), SeqNum(0), SYN, 1000);
            if ts {
                built = built.with_timestamps(Timestamps { value: 7, echo: 0 });
            }
            let built = built.with_options(syn.to_bytes().as_slice());
            let (header, _, _) = Header::parse(built.as_slice()).unwrap();
            prop_assert_eq!(header.options, Options::Syn(syn));
            prop_assert_eq!((header.control, header.ack, header.segment_len()), (Control::Syn, None, 1));
            prop_assert_eq!(header.timestamps.is_some(), ts);
        }
    }

    #[test]
    fn contradictions_are_drops_with_a_name() {
        let mut bytes = HeaderBytes::new(&tuple(), SeqNum(1), SeqNum(0), SYN | FIN, 0).as_slice().to_vec();
        assert_eq!(Header::parse(&bytes), Err(BAD_FLAGS));
        bytes[13] = (SYN | RST) as u8;
        assert_eq!(Header::parse(&bytes), Err(BAD_FLAGS));
        bytes[13] = (RST | FIN) as u8;
        assert_eq!(Header::parse(&bytes).unwrap().0.control, Control::Rst);
        bytes[12] = 4 << 4;
        assert_eq!(Header::parse(&bytes), Err(BAD_OFFSET));
        bytes[12] = 6 << 4;
        assert_eq!(Header::parse(&bytes), Err(BAD_OFFSET));
        assert_eq!(Header::parse(&bytes[..19]), Err(TOO_SHORT));
    }
}
