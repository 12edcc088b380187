//! Timers: retransmission (RFC 6298), reordering (RFC 8985), the peer's window (RFC 9293 3.8.6.1), delayed
//! acknowledgements (3.8.6.3), FIN-WAIT-2 without an owner. One deadline for all of them; what fires records what is
//! owed, `poll_tx` sends it.

use burstlane::net::{PathId, TxBatch};
use burstlane::observe::Event;
use burstlane::socket::{Ready, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::Timeout;
use burstlane::transport::{Class, Context, FlowError};

use crate::conn::{Conn, Flag, Timer, Wish};
use crate::established::Totals;
use crate::state::State;
use crate::{Close, Tcp, tuning};

impl Tcp {
    /// The connection's deadline came.
    pub(crate) fn deadline(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        if conn.delayed_ack_at <= cx.now {
            if !planted!(self.config, DelayedAckTimerRunsOn) {
                conn.delayed_ack_at = Instant::NEVER;
            }
            if conn.has(Flag::AckLater) {
                conn.ack_now(cx);
            }
        }
        if conn.wishes(Wish::SlowTimer) {
            self.slow_timers_fired(cx, conn, io);
            if cx.is_ended() {
                return;
            }
        }
        if conn.timer_at <= cx.now {
            let timer = conn.timer;
            conn.disarm();
            self.timer_fired(cx, conn, io, timer);
        }
        if !cx.is_ended() {
            self.set_deadline(cx, conn);
        }
    }

    fn timer_fired(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, timer: Timer) {
        match timer {
            Timer::None => {}
            Timer::Retransmit if matches!(conn.state(), State::SynSent | State::SynReceived) => {
                self.syn_timeout_fired(cx, conn);
            }
            Timer::Retransmit if conn.snd_wnd == 0 && conn.state().is_synchronized() => {
                self.probe_timeout(cx, conn);
            }
            Timer::Retransmit => self.retransmit_timeout(cx, conn, io),
            Timer::Persist => self.probe_timeout(cx, conn),
            Timer::Probe => self.probe_timer_fired(cx, conn),
            Timer::Reorder => self.reorder_timeout(cx, conn),
            Timer::FinWait if planted!(self.config, FinWait2NeverEnds) => {}
            Timer::FinWait => self.end(cx, conn, Close::Quietly),
        }
    }

    // RFC 9293: MUST-22.
    fn syn_timeout_fired(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        tell(cx, "SYN");
        let count = self.count_timeout(cx.now, conn);
        if count > self.config.syn_retries_max || self.is_silent_for_too_long(cx.now, conn) {
            return self.end(cx, conn, Close::Error(FlowError::TimedOut));
        }
        self.note_no_progress(cx, conn, count);
        conn.rtt.back_off();
        conn.arm_retransmit(cx.now);
        self.mind_user_timeout(conn);
        conn.set(Flag::ControlOwed);
        cx.want_tx(Class::Control);
    }

    /// RFC 6298 5.4 to 5.6.
    /// RFC 9293: MUST-20, SHLD-11.
    fn retransmit_timeout(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        if conn.ledger.is_empty() && !conn.has_unsent(io) {
            // It was set for a neighbour that did not answer; the ACK that waited is of no interest any more.
            if conn.state() == State::TimeWait {
                self.retire(cx, conn);
            }
            return;
        }
        tell(cx, "RTO");
        let count = self.count_timeout(cx.now, conn);
        let retries_max = if planted!(self.config, GivesUpTooEarly) { 2 } else { self.config.retries_max };
        let is_over = count > retries_max && !planted!(self.config, NeverGivesUp);
        if is_over || self.is_silent_for_too_long(cx.now, conn) {
            return self.give_up(cx, conn, io);
        }
        conn.set(Flag::TimedOut);
        conn.unset(Flag::ProbeOwed);
        conn.unset(Flag::ProbeSent);
        if !planted!(self.config, NeverBacksOff) {
            conn.rtt.back_off();
        }
        self.suspect_size(cx, conn, count);
        let was_in = conn.ledger.recovery();
        let timeout = mark_lost(conn, cx.now);
        self.question_timeout(conn, was_in, timeout);
        self.control_timeout(cx, conn, timeout.first);
        self.note_no_progress(cx, conn, count);
        conn.arm_retransmit(cx.now);
        self.mind_user_timeout(conn);
        cx.want_tx(Class::Data);
    }

    /// The peer's window is shut, or too small to use: asks how it is now. For as long as it answers (MUST-37).
    /// RFC 9293: MUST-35, MUST-36, SHLD-30.
    fn probe_timeout(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        tell(cx, "persist");
        let is_over = self.count_timeout(cx.now, conn) > self.config.retries_max;
        // Memory that a peer holds by reading nothing is taken back when others need it (RFC 6429 4).
        let is_in_the_way = tuning::is_short(cx.mem)
            && self.cold.get_at(conn.cold).is_some_and(|cold| cx.now.since(cold.shut_since) > SHUT_MAX);
        if is_over || is_in_the_way || self.is_silent_for_too_long(cx.now, conn) {
            // The peer may have answered each of them (see `answered`), and should know.
            let error = FlowError::TimedOut;
            let close = if conn.has(Flag::Orphan) || is_in_the_way { Close::Reset(error) } else { Close::Error(error) };
            return self.end(cx, conn, close);
        }
        conn.set(Flag::TimedOut);
        conn.rtt.back_off();
        conn.arm(Timer::Persist, cx.now + conn.rtt.rto());
        self.mind_user_timeout(conn);
        conn.set(Flag::ControlOwed);
        cx.want_tx(Class::Control);
    }

    /// What was overtaken has had its time to arrive (RFC 8985 6.3).
    fn reorder_timeout(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        tell(cx, "reorder");
        let in_flight_before = conn.ledger.in_flight_bytes();
        let mut totals = Totals { in_flight_before, ..Totals::default() };
        self.detect_loss(cx, conn, &mut totals);
        if conn.has(Flag::PathNarrow) {
            self.judge_trial(cx.now, conn, &mut totals);
        }
        if totals.new_episode || conn.has(Flag::Repairing) {
            self.control_congestion(cx, conn, &totals);
        }
        if conn.timer == Timer::None && !conn.ledger.is_empty() {
            conn.arm_retransmit(cx.now);
        }
        if totals.lost_bytes > 0 {
            cx.want_tx(Class::Data);
        }
    }

    /// One more timeout; how many in a row that makes.
    fn count_timeout(&mut self, now: Instant, conn: &Conn) -> u8 {
        let Some(cold) = self.cold.get_at_mut(conn.cold) else { return u8::MAX };
        if cold.timeouts == 0 {
            // The silence began about one timeout ago.
            cold.silent_since = now - conn.rtt.rto();
        }
        cold.timeout_at = now;
        cold.timeouts = cold.timeouts.saturating_add(1);
        cold.timeouts_total = cold.timeouts_total.saturating_add(1);
        cold.timeouts
    }

    // RFC 9293: MUST-21.
    fn is_silent_for_too_long(&self, now: Instant, conn: &Conn) -> bool {
        let Some(limit) = self.settings(conn).user_timeout else { return false };
        self.cold.get_at(conn.cold).is_some_and(|cold| now.since(cold.silent_since) >= limit)
    }

    /// The next timeout comes no later than the application's patience ends.
    fn mind_user_timeout(&self, conn: &mut Conn) {
        if let Some(limit) = self.settings(conn).user_timeout
            && let Some(cold) = self.cold.get_at(conn.cold)
        {
            conn.timer_at = conn.timer_at.min(cold.silent_since + limit);
        }
    }

    /// R1 of RFC 9293 3.8.3: the application learns that its data does not get through.
    /// RFC 9293: MUST-20, SHLD-9.
    fn note_no_progress(&mut self, cx: &mut Context<'_, Self>, conn: &Conn, timeouts: u8) {
        if timeouts == R1_TIMEOUTS {
            self.tell_soft_error(cx, conn, FlowError::TimedOut);
        }
    }

    /// The other half of R1: the network layer is advised that its next hop may be gone.
    #[cold]
    pub(crate) fn doubt_path(&self, conn: &Conn, path: PathId, out: &mut TxBatch<'_>) {
        if self.cold.get_at(conn.cold).is_some_and(|cold| cold.timeouts == R1_TIMEOUTS) {
            out.doubt(path);
        }
    }

    /// Trouble that does not end the connection (RFC 9293 3.9.1.8, MUST-47). The last is kept.
    /// RFC 9293: MUST-47, SHLD-25.
    pub(crate) fn tell_soft_error(&mut self, cx: &mut Context<'_, Self>, conn: &Conn, error: FlowError) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.soft_error = Some(error);
            cx.emit(Ready::TROUBLE);
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        io.tx.clear(cx.mem);
        self.end(cx, conn, Close::Error(FlowError::TimedOut));
    }

    /// The peer answered after timeouts.
    pub(crate) fn answered(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, totals: &Totals) {
        // A shut window that is confirmed is an answer; an old ACK to what we sent again in vain is none.
        // Nor does anybody wait for ever on behalf of an application that let go. Deviation: MUST-37 says so of all; but
        // nobody is left who could end it, and a peer could so hold as many connections as it likes.
        let in_vain = conn.snd_wnd != 0 && conn.timer != Timer::Persist || conn.has(Flag::Orphan);
        if totals.acked_bytes == 0 && in_vain {
            return;
        }
        conn.unset(Flag::TimedOut);
        let now = cx.now;
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.timeouts = 0;
            cold.soft_error = None;
            cold.silent_since = now;
            // An answer within the old timeout says that the round trip did not grow: what Karn's back-off waits for a
            // new measurement to learn (RFC 6298 5.7). On a bad link that could take minutes.
            if totals.acked_bytes > 0 && now.since(cold.timeout_at) <= conn.rtt.base_rto() {
                conn.rtt.clear_back_off();
            }
        }
        // The way is open again, and what is left was last sent longer ago than a round trip takes: it was lost, too. To wait
        // for the backed-off timer, which this answer sets anew, could take as long as the silence did.
        let is_overdue =
            conn.ledger.first_unacked_sent_at().is_some_and(|sent_at| sent_at + conn.rtt.base_rto() <= now);
        if totals.acked_bytes > 0 && is_overdue {
            conn.ledger.mark_all_lost();
            conn.set(Flag::RetransmitNow);
        }
    }

    /// After the application ran: an acknowledgement that no reply carries leaves by itself, or waits for its time.
    #[inline]
    pub(crate) fn settle_ack(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        if conn.has(Flag::AckNow) {
            cx.want_tx(Class::Ack);
        } else if conn.has(Flag::AckLater) && conn.delayed_ack_at == Instant::NEVER {
            let seconds = planted!(self.config, DelaysAcksForSeconds).then_some(Duration::from_secs(3));
            conn.delayed_ack_at = cx.now + seconds.unwrap_or(self.config.delayed_ack_timeout);
            self.set_deadline(cx, conn);
        }
    }
}

/// RFC 9293 3.8.3: at least 3 (SHLD-10).
const R1_TIMEOUTS: u8 = 3;

/// What a timeout means for what is outstanding. The head goes again whatever else is in flight (RFC 6298 5.4).
fn mark_lost(conn: &mut Conn, now: Instant) -> Timeout {
    let is_known = conn.has(Flag::Sack);
    let timeout = if is_known { conn.ledger.mark_overdue_lost(now, &conn.rtt) } else { conn.ledger.mark_all_lost() };
    if conn.ledger.lost_bytes() > 0 {
        conn.set(Flag::RetransmitNow);
    }
    timeout
}

fn tell(cx: &mut Context<'_, Tcp>, name: &'static str) {
    cx.observe_flow(|flow| Event::TimerFired { flow, name });
}

/// How long a window may stay shut, its peer answering, while memory is short.
const SHUT_MAX: Duration = Duration::from_secs(60);
