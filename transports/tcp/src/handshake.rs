//! Opening: actively (SYN-SENT, RFC 9293 3.10.7.3), passively (LISTEN and half-open remnants, 3.10.7.2), and both at
//! once (3.5, figure 7).

use burstlane::net::{DropReason, Packet};
use burstlane::socket::{Ready, StreamIo};
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{FourTuple, SeqNum};
use burstlane::transport::{
    Class, Context, FlowError, LaneCx, Listener, Open, Opened, RemnantInput, Unmatched, Verdict,
};

use crate::answer::{AnswerKind, mss_offer, syn_window};
use crate::cold::{Cold, Offers};
use crate::config::{MSS_DEFAULT_V4, MSS_DEFAULT_V6, MSS_MIN};
use crate::conn::{Conn, Flag, NewConn, Wish};
use crate::options::{Options, SynOptions, TIMESTAMPS_BYTES, Timestamps};
use crate::personality::Personality;
use crate::remnant::{HalfOpen, InTimeWait, Remnant, TimeWait};
use crate::state::State;
use crate::wire::{self, Control, Header};
use crate::{Close, Tcp};

impl Tcp {
    /// OPEN, active (RFC 9293 3.10.1). The SYN leaves in `poll_tx`.
    /// RFC 9293: MUST-44, MUST-45.
    pub(crate) fn open(&mut self, cx: &mut LaneCx<'_, Self>, open: &Open) -> Result<Opened<Self>, FlowError> {
        let path = open.path.ok_or(FlowError::Unreachable)?;
        if path.neighbour.is_none() && !path.loopback {
            // It leads to a group; a connection has one peer (RFC 9293 3.9.1.1, MUST-46).
            return Err(FlowError::Unreachable);
        }
        let key = FourTuple::new(open.local, open.remote);
        let is_v4 = key.local().ip.is_v4();
        let mss = mss_offer(&self.config, path.mtu, is_v4);
        let iss = self.shared.isn(cx.now, &key);
        let mut conn = self.new_conn(cx.now, State::SynSent, iss, default_mss(is_v4)).ok_or(FlowError::NoMemory)?;
        conn.smss = mss;
        conn.set(Flag::ControlOwed);
        Ok(Opened { key, conn, io: StreamIo::new(self.config.send_buffer_bytes) })
    }

    #[inline(always)] // A connection is large to hand over.
    fn new_conn(&mut self, now: Instant, state: State, iss: SeqNum, peer_mss: u16) -> Option<Conn> {
        let offers = Offers {
            timestamps: self.config.timestamps,
            sack: self.config.sack,
            window_scaling: self.config.window_scaling,
        };
        let cold = Cold::new(now, iss.first_offset(), peer_mss, offers);
        let cold = self.cold.insert(cold).ok()?.index;
        let rcv_scale = self.config.window_scale();
        let mut conn = Conn::new(NewConn { state, iss, rtt: self.rtt, smss: peer_mss, cwnd: 0, rcv_scale, cold });
        self.start_settings(&mut conn);
        if self.config.personality == Personality::Linux {
            self.start_as_linux(&mut conn);
        }
        Some(conn)
    }

    /// A segment for CLOSED or LISTEN (RFC 9293 3.10.7.1 and 3.10.7.2).
    /// RFC 9293: MUST-41, MUST-42, SHLD-2.
    pub(crate) fn on_stranger(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        header: &Header,
        packet: &Packet,
        listener: Option<&Listener>,
    ) -> Unmatched<Self> {
        let reopened_iss = self.reopened_iss.take();
        let Some(key) = wire::tuple(packet) else { return Unmatched::Drop(NO_CONNECTION) };
        let (Some(listener), Control::Syn, None) = (listener, header.control, header.ack) else {
            // LISTEN: a reset is ignored, an ACK is answered by one, anything else is not worth an answer. CLOSED: all
            // but resets are answered.
            if listener.is_some() && header.ack.is_none() {
                return Unmatched::Drop(NOT_A_SYN);
            }
            if let Some(answer) = listener.and_then(|listener| self.on_ack_in_listen(cx, key, header, listener)) {
                return answer;
            }
            return match AnswerKind::reset_for(header) {
                Some(kind) => self.answer(cx, key, kind, NO_CONNECTION),
                None => Unmatched::Drop(STRAY_RESET),
            };
        };
        if !listener.has_room() {
            return Unmatched::Drop(BACKLOG_FULL);
        }
        let half = HalfOpen {
            iss: reopened_iss.unwrap_or_else(|| self.shared.isn(cx.now, &key)),
            irs: header.seq,
            offers: self.common_offers(header, key.local().ip.is_v4()),
            ts_recent: header.timestamps.filter(|_| self.config.timestamps).map(|timestamps| timestamps.value),
            since: cx.now,
            until: cx.now + self.config.rto.initial_rto,
            window: header.window,
            retries: 0,
            ecn: self.config.ecn.agree(header.marks),
        };
        // In the place of a TIME-WAIT there is room.
        if reopened_iss.is_none() && (check_room(listener).is_err() || !cx.has_remnant_room()) {
            return self.answer_by_cookie(cx, key, half);
        }
        let until = half.until;
        self.answers.push(cx.now, key, AnswerKind::SynAck(half));
        cx.want_lane_tx();
        Unmatched::Remnant { key, remnant: Remnant::HalfOpen(half), until }
    }

    /// What the peer's SYN offers and we take; its MSS is always there.
    fn common_offers(&self, header: &Header, is_v4: bool) -> SynOptions {
        let Options::Syn(offers) = header.options else { return SynOptions::default() };
        SynOptions {
            mss: Some(offers.mss.unwrap_or(default_mss(is_v4)).max(MSS_MIN)),
            window_scale: offers.window_scale.filter(|_| self.config.window_scaling),
            sack_permitted: offers.sack_permitted && self.config.sack,
        }
    }

    /// Owes an answer to a segment that is counted as `reason` and leaves nothing else.
    pub(crate) fn answer(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        key: FourTuple,
        kind: AnswerKind,
        reason: DropReason,
    ) -> Unmatched<Self> {
        if !self.answers.push(cx.now, key, kind) {
            return Unmatched::Drop(TOO_MANY_ANSWERS);
        }
        cx.want_lane_tx();
        cx.count(reason);
        Unmatched::Owed
    }

    /// A packet or a deadline for a remnant.
    pub(crate) fn on_remnant_input(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        remnant: &mut Remnant,
        input: RemnantInput<'_, Self>,
        listener: Option<&Listener>,
    ) -> Verdict<Self> {
        match (remnant, input) {
            (Remnant::HalfOpen(half), RemnantInput::Packet(header, packet)) => {
                let Some(key) = wire::tuple(packet) else { return Verdict::Gone };
                self.on_half_open(cx, half, header, key, listener)
            }
            (Remnant::HalfOpen(half), RemnantInput::Deadline(key)) => self.repeat_syn_ack(cx, half, *key),
            (Remnant::TimeWait(wait), RemnantInput::Packet(header, packet)) => {
                let Some(key) = wire::tuple(packet) else { return Verdict::Gone };
                self.on_time_wait(cx, wait, header, key, listener)
            }
            (Remnant::TimeWait(_), RemnantInput::Deadline(_)) if planted!(self.config, TimeWaitNeverEnds) => {
                Verdict::Keep { until: cx.now + self.config.time_wait_timeout }
            }
            (Remnant::TimeWait(_), RemnantInput::Deadline(_)) => Verdict::Gone,
        }
    }

    fn repeat_syn_ack(&mut self, cx: &mut LaneCx<'_, Self>, half: &mut HalfOpen, key: FourTuple) -> Verdict<Self> {
        if half.retries >= self.config.syn_retries_max && !planted!(self.config, HalfOpenNeverExpires) {
            return Verdict::Gone;
        }
        half.retries += 1;
        self.answers.push(cx.now, key, AnswerKind::SynAck(*half));
        cx.want_lane_tx();
        half.until = cx.now + self.syn_timeout(half.retries);
        Verdict::Keep { until: half.until }
    }

    fn syn_timeout(&self, retries: u8) -> Duration {
        let doubled = self.config.rto.initial_rto.saturating_mul(1 << u32::from(retries).min(16));
        doubled.min(self.config.rto.rto_max)
    }

    /// RFC 9293 3.10.7.4 for SYN-RECEIVED after a passive open.
    /// RFC 9293: MUST-11.
    fn on_half_open(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        half: &mut HalfOpen,
        header: &Header,
        key: FourTuple,
        listener: Option<&Listener>,
    ) -> Verdict<Self> {
        let keep = Verdict::Keep { until: half.until };
        let rcv_nxt = half.irs + 1;
        // The SYN again: our answer was lost, or it crossed it.
        if header.control == Control::Syn && header.ack.is_none() && header.seq == half.irs {
            return self.on_syn_again(cx, half, header, key);
        }
        // What a connection would not take makes none: it would wait for its handshake without a timer.
        if header.control != Control::Rst && !half.agrees_on_timestamps(header) {
            cx.count(BAD_TIMESTAMP);
            return keep;
        }
        let window = u32::from(syn_window(&self.config));
        let in_window = header.seq.in_window(rcv_nxt, window.max(1))
            || header.segment_len() > 1 && (header.seq + (header.segment_len() - 1)).in_window(rcv_nxt, window);
        if !in_window {
            if header.control != Control::Rst {
                self.answers.push(cx.now, key, AnswerKind::Challenge(*half));
                cx.want_lane_tx();
            }
            return keep;
        }
        match header.control {
            // Back to LISTEN (second step); only the exact number is believed (RFC 5961 3.2).
            Control::Rst if header.seq == rcv_nxt => return Verdict::Gone,
            Control::Rst => {
                self.answers.push(cx.now, key, AnswerKind::Challenge(*half));
                cx.want_lane_tx();
                return keep;
            }
            // Fourth step: a SYN in the window returns a passive open to LISTEN.
            Control::Syn => return Verdict::Gone,
            Control::None | Control::Urgent | Control::Fin => {}
        }
        match header.ack {
            None => keep,
            Some(ack) if ack == half.iss + 1 => match listener {
                Some(listener) if listener.has_room() => self.promote(cx, half),
                // The peer thinks that it is connected; it sends again what we do not acknowledge.
                Some(_) => keep,
                None => {
                    self.answers.push(cx.now, key, AnswerKind::Reset { seq: ack, ack: None, ts_recent: None });
                    cx.want_lane_tx();
                    Verdict::Gone
                }
            },
            Some(ack) => {
                self.answers.push(cx.now, key, AnswerKind::Reset { seq: ack, ack: None, ts_recent: None });
                cx.want_lane_tx();
                keep
            }
        }
    }

    /// The SYN of a half-open connection came once more.
    fn on_syn_again(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        half: &mut HalfOpen,
        header: &Header,
        key: FourTuple,
    ) -> Verdict<Self> {
        cx.want_lane_tx();
        if half.ecn.on_syn_again(header.marks).is_err() {
            self.answers.push(cx.now, key, AnswerKind::Reset { seq: half.iss + 1, ack: None, ts_recent: None });
            return Verdict::Gone;
        }
        half.note_timestamp(header);
        if planted!(self.config, RepeatedSynGetsAnotherIsn) {
            half.iss = self.shared.isn(cx.now, &key);
        }
        self.answers.push(cx.now, key, AnswerKind::SynAck(*half));
        Verdict::Keep { until: half.until }
    }

    /// The third segment of the handshake came: makes a connection, to which it is then given.
    /// RFC 9293: MUST-22.
    fn promote(&mut self, cx: &mut LaneCx<'_, Self>, half: &HalfOpen) -> Verdict<Self> {
        let Some((mut conn, io)) = self.passive_conn(cx, half) else { return Verdict::Gone };
        if half.retries == 0 {
            conn.rtt.on_sample(cx.now, cx.now.since(half.since));
        } else {
            // RFC 6298 5.7.
            conn.rtt.set_initial_rto(RTO_AFTER_LOST_SYN);
        }
        Verdict::Promote { conn, io, consumed: false }
    }

    /// The connection that a half-open one becomes, still in SYN-RECEIVED; nothing is known of the round trip.
    #[inline(always)] // A connection is large to hand over.
    pub(crate) fn passive_conn(&mut self, cx: &LaneCx<'_, Self>, half: &HalfOpen) -> Option<(Conn, StreamIo)> {
        let peer_mss = half.offers.mss.unwrap_or(MSS_MIN);
        let mut conn = self.new_conn(cx.now, State::SynReceived, half.iss, peer_mss)?;
        conn.ledger.clear((half.iss + 1).near(half.iss.first_offset()));
        let offers = SynOptions { mss: Some(peer_mss), ..half.offers };
        self.take_offers(cx.now, &mut conn, &offers, half.ts_recent, half.irs, half.window);
        self.start_ecn(&mut conn, half.ecn, half.retries);
        self.start_congestion(&mut conn, half.retries > 0);
        // What the SYN-ACK advertised.
        conn.rcv_adv = conn.rcv_nxt + u64::from(syn_window(&self.config));
        let mut io = StreamIo::new(self.config.send_buffer_bytes);
        io.open = true;
        Some((conn, io))
    }

    /// Sets what the peer's SYN decides. `offers` has nothing that we do not offer.
    /// RFC 9293: MUST-16.
    fn take_offers(
        &mut self,
        now: Instant,
        conn: &mut Conn,
        offers: &SynOptions,
        ts_recent: Option<u32>,
        irs: SeqNum,
        window: u16,
    ) {
        conn.rcv_nxt = irs.first_offset() + 1;
        conn.last_ack_sent = irs + 1;
        conn.snd_wl1 = irs;
        conn.set_scales(offers.window_scale);
        // The window of a SYN is not scaled (RFC 7323 2.2).
        conn.set_window(window, 0);
        if offers.sack_permitted {
            conn.set(Flag::Sack);
        }
        let peer_mss = offers.mss.unwrap_or(MSS_MIN);
        conn.smss = conn.smss.min(peer_mss);
        if let Some(value) = ts_recent {
            conn.set(Flag::Timestamps);
            conn.take_timestamp(now, value);
            conn.smss = conn.smss.saturating_sub(TIMESTAMPS_BYTES as u16);
        }
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.irs = irs.first_offset();
            cold.offers.window_scaling = offers.window_scale.is_some();
            cold.peer_mss = peer_mss;
        }
    }

    /// RFC 9293 3.10.7.3, in its order.
    /// RFC 9293: MUST-10.
    pub(crate) fn in_syn_sent(
        &mut self,
        cx: &mut Context<'_, Self>,
        conn: &mut Conn,
        io: &mut StreamIo,
        header: &Header,
    ) {
        // First: the ACK bit.
        let mut acknowledged = false;
        if let Some(ack) = header.ack {
            let ack_offset = ack.near(conn.snd_nxt());
            let is_ours = ack_offset > conn.snd_una() && ack_offset <= conn.snd_nxt();
            if !is_ours && !planted!(self.config, SynSentTakesAnyAck) {
                if header.control != Control::Rst {
                    let key = cx.key();
                    self.answers.push(cx.now, key, AnswerKind::Reset { seq: ack, ack: None, ts_recent: None });
                    cx.want_lane_tx();
                }
                return;
            }
            acknowledged = true;
        }
        match header.control {
            // Second: a reset counts only with an acceptable ACK.
            Control::Rst if acknowledged => return self.end(cx, conn, Close::Error(FlowError::Refused)),
            Control::Rst | Control::None | Control::Urgent | Control::Fin => return,
            // Fourth.
            Control::Syn => {}
        }
        let is_v4 = cx.key().local().ip.is_v4();
        let offers = self.common_offers(header, is_v4);
        let ts_recent = header.timestamps.filter(|_| self.config.timestamps).map(|timestamps| timestamps.value);
        let again = self.cold.get_at(conn.cold).is_some_and(|cold| cold.timeouts > 0);
        self.take_offers(cx.now, conn, &offers, ts_recent, header.seq, header.window);
        self.start_congestion(conn, again);
        if again {
            conn.rtt.set_initial_rto(RTO_AFTER_LOST_SYN);
        }
        // What we advertised in the SYN, if the peer acknowledges it; otherwise what the SYN-ACK will.
        conn.rcv_adv = conn.rcv_nxt + u64::from(syn_window(&self.config));
        if acknowledged {
            let acked = conn.ledger.on_cumulative(conn.snd_nxt(), cx.now);
            // After a timeout an echo of what was sent before it tells of our own back-off.
            let timeout_at = self.cold.get_at(conn.cold).map_or(cx.now, |cold| cold.timeout_at);
            let echoed = self.echoed_rtt(cx.now, header.timestamps);
            let echoed = echoed.filter(|rtt| !again || *rtt <= cx.now.since(timeout_at));
            if let Some(rtt) = acked.rtt_sample.or(echoed) {
                conn.rtt.on_sample(cx.now, rtt);
            }
            self.ecn_answered(conn, header.marks);
            self.enter_established(cx, conn, io);
            conn.ack_now(cx);
            if conn.has(Flag::HandshakeAce) {
                // Data, if there is some, goes behind it (RFC 9768 3.2.2.1).
                cx.want_tx(Class::Ack);
            }
        } else {
            self.ecn_crossed(conn, header.marks);
            conn.transition(cx, State::SynReceived);
            conn.set(Flag::ControlOwed);
            cx.want_tx(Class::Control);
        }
    }

    /// The handshake is complete.
    pub(crate) fn enter_established(&mut self, cx: &mut Context<'_, Self>, conn: &mut Conn, io: &mut StreamIo) {
        conn.transition(cx, State::Established);
        conn.disarm();
        conn.unset(Flag::ControlOwed);
        if let Some(cold) = self.cold.get_at_mut(conn.cold) {
            cold.timeouts = 0;
        }
        conn.unset(Flag::TimedOut);
        io.open = true;
        if self.config.keep_alive.is_some() && !conn.wishes(Wish::KeepAlive) {
            self.start_keep_alive(cx.now, conn);
        }
        if conn.wishes(Wish::Chosen) {
            self.limit_unsent(cx, conn, io);
        }
        cx.emit(Ready::OPEN | Ready::WRITABLE);
        if conn.has(Flag::FinQueued) {
            conn.transition(cx, State::FinWait1);
        }
        if !io.tx.is_empty() || conn.has(Flag::FinQueued) {
            cx.want_tx(Class::Data);
        }
    }

    /// The round trip that a timestamp's echo tells of (RFC 7323 4.1); coarse.
    pub(crate) fn echoed_rtt(&self, now: Instant, timestamps: Option<Timestamps>) -> Option<Duration> {
        let echo = timestamps.map(|timestamps| timestamps.echo).filter(|echo| *echo != 0)?;
        let passed = self.shared.timestamps.at(now).wrapping_sub(echo);
        // Anything else was no timestamp of ours.
        (passed < ECHO_TICKS_MAX).then(|| self.shared.timestamps.time(passed))
    }

    /// After a timeout only what was sent since is measured: an older echo may be that of an ACK that was lost, and tell
    /// of our own back-off.
    /// RFC 9293: SHLD-4, MAY-2.
    pub(crate) fn may_sample(&self, now: Instant, conn: &Conn, rtt: Duration) -> bool {
        let timeout_at = self.cold.get_at(conn.cold).map_or(now, |cold| cold.timeout_at);
        !conn.has(Flag::TimedOut) || rtt <= now.since(timeout_at)
    }

    fn on_time_wait(
        &mut self,
        cx: &mut LaneCx<'_, Self>,
        wait: &mut TimeWait,
        header: &Header,
        key: FourTuple,
        listener: Option<&Listener>,
    ) -> Verdict<Self> {
        let keep = |wait: &TimeWait| Verdict::Keep { until: wait.until };
        let meaning = match (wait.on_segment(header), listener) {
            // Where nobody takes the new connection, a SYN must not end what protects the old one (RFC 1337).
            (InTimeWait::Reopen, None) => InTimeWait::Acknowledge,
            (InTimeWait::Reopen, Some(listener)) if !listener.has_room() => {
                cx.count(BACKLOG_FULL);
                InTimeWait::Ignore
            }
            (meaning, _) => meaning,
        };
        match meaning {
            InTimeWait::Ignore => keep(wait),
            InTimeWait::Acknowledge | InTimeWait::Restart if planted!(self.config, TimeWaitIsDeaf) => keep(wait),
            InTimeWait::Acknowledge | InTimeWait::Restart => {
                if meaning == InTimeWait::Restart {
                    wait.until = cx.now + self.config.time_wait_timeout;
                }
                self.answers.push(cx.now, key, AnswerKind::LastAck(*wait));
                cx.want_lane_tx();
                keep(wait)
            }
            InTimeWait::Reopen => {
                // Numbers go on above all that the old connection used (RFC 9293 3.6.1).
                let iss = self.shared.isn(cx.now, &key);
                let floor = wait.snd_nxt + REOPEN_GAP;
                self.reopened_iss = Some(if iss.after(floor) { iss } else { floor });
                Verdict::Reopen
            }
        }
    }
}

/// Whether a listener remembers one more SYN.
fn check_room(listener: &Listener) -> Result<(), DropReason> {
    if !listener.has_room() {
        return Err(BACKLOG_FULL);
    }
    if listener.half_open >= listener.backlog.max(HALF_OPEN_MIN) {
        return Err(HALF_OPEN_FULL);
    }
    Ok(())
}

fn default_mss(is_v4: bool) -> u16 {
    if is_v4 { MSS_DEFAULT_V4 } else { MSS_DEFAULT_V6 }
}

const NO_CONNECTION: DropReason = DropReason("tcp: no connection");
const NOT_A_SYN: DropReason = DropReason("tcp: not a SYN for a listener");
const STRAY_RESET: DropReason = DropReason("tcp: reset without a connection");
const BACKLOG_FULL: DropReason = DropReason("tcp: backlog full");
const HALF_OPEN_FULL: DropReason = DropReason("tcp: too many half-open");
const BAD_TIMESTAMP: DropReason = DropReason("tcp: no timestamp, or an old one, in a handshake");
const TOO_MANY_ANSWERS: DropReason = DropReason("tcp: too many answers owed");

/// Half-open connections that the smallest backlog allows.
const HALF_OPEN_MIN: u32 = 16;
/// RFC 6298 5.7.
const RTO_AFTER_LOST_SYN: Duration = Duration::from_secs(3);
/// How far above the old connection's last number a new one begins, at least.
const REOPEN_GAP: u32 = 1 << 17;
/// An echo that old is none: about ten minutes.
const ECHO_TICKS_MAX: u32 = 600_000;
