//! [`ReliableSender`]: which part of what is to be sent goes next, what acknowledgements mean, and when to stop waiting for
//! one. It composes the [ledger](SentLedger), [round-trip times](RttEstimator), a congestion [`Controller`] and the
//! [pacer](Pacer) for a protocol that numbers its units (bytes, or packets) from 0 in 64 bits, whatever its packets look
//! like. It holds no data, and its timers are one deadline. A protocol with needs of its own composes the parts itself.
//!
//! ```text
//!  acknowledgements: begin_run, on_ack per packet, finish_run      ┐
//!  time:             on_deadline                                   ├─► arm ─► deadline
//!  transmit:         next ─► Piece ─► (the packets) ─► on_sent     ┘
//! ```
//!
//! Covers: RACK and its reordering timer (RFC 8985 6), a tail probe before the timeout (RFC 8985 7, with the timer set at
//! the latest when something waits, not moved by every packet), the timeout and its back-off (RFC 6298 5.4 to 5.6), restart
//! after idleness (RFC 5681 4.1).

use super::{DeliveryRate, Loss, Pacer, Prr, Recovery, Repair, RtoConfig, RttEstimator, SentLedger};
use crate::congestion::{AckSample, CongestionEvent, Controller, Interests};
use crate::observe::Event;
use crate::time::{Duration, Instant};
use crate::transport::{Context, Transport};
use std::ops::Range;

#[cfg(test)]
mod tests;

/// How patient a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderPolicy {
    /// Bounds of the timeout.
    pub rto: RtoConfig,
    /// Longest delay of the peer's acknowledgements, which the first probe waits for.
    pub ack_delay_max: Duration,
    /// The longest wait between two timeouts, backed off or not. A protocol that holds a silent peer for gone after some
    /// time has to ask it several times within.
    pub patience_max: Duration,
}

/// The sending engine of one flow.
#[derive(Debug)]
pub struct ReliableSender {
    policy: SenderPolicy,
    sent: SentLedger,
    rtt: RttEstimator,
    controller: Box<dyn Controller>,
    /// If the controller wants it.
    rate: Option<Box<DeliveryRate>>,
    /// While losses are repaired: how fast (RFC 9937), and the window that makes, in place of the controller's.
    repair: Option<(Prr, u64)>,
    /// Units that were sent, ever; each as often as it was.
    sent_ever: u64,
    pacer: Pacer,
    /// Units of a full packet.
    segment: u32,
    /// Timeouts since the peer last made progress.
    tries: u32,
    /// When something is to be done about the peer's silence.
    retry_at: Instant,
    /// When losses are looked for again.
    recheck_at: Instant,
    /// The end of what was sent is to be sent once more, to provoke an answer.
    probe: bool,
    last_sent_at: Instant,
}

/// Units to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which.
    pub range: Range<u64>,
    /// Whether they were sent before.
    pub again: bool,
}

/// What [`ReliableSender::next`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, or a prefix of it, and say so by [`ReliableSender::on_sent`].
    Send(Piece),
    /// The controller's rate lets more go from then on.
    PacedUntil(Instant),
    /// Nothing, before an acknowledgement, a timer or the application brings something.
    Nothing,
}

/// What a run of acknowledgements said, so far.
#[derive(Debug)]
pub struct AckRun {
    sample: AckSample,
    newest_sent_at: Option<Instant>,
}

/// The peer acknowledged what was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer acknowledged what was never sent")]
pub struct NeverSent;

impl ReliableSender {
    /// Nothing sent. The size of a packet is still unknown: see [`set_segment`](Self::set_segment).
    #[must_use]
    pub fn new(controller: Box<dyn Controller>, policy: SenderPolicy) -> Self {
        Self {
            policy,
            sent: SentLedger::new(0),
            rtt: RttEstimator::new(&policy.rto),
            rate: sampler(&*controller),
            controller,
            repair: None,
            sent_ever: 0,
            pacer: Pacer::new(),
            segment: 0,
            tries: 0,
            retry_at: Instant::NEVER,
            recheck_at: Instant::NEVER,
            probe: false,
            last_sent_at: Instant::ZERO,
        }
    }

    /// The oldest unacknowledged unit.
    #[inline]
    #[must_use]
    pub fn una(&self) -> u64 {
        self.sent.una()
    }

    /// Whether everything sent is acknowledged.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The controller.
    #[must_use]
    pub fn controller(&self) -> &dyn Controller {
        &*self.controller
    }

    /// Round-trip times.
    #[must_use]
    pub const fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    /// The size of a full packet's payload, before anything is sent and whenever it may have changed.
    pub fn set_segment(&mut self, now: Instant, segment: u32) {
        let segment = segment.max(1);
        if self.segment != segment {
            self.segment = segment;
            self.controller.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes: segment });
        }
    }

    /// The peer is at another address: nothing is known of the way there (RFC 9000 9.4). `controller` is a new one.
    pub fn on_new_path(&mut self, now: Instant, controller: Box<dyn Controller>) {
        self.rate = sampler(&*controller);
        self.controller = controller;
        self.repair = None;
        self.rtt = RttEstimator::new(&self.policy.rto);
        let segment = std::mem::take(&mut self.segment);
        self.set_segment(now, segment);
    }

    /// What goes next: a probe, what was lost, then what is new below `stop`, as the congestion window and the pacer allow.
    /// New data is cut to whole packets of `segment` units if there is more of it, because a window that grows by odd
    /// amounts would else be filled with small ones.
    pub fn next(&mut self, now: Instant, stop: u64, segment: u64) -> Next {
        let Some(mut piece) = self.next_piece(now, stop) else {
            self.note_app_limited(stop);
            return Next::Nothing;
        };
        if let Some(rate) = self.controller.pacing_rate() {
            let quantum = self.controller.send_quantum().max(1);
            let at = self.pacer.next_send_at(now, rate, quantum);
            if at > now {
                return Next::PacedUntil(at);
            }
            piece.range.end = piece.range.end.min(piece.range.start + quantum);
        }
        let units = piece.range.end - piece.range.start;
        if !piece.again && piece.range.end < stop && units > segment {
            piece.range.end -= units % segment.max(1);
        }
        Next::Send(piece)
    }

    /// Whether [`next`](Self::next) has something, now or when the pacer lets it.
    #[inline]
    pub fn has_next(&mut self, now: Instant, stop: u64) -> bool {
        self.next_piece(now, stop).is_some()
    }

    fn next_piece(&mut self, now: Instant, stop: u64) -> Option<Piece> {
        let segment = u64::from(self.segment.max(1));
        if self.probe
            && let Some(range) = self.sent.tail(segment)
        {
            return Some(Piece { range, again: true });
        }
        let start = self.sent.nxt();
        if start < stop {
            self.on_resume(now);
        }
        let in_flight = self.sent.in_flight_bytes();
        let window = self.repair.map_or_else(|| self.controller.cwnd(), |(_, window)| window);
        let room = window.saturating_sub(in_flight);
        if room < segment && in_flight > 0 {
            return None;
        }
        let room = room.max(segment);
        if let Some(range) = self.sent.next_lost(room) {
            return Some(Piece { range, again: true });
        }
        let range = start..stop.min(start.saturating_add(room));
        (start < stop).then_some(Piece { range, again: false })
    }

    /// Nothing is left to be sent, and the window has room.
    fn note_app_limited(&mut self, stop: u64) {
        let in_flight = self.sent.in_flight_bytes();
        let has_room = in_flight + u64::from(self.segment) <= self.controller.cwnd();
        if let Some(rate) = &mut self.rate
            && has_room
            && self.sent.nxt() >= stop
        {
            rate.on_app_limited(in_flight);
        }
    }

    /// About to send new data, maybe after a pause: what the window was then says little (RFC 5681 4.1).
    fn on_resume(&mut self, now: Instant) {
        if self.sent.is_empty() && self.last_sent_at != Instant::ZERO {
            let (idle_for, rto) = (now.since(self.last_sent_at), self.rtt.rto());
            self.controller.on_congestion(now, &CongestionEvent::Idle { idle_for, rto });
        }
    }

    /// The first `units` of a piece left.
    pub fn on_sent(&mut self, now: Instant, piece: &Piece, units: u64) {
        let stop = piece.range.start + units;
        if piece.again {
            self.sent.on_retransmitted(piece.range.start..stop, now);
        } else {
            self.sent.on_sent(stop, now);
        }
        self.probe = false;
        self.sent_ever += units;
        self.last_sent_at = now;
        if let Some(rate) = self.controller.pacing_rate() {
            self.pacer.on_sent(now, units, rate);
        }
        let in_flight = self.sent.in_flight_bytes();
        if let Some(rate) = &mut self.rate {
            rate.on_sent(now, units, in_flight);
        }
        self.controller.on_sent(now, units, in_flight);
    }

    /// What opened the flow was answered: the first round-trip time, unless it was asked more than once.
    pub fn on_opened(&mut self, now: Instant, asked_at: Instant) {
        if self.tries == 0 {
            self.rtt.on_sample(now, now.since(asked_at));
        }
        self.on_progress();
    }

    /// The peer is there: patience is as at first.
    pub fn on_progress(&mut self) {
        (self.tries, self.probe, self.retry_at) = (0, false, Instant::NEVER);
        self.rtt.clear_back_off();
    }

    /// Acknowledgements follow, all those of a burst.
    #[must_use]
    pub fn begin_run(&self, now: Instant) -> AckRun {
        let mut sample = AckSample::new(now);
        sample.acks = 0;
        sample.in_flight_before = self.sent.in_flight_bytes();
        AckRun { sample, newest_sent_at: None }
    }

    /// One acknowledgement of a run: of everything below `upto`, and selectively of `ranges`. The peer says that it waited
    /// for `delay`; who claims more than half of a round trip is not believed.
    ///
    /// # Errors
    /// [`NeverSent`]; nothing has changed then.
    pub fn on_ack(
        &mut self,
        run: &mut AckRun,
        upto: u64,
        ranges: impl Iterator<Item = Range<u64>>,
        delay: Duration,
    ) -> Result<(), NeverSent> {
        if upto > self.sent.nxt() {
            return Err(NeverSent);
        }
        let sample = &mut run.sample;
        let acked = self.sent.on_cumulative(upto, sample.now);
        sample.acks += 1;
        sample.acked_bytes += acked.bytes;
        sample.delivered_bytes += acked.delivered;
        run.newest_sent_at = run.newest_sent_at.max(acked.newest_sent_at);
        let mut rtt = acked.rtt_sample.map(|rtt| if delay < rtt / 2 { rtt - delay } else { rtt });
        for range in ranges {
            let sacked = self.sent.on_sack(range, sample.now);
            sample.sacked_bytes += sacked.bytes;
            sample.delivered_bytes += sacked.bytes;
            run.newest_sent_at = run.newest_sent_at.max(sacked.newest_sent_at);
            rtt = rtt.or(sacked.rtt_sample);
        }
        if let Some(rtt) = rtt {
            self.rtt.on_sample(sample.now, rtt);
            sample.rtt = Some(rtt);
        }
        Ok(())
    }

    /// All of a run is in: looks for losses and lets the controller think. `None` if there was no acknowledgement in it.
    pub fn finish_run(&mut self, run: AckRun) -> Option<AckSample> {
        let mut sample = run.sample;
        if sample.acks == 0 {
            return None;
        }
        if sample.delivered_bytes > 0 {
            self.on_progress();
        }
        let loss = self.detect_loss(sample.now);
        sample.lost_bytes = loss.bytes;
        sample.in_flight = self.sent.in_flight_bytes();
        (sample.srtt, sample.min_rtt) = (self.rtt.smoothed(), self.rtt.min());
        sample.recovery = self.sent.recovery();
        let unsent =
            u64::from(self.segment).max(self.controller.pacing_rate().map_or(0, |_| self.controller.send_quantum()));
        sample.app_limited = sample.in_flight_before.saturating_add(unsent) < self.controller.cwnd();
        if let Some(rate) = &mut self.rate {
            rate.on_ack(&mut sample, run.newest_sent_at);
        }
        self.controller.on_ack(&sample);
        self.pace_repair(&sample, loss.new_episode);
        if self.sent.is_empty() {
            self.sent.release();
        }
        Some(sample)
    }

    /// Tells observers what a run came to.
    pub fn observe<T: Transport>(&self, cx: &mut Context<'_, T>, sample: &AckSample) {
        let flow = cx.flow_ref();
        if let Some(rtt) = sample.rtt {
            cx.observe(|| Event::RttSample { flow, rtt, srtt: self.rtt.smoothed(), rto: self.rtt.rto() });
        }
        let (cwnd, ssthresh) = (self.controller.cwnd(), self.controller.ssthresh());
        cx.observe(|| Event::Congestion { flow, cwnd, ssthresh, in_flight: sample.in_flight });
    }

    /// Sets the timer if the peer owes an answer, to anything, and clears it if not. Before [`deadline`](Self::deadline)
    /// is asked.
    pub fn arm(&mut self, now: Instant, is_expecting: bool) {
        if !is_expecting {
            self.retry_at = Instant::NEVER;
        } else if self.retry_at == Instant::NEVER {
            self.retry_at = now + self.patience();
        }
    }

    /// When [`on_deadline`](Self::on_deadline) has something to do.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.retry_at.min(self.recheck_at)
    }

    /// Looks for losses again, and does something about the peer's silence: first its attention is asked for by a probe,
    /// then everything is held for lost. Returns the name of the timer if it fired; if nothing is in flight then, what the
    /// peer owes an answer to is the caller's to repeat.
    pub fn on_deadline(&mut self, now: Instant) -> Option<&'static str> {
        if self.recheck_at <= now {
            let loss = self.detect_loss(now);
            let mut sample = AckSample::new(now);
            sample.lost_bytes = loss.bytes;
            self.tell_lost(&mut sample);
            self.pace_repair(&sample, loss.new_episode);
        }
        if self.retry_at > now {
            return None;
        }
        self.tries += 1;
        let probes = self.tries == 1 && !self.sent.is_empty() && self.rtt.has_sample();
        if probes {
            self.probe = true;
        } else {
            self.on_timeout(now);
        }
        self.retry_at = now + self.patience();
        Some(if probes { "PTO" } else { "RTO" })
    }

    /// A controller of rates counts also what time showed to be lost.
    fn tell_lost(&mut self, sample: &mut AckSample) {
        if let Some(rate) = self.rate.as_mut().filter(|_| sample.lost_bytes > 0) {
            (sample.in_flight, sample.recovery) = (self.sent.in_flight_bytes(), self.sent.recovery());
            rate.on_ack(sample, None);
            self.controller.on_ack(sample);
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        self.rtt.back_off();
        self.repair = None;
        let outstanding_bytes = self.sent.outstanding();
        if outstanding_bytes > 0 {
            let first = self.sent.mark_all_lost().first;
            self.controller.on_congestion(now, &CongestionEvent::Rto { first, outstanding_bytes });
        }
    }

    fn detect_loss(&mut self, now: Instant) -> Loss {
        let loss = self.sent.detect_loss(now, &self.rtt, self.segment);
        self.recheck_at = loss.recheck_at.unwrap_or(Instant::NEVER);
        if loss.new_episode {
            let event = CongestionEvent::Loss { lost_bytes: loss.bytes, outstanding_bytes: self.sent.outstanding() };
            self.controller.on_congestion(now, &event);
        }
        loss
    }

    /// In a recovery what leaves follows what arrives, until what is in flight is as the controller wants it.
    fn pace_repair(&mut self, sample: &AckSample, new_episode: bool) {
        if self.sent.recovery() != Recovery::Fast || self.controller.wants().contains(Interests::OWN_REPAIR) {
            self.repair = None;
            return;
        }
        let flight = || self.sent.outstanding() - self.sent.sacked_bytes() + sample.delivered_bytes;
        let (mut prr, _) =
            self.repair.filter(|_| !new_episode).unwrap_or_else(|| (Prr::begin(flight(), self.sent_ever), 0));
        let window = prr.on_ack(&Repair {
            delivered: sample.delivered_bytes,
            in_flight: self.sent.in_flight_bytes(),
            ssthresh: self.controller.cwnd(),
            is_safe: sample.acked_bytes > 0 && sample.lost_bytes == 0,
            segment: u64::from(self.segment.max(1)),
            sent: self.sent_ever,
        });
        self.repair = Some((prr, window));
    }

    /// How long to wait for an answer: first until a tail probe (RFC 8985 7.2), then for the timeout.
    fn patience(&self) -> Duration {
        let rto = self.rtt.rto().min(self.policy.patience_max);
        if self.tries > 0 || !self.rtt.has_sample() {
            return rto;
        }
        rto.min(self.rtt.smoothed() * 2 + self.policy.ack_delay_max + TIMER_SLACK)
    }
}

fn sampler(controller: &dyn Controller) -> Option<Box<DeliveryRate>> {
    controller.wants().contains(Interests::RATE).then(Box::default)
}

/// Both ends' timers tick in milliseconds.
const TIMER_SLACK: Duration = Duration::from_millis(2);
