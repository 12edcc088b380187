//! The transport's side of congestion control: what the controller is told, and when it is spared. A connection that
//! never used up a congestion window has none yet, and a flow of requests and replies does not touch its own.

use burstlane::congestion::{AckSample, CongestionEvent, Controller, Interests, initial_window};
use burstlane::observe::Event;
use burstlane::time::Instant;
use burstlane::toolkit::{DeliveryRate, Prr, Recovery, Repair};
use burstlane::transport::Context;

use crate::Tcp;
use crate::cold::Cold;
use crate::conn::{Conn, Flag, Wish};
use crate::established::Totals;
use crate::spurious::Reduction;

impl Tcp {
    /// The segment size is known: the initial window (RFC 6928), of one segment if a SYN was lost (RFC 5681 3.1).
    pub(crate) fn start_congestion(&mut self, conn: &mut Conn, syn_lost: bool) {
        conn.cwnd = initial_window(conn.segment_bytes());
        if planted!(self.config, InitialWindowTooLarge) {
            conn.cwnd *= 4;
        }
        if syn_lost {
            let now = Instant::ZERO;
            self.tell_controller(now, conn, &CongestionEvent::Rto { first: false, outstanding_bytes: 0 });
        }
    }

    /// Tells the controller, made now if there was none, and takes over its window.
    pub(crate) fn tell_controller(&mut self, now: Instant, conn: &mut Conn, event: &CongestionEvent) {
        let prototype = &*self.config.congestion;
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let (controller, _) = controller(cold, conn, prototype, now);
        controller.on_congestion(now, event);
        conn.cwnd = window(controller);
    }

    /// After a run of acknowledgements.
    /// RFC 9293: MUST-19, MAY-18.
    #[inline]
    pub(crate) fn control_congestion(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, totals: &Totals) {
        // What was in flight did not use the window up: nothing to be learned from its arrival (RFC 7661).
        let unsent =
            if conn.wishes(Wish::Paced) { self.burst_bytes(conn) as u64 } else { u64::from(conn.segment_bytes()) };
        let app_limited = totals.in_flight_before + unsent < u64::from(conn.cwnd);
        let app_limited = app_limited && !planted!(self.config, InflatesUnusedWindow);
        let wanted = if app_limited { Interests::ACK_APP_LIMITED } else { Interests::ACK };
        let has_marks = totals.marked_bytes > 0;
        let is_told = totals.new_episode || has_marks || conn.has(Flag::Repairing);
        if !is_told && !self.interests.contains(wanted) {
            return;
        }
        self.control_congestion_slowly(cx, conn, totals, app_limited);
    }

    #[inline(never)]
    fn control_congestion_slowly(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        totals: &Totals,
        app_limited: bool,
    ) {
        let (now, before) = (cx.now, conn.cwnd);
        let prototype = &*self.config.congestion;
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let (controller, rate) = controller(cold, conn, prototype, now);
        if totals.new_episode && !planted!(self.config, KeepsItsWindowOnLoss) {
            let outstanding_bytes = conn.ledger.outstanding() + totals.acked_bytes;
            controller.on_congestion(now, &CongestionEvent::Loss { lost_bytes: totals.lost_bytes, outstanding_bytes });
        }
        if totals.marked_episode {
            let outstanding_bytes = conn.ledger.outstanding() + totals.acked_bytes;
            controller.on_congestion(now, &CongestionEvent::Ecn { outstanding_bytes });
        }
        if totals.delivered_bytes > 0 || totals.lost_bytes > 0 && rate.is_some() {
            let mut sample = sample(now, conn, totals, app_limited);
            if let Some(rate) = rate {
                rate.on_ack(&mut sample, totals.newest_sent_at);
            }
            controller.on_ack(&sample);
        }
        conn.cwnd = window(controller);
        let ssthresh = controller.ssthresh();
        if controller.pacing_rate().is_some() {
            conn.wish(Wish::Paced, true);
        }
        let own_repair = controller.wants().contains(Interests::OWN_REPAIR);
        if totals.new_episode || totals.marked_episode {
            cold.reduction = Reduction::new(conn.snd_una(), cold.retransmitted_bytes);
        }
        if conn.ledger.recovery() == Recovery::Fast && conn.has(Flag::Sack) && !own_repair {
            repair(conn, cold, totals);
        } else if conn.ledger.recovery() != Recovery::Timeout {
            conn.unset(Flag::Repairing);
        }
        let (cwnd, in_flight) = (u64::from(conn.cwnd), conn.ledger.in_flight_bytes());
        if conn.cwnd != before || totals.new_episode || totals.marked_episode {
            cx.observe_flow(|flow| Event::Congestion { flow, cwnd, ssthresh, in_flight });
        }
    }

    /// Text left, new or again.
    #[cold]
    #[inline(never)]
    pub(crate) fn control_sent(&mut self, now: Instant, conn: &mut Conn, bytes: u64) {
        let prototype = &*self.config.congestion;
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return };
        let (controller, rate) = controller(cold, conn, prototype, now);
        let in_flight = conn.ledger.in_flight_bytes();
        if let Some(rate) = rate {
            rate.on_sent(now, bytes, in_flight);
        }
        controller.on_sent(now, bytes, in_flight);
        if controller.pacing_rate().is_some() {
            conn.wish(Wish::Paced, true);
        }
    }

    /// The application has nothing more, though the window has room: the path may be faster than what follows shows.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_app_limited(&mut self, conn: &Conn) {
        let in_flight = conn.ledger.in_flight_bytes();
        let has_room = in_flight + u64::from(conn.segment_bytes()) <= u64::from(conn.cwnd);
        if has_room
            && conn.ledger.lost_bytes() == 0
            && let Some(rate) = self.cold.get_at_mut(conn.cold).and_then(|cold| cold.rate.as_mut())
        {
            rate.on_app_limited(in_flight);
        }
    }

    /// The retransmission timer fired.
    /// RFC 9293: MUST-19.
    pub(crate) fn control_timeout(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, first: bool) {
        let outstanding_bytes = conn.ledger.outstanding();
        self.tell_controller(cx.now, conn, &CongestionEvent::Rto { first, outstanding_bytes });
        if first && let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.reduction = Reduction::new(conn.snd_una(), cold.retransmitted_bytes);
        }
        let (cwnd, in_flight) = (u64::from(conn.cwnd), conn.ledger.in_flight_bytes());
        let ssthresh = self.ssthresh(conn);
        cx.observe_flow(|flow| Event::Congestion { flow, cwnd, ssthresh, in_flight });
    }

    /// Everything is acknowledged: remembers since when, for a large window must not outlive a long pause.
    pub(crate) fn note_idle(&mut self, now: Instant, conn: &mut Conn) {
        if conn.has(Flag::Controlled)
            && let Some(cold) = self.cold.get_at_mut(conn.cold)
        {
            cold.idle_since = now;
        }
    }

    /// About to send after nothing was in flight (RFC 5681 4.1).
    #[inline]
    pub(crate) fn control_restart(&mut self, now: Instant, conn: &mut Conn) {
        if !conn.has(Flag::Controlled) || !conn.ledger.is_empty() {
            return;
        }
        let idle_since = self.cold.get_at(conn.cold).map_or(now, |cold| cold.idle_since);
        let (idle_for, rto) = (now.since(idle_since), conn.rtt.base_rto());
        if idle_for > rto {
            self.tell_controller(now, conn, &CongestionEvent::Idle { idle_for, rto });
        }
    }

    /// The path carries less than was thought.
    pub(crate) fn control_segment_size(&mut self, now: Instant, conn: &mut Conn) {
        let segment_bytes = conn.segment_bytes();
        if conn.has(Flag::Controlled) {
            self.tell_controller(now, conn, &CongestionEvent::MtuChanged { segment_bytes });
        } else {
            conn.cwnd = initial_window(segment_bytes);
        }
    }

    /// The slow start threshold, bytes; `u64::MAX` before the first reduction.
    pub(crate) fn ssthresh(&self, conn: &Conn) -> u64 {
        let cold = self.cold.get_at(conn.cold);
        cold.and_then(|cold| cold.controller.as_ref()).map_or(u64::MAX, |controller| controller.ssthresh())
    }
}

/// The connection's controller, cloned from the prototype the first time, and its sampler, if it wants one.
fn controller<'c>(
    cold: &'c mut Cold,
    conn: &mut Conn,
    prototype: &(dyn Controller + 'static),
    now: Instant,
) -> (&'c mut dyn Controller, Option<&'c mut DeliveryRate>) {
    let Cold { controller, rate, settings, .. } = cold;
    let segment_bytes = conn.segment_bytes();
    let prototype = settings.as_ref().and_then(|settings| settings.congestion.as_deref()).unwrap_or(prototype);
    let controller = controller.get_or_insert_with(|| {
        let mut controller = dyn_clone::clone_box(prototype);
        controller.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes });
        *rate = controller.wants().contains(Interests::RATE).then(Box::default);
        controller
    });
    conn.set(Flag::Controlled);
    (controller.as_mut(), rate.as_deref_mut())
}

/// What a run of acknowledgements said.
fn sample(now: Instant, conn: &Conn, totals: &Totals, app_limited: bool) -> AckSample {
    let mut sample = AckSample::new(now);
    sample.acks = totals.acks.max(1);
    sample.acked_bytes = totals.acked_bytes;
    sample.sacked_bytes = totals.sacked_bytes;
    sample.delivered_bytes = totals.delivered_bytes;
    sample.lost_bytes = totals.lost_bytes;
    sample.ce_marked_bytes = totals.marked_bytes.min(totals.delivered_bytes);
    sample.in_flight_before = totals.in_flight_before;
    sample.in_flight = conn.ledger.in_flight_bytes();
    sample.rtt = totals.rtt;
    sample.min_rtt = conn.rtt.min();
    sample.srtt = conn.rtt.smoothed();
    sample.app_limited = app_limited;
    sample.recovery = conn.ledger.recovery();
    sample
}

/// In a recovery: the window on the way from what was in flight to the controller's (RFC 9937). Without SACK nobody knows what
/// arrived; there the window is the controller's at once (RFC 6582 3.2).
fn repair(conn: &mut Conn, cold: &mut Cold, totals: &Totals) {
    let (ssthresh, segment) = (u64::from(conn.cwnd), u64::from(conn.segment_bytes()));
    let sent = conn.snd_nxt() + cold.retransmitted_bytes;
    let in_flight = conn.ledger.in_flight_bytes();
    if totals.new_episode || !conn.has(Flag::Repairing) {
        let flight = conn.ledger.outstanding() - conn.ledger.sacked_bytes() + totals.delivered_bytes;
        cold.prr = Prr::begin(flight, sent);
        conn.set(Flag::Repairing);
    }
    let is_safe = totals.acked_bytes > 0 && totals.lost_bytes == 0;
    let delivered = totals.delivered_bytes;
    let window = cold.prr.on_ack(&Repair { delivered, in_flight, ssthresh, is_safe, segment, sent });
    conn.cwnd = window.min(u64::from(u32::MAX)) as u32;
}

fn window(controller: &dyn Controller) -> u32 {
    controller.cwnd().min(u64::from(u32::MAX)) as u32
}
