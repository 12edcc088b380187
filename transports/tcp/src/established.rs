//! A run of segments on an open connection: the short way for what nearly every segment is (in order, nothing but data
//! and an ACK), and what is paid once per run: acknowledged data, congestion control, timers, readiness.

use burstlane::congestion::Interests;
use burstlane::frame::Frame;
use burstlane::net::DropReason;
use burstlane::observe::Event;
use burstlane::socket::{Ready, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{Acked, SeqNum};
use burstlane::transport::{Class, Context, Run};

use crate::conn::{Conn, Flag, Timer, Wish};
use crate::options::Options;
use crate::state::State;
use crate::wire::{Control, Header};
use crate::{Tcp, tuning};

/// What the segments of one run brought, together.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// In flight before the run.
    pub(crate) in_flight_before: u64,
    /// Packets that acknowledged something new.
    pub(crate) acks: u32,
    pub(crate) acked_bytes: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) sacked_bytes: u64,
    pub(crate) lost_bytes: u64,
    /// The controller is to be told of a loss.
    pub(crate) new_episode: bool,
    /// Bytes that arrived marked.
    pub(crate) marked_bytes: u64,
    /// The controller is to be told of marks.
    pub(crate) marked_episode: bool,
    /// There is something for loss detection to look at.
    pub(crate) scoreboard_changed: bool,
    /// When the newest of what was delivered was sent, if a controller wants to know.
    pub(crate) newest_sent_at: Option<Instant>,
    pub(crate) rtt: Option<Duration>,
    /// In-order bytes for the application.
    pub(crate) received_bytes: u64,
    /// Any acceptable acknowledgement came, also one of nothing new.
    pub(crate) heard: bool,
    /// The peer opened its window.
    pub(crate) window_grew: bool,
    /// The peer reported a duplicate (RFC 2883).
    pub(crate) duplicate_reported: bool,
    /// And it was what a probe had repeated.
    pub(crate) probe_reported: bool,
    /// What was held for lost and not sent again, and arrived, bytes.
    pub(crate) originals_bytes: u64,
    /// An acknowledgement of nothing new, without a SACK.
    pub(crate) plain_duplicate: bool,
}

impl Tcp {
    /// All segments of a connection in one burst.
    /// RFC 9293: MUST-58, MUST-59.
    #[inline]
    pub(crate) fn run(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        run: &mut Run<'_, Header>,
    ) {
        let mut totals = Totals { in_flight_before: conn.ledger.in_flight_bytes(), ..Totals::default() };
        while let Some(segment) = run.take() {
            let (header, frame) = (segment.meta, segment.frame);
            if is_predicted(conn, header) {
                self.predicted(cx, conn, io, header, frame, &mut totals);
            } else {
                self.segment_arrives(cx, conn, io, header, frame, &mut totals);
                if cx.is_ended() {
                    return;
                }
            }
        }
        if totals.heard {
            if conn.wishes(Wish::KeepAlive) {
                self.note_heard(cx.now, conn);
            }
            self.after_acks(cx, conn, io, &mut totals);
        }
        if totals.received_bytes > 0 {
            if tuning::is_due(conn.rcv_nxt, totals.received_bytes) {
                self.tune_receive(cx, conn, io);
            }
            if !planted!(self.config, ForgetsToWakeReaders) {
                cx.emit(Ready::READABLE);
            }
            self.schedule_ack(cx, conn);
        }
        self.set_deadline(cx, conn);
    }

    /// An in-order segment: `is_predicted` holds.
    #[inline]
    fn predicted(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
        frame: Frame,
        totals: &mut Totals,
    ) {
        if let Some(timestamps) = header.timestamps
            && header.seq.at_or_before(conn.last_ack_sent)
        {
            conn.take_timestamp(cx.now, timestamps.value);
        }
        if let Some(ack) = header.ack {
            let upto = ack.near(conn.snd_una());
            if upto > conn.snd_una() {
                self.acknowledged(cx, conn, header, upto, totals);
            }
        }
        totals.heard = true;
        take_window(conn, header, totals);
        let bytes = header.payload_bytes;
        if bytes == 0 {
            return;
        }
        note_segment_size(conn, bytes, frame.meta.packets());
        if conn.has(Flag::EcnAccurate) {
            self.note_marks(cx, conn, header, frame.meta.packets());
        }
        if io.rx.push(cx.mem, frame).is_err() {
            // Not kept, so not acknowledged: the peer sends it again.
            cx.count(NO_MEMORY);
            return conn.ack_now(cx);
        }
        self.tell_received(cx, conn, conn.rcv_nxt..conn.rcv_nxt + u64::from(bytes));
        conn.rcv_nxt += u64::from(bytes);
        totals.received_bytes += u64::from(bytes);
    }

    /// SEG.ACK moved SND.UNA to `upto`.
    /// RFC 9293: MUST-18.
    #[inline]
    pub(crate) fn acknowledged(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        header: &Header,
        upto: u64,
        totals: &mut Totals,
    ) {
        if planted!(self.config, ComparesNumbersAsIntegers) && upto as u32 <= conn.snd_una() as u32 {
            return;
        }
        let resent_at = planted!(self.config, ForgetsKarn).then(|| conn.ledger.first_unacked_sent_at()).flatten();
        let acked: Acked = conn.ledger.on_cumulative(upto, cx.now);
        totals.acks += 1;
        totals.acked_bytes += acked.bytes;
        totals.delivered_bytes += acked.delivered;
        totals.lost_bytes += acked.lost;
        totals.originals_bytes += acked.not_lost_after_all;
        if self.interests.contains(Interests::RATE) {
            totals.newest_sent_at = totals.newest_sent_at.max(acked.newest_sent_at);
        }
        totals.scoreboard_changed = true;
        if let Some(resent_at) = resent_at {
            totals.rtt = Some(cx.now.since(resent_at));
        } else if acked.rtt_sample.is_some() {
            totals.rtt = acked.rtt_sample;
        } else if totals.rtt.is_none() {
            // Of what was sent twice only an echo tells which was meant.
            totals.rtt = self.echoed_rtt(cx.now, header.timestamps).filter(|rtt| self.may_sample(cx.now, conn, *rtt));
        }
        if acked.recovery_ended {
            conn.unset(Flag::RetransmitNow);
        }
    }

    /// What acknowledgements mean, once for all of a run.
    #[inline]
    pub(crate) fn after_acks(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        totals: &mut Totals,
    ) {
        if conn.has(Flag::TimedOut) {
            self.answered(cx, conn, totals);
        }
        if let Some(rtt) = totals.rtt {
            conn.rtt.on_sample(cx.now, rtt);
            let estimator = &conn.rtt;
            cx.observe_flow(|flow| Event::RttSample { flow, rtt, srtt: estimator.smoothed(), rto: estimator.rto() });
        }
        if totals.acked_bytes > 0 {
            self.release_acked(cx, conn, io, totals.acked_bytes);
        }
        if conn.has(Flag::ProbeSent) {
            self.judge_probe(conn, totals);
        }
        if conn.has(Flag::Repairing) {
            self.judge_timeout(cx, conn, io, totals);
        }
        if totals.duplicate_reported {
            self.judge_reduction(cx, conn);
        }
        if totals.scoreboard_changed {
            self.detect_loss(cx, conn, totals);
            if conn.has(Flag::PathNarrow) {
                self.judge_trial(cx.now, conn, totals);
            }
            self.control_congestion(cx, conn, totals);
            if conn.cwnd > io.tx_max / 2 && io.tx_max < self.config.send_buffer_max {
                self.tune_send(cx, conn, io);
            }
            self.rearm(cx, conn, totals);
        }
        if totals.window_grew && conn.timer == Timer::Persist && !conn.ledger.is_empty() {
            // The probe was asked in vain; what it carried goes with the rest, now that there is room.
            conn.ledger.mark_all_lost();
            conn.rtt.clear_back_off();
            conn.arm_retransmit(cx.now);
        }
        let waits = conn.has_unsent(io) || conn.ledger.lost_bytes() > 0;
        if waits && (totals.scoreboard_changed || totals.window_grew) {
            cx.want_tx(Class::Data);
        }
    }

    /// Drops acknowledged bytes of the stream from the send buffer, and tells the application of the room.
    fn release_acked(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo, bytes: u64) {
        // The FIN takes a number and no byte.
        let fin = conn.has(Flag::FinSent) && conn.ledger.is_empty();
        let before = io.tx.len();
        io.tx.release_front(cx.mem, (bytes - u64::from(fin)) as usize);
        let after = io.tx.len();
        if conn.ledger.is_empty() {
            conn.unset(Flag::SmallSent);
        }
        if conn.wishes(Wish::Chosen) {
            self.limit_unsent(cx, conn, io);
        }
        let half = io.tx_max as usize / 2;
        let has_room = after == 0 || before > half && after <= half && io.tx_room() > 0;
        if has_room && !planted!(self.config, ForgetsToWakeWriters) {
            cx.emit(Ready::WRITABLE);
        }
        cx.observe_flow(|flow| {
            let first = self.cold.get_at(conn.cold).map_or(0, |cold| cold.iss + 1);
            Event::Acked { flow, offset: conn.snd_una().saturating_sub(first + u64::from(fin)) }
        });
    }

    /// The timer after an acknowledgement (RFC 6298 5.2, 5.3), unless one for reordering was set.
    fn rearm(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, totals: &Totals) {
        if conn.timer == Timer::Reorder || conn.timer == Timer::FinWait {
            return;
        }
        if conn.ledger.is_empty() {
            conn.disarm();
            self.note_idle(cx.now, conn);
        } else if planted!(self.config, TimerStopsAtPartialAck) {
            conn.disarm();
        } else if totals.acked_bytes > 0 && (conn.has(Flag::Sack) || !self.is_later_partial(conn)) {
            self.arm_answer(cx.now, conn);
        }
    }

    /// In-order data came: every second full segment is acknowledged at once, less waits for company (RFC 9293 3.8.6.3).
    /// RFC 9293: SHLD-18, SHLD-19.
    #[inline]
    pub(crate) fn schedule_ack(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn) {
        if conn.has(Flag::AckNow) {
            return;
        }
        if conn.unacknowledged() >= 2 * u32::from(conn.rcv_mss) || self.config.delayed_ack_timeout == Duration::ZERO {
            conn.ack_now(cx);
        } else if conn.wishes(Wish::QuickAck) {
            self.count_quick_ack(conn);
            conn.ack_now(cx);
        } else {
            conn.set(Flag::AckLater);
            cx.request_settle();
        }
    }
}

/// Header prediction: the next in-order segment of an open connection, with an acknowledgement of what was sent, without
/// anything that the long way must look at.
#[inline]
fn is_predicted(conn: &Conn, header: &Header) -> bool {
    let Some(ack) = header.ack else { return false };
    let una = conn.snd_una();
    let ack = ack.near(una);
    let timestamps_fit = match header.timestamps {
        Some(timestamps) => conn.has(Flag::Timestamps) && SeqNum(timestamps.value).at_or_after(SeqNum(conn.ts_recent)),
        None => !conn.has(Flag::Timestamps),
    };
    conn.state() == State::Established
        && header.control == Control::None
        && header.options == Options::None
        && header.seq == SeqNum::of_offset(conn.rcv_nxt)
        && !conn.has(Flag::Gap)
        && !conn.has(Flag::FinEarly)
        && header.marks.are_as_before(conn.peer_ace())
        && timestamps_fit
        && ack >= una
        && ack <= conn.snd_nxt()
        && header.payload_bytes <= conn.rcv_wnd()
        // One that says nothing new may be a duplicate that counts.
        && (header.payload_bytes > 0 || ack > una)
}

/// SND.WND from an acceptable, not older segment (RFC 9293 3.10.7.4, fifth step).
#[inline]
pub(crate) fn take_window(conn: &mut Conn, header: &Header, totals: &mut Totals) {
    let before = conn.snd_wnd;
    conn.set_window(header.window, conn.snd_scale());
    totals.window_grew |= conn.snd_wnd > before;
    if header.seq.after(conn.snd_wl1) {
        conn.snd_wl1 = header.seq;
    }
}

/// Learns how large the peer's full segments are.
#[inline]
pub(crate) fn note_segment_size(conn: &mut Conn, bytes: u32, packets: u32) {
    let each = if packets <= 1 { bytes } else { bytes / packets };
    if each > u32::from(conn.rcv_mss) {
        conn.rcv_mss = each.min(u32::from(u16::MAX)) as u16;
    }
}

pub(crate) const NO_MEMORY: DropReason = DropReason("tcp: no buffer memory");
