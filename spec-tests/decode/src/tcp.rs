//! A TCP segment: the header of RFC 9293 3.1 and the options of RFC 9293 3.2, 7323, 2018 and 2883.

use pnet_packet::tcp::{TcpFlags, TcpPacket};

use super::{Flaw, IpHeader};

/// A segment that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'f> {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK, if the ACK bit is set.
    pub ack: Option<u32>,
    /// The control bits of RFC 9293 3.1, CWR first.
    pub flags: u8,
    /// SEG.WND as it stands in the header.
    pub window: u16,
    /// The options.
    pub options: Options,
    /// The text.
    pub payload: &'f [u8],
}

/// The options of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Largest segment that the sender receives.
    pub mss: Option<u16>,
    /// Shift of the sender's windows.
    pub window_scale: Option<u8>,
    /// The sender understands SACK.
    pub sack_permitted: bool,
    /// `TSval` and `TSecr`.
    pub timestamps: Option<(u32, u32)>,
    blocks: [(u32, u32); BLOCKS_MAX],
    block_count: usize,
    /// Counts of marked bytes are there (RFC 9768 3.2.3).
    pub accurate_ecn: bool,
}

impl Options {
    /// The blocks of a SACK option, left and right edge (exclusive).
    #[must_use]
    pub fn sack(&self) -> &[(u32, u32)] {
        &self.blocks[..self.block_count]
    }
}

pub(super) fn decode<'f>(header: &IpHeader, body: &'f [u8]) -> Result<Segment<'f>, Flaw> {
    let tcp = TcpPacket::new(body).ok_or_else(|| Flaw("TCP: shorter than a header".into()))?;
    let header_bytes = usize::from(tcp.get_data_offset()) * 4;
    ensure!((FIXED_BYTES..=body.len()).contains(&header_bytes), "TCP: data offset {}", tcp.get_data_offset());
    ensure!(header.is_sum_right(body), "TCP: checksum {:#06x}", tcp.get_checksum());
    ensure!(tcp.get_source() != 0 && tcp.get_destination() != 0, "TCP: port 0");
    // The lowest of them is AE (RFC 9768 3.2.2).
    ensure!(tcp.get_reserved() & !1 == 0, "TCP: reserved bits {:#06b}", tcp.get_reserved());
    let flags = tcp.get_flags();
    ensure_flags(&tcp, flags)?;
    let options = options(&body[FIXED_BYTES..header_bytes], flags & TcpFlags::SYN != 0)?;
    let ack = (flags & TcpFlags::ACK != 0).then_some(tcp.get_acknowledgement());
    ensure_sack(options.sack(), ack)?;
    Ok(Segment {
        source_port: tcp.get_source(),
        destination_port: tcp.get_destination(),
        seq: tcp.get_sequence(),
        ack,
        flags,
        window: tcp.get_window(),
        options,
        payload: &body[header_bytes..],
    })
}

/// At most one of SYN, FIN and RST; an ACK on all but opening SYNs and resets; no number without its bit.
fn ensure_flags(tcp: &TcpPacket<'_>, flags: u8) -> Result<(), Flaw> {
    let control = flags & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
    ensure!(control.count_ones() <= 1, "TCP: flags {flags:#010b} contradict each other");
    let has_ack = flags & TcpFlags::ACK != 0;
    ensure!(has_ack || control == TcpFlags::SYN || control == TcpFlags::RST, "TCP: no ACK");
    ensure!(has_ack || tcp.get_acknowledgement() == 0, "TCP: an acknowledgement number without its bit");
    ensure!(flags & TcpFlags::URG != 0 || tcp.get_urgent_ptr() == 0, "TCP: an urgent pointer without its bit");
    Ok(())
}

/// Walks the option bytes. Each kind has its one length (MUST-7 makes receivers suspicious), its place, and comes once.
fn options(mut bytes: &[u8], is_syn: bool) -> Result<Options, Flaw> {
    let mut options = Options::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        match kind {
            END => {
                ensure!(rest.iter().all(|byte| *byte == 0), "TCP: something behind the end of options");
                break;
            }
            NOP => {
                bytes = rest;
                continue;
            }
            _ => {}
        }
        let length = usize::from(rest.first().copied().unwrap_or_default());
        ensure!((2..=bytes.len()).contains(&length), "TCP: option {kind} of length {length} in {} bytes", bytes.len());
        let (option, behind) = bytes.split_at(length);
        take_option(&mut options, kind, &option[2..], is_syn)?;
        bytes = behind;
    }
    Ok(options)
}

fn take_option(options: &mut Options, kind: u8, value: &[u8], is_syn: bool) -> Result<(), Flaw> {
    let is_new = match (kind, value) {
        (MSS | WINDOW_SCALE | SACK_PERMITTED, _) if !is_syn => {
            return Err(Flaw(format!("TCP: option {kind} on a segment without SYN")));
        }
        (MSS, &[high, low]) => {
            let mss = u16::from_be_bytes([high, low]);
            ensure!(mss > 0, "TCP: MSS 0");
            options.mss.replace(mss).is_none()
        }
        (WINDOW_SCALE, &[shift]) => {
            ensure!(shift <= 14, "TCP: window scale {shift} (RFC 7323 2.3)");
            options.window_scale.replace(shift).is_none()
        }
        (SACK_PERMITTED, &[]) => !std::mem::replace(&mut options.sack_permitted, true),
        (TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
            let stamps = (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
            options.timestamps.replace(stamps).is_none()
        }
        (SACK, blocks) => {
            ensure!(!is_syn, "TCP: SACK on a SYN");
            let (blocks, rest) = blocks.as_chunks::<8>();
            ensure!(rest.is_empty() && !blocks.is_empty() && blocks.len() <= BLOCKS_MAX, "TCP: SACK's length");
            let is_new = options.block_count == 0;
            options.block_count = blocks.len();
            for (place, &[l0, l1, l2, l3, r0, r1, r2, r3]) in options.blocks.iter_mut().zip(blocks) {
                *place = (u32::from_be_bytes([l0, l1, l2, l3]), u32::from_be_bytes([r0, r1, r2, r3]));
            }
            is_new
        }
        (ACCURATE_ECN_0 | ACCURATE_ECN_1, counts) => {
            ensure!(matches!(counts.len(), 0 | 3 | 6 | 9), "TCP: AccECN with {} bytes (RFC 9768 3.2.3)", counts.len());
            !std::mem::replace(&mut options.accurate_ecn, true)
        }
        _ => return Err(Flaw(format!("TCP: option {kind} with {} bytes", value.len()))),
    };
    ensure!(is_new, "TCP: option {kind} twice");
    Ok(())
}

/// RFC 2018 3 and 4: blocks beyond SEG.ACK, none of them empty, no two that touch. The first may report a duplicate: it
/// then lies below SEG.ACK or within another (RFC 2883 4).
fn ensure_sack(blocks: &[(u32, u32)], ack: Option<u32>) -> Result<(), Flaw> {
    let Some((&first, rest)) = blocks.split_first() else { return Ok(()) };
    let ack = ack.ok_or_else(|| Flaw("TCP: SACK without ACK".into()))?;
    // Positions relative to SEG.ACK, below it negative.
    let relative = |(left, right): (u32, u32)| (left.wrapping_sub(ack) as i32, right.wrapping_sub(ack) as i32);
    for block in blocks {
        ensure!(block.1.wrapping_sub(block.0) as i32 > 0, "TCP: SACK block {block:?} is empty or reversed");
    }
    for (at, &block) in rest.iter().enumerate() {
        let (left, right) = relative(block);
        ensure!(left > 0, "TCP: SACK block {block:?} at or below the acknowledgement {ack}");
        for &other in &rest[at + 1..] {
            let (other_left, other_right) = relative(other);
            ensure!(right < other_left || other_right < left, "TCP: SACK blocks {block:?} and {other:?} touch");
        }
    }
    let (left, right) = relative(first);
    let within = |&other: &(u32, u32)| relative(other).0 <= left && right <= relative(other).1;
    let touches = |&other: &(u32, u32)| left <= relative(other).1 && relative(other).0 <= right;
    ensure!(
        right <= 0 || left > 0 && (rest.iter().any(within) || !rest.iter().any(touches)),
        "TCP: the first SACK block {first:?} is neither news nor a duplicate; acknowledged is {ack}"
    );
    Ok(())
}

const FIXED_BYTES: usize = 20;
const BLOCKS_MAX: usize = 4;
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const ACCURATE_ECN_0: u8 = 172;
const ACCURATE_ECN_1: u8 = 174;
