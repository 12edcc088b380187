//! NewReno: the standard's congestion control (RFC 5681, RFC 6582), with byte counting (RFC 3465) and an initial
//! window of ten segments (RFC 6928). Which losses there are is the ledger's knowledge, not this file's.

use super::window::Window;
use super::{AckSample, CongestionEvent, Controller};
use crate::time::Instant;

/// RFC 5681's additive increase, multiplicative decrease.
#[derive(Clone, Debug)]
pub struct NewReno {
    window: Window,
    /// Bytes delivered towards the next segment of growth (RFC 5681 3.1, byte counting).
    credit: u64,
    /// `cwnd` and `ssthresh` before the last reduction.
    undo: Option<(u32, u32)>,
}

impl NewReno {
    /// Unpaced.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_window(false)
    }

    /// Paced at a little over a window per round trip.
    #[must_use]
    pub const fn paced() -> Self {
        Self::with_window(true)
    }

    const fn with_window(paced: bool) -> Self {
        Self { window: Window::new(SLOW_START_LIMIT, paced), credit: 0, undo: None }
    }

    fn halve(&mut self, outstanding_bytes: u64) {
        self.reduce_by(outstanding_bytes, 1, 2);
    }

    /// Takes `numerator / denominator`, at most one, off what was tried.
    pub(super) fn reduce_by(&mut self, outstanding_bytes: u64, numerator: u64, denominator: u64) {
        self.undo = Some((self.window.cwnd, self.window.ssthresh));
        self.credit = 0;
        let tried = self.window.tried(outstanding_bytes);
        let less = (u64::from(tried) * numerator).div_ceil(denominator);
        self.window.reduce_to(tried - less as u32);
    }

    /// A mark is never a mistake.
    pub(super) const fn forget_undo(&mut self) {
        self.undo = None;
    }
}

impl Default for NewReno {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for NewReno {
    fn on_ack(&mut self, sample: &AckSample) {
        let delivered = self.window.on_ack(sample);
        // Congestion avoidance: a segment per window delivered (RFC 5681 3.1, RFC 3465 2.1).
        let cwnd = u64::from(self.window.cwnd);
        self.credit += delivered;
        if self.credit >= cwnd {
            self.credit = (self.credit - cwnd).min(cwnd);
            self.window.grow(u64::from(self.window.segment));
        }
    }

    fn on_congestion(&mut self, _now: Instant, event: &CongestionEvent) {
        match *event {
            CongestionEvent::Loss { outstanding_bytes, .. } => self.halve(outstanding_bytes),
            CongestionEvent::Ecn { outstanding_bytes } => {
                self.halve(outstanding_bytes);
                self.forget_undo();
            }
            CongestionEvent::Rto { first, outstanding_bytes } => {
                if first {
                    self.halve(outstanding_bytes);
                }
                self.window.collapse();
            }
            CongestionEvent::Spurious => {
                if let Some((cwnd, ssthresh)) = self.undo.take() {
                    self.window.cwnd = self.window.cwnd.max(cwnd);
                    self.window.ssthresh = self.window.ssthresh.max(ssthresh);
                }
            }
            CongestionEvent::Idle { idle_for, rto } => {
                self.window.on_idle(idle_for, rto);
            }
            CongestionEvent::MtuChanged { segment_bytes } => self.window.on_segment_size(segment_bytes),
        }
    }

    fn cwnd(&self) -> u64 {
        u64::from(self.window.cwnd)
    }

    fn ssthresh(&self) -> u64 {
        self.window.ssthresh()
    }

    fn pacing_rate(&self) -> Option<u64> {
        self.window.pacing_rate()
    }

    fn send_quantum(&self) -> u64 {
        self.window.send_quantum()
    }

    fn name(&self) -> &'static str {
        "newreno"
    }
}

/// L of RFC 3465 2.2: what makes up for a peer that acknowledges every other segment.
const SLOW_START_LIMIT: u8 = 2;
