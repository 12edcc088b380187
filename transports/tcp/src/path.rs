//! The size of segments and what the path carries: its MTU by ICMP, downwards and ten minutes later upwards again (RFC 1191, RFC 8201),
//! and by trying, where large segments vanish without a word (RFC 8899, with segments of the stream as in RFC 4821).

use burstlane::net::{PathId, TxBatch, TxStop};
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::Recovery;
use burstlane::transport::Context;

use crate::Tcp;
use crate::answer::ip_header_bytes;
use crate::conn::{Conn, Flag};
use crate::established::Totals;
use crate::options::TIMESTAMPS_BYTES;
use crate::personality::Personality;
use crate::window::{BURST_BYTES_MAX, Plan};
use crate::wire::FIXED_BYTES;

impl Tcp {
    /// Follows the path's MTU.
    #[inline]
    pub(crate) fn fit_to_path(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, path: PathId, out: &TxBatch<'_>) {
        let Some(mtu) = out.mtu(path) else { return };
        if payload_of(cx, conn, mtu) < u32::from(conn.smss) || conn.has(Flag::PathNarrow) {
            self.refit(cx, conn, mtu, out.link_mtu(path).unwrap_or(mtu));
        }
    }

    #[cold]
    #[inline(never)]
    fn refit(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, path_mtu: u32, link_mtu: u32) {
        let Some(cold) = self.cold.get_at(conn.cold) else { return };
        let mtu = path_mtu.min(cold.mtu_search.limit());
        let options = if conn.has(Flag::Timestamps) { TIMESTAMPS_BYTES as u32 } else { 0 };
        let most = u32::from(cold.peer_mss.min(self.settings(conn).mss_max)).saturating_sub(options).max(1);
        let fits = payload_of(cx, conn, mtu).min(most) as u16;
        let most = payload_of(cx, conn, link_mtu).min(most);
        if fits < conn.smss {
            conn.smss = fits;
            conn.set(Flag::PathNarrow);
            self.control_segment_size(cx.now, conn);
            // What was too large is lost; it goes again in smaller pieces, without being held against the path. Only when
            // segments do get smaller: an error that says nothing new must not send everything again.
            conn.ledger.mark_all_lost();
        } else if fits > conn.smss {
            conn.smss = fits;
            self.control_segment_size(cx.now, conn);
        }
        if u32::from(conn.smss) == most {
            conn.unset(Flag::PathNarrow);
        }
    }

    /// A retransmission timeout, the `count`th in a row: perhaps it is the size (RFC 4821 7.7).
    pub(crate) fn suspect_size(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, count: u8) {
        self.trial_lost(cx.now, conn);
        // Linux looks for no smaller size unless it is told to (tcp_mtu_probing).
        if !count.is_multiple_of(SUSPICIOUS_TIMEOUTS) || self.config.personality == Personality::Linux {
            return;
        }
        let size = conn.outstanding_data().min(usize::from(conn.smss)) as u32 + header_bytes(cx, conn);
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        if cold.mtu_search.on_black_hole(cx.now, size, cx.key().local().ip.is_v4()).is_some() {
            conn.set(Flag::PathNarrow);
            cx.observe_flow(|flow| Event::Custom { flow: Some(flow), name: BLACK_HOLE, value: f64::from(size) });
        }
    }

    /// Sends the next segment of the stream larger than the others, if one is to be tried and there is enough to send. Nothing is lost
    /// by it but time: it goes again in smaller ones.
    #[cold]
    #[inline(never)]
    pub(crate) fn send_trial(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        let Some(cold) = self.cold.get_at_mut(conn.cold).filter(|cold| cold.mtu_search.is_active()) else {
            return Ok(());
        };
        if !cold.mtu_trial.is_empty() || conn.ledger.recovery() != Recovery::Open || conn.has(Flag::TimedOut) {
            return Ok(());
        }
        let Some(size) = cold.mtu_search.trial(cx.now, out.mtu(path).unwrap_or(0)) else { return Ok(()) };
        let bytes = payload_of(cx, conn, size) as usize;
        let (offset, start) = (conn.outstanding_data(), conn.snd_nxt());
        let window = (conn.snd_una() + u64::from(conn.snd_wnd)).saturating_sub(start) as usize;
        let room = u64::from(conn.cwnd).saturating_sub(conn.ledger.in_flight_bytes()) as usize;
        if io.tx.len().saturating_sub(offset) < bytes || window < bytes || room < bytes {
            return Ok(());
        }
        let smss = std::mem::replace(&mut conn.smss, bytes as u16);
        let sent = self.send_new(cx, conn, io, path, out, Plan { offset, bytes, fin: false });
        conn.smss = smss;
        sent?;
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            (cold.mtu_trial, cold.mtu_tried) = (start..conn.snd_nxt(), size);
        }
        Ok(())
    }

    /// What acknowledgements say of a segment whose size was tried.
    #[cold]
    #[inline(never)]
    pub(crate) fn judge_trial(&mut self, now: Instant, conn: &mut Conn, totals: &mut Totals) {
        let una = conn.snd_una();
        let lost = if totals.lost_bytes > 0 { conn.ledger.next_lost(1) } else { None };
        let Some(cold) = self.cold.get_at_mut(conn.cold).filter(|cold| !cold.mtu_trial.is_empty()) else { return };
        let trial = cold.mtu_trial.clone();
        if una >= trial.end {
            cold.mtu_trial = 0..0;
            cold.mtu_search.on_trial_arrived(cold.mtu_tried);
        } else if lost.is_some_and(|lost| trial.contains(&lost.start)) {
            // What was lost alone was lost for its size (RFC 8899 4.2, RFC 4821 7.5).
            totals.new_episode &= totals.lost_bytes > trial.end - trial.start;
            self.trial_lost(now, conn);
        }
    }

    fn trial_lost(&mut self, now: Instant, conn: &mut Conn) {
        let retry_at = now + conn.rtt.base_rto();
        if conn.has(Flag::PathNarrow)
            && let Some(cold) = self.cold.get_at_mut(conn.cold)
            && !cold.mtu_trial.is_empty()
        {
            cold.mtu_trial = 0..0;
            cold.mtu_search.on_trial_lost(cold.mtu_tried, retry_at);
        }
    }
}

/// Payload of a segment in packets of `mtu` bytes.
fn payload_of(cx: &Context<'_, Tcp>, conn: &Conn, mtu: u32) -> u32 {
    mtu.saturating_sub(header_bytes(cx, conn)).clamp(1, BURST_BYTES_MAX as u32)
}

fn header_bytes(cx: &Context<'_, Tcp>, conn: &Conn) -> u32 {
    let options = if conn.has(Flag::Timestamps) { TIMESTAMPS_BYTES } else { 0 };
    ip_header_bytes(cx.key().local().ip.is_v4()) + (FIXED_BYTES + options) as u32
}

/// Timeouts in a row, with nothing heard in between, after which smaller segments are tried.
const SUSPICIOUS_TIMEOUTS: u8 = 2;
/// An event, with the size of the packets that vanish.
const BLACK_HOLE: &str = "tcp: large segments vanish";
