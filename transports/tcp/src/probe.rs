//! Tail loss probes (RFC 8985 7): when acknowledgements stop although something is outstanding, one segment goes out after
//! about two round trips, so that its acknowledgement shows what was lost long before the retransmission timer would. On
//! a path with losses, and in small windows, this is what keeps a connection from waiting for that timer.

use burstlane::net::{PathId, TxBatch, TxStop};
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::Recovery;
use burstlane::transport::{Class, Context};

use crate::Tcp;
use crate::conn::{Conn, Flag, Timer};
use crate::established::Totals;

impl Tcp {
    /// What to wait for after data was sent or acknowledged: an answer to a probe soon, or the retransmission timer.
    #[inline]
    pub(crate) fn arm_answer(&self, now: Instant, conn: &mut Conn) {
        let rto = conn.rtt.rto_nanos();
        let alone = conn.ledger.outstanding() <= u64::from(conn.segment_bytes());
        // The probe of a lone segment waits for longer than the shortest timeout: nothing to work out.
        let probe = if alone && rto <= PEER_ACK_DELAY_MAX_NANOS { None } else { probe_nanos(conn, alone) };
        match probe {
            Some(probe) if probe < rto => conn.arm(Timer::Probe, now.plus_nanos(probe)),
            _ => conn.arm(Timer::Retransmit, now.plus_nanos(rto)),
        }
    }

    /// The probe timer fired (RFC 8985 7.3). One probe, then the retransmission timer.
    pub(crate) fn probe_timer_fired(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        if conn.ledger.is_empty() {
            return;
        }
        cx.observe_flow(|flow| Event::TimerFired { flow, name: "TLP" });
        conn.set(Flag::ProbeOwed);
        conn.arm_retransmit(cx.now);
        cx.want_tx(Class::Data);
    }

    /// A probe is owed: new data if the peer's window has room, whatever the congestion window says; else the last segment
    /// again. If some has just left anyway, from `nxt_before` on, that is the probe.
    pub(crate) fn send_probe_of_tail(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
        nxt_before: u64,
    ) -> Result<(), TxStop> {
        let segment = u64::from(conn.segment_bytes());
        let mut probe_is_new = conn.snd_nxt() != nxt_before;
        if !probe_is_new && let Some(plan) = self.plan_within(conn, io, segment) {
            self.send_new(cx, conn, io, path, out, plan)?;
            probe_is_new = true;
        } else if !probe_is_new {
            let Some(range) = conn.ledger.tail(segment) else { return Ok(()) };
            self.send_again(cx, conn, io, path, out, range)?;
        }
        conn.set(Flag::ProbeSent);
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            (cold.probe_end, cold.probe_is_new) = (conn.ledger.nxt(), probe_is_new);
        }
        Ok(())
    }

    /// What acknowledgements say of a probe (RFC 8985 7.4.2). If one that repeated the tail was not needed, nothing. If the probe itself mended the only
    /// loss, nothing else shows that there was one, and the congestion window must still answer for it.
    pub(crate) fn judge_probe(&mut self, conn: &mut Conn, totals: &mut Totals) {
        let (end, is_new) = self.cold.get_at(conn.cold).map_or((0, true), |cold| (cold.probe_end, cold.probe_is_new));
        let una = conn.snd_una();
        if una < end {
            return;
        }
        if is_new || totals.probe_reported || totals.plain_duplicate && una == end {
            // The original had arrived, or still will: the probe was one too many.
            conn.unset(Flag::ProbeSent);
        } else if una > end {
            conn.unset(Flag::ProbeSent);
            totals.new_episode |= conn.ledger.on_congestion_echo();
            totals.lost_bytes += u64::from(conn.segment_bytes());
        }
    }
}

/// The time in nanoseconds after which a probe goes out (RFC 8985 7.2), or `None` if there is to be none: the peer could not say by SACK
/// what it shows, a recovery is under way or about to be, or the last probe is still undecided. `alone`: one segment is in flight.
#[inline]
fn probe_nanos(conn: &Conn, alone: bool) -> Option<u64> {
    let may_probe = conn.has(Flag::Sack)
        && conn.state().can_send()
        && !conn.has(Flag::ProbeSent)
        && matches!(conn.ledger.recovery(), Recovery::Open | Recovery::Marked)
        && conn.ledger.sacked_bytes() == 0
        && conn.rtt.has_sample();
    if !may_probe {
        return None;
    }
    Some(2 * conn.rtt.smoothed_nanos() + if alone { PEER_ACK_DELAY_MAX_NANOS } else { GRANULARITY_NANOS })
}

/// How long a peer may hold back the acknowledgement of a lone segment: what most of them do at most (RFC 8985 7.2).
const PEER_ACK_DELAY_MAX_NANOS: u64 = 200_000_000;
/// Two ticks of the timer wheel: a probe is not to overtake an acknowledgement that is on its way.
const GRANULARITY_NANOS: u64 = 2_000_000;
