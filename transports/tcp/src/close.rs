//! Closing: in good order (RFC 9293 3.6, 3.10.4), half (shutdown), at once (3.10.5), and what the application does
//! otherwise.

use burstlane::net::{Quote, Trouble};
use burstlane::socket::{AppOp, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::SeqNum;
use burstlane::transport::{Class, Context, FlowError, TroubleAnswer};

use crate::Tcp;
use crate::answer::AnswerKind;
use crate::conn::{Conn, Flag, Timer};
use crate::op::Op;
use crate::remnant::{Remnant, TimeWait};
use crate::state::State;

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// In good order: there is nothing to report.
    Quietly,
    /// The application learns why.
    Error(FlowError),
    /// The same, and the peer is sent a reset.
    Reset(FlowError),
}

impl Tcp {
    /// Ends the connection.
    /// RFC 9293: MUST-12.
    pub(crate) fn end(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, close: Close) {
        let error = match close {
            Close::Quietly => None,
            Close::Error(error) => Some(error),
            Close::Reset(error) => {
                let (seq, ack) = (SeqNum::of_offset(conn.acceptable_nxt()), SeqNum::of_offset(conn.rcv_nxt));
                let key = cx.key();
                let ts_recent = conn.has(Flag::Timestamps).then_some(conn.ts_recent);
                self.answers.push(cx.now, key, AnswerKind::Reset { seq, ack: Some(ack), ts_recent });
                cx.want_lane_tx();
                Some(error)
            }
        };
        conn.transition(cx, State::Closed);
        cx.close(error);
    }

    /// Both sides have finished, we not last: the state is over once an ACK that is owed has left.
    /// RFC 9293: MUST-13.
    pub(crate) fn enter_time_wait(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        conn.transition(cx, State::TimeWait);
        conn.disarm();
        conn.delayed_ack_at = Instant::NEVER;
        if !conn.has(Flag::AckNow) {
            self.retire(cx, conn);
        }
    }

    /// Leaves a remnant in TIME-WAIT.
    pub(crate) fn retire(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        let until = cx.now + self.config.time_wait_timeout;
        let wait = TimeWait {
            snd_nxt: SeqNum::of_offset(conn.snd_nxt()),
            rcv_nxt: SeqNum::of_offset(conn.rcv_nxt),
            ts_recent: conn.has(Flag::Timestamps).then_some(conn.ts_recent),
            window: (conn.rcv_wnd() >> conn.rcv_scale()).min(u32::from(u16::MAX)) as u16,
            ace: conn.ace(),
            until,
        };
        cx.retire(Remnant::TimeWait(wait), until);
    }

    /// The application did something.
    #[inline]
    pub(crate) fn app(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, op: AppOp<Box<Op>>) {
        match op {
            AppOp::Written => {
                if conn.state().can_send() && !io.tx.is_empty() {
                    cx.want_tx(Class::Data);
                }
            }
            AppOp::Consumed(_) => self.consumed(cx, conn, io),
            AppOp::Shutdown => self.finish(cx, conn, io),
            AppOp::Close => self.let_go(cx, conn, io),
            AppOp::Abort => self.abort(cx, conn, io),
            AppOp::Own(op) => self.operate(cx, conn, io, *op),
        }
        if !cx.is_ended() {
            self.set_deadline(cx, conn);
        }
    }

    /// Room in the receive buffer: worth an update once it is two segments or half the buffer (RFC 9293 3.8.6.2.2).
    /// RFC 9293: MUST-39.
    #[inline]
    pub(crate) fn consumed(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        if !conn.state().can_receive() || planted!(self.config, KeepsTheWindowShut) {
            return;
        }
        let opened = self.window_edge(conn, io).saturating_sub(conn.rcv_adv);
        let half = self.receive_buffer_bytes(conn) / 2;
        let enough = (2 * u32::from(conn.rcv_mss)).min(half);
        let enough = if planted!(self.config, AnnouncesEveryByte) { 1 } else { enough };
        if opened >= u64::from(enough) && conn.rcv_wnd() < half {
            conn.ack_now(cx);
        }
    }

    /// CLOSE for our direction (RFC 9293 3.10.4): a FIN follows what was written.
    fn finish(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        io.tx_finished = true;
        if conn.has(Flag::FinQueued) {
            return;
        }
        conn.set(Flag::FinQueued);
        match conn.state() {
            State::Established => conn.transition(cx, State::FinWait1),
            State::CloseWait => conn.transition(cx, State::LastAck),
            // Queued until the connection is open.
            State::SynSent | State::SynReceived => return,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait | State::Closed => {
                return;
            }
        }
        cx.want_tx(Class::Data);
    }

    /// The application let go of the connection. What it did not read, it will not read: the peer must learn that it
    /// is lost (RFC 2525 2.17, RFC 1122 4.2.2.13).
    /// RFC 9293: SHLD-3, MAY-1.
    fn let_go(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        conn.set(Flag::Orphan);
        if conn.state() == State::SynSent {
            return self.end(cx, conn, Close::Error(FlowError::Aborted));
        }
        if conn.state() == State::TimeWait {
            return;
        }
        let linger = self.settings(conn).linger;
        let is_unread = (!io.rx.is_empty() || conn.has(Flag::Gap)) && !planted!(self.config, FinWithUnreadData);
        if is_unread || linger == Some(Duration::ZERO) || planted!(self.config, ResetsOnClose) {
            io.rx.clear(cx.mem);
            return self.abort(cx, conn, io);
        }
        self.finish(cx, conn, io);
        if conn.state() == State::FinWait2 {
            conn.arm(Timer::FinWait, cx.now + self.config.fin_wait_timeout);
        } else if let Some(time) = linger {
            self.start_linger(cx, conn, time);
        }
        self.adopt(cx, conn);
    }

    /// ABORT (RFC 9293 3.10.5).
    fn abort(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        io.tx.clear(cx.mem);
        match conn.state() {
            State::SynSent | State::TimeWait | State::Closed => {
                self.end(cx, conn, Close::Error(FlowError::Aborted));
            }
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => self.end(cx, conn, Close::Reset(FlowError::Aborted)),
        }
    }

    /// An ICMP error, or trouble with the path.
    /// RFC 9293: MUST-54, MUST-55, MUST-56, SHLD-26.
    pub(crate) fn trouble(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        quote: Option<&Quote>,
        trouble: &Trouble,
    ) -> TroubleAnswer {
        // RFC 5927 4.1: only what quotes something in flight is about us.
        if let Some(quote) = quote {
            let Some(seq) = crate::wire::quoted_seq(&quote.bytes) else { return TroubleAnswer::Ignore };
            let seq = seq.near(conn.snd_una());
            if seq < conn.snd_una() || seq >= conn.snd_nxt() {
                return TroubleAnswer::Ignore;
            }
        }
        match *trouble {
            Trouble::TooBig { mtu } => {
                // `fit_to_path` sees it when data is next to leave: now.
                if conn.state().is_synchronized() {
                    cx.want_tx(Class::Data);
                }
                TroubleAnswer::LowerMtu(mtu.max(MTU_MIN))
            }
            Trouble::Unreachable(_) | Trouble::NeighbourFailed | Trouble::LinkDown
                if conn.state() == State::SynSent =>
            {
                // RFC 5461 allows what RFC 1122 4.2.3.9 does not: nothing is lost that stood.
                let refused = matches!(trouble, Trouble::Unreachable(why) if why.is_hard());
                let error = if refused { FlowError::Refused } else { FlowError::Unreachable };
                self.end(cx, conn, Close::Error(error));
                TroubleAnswer::Ignore
            }
            // Soft, for a connection that stands (RFC 5927 5.2): the retransmission timer decides.
            Trouble::Unreachable(_) | Trouble::NeighbourFailed | Trouble::LinkDown => {
                self.tell_soft_error(cx, conn, FlowError::Unreachable);
                TroubleAnswer::Ignore
            }
            _ => TroubleAnswer::Ignore,
        }
    }
}

/// No path is believed to be narrower (RFC 1122 3.3.3): a forged error must not make us send headers for the most part.
const MTU_MIN: u32 = 576;
