//! DCTCP (RFC 8257): the more of a window arrived marked, the more it is reduced. For networks under one administration, whose
//! switches mark early; elsewhere it takes more than its share. To loss it answers like NewReno, of which it is made.

use super::newreno::NewReno;
use super::round::Round;
use super::{AckSample, CongestionEvent, Controller, Interests};
use crate::time::Instant;

/// NewReno with a memory of marks.
#[derive(Clone, Debug)]
pub struct Dctcp {
    reno: NewReno,
    /// DCTCP.Alpha, the smoothed fraction of what arrived marked, in 1 / [`ALPHA_ONE`].
    alpha: u32,
    /// The observation window.
    round: Round,
    /// DCTCP.BytesAcked and DCTCP.BytesMarked within it.
    acked: u64,
    marked: u64,
}

impl Dctcp {
    /// Unpaced.
    #[must_use]
    pub const fn new() -> Self {
        // All is marked until something is known (section 3.3): the first reduction is by half.
        Self { reno: NewReno::new(), alpha: ALPHA_ONE, round: Round { left: 0 }, acked: 0, marked: 0 }
    }

    /// Section 3.3, steps 5 to 8.
    fn update_alpha(&mut self) {
        if self.acked > 0 {
            let fraction = u128::from(self.marked.min(self.acked)) * u128::from(ALPHA_ONE) / u128::from(self.acked);
            // The gain g is 1/16; rounded up, so that alpha reaches zero.
            let kept = self.alpha - self.alpha.div_ceil(GAIN_DIVISOR);
            self.alpha = (kept + fraction as u32 / GAIN_DIVISOR).min(ALPHA_ONE);
        }
        (self.acked, self.marked) = (0, 0);
    }
}

impl Default for Dctcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for Dctcp {
    fn on_ack(&mut self, sample: &AckSample) {
        self.acked = self.acked.saturating_add(sample.delivered_bytes);
        self.marked = self.marked.saturating_add(sample.ce_marked_bytes);
        if self.round.ends(sample) {
            self.update_alpha();
        }
        self.reno.on_ack(sample);
    }

    fn on_congestion(&mut self, now: Instant, event: &CongestionEvent) {
        match *event {
            // cwnd (1 - alpha / 2), equation 2.
            CongestionEvent::Ecn { outstanding_bytes } => {
                self.reno.reduce_by(outstanding_bytes, u64::from(self.alpha), u64::from(ALPHA_ONE) * 2);
                self.reno.forget_undo();
            }
            // As without DCTCP (section 3.4), and so with everything else.
            _ => self.reno.on_congestion(now, event),
        }
    }

    fn cwnd(&self) -> u64 {
        self.reno.cwnd()
    }

    fn ssthresh(&self) -> u64 {
        self.reno.ssthresh()
    }

    /// Also what an application limited counts for alpha.
    fn wants(&self) -> Interests {
        Interests::ACK | Interests::ACK_APP_LIMITED
    }

    fn name(&self) -> &'static str {
        "dctcp"
    }
}

const ALPHA_ONE: u32 = 1 << 20;
/// 1/g (section 4.2).
const GAIN_DIVISOR: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: u32 = 1_000;

    fn round(dctcp: &mut Dctcp, marked_percent: u64) {
        let mut sample = AckSample::new(Instant::ZERO);
        (sample.delivered_bytes, sample.ce_marked_bytes, sample.app_limited) = (100_000, marked_percent * 1_000, true);
        dctcp.on_ack(&sample);
    }

    fn reduce(dctcp: &mut Dctcp) -> (u64, u64) {
        let before = dctcp.cwnd();
        dctcp.on_congestion(Instant::ZERO, &CongestionEvent::Ecn { outstanding_bytes: before });
        (before, dctcp.cwnd())
    }

    fn grown() -> Dctcp {
        let mut dctcp = Dctcp::new();
        dctcp.on_congestion(Instant::ZERO, &CongestionEvent::MtuChanged { segment_bytes: SEGMENT });
        let mut sample = AckSample::new(Instant::ZERO);
        (sample.delivered_bytes, sample.acks) = (990_000, 1_000);
        dctcp.on_ack(&sample);
        assert_eq!(dctcp.cwnd(), 1_000_000);
        dctcp
    }

    proptest! {
        #[test]
        fn alpha_converges_to_the_fraction_marked_and_the_window_shrinks_by_half_of_it(percent in 0u64..=100) {
            let mut dctcp = grown();
            for _ in 0..200 {
                round(&mut dctcp, percent);
            }
            let found = f64::from(dctcp.alpha) / f64::from(ALPHA_ONE);
            prop_assert!((found - percent as f64 / 100.0).abs() < 0.001, "{} for {}", found, percent);
            let (before, after) = reduce(&mut dctcp);
            let shrunk = 1.0 - after as f64 / before as f64;
            prop_assert!((shrunk - percent as f64 / 200.0).abs() < 0.001, "{} for {}", shrunk, percent);
        }
    }

    #[test]
    fn the_first_mark_nearly_halves_and_a_loss_halves_whatever_alpha_is() {
        let mut dctcp = grown();
        let mut calm = dctcp.clone();
        // One acknowledgement without a mark: alpha is 15/16.
        assert_eq!(reduce(&mut dctcp), (1_000_000, 531_250));
        for _ in 0..200 {
            round(&mut calm, 0);
        }
        assert_eq!(reduce(&mut calm), (1_000_000, 1_000_000));
        calm.on_congestion(Instant::ZERO, &CongestionEvent::Loss { lost_bytes: 1_000, outstanding_bytes: 1_000_000 });
        assert_eq!(calm.cwnd(), 500_000);
    }
}
