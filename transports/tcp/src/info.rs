//! [`TcpInfo`]: a connection's figures at one moment, for programs and people, in the fields of Linux's `struct tcp_info` where
//! there is such a figure. Left out is what a count or a clock on every segment would cost: times of the last segments,
//! numbers of segments, times for which a window or buffer was the limit. The path's MTU is the path's.

use std::time::Duration;

use burstlane::time::Instant;
use burstlane::toolkit::Recovery;

use crate::Tcp;
use crate::cold::{Cold, Offers};
use crate::conn::{Conn, Flag};
use crate::state::State;

/// What is known of a connection. Made by [`Tcp::info`], through
/// [`Core::inspect`](burstlane::engine::Core::inspect) or [`TcpSocket::info`](crate::TcpSocket::info).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state of RFC 9293 3.3.2.
    pub state: State,
    /// Which recovery it is in (Linux: `ca_state`).
    pub recovery: Recovery,
    /// Timeouts in a row without an answer (`retransmits`; `probes`, while the peer's window is shut).
    pub timeouts_in_a_row: u8,
    /// Doublings of the timeout in force (`backoff`).
    pub back_off: u8,
    /// Questions to a silent peer since it was last heard (`probes`, while it is idle).
    pub keep_alive_probes: u8,
    /// SRTT (RFC 6298); zero before the first measurement.
    pub srtt: Duration,
    /// RTTVAR (RFC 6298).
    pub rttvar: Duration,
    /// The least round trip of late.
    pub min_rtt: Duration,
    /// The retransmission timeout now.
    pub rto: Duration,
    /// How long an acknowledgement waits for company (`ato`).
    pub delayed_ack: Duration,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow start threshold, bytes; `u64::MAX` before the first reduction.
    pub ssthresh: u64,
    /// Sent and neither acknowledged nor held for lost, bytes.
    pub in_flight: u64,
    /// Sent and not acknowledged by number, bytes (`unacked`, there in segments).
    pub unacked: u64,
    /// Of these, known to have arrived, bytes (`sacked`).
    pub sacked: u64,
    /// Of these, held for lost and not sent again yet, bytes (`lost`).
    pub lost: u64,
    /// Payload of a full segment, bytes (`snd_mss`).
    pub mss: u16,
    /// Payload of the peer's largest segment, bytes; 536 if no larger one came (`rcv_mss`).
    pub receive_mss: u16,
    /// The largest segment that the peer said it takes, options counted, bytes.
    pub peer_mss: u16,
    /// The peer's window, bytes.
    pub send_window: u32,
    /// The shift of windows that we receive, if both sides scale (`snd_wscale`).
    pub send_scale: u8,
    /// The window that we offer, bytes.
    pub receive_window: u32,
    /// The shift of windows that we send, if both sides scale (`rcv_wscale`).
    pub receive_scale: u8,
    /// Room for what was received, bytes (`rcv_space`).
    pub receive_buffer: u32,
    /// Bytes of the stream sent, every time counted (`bytes_sent`).
    pub bytes_sent: u64,
    /// Bytes of the stream that the peer acknowledged.
    pub bytes_acked: u64,
    /// Bytes of the stream that are known to have arrived (`delivered`, there in segments).
    pub bytes_delivered: u64,
    /// Bytes of the stream received in order.
    pub bytes_received: u64,
    /// Segments sent again (`total_retrans`).
    pub retransmits: u64,
    /// Bytes sent again (`bytes_retrans`).
    pub bytes_retransmitted: u64,
    /// Bytes ever held for lost.
    pub bytes_lost: u64,
    /// Timeouts of retransmissions and probes.
    pub timeouts: u32,
    /// Duplicates that the peer told of (`dsack_dups`, RFC 2883).
    pub duplicates_told: u32,
    /// Segments that came beyond a gap (`rcv_ooopack`).
    pub out_of_order: u64,
    /// Reductions of the congestion window that were taken back, for what was held for lost had only been late.
    pub undone: u32,
    /// Timestamps are in use (RFC 7323).
    pub timestamps: bool,
    /// SACK is in use (RFC 2018).
    pub sack: bool,
    /// Windows are scaled (RFC 7323 2).
    pub window_scaling: bool,
    /// The congestion controller.
    pub congestion: &'static str,
}

impl Tcp {
    /// The figures of a connection now.
    #[must_use]
    pub fn info(&self, conn: &Conn) -> TcpInfo {
        let blank = Cold::new(Instant::ZERO, 0, 0, Offers::default());
        let cold = self.cold.get_at(conn.cold).unwrap_or(&blank);
        let since = |offset: u64, from: u64| offset.saturating_sub(from.saturating_add(1));
        let fin_sent = u64::from(conn.has(Flag::FinSent));
        let fin_acked = if conn.ledger.is_empty() { fin_sent } else { 0 };
        let peer_finished = !matches!(conn.state(), State::SynSent | State::SynReceived) && !conn.state().can_receive();
        let bytes_acked = since(conn.snd_una(), cold.iss).saturating_sub(fin_acked);
        TcpInfo {
            state: conn.state(),
            recovery: conn.ledger.recovery(),
            timeouts_in_a_row: cold.timeouts,
            back_off: conn.rtt.back_offs(),
            keep_alive_probes: cold.silence.probes,
            srtt: conn.rtt.smoothed(),
            rttvar: conn.rtt.variation(),
            min_rtt: conn.rtt.min(),
            rto: conn.rtt.rto(),
            delayed_ack: self.config.delayed_ack_timeout,
            cwnd: u64::from(conn.cwnd),
            ssthresh: self.ssthresh(conn),
            in_flight: conn.ledger.in_flight_bytes(),
            unacked: conn.ledger.outstanding(),
            sacked: conn.ledger.sacked_bytes(),
            lost: conn.ledger.lost_bytes(),
            mss: conn.smss,
            receive_mss: conn.rcv_mss,
            peer_mss: cold.peer_mss,
            send_window: conn.snd_wnd,
            send_scale: conn.snd_scale(),
            receive_window: conn.rcv_wnd(),
            receive_scale: conn.rcv_scale(),
            receive_buffer: self.receive_buffer_bytes(conn),
            bytes_sent: since(conn.snd_nxt(), cold.iss).saturating_sub(fin_sent) + cold.retransmitted_bytes,
            bytes_acked,
            bytes_delivered: bytes_acked + conn.ledger.sacked_bytes(),
            bytes_received: since(conn.rcv_nxt, cold.irs).saturating_sub(u64::from(peer_finished)),
            retransmits: cold.retransmits,
            bytes_retransmitted: cold.retransmitted_bytes,
            bytes_lost: cold.lost_bytes,
            timeouts: cold.timeouts_total,
            duplicates_told: cold.duplicates_told,
            out_of_order: cold.out_of_order,
            undone: cold.undone,
            timestamps: conn.has(Flag::Timestamps),
            sack: conn.has(Flag::Sack),
            window_scaling: cold.offers.window_scaling,
            congestion: self.settings_of(conn).congestion,
        }
    }
}
