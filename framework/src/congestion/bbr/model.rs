//! What BBR knows of the path: the rate at which it delivers, the round trip without a queue, how much may be in flight before
//! it loses, and how acknowledgements bunch (draft-ietf-ccwg-bbr 5.5).

use super::super::{AckSample, CWND_MAX};
use crate::time::{Duration, Instant, nanos};

#[derive(Clone, Debug)]
pub(super) struct Model {
    /// C.delivered.
    delivered: u64,
    /// BBR.next_round_delivered, BBR.round_start.
    round_end: u64,
    pub(super) round_start: bool,
    /// BBR.MaxBwFilter: of the last cycle of probing, and of this one. Units per second.
    max_bw: [u64; 2],
    /// BBR.bw_shortterm and its like: what losses say of late; `u64::MAX` for infinity.
    bw_shortterm: u64,
    pub(super) inflight_shortterm: u64,
    /// BBR.inflight_longterm: most in flight that did not lose too much.
    pub(super) inflight_longterm: u64,
    /// The three before the last loss.
    undo: (u64, u64, u64),
    bw_latest: u64,
    pub(super) inflight_latest: u64,
    lost_in_round: u64,
    marked_in_round: u64,
    /// BBR.min_rtt, BBR.min_rtt_stamp; [`Duration::MAX`] before the first.
    min_rtt: Duration,
    min_rtt_at: Instant,
    /// BBR.probe_rtt_min_delay, BBR.probe_rtt_min_stamp.
    probe_rtt_min: Duration,
    probe_rtt_min_at: Instant,
    pub(super) probe_rtt_expired: bool,
    pub(super) extra: Extra,
}

/// BBR.extra_acked (5.5.9).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra {
    since: Instant,
    delivered: u64,
    /// The most of the last rounds, and of these, of which there were so many.
    most: [u64; 2],
    rounds: u8,
}

impl Extra {
    pub(super) const fn restart(&mut self, now: Instant) {
        (self.since, self.delivered) = (now, 0);
    }

    pub(super) fn most(&self) -> u64 {
        self.most[0].max(self.most[1])
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            delivered: 0,
            round_end: 0,
            round_start: false,
            max_bw: [0; 2],
            bw_shortterm: u64::MAX,
            inflight_shortterm: u64::MAX,
            inflight_longterm: u64::MAX,
            undo: (u64::MAX, u64::MAX, u64::MAX),
            bw_latest: 0,
            inflight_latest: 0,
            lost_in_round: 0,
            marked_in_round: 0,
            min_rtt: Duration::MAX,
            min_rtt_at: Instant::ZERO,
            probe_rtt_min: Duration::MAX,
            probe_rtt_min_at: Instant::ZERO,
            probe_rtt_expired: false,
            extra: Extra::default(),
        }
    }
}

impl Model {
    pub(super) const fn has_sample(&self) -> bool {
        self.delivered > 0
    }

    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// BBR.bw.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_shortterm)
    }

    /// What `bw` fills the path with; `u64::MAX` while the round trip is unknown.
    pub(super) fn bdp(&self, bw: u64) -> u64 {
        if self.min_rtt == Duration::MAX { u64::MAX } else { during(bw, self.min_rtt) }
    }

    /// BBRStartRound.
    pub(super) const fn start_round(&mut self) {
        self.round_end = self.delivered;
    }

    /// BBRUpdateRound, BBRUpdateLatestDeliverySignals, BBRUpdateMaxBw.
    pub(super) fn update_latest(&mut self, sample: &AckSample) {
        self.delivered = sample.delivered_total;
        let prior = sample.delivered_total - sample.delivered_since_send.min(sample.delivered_total);
        self.round_start = sample.in_flight_at_send > 0 && prior >= self.round_end;
        if self.round_start {
            self.start_round();
        }
        let rate = sample.delivery_rate.unwrap_or(0).min(RATE_MAX);
        self.bw_latest = self.bw_latest.max(rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered_since_send);
        if rate >= self.max_bw() || !sample.rate_app_limited {
            self.max_bw[1] = self.max_bw[1].max(rate);
        }
    }

    /// BBRAdvanceLatestDeliverySignals.
    pub(super) fn advance_latest(&mut self, sample: &AckSample) {
        if self.round_start {
            self.bw_latest = sample.delivery_rate.unwrap_or(0).min(RATE_MAX);
            self.inflight_latest = sample.delivered_since_send;
            (self.lost_in_round, self.marked_in_round) = (0, 0);
        }
    }

    /// BBRUpdateCongestionSignals, BBRAdaptLowerBoundsFromCongestion: once a round that lost too much.
    pub(super) fn update_congestion(&mut self, sample: &AckSample, is_probing: bool) {
        if self.lost_in_round == 0 && sample.lost_bytes > 0 {
            self.undo = (self.bw_shortterm, self.inflight_shortterm, self.inflight_longterm);
        }
        self.lost_in_round = self.lost_in_round.saturating_add(sample.lost_bytes);
        self.marked_in_round = self.marked_in_round.saturating_add(sample.ce_marked_bytes);
        let hurt = self.lost_in_round.saturating_add(self.marked_in_round);
        if !self.round_start || is_probing || hurt <= self.inflight_latest / LOSS_THRESHOLD_DIVISOR {
            return;
        }
        let beta = |bound: u64, first: u64| (if bound == u64::MAX { first } else { bound }) / 10 * 7;
        self.bw_shortterm = self.bw_latest.max(beta(self.bw_shortterm, self.max_bw())).max(1);
        let in_flight = sample.in_flight_before.min(CWND_MAX.into());
        self.inflight_shortterm = self.inflight_latest.max(beta(self.inflight_shortterm, in_flight));
    }

    /// BBRResetShortTermModel.
    pub(super) const fn reset_shortterm(&mut self) {
        (self.bw_shortterm, self.inflight_shortterm) = (u64::MAX, u64::MAX);
    }

    /// BBRResetCongestionSignals.
    pub(super) const fn reset_congestion(&mut self) {
        (self.bw_latest, self.inflight_latest, self.lost_in_round, self.marked_in_round) = (0, 0, 0, 0);
    }

    /// Nothing was lost.
    pub(super) fn undo(&mut self) {
        let (bw, shortterm, longterm) = self.undo;
        self.bw_shortterm = self.bw_shortterm.max(bw);
        self.inflight_shortterm = self.inflight_shortterm.max(shortterm);
        self.inflight_longterm = self.inflight_longterm.max(longterm);
    }

    /// BBRIsInflightTooHigh: of what was in flight more than a fiftieth was lost.
    pub(super) const fn is_inflight_too_high(&self, sample: &AckSample) -> bool {
        let hurt = sample.lost_since_send.saturating_add(self.marked_in_round);
        hurt > sample.in_flight_at_send / LOSS_THRESHOLD_DIVISOR && sample.in_flight_at_send > 0
    }

    /// BBRAdvanceMaxBwFilter: a cycle of probing is over.
    pub(super) const fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }

    /// BBRUpdateMinRTT (5.3.4.3).
    pub(super) fn update_min_rtt(&mut self, sample: &AckSample) {
        let now = sample.now;
        self.probe_rtt_expired =
            self.probe_rtt_min != Duration::MAX && now.since(self.probe_rtt_min_at) > PROBE_RTT_INTERVAL;
        let Some(rtt) = sample.rtt else { return };
        if rtt < self.probe_rtt_min || self.probe_rtt_expired {
            (self.probe_rtt_min, self.probe_rtt_min_at) = (rtt, now);
        }
        if self.probe_rtt_min < self.min_rtt || now.since(self.min_rtt_at) > MIN_RTT_FILTER {
            (self.min_rtt, self.min_rtt_at) = (self.probe_rtt_min, self.probe_rtt_min_at);
        }
    }

    pub(super) const fn restart_probe_rtt_clock(&mut self, now: Instant) {
        self.probe_rtt_min_at = now;
    }

    /// BBRUpdateACKAggregation: what arrived beyond what the rate explains, the most of `rounds`.
    pub(super) fn update_extra_acked(&mut self, sample: &AckSample, cwnd: u64, rounds: u8) {
        let bw = self.bw();
        let extra = &mut self.extra;
        if self.round_start {
            extra.rounds += 1;
            if extra.rounds >= rounds.div_ceil(2) {
                extra.most = [extra.most[1], 0];
                extra.rounds = 0;
            }
        }
        let mut expected = during(bw, sample.now.since(extra.since));
        if extra.delivered <= expected {
            extra.restart(sample.now);
            expected = 0;
        }
        extra.delivered = extra.delivered.saturating_add(sample.delivered_bytes);
        extra.most[1] = extra.most[1].max(extra.delivered.saturating_sub(expected).min(cwnd));
    }
}

/// What `rate` brings in `time`, no more than a window can be.
pub(super) fn during(rate: u64, time: Duration) -> u64 {
    let units = u128::from(rate) * u128::from(nanos(time)) / 1_000_000_000;
    u64::try_from(units).unwrap_or(u64::MAX).min(CWND_MAX.into())
}

/// Units per second: more is a mistake.
const RATE_MAX: u64 = 1 << 40;
/// BBR.LossThresh: 2 %.
const LOSS_THRESHOLD_DIVISOR: u64 = 50;
/// ProbeRTTInterval, MinRTTFilterLen.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// BBR.ExtraAckedFilterLen, in rounds.
pub(super) const EXTRA_ROUNDS: u8 = 10;
