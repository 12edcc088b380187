//! What the peer says of the marks on what we sent (RFC 3168 6.1.2, RFC 9768 3.2.2), and what it means for the congestion
//! window: one reduction a round trip, and to a controller that wants to know, how many bytes.

use super::receiver::ECE;
use super::{ARRIVED_MARKED, FIRST_COUNT, RESERVED, UNCHANGED};
use crate::Tcp;
use crate::conn::{Conn, Flag};
use crate::established::Totals;
use crate::wire::{Control, Header};

/// What of our packets arrived marked: s.cep and s.ceb of RFC 9768 3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Packets.
    pub(crate) marked_packets: u32,
    /// The low 24 bits of the bytes, as the peer's option says.
    marked_bytes: u32,
    /// The peer counted before: this is not the first that we hear.
    was_heard: bool,
    /// The bits are cleared on the way, or the peer has no ECN after all.
    is_void: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self { marked_packets: FIRST_COUNT, marked_bytes: 0, was_heard: false, is_void: false }
    }
}

impl Tcp {
    /// The third segment of a handshake says how our SYN-ACK, which went without a codepoint, arrived (RFC 9768 Table 4).
    pub(crate) fn take_handshake_ace(&mut self, conn: &mut Conn, header: &Header, totals: &mut Totals) {
        let is_pure = header.payload_bytes == 0 && header.control == Control::None && header.options.sack().is_none();
        if !conn.has(Flag::EcnAccurate) || !is_pure {
            return;
        }
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let sent = &mut cold.ecn.sent;
        match header.marks.ace() {
            0 => sent.is_void = true,
            ARRIVED_MARKED => {
                sent.marked_packets = FIRST_COUNT + 1;
                conn.set_peer_ace((FIRST_COUNT + 1) as u8);
                totals.marked_bytes += u64::from(conn.segment_bytes());
            }
            _ => {}
        }
        if !matches!(header.marks.ace(), 1 | UNCHANGED | RESERVED | 7) {
            conn.unset(Flag::Ect);
        }
        self.answer_marks(conn, totals);
    }

    /// An acknowledgement that is not older than the last: what it says of marks. It acknowledged so many bytes.
    #[inline]
    pub(crate) fn take_ecn(&mut self, conn: &mut Conn, header: &Header, delivered_bytes: u64, totals: &mut Totals) {
        if conn.has(Flag::EcnAccurate) {
            self.take_ace(conn, header, delivered_bytes, totals);
        } else if conn.has(Flag::EcnClassic) && header.marks.ace() & ECE != 0 {
            totals.marked_bytes += delivered_bytes;
            self.answer_marks(conn, totals);
        }
    }

    /// RFC 9768 3.2.2.2.
    #[cold]
    #[inline(never)]
    fn take_ace(&mut self, conn: &mut Conn, header: &Header, delivered_bytes: u64, totals: &mut Totals) {
        let segment = conn.segment_bytes();
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let (sent, ace) = (&mut cold.ecn.sent, header.marks.ace());
        if !std::mem::replace(&mut sent.was_heard, true) && ace == 0 {
            sent.is_void = true;
            conn.unset(Flag::Ect);
        }
        if sent.is_void {
            return conn.set_peer_ace(ace);
        }
        let option = header.marks.marked_bytes();
        let newly = option.map(|field| field.wrapping_sub(sent.marked_bytes) & OPTION_MASK);
        let least = u32::from(ace.wrapping_sub(sent.marked_packets as u8) & 7);
        let acked = u32::try_from(delivered_bytes.div_ceil(u64::from(segment))).unwrap_or(u32::MAX);
        let packets = marked_packets(least, acked, newly, segment);
        if newly.is_some_and(|bytes| bytes > 0) && packets == 0 {
            // The option says more than the counter, and the counter cannot have wrapped: the bits are tampered with (3.2.3.2.5).
            conn.unset(Flag::Ect);
        }
        sent.marked_packets = sent.marked_packets.wrapping_add(packets);
        sent.marked_bytes = option.unwrap_or(sent.marked_bytes);
        conn.set_peer_ace(ace);
        let estimated = (u64::from(packets) * u64::from(segment)).min(delivered_bytes);
        let bytes = newly.map_or(estimated, |bytes| u64::from(bytes).min(delivered_bytes));
        if packets > 0 {
            // A mark on a packet without text counts, too: as little as there can be.
            totals.marked_bytes += bytes.max(1);
            self.answer_marks(conn, totals);
        }
    }

    /// RFC 9293: SHLD-8. Marks came back: reduces, unless this round trip saw a reduction already (RFC 3168 6.1.2).
    fn answer_marks(&mut self, conn: &mut Conn, totals: &mut Totals) {
        totals.scoreboard_changed |= totals.marked_bytes > 0;
        if totals.marked_bytes > 0 && conn.ledger.on_congestion_echo() {
            totals.marked_episode = true;
            if conn.has(Flag::EcnClassic) {
                conn.set(Flag::CwrOwed);
            }
        }
    }
}

/// How many packets were marked: `least` plus a multiple of eight, for the counter has three bits. The option tells which, if it came.
/// Otherwise, where so many were acknowledged that the counter may have wrapped, the safest guess (RFC 9768 3.2.2.5.2): that it did,
/// unless it does not show a mark at all. For the peer acknowledges at least every seventh mark, and that all of those were lost but one
/// is less likely than that there were none.
pub(crate) const fn marked_packets(least: u32, acked: u32, bytes: Option<u32>, segment: u32) -> u32 {
    if acked < WRAP || least == 0 && bytes.is_none() {
        return least;
    }
    // The largest of them that is not above what was acknowledged.
    let most = acked - (acked - least) % WRAP;
    let Some(bytes) = bytes else { return most };
    let carried = bytes.div_ceil(segment);
    let enough = least + carried.saturating_sub(least).div_ceil(WRAP) * WRAP;
    if enough < most { enough } else { most }
}

const OPTION_MASK: u32 = 0xff_ffff;
/// The counter in the header has three bits.
const WRAP: u32 = 8;
