//! [`Recorder`]: one flow's series in bounded memory. It keeps totals exactly and samples sparsely: when its room is
//! used up, every second sample goes and from then on half as many are taken, so a long flow costs no more than a short
//! one and the curve keeps its shape.

use std::time::Duration;

use super::{Event, FlowRef, Observer};
use crate::time::Instant;

/// The flow at one instant. Bytes and stream offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Congestion window; 0 before the controller first spoke.
    pub cwnd: u64,
    /// Slow-start threshold; `u64::MAX` before the first reduction.
    pub ssthresh: u64,
    /// Sent, neither confirmed nor judged lost.
    pub in_flight: u64,
    /// One past the highest stream offset sent.
    pub sent: u64,
    /// First stream offset not yet confirmed.
    pub acked: u64,
}

/// An observer that records one flow: the first that opens after it was attached, or one named in advance.
#[derive(Clone, Debug)]
pub struct Recorder {
    flow: Option<FlowRef>,
    samples: Vec<Sample>,
    retransmitted_at: Vec<(Instant, u64)>,
    current: Sample,
    room: usize,
    stride: u64,
    skipped: u64,
    segments: u64,
    retransmissions: u64,
    retransmitted_bytes: u64,
    timers_fired: u64,
    srtt: Duration,
    state: &'static str,
    closed: Option<(Instant, &'static str)>,
}

impl Recorder {
    /// Records the first flow that opens or, if it was open already, the first that is mentioned.
    #[must_use]
    pub fn first_flow() -> Self {
        Self::with_room(None, SAMPLES_MAX)
    }

    /// Records `flow`.
    #[must_use]
    pub fn of(flow: FlowRef) -> Self {
        Self::with_room(Some(flow), SAMPLES_MAX)
    }

    fn with_room(flow: Option<FlowRef>, room: usize) -> Self {
        Self {
            flow,
            samples: Vec::new(),
            retransmitted_at: Vec::new(),
            current: Sample { ssthresh: u64::MAX, ..Sample::default() },
            room,
            stride: 1,
            skipped: 0,
            segments: 0,
            retransmissions: 0,
            retransmitted_bytes: 0,
            timers_fired: 0,
            srtt: Duration::ZERO,
            state: "",
            closed: None,
        }
    }

    /// The flow recorded, once there is one.
    #[must_use]
    pub const fn flow(&self) -> Option<FlowRef> {
        self.flow
    }

    /// The samples by time, at most 4,096.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// When something was sent again, and from which stream offset: the first 4,096 times.
    #[must_use]
    pub fn retransmitted_at(&self) -> &[(Instant, u64)] {
        &self.retransmitted_at
    }

    /// The flow as the last event left it.
    #[must_use]
    pub const fn current(&self) -> Sample {
        self.current
    }

    /// Segments sent with payload, retransmissions included.
    #[must_use]
    pub const fn segments(&self) -> u64 {
        self.segments
    }

    /// Segments sent again.
    #[must_use]
    pub const fn retransmissions(&self) -> u64 {
        self.retransmissions
    }

    /// Payload bytes of the segments sent again.
    #[must_use]
    pub const fn retransmitted_bytes(&self) -> u64 {
        self.retransmitted_bytes
    }

    /// Timers of the flow that fired, of all kinds.
    #[must_use]
    pub const fn timers_fired(&self) -> u64 {
        self.timers_fired
    }

    /// The smoothed round-trip time, zero before the first measurement.
    #[must_use]
    pub const fn srtt(&self) -> Duration {
        self.srtt
    }

    /// The state last entered; empty before the first change.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        self.state
    }

    /// When and how the flow ended, if it has.
    #[must_use]
    pub const fn closed(&self) -> Option<(Instant, &'static str)> {
        self.closed
    }

    fn sample(&mut self, now: Instant) {
        self.current.at = now;
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        if self.samples.len() >= self.room {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = self.stride.saturating_mul(2);
        }
        self.samples.push(self.current);
    }

    fn on_sent(&mut self, now: Instant, offset: u64, bytes: usize, retransmission: bool) {
        if bytes == 0 {
            return;
        }
        let bytes = bytes as u64;
        self.segments += 1;
        if retransmission {
            self.retransmissions += 1;
            self.retransmitted_bytes += bytes;
            if self.retransmitted_at.len() < self.room {
                self.retransmitted_at.push((now, offset));
            }
        }
        self.current.sent = self.current.sent.max(offset.saturating_add(bytes));
        self.sample(now);
    }
}

impl Observer for Recorder {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        let Some(flow) = event.flow() else { return };
        if *self.flow.get_or_insert(flow) != flow {
            return;
        }
        match *event {
            Event::SegmentSent { offset, bytes, retransmission, .. } => {
                self.on_sent(now, offset, bytes, retransmission);
            }
            Event::Acked { offset, .. } => {
                self.current.acked = self.current.acked.max(offset);
                self.sample(now);
            }
            Event::Congestion { cwnd, ssthresh, in_flight, .. } => {
                self.current = Sample { cwnd, ssthresh, in_flight, ..self.current };
                self.sample(now);
            }
            Event::TimerFired { .. } => self.timers_fired += 1,
            Event::RttSample { srtt, .. } => self.srtt = srtt,
            Event::StateChanged { to, .. } => self.state = to,
            Event::FlowClosed { reason, .. } => self.closed = Some((now, reason)),
            Event::FrameReceived { .. }
            | Event::FrameSent { .. }
            | Event::Dropped { .. }
            | Event::NeighbourResolved { .. }
            | Event::NeighbourFailed { .. }
            | Event::FlowOpened { .. }
            | Event::SegmentReceived { .. }
            | Event::CreditGiven { .. }
            | Event::Lost { .. }
            | Event::Custom { .. } => {}
        }
    }
}

/// Samples kept; a plot is some 1,000 pixels wide.
const SAMPLES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOW: FlowRef = FlowRef { engine: 0, index: 3, generation: 1 };

    proptest! {
        #[test]
        fn samples_are_bounded_ordered_and_span_the_flow(steps in 1_u64..2_000, room in 2_usize..64) {
            let mut recorder = Recorder::with_room(Some(FLOW), room);
            for i in 0..steps {
                let now = Instant::from_nanos(i * 10);
                recorder.event(now, &Event::Acked { flow: FLOW, offset: i });
            }
            let samples = recorder.samples();
            prop_assert!(samples.len() <= room);
            prop_assert!(samples.is_sorted_by(|a, b| a.at < b.at));
            prop_assert_eq!(samples[0].at, Instant::ZERO);
            prop_assert!(2 * (samples.len() + 1) as u64 * recorder.stride >= steps, "a gap at the end");
            prop_assert_eq!(recorder.current().acked, steps - 1);
        }
    }

    #[test]
    fn it_follows_one_flow_and_counts_what_is_sent_again() {
        let mut recorder = Recorder::first_flow();
        let other = FlowRef { index: 4, ..FLOW };
        let sent = |flow, offset, retransmission| Event::SegmentSent { flow, offset, bytes: 100, retransmission };
        for event in [sent(FLOW, 0, false), sent(other, 500, true), sent(FLOW, 100, false), sent(FLOW, 0, true)] {
            recorder.event(Instant::ZERO, &event);
        }
        recorder.event(Instant::ZERO, &Event::FlowClosed { engine: "x", flow: other, reason: "reset" });
        assert_eq!((recorder.segments(), recorder.retransmissions(), recorder.retransmitted_bytes()), (3, 1, 100));
        assert_eq!((recorder.current().sent, recorder.closed()), (200, None));
        assert_eq!(recorder.retransmitted_at(), [(Instant::ZERO, 0)]);
    }
}
