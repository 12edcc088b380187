//! A bound on a connection's rate, as its application wants it: what leaves is spread by the framework's
//! [`Pacer`](burstlane::toolkit::Pacer), a millisecond's worth at a time.

use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::transport::TxStatus;

use crate::Tcp;
use crate::conn::{Conn, Wish};
use crate::window::BURST_BYTES_MAX;

impl Tcp {
    /// Whether text waits for its time.
    #[inline]
    pub(crate) fn is_paced(&self, now: Instant, conn: &Conn) -> bool {
        conn.wishes(Wish::Paced) && self.paced_until(now, conn) > now
    }

    /// When text may leave: now, or later.
    #[cold]
    #[inline(never)]
    fn paced_until(&self, now: Instant, conn: &Conn) -> Instant {
        let (Some(rate), Some(cold)) = (self.settings(conn).pacing_max, self.cold.get_at(conn.cold)) else {
            return now;
        };
        cold.pacer.next_send_at(now, rate, self.pacing_bytes(conn) as u64)
    }

    /// Bytes that may leave in one piece.
    #[inline]
    pub(crate) fn burst_bytes(&self, conn: &Conn) -> usize {
        if conn.wishes(Wish::Paced) { self.pacing_bytes(conn) } else { BURST_BYTES_MAX }
    }

    #[cold]
    #[inline(never)]
    fn pacing_bytes(&self, conn: &Conn) -> usize {
        let segment = conn.segment_bytes() as usize;
        let rate = self.settings(conn).pacing_max.unwrap_or(u64::MAX);
        let worth = (rate / QUANTA_PER_SECOND).min(BURST_BYTES_MAX as u64) as usize;
        (worth - worth % segment).max(segment)
    }

    /// Text left, new or again.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_paced(&mut self, now: Instant, conn: &Conn, bytes: usize) {
        let Some(rate) = self.settings(conn).pacing_max else { return };
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.pacer.on_sent(now, bytes as u64, rate);
        }
    }

    /// What `poll_tx` answers when nothing stopped it but the rate.
    #[cold]
    #[inline(never)]
    pub(crate) fn paced_status(&self, now: Instant, conn: &Conn, io: &StreamIo) -> TxStatus {
        let until = self.paced_until(now, conn);
        let waits = conn.state().can_send() && (conn.has_unsent(io) || conn.ledger.lost_bytes() > 0);
        if waits && until > now { TxStatus::PacedUntil(until) } else { TxStatus::Idle }
    }
}

const QUANTA_PER_SECOND: u64 = 1000;
