//! What a standard link is like in one direction, and the check that it makes sense.

use std::time::Duration;

use thiserror::Error;

use crate::discipline::Discipline;

/// One direction of a link. The default is ideal: no delay, no limit, no fault.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// Bits a second of frame bytes, Ethernet header included, preamble and gap not. `None`: frames take no time.
    pub rate_bits_per_s: Option<u64>,
    /// How the queue before the rate limit tells senders that it fills.
    pub discipline: Discipline,
    /// Time on the wire, added to the time in the queue.
    pub delay: Duration,
    /// Each frame takes up to this much longer, uniformly.
    pub jitter: Duration,
    /// Whether frames may overtake each other by jitter. If not, a frame waits for those before it.
    pub jitter_reorders: bool,
    /// Most frames queued before the rate limit, the one being sent included; a further one is dropped.
    pub queue_frames_max: Option<u32>,
    /// The same in bytes. An empty queue takes a frame of any size.
    pub queue_bytes_max: Option<u64>,
    /// Probability, 0 to 1, that a frame is lost behind the queue (it did use the rate).
    pub loss: f64,
    /// Probability that a frame arrives twice.
    pub duplicate: f64,
    /// Probability that a frame is held back by [`reorder_delay`](Self::reorder_delay), so that later ones overtake it.
    pub reorder: f64,
    /// How long a reordered frame is held back.
    pub reorder_delay: Duration,
    /// Probability that one bit of a frame is flipped.
    pub corrupt: f64,
    /// Largest IP packet, bytes. Larger ones vanish, as they do in a path with a smaller MTU than its ends.
    pub mtu: u32,
    /// Frames to lose whatever the dice say: numbers from 0 of the frames that this direction was offered, ascending.
    pub drops: Vec<u64>,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rate_bits_per_s: None,
            discipline: Discipline::DropTail,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            jitter_reorders: false,
            queue_frames_max: None,
            queue_bytes_max: None,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::ZERO,
            corrupt: 0.0,
            mtu: MTU_MAX,
            drops: Vec::new(),
        }
    }
}

impl LinkConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that makes no sense, by name.
    pub fn validate(&self) -> Result<(), LinkConfigError> {
        let probabilities =
            [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder), ("corrupt", self.corrupt)];
        for (field, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err(LinkConfigError::Probability { field, value });
            }
        }
        let durations = [("delay", self.delay), ("jitter", self.jitter), ("reorder_delay", self.reorder_delay)];
        for (field, value) in durations {
            if value > DELAY_MAX {
                return Err(LinkConfigError::TooLong { field, value });
            }
        }
        if self.reorder > 0.0 && self.reorder_delay.is_zero() {
            return Err(LinkConfigError::ReorderWithoutDelay);
        }
        let limits = [
            ("rate_bits_per_s", self.rate_bits_per_s),
            ("queue_frames_max", self.queue_frames_max.map(u64::from)),
            ("queue_bytes_max", self.queue_bytes_max),
        ];
        for (field, value) in limits {
            if value == Some(0) {
                return Err(LinkConfigError::Zero { field });
            }
        }
        if !(MTU_MIN..=MTU_MAX).contains(&self.mtu) {
            return Err(LinkConfigError::Mtu { value: self.mtu });
        }
        if !self.drops.is_sorted() {
            return Err(LinkConfigError::DropsUnsorted);
        }
        if self.rate_bits_per_s.is_none() && self.discipline != Discipline::DropTail {
            return Err(LinkConfigError::DisciplineWithoutRate);
        }
        self.discipline.validate()
    }

    /// Whether every frame that fits arrives at once and intact.
    #[must_use]
    pub fn is_ideal(&self) -> bool {
        // The queue limits mean nothing without a rate, and `reorder_delay` nothing without `reorder`.
        self.rate_bits_per_s.is_none()
            && self.delay.is_zero()
            && self.jitter.is_zero()
            && [self.loss, self.duplicate, self.reorder, self.corrupt].iter().all(|p| *p == 0.0)
            && self.drops.is_empty()
    }
}

/// A link that cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LinkConfigError {
    /// Not a probability.
    #[error("link field `{field}` is a probability, 0 to 1, not {value}")]
    Probability {
        /// The field.
        field: &'static str,
        /// What it held.
        value: f64,
    },
    /// A time that no simulation wants.
    #[error("link field `{field}` is at most an hour, not {value:?}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What it held.
        value: Duration,
    },
    /// A limit of nothing lets nothing pass.
    #[error("link field `{field}` is at least 1 where it is given; leave it out for no limit")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// Reordering by no delay reorders nothing.
    #[error("link field `reorder_delay` must be above zero where `reorder` is")]
    ReorderWithoutDelay,
    /// Not an MTU.
    #[error("link field `mtu` is 68 to 65535 bytes, not {value}")]
    Mtu {
        /// What it held.
        value: u32,
    },
    /// Without a rate there is no queue.
    #[error("link field `discipline` needs `rate_bits_per_s`: without a rate there is no queue")]
    DisciplineWithoutRate,
    /// Not the length of a queue, or a maximum that is not above its minimum.
    #[error("link field `{field}` is a number of frames, 0 or more, and a maximum is above its minimum: not {value}")]
    Length {
        /// The field.
        field: &'static str,
        /// What it held.
        value: f64,
    },
    /// Out of order.
    #[error("link field `drops` is in ascending order")]
    DropsUnsorted,
}

/// RFC 791: every link carries 68 bytes.
const MTU_MIN: u32 = 68;
const MTU_MAX: u32 = 65_535;
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discipline::{CoDelConfig, RedConfig, StepConfig};

    fn with(discipline: Discipline) -> LinkConfig {
        LinkConfig { discipline, rate_bits_per_s: Some(1), ..LinkConfig::default() }
    }

    fn red(config: RedConfig) -> LinkConfig {
        with(Discipline::Red(config))
    }

    #[test]
    fn a_wrong_field_is_named() {
        let good = LinkConfig::default();
        assert_eq!(good.validate(), Ok(()));
        assert!(good.is_ideal());
        let wrong = [
            ("loss", LinkConfig { loss: 1.5, ..good.clone() }),
            ("duplicate", LinkConfig { duplicate: f64::NAN, ..good.clone() }),
            ("reorder_delay", LinkConfig { reorder: 0.1, ..good.clone() }),
            ("corrupt", LinkConfig { corrupt: -0.1, ..good.clone() }),
            ("jitter", LinkConfig { jitter: Duration::MAX, ..good.clone() }),
            ("rate_bits_per_s", LinkConfig { rate_bits_per_s: Some(0), ..good.clone() }),
            ("queue_frames_max", LinkConfig { queue_frames_max: Some(0), ..good.clone() }),
            ("mtu", LinkConfig { mtu: 20, ..good.clone() }),
            ("drops", LinkConfig { drops: vec![2, 1], ..good.clone() }),
            ("discipline", LinkConfig { discipline: Discipline::Step(StepConfig::default()), ..good.clone() }),
            ("discipline.weight", red(RedConfig { weight: 0.0, ..RedConfig::default() })),
            ("discipline.probability_max", red(RedConfig { probability_max: f64::NAN, ..RedConfig::default() })),
            ("discipline.average_frames_min", red(RedConfig { average_frames_min: -1.0, ..RedConfig::default() })),
            ("discipline.average_frames_max", red(RedConfig { average_frames_max: 5.0, ..RedConfig::default() })),
            (
                "discipline.target",
                with(Discipline::CoDel(CoDelConfig { target: Duration::ZERO, ..Default::default() })),
            ),
            (
                "discipline.interval",
                with(Discipline::CoDel(CoDelConfig { interval: Duration::MAX, ..Default::default() })),
            ),
        ];
        for (field, config) in wrong {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(&format!("`{field}`")), "{field}: {message}");
        }
        for discipline in [
            Discipline::Step(StepConfig::default()),
            Discipline::Red(RedConfig::default()),
            Discipline::CoDel(CoDelConfig::default()),
        ] {
            assert_eq!(with(discipline).validate(), Ok(()));
        }
    }
}
