//! Urgent data (RFC 9293 3.8.5, RFC 6093): a mark in the stream, whose bytes stay in line. What is sent is marked up to there, and
//! what comes is told to the application until it has read as far.

use burstlane::socket::{Ready, StreamIo};
use burstlane::toolkit::SeqNum;
use burstlane::transport::{Class, Context};

use crate::Tcp;
use crate::conn::{Conn, Wish};
use crate::state::State;
use crate::wire::{Header, HeaderBytes};

impl Tcp {
    /// What was written up to now is urgent, whether it was sent or not (RFC 9293 3.10.2).
    /// RFC 9293: MUST-30.
    pub(crate) fn send_urgent(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        let is_open = conn.state().can_send() || matches!(conn.state(), State::SynSent | State::SynReceived);
        let Some(cold) = self.cold.get_at_mut(conn.cold).filter(|_| is_open && !io.tx.is_empty()) else { return };
        cold.snd_up = conn.snd_una().max(cold.iss + 1) + io.tx.len() as u64;
        conn.wish(Wish::Urgent, true);
        cx.want_tx(Class::Data);
    }

    /// Marks a segment that begins before the end of urgent data. The pointer is that of the byte behind it (MUST-62), or the
    /// farthest that the field can say: a later segment says the rest (MUST-31).
    #[cold]
    #[inline(never)]
    pub(crate) fn mark_urgent(&self, conn: &mut Conn, header: &mut HeaderBytes, seq: SeqNum) {
        let end = self.cold.get_at(conn.cold).map_or(0, |cold| cold.snd_up);
        if conn.snd_una() >= end {
            return conn.wish(Wish::Urgent, false);
        }
        let ahead = end.saturating_sub(seq.near(conn.snd_una()));
        if ahead > 0 {
            header.set_urgent(ahead.min(u64::from(u16::MAX)) as u16);
        }
    }

    /// Sixth step of RFC 9293 3.10.7.4: the application is told when the mark moves on (MUST-32).
    /// RFC 9293: MUST-30, MUST-66.
    pub(crate) fn take_urgent(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &Conn,
        io: &StreamIo,
        header: &Header,
        seq: u64,
    ) {
        let end = seq + u64::from(header.urgent);
        let taken = conn.rcv_nxt.saturating_sub(io.rx.len() as u64);
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        if conn.state().can_receive() && end > taken.max(cold.rcv_up) {
            cold.rcv_up = end;
            cx.emit(Ready::URGENT);
        }
    }

    /// Bytes from what the application reads next to the end of urgent data; not all of them may have come. Zero if nothing
    /// is urgent.
    #[must_use]
    pub fn urgent_bytes(&self, conn: &Conn, io: &StreamIo) -> u64 {
        let taken = conn.rcv_nxt.saturating_sub(io.rx.len() as u64 + u64::from(io.rx_finished));
        self.cold.get_at(conn.cold).map_or(0, |cold| cold.rcv_up.saturating_sub(taken))
    }
}
