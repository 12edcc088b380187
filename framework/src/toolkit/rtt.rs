//! Round-trip time and retransmission timeout: RFC 6298, with the windowed minimum that RFC 8985 6.2 asks for.
//!
//! It holds no timer and reads no clock: a transport feeds samples (by Karn's rule, RFC 6298 3, none from ambiguous
//! acknowledgements) and asks for [`rto`](RttEstimator::rto).

use crate::time::{Duration, Instant, nanos};

/// Bounds of the retransmission timeout; one per transport configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtoConfig {
    /// Floor of the timeout, whole milliseconds, 1 ms to 65 s.
    ///
    /// Deviation: RFC 6298 2.4 says SHOULD be 1 s; the default is 200 ms, as widely deployed. That floor dates from
    /// clocks that ticked twice a second; what it must still exceed is a peer's delayed acknowledgement.
    pub rto_min: Duration,
    /// Ceiling of the timeout, backed off or not, whole seconds, 60 s to 255 s (RFC 6298 2.5: at least 60 s).
    pub rto_max: Duration,
    /// The timeout before the first sample (RFC 6298 2.1: 1 s).
    pub initial_rto: Duration,
}

impl Default for RtoConfig {
    fn default() -> Self {
        Self {
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            initial_rto: Duration::from_secs(1),
        }
    }
}

/// SRTT, RTTVAR and the timeout of one flow or path, in 24 bytes. Times are kept in microseconds, so samples are
/// truncated to them and clamped to 1 us ..= 500 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttEstimator {
    /// 8 * SRTT; zero before the first sample.
    srtt_8us: u32,
    /// 4 * RTTVAR; before the first sample the initial timeout, since then RTO = 0 + 4 * RTTVAR.
    rttvar_4us: u32,
    latest_us: u32,
    min_us: u32,
    /// When `min_us` was seen. Wraps in 49 days, which at worst ages a minimum too late.
    min_seen_ms: u32,
    rto_min_ms: u16,
    rto_max_s: u8,
    back_off_shift: u8,
}

impl RttEstimator {
    /// No sample yet; the timeout is `config.initial_rto`. Values outside their documented range are clamped into it.
    #[must_use]
    pub fn new(config: &RtoConfig) -> Self {
        Self {
            srtt_8us: 0,
            rttvar_4us: micros(config.initial_rto),
            latest_us: 0,
            min_us: 0,
            min_seen_ms: 0,
            rto_min_ms: config.rto_min.as_millis().clamp(1, 65_000) as u16,
            rto_max_s: config.rto_max.as_secs().clamp(60, 255) as u8,
            back_off_shift: 0,
        }
    }

    /// Takes a measurement that ended at `now` (RFC 6298 2.2, 2.3) and ends any back-off.
    #[inline]
    pub fn on_sample(&mut self, now: Instant, rtt: Duration) {
        let sample = micros(rtt);
        self.back_off_shift = 0;
        self.latest_us = sample;
        self.track_min(now, sample);
        if self.srtt_8us == 0 {
            self.srtt_8us = sample * 8;
            self.rttvar_4us = sample * 2;
            return;
        }
        let srtt = self.srtt_8us >> 3;
        // RTTVAR first, from the old SRTT: x4 in scale, RTTVAR += (|SRTT - R'| - RTTVAR) / 4.
        self.rttvar_4us = self.rttvar_4us - (self.rttvar_4us >> 2) + srtt.abs_diff(sample);
        // x8 in scale, SRTT += (R' - SRTT) / 8. A sample is at least 1 us, so it never comes back to zero.
        self.srtt_8us = self.srtt_8us - srtt + sample;
    }

    /// Whether a sample was ever taken.
    #[inline]
    #[must_use]
    pub const fn has_sample(&self) -> bool {
        self.srtt_8us != 0
    }

    /// SRTT; zero before the first sample.
    #[inline]
    #[must_use]
    pub const fn smoothed(&self) -> Duration {
        Duration::from_micros((self.srtt_8us >> 3) as u64)
    }

    /// RTTVAR; zero before the first sample.
    #[inline]
    #[must_use]
    pub const fn variation(&self) -> Duration {
        if self.has_sample() { Duration::from_micros((self.rttvar_4us >> 2) as u64) } else { Duration::ZERO }
    }

    /// The latest sample; zero before the first.
    #[inline]
    #[must_use]
    pub const fn latest(&self) -> Duration {
        Duration::from_micros(self.latest_us as u64)
    }

    /// The least sample of about the last [`MIN_RTT_WINDOW`] (a newer one replaces an older that aged out); zero
    /// before the first.
    #[inline]
    #[must_use]
    pub const fn min(&self) -> Duration {
        Duration::from_micros(self.min_us as u64)
    }

    /// The timeout to arm a timer with now: RFC 6298 2.3 to 2.5, doubled per [`back_off`](Self::back_off) (5.5).
    #[inline]
    #[must_use]
    pub fn rto(&self) -> Duration {
        let base = self.base_rto_us();
        let max = u64::from(self.rto_max_s) * 1_000_000;
        Duration::from_micros((base << self.back_off_shift).min(max))
    }

    /// [`rto`](Self::rto) in nanoseconds, for deadlines that are set with every packet.
    #[inline]
    #[must_use]
    pub fn rto_nanos(&self) -> u64 {
        (self.base_rto_us() << self.back_off_shift).min(u64::from(self.rto_max_s) * 1_000_000) * 1_000
    }

    /// [`smoothed`](Self::smoothed) in nanoseconds.
    #[inline]
    #[must_use]
    pub const fn smoothed_nanos(&self) -> u64 {
        (self.srtt_8us >> 3) as u64 * 1_000
    }

    /// The timeout without back-off.
    #[inline]
    #[must_use]
    pub fn base_rto(&self) -> Duration {
        Duration::from_micros(self.base_rto_us())
    }

    /// The timer fired: doubles the timeout (RFC 6298 5.5), up to the ceiling.
    pub fn back_off(&mut self) {
        self.back_off_shift = (self.back_off_shift + 1).min(BACK_OFF_MAX);
    }

    /// How often the timer fired since the last sample, at most [`BACK_OFF_MAX`].
    #[must_use]
    pub const fn back_offs(&self) -> u8 {
        self.back_off_shift
    }

    /// Ends the back-off without a sample: an acknowledgement showed the timeout to have been spurious.
    pub fn clear_back_off(&mut self) {
        self.back_off_shift = 0;
    }

    /// Replaces the timeout that holds before the first sample, and ends the back-off. RFC 6298 5.7: a flow whose
    /// opening packet timed out starts its data with 3 s. Without effect once there is a sample.
    pub fn set_initial_rto(&mut self, rto: Duration) {
        if !self.has_sample() {
            self.rttvar_4us = micros(rto);
            self.back_off_shift = 0;
        }
    }

    #[inline]
    fn base_rto_us(&self) -> u64 {
        let rto = u64::from(self.srtt_8us >> 3) + u64::from(self.rttvar_4us.max(GRANULARITY_US));
        rto.clamp(u64::from(self.rto_min_ms) * 1_000, u64::from(self.rto_max_s) * 1_000_000)
    }

    fn track_min(&mut self, now: Instant, sample: u32) {
        let now_ms = (now.as_nanos() / 1_000_000) as u32;
        let aged_out = now_ms.wrapping_sub(self.min_seen_ms) > MIN_RTT_WINDOW.as_millis() as u32;
        if sample <= self.min_us || self.srtt_8us == 0 || aged_out {
            self.min_us = sample;
            self.min_seen_ms = now_ms;
        }
    }
}

/// How long a minimum counts: long enough to hear an empty queue, short enough to notice a new route.
pub const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
/// Most doublings kept: 1 ms << 18 is beyond every ceiling, so more would change nothing.
pub const BACK_OFF_MAX: u8 = 18;
/// G of RFC 6298: what timers of a lane resolve.
const GRANULARITY_US: u32 = 1_000;

fn micros(duration: Duration) -> u32 {
    (nanos(duration) / 1_000).clamp(1, 500_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<RttEstimator>(), 24);
    }

    #[test]
    fn before_the_first_sample_the_initial_timeout_holds_and_doubles() {
        let mut rtt = RttEstimator::new(&RtoConfig::default());
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        let seen: Vec<u64> = std::iter::repeat_with(|| {
            rtt.back_off();
            rtt.rto().as_secs()
        })
        .take(20)
        .collect();
        assert_eq!(seen[..7], [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seen[19], 60);
        rtt.set_initial_rto(Duration::from_secs(3));
        assert_eq!(rtt.rto(), Duration::from_secs(3));
        assert_eq!(rtt.variation(), Duration::ZERO);
    }

    #[test]
    fn the_first_sample_sets_all_and_ends_the_back_off() {
        let mut rtt = RttEstimator::new(&RtoConfig::default());
        rtt.back_off();
        rtt.on_sample(at_ms(5), Duration::from_millis(400));
        assert_eq!(rtt.smoothed(), Duration::from_millis(400));
        assert_eq!(rtt.variation(), Duration::from_millis(200));
        assert_eq!(rtt.rto(), Duration::from_millis(1_200));
        assert_eq!(rtt.back_offs(), 0);
        rtt.set_initial_rto(Duration::from_secs(3));
        assert_eq!(rtt.rto(), Duration::from_millis(1_200));
    }

    #[test]
    fn the_minimum_ages_out() {
        let mut rtt = RttEstimator::new(&RtoConfig::default());
        rtt.on_sample(at_ms(0), Duration::from_millis(10));
        rtt.on_sample(at_ms(9_000), Duration::from_millis(30));
        assert_eq!(rtt.min(), Duration::from_millis(10));
        rtt.on_sample(at_ms(10_001), Duration::from_millis(20));
        assert_eq!(rtt.min(), Duration::from_millis(20));
        assert_eq!(rtt.latest(), Duration::from_millis(20));
    }

    #[test]
    fn a_minimum_that_is_seen_again_stays() {
        let mut rtt = RttEstimator::new(&RtoConfig::default());
        for ms in [0, 6_000] {
            rtt.on_sample(at_ms(ms), Duration::from_millis(10));
        }
        rtt.on_sample(at_ms(12_000), Duration::from_millis(20));
        assert_eq!(rtt.min(), Duration::from_millis(10));
        rtt.on_sample(at_ms(16_001), Duration::from_millis(20));
        assert_eq!(rtt.min(), Duration::from_millis(20));
    }

    /// RFC 6298 section 2 in plain `f64` seconds.
    fn oracle(samples_us: &[u64]) -> (f64, f64, f64) {
        let mut samples = samples_us.iter().map(|us| *us as f64 / 1e6);
        let first = samples.next().unwrap();
        let (mut srtt, mut rttvar) = (first, first / 2.0);
        for r in samples {
            rttvar = 0.75 * rttvar + 0.25 * (srtt - r).abs();
            srtt = 0.875 * srtt + 0.125 * r;
        }
        (srtt, rttvar, (srtt + (4.0 * rttvar).max(0.001)).clamp(0.2, 60.0))
    }

    proptest! {
        #[test]
        fn it_follows_the_formulas_of_rfc_6298(
            samples in prop::collection::vec(prop_oneof![1u64..100, 1u64..1_000_000, 1u64..100_000_000], 1..200)
        ) {
            let mut rtt = RttEstimator::new(&RtoConfig::default());
            for us in &samples {
                rtt.on_sample(Instant::ZERO, Duration::from_micros(*us));
                prop_assert!(rtt.has_sample());
            }
            let (srtt, rttvar, rto) = oracle(&samples);
            // Truncation to microseconds may take one off per step; the filters forget it geometrically.
            prop_assert!((rtt.smoothed().as_secs_f64() - srtt).abs() < 16e-6, "{:?} {srtt}", rtt.smoothed());
            prop_assert!((rtt.variation().as_secs_f64() - rttvar).abs() < 24e-6, "{:?} {rttvar}", rtt.variation());
            prop_assert!((rtt.rto().as_secs_f64() - rto).abs() < 120e-6, "{:?} {rto}", rtt.rto());
            prop_assert_eq!(rtt.min(), Duration::from_micros(*samples.iter().min().unwrap()));
        }

        #[test]
        fn nothing_overflows(ns: Vec<u64>, min_ms: u64, max_s: u64) {
            let config = RtoConfig {
                rto_min: Duration::from_millis(min_ms),
                rto_max: Duration::from_secs(max_s),
                initial_rto: Duration::MAX,
            };
            let mut rtt = RttEstimator::new(&config);
            for n in ns {
                rtt.on_sample(Instant::from_nanos(n), Duration::from_nanos(n));
                rtt.back_off();
                prop_assert!(rtt.rto() >= Duration::from_millis(1) && rtt.rto() <= Duration::from_secs(255));
            }
        }
    }
}
