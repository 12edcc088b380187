//! BBR version 3 (draft-ietf-ccwg-bbr): sends at the rate at which the path delivers, with so much in flight as that takes, and
//! finds both out by sending faster for a while, and by sending less. Losses bound it; it does not fill a queue to find them.
//!
//! ```text
//!  Startup ──full──► Drain ──► ProbeBW: DOWN ─► CRUISE ─► REFILL ─► UP ─┐
//!                                 ▲                                     │      every 5 s without a shorter round trip:
//!                                 └─────────────────────────────────────┘      ProbeRTT, 200 ms
//! ```
//!
//! `model.rs` is what is known of the path, `probe.rs` the cycle of ProbeBW, `output.rs` what may be sent. It asks the transport
//! for the delivery rate and for pacing. Names are the draft's.
//!
//! Deviations: whether too much was in flight is judged by what was lost since the newest delivered packet was sent, not packet by
//! packet (5.5.10.2); a mark (RFC 3168) counts as a loss, for the draft leaves marks open; a round that lost no more than the fiftieth that probing
//! tolerates bounds nothing (5.5.10.3), since what is lost, and the margin below the rate, would take a fiftieth off the bound
//! with each round, though the path is as fast as ever; there is no packet conservation in the
//! first round of a recovery, for pacing does as much.

mod model;
mod output;
mod probe;
#[cfg(test)]
mod tests;

use super::{AckSample, CongestionEvent, Controller, Interests};
use crate::time::{Duration, Instant};
use crate::toolkit::Recovery;
use model::Model;
use output::Output;
use probe::Cycle;

/// A model of the path, and where in its probing it is.
#[derive(Clone, Debug)]
pub struct Bbr {
    phase: Phase,
    model: Model,
    cycle: Cycle,
    startup: Startup,
    probe_rtt: ProbeRtt,
    output: Output,
    /// BBR.idle_restart: the flow begins anew after silence.
    idle_restart: bool,
    /// In a recovery of lost data.
    in_recovery: bool,
}

/// BBR.state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Phase {
    const fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Losses are sought, and bound nothing but the flight that brought them (5.5.10.3).
    const fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// Whether the path is full (5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
struct Startup {
    /// BBR.full_bw and in how many rounds it did not grow.
    full_bw: u64,
    rounds: u8,
    /// BBR.full_bw_now: since the last reset.
    now: bool,
    /// BBR.full_bw_reached: ever.
    reached: bool,
    /// Runs that told of losses, in this round.
    losses: u8,
}

impl Startup {
    /// BBRResetFullBW, and BBR.full_bw starts from `bw`.
    const fn reset(&mut self, bw: u64) {
        (self.full_bw, self.rounds, self.now) = (bw, 0, false);
    }

    fn check(&mut self, sample: &AckSample, round_start: bool) {
        let rate = sample.delivery_rate.unwrap_or(0);
        if self.now || sample.rate_app_limited || rate == 0 && !round_start {
            return;
        }
        if rate >= self.full_bw.saturating_add(self.full_bw / 4) {
            self.reset(rate);
        } else if round_start {
            self.rounds += 1;
            self.now = self.rounds >= FULL_ROUNDS;
            self.reached |= self.now;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct ProbeRtt {
    /// BBR.probe_rtt_done_stamp.
    done_at: Option<Instant>,
    /// BBR.probe_rtt_round_done.
    round_done: bool,
}

impl Bbr {
    /// Nothing is known of the path.
    #[must_use]
    pub fn new() -> Self {
        Self {
            phase: Phase::Startup,
            model: Model::default(),
            cycle: Cycle::default(),
            startup: Startup::default(),
            probe_rtt: ProbeRtt::default(),
            output: Output::new(),
            idle_restart: false,
            in_recovery: false,
        }
    }

    /// BBRCheckStartupHighLoss: a queue so short that losses come before the rate stops growing (5.3.1.3).
    fn check_startup_loss(&mut self, sample: &AckSample) {
        if sample.lost_bytes > 0 || sample.ce_marked_bytes > 0 {
            self.startup.losses = self.startup.losses.saturating_add(1);
        }
        if !self.model.round_start {
            return;
        }
        let many = std::mem::take(&mut self.startup.losses) >= STARTUP_LOSSES;
        if many && sample.recovery == Recovery::Fast && self.model.is_inflight_too_high(sample) {
            (self.startup.reached, self.startup.now) = (true, true);
            self.model.inflight_longterm = self.model.bdp(self.model.max_bw()).max(self.model.inflight_latest);
        }
    }

    fn check_startup(&mut self, sample: &AckSample) {
        self.startup.check(sample, self.model.round_start);
        if self.phase == Phase::Startup {
            self.check_startup_loss(sample);
            if self.startup.reached {
                self.phase = Phase::Drain;
            }
        }
        if self.phase == Phase::Drain && sample.in_flight <= self.inflight(GAIN_ONE) {
            self.start_down(sample.now);
        }
    }

    /// BBRCheckProbeRTT (5.3.4.3).
    fn check_probe_rtt(&mut self, sample: &AckSample) {
        if self.phase != Phase::ProbeRtt && self.model.probe_rtt_expired && !self.idle_restart {
            self.phase = Phase::ProbeRtt;
            self.output.save_cwnd(self.in_recovery);
            self.probe_rtt = ProbeRtt::default();
            self.cycle.stop();
            self.model.start_round();
        }
        if self.phase != Phase::ProbeRtt {
            return;
        }
        match self.probe_rtt.done_at {
            None if sample.in_flight <= self.probe_rtt_cwnd() => {
                self.probe_rtt = ProbeRtt { done_at: Some(sample.now + PROBE_RTT_DURATION), round_done: false };
                self.model.start_round();
            }
            None => {}
            Some(_) => {
                self.probe_rtt.round_done |= self.model.round_start;
                if self.probe_rtt.round_done {
                    self.check_probe_rtt_done(sample.now);
                }
            }
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt.done_at.is_none_or(|at| now <= at) {
            return;
        }
        self.model.restart_probe_rtt_clock(now);
        self.output.restore_cwnd();
        self.model.reset_shortterm();
        if self.startup.reached {
            self.start_down(now);
            self.phase = Phase::Cruise;
        } else {
            self.phase = Phase::Startup;
        }
    }

    /// BBRHandleRestartFromIdle (5.4.1).
    fn restart_from_idle(&mut self, now: Instant) {
        self.idle_restart = true;
        self.model.extra.restart(now);
        if self.phase.is_probe_bw() {
            self.set_pacing_rate(GAIN_ONE);
        } else if self.phase == Phase::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    /// A recovery began: what the window was comes back after it.
    fn enter_recovery(&mut self) {
        self.output.save_cwnd(self.in_recovery || self.phase == Phase::ProbeRtt);
        self.in_recovery = true;
    }
}

impl Default for Bbr {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for Bbr {
    fn on_sent(&mut self, now: Instant, bytes: u64, in_flight_bytes: u64) {
        if in_flight_bytes <= bytes && self.model.has_sample() {
            self.restart_from_idle(now);
        }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        if self.in_recovery && matches!(sample.recovery, Recovery::Open | Recovery::Marked) {
            self.in_recovery = false;
            self.output.restore_cwnd();
        }
        self.model.update_latest(sample);
        self.model.update_congestion(sample, self.phase.is_probing());
        let rounds = if self.startup.reached { model::EXTRA_ROUNDS } else { 1 };
        self.model.update_extra_acked(sample, self.output.cwnd, rounds);
        self.check_startup(sample);
        self.update_cycle(sample);
        self.model.update_min_rtt(sample);
        self.check_probe_rtt(sample);
        if sample.delivered_bytes > 0 {
            self.idle_restart = false;
        }
        self.model.advance_latest(sample);
        self.set_control_parameters(sample);
    }

    fn on_congestion(&mut self, _now: Instant, event: &CongestionEvent) {
        match *event {
            CongestionEvent::Loss { .. } => self.enter_recovery(),
            CongestionEvent::Rto { .. } => {
                self.enter_recovery();
                self.output.cwnd = self.output.segment;
            }
            CongestionEvent::Spurious => {
                self.in_recovery = false;
                self.output.restore_cwnd();
                self.model.undo();
            }
            CongestionEvent::MtuChanged { segment_bytes } => {
                self.output.set_segment(u64::from(segment_bytes.max(1)), !self.model.has_sample());
            }
            // Marks are in the samples. What is known of the path outlasts silence.
            CongestionEvent::Ecn { .. } | CongestionEvent::Idle { .. } => {}
        }
    }

    fn cwnd(&self) -> u64 {
        self.output.cwnd
    }

    /// It has none.
    fn ssthresh(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.output.pacing_rate)
    }

    fn send_quantum(&self) -> u64 {
        self.output.send_quantum
    }

    fn wants(&self) -> Interests {
        Interests::ACK | Interests::ACK_APP_LIMITED | Interests::SENT | Interests::RATE | Interests::OWN_REPAIR
    }

    fn name(&self) -> &'static str {
        "bbr"
    }
}

/// Gains are in hundredths.
const GAIN_ONE: u64 = 100;
/// Rounds without a quarter more (5.3.1.2).
const FULL_ROUNDS: u8 = 3;
/// BBRStartupFullLossCnt (5.3.1.3).
const STARTUP_LOSSES: u8 = 6;
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
