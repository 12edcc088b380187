//! A connection's rate: the controller's, if it has one (BBR, and who was made paced; NewReno, CUBIC and DCTCP leave it to
//! acknowledgements), and the application's bound. What leaves is spread by the framework's
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

    /// Whether there is a rate, after what says so has changed.
    pub(crate) fn mind_pacing(&self, conn: &mut Conn) {
        conn.wish(Wish::Paced, self.pacing_rate(conn).is_some());
    }

    /// Bytes per second: the controller's, but no more than the application's bound.
    fn pacing_rate(&self, conn: &Conn) -> Option<u64> {
        let controller = self.cold.get_at(conn.cold).and_then(|cold| cold.controller.as_ref());
        let wanted = controller.and_then(|controller| controller.pacing_rate());
        [wanted, self.settings(conn).pacing_max].into_iter().flatten().min()
    }

    /// When text may leave: now, or later.
    #[cold]
    #[inline(never)]
    fn paced_until(&self, now: Instant, conn: &Conn) -> Instant {
        let (Some(rate), Some(cold)) = (self.pacing_rate(conn), self.cold.get_at(conn.cold)) else { return now };
        cold.pacer.next_send_at(now, rate, self.pacing_bytes(conn) as u64)
    }

    /// Bytes that may leave in one piece.
    #[inline]
    pub(crate) fn burst_bytes(&self, conn: &Conn) -> usize {
        if conn.wishes(Wish::Paced) { self.pacing_bytes(conn) } else { BURST_BYTES_MAX }
    }

    /// A millisecond's worth, or what the controller says.
    #[cold]
    #[inline(never)]
    fn pacing_bytes(&self, conn: &Conn) -> usize {
        let segment = conn.segment_bytes() as usize;
        let controller = self.cold.get_at(conn.cold).and_then(|cold| cold.controller.as_ref());
        let quantum =
            controller.filter(|controller| controller.pacing_rate().is_some()).map(|paced| paced.send_quantum());
        let worth = self.settings(conn).pacing_max.map(|rate| rate / QUANTA_PER_SECOND);
        let bytes = [quantum, worth].into_iter().flatten().fold(BURST_BYTES_MAX as u64, u64::min) as usize;
        (bytes - bytes % segment).max(segment)
    }

    /// Text left, new or again.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_paced(&mut self, now: Instant, conn: &Conn, bytes: usize) {
        let Some(rate) = self.pacing_rate(conn) else { return };
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
