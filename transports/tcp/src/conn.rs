//! [`Conn`]: what every run of a connection touches, two cache lines. What only opening, loss and closing need is in
//! [`Cold`](crate::cold::Cold), by index.
//!
//! Sequence numbers are kept as 64-bit offsets whose low 32 bits are the number on the wire; the comparisons of RFC 9293
//! 3.4 are then those of integers. SND.UNA and SND.NXT live in the ledger.
//!
//! ```text
//!  send      una           nxt         una+snd_wnd       receive      rcv_nxt          rcv_adv
//!  ───────────┼─────────────┼──────────────┼────         ──────────────┼────────────────┼──────
//!   acked     │ outstanding │ may be sent  │              in order      │ window offered │
//! ```

use burstlane::socket::StreamIo;
use burstlane::time::Instant;
use burstlane::toolkit::{RttEstimator, SentLedger, SeqNum};
use burstlane::transport::Context;

use crate::Tcp;
use crate::state::State;

/// The control block of a connection, the part that is always hot.
#[derive(Debug)]
pub struct Conn {
    /// SND.UNA, SND.NXT, and what lies between.
    pub(crate) ledger: SentLedger,
    pub(crate) rtt: RttEstimator,
    /// RCV.NXT.
    pub(crate) rcv_nxt: u64,
    /// The right edge of the window that was last advertised: RCV.NXT + RCV.WND. It never moves left.
    pub(crate) rcv_adv: u64,
    /// When the timer `timer` fires.
    pub(crate) timer_at: Instant,
    /// When an acknowledgement has waited long enough.
    pub(crate) delayed_ack_at: Instant,
    /// SND.WND, scaled.
    pub(crate) snd_wnd: u32,
    /// SND.WL1. SND.WL2 is not kept: no acknowledgement that we process is older than SND.UNA, and SND.UNA is at least
    /// SND.WL2.
    pub(crate) snd_wl1: SeqNum,
    /// The congestion window, bytes, as the controller last said.
    pub(crate) cwnd: u32,
    /// TS.Recent (RFC 7323 4.3).
    pub(crate) ts_recent: u32,
    /// Last.ACK.sent (RFC 7323 4.3); what was received since is not acknowledged.
    pub(crate) last_ack_sent: SeqNum,
    /// Where its cold part is.
    pub(crate) cold: u32,
    flags: u32,
    /// Payload bytes of a full segment to the peer: the sender MSS of RFC 9293 3.7.1, less our options.
    pub(crate) smss: u16,
    /// Payload bytes of the largest segment from the peer: what "every second full segment" counts in.
    pub(crate) rcv_mss: u16,
    /// The largest window seen, as it stood in the header (RFC 9293 3.8.6.2.1).
    snd_wnd_max: u16,
    state: State,
    pub(crate) timer: Timer,
    /// Snd.Wind.Shift in the lower half, Rcv.Wind.Shift in the upper.
    scales: u8,
    /// When TS.Recent was last taken, in [`ts_epoch`]s.
    ts_taken: u8,
    wishes: u8,
}

/// What a connection waits for, besides company for an acknowledgement. One at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Nothing.
    None,
    /// An answer to what is outstanding (RFC 6298).
    Retransmit,
    /// An acknowledgement, soon, or else a probe shall ask for one (RFC 8985 7).
    Probe,
    /// Late arrivals that would disprove a loss (RFC 8985 6.2 step 5).
    Reorder,
    /// The peer's window to open (RFC 9293 3.8.6.1).
    Persist,
    /// The peer's FIN, with nobody left to care.
    FinWait,
}

/// One bit of a connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Flag {
    /// An acknowledgement is to leave in this turn.
    AckNow = 1,
    /// Something arrived that is not acknowledged.
    AckLater = 1 << 1,
    /// The application has finished: a FIN follows what is in the buffer.
    FinQueued = 1 << 2,
    /// The FIN is among what was sent.
    FinSent = 1 << 3,
    /// Timestamps are on every segment.
    Timestamps = 1 << 4,
    /// Both sides take SACK.
    Sack = 1 << 5,
    /// A FIN came before what precedes it.
    FinEarly = 1 << 6,
    /// The application let go.
    Orphan = 1 << 7,
    /// A timer fired since the last answer.
    TimedOut = 1 << 8,
    /// A SYN is to leave, or, once open, a probe of the peer's window.
    ControlOwed = 1 << 9,
    /// A lost segment may go out whatever the window says: the fast retransmission of RFC 5681 3.2.
    RetransmitNow = 1 << 10,
    /// A segment smaller than full is outstanding (Minshall's variant of RFC 9293 3.7.4).
    SmallSent = 1 << 11,
    /// Its controller exists.
    Controlled = 1 << 12,
    /// A tail loss probe is to leave.
    ProbeOwed = 1 << 13,
    /// A probe repeated the tail, and whether that was needed is not known yet.
    ProbeSent = 1 << 14,
    /// Something came twice, and the peer is not told yet.
    DuplicateOwed = 1 << 15,
    /// Something waits behind a gap.
    Gap = 1 << 16,
    /// Duplicate acknowledgements are owed to a peer without SACK: as many as the cold part says.
    DuplicatesOwed = 1 << 17,
    /// A recovery is under way, and the cold part knows how fast it may go (RFC 9937), or, after a timeout, whether that was
    /// needed at all (RFC 5682).
    Repairing = 1 << 18,
    /// The receive buffer grew: its size is in the cold part.
    Tuned = 1 << 19,
    /// Segments are smaller than the peer would take, for what the path carries: it may carry more later.
    PathNarrow = 1 << 20,
    /// The next acknowledgement without text tells how the peer's SYN-ACK arrived (RFC 9768 3.2.2.1).
    HandshakeAce = 1 << 21,
    /// The window was reduced for the peer's ECE, which is to know (RFC 3168 6.1.2).
    CwrOwed = 1 << 22,
    /// New data may be marked on its way instead of being dropped.
    Ect = 1 << 23,
    /// Marks are told as in RFC 3168.
    EcnClassic = 1 << 24,
    /// Marks are told as in RFC 9768.
    EcnAccurate = 1 << 25,
    // Above: the ACE of the peer's last segment, and of our next (`peer_ace`, `ace`).
}

/// One bit of what an application asked of a connection, or of what follows from that. Most have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wish {
    /// Small segments wait for nothing: Nagle's algorithm is off (RFC 9293 3.7.4, MUST-17).
    NoDelay = 1,
    /// Only full segments leave, for a while.
    Cork = 1 << 1,
    /// The next acknowledgements wait for nothing: as many as the cold part says.
    QuickAck = 1 << 2,
    /// One of the slow timers in the cold part is set.
    SlowTimer = 1 << 3,
    /// Urgent data waits to be acknowledged (RFC 9293 3.8.5).
    Urgent = 1 << 4,
    /// Buffers, marks or a low-water mark of its own: they are in the cold part.
    Chosen = 1 << 5,
    /// Whether the peer is still there is asked when it is silent for long (RFC 9293 3.8.4).
    KeepAlive = 1 << 6,
    /// Its rate has a bound, the application's or the controller's.
    Paced = 1 << 7,
}

/// The parts of a control block that are known at its start.
pub(crate) struct NewConn {
    pub(crate) state: State,
    pub(crate) iss: SeqNum,
    pub(crate) rtt: RttEstimator,
    pub(crate) smss: u16,
    pub(crate) cwnd: u32,
    pub(crate) rcv_scale: u8,
    pub(crate) cold: u32,
}

impl Conn {
    #[inline(always)]
    pub(crate) fn new(new: NewConn) -> Self {
        Self {
            ledger: SentLedger::new(new.iss.first_offset()),
            rtt: new.rtt,
            rcv_nxt: 0,
            rcv_adv: 0,
            timer_at: Instant::NEVER,
            delayed_ack_at: Instant::NEVER,
            snd_wnd: 0,
            snd_wl1: SeqNum(0),
            cwnd: new.cwnd,
            ts_recent: 0,
            ts_taken: 0,
            wishes: 0,
            last_ack_sent: SeqNum(0),
            cold: new.cold,
            flags: 0,
            smss: new.smss,
            rcv_mss: RCV_MSS_MIN,
            state: new.state,
            timer: Timer::None,
            snd_wnd_max: 0,
            scales: new.rcv_scale << 4,
        }
    }

    /// Its state.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u32 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, flag: Flag) {
        self.flags |= flag as u32;
    }

    #[inline]
    pub(crate) fn unset(&mut self, flag: Flag) {
        self.flags &= !(flag as u32);
    }

    /// AE, CWR and ECE of what we send (RFC 9768 3.2.2); zero without ECN.
    #[inline]
    pub(crate) fn ace(&self) -> u8 {
        (self.flags >> ACE_SHIFT) as u8
    }

    pub(crate) fn set_ace(&mut self, ace: u8) {
        self.flags = self.flags & !(7 << ACE_SHIFT) | u32::from(ace & 7) << ACE_SHIFT;
    }

    /// AE, CWR and ECE of what the peer sends while it has nothing to say of marks.
    #[inline]
    pub(crate) fn peer_ace(&self) -> u8 {
        (self.flags >> PEER_ACE_SHIFT) as u8 & 7
    }

    pub(crate) fn set_peer_ace(&mut self, ace: u8) {
        self.flags = self.flags & !(7 << PEER_ACE_SHIFT) | u32::from(ace & 7) << PEER_ACE_SHIFT;
    }

    #[inline]
    pub(crate) fn wishes(&self, wish: Wish) -> bool {
        self.wishes & wish as u8 != 0
    }

    #[inline]
    pub(crate) fn wish(&mut self, wish: Wish, on: bool) {
        self.wishes = if on { self.wishes | wish as u8 } else { self.wishes & !(wish as u8) };
    }

    /// The one place where the state changes.
    #[inline]
    pub(crate) fn transition(&mut self, cx: &mut Context<'_, Tcp>, to: State) {
        let from = self.state;
        assert!(from.may_become(to), "{from} -> {to} is no edge of RFC 9293 figure 5");
        self.state = to;
        cx.observe_flow(|flow| burstlane::observe::Event::StateChanged { flow, from: from.name(), to: to.name() });
    }

    /// SND.UNA.
    #[inline]
    pub(crate) fn snd_una(&self) -> u64 {
        self.ledger.una()
    }

    /// SND.NXT.
    #[inline]
    pub(crate) fn snd_nxt(&self) -> u64 {
        self.ledger.nxt()
    }

    /// The number of a segment without text: SND.NXT, but not beyond the peer's window, where it would be dropped unheard
    /// (RFC 9293 3.10.7.4). A probe of a shut window stands there, and what was sent before a window was taken back.
    pub(crate) fn acceptable_nxt(&self) -> u64 {
        if !self.state.is_synchronized() {
            return self.snd_nxt();
        }
        self.snd_nxt().min(self.snd_una() + u64::from(self.snd_wnd))
    }

    /// Bytes of the stream that were sent and are not acknowledged: the FIN is none.
    #[inline]
    pub(crate) fn outstanding_data(&self) -> usize {
        let fin = u64::from(self.has(Flag::FinSent));
        self.ledger.outstanding().saturating_sub(fin) as usize
    }

    /// The same where it may still be the SYN that is not acknowledged.
    pub(crate) fn sent_data(&self) -> usize {
        if matches!(self.state, State::SynSent | State::SynReceived) { 0 } else { self.outstanding_data() }
    }

    /// Whether something waits to be sent for the first time: data, or the FIN.
    #[inline]
    pub(crate) fn has_unsent(&self, io: &StreamIo) -> bool {
        io.tx.len() > self.outstanding_data() || self.has(Flag::FinQueued) && !self.has(Flag::FinSent)
    }

    /// RCV.WND: what the peer may still send.
    #[inline]
    pub(crate) fn rcv_wnd(&self) -> u32 {
        self.rcv_adv.saturating_sub(self.rcv_nxt) as u32
    }

    /// Received and not acknowledged, bytes.
    #[inline]
    pub(crate) fn unacknowledged(&self) -> u32 {
        SeqNum::of_offset(self.rcv_nxt).0.wrapping_sub(self.last_ack_sent.0)
    }

    /// What a full segment to the peer carries, bytes; never zero.
    #[inline]
    pub(crate) fn segment_bytes(&self) -> u32 {
        u32::from(self.smss.max(1))
    }

    /// Snd.Wind.Shift: of windows that we receive.
    #[inline]
    pub(crate) fn snd_scale(&self) -> u8 {
        self.scales & 0xf
    }

    /// Rcv.Wind.Shift: of windows that we send.
    #[inline]
    pub(crate) fn rcv_scale(&self) -> u8 {
        self.scales >> 4
    }

    /// The peer's shift is `send`, and ours stands; or neither scales.
    pub(crate) fn set_scales(&mut self, send: Option<u8>) {
        self.scales = send.map_or(0, |send| self.scales & 0xf0 | send & 0xf);
    }

    /// SND.WND is `field << shift`.
    /// RFC 9293: MUST-1, REC-1.
    #[inline]
    pub(crate) fn set_window(&mut self, field: u16, shift: u8) {
        self.snd_wnd = u32::from(field) << shift;
        self.snd_wnd_max = self.snd_wnd_max.max((self.snd_wnd >> self.snd_scale()) as u16);
    }

    /// The largest SND.WND seen, never zero.
    #[inline]
    pub(crate) fn snd_wnd_max(&self) -> u32 {
        u32::from(self.snd_wnd_max.max(1)) << self.snd_scale()
    }

    /// Owes an acknowledgement in this turn. Whether one without data is needed is decided when the application ran
    /// (`settle`): data that leaves carries it.
    #[inline]
    pub(crate) fn ack_now(&mut self, cx: &mut Context<'_, Tcp>) {
        self.set(Flag::AckNow);
        cx.request_settle();
    }

    #[inline]
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        self.timer = timer;
        self.timer_at = at;
    }

    #[inline]
    pub(crate) fn disarm(&mut self) {
        self.arm(Timer::None, Instant::NEVER);
    }

    /// The retransmission timer, from now on.
    #[inline]
    pub(crate) fn arm_retransmit(&mut self, now: Instant) {
        self.arm(Timer::Retransmit, now.plus_nanos(self.rtt.rto_nanos()));
    }

    /// TS.Recent becomes `value` (RFC 7323 4.3).
    #[inline]
    pub(crate) fn take_timestamp(&mut self, now: Instant, value: u32) {
        self.ts_recent = value;
        self.ts_taken = ts_epoch(now);
    }

    /// Whether TS.Recent is so old that the peer's clock may have come half around since (RFC 7323 5.5).
    pub(crate) fn is_timestamp_stale(&self, now: Instant) -> bool {
        ts_epoch(now).wrapping_sub(self.ts_taken) >= TS_STALE_EPOCHS
    }
}

/// A clock that ages TS.Recent, in ticks of 2^46 ns, about 20 hours. It wraps in 208 days: who is silent for that long, and
/// then speaks with a clock half around, is not heard in one case of ten.
#[inline]
fn ts_epoch(now: Instant) -> u8 {
    (now.as_nanos() >> TS_EPOCH_SHIFT) as u8
}

const TS_EPOCH_SHIFT: u32 = 46;
/// RFC 7323 5.5: 24 days, less at most half a day.
const TS_STALE_EPOCHS: u8 = 30;

/// Where in `flags` they are.
const PEER_ACE_SHIFT: u32 = 26;
const ACE_SHIFT: u32 = 29;
/// A peer's full segment is taken to be at least this large, as long as no larger one came.
pub(crate) const RCV_MSS_MIN: u16 = 536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_part_is_two_cache_lines() {
        let parts = [size_of::<SentLedger>(), size_of::<RttEstimator>(), size_of::<Option<Conn>>()];
        assert!(size_of::<Conn>() <= 128, "{} {parts:?}", size_of::<Conn>());
    }
}
