//! SEGMENT ARRIVES for connections with a control block: RFC 9293 3.10.7.4, in its numbered order, with the additions of
//! RFC 7323 5 (PAWS) and RFC 5961 (blind attacks). The short way is in [`established`](crate::established).

use burstlane::frame::Frame;
use burstlane::net::DropReason;
use burstlane::socket::{Ready, StreamIo};
use burstlane::time::Instant;
use burstlane::toolkit::SeqNum;
use burstlane::transport::{Context, FlowError};

use crate::answer::AnswerKind;
use crate::conn::{Conn, Flag, Timer};
use crate::established::{NO_MEMORY, Totals, note_segment_size, take_window};
use crate::state::State;
use crate::wire::{Control, Header};
use crate::{Close, Tcp};

impl Tcp {
    /// One segment, the long way.
    #[cold]
    #[inline(never)]
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
        frame: Frame,
        totals: &mut Totals,
    ) {
        if conn.state() == State::SynSent {
            return self.in_syn_sent(cx, conn, io, header);
        }
        if conn.state() == State::TimeWait {
            // The last ACK has not left yet; whatever comes, it answers.
            return conn.ack_now(cx);
        }
        if planted!(self.config, AcceptsAnyReset) && header.control == Control::Rst {
            return self.check_reset(cx, conn, io, conn.rcv_nxt);
        }
        if planted!(self.config, AcceptsAnySyn) && header.control == Control::Syn {
            return self.end(cx, conn, Close::Reset(FlowError::Reset));
        }
        // First, the sequence number.
        let seq = header.seq.near(conn.rcv_nxt);
        if !self.check_sequence(cx, conn, header, seq) {
            return;
        }
        // Second, RST. (Third, security: not implemented, as everywhere.) Fourth, SYN.
        match header.control {
            Control::Rst => return self.check_reset(cx, conn, io, seq),
            Control::Syn => return self.challenge(cx, conn, SYN_IN_WINDOW),
            Control::None | Control::Urgent | Control::Fin => {}
        }
        if header.marks.ace() != 0 || header.marks.codepoint() != 0 {
            self.note_marks(cx, conn, header, frame.meta.packets());
        }
        // Fifth, ACK.
        if !self.check_ack(cx, conn, io, header, seq, totals) {
            return;
        }
        self.note_timestamp(cx.now, conn, header, seq);
        // Sixth, URG.
        if header.urgent > 0 {
            self.take_urgent(cx, conn, io, header, seq);
        }
        // Seventh, the text.
        self.take_text(cx, conn, io, header, seq, frame, totals);
        if cx.is_ended() {
            return;
        }
        // Eighth, FIN.
        if header.control == Control::Fin {
            self.take_fin(cx, conn, io, seq + u64::from(header.payload_bytes));
        } else if conn.has(Flag::FinEarly)
            && let Some(at) = self.cold.get_at(conn.cold).map(|cold| cold.fin_at)
            && at == conn.rcv_nxt
        {
            // As long as the gap is there, nothing is to be said of it again: two such ends would never stop.
            self.take_fin(cx, conn, io, at);
        }
    }

    /// Whether any of the segment is in the window (first step), and not from an earlier turn of the number space
    /// (RFC 7323 5.3 R1).
    /// RFC 9293: SHLD-17.
    fn check_sequence(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, header: &Header, seq: u64) -> bool {
        if conn.has(Flag::Timestamps) && header.control != Control::Rst {
            match header.timestamps {
                Some(timestamps)
                    if SeqNum(timestamps.value).before(SeqNum(conn.ts_recent)) && !conn.is_timestamp_stale(cx.now) =>
                {
                    self.answer_unacceptable(cx, conn, header, seq, OLD_TIMESTAMP);
                    return false;
                }
                // RFC 7323 3.2: SHOULD be dropped, silently. But a peer that was restarted and sends a SYN must get its
                // challenge, or it never gets rid of us.
                None if header.control != Control::Syn => {
                    cx.count(NO_TIMESTAMP);
                    return false;
                }
                Some(_) | None => {}
            }
        }
        let (len, wnd) = (u64::from(header.segment_len()), u64::from(conn.rcv_wnd()));
        let (left, right) = (conn.rcv_nxt, conn.rcv_nxt + wnd);
        let acceptable = match (len, wnd) {
            (0, 0) => seq == left,
            (0, _) => seq >= left && seq < right,
            // A full window takes no data, but valid ACKs, resets and FINs at its edge (RFC 9293 3.10.7.4): the text
            // is cut off later.
            (_, 0) => seq == left,
            (_, _) => seq < right && seq + len > left || planted!(self.config, DeliversTwice) && seq + len == left,
        };
        // A FIN or SYN that only repeats has nothing in the window.
        if !acceptable {
            if header.control != Control::Rst {
                self.answer_unacceptable(cx, conn, header, seq, OUT_OF_WINDOW);
            } else {
                cx.count(OUT_OF_WINDOW);
            }
        }
        acceptable
    }

    /// An unacceptable segment gets an ACK, and may still carry one of use: a window probe or an old segment whose ACK
    /// crossed ours is the sign that the peer lacks an answer.
    /// RFC 9293: MAY-13.
    fn answer_unacceptable(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        header: &Header,
        seq: u64,
        reason: DropReason,
    ) {
        cx.count(reason);
        if header.control == Control::Syn && header.ack.is_some() {
            self.note_syn_ack_again(conn, header);
        }
        // Retransmissions of what is here already are answered always; nonsense, which may be an answer to an answer,
        // only so often.
        let repeats = header.payload_bytes > 0 && seq < conn.rcv_nxt && seq + MAX_WINDOW > conn.rcv_nxt
            || header.control == Control::Fin;
        if repeats && planted!(self.config, NeverAcksDuplicates) {
            return;
        }
        if repeats {
            self.note_duplicate(conn, seq..(seq + u64::from(header.payload_bytes)).min(conn.rcv_nxt));
        }
        if repeats || self.may_challenge(cx, conn) {
            conn.ack_now(cx);
        }
    }

    /// Second step with RFC 5961 3.2: only the exact number resets; the window's others are challenged.
    /// RFC 9293: MUST-66, SHLD-2.
    fn check_reset(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo, seq: u64) {
        if seq != conn.rcv_nxt {
            return self.challenge(cx, conn, RESET_IN_WINDOW);
        }
        match conn.state() {
            State::SynReceived => self.end(cx, conn, Close::Error(FlowError::Refused)),
            State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait => {
                self.end(cx, conn, Close::Error(FlowError::Reset));
            }
            // Beyond the RFC, which lets these end in silence: text that nobody acknowledged is lost, and its owner learns of it.
            State::Closing | State::LastAck if !io.tx.is_empty() => {
                self.end(cx, conn, Close::Error(FlowError::Reset));
            }
            State::Closing | State::LastAck | State::TimeWait | State::SynSent | State::Closed => {
                self.end(cx, conn, Close::Quietly);
            }
        }
    }

    /// A challenge ACK (RFC 5961 3.2, 4.2, 5.2), if this connection has not had too many of late.
    fn challenge(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, reason: DropReason) {
        cx.count(reason);
        if self.may_challenge(cx, conn) {
            conn.ack_now(cx);
        }
    }

    fn may_challenge(&mut self, cx: &Context<'_, Self>, conn: &Conn) -> bool {
        self.cold.get_at_mut(conn.cold).is_some_and(|cold| cold.may_challenge(cx.now))
    }

    /// Fifth step. Whether the rest of the segment is to be looked at.
    /// RFC 9293: MAY-12.
    fn check_ack(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
        seq: u64,
        totals: &mut Totals,
    ) -> bool {
        let Some(ack) = header.ack else {
            cx.count(NO_ACK);
            return false;
        };
        let (una, nxt) = (conn.snd_una(), conn.snd_nxt());
        let upto = ack.near(una);
        if conn.state() == State::SynReceived {
            return self.check_ack_of_syn(cx, conn, io, header, ack, totals);
        }
        // RFC 5961 5.2: too old or too new to be the peer's.
        if upto > nxt || upto + u64::from(conn.snd_wnd_max()) < una {
            self.challenge(cx, conn, BAD_ACK);
            return false;
        }
        totals.heard = true;
        let (window_before, delivered_before) = (conn.snd_wnd, totals.delivered_bytes);
        // A window of an older segment is not taken (SND.WL1; for SND.WL2 see `Conn`). What acknowledges more than any before it
        // is not older, also if it sends again what was lost: SND.WND counts from SND.UNA, and kept it would grow.
        if upto > una || upto == una && header.seq.at_or_after(conn.snd_wl1) {
            take_window(conn, header, totals);
        }
        if upto > una {
            self.acknowledged(cx, conn, header, upto, totals);
        }
        if let Some(blocks) = header.options.sack()
            && conn.has(Flag::Sack)
        {
            self.take_sack(conn, blocks, cx.now, totals);
        }
        if upto >= una {
            self.take_ecn(conn, header, totals.delivered_bytes - delivered_before, totals);
        }
        if upto > una {
            return self.after_own_fin(cx, conn, io);
        }
        // RFC 5681 2: a duplicate acknowledgement.
        let is_duplicate = upto == una
            && header.payload_bytes == 0
            && matches!(header.control, Control::None | Control::Urgent)
            && conn.snd_wnd == window_before
            && seq == conn.rcv_nxt;
        // But what answers a probe of a shut window tells of the window, not of a loss.
        if is_duplicate && una < nxt && !conn.has(Flag::Sack) && conn.timer != Timer::Persist {
            self.duplicate_ack(conn, totals);
        }
        if is_duplicate && planted!(self.config, AnswersAcksWithAcks) {
            conn.ack_now(cx);
        }
        totals.plain_duplicate |= is_duplicate && header.options.sack().is_none();
        true
    }

    /// The same in SYN-RECEIVED: what acknowledges our SYN completes the handshake, anything else is answered by a reset.
    fn check_ack_of_syn(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
        ack: SeqNum,
        totals: &mut Totals,
    ) -> bool {
        let upto = ack.near(conn.snd_una());
        let iss = self.cold.get_at(conn.cold).map_or(0, |cold| cold.iss);
        if upto <= iss || upto > conn.snd_nxt() {
            let key = cx.key();
            self.answers.push(cx.now, key, AnswerKind::Reset { seq: ack, ack: None, ts_recent: None });
            cx.want_lane_tx();
            return false;
        }
        if upto > conn.snd_una() {
            let acked = conn.ledger.on_cumulative(upto, cx.now);
            if let Some(rtt) = acked.rtt_sample {
                conn.rtt.on_sample(cx.now, rtt);
            }
        }
        take_window(conn, header, totals);
        self.take_handshake_ace(conn, header, totals);
        self.enter_established(cx, conn, io);
        true
    }

    /// If our FIN was acknowledged, the state moves on. Whether the segment is to be looked at further.
    fn after_own_fin(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) -> bool {
        if !conn.has(Flag::FinSent) || !conn.ledger.is_empty() {
            return true;
        }
        match conn.state() {
            State::FinWait1 => {
                conn.transition(cx, State::FinWait2);
                conn.disarm();
                if conn.has(Flag::Orphan) {
                    conn.arm(Timer::FinWait, cx.now + self.config.fin_wait_timeout);
                }
                true
            }
            State::Closing => {
                self.enter_time_wait(cx, conn);
                false
            }
            State::LastAck => {
                io.tx.clear(cx.mem);
                self.end(cx, conn, Close::Quietly);
                false
            }
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait2
            | State::CloseWait
            | State::TimeWait
            | State::Closed => true,
        }
    }

    /// RFC 7323 4.3 (2): TS.Recent is that of the segment at the left edge of what the last ACK left open.
    fn note_timestamp(&self, now: Instant, conn: &mut Conn, header: &Header, seq: u64) {
        if let Some(timestamps) = header.timestamps
            && conn.has(Flag::Timestamps)
            && (SeqNum(timestamps.value).at_or_after(SeqNum(conn.ts_recent)) || conn.is_timestamp_stale(now))
            && SeqNum::of_offset(seq).at_or_before(conn.last_ack_sent)
        {
            conn.take_timestamp(now, timestamps.value);
        }
    }

    /// Seventh step: what is in the window and new is kept, in order or behind a gap.
    #[expect(clippy::too_many_arguments, reason = "the step needs all that the segment is")]
    fn take_text(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
        seq: u64,
        mut frame: Frame,
        totals: &mut Totals,
    ) {
        let is_deaf = planted!(self.config, DeafAfterOwnFin) && conn.has(Flag::FinSent);
        if header.payload_bytes == 0 || !conn.state().can_receive() || is_deaf {
            return;
        }
        if conn.has(Flag::Orphan) {
            // Data for nobody: the peer must learn that it is lost (RFC 9293 3.10.7.4 via RFC 1122 4.2.2.13).
            return self.end(cx, conn, Close::Reset(FlowError::Aborted));
        }
        note_segment_size(conn, header.payload_bytes, frame.meta.packets());
        let end = (seq + u64::from(header.payload_bytes)).min(conn.rcv_adv);
        let again = planted!(self.config, DeliversTwice) && seq < end && end == conn.rcv_nxt;
        let start = if again { seq } else { seq.max(conn.rcv_nxt) };
        if seq < conn.rcv_nxt || conn.has(Flag::Gap) {
            self.find_duplicate(cx, conn, seq..end);
        }
        if start >= end {
            if planted!(self.config, AcksProbeWithoutRoom) && seq == conn.rcv_nxt {
                conn.rcv_nxt += u64::from(header.payload_bytes);
            }
            // Nothing new: a duplicate, or a probe of a full window.
            return conn.ack_now(cx);
        }
        if !planted!(self.config, OverlapNotTrimmed) {
            frame.trim_front((start - seq) as usize);
        }
        frame.truncate((end - start) as usize);
        if start > conn.rcv_nxt {
            return self.keep_out_of_order(cx, conn, start..end, frame);
        }
        let bytes = end - start;
        if io.rx.push(cx.mem, frame).is_err() {
            cx.count(NO_MEMORY);
            return conn.ack_now(cx);
        }
        self.tell_received(cx, conn, start..end);
        conn.rcv_nxt += bytes;
        totals.received_bytes += bytes;
        if conn.has(Flag::Gap) {
            // A filled gap, or part of it, is acknowledged at once (RFC 5681 4.2).
            totals.received_bytes += self.drain_reassembly(cx, conn, io);
            conn.ack_now(cx);
        }
    }

    /// Eighth step: the peer's FIN, at `at`; only in order does it count.
    fn take_fin(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, at: u64) {
        if !conn.state().can_receive() {
            // There was one already, and nothing can be behind it.
            return;
        }
        if planted!(self.config, TakesFinBeyondGap) {
            conn.rcv_nxt = conn.rcv_nxt.max(at);
        }
        if at != conn.rcv_nxt {
            // Again: it gets its ACK. Or out of order: it is remembered.
            if at > conn.rcv_nxt
                && at <= conn.rcv_adv
                && let Some(cold) = self.cold.get_at_mut(conn.cold)
            {
                cold.fin_at = at;
                conn.set(Flag::FinEarly);
            }
            return conn.ack_now(cx);
        }
        conn.unset(Flag::FinEarly);
        // Nothing stands behind a FIN, whatever came early for there.
        self.clear_reassembly(cx.mem, conn);
        conn.rcv_nxt += u64::from(!planted!(self.config, FinTakesNoNumber));
        conn.rcv_adv = conn.rcv_adv.max(conn.rcv_nxt);
        conn.ack_now(cx);
        io.rx_finished = true;
        cx.emit(Ready::READABLE | Ready::PEER_FINISHED);
        match conn.state() {
            State::SynReceived | State::Established => conn.transition(cx, State::CloseWait),
            State::FinWait1 => conn.transition(cx, State::Closing),
            State::FinWait2 => self.enter_time_wait(cx, conn),
            State::SynSent | State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed => {}
        }
        if conn.state() == State::Closing && conn.has(Flag::FinSent) && conn.ledger.is_empty() {
            self.enter_time_wait(cx, conn);
        }
    }
}

const OUT_OF_WINDOW: DropReason = DropReason("tcp: out of the window");
const OLD_TIMESTAMP: DropReason = DropReason("tcp: old timestamp");
const NO_TIMESTAMP: DropReason = DropReason("tcp: no timestamp");
const RESET_IN_WINDOW: DropReason = DropReason("tcp: reset in the window, not at its edge");
const SYN_IN_WINDOW: DropReason = DropReason("tcp: SYN on an open connection");
const BAD_ACK: DropReason = DropReason("tcp: acknowledges what was not sent");
const NO_ACK: DropReason = DropReason("tcp: no ACK");
/// A window is at most 2^30.
const MAX_WINDOW: u64 = 1 << 30;
