//! HyStart++ (RFC 9406): leaves slow start when round trips grow longer, before the queue overflows. Not at once: for up to
//! five rounds the window grows more slowly, and if round trips shorten again, it was a mistake.
//!
//! ```text
//!  slow start ──round trips grew by an eighth──► conservative ──five rounds──► congestion avoidance
//!      ▲                                              │
//!      └────────── shorter than when it began ────────┘
//! ```

use super::AckSample;
use super::round::Round;
use crate::time::Duration;
use crate::toolkit::Recovery;

/// Round trips in the initial slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HyStart {
    round: Round,
    /// lastRoundMinRTT and currentRoundMinRTT; [`Duration::MAX`] for infinity.
    last: Duration,
    current: Duration,
    /// rttSampleCount.
    samples: u8,
    /// cssBaselineMinRtt and how many rounds are left, in conservative slow start.
    conservative: Option<(Duration, u8)>,
}

/// How the window may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Full,
    /// By a quarter of that.
    Conservative,
    /// Slow start is over.
    Done,
}

impl HyStart {
    pub(super) const fn new() -> Self {
        Self { round: Round { left: 0 }, last: Duration::MAX, current: Duration::MAX, samples: 0, conservative: None }
    }

    /// Section 4.2, for a run of acknowledgements in slow start.
    pub(super) fn on_ack(&mut self, sample: &AckSample) -> Growth {
        if sample.recovery == Recovery::Fast {
            return self.growth();
        }
        if self.round.ends(sample) {
            if let Some((_, left)) = &mut self.conservative {
                *left -= 1;
                if *left == 0 {
                    *self = Self::new();
                    return Growth::Done;
                }
            }
            (self.last, self.current, self.samples) = (self.current, Duration::MAX, 0);
        }
        if let Some(rtt) = sample.rtt {
            self.current = self.current.min(rtt);
            self.samples = self.samples.saturating_add(1);
        }
        if self.samples >= RTT_SAMPLES_MIN {
            self.judge();
        }
        self.growth()
    }

    fn judge(&mut self) {
        match self.conservative {
            Some((baseline, _)) if self.current < baseline => self.conservative = None,
            Some(_) => {}
            None => {
                let threshold = (self.last / RTT_DIVISOR).clamp(RTT_THRESHOLD_MIN, RTT_THRESHOLD_MAX);
                if self.last != Duration::MAX && self.current >= self.last + threshold {
                    self.conservative = Some((self.current, CONSERVATIVE_ROUNDS));
                }
            }
        }
    }

    const fn growth(&self) -> Growth {
        if self.conservative.is_some() { Growth::Conservative } else { Growth::Full }
    }
}

/// Section 4.3.
const RTT_THRESHOLD_MIN: Duration = Duration::from_millis(4);
const RTT_THRESHOLD_MAX: Duration = Duration::from_millis(16);
const RTT_DIVISOR: u32 = 8;
const RTT_SAMPLES_MIN: u8 = 8;
const CONSERVATIVE_ROUNDS: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use proptest::prelude::*;

    /// A round of `window` acknowledgements with these round-trip times; what the last of them said.
    fn round(hystart: &mut HyStart, window: u64, rtt: impl Fn(u64) -> Duration) -> Growth {
        let mut growth = Growth::Full;
        for n in 0..window {
            let mut sample = AckSample::new(Instant::ZERO);
            (sample.delivered_bytes, sample.in_flight, sample.rtt) = (1, window, Some(rtt(n)));
            growth = hystart.on_ack(&sample);
            if growth == Growth::Done {
                break;
            }
        }
        growth
    }

    #[test]
    fn growing_round_trips_end_slow_start_after_five_careful_rounds() {
        let mut hystart = HyStart::new();
        let ms = Duration::from_millis;
        assert_eq!(round(&mut hystart, 20, |_| ms(100)), Growth::Full);
        assert_eq!(round(&mut hystart, 20, |_| ms(100)), Growth::Full);
        let said = (0..6).map(|n| round(&mut hystart, 20, |_| ms(120 + n))).collect::<Vec<_>>();
        assert!(said[..5].iter().all(|growth| *growth == Growth::Conservative), "{said:?}");
        assert_eq!(said[5], Growth::Done);
    }

    #[test]
    fn round_trips_that_shorten_again_resume_slow_start() {
        let mut hystart = HyStart::new();
        let ms = Duration::from_millis;
        round(&mut hystart, 20, |_| ms(100));
        assert_eq!(round(&mut hystart, 20, |_| ms(130)), Growth::Conservative);
        assert_eq!(round(&mut hystart, 20, |_| ms(102)), Growth::Full);
    }

    proptest! {
        /// Only the least of a round counts, so what delays some of its packets is no queue.
        #[test]
        fn jitter_does_not_end_it(jitter in prop::collection::vec(0u32..80_000, 200)) {
            let mut hystart = HyStart::new();
            for n in 0..10usize {
                let rtt = |at: u64| {
                    let extra = if at.is_multiple_of(4) { 0 } else { jitter[(n * 20 + at as usize) % 200] };
                    Duration::from_micros(100_000 + u64::from(extra))
                };
                prop_assert_ne!(round(&mut hystart, 20, rtt), Growth::Done);
            }
        }
    }
}
