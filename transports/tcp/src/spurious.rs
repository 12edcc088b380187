//! Reductions that were for nothing: what was held for lost had only been late. A timeout is questioned by F-RTO (RFC 5682, 2.1
//! without SACK, 3.1 with it); any reduction, by the peer's D-SACKs, which name what it received twice (RFC 2883, RFC 3708).
//! In either case the congestion window is as before (RFC 4015 3.2), and nothing more is sent again.
//!
//! ```text
//!  timeout ──► head sent again ──► SND.UNA moves ──► new data, two segments ──► what was not sent again arrives: spurious
//!                    │                  │                      └──► anything else: it was lost
//!                    │                  └──► all acknowledged, or nothing new to send: no answer
//!                    └──► a duplicate, without SACK: it was lost
//! ```

use burstlane::congestion::CongestionEvent;
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::toolkit::{Recovery, Timeout};
use burstlane::transport::Context;

use crate::Tcp;
use crate::conn::{Conn, Flag};
use crate::established::Totals;

/// The last reduction of the congestion window, until it is undone or another one follows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reduction {
    /// SND.UNA when it was made: duplicates of older data have nothing to do with it.
    una: u64,
    /// What had been sent again until then, bytes.
    retransmitted_before: u64,
    /// Of what was sent again since, what the peer reported to have twice, bytes.
    duplicates: u64,
}

impl Reduction {
    pub(crate) const fn new(una: u64, retransmitted_before: u64) -> Self {
        Self { una, retransmitted_before, duplicates: 0 }
    }

    /// The peer has `left..right` twice.
    pub(crate) const fn on_duplicate(&mut self, left: u64, right: u64) {
        if left >= self.una {
            self.duplicates = self.duplicates.saturating_add(right - left);
        }
    }

    /// Whether nothing that was sent again was needed.
    const fn was_for_nothing(&self, retransmitted: u64) -> bool {
        let again = retransmitted.saturating_sub(self.retransmitted_before);
        again > 0 && self.duplicates >= again
    }
}

/// Whether a timeout was needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It was, or there was none, or nobody can tell.
    #[default]
    None,
    /// Step 1: the head went again.
    HeadSent,
    /// Step 2: something was acknowledged, and new data goes before what is held for lost.
    NewFirst,
    /// Step 3: it went.
    NewSent,
}

impl Tcp {
    /// The retransmission timer fired, and `timeout` was marked. Step 1: whether it was too early is found out, unless losses
    /// were being repaired anyway. A timeout after a timeout starts anew.
    pub(crate) fn question_timeout(&mut self, conn: &mut Conn, was_in: Recovery, timeout: Timeout) {
        let is_clear = was_in == Recovery::Fast || timeout.reneged;
        self.set_doubt(conn, if is_clear { Doubt::None } else { Doubt::HeadSent });
    }

    /// Steps 2 and 3, after a run of acknowledgements.
    #[cold]
    pub(crate) fn judge_timeout(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &StreamIo,
        totals: &Totals,
    ) {
        let doubt = self.doubt(conn);
        if doubt == Doubt::None {
            return;
        }
        let has_advanced = totals.acked_bytes > 0;
        if conn.ledger.recovery() != Recovery::Timeout {
            // All of it is acknowledged, so there is nothing left to tell by.
            self.set_doubt(conn, Doubt::None);
        } else if doubt == Doubt::NewSent {
            if totals.originals_bytes > 0 {
                self.undo_reduction(cx, conn);
            } else if has_advanced || totals.plain_duplicate || totals.sacked_bytes > 0 {
                // What is lost goes again, although new data has taken the room (step 3a: up to three segments).
                self.set_doubt(conn, Doubt::None);
                conn.set(Flag::RetransmitNow);
            }
        } else if has_advanced {
            let may_try = conn.has_unsent(io) && conn.snd_una() + u64::from(conn.snd_wnd) > conn.snd_nxt();
            self.set_doubt(conn, if may_try { Doubt::NewFirst } else { Doubt::None });
        } else if totals.plain_duplicate && !conn.has(Flag::Sack) {
            self.set_doubt(conn, Doubt::None);
        }
    }

    /// Whether new data is to go before what is held for lost.
    #[cold]
    pub(crate) fn is_new_first(&self, conn: &Conn) -> bool {
        self.doubt(conn) == Doubt::NewFirst
    }

    /// New data had precedence, for once. If none could go, there is nothing to tell by, and the lost goes as always.
    pub(crate) fn end_new_first(&mut self, conn: &mut Conn, nxt_before: u64) {
        if conn.snd_nxt() == nxt_before {
            return self.set_doubt(conn, Doubt::None);
        }
        self.set_doubt(conn, Doubt::NewSent);
        conn.unset(Flag::RetransmitNow);
    }

    fn doubt(&self, conn: &Conn) -> Doubt {
        self.cold.get_at(conn.cold).map_or(Doubt::None, |cold| cold.doubt)
    }

    fn set_doubt(&mut self, conn: &mut Conn, doubt: Doubt) {
        match doubt {
            Doubt::None => conn.unset(Flag::Repairing),
            Doubt::HeadSent | Doubt::NewFirst | Doubt::NewSent => conn.set(Flag::Repairing),
        }
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.doubt = doubt;
        }
    }

    /// The peer reported duplicates: of all that was sent again since the last reduction?
    #[cold]
    pub(crate) fn judge_reduction(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        let Some(cold) = self.cold.get_at(conn.cold) else { return };
        // What is still to be sent again cannot have come twice.
        if conn.ledger.lost_bytes() == 0 && cold.reduction.was_for_nothing(cold.retransmitted_bytes) {
            self.undo_reduction(cx, conn);
        }
    }

    fn undo_reduction(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        conn.ledger.undo();
        conn.unset(Flag::RetransmitNow);
        self.set_doubt(conn, Doubt::None);
        conn.rtt.clear_back_off();
        self.tell_controller(cx.now, conn, &CongestionEvent::Spurious);
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.reduction = Reduction::new(conn.snd_una(), cold.retransmitted_bytes);
            cold.undone = cold.undone.saturating_add(1);
        }
        let (ssthresh, cwnd, in_flight) = (self.ssthresh(conn), u64::from(conn.cwnd), conn.ledger.in_flight_bytes());
        cx.observe_flow(|flow| Event::Congestion { flow, cwnd, ssthresh, in_flight });
    }
}
