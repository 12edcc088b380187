//! What BBR lets go: the rate, how much at once, and the window (draft-ietf-ccwg-bbr 5.6).

use super::super::{AckSample, CWND_MAX, initial_window};
use super::{Bbr, GAIN_ONE, Phase};
use crate::time::{Duration, nanos};

#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) segment: u64,
    /// The window, never below a segment.
    pub(super) cwnd: u64,
    /// BBR.prior_cwnd.
    prior_cwnd: u64,
    /// Units per second.
    pub(super) pacing_rate: u64,
    pub(super) send_quantum: u64,
}

impl Output {
    pub(super) fn new() -> Self {
        let mut output = Self { segment: 0, cwnd: 0, prior_cwnd: 0, pacing_rate: 0, send_quantum: 0 };
        output.set_segment(DEFAULT_SEGMENT, true);
        output
    }

    /// The initial window depends on it (RFC 6928), and until a round trip is known, the rate: that window in a millisecond.
    pub(super) fn set_segment(&mut self, segment: u64, is_fresh: bool) {
        self.segment = segment.min(SEGMENT_MAX);
        if is_fresh {
            self.cwnd = initial_window(self.segment as u32).into();
            self.pacing_rate = self.cwnd * 1_000 * STARTUP_PACING_GAIN / GAIN_ONE;
        }
        self.cwnd = self.cwnd.max(self.segment);
        self.set_quantum();
    }

    /// BBRSetSendQuantum: a millisecond's worth, two segments at least.
    fn set_quantum(&mut self) {
        self.send_quantum = (self.pacing_rate / 1_000).min(QUANTUM_MAX).max(self.segment * 2);
    }

    /// BBRSaveCwnd; within a recovery the window is not what it was.
    pub(super) fn save_cwnd(&mut self, is_reduced: bool) {
        self.prior_cwnd = if is_reduced { self.prior_cwnd.max(self.cwnd) } else { self.cwnd };
    }

    /// BBRRestoreCwnd.
    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}

impl Bbr {
    /// BBRUpdateControlParameters.
    pub(super) fn set_control_parameters(&mut self, sample: &AckSample) {
        if self.model.max_bw() == 0 {
            // No rate yet: the window in a round trip (5.6.2).
            let rtt = nanos(sample.srtt).max(nanos(Duration::from_micros(1)));
            let rate = u128::from(self.output.cwnd) * 1_000_000_000 * u128::from(STARTUP_PACING_GAIN);
            let rate = u64::try_from(rate / u128::from(GAIN_ONE) / u128::from(rtt)).unwrap_or(u64::MAX);
            if sample.srtt > Duration::ZERO {
                self.output.pacing_rate = rate.max(1);
            }
        } else {
            self.set_pacing_rate(self.phase.pacing_gain());
        }
        self.output.set_quantum();
        self.set_cwnd(sample);
    }

    /// BBRSetPacingRateWithGain: a hundredth less than what would keep the queue as it is.
    pub(super) fn set_pacing_rate(&mut self, gain: u64) {
        let rate = u128::from(self.model.bw()) * u128::from(gain * (GAIN_ONE - PACING_MARGIN));
        let rate = u64::try_from(rate / u128::from(GAIN_ONE * GAIN_ONE)).unwrap_or(u64::MAX).max(1);
        if self.startup.reached || rate > self.output.pacing_rate {
            self.output.pacing_rate = rate;
        }
    }

    fn set_cwnd(&mut self, sample: &AckSample) {
        let most = self.max_inflight();
        let grown = self.output.cwnd.saturating_add(sample.delivered_bytes).min(CWND_MAX.into());
        let initial = u64::from(initial_window(self.output.segment as u32));
        if self.startup.reached {
            self.output.cwnd = grown.min(most);
        } else if self.output.cwnd < most || sample.delivered_total < initial {
            self.output.cwnd = grown;
        }
        self.output.cwnd = self.output.cwnd.max(self.min_pipe());
        if self.phase == Phase::ProbeRtt {
            self.output.cwnd = self.output.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd();
    }

    /// BBRBoundCwndForModel.
    fn bound_cwnd(&mut self) {
        let bound = match self.phase {
            Phase::ProbeRtt | Phase::Cruise => self.inflight_with_headroom(),
            Phase::Down | Phase::Refill | Phase::Up => self.model.inflight_longterm,
            Phase::Startup | Phase::Drain => u64::MAX,
        };
        let bound = bound.min(self.model.inflight_shortterm).max(self.min_pipe());
        self.output.cwnd = self.output.cwnd.min(bound);
    }

    /// BBRUpdateMaxInflight.
    fn max_inflight(&self) -> u64 {
        let bdp = self.bdp_multiple(self.phase.cwnd_gain());
        self.quantized(bdp.saturating_add(self.model.extra.most()))
    }

    /// BBRInflight, by the most that was delivered.
    pub(super) fn inflight(&self, gain: u64) -> u64 {
        self.quantized(scaled(self.model.bdp(self.model.max_bw()), gain))
    }

    /// BBRBDPMultiple; the initial window while the path is unknown.
    fn bdp_multiple(&self, gain: u64) -> u64 {
        match self.model.bdp(self.model.bw()) {
            0 | u64::MAX => initial_window(self.output.segment as u32).into(),
            bdp => scaled(bdp, gain),
        }
    }

    /// BBRQuantizationBudget: what bursts need.
    fn quantized(&self, inflight: u64) -> u64 {
        let inflight = inflight.max(self.output.send_quantum * QUANTA_IN_FLIGHT).max(self.min_pipe());
        inflight.saturating_add(if self.phase == Phase::Up { self.output.segment * 2 } else { 0 })
    }

    /// BBRTargetInflight.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp_multiple(GAIN_ONE).min(self.output.cwnd)
    }

    /// BBRInflightWithHeadroom: a part is left to others.
    pub(super) fn inflight_with_headroom(&self) -> u64 {
        let longterm = self.model.inflight_longterm;
        if longterm == u64::MAX {
            return longterm;
        }
        let headroom = (longterm / 100 * HEADROOM_PERCENT).max(self.output.segment);
        longterm.saturating_sub(headroom).max(self.min_pipe())
    }

    /// BBRProbeRTTCwnd.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        self.bdp_multiple(PROBE_RTT_CWND_GAIN).max(self.min_pipe())
    }

    /// BBRMinPipeCwnd: so that acknowledgements never stop.
    const fn min_pipe(&self) -> u64 {
        self.output.segment * 4
    }
}

impl Phase {
    const fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => STARTUP_PACING_GAIN,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => GAIN_ONE,
            Self::Up => 125,
        }
    }

    const fn cwnd_gain(self) -> u64 {
        match self {
            Self::Up => 225,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            _ => 200,
        }
    }
}

fn scaled(units: u64, gain: u64) -> u64 {
    units.saturating_mul(gain) / GAIN_ONE
}

/// 4 ln 2: doubles the rate each round.
const STARTUP_PACING_GAIN: u64 = 277;
const PACING_MARGIN: u64 = 1;
const PROBE_RTT_CWND_GAIN: u64 = 50;
const HEADROOM_PERCENT: u64 = 15;
const QUANTA_IN_FLIGHT: u64 = 3;
const QUANTUM_MAX: u64 = 65_536;
const DEFAULT_SEGMENT: u64 = 1_220;
const SEGMENT_MAX: u64 = 65_535;
