//! The sending half of a connection: which part of the stream goes next, what the peer's acknowledgements mean, and when
//! to stop waiting for one.

use std::ops::Range;

use arrayvec::ArrayVec;
use burstlane::congestion::{AckSample, CongestionEvent, Controller};
use burstlane::socket::MessageIo;
use burstlane::time::{Duration, Instant};
use burstlane::toolkit::{Mem, Pacer, RttEstimator, SendBuffer, SentLedger};
use burstlane::transport::FlowError;

use crate::RudpConfig;
use crate::recv::LENGTH_BYTES;
use crate::wire::Ack;

pub(crate) struct SendSide {
    /// From the oldest unacknowledged byte on.
    stream: SendBuffer,
    /// Offset behind `stream`.
    written: u64,
    /// How much of the application's next message, its length before it, was written to `stream`.
    moved_bytes: usize,
    /// Where the stream ends, once the application has finished.
    end: Option<u64>,
    /// What the peer takes up to.
    pub(crate) window: u64,
    pub(crate) sent: SentLedger,
    pub(crate) rtt: RttEstimator,
    pub(crate) controller: Box<dyn Controller>,
    pacer: Pacer,
    /// Payload bytes of a full datagram.
    segment_bytes: u32,
    /// Timeouts since the peer last made progress.
    tries: u32,
    /// When something is to be done about the peer's silence.
    pub(crate) retry_at: Instant,
    /// When losses are looked for again.
    pub(crate) recheck_at: Instant,
    /// The end of what was sent is to be sent once more, to provoke an answer.
    probe: bool,
    last_sent_at: Instant,
}

/// A part of the stream to be sent.
pub(crate) struct Piece {
    pub(crate) range: Range<u64>,
    pub(crate) again: bool,
}

/// What a run of acknowledgements said, so far.
pub(crate) struct AckRun {
    sample: AckSample,
}

impl SendSide {
    pub(crate) fn new(config: &RudpConfig) -> Self {
        Self {
            stream: SendBuffer::new(),
            written: 0,
            moved_bytes: 0,
            end: None,
            window: 0,
            sent: SentLedger::new(0),
            rtt: RttEstimator::new(&config.rto),
            controller: config.controller.clone(),
            pacer: Pacer::new(),
            segment_bytes: 0,
            tries: 0,
            retry_at: Instant::NEVER,
            recheck_at: Instant::NEVER,
            probe: false,
            last_sent_at: Instant::ZERO,
        }
    }

    /// Moves messages into the stream, as far as it has room. True if the application has room for more by that.
    pub(crate) fn take_messages(&mut self, mem: &mut Mem, io: &mut MessageIo, config: &RudpConfig) -> bool {
        let mut took = false;
        while let Some(info) = io.tx.front(mem) {
            let mut step: ArrayVec<u8, COPY_BYTES> = ArrayVec::new();
            if let Some(at) = self.moved_bytes.checked_sub(LENGTH_BYTES) {
                let slices = io.tx.slices(mem, at, COPY_BYTES);
                for slice in &slices {
                    let _ = step.try_extend_from_slice(slice);
                }
            } else {
                let length = (info.bytes as u32).to_be_bytes();
                step.extend(length.into_iter().skip(self.moved_bytes));
            }
            let written = self.stream.write(mem, &step, config.stream_bytes_max as usize);
            self.written += written as u64;
            self.moved_bytes += written;
            if self.moved_bytes == LENGTH_BYTES + info.bytes {
                io.tx.pop(mem);
                self.moved_bytes = 0;
                took = true;
            } else if written < step.len() {
                return took;
            }
        }
        if io.tx_finished && self.end.is_none() {
            self.end = Some(self.written);
        }
        took
    }

    /// Whether all of the stream, its end included, was acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.sent.una() > end)
    }

    /// Whether all messages, but not the end, were acknowledged.
    pub(crate) fn lacks_only_end(&self) -> bool {
        self.end == Some(self.sent.una())
    }

    /// Whether the peer owes an answer to something of the stream, or a larger window.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.sent.is_empty() || self.sent.nxt() < self.written
    }

    /// The size of a full datagram's payload, whenever it may have changed.
    pub(crate) fn set_segment_bytes(&mut self, now: Instant, segment_bytes: u32) {
        if self.segment_bytes != segment_bytes {
            self.segment_bytes = segment_bytes;
            self.controller.on_congestion(now, &CongestionEvent::MtuChanged { segment_bytes });
        }
    }

    /// The peer is at another address: nothing is known of the way there (RFC 9000 9.4).
    pub(crate) fn on_moved(&mut self, now: Instant, config: &RudpConfig) {
        self.controller = config.controller.clone();
        self.rtt = RttEstimator::new(&config.rto);
        let segment_bytes = std::mem::take(&mut self.segment_bytes).max(1);
        self.set_segment_bytes(now, segment_bytes);
    }

    /// What goes next: what was lost, then what is new, as the congestion window and the peer's allow.
    pub(crate) fn next_piece(&mut self) -> Option<Piece> {
        let segment = u64::from(self.segment_bytes);
        if self.probe
            && let Some(range) = self.sent.tail(segment)
        {
            return Some(Piece { range, again: true });
        }
        let in_flight = self.sent.in_flight_bytes();
        let room = self.controller.cwnd().saturating_sub(in_flight);
        if room < segment && in_flight > 0 {
            return None;
        }
        let room = room.max(segment);
        if let Some(range) = self.sent.next_lost(room) {
            return Some(Piece { range, again: true });
        }
        let start = self.sent.nxt();
        let mut stop = self.written.min(self.window).min(start + room);
        if start <= stop && self.end == Some(stop) {
            stop += 1;
        }
        (start < stop).then_some(Piece { range: start..stop, again: false })
    }

    /// A piece without a remainder that would be a small datagram, if there is more to send: a window that grows by odd
    /// bytes would else be filled with them.
    pub(crate) fn in_full_datagrams(&self, mut piece: Piece, segment_bytes: u64) -> Piece {
        let bytes = piece.range.end - piece.range.start;
        if !piece.again && piece.range.end < self.written && bytes > segment_bytes {
            piece.range.end -= bytes % segment_bytes;
        }
        piece
    }

    /// When the controller's rate lets more go, if not now, and otherwise how much at once.
    pub(crate) fn paced(&self, now: Instant) -> Result<u64, Instant> {
        let Some(rate) = self.controller.pacing_rate() else { return Ok(u64::MAX) };
        let quantum = self.controller.send_quantum();
        let at = self.pacer.next_send_at(now, rate, quantum);
        if at > now { Err(at) } else { Ok(quantum.max(1)) }
    }

    /// The bytes of a piece, in parts, how many they are, and whether the stream ends with them. Less than the piece if
    /// that lies in too many parts.
    pub(crate) fn bytes<'m>(
        &mut self,
        mem: &'m Mem,
        piece: &Piece,
    ) -> (ArrayVec<&'m [u8], { SendBuffer::SLICES_MAX }>, usize, bool) {
        let front = self.written - self.stream.len() as u64;
        let stop = piece.range.end.min(self.written);
        let wanted = stop.saturating_sub(piece.range.start) as usize;
        let slices = self.stream.slices(mem, piece.range.start.saturating_sub(front) as usize, wanted);
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        (slices, bytes, bytes == wanted && piece.range.end > self.written)
    }

    /// The first `units` of a piece left.
    pub(crate) fn on_sent(&mut self, now: Instant, piece: &Piece, units: u64) {
        let stop = piece.range.start + units;
        if piece.again {
            self.sent.on_retransmitted(piece.range.start..stop, now);
        } else {
            self.sent.on_sent(stop, now);
        }
        self.probe = false;
        self.last_sent_at = now;
        if let Some(rate) = self.controller.pacing_rate() {
            self.pacer.on_sent(now, units, rate);
        }
        self.controller.on_sent(now, units, self.sent.in_flight_bytes());
    }

    /// About to send new data after a pause (RFC 5681 4.1).
    pub(crate) fn on_resume(&mut self, now: Instant) {
        if self.sent.is_empty() && self.last_sent_at != Instant::ZERO {
            let (idle_for, rto) = (now.since(self.last_sent_at), self.rtt.rto());
            self.controller.on_congestion(now, &CongestionEvent::Idle { idle_for, rto });
        }
    }

    /// The question that opens a connection was answered.
    pub(crate) fn on_answered(&mut self, now: Instant, asked_at: Instant) {
        if self.tries == 0 {
            self.rtt.on_sample(now, now.since(asked_at));
        }
        self.on_progress();
    }

    /// The peer is there: patience is as at first.
    pub(crate) fn on_progress(&mut self) {
        (self.tries, self.probe, self.retry_at) = (0, false, Instant::NEVER);
        self.rtt.clear_back_off();
    }

    pub(crate) fn begin_acks(&self, now: Instant) -> AckRun {
        let mut sample = AckSample::new(now);
        sample.acks = 0;
        sample.in_flight_before = self.sent.in_flight_bytes();
        AckRun { sample }
    }

    /// One ACK frame of a run.
    pub(crate) fn on_ack(&mut self, mem: &mut Mem, ack: &Ack<'_>, run: &mut AckRun) -> Result<(), FlowError> {
        if ack.upto > self.sent.nxt() {
            return Err(FlowError::Protocol);
        }
        let sample = &mut run.sample;
        self.window = self.window.max(ack.window);
        let acked = self.sent.on_cumulative(ack.upto, sample.now);
        let front = self.written - self.stream.len() as u64;
        self.stream.release_front(mem, ack.upto.min(self.written).saturating_sub(front) as usize);
        sample.acked_bytes += acked.bytes;
        sample.delivered_bytes += acked.delivered;
        let delay = Duration::from_micros(u64::from(ack.delay_us));
        let mut rtt = acked.rtt_sample.map(|rtt| if delay < rtt / 2 { rtt - delay } else { rtt });
        for range in ack.ranges() {
            let sacked = self.sent.on_sack(range, sample.now);
            sample.sacked_bytes += sacked.bytes;
            sample.delivered_bytes += sacked.bytes;
            rtt = rtt.or(sacked.rtt_sample);
        }
        sample.acks += 1;
        if let Some(rtt) = rtt {
            self.rtt.on_sample(sample.now, rtt);
            sample.rtt = Some(rtt);
        }
        Ok(())
    }

    /// All of a run is in: looks for losses and lets the controller think.
    pub(crate) fn finish_acks(&mut self, run: AckRun) -> Option<AckSample> {
        let mut sample = run.sample;
        if sample.acks == 0 {
            return None;
        }
        if sample.delivered_bytes > 0 {
            self.on_progress();
        }
        sample.lost_bytes = self.detect_loss(sample.now);
        sample.in_flight = self.sent.in_flight_bytes();
        (sample.srtt, sample.min_rtt) = (self.rtt.smoothed(), self.rtt.min());
        sample.recovery = self.sent.recovery();
        sample.app_limited = sample.in_flight_before + u64::from(self.segment_bytes) < self.controller.cwnd();
        self.controller.on_ack(&sample);
        if self.sent.is_empty() {
            self.sent.release();
        }
        Some(sample)
    }

    /// RACK; also when `recheck_at` has come.
    pub(crate) fn detect_loss(&mut self, now: Instant) -> u64 {
        let loss = self.sent.detect_loss(now, &self.rtt, self.segment_bytes);
        self.recheck_at = loss.recheck_at.unwrap_or(Instant::NEVER);
        if loss.new_episode {
            let outstanding_bytes = self.sent.outstanding();
            let event = CongestionEvent::Loss { lost_bytes: loss.bytes, outstanding_bytes };
            self.controller.on_congestion(now, &event);
        }
        loss.bytes
    }

    /// How long to wait for an answer: first for a tail probe (RFC 8985 7.2), then for the timeout.
    pub(crate) fn patience(&self, config: &RudpConfig) -> Duration {
        let rto = self.rtt.rto().min(PATIENCE_MAX);
        if self.tries > 0 || !self.rtt.has_sample() {
            return rto;
        }
        rto.min(self.rtt.smoothed() * 2 + config.ack_delay + TIMER_SLACK)
    }

    /// The peer is silent: `retry_at` has come. First its attention is asked for by a probe, then everything is held for
    /// lost (RFC 6298 5.4 to 5.6). Returns the name of the timer.
    pub(crate) fn on_silence(&mut self, now: Instant) -> &'static str {
        self.tries += 1;
        if self.tries == 1 && !self.sent.is_empty() && self.rtt.has_sample() {
            self.probe = true;
            return "PTO";
        }
        self.rtt.back_off();
        let outstanding_bytes = self.sent.outstanding();
        if outstanding_bytes > 0 {
            let timeout = self.sent.mark_all_lost();
            let event = CongestionEvent::Rto { first: timeout.first, outstanding_bytes };
            self.controller.on_congestion(now, &event);
        }
        "RTO"
    }

    /// Gives all memory back.
    pub(crate) fn release(&mut self, mem: &mut Mem) {
        self.stream.clear(mem);
    }
}

/// Bytes moved from a message to the stream at a time.
const COPY_BYTES: usize = 2048;
/// Deviation: RFC 6298 2.5 lets the timeout grow to a minute and more. What is asked every six seconds is one datagram, and
/// within the time in which a peer is held for gone it must not be asked too rarely.
const PATIENCE_MAX: Duration = Duration::from_secs(6);
/// Both ends' timers tick in milliseconds.
const TIMER_SLACK: Duration = Duration::from_millis(2);
