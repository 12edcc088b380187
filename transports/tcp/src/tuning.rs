//! How much a connection buffers: as much as its path can have under way, found by watching it, between what the configuration begins
//! with and what it allows, and less when the lane's memory runs short.
//!
//! - The send buffer holds two congestion windows: one under way, one to follow.
//! - The receive buffer, and with it the window, holds twice what the application took within the last round trip, so that a sender that
//!   doubles its window each round trip never waits for ours (dynamic right-sizing: Fisk, Feng 2001). An application that does not take
//!   gets no more.
//!
//! A size that the application chose for a connection stays as it is.

use burstlane::socket::{Ready, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::Mem;
use burstlane::transport::Context;

use crate::Tcp;
use crate::conn::{Conn, Flag, Wish};

/// What is known of the receive buffer's use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Its size, bytes, if `Flag::Tuned`.
    pub(crate) receive_bytes: u32,
    /// Since when it is watched, and how far the application had read then.
    since: Instant,
    from: u64,
    /// The application chose.
    pub(crate) is_fixed: bool,
}

impl Tuning {
    pub(crate) const fn new() -> Self {
        Self { receive_bytes: 0, since: Instant::NEVER, from: 0, is_fixed: false }
    }
}

impl Tcp {
    /// Another piece of the stream came.
    #[cold]
    #[inline(never)]
    pub(crate) fn tune_receive(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        let bytes = self.receive_buffer_bytes(conn);
        let most = self.config.receive_buffer_max;
        let read = conn.rcv_nxt - io.rx.len() as u64;
        let Some(cold) = self.cold.get_at_mut(conn.cold).filter(|cold| !cold.tuning.is_fixed) else { return };
        let tuning = &mut cold.tuning;
        if bytes >= most || is_short(cx.mem) {
            return;
        }
        if tuning.since == Instant::NEVER {
            (tuning.since, tuning.from) = (cx.now, read);
            return;
        }
        let round_trip = if conn.rtt.has_sample() { conn.rtt.smoothed() } else { ROUND_TRIP_UNKNOWN };
        let elapsed = cx.now.since(tuning.since);
        if elapsed < round_trip {
            return;
        }
        let taken = (read - tuning.from) as u128 * round_trip.as_nanos() / elapsed.as_nanos().max(1);
        (tuning.since, tuning.from) = (cx.now, read);
        let wanted = (2 * taken + 16 * u128::from(conn.rcv_mss)).min(u128::from(most)) as u32;
        if wanted > bytes {
            tuning.receive_bytes = wanted;
            conn.set(Flag::Tuned);
        }
    }

    /// The congestion window came near the send buffer's size.
    #[cold]
    #[inline(never)]
    pub(crate) fn tune_send(&mut self, cx: &mut Context<'_, Self>, conn: &Conn, io: &mut StreamIo) {
        if is_short(cx.mem) || conn.wishes(Wish::Chosen) {
            return;
        }
        let had_room = io.tx_room() > 0;
        io.tx_max = conn.cwnd.saturating_mul(2).min(self.config.send_buffer_max).max(io.tx_max);
        if !had_room && io.tx_room() > 0 {
            cx.emit(Ready::WRITABLE);
        }
    }

    /// What the receive buffer came to.
    #[cold]
    #[inline(never)]
    pub(crate) fn own_receive_buffer_bytes(&self, conn: &Conn) -> u32 {
        let chosen = self.settings(conn).receive_buffer_bytes;
        let Some(cold) = self.cold.get_at(conn.cold) else { return chosen };
        let is_tuned = conn.has(Flag::Tuned) && !cold.tuning.is_fixed;
        if is_tuned { cold.tuning.receive_bytes.max(chosen) } else { chosen }
    }
}

/// Whether to look at the receive buffer: each time the stream crossed a multiple of 64 KiB, a few times a round trip of who may need more.
#[inline]
pub(crate) fn is_due(rcv_nxt: u64, newly: u64) -> bool {
    (rcv_nxt ^ (rcv_nxt - newly)) >> 16 != 0
}

/// Half of the lane's memory is in use: what others need comes before what would be faster.
pub(crate) fn is_short(mem: &Mem) -> bool {
    mem.available_bytes() < mem.budget_bytes() / 2
}

/// Of a connection that never measured one: it only ever received, and was opened by a cookie.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);
