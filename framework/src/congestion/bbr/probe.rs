//! ProbeBW (draft-ietf-ccwg-bbr 5.3.3): less than the path delivers, to empty the queue; as much, for seconds; then more, to see
//! whether it delivers more by now.

use super::super::AckSample;
use super::{Bbr, GAIN_ONE, Phase};
use crate::time::{Duration, Instant};

/// Where in the cycle a flow is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cycle {
    /// BBR.cycle_stamp.
    begun_at: Instant,
    /// BBR.bw_probe_wait, BBR.rounds_since_bw_probe.
    wait: Duration,
    rounds: u64,
    ack_phase: AckPhase,
    /// BBR.bw_probe_samples: what is lost now was sent to probe.
    samples: bool,
    /// BBR.bw_probe_up_rounds, BBR.bw_probe_up_acks, BBR.probe_up_cnt.
    up_rounds: u8,
    up_acks: u64,
    up_count: u64,
}

/// BBR.ack_phase: which part of the cycle acknowledgements speak of, a round trip later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AckPhase {
    #[default]
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

impl Cycle {
    /// Probing is over; a round trip later so are its acknowledgements.
    pub(super) const fn stop(&mut self) {
        self.ack_phase = AckPhase::Stopping;
    }

    /// BBRPickProbeWait: 2 to 3 s, or 62 to 63 rounds, by chance, so that flows do not probe in step. The chance is in the
    /// time of an arrival: the same run gives the same.
    fn pick_wait(&mut self, now: Instant) {
        let chance = mix(now.as_nanos());
        self.rounds = chance & 1;
        self.wait = PROBE_WAIT_MIN + Duration::from_micros((chance >> 1) % 1_000_000);
        self.begun_at = now;
    }
}

impl Bbr {
    /// BBRUpdateProbeBWCyclePhase.
    pub(super) fn update_cycle(&mut self, sample: &AckSample) {
        if !self.startup.reached {
            return;
        }
        self.cycle.rounds = self.cycle.rounds.saturating_add(u64::from(self.model.round_start));
        self.adapt_longterm(sample);
        match self.phase {
            Phase::Down => {
                if !self.refill_if_due(sample) && self.is_time_to_cruise(sample) {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Cruise => {
                self.refill_if_due(sample);
            }
            Phase::Refill => {
                if self.model.round_start {
                    // The pipe is full; what is sent from now on probes.
                    self.cycle.samples = true;
                    self.start_up(sample);
                }
            }
            Phase::Up => {
                if self.is_time_to_go_down(sample) {
                    self.start_down(sample.now);
                }
            }
            Phase::Startup | Phase::Drain | Phase::ProbeRtt => {}
        }
    }

    /// BBRStartProbeBW_DOWN.
    pub(super) fn start_down(&mut self, now: Instant) {
        self.model.reset_congestion();
        self.cycle.up_count = u64::MAX;
        self.cycle.pick_wait(now);
        self.cycle.stop();
        self.model.start_round();
        self.phase = Phase::Down;
    }

    /// BBRIsTimeToProbeBW, BBRStartProbeBW_REFILL. As often as a flow of Reno would have lost something, on short paths.
    fn refill_if_due(&mut self, sample: &AckSample) -> bool {
        let reno_rounds = (self.target_inflight() / self.output.segment).min(RENO_ROUNDS_MAX);
        let is_due = sample.now.since(self.cycle.begun_at) > self.cycle.wait
            || self.cycle.rounds >= reno_rounds.max(RENO_ROUNDS_MIN);
        if is_due {
            self.model.reset_shortterm();
            (self.cycle.up_rounds, self.cycle.up_acks) = (0, 0);
            self.cycle.ack_phase = AckPhase::Refilling;
            self.model.start_round();
            self.phase = Phase::Refill;
        }
        is_due
    }

    /// BBRStartProbeBW_UP.
    fn start_up(&mut self, sample: &AckSample) {
        self.cycle.ack_phase = AckPhase::Starting;
        self.model.start_round();
        self.startup.reset(sample.delivery_rate.unwrap_or(0));
        self.phase = Phase::Up;
        self.raise_slope();
    }

    fn is_time_to_cruise(&self, sample: &AckSample) -> bool {
        sample.in_flight <= self.inflight_with_headroom() && sample.in_flight <= self.inflight(GAIN_ONE)
    }

    fn is_time_to_go_down(&mut self, sample: &AckSample) -> bool {
        if !sample.app_limited && self.output.cwnd >= self.model.inflight_longterm {
            // It is the bound that holds the rate back, so a rate that does not grow says nothing.
            self.startup.reset(sample.delivery_rate.unwrap_or(0));
            return false;
        }
        self.startup.now
    }

    /// BBRAdaptLongTermModel (5.5.10.2).
    fn adapt_longterm(&mut self, sample: &AckSample) {
        if self.model.round_start {
            match self.cycle.ack_phase {
                AckPhase::Starting => self.cycle.ack_phase = AckPhase::Feedback,
                AckPhase::Stopping => {
                    self.cycle.ack_phase = AckPhase::Init;
                    self.cycle.samples = false;
                    if self.phase.is_probe_bw() && !sample.rate_app_limited {
                        self.model.advance_max_bw();
                    }
                }
                AckPhase::Init | AckPhase::Refilling | AckPhase::Feedback => {}
            }
        }
        if self.model.is_inflight_too_high(sample) {
            self.bound_longterm(sample);
        } else if self.model.inflight_longterm != u64::MAX {
            self.model.inflight_longterm = self.model.inflight_longterm.max(sample.in_flight_at_send);
            if self.phase == Phase::Up {
                self.raise_longterm(sample);
            }
        }
    }

    /// BBRHandleInflightTooHigh: once a probe.
    fn bound_longterm(&mut self, sample: &AckSample) {
        if !std::mem::take(&mut self.cycle.samples) {
            return;
        }
        if !sample.rate_app_limited {
            let least = self.target_inflight() / 10 * 7;
            self.model.inflight_longterm = sample.in_flight_at_send.max(least);
        }
        if self.phase == Phase::Up {
            self.start_down(sample.now);
        }
    }

    /// BBRProbeInflightLongTermUpward: doubling what is added with every round.
    fn raise_longterm(&mut self, sample: &AckSample) {
        if sample.app_limited || self.output.cwnd < self.model.inflight_longterm {
            return;
        }
        self.cycle.up_acks = self.cycle.up_acks.saturating_add(sample.delivered_bytes);
        if self.cycle.up_acks >= self.cycle.up_count {
            let segments = self.cycle.up_acks / self.cycle.up_count;
            self.cycle.up_acks %= self.cycle.up_count;
            let more = segments.saturating_mul(self.output.segment);
            self.model.inflight_longterm = self.model.inflight_longterm.saturating_add(more).min(u64::MAX - 1);
        }
        if self.model.round_start {
            self.raise_slope();
        }
    }

    /// BBRRaiseInflightLongTermSlope: how much is to arrive for each segment more.
    const fn raise_slope(&mut self) {
        let segments = 1 << self.cycle.up_rounds;
        self.cycle.up_rounds =
            if self.cycle.up_rounds < UP_ROUNDS_MAX { self.cycle.up_rounds + 1 } else { UP_ROUNDS_MAX };
        let count = self.output.cwnd / segments;
        self.cycle.up_count = if count > 0 { count } else { 1 };
    }
}

/// SplitMix64's finisher.
const fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

const PROBE_WAIT_MIN: Duration = Duration::from_secs(2);
const RENO_ROUNDS_MAX: u64 = 63;
/// A window of a few segments would probe without end.
const RENO_ROUNDS_MIN: u64 = 4;
const UP_ROUNDS_MAX: u8 = 30;
