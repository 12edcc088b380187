//! CUBIC (RFC 9438), in integers, so that a trace is the same on every machine, with HyStart++ (RFC 9406, `hystart.rs`).
//!
//! ```text
//!            W_cubic(t) = C (t - K)^3 + W_max
//!   W_max ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─____________─ ─ ─ ─╱   after K the curve probes beyond
//!                       __---~~     K
//!                   _-~
//!   cwnd_epoch ───•~      β = 0.7 of where the loss was
//! ```

use super::hystart::{Growth, HyStart};
use super::window::Window;
use super::{AckSample, CongestionEvent, Controller};
use crate::time::{Duration, Instant, nanos};

/// CUBIC with fast convergence and the Reno-friendly region.
#[derive(Clone, Debug)]
pub struct Cubic {
    window: Window,
    curve: Curve,
    hystart: HyStart,
    /// Window and curve before the last reduction (RFC 9438 4.9).
    undo: Option<(Window, Curve)>,
}

/// Where on which curve the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Curve {
    /// W_max, bytes; zero before the first congestion.
    w_max: u32,
    /// cwnd_prior, bytes: the window before the last reduction.
    prior: u32,
    /// The current stage of congestion avoidance; none in slow start, recovery, and at the start.
    stage: Option<Stage>,
    /// The next stage follows a timeout (RFC 9438 4.8).
    after_timeout: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stage {
    /// t, microseconds. Only time in which the window was in use counts (RFC 9438 5.8).
    elapsed_us: u64,
    last_ack_at: Instant,
    /// K, microseconds.
    k_us: u64,
    /// W_max of this stage, bytes.
    origin: u32,
    /// W_est, bytes: what Reno would have.
    w_est: u32,
    /// Fractions of a byte of `w_est`, in 1 / (17 cwnd).
    w_est_credit: u64,
    /// Fractions of a byte of `cwnd`, in 1 / cwnd.
    cwnd_credit: u64,
}

impl Cubic {
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
        let curve = Curve { w_max: 0, prior: 0, stage: None, after_timeout: false };
        Self { window: Window::new(SLOW_START_LIMIT, paced), curve, hystart: HyStart::new(), undo: None }
    }

    /// Looks for the end of the initial slow start; later ones know where to end (RFC 9406 4.3).
    fn leave_slow_start(&mut self, sample: &AckSample) {
        let growth = if self.window.ssthresh == u32::MAX { self.hystart.on_ack(sample) } else { Growth::Full };
        self.window.slow_start_divisor = if growth == Growth::Conservative { CONSERVATIVE_DIVISOR } else { 1 };
        if growth == Growth::Done {
            self.window.ssthresh = self.window.cwnd;
        }
    }

    /// RFC 9438 4.6, 4.7.
    fn reduce(&mut self, outstanding_bytes: u64) {
        self.undo = Some((self.window, self.curve));
        let cwnd = self.window.cwnd;
        // Fast convergence: the window fell short of the last maximum, so someone else wants a share.
        let falling = cwnd < self.curve.w_max;
        let w_max = if falling { u64::from(cwnd) * 17 / 20 } else { u64::from(cwnd) };
        self.curve = Curve { w_max: w_max as u32, prior: cwnd, stage: None, after_timeout: false };
        let tried = u64::from(self.window.tried(outstanding_bytes));
        self.window.reduce_to((tried * 7 / 10) as u32);
    }

    /// RFC 9438 4.2 to 4.5, for `delivered` bytes in congestion avoidance.
    fn avoid(&mut self, sample: &AckSample, delivered: u64) {
        let (cwnd, segment) = (self.window.cwnd, self.window.segment);
        let mut stage = match self.curve.stage {
            Some(stage) => stage,
            None => Stage::begin(&self.curve, cwnd, segment, sample.now),
        };
        self.curve.after_timeout = false;
        stage.advance(sample);
        stage.grow_w_est(delivered, self.curve.prior, cwnd, segment);
        if stage.w_cubic(stage.elapsed_us, segment) < u64::from(stage.w_est) {
            // Reno-friendly region (4.3).
            self.window.grow(u64::from(stage.w_est.saturating_sub(cwnd)));
        } else {
            // Concave and convex regions (4.4, 4.5): be on the curve a round trip from now.
            let ahead_us = stage.elapsed_us + nanos(sample.srtt) / 1_000;
            let (least, most) = (u64::from(cwnd), u64::from(cwnd) * 3 / 2);
            let target = stage.w_cubic(ahead_us, segment).clamp(least, most);
            stage.cwnd_credit += (target - least) * delivered.min(least);
            self.window.grow(stage.cwnd_credit / least);
            stage.cwnd_credit %= least;
        }
        self.curve.stage = Some(stage);
    }
}

impl Stage {
    fn begin(curve: &Curve, cwnd: u32, segment: u32, now: Instant) -> Self {
        // Above the old maximum, without one, or after a timeout, the curve begins at its flat point.
        let origin = if curve.after_timeout { cwnd } else { curve.w_max.max(cwnd) };
        // K = cbrt((W_max - cwnd_epoch) / C), windows in segments; 1/C = 5/2, and (10^6)^3 for microseconds.
        let k_us = cube_root(u128::from(origin - cwnd) * 2_500_000_000_000_000_000 / u128::from(segment));
        Self { elapsed_us: 0, last_ack_at: now, k_us, origin, w_est: cwnd, w_est_credit: 0, cwnd_credit: 0 }
    }

    /// Moves t on, by two round trips at most: longer silence was not the window's doing.
    fn advance(&mut self, sample: &AckSample) {
        let since = sample.now.since(self.last_ack_at);
        let bound = if sample.srtt == Duration::ZERO { since } else { sample.srtt * 2 };
        self.elapsed_us += nanos(since.min(bound)) / 1_000;
        // What was cut off below a microsecond counts next time.
        let cut = Duration::from_nanos(nanos(since.min(bound)) % 1_000);
        self.last_ack_at = sample.now - cut;
    }

    /// W_cubic(t), bytes.
    fn w_cubic(&self, t_us: u64, segment: u32) -> u64 {
        let distance = u128::from(t_us.abs_diff(self.k_us).min(FARTHEST_US));
        // 0.4 = 4 / 10 segments per cubed second.
        let delta = distance.pow(3) * 4 * u128::from(segment) / 10_000_000_000_000_000_000;
        let delta = u64::try_from(delta).unwrap_or(u64::MAX);
        let origin = u64::from(self.origin);
        if t_us < self.k_us { origin.saturating_sub(delta) } else { origin.saturating_add(delta) }
    }

    /// RFC 9438 4.3: alpha segments per window delivered; alpha is 3 (1 - beta) / (1 + beta) = 9/17 up to where the
    /// last loss was, so that the average equals Reno's, and 1 beyond.
    fn grow_w_est(&mut self, delivered: u64, prior: u32, cwnd: u32, segment: u32) {
        let alpha_17ths = if self.w_est >= prior { 17 } else { 9 };
        let whole = u64::from(cwnd) * 17;
        self.w_est_credit += alpha_17ths * u64::from(segment) * delivered.min(u64::from(cwnd));
        self.w_est = self.w_est.saturating_add((self.w_est_credit / whole) as u32);
        self.w_est_credit %= whole;
    }
}

impl Default for Cubic {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for Cubic {
    fn on_ack(&mut self, sample: &AckSample) {
        self.leave_slow_start(sample);
        let delivered = self.window.on_ack(sample);
        if delivered > 0 {
            self.avoid(sample, delivered);
        }
    }

    fn on_congestion(&mut self, _now: Instant, event: &CongestionEvent) {
        match *event {
            CongestionEvent::Loss { outstanding_bytes, .. } => self.reduce(outstanding_bytes),
            CongestionEvent::Ecn { outstanding_bytes } => {
                self.reduce(outstanding_bytes);
                // A mark is never a mistake.
                self.undo = None;
            }
            CongestionEvent::Rto { first, outstanding_bytes } => {
                if first {
                    self.reduce(outstanding_bytes);
                }
                self.curve.stage = None;
                self.curve.after_timeout = true;
                self.window.collapse();
            }
            CongestionEvent::Spurious => {
                if let Some((window, curve)) = self.undo.take() {
                    self.window.cwnd = self.window.cwnd.max(window.cwnd);
                    self.window.ssthresh = self.window.ssthresh.max(window.ssthresh);
                    self.curve = curve;
                }
            }
            CongestionEvent::Idle { idle_for, rto } => {
                if self.window.on_idle(idle_for, rto) {
                    self.curve.stage = None;
                }
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
        "cubic"
    }
}

/// The largest number whose cube is at most `n`, bit by bit from the top; `n` is below 2^126.
const fn cube_root(n: u128) -> u64 {
    let mut root: u128 = 0;
    let mut bit: u128 = 1 << 41;
    while bit > 0 {
        let candidate = root | bit;
        if candidate * candidate * candidate <= n {
            root = candidate;
        }
        bit >>= 1;
    }
    root as u64
}

/// Deviation: RFC 3465 allows 2. Receivers that coalesce acknowledge many segments at once; RFC 9406 4.2 takes 8.
const SLOW_START_LIMIT: u8 = 8;
/// CSS_GROWTH_DIVISOR of RFC 9406 4.3.
const CONSERVATIVE_DIVISOR: u8 = 4;
/// An hour from K every window is at its bound; keeps the cube within 128 bits.
const FARTHEST_US: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cube_root_is_the_greatest_below(n in prop_oneof![0u128..1_000, 0u128..1 << 100, 0u128..1 << 125]) {
            let root = u128::from(cube_root(n));
            prop_assert!(root.pow(3) <= n && n < (root + 1).pow(3));
        }
    }

    #[test]
    fn the_largest_curve_fits() {
        let curve = Curve { w_max: u32::MAX, ..Curve::default() };
        let stage = Stage::begin(&curve, 1, 1, Instant::ZERO);
        assert!(u128::from(stage.k_us).pow(3) <= u128::from(u32::MAX) * 2_500_000_000_000_000_000);
        assert_eq!(stage.w_cubic(u64::MAX, 65_535), u64::from(u32::MAX) + 1_223_040_384_000_000);
    }
}
