//! Random early detection: Floyd and Jacobson, "Random Early Detection Gateways for Congestion Avoidance", 1993, section 4,
//! by its names. A packet's arrival decides over it.

use std::time::Duration;

use burstlane::time::nanos;

use super::{RedConfig, Signal, Verdict};
use crate::dice::Dice;

/// The memory of a RED queue.
#[derive(Clone, Debug)]
pub(crate) struct Red {
    config: RedConfig,
    /// `avg`, frames.
    average: f64,
    /// Packets since the last one that was told, while the average is between its bounds.
    count: Option<u32>,
}

impl Red {
    pub(crate) fn new(config: RedConfig) -> Self {
        Self { config, average: 0.0, count: None }
    }

    /// What becomes of a packet that finds `frames` in the queue. If there are none, the queue has been empty for `idle`, in
    /// which it could have sent packets like this one, each in `packet_time`.
    pub(crate) fn judge(
        &mut self,
        frames: usize,
        idle: Duration,
        packet_time: Duration,
        frame: &[u8],
        dice: &mut Dice,
    ) -> Verdict {
        self.remember(frames, idle, packet_time);
        let RedConfig { average_frames_min: min, average_frames_max: max, .. } = self.config;
        if self.average < min {
            self.count = None;
            return Verdict::Pass;
        }
        if self.average >= max {
            self.count = Some(0);
            return Signal::Drop.on(frame);
        }
        let count = self.count.map_or(0, |count| count.saturating_add(1));
        self.count = Some(count);
        // p_a = p_b / (1 - count p_b) makes the gaps between those told uniform instead of geometric.
        let p_b = self.config.probability_max * (self.average - min) / (max - min);
        let rest = 1.0 - f64::from(count) * p_b;
        let p_a = if rest > p_b { p_b / rest } else { 1.0 };
        if p_b > 0.0 && dice.chance(p_a) {
            self.count = Some(0);
            return self.config.signal.on(frame);
        }
        Verdict::Pass
    }

    /// Moves the average: while the queue was empty, as if packets had found it so.
    fn remember(&mut self, frames: usize, idle: Duration, packet_time: Duration) {
        if frames > 0 {
            self.average += self.config.weight * (frames as f64 - self.average);
        } else {
            let packets = nanos(idle) / nanos(packet_time).max(1);
            self.average *= power(1.0 - self.config.weight, packets);
        }
    }

    /// Frames in the queue, on average.
    #[cfg(test)]
    pub(crate) fn average(&self) -> f64 {
        self.average
    }
}

/// By squaring, because the bits of `powf` and `powi` are a platform's own, and a seed's run is the same everywhere.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An IPv4 header that says ECT(0).
    const ECT: [u8; 34] = {
        let mut frame = [0; 34];
        (frame[12], frame[14], frame[15]) = (8, 0x45, 2);
        frame
    };
    const MS: Duration = Duration::from_millis(1);

    fn told(config: RedConfig, frames: usize, packets: usize) -> (usize, Vec<usize>) {
        let (mut red, mut dice) = (Red::new(config), Dice::new(7));
        let told: Vec<usize> =
            (0..packets).filter(|_| red.judge(frames, MS, MS, &ECT, &mut dice) != Verdict::Pass).collect();
        (told.len(), told.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    proptest! {
        /// The average is the recurrence of the paper, packet by packet, and an idle queue forgets one packet a packet time.
        #[test]
        fn the_average_is_that_of_the_paper(
            steps in proptest::collection::vec((0_usize..40, 0_u64..30), 1..200),
            weight in 0.001..0.5_f64,
        ) {
            let config = RedConfig { weight, ..RedConfig::default() };
            let (mut red, mut dice) = (Red::new(config), Dice::new(0));
            let mut reference = 0.0;
            for (frames, idle) in steps {
                red.judge(frames, MS * idle as u32, MS, &[], &mut dice);
                let rounds = if frames > 0 { 1 } else { idle };
                for _ in 0..rounds {
                    reference = (1.0 - weight) * reference + weight * frames as f64;
                }
                prop_assert!((red.average() - reference).abs() < 1e-9, "{} {}", red.average(), reference);
            }
        }

        #[test]
        fn a_longer_queue_tells_no_fewer(frames in 0_usize..18, seed: u64) {
            // The same dice, a settled average: each packet that the shorter queue tells, the longer tells in the end, too.
            let rate = |frames| {
                let config = RedConfig { weight: 1.0, probability_max: 0.1, ..RedConfig::default() };
                let (mut red, mut dice) = (Red::new(config), Dice::new(seed));
                (0..5000).filter(|_| red.judge(frames, Duration::ZERO, MS, &[], &mut dice) == Verdict::Drop).count()
            };
            // Five deviations of the difference.
            prop_assert!(rate(frames + 1) + 100 > rate(frames));
        }
    }

    #[test]
    fn below_nobody_above_everybody_and_between_evenly() {
        let config =
            RedConfig { weight: 1.0, probability_max: 0.1, signal: Signal::MarkOrDrop, ..RedConfig::default() };
        assert_eq!(told(config, 4, 1000).0, 0);
        assert_eq!(told(config, 5, 1000).0, 0, "the probability begins at zero");
        assert_eq!(told(config, 15, 1000).0, 1000);
        // p_b is 5 %: the gaps are uniform in 1 to 1/p_b - 1 (section 7 of the paper), so one in ten is told.
        let (count, gaps) = told(config, 10, 21_000);
        assert!((2000..2200).contains(&count), "{count}");
        assert!(gaps.iter().all(|gap| *gap < 20), "{gaps:?}");
    }

    #[test]
    fn marks_where_it_may_and_drops_beyond_the_maximum() {
        let config =
            RedConfig { weight: 1.0, probability_max: 1.0, signal: Signal::MarkOrDrop, ..RedConfig::default() };
        let verdict = |frames, bytes: &[u8]| {
            let (mut red, mut dice) = (Red::new(config), Dice::new(0));
            (0..20).map(|_| red.judge(frames, MS, MS, bytes, &mut dice)).find(|verdict| *verdict != Verdict::Pass)
        };
        assert_eq!(verdict(14, &ECT), Some(Verdict::Mark));
        assert_eq!(verdict(14, &[]), Some(Verdict::Drop));
        assert_eq!(verdict(15, &ECT), Some(Verdict::Drop), "RFC 3168 7: a mark is no answer to an overload");
        assert_eq!(verdict(2, &[]), None);
    }

    #[test]
    fn powers_are_powers() {
        assert_eq!(power(0.5, 0), 1.0);
        assert_eq!(power(0.5, 10), 1.0 / 1024.0);
        assert_eq!(power(0.998, u64::MAX), 0.0);
    }
}
