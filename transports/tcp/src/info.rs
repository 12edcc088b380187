//! [`TcpInfo`]: a connection's figures at one moment, for programs and people.

use std::time::Duration;

use crate::Tcp;
use crate::conn::{Conn, Flag};
use crate::state::State;

/// What is known of a connection. Made by [`Tcp::info`], through
/// [`Core::inspect`](burstlane::engine::Core::inspect).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The state of RFC 9293 3.3.2.
    pub state: State,
    /// SRTT (RFC 6298); zero before the first measurement.
    pub srtt: Duration,
    /// RTTVAR (RFC 6298).
    pub rttvar: Duration,
    /// The least round trip of late.
    pub min_rtt: Duration,
    /// The retransmission timeout now.
    pub rto: Duration,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow start threshold, bytes; `u64::MAX` before the first reduction.
    pub ssthresh: u64,
    /// Sent and neither acknowledged nor held for lost, bytes.
    pub in_flight: u64,
    /// Payload of a full segment, bytes.
    pub mss: u16,
    /// The peer's window, bytes.
    pub send_window: u32,
    /// The window that we offer, bytes.
    pub receive_window: u32,
    /// Bytes of the stream that the peer acknowledged.
    pub bytes_acked: u64,
    /// Bytes of the stream received in order.
    pub bytes_received: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Bytes sent again.
    pub bytes_retransmitted: u64,
    /// Bytes ever held for lost.
    pub bytes_lost: u64,
    /// Timeouts of retransmissions and probes.
    pub timeouts: u32,
    /// Reductions of the congestion window that were taken back, for what was held for lost had only been late.
    pub undone: u32,
    /// Timestamps are in use (RFC 7323).
    pub timestamps: bool,
    /// SACK is in use (RFC 2018).
    pub sack: bool,
    /// The congestion controller.
    pub congestion: &'static str,
}

impl Tcp {
    /// The figures of a connection now.
    #[must_use]
    pub fn info(&self, conn: &Conn) -> TcpInfo {
        let cold = self.cold.get_at(conn.cold);
        let since = |offset: u64, from: Option<u64>| offset.saturating_sub(from.unwrap_or(offset).saturating_add(1));
        let fin_acked = conn.has(Flag::FinSent) && conn.ledger.is_empty();
        let peer_finished =
            matches!(conn.state(), State::CloseWait | State::Closing | State::LastAck | State::TimeWait);
        let acked = since(conn.snd_una(), cold.map(|cold| cold.iss));
        let received = since(conn.rcv_nxt, cold.map(|cold| cold.irs));
        TcpInfo {
            state: conn.state(),
            srtt: conn.rtt.smoothed(),
            rttvar: conn.rtt.variation(),
            min_rtt: conn.rtt.min(),
            rto: conn.rtt.rto(),
            cwnd: u64::from(conn.cwnd),
            ssthresh: self.ssthresh(conn),
            in_flight: conn.ledger.in_flight_bytes(),
            mss: conn.smss,
            send_window: conn.snd_wnd,
            receive_window: conn.rcv_wnd(),
            bytes_acked: acked.saturating_sub(u64::from(fin_acked)),
            bytes_received: received.saturating_sub(u64::from(peer_finished)),
            retransmits: cold.map_or(0, |cold| cold.retransmits),
            bytes_retransmitted: cold.map_or(0, |cold| cold.retransmitted_bytes),
            bytes_lost: cold.map_or(0, |cold| cold.lost_bytes),
            timeouts: cold.map_or(0, |cold| cold.timeouts_total),
            undone: cold.map_or(0, |cold| cold.undone),
            timestamps: conn.has(Flag::Timestamps),
            sack: conn.has(Flag::Sack),
            congestion: self.config.congestion.name(),
        }
    }
}
