//! What leaves: SYNs and window probes (Control), pure acknowledgements (Ack), data, old before new, and the FIN (Data).
//! How much may leave is decided in [`window`](crate::window).

use std::ops::Range;

use burstlane::congestion::Interests;
use burstlane::net::{PathId, TxBatch, TxStop};
use burstlane::observe::Event;
use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::{FourTuple, SeqNum};
use burstlane::transport::{Class, Context, FlowError, TxStatus};

use crate::answer::{TX_INFO, TX_INFO_ECT, mss_offer, syn_window};
use crate::conn::{Conn, Flag, Timer, Wish};
use crate::ecn::CWR;
use crate::options::{SynOptions, Timestamps};
use crate::state::State;
use crate::window::Plan;
use crate::wire::{self, HeaderBytes};
use crate::{Close, Tcp};

impl Tcp {
    /// Builds what the connection owes in `class`.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        class: Class,
        out: &mut TxBatch<'_>,
    ) -> TxStatus {
        let Some(path) = cx.path() else { return TxStatus::Idle };
        let sent = match class {
            Class::Control => self.poll_control(cx, conn, io, path, out),
            Class::Ack => self.poll_ack(cx, conn, io, path, out),
            Class::Data => self.poll_data(cx, conn, io, path, out),
        };
        if cx.is_ended() {
            return TxStatus::Idle;
        }
        let status = match sent {
            Ok(()) if class == Class::Data && conn.wishes(Wish::Paced) => self.paced_status(cx.now, conn, io),
            Ok(()) => TxStatus::Idle,
            Err(TxStop::Full | TxStop::NoMemory) => TxStatus::More,
            Err(TxStop::Unresolved) => {
                // The engine parks the flow. If the neighbour never answers, the timer is what ends it.
                if conn.timer == Timer::None {
                    conn.arm_retransmit(cx.now);
                }
                TxStatus::More
            }
            // The path shrank in between: `fit_to_path` sees it next time.
            Err(TxStop::TooBig { .. }) => TxStatus::More,
            Err(TxStop::NoPath) => TxStatus::Idle,
        };
        // A flow on a ready list is not asked to settle: what it did not send now is decided here.
        if class != Class::Ack {
            self.settle_ack(cx, conn);
        }
        self.set_deadline(cx, conn);
        self.tell_credit(cx, conn);
        status
    }

    fn poll_control(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        if self.is_condemned(conn) {
            self.end(cx, conn, Close::Reset(FlowError::Aborted));
            return Ok(());
        }
        if !conn.has(Flag::ControlOwed) {
            return Ok(());
        }
        match conn.state() {
            State::SynSent | State::SynReceived => self.send_syn(cx, conn, path, out)?,
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => self.send_probe(cx, conn, io, path, out)?,
            State::TimeWait | State::Closed => {}
        }
        conn.unset(Flag::ControlOwed);
        Ok(())
    }

    /// Our SYN, or the SYN-ACK of a simultaneous open.
    fn send_syn(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        self.doubt_path(conn, path, out);
        let Some(cold) = self.cold.get_at(conn.cold) else { return Ok(()) };
        let key = cx.key();
        let answers = conn.state() == State::SynReceived;
        let mss = mss_offer(&self.config, out.mtu(path).unwrap_or(0), key.local().ip.is_v4());
        let mss = mss.min(self.settings(conn).mss_max);
        // A SYN-ACK answers only what the peer's SYN offered.
        let may = |ours: bool, agreed: bool| ours && (!answers || agreed);
        let options = SynOptions {
            mss: Some(mss),
            window_scale: cold.offers.window_scaling.then(|| self.config.window_scale()),
            sack_permitted: may(cold.offers.sack, conn.has(Flag::Sack)),
        };
        let timestamps = may(cold.offers.timestamps, conn.has(Flag::Timestamps));
        let (iss, retries) = (cold.iss, cold.timeouts);
        let flags = if answers {
            wire::SYN | wire::ACK | wire::ace(self.crossed_syn_ack_ace(conn))
        } else {
            wire::SYN | wire::ace(self.config.ecn.syn_ace(retries))
        };
        let rcv_nxt = SeqNum::of_offset(conn.rcv_nxt);
        let header = HeaderBytes::new(&key, SeqNum::of_offset(iss), rcv_nxt, flags, syn_window(&self.config));
        let clock = self.shared.timestamps;
        let timestamps = timestamps.then(|| Timestamps { value: clock.at(cx.now), echo: conn.ts_recent });
        let header = header.with_options(&self.config.personality.syn_options(options, timestamps));
        out.segment(path, self.tx_info(conn, &TX_INFO, &mut None), header.as_slice(), &[])?;
        if conn.snd_nxt() == iss {
            conn.ledger.on_sent(iss + 1, cx.now);
        } else {
            conn.ledger.on_retransmitted(iss..iss + 1, cx.now);
            self.count_retransmission(conn, 0);
        }
        if answers {
            conn.last_ack_sent = rcv_nxt;
        }
        if conn.timer == Timer::None {
            conn.arm_retransmit(cx.now);
        }
        Ok(())
    }

    /// Asks after a window that is shut or too small: one byte or what fits of new data, or what is outstanding, or the
    /// FIN (RFC 9293 3.8.6.1).
    fn send_probe(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        if conn.ledger.is_empty() && !conn.has_unsent(io) {
            return self.send_keep_alive(cx, conn, io, path, out);
        }
        let offset = if conn.ledger.is_empty() { conn.outstanding_data() } else { 0 };
        let left = io.tx.len().saturating_sub(offset);
        let bytes = left.min(conn.snd_wnd.clamp(1, conn.segment_bytes()) as usize);
        let fin = left == 0 && conn.has(Flag::FinQueued);
        if left == 0 && !fin {
            return Ok(());
        }
        let is_new = conn.ledger.is_empty();
        let start = conn.snd_una();
        let end = self.send_range(cx, conn, io, path, out, start, Plan { offset, bytes, fin })?;
        if is_new {
            conn.ledger.on_sent(end, cx.now);
            if end > start + bytes as u64 {
                conn.set(Flag::FinSent);
            }
        } else {
            conn.ledger.on_retransmitted(start..end, cx.now);
        }
        Ok(())
    }

    /// Asks whether the peer is there: an old number, so that it answers, and no text (RFC 9293 3.8.4, SHLD-12).
    #[cold]
    #[inline(never)]
    fn send_keep_alive(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        let seq = SeqNum::of_offset(conn.snd_nxt() - 1);
        let header = self.header(cx.now, &cx.key(), conn, io, seq, 0);
        out.segment(path, self.tx_info(conn, &TX_INFO, &mut None), header.as_slice(), &[])?;
        self.acknowledged_all(conn);
        Ok(())
    }

    fn poll_ack(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        if !conn.has(Flag::AckNow) {
            return Ok(());
        }
        self.send_ack(cx, conn, io, path, out)
    }

    fn send_ack(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        let seq = SeqNum::of_offset(conn.acceptable_nxt());
        let mut header = self.header(cx.now, &cx.key(), conn, io, seq, 0);
        if self.has_sack(conn) {
            header = header.with_options(&self.sack_blocks(cx, conn).to_bytes());
        }
        if conn.has(Flag::EcnAccurate) {
            header = self.tell_marks(conn, header);
        }
        loop {
            out.segment(path, self.tx_info(conn, &TX_INFO, &mut None), header.as_slice(), &[])?;
            if !self.owes_another_duplicate(conn) {
                break;
            }
        }
        conn.unset(Flag::DuplicateOwed);
        conn.unset(Flag::HandshakeAce);
        self.acknowledged_all(conn);
        if conn.state() == State::TimeWait {
            self.retire(cx, conn);
        }
        Ok(())
    }

    /// The rest of what an acknowledgement says of marks beside its ACE field (RFC 9768 3.2.3).
    #[cold]
    #[inline(never)]
    fn tell_marks(&self, conn: &Conn, header: HeaderBytes) -> HeaderBytes {
        let option = self.ecn_option(conn);
        let header = if option.len() <= header.room() { header.with_options(&option) } else { header };
        self.handshake_ace(conn).map_or(header, |ace| header.with_ace(ace))
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        if conn.state().can_send() {
            self.fit_to_path(cx, conn, path, out);
            if conn.has(Flag::TimedOut) {
                self.doubt_path(conn, path, out);
            }
            let new_first = conn.has(Flag::Repairing) && self.is_new_first(conn);
            if conn.ledger.lost_bytes() > 0 && !new_first {
                self.send_lost(cx, conn, io, path, out)?;
            }
            if conn.has(Flag::PathNarrow) {
                self.send_trial(cx, conn, io, path, out)?;
            }
            let before = conn.snd_nxt();
            while conn.has_unsent(io) && !self.is_paced(cx.now, conn) {
                let Some(plan) = self.plan(conn, io) else {
                    self.consider_persist(cx, conn, io);
                    break;
                };
                self.send_new(cx, conn, io, path, out, plan)?;
            }
            if conn.wishes(Wish::Paced) && !conn.has_unsent(io) {
                self.note_app_limited(conn);
            }
            if conn.snd_nxt() != before {
                self.after_new_data(cx, conn, io);
            }
            if new_first {
                self.end_new_first(conn, before);
                self.send_lost(cx, conn, io, path, out)?;
            }
            if conn.has(Flag::ProbeOwed) {
                self.send_probe_of_tail(cx, conn, io, path, out, before)?;
                conn.unset(Flag::ProbeOwed);
            }
        }
        // It was to go with data, and none went.
        if conn.has(Flag::AckNow) {
            self.send_ack(cx, conn, io, path, out)?;
        }
        Ok(())
    }

    /// New data left: what the application chose may say more.
    #[inline]
    fn after_new_data(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        if conn.wishes(Wish::Cork) {
            self.close_cork(conn);
        }
        if conn.wishes(Wish::Chosen) {
            self.limit_unsent(cx, conn, io);
        }
    }

    /// What is held for lost goes again, as the congestion window allows; the first of a recovery in any case.
    /// RFC 9293: SHLD-16, MAY-7.
    fn send_lost(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
    ) -> Result<(), TxStop> {
        let segment = u64::from(conn.segment_bytes());
        loop {
            if self.is_paced(cx.now, conn) {
                return Ok(());
            }
            let room = u64::from(conn.cwnd).saturating_sub(conn.ledger.in_flight_bytes());
            let forced = conn.has(Flag::RetransmitNow) || conn.ledger.in_flight_bytes() == 0;
            if room < segment && !forced {
                return Ok(());
            }
            let most = (room / segment).clamp(1, (self.burst_bytes(conn) as u64 / segment).max(1)) * segment;
            let Some(range) = conn.ledger.next_lost(most) else { return Ok(()) };
            self.send_again(cx, conn, io, path, out, range)?;
            conn.unset(Flag::RetransmitNow);
            if conn.timer == Timer::None {
                conn.arm_retransmit(cx.now);
            }
        }
    }

    /// Sends a part of what is outstanding once more.
    pub(crate) fn send_again(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
        range: Range<u64>,
    ) -> Result<(), TxStop> {
        let una = conn.snd_una();
        let data_end = una + io.tx.len() as u64;
        if planted!(self.config, NeverRepeatsFin) && range.start >= data_end {
            conn.ledger.on_retransmitted(range, cx.now);
            return Ok(());
        }
        let offset = if planted!(self.config, RetransmitsFromTheHead) { 0 } else { (range.start - una) as usize };
        let bytes = range.end.min(data_end).saturating_sub(range.start) as usize;
        let plan = Plan { offset, bytes, fin: range.end > data_end };
        let plan = if conn.wishes(Wish::Urgent) { plan.first_segment(conn) } else { plan };
        let end = self.send_range(cx, conn, io, path, out, range.start, plan)?;
        conn.ledger.on_retransmitted(range.start..end, cx.now);
        if self.interests.contains(Interests::SENT) {
            self.control_sent(cx.now, conn, end - range.start);
        }
        self.count_retransmission(conn, end - range.start);
        let first = self.cold.get_at(conn.cold).map_or(0, |cold| cold.iss + 1);
        let (offset, bytes) = (range.start.saturating_sub(first), ((end - range.start) as usize).min(bytes));
        cx.observe_flow(|flow| Event::SegmentSent { flow, offset, bytes, retransmission: true });
        Ok(())
    }

    #[inline]
    pub(crate) fn send_new(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
        plan: Plan,
    ) -> Result<(), TxStop> {
        self.control_restart(cx.now, conn);
        let start = conn.snd_nxt();
        let plan = if conn.wishes(Wish::Urgent) || conn.has(Flag::CwrOwed) { plan.first_segment(conn) } else { plan };
        let end = self.send_range(cx, conn, io, path, out, start, plan)?;
        conn.ledger.on_sent(end, cx.now);
        conn.unset(Flag::CwrOwed);
        if end == start + plan.bytes as u64 + 1 {
            conn.set(Flag::FinSent);
        }
        if !(plan.bytes as u32).is_multiple_of(conn.segment_bytes()) {
            conn.set(Flag::SmallSent);
        }
        if self.interests.contains(Interests::SENT) {
            self.control_sent(cx.now, conn, end - start);
        }
        match conn.timer {
            // A probe waits for silence after the last segment, the retransmission timer after the first.
            Timer::None | Timer::Probe => self.arm_answer(cx.now, conn),
            Timer::Persist => {
                conn.rtt.clear_back_off();
                conn.arm_retransmit(cx.now);
            }
            Timer::Retransmit | Timer::Reorder | Timer::FinWait => {}
        }
        let cold = &self.cold;
        cx.observe_flow(|flow| {
            let first = cold.get_at(conn.cold).map_or(0, |cold| cold.iss + 1);
            let (offset, bytes) = (start.saturating_sub(first), ((end - start) as usize).min(plan.bytes));
            Event::SegmentSent { flow, offset, bytes, retransmission: false }
        });
        Ok(())
    }

    /// Sends a range of the stream that begins at offset `start`. Returns where what was taken ends, its FIN included.
    /// RFC 9293: MUST-61, SHLD-27.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the one place where segments with text are built")]
    fn send_range(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        path: PathId,
        out: &mut TxBatch<'_>,
        start: u64,
        plan: Plan,
    ) -> Result<u64, TxStop> {
        let seq = SeqNum::of_offset(start);
        let (one, several);
        let slices: &[&[u8]] = match io.tx.slice(cx.mem, plan.offset, plan.bytes) {
            Some(slice) => {
                one = [slice];
                &one
            }
            None => {
                several = io.tx.slices(cx.mem, plan.offset, plan.bytes);
                &several
            }
        };
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 && !plan.fin {
            // The buffer holds what SND.UNA says; if not, a bug must not become an endless loop.
            debug_assert!(false, "nothing to send at {start}");
            return Err(TxStop::NoPath);
        }
        let fin = plan.fin && offered == plan.bytes;
        let pushes = self.pushes(conn, io, start, offered);
        let last_flags = if pushes { wire::PSH } else { 0 } | if fin { wire::FIN } else { 0 };
        // What is sent for the first time may be marked; what is sent again, and what asks after a window, may not (RFC 3168 6.1.5,
        // 6.1.6).
        let is_new = start >= conn.snd_nxt() && !conn.has(Flag::ControlOwed);
        let mut own = None;
        let info = self.tx_info(conn, if is_new && conn.has(Flag::Ect) { &TX_INFO_ECT } else { &TX_INFO }, &mut own);
        let last_flags = last_flags | if is_new && conn.has(Flag::CwrOwed) { wire::ace(CWR) } else { 0 };
        let segment = conn.segment_bytes() as usize;
        let is_single = offered <= segment;
        let flags = if is_single { last_flags } else { 0 };
        let header = self.header(cx.now, &cx.key(), conn, io, seq, flags);
        let taken = if is_single {
            out.segment(path, info, header.as_slice(), slices)?;
            offered
        } else {
            out.segments(path, info, header.as_slice(), slices, segment, |header, at| {
                let flags = if at.last { last_flags } else { 0 };
                wire::patch(header, seq + at.offset as u32, flags);
            })?
        };
        // What only an acknowledgement without text has room for still goes by itself (RFC 2018 4, RFC 2883 4).
        let tells = conn.has(Flag::AckNow) && self.has_sack(conn);
        self.acknowledged_all(conn);
        if tells {
            conn.set(Flag::AckNow);
        }
        if conn.wishes(Wish::Paced) {
            self.note_paced(cx.now, conn, taken);
        }
        let fin_left = fin && taken == offered;
        Ok(start + taken as u64 + u64::from(fin_left))
    }

    /// The header of every segment once open; its window is what we advertise from now on.
    #[inline(always)] // A header is large to hand over.
    fn header(
        &self,
        now: Instant,
        key: &FourTuple,
        conn: &mut Conn,
        io: &StreamIo,
        seq: SeqNum,
        flags: u16,
    ) -> HeaderBytes {
        let window = self.advertise(conn, io);
        let is_ahead = planted!(self.config, AcksBeyondArrival) && conn.has(Flag::Gap);
        let ack = conn.rcv_nxt + if is_ahead { u64::from(conn.rcv_mss) } else { 0 };
        let flags = wire::ACK | wire::ace(conn.ace()) | flags;
        let mut header = HeaderBytes::new(key, seq, SeqNum::of_offset(ack), flags, window);
        if conn.has(Flag::Timestamps) {
            let value = self.shared.timestamps.at(now);
            header.set_timestamps(Timestamps { value, echo: conn.ts_recent });
        }
        if conn.wishes(Wish::Urgent) {
            self.mark_urgent(conn, &mut header, seq);
        }
        header
    }

    /// An acknowledgement of everything received has left.
    #[inline]
    fn acknowledged_all(&self, conn: &mut Conn) {
        conn.unset(Flag::AckNow);
        conn.unset(Flag::AckLater);
        conn.unset(Flag::DuplicatesOwed);
        if !planted!(self.config, DelayedAckTimerRunsOn) {
            conn.delayed_ack_at = Instant::NEVER;
        }
        conn.last_ack_sent = SeqNum::of_offset(conn.rcv_nxt);
    }

    /// How far the peer may send, as the last header that left says.
    #[inline]
    fn tell_credit(&self, cx: &mut Context<'_, Self>, conn: &Conn) {
        if !conn.state().is_synchronized() {
            return;
        }
        cx.observe_flow(|flow| {
            let first = self.cold.get_at(conn.cold).map_or(0, |cold| cold.irs + 1);
            Event::CreditGiven { flow, offset: conn.rcv_adv.saturating_sub(first) }
        });
    }

    /// Something waits that no acknowledgement will release: the window is to be asked after.
    /// RFC 9293: SHLD-29.
    fn consider_persist(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &StreamIo) {
        if conn.wishes(Wish::Cork) && self.is_held_by_cork(cx.now, conn, io) {
            return;
        }
        if conn.ledger.is_empty() && conn.timer != Timer::Persist && !planted!(self.config, NeverAsksAfterWindow) {
            if let Some(cold) = self.cold.get_at_mut(conn.cold) {
                cold.shut_since = cx.now;
            }
            conn.arm(Timer::Persist, cx.now + conn.rtt.rto());
        }
    }

    fn count_retransmission(&mut self, conn: &Conn, bytes: u64) {
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.retransmits += bytes.div_ceil(u64::from(conn.segment_bytes())).max(1);
            cold.retransmitted_bytes += bytes;
        }
    }
}
