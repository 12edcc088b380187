//! How much: what new data may leave now (RFC 5681, RFC 9293 3.8.6.2.1 and 3.7.4), and which window to advertise (RFC 9293
//! 3.8.6.2.2, RFC 7323 2.3).

use burstlane::socket::StreamIo;

use crate::Tcp;
use crate::conn::{Conn, Flag, Wish};

/// A piece of new data that may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where in the send buffer.
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    /// The FIN goes with it.
    pub(crate) fin: bool,
}

impl Plan {
    /// Of it what goes in the first segment: one that says CWR (RFC 3168 6.1.2), or points to the end of urgent data, so that no
    /// device copies that to others.
    #[cold]
    pub(crate) fn first_segment(self, conn: &Conn) -> Self {
        let bytes = self.bytes.min(conn.segment_bytes() as usize);
        Self { bytes, fin: self.fin && bytes == self.bytes, ..self }
    }
}

impl Tcp {
    /// How much new data may leave in one piece.
    /// RFC 9293: MUST-34, SHLD-15.
    #[inline]
    pub(crate) fn plan(&self, conn: &Conn, io: &StreamIo) -> Option<Plan> {
        let room = u64::from(conn.cwnd).saturating_sub(conn.ledger.in_flight_bytes());
        self.plan_within(conn, io, room)
    }

    /// The same if the congestion window had `room` bytes left.
    /// RFC 9293: MUST-38, SHLD-28, MUST-60, MAY-16.
    #[inline]
    pub(crate) fn plan_within(&self, conn: &Conn, io: &StreamIo, room: u64) -> Option<Plan> {
        if conn.has(Flag::FinSent) || !conn.state().can_send() {
            return None;
        }
        let offset = conn.outstanding_data();
        let unsent = io.tx.len().saturating_sub(offset);
        let fin = conn.has(Flag::FinQueued);
        if unsent == 0 && !fin {
            return None;
        }
        let window = (conn.snd_una() + u64::from(conn.snd_wnd)).saturating_sub(conn.snd_nxt()) as usize;
        let window = if planted!(self.config, IgnoresPeerWindow) { usize::MAX } else { window };
        let room = room as usize;
        let room = if planted!(self.config, IgnoresCongestionWindow) { usize::MAX } else { room };
        let bytes = unsent.min(window).min(room).min(self.burst_bytes(conn));
        let segment = conn.segment_bytes() as usize;
        if bytes < unsent {
            let whole = bytes - bytes % segment;
            // Less than a segment leaves only if it is half of the largest window that the peer ever offered.
            let half_window = bytes > 0 && window <= room && bytes * 2 >= conn.snd_wnd_max() as usize;
            let bytes = if whole > 0 { whole } else { bytes };
            let fin = fin && planted!(self.config, FinOvertakesData);
            return (whole > 0 || half_window).then_some(Plan { offset, bytes, fin });
        }
        if fin && bytes < window {
            return Some(Plan { offset, bytes, fin: true });
        }
        // The last piece, if small, waits while another small one is unacknowledged.
        let held = !fin && self.holds_small(conn);
        let bytes = if held { bytes - bytes % segment } else { bytes };
        (bytes > 0).then_some(Plan { offset, bytes, fin: false })
    }

    /// Whether less than a segment waits, by Nagle's algorithm or the application's wish. What is urgent does not.
    /// RFC 9293: SHLD-7.
    #[inline]
    fn holds_small(&self, conn: &Conn) -> bool {
        if conn.wishes(Wish::Urgent) {
            return false;
        }
        if conn.wishes(Wish::Cork) {
            return self.is_corked(conn);
        }
        !conn.wishes(Wish::NoDelay) && conn.has(Flag::SmallSent) && !conn.ledger.is_empty()
    }

    /// The window to advertise: what the buffer takes beyond RCV.NXT, in steps worth the peer's while (RFC 9293
    /// 3.8.6.2.2), its right edge never moving left.
    /// RFC 9293: MUST-39, MAY-8.
    #[inline]
    pub(crate) fn advertise(&self, conn: &mut Conn, io: &StreamIo) -> u16 {
        let room_max = self.receive_buffer_bytes(conn);
        if planted!(self.config, WindowMovesLeft) && 2 * io.rx.len() > room_max as usize {
            conn.rcv_adv = conn.rcv_nxt;
            return 0;
        }
        let edge = self.window_edge(conn, io);
        let step = u64::from(conn.rcv_mss).min(u64::from(room_max / 2));
        let step = if planted!(self.config, AnnouncesEveryByte) { 1 } else { step };
        let edge = if edge >= conn.rcv_adv + step { edge } else { conn.rcv_adv };
        let window = edge.saturating_sub(conn.rcv_nxt);
        // Rounded up if the buffer has the room, so that the edge does not retreat by the scale (RFC 7323 2.4).
        let unit = (1 << conn.rcv_scale()) - 1;
        let rounded = (window + unit) & !unit;
        let fits = rounded <= self.window_edge(conn, io).saturating_sub(conn.rcv_nxt);
        let field = (if fits { rounded } else { window } >> conn.rcv_scale()).min(u64::from(u16::MAX));
        conn.rcv_adv = conn.rcv_adv.max(conn.rcv_nxt + (field << conn.rcv_scale()));
        field as u16
    }

    /// The right edge that the receive buffer has room for, as far as the header's field can say it.
    #[inline]
    pub(crate) fn window_edge(&self, conn: &Conn, io: &StreamIo) -> u64 {
        let room = (self.receive_buffer_bytes(conn) as usize).saturating_sub(io.rx.len());
        conn.rcv_nxt + (room as u64).min(u64::from(u16::MAX) << conn.rcv_scale())
    }
}

/// What one piece holds at most: an IP packet of 64 KiB that a device cuts, less all headers.
pub(crate) const BURST_BYTES_MAX: usize = 65_535 - 60 - 60;
