//! Marks on what arrives, and how the peer learns of them: by ECE until it answers with CWR (RFC 3168 6.1.3), or by counters in the
//! ACE field and the AccECN option (RFC 9768 3.2).

use arrayvec::ArrayVec;
use burstlane::transport::Context;

use super::{CE, ECT0, FIRST_COUNT, encode};
use crate::Tcp;
use crate::conn::{Conn, Flag};
use crate::options;
use crate::wire::Header;

/// What came with which codepoint: r.cep, r.e0b, r.ceb and r.e1b of RFC 9768 3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Packets that were marked.
    pub(crate) marked_packets: u32,
    marked_bytes: u32,
    ect0_bytes: u32,
    ect1_bytes: u32,
    /// The packet before was marked.
    was_marked: bool,
}

impl Default for Received {
    fn default() -> Self {
        Self { marked_packets: FIRST_COUNT, marked_bytes: 0, ect0_bytes: 1, ect1_bytes: 1, was_marked: false }
    }
}

impl Tcp {
    /// An acceptable segment came, of so many packets.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_marks(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, header: &Header, packets: u32) {
        if conn.has(Flag::EcnAccurate) {
            self.count_marks(cx, conn, header, packets);
        } else if conn.has(Flag::EcnClassic) {
            echo_marks(cx, conn, header);
        }
    }

    /// RFC 9768 3.2, and 3.2.2.5.1 for when to acknowledge at once.
    fn count_marks(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, header: &Header, packets: u32) {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let (received, marks, bytes) = (&mut cold.ecn.received, header.marks, header.payload_bytes);
        match marks.codepoint() {
            CE => {
                received.marked_packets = received.marked_packets.wrapping_add(packets.max(1));
                received.marked_bytes = received.marked_bytes.wrapping_add(bytes);
                conn.set_ace((received.marked_packets & 7) as u8);
            }
            ECT0 => received.ect0_bytes = received.ect0_bytes.wrapping_add(bytes),
            1 => received.ect1_bytes = received.ect1_bytes.wrapping_add(bytes),
            _ => {}
        }
        let was_marked = std::mem::replace(&mut received.was_marked, marks.is_marked());
        if marks.is_marked() && bytes > 0 && (!was_marked || conn.has(Flag::AckLater)) {
            conn.ack_now(cx);
        }
    }

    /// The peer's SYN-ACK came marked; counted once, however often it comes.
    pub(super) fn count_marked_syn_ack(&mut self, conn: &mut Conn) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.ecn.received.marked_packets = FIRST_COUNT + 1;
            conn.set_ace((FIRST_COUNT + 1) as u8);
        }
    }

    /// The SYN-ACK came once more: our acknowledgement tells of this one (RFC 9768 3.2.2.1).
    pub(crate) fn note_syn_ack_again(&mut self, conn: &mut Conn, header: &Header) {
        if conn.has(Flag::EcnAccurate)
            && let Some(cold) = self.cold.get_at_mut(conn.cold)
        {
            cold.ecn.syn = header.marks.codepoint();
            conn.set(Flag::HandshakeAce);
        }
    }

    /// The ACE of an acknowledgement of the SYN-ACK, if this is to be one.
    pub(crate) fn handshake_ace(&self, conn: &Conn) -> Option<u8> {
        let cold = self.cold.get_at(conn.cold).filter(|_| conn.has(Flag::HandshakeAce))?;
        Some(encode(cold.ecn.syn))
    }

    /// The AccECN option for an acknowledgement without text, with the counters that ever changed, aligned to four bytes (RFC 9768
    /// 3.2.3.3); empty where accurate feedback is not agreed.
    pub(crate) fn ecn_option(&self, conn: &Conn) -> ArrayVec<u8, 12> {
        let Some(cold) = self.cold.get_at(conn.cold).filter(|_| conn.has(Flag::EcnAccurate)) else {
            return ArrayVec::new();
        };
        let Received { marked_bytes, ect0_bytes, ect1_bytes, .. } = cold.ecn.received;
        options::accurate_ecn(ect0_bytes, marked_bytes, (ect1_bytes != 1).then_some(ect1_bytes))
    }
}

/// RFC 3168 6.1.3: ECE from a mark on until CWR comes.
fn echo_marks(cx: &mut Context<'_, Tcp>, conn: &mut Conn, header: &Header) {
    if header.marks.ace() & CWR != 0 {
        conn.set_ace(0);
        if header.payload_bytes > 0 {
            // The peer's window is small now: it should not wait.
            conn.ack_now(cx);
        }
    }
    if header.marks.is_marked() && conn.ace() == 0 {
        conn.set_ace(ECE);
        conn.ack_now(cx);
    }
}

/// As bits of an ACE.
pub(super) const ECE: u8 = 1;
pub(crate) const CWR: u8 = 2;
