//! Explicit congestion notification: who agreed to what (RFC 3168 6.1.1, RFC 9768 3.1). What marks arrived and how the peer
//! learns of them is in [`receiver`], what the peer says of ours in [`sender`].
//!
//! ```text
//!  SYN  AE CWR ECE   111 ─► SYN-ACK 010, 011, 100 or 110 (how the SYN arrived) ─► accurate: ACE counts packets with marks
//!                    011 ─► SYN-ACK 001                                        ─► classic: ECE until CWR
//!                    000, or any other answer                                  ─► none
//! ```
//!
//! Deviations from RFC 9768: the AccECN option goes on acknowledgements without text only (3.2.3.3 would have it on those with text,
//! too), and failures are not remembered from one connection to the next (3.1.4.1).

mod receiver;
mod sender;

use crate::conn::{Conn, Flag};

pub(crate) use receiver::CWR;
#[cfg(test)]
pub(crate) use sender::marked_packets;

/// Whether connections use explicit congestion notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ecn {
    /// Never.
    Off,
    /// When the peer asks for it, in the form that it asks for.
    #[default]
    Accept,
    /// Ask for the feedback of RFC 3168: whether something was marked in the last round trip.
    Classic,
    /// Ask for that of RFC 9768: how much was marked; what DCTCP needs. A peer that does not know it may choose the classic one.
    Accurate,
}

/// The feedback that the two ends agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feedback {
    /// None: nothing that we send may be marked.
    #[default]
    None,
    /// RFC 3168.
    Classic,
    /// RFC 9768.
    Accurate,
}

/// What a segment says of congestion: AE, CWR and ECE of the TCP header as a number (RFC 9768 3.2.2: ACE), the ECN bits of the IP header
/// (RFC 3168 5), and the AccECN option.
///
/// ```text
///  bits 0-2 ACE   3 marked   4-5 ECN of the IP header   6 the option is there   8-31 its count of marked bytes
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// Of a TCP header's three bits, `ace` at most 7.
    #[inline]
    #[must_use]
    pub const fn of_header(ace: u8) -> Self {
        Self(ace as u32 & ACE_BITS)
    }

    /// And of the IP header's two.
    #[inline]
    #[must_use]
    pub const fn with_codepoint(self, codepoint: u8) -> Self {
        let marked = if codepoint & 3 == CE { MARKED_BIT } else { 0 };
        Self(self.0 & !(MARKED_BIT | CODEPOINT_BITS) | marked | (codepoint as u32 & 3) << CODEPOINT_SHIFT)
    }

    /// And of the AccECN option, if it says how many bytes arrived marked: 24 bits.
    #[must_use]
    pub(crate) const fn with_marked_bytes(self, bytes: Option<u32>) -> Self {
        match bytes {
            Some(bytes) => Self(self.0 & LOW_BITS | OPTION_BIT | bytes << OPTION_SHIFT),
            None => self,
        }
    }

    /// AE, CWR, ECE.
    #[inline]
    #[must_use]
    pub const fn ace(self) -> u8 {
        (self.0 & ACE_BITS) as u8
    }

    /// The ECN bits of the IP header.
    #[must_use]
    pub const fn codepoint(self) -> u8 {
        ((self.0 & CODEPOINT_BITS) >> CODEPOINT_SHIFT) as u8
    }

    /// Marked on its way: congestion experienced.
    #[must_use]
    pub const fn is_marked(self) -> bool {
        self.0 & MARKED_BIT != 0
    }

    /// The low 24 bits of the bytes that arrived marked, from the AccECN option (RFC 9768 3.2.3: ECEB).
    #[must_use]
    pub const fn marked_bytes(self) -> Option<u32> {
        if self.0 & OPTION_BIT == 0 { None } else { Some(self.0 >> OPTION_SHIFT) }
    }

    /// Whether nothing changed since a segment whose ACE was `ace`, this one is not marked, and has no option to be read.
    #[inline]
    pub(crate) const fn are_as_before(self, ace: u8) -> bool {
        self.0 & (ACE_BITS | MARKED_BIT | OPTION_BIT) == ace as u32
    }
}

/// What a server agreed to, on a peer's SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) feedback: Feedback,
    /// The ECN bits of the latest SYN: fed back on the SYN-ACK.
    syn: u8,
    /// A SYN or SYN-ACK without ECN was seen besides: the peer may have none (RFC 9768 3.1.5).
    in_doubt: bool,
}

/// What a connection knows beside its flags: what arrived, and what the peer said of what we sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: receiver::Received,
    pub(crate) sent: sender::Sent,
    /// The ECN bits of the peer's SYN or SYN-ACK.
    syn: u8,
}

impl Ecn {
    /// The ACE of our SYN, which was sent `retries` times in vain: a box on the way may drop what asks for ECN (RFC 9768 3.1.4.1,
    /// RFC 3168 6.1.1.1).
    pub(crate) const fn syn_ace(self, retries: u8) -> u8 {
        match self {
            Self::Classic if retries < ASKS_MAX => ASKS_CLASSIC,
            Self::Accurate if retries < ASKS_MAX => ASKS_ACCURATE,
            Self::Off | Self::Accept | Self::Classic | Self::Accurate => 0,
        }
    }

    /// A server's answer to a SYN (RFC 9768 Table 2; 3.1.3 for what it reserves).
    pub(crate) const fn agree(self, syn: Marks) -> Agreed {
        let feedback = match (self, syn.ace()) {
            (Self::Off, _) | (_, 0) => Feedback::None,
            (_, ASKS_CLASSIC) => Feedback::Classic,
            _ => Feedback::Accurate,
        };
        Agreed { feedback, syn: syn.codepoint(), in_doubt: false }
    }

    /// What a client agreed to, by the SYN-ACK.
    const fn agreed(self, syn_ack: Marks) -> Feedback {
        match (self, syn_ack.ace()) {
            (Self::Classic | Self::Accurate, AGREES_CLASSIC) => Feedback::Classic,
            // All bits: a server that reflects what it does not know.
            (Self::Accurate, 2..=6) => Feedback::Accurate,
            _ => Feedback::None,
        }
    }
}

/// A SYN came again and asks for the other form of feedback: no way to tell which the peer means (RFC 9768 3.1.5).
pub(crate) struct Contradiction;

impl Agreed {
    /// The ACE of a SYN-ACK, which was sent `retries` times in vain (RFC 9768 3.2.3.2.2).
    pub(crate) const fn syn_ack_ace(self, retries: u8) -> u8 {
        match self.feedback {
            Feedback::None => 0,
            Feedback::Classic => AGREES_CLASSIC,
            Feedback::Accurate if retries < ASKS_MAX => encode(self.syn),
            Feedback::Accurate => 0,
        }
    }

    /// The ACE of what goes before the handshake is complete.
    pub(crate) fn first_ace(self) -> u8 {
        if self.feedback == Feedback::Accurate { FIRST_COUNT as u8 } else { 0 }
    }

    /// The SYN came again.
    pub(crate) fn on_syn_again(&mut self, syn: Marks) -> Result<(), Contradiction> {
        match (self.feedback, syn.ace()) {
            (Feedback::None, _) => {}
            (Feedback::Accurate, ASKS_CLASSIC) | (Feedback::Classic, ASKS_ACCURATE) => return Err(Contradiction),
            (_, ace) => {
                self.in_doubt |= ace == 0;
                self.syn = syn.codepoint();
            }
        }
        Ok(())
    }

    /// What the third segment tells of a handshake that was not remembered (RFC 9768 5.1): who did not agree does not send an
    /// ACE above 1.
    pub(crate) const fn recall(ecn: Ecn, third: Marks) -> Self {
        let is_accurate = !matches!(ecn, Ecn::Off) && third.ace() > 1;
        let feedback = if is_accurate { Feedback::Accurate } else { Feedback::None };
        Self { feedback, syn: 0, in_doubt: false }
    }

    /// What of it needs no memory.
    pub(crate) fn without_memory(self) -> Self {
        if self.feedback == Feedback::Classic { Self::default() } else { self }
    }
}

impl Conn {
    /// What the ends agreed on.
    #[must_use]
    pub fn ecn(&self) -> Feedback {
        match (self.has(Flag::EcnAccurate), self.has(Flag::EcnClassic)) {
            (true, _) => Feedback::Accurate,
            (_, true) => Feedback::Classic,
            (false, false) => Feedback::None,
        }
    }

    fn set_ecn(&mut self, feedback: Feedback) {
        match feedback {
            Feedback::None => {}
            Feedback::Classic => self.set(Flag::EcnClassic),
            Feedback::Accurate => self.set(Flag::EcnAccurate),
        }
    }
}

impl crate::Tcp {
    /// A connection begins as a server's.
    pub(crate) fn start_ecn(&mut self, conn: &mut Conn, agreed: Agreed, retries: u8) {
        conn.set_ecn(agreed.feedback);
        let is_doubtful = agreed.in_doubt || agreed.feedback == Feedback::Accurate && retries >= ASKS_MAX;
        self.start_counting(conn, agreed.syn, !is_doubtful);
    }

    /// Our SYN was answered by the SYN-ACK `marks`.
    pub(crate) fn ecn_answered(&mut self, conn: &mut Conn, marks: Marks) {
        conn.set_ecn(self.config.ecn.agreed(marks));
        // Our SYN went without a codepoint; if it arrived with one the path spoils them (RFC 9768 3.2.2.3).
        let is_intact = conn.has(Flag::EcnClassic) || matches!(marks.ace(), UNCHANGED | RESERVED);
        self.start_counting(conn, marks.codepoint(), is_intact);
        if conn.has(Flag::EcnAccurate) {
            conn.set(Flag::HandshakeAce);
            if marks.is_marked() {
                self.count_marked_syn_ack(conn);
            }
        }
    }

    /// Two SYNs crossed: both ends answer, so only what both asked for is agreed.
    pub(crate) fn ecn_crossed(&mut self, conn: &mut Conn, syn: Marks) {
        let asked = self.config.ecn.syn_ace(0);
        if asked != 0 && syn.ace() == asked {
            conn.set_ecn(self.config.ecn.agree(syn).feedback);
            self.start_counting(conn, syn.codepoint(), true);
        }
    }

    fn start_counting(&mut self, conn: &mut Conn, syn: u8, may_send: bool) {
        if conn.ecn() == Feedback::None {
            return;
        }
        if may_send {
            conn.set(Flag::Ect);
        }
        if conn.has(Flag::EcnAccurate) {
            conn.set_ace(FIRST_COUNT as u8);
            conn.set_peer_ace(FIRST_COUNT as u8);
        }
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.ecn = Counters { syn, ..Counters::default() };
        }
    }

    /// The ACE of a SYN-ACK that a connection sends: two SYNs crossed.
    pub(crate) fn crossed_syn_ack_ace(&self, conn: &Conn) -> u8 {
        let syn = self.cold.get_at(conn.cold).map_or(0, |cold| cold.ecn.syn);
        Agreed { feedback: conn.ecn(), syn, in_doubt: false }.syn_ack_ace(0)
    }
}

/// The ECN bits of a SYN or SYN-ACK, as the answer to it tells them (RFC 9768 Tables 2 and 3).
pub(crate) const fn encode(codepoint: u8) -> u8 {
    match codepoint & 3 {
        0 => UNCHANGED,
        1 => 0b011,
        2 => 0b100,
        _ => ARRIVED_MARKED,
    }
}

/// The ECN bits of an IP header: capable, and not marked.
pub(crate) const ECT0: u8 = 2;
/// Congestion experienced.
const CE: u8 = 3;
const ACE_BITS: u32 = 7;
const MARKED_BIT: u32 = 1 << 3;
const CODEPOINT_BITS: u32 = 3 << CODEPOINT_SHIFT;
const CODEPOINT_SHIFT: u32 = 4;
const OPTION_BIT: u32 = 1 << 6;
const OPTION_SHIFT: u32 = 8;
const LOW_BITS: u32 = 0xff;
/// What a SYN asks by its ACE.
const ASKS_CLASSIC: u8 = 0b011;
const ASKS_ACCURATE: u8 = 0b111;
/// What a SYN-ACK says.
const AGREES_CLASSIC: u8 = 0b001;
const UNCHANGED: u8 = 0b010;
const RESERVED: u8 = 0b101;
const ARRIVED_MARKED: u8 = 0b110;
/// RFC 9768 3.2.1: not zero, so that a box which clears the bits is noticed.
const FIRST_COUNT: u32 = 5;
/// Times that ECN is asked for or agreed to before it goes without.
const ASKS_MAX: u8 = 2;
