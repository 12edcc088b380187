//! Queue disciplines: by what rule the queue before a rate limit tells senders that it fills, by dropping their packets or by
//! marking them (RFC 7567). Their sizes, and the check that they make sense.

mod codel;
mod red;

use std::time::Duration;

pub(crate) use codel::CoDel;
pub(crate) use red::Red;

use crate::config::LinkConfigError;
use crate::ecn;

/// The rule of a queue. Whatever it is, what does not fit into the queue is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Discipline {
    /// Drop-tail: it tells by being full, and in no other way.
    #[default]
    DropTail,
    /// A step: every packet that finds a long queue is told.
    Step(StepConfig),
    /// Random early detection: packets are told by chance, the more the longer the queue was of late.
    Red(RedConfig),
    /// Controlled delay: packets at the head are told when none of late has waited for less than a target.
    CoDel(CoDelConfig),
}

/// How a packet is told of congestion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// It is dropped.
    #[default]
    Drop,
    /// It is marked (CE) if its sender knows marks (ECT), and dropped otherwise (RFC 3168 5).
    MarkOrDrop,
    /// It is marked if its sender knows marks, and passes otherwise.
    MarkOnly,
}

/// What a queue does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Mark,
    Drop,
}

impl Signal {
    /// What it comes to for this frame.
    pub(crate) fn on(self, frame: &[u8]) -> Verdict {
        match self {
            Self::Drop => Verdict::Drop,
            Self::MarkOrDrop | Self::MarkOnly if ecn::is_markable(frame) => Verdict::Mark,
            Self::MarkOrDrop => Verdict::Drop,
            Self::MarkOnly => Verdict::Pass,
        }
    }
}

/// DCTCP's marking (RFC 8257 3.1): by the length of the queue at the moment, without memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepConfig {
    /// K: a packet that finds more frames than this in the queue, the one being sent included, is told.
    pub above_frames: u32,
    /// How.
    pub signal: Signal,
}

impl Default for StepConfig {
    /// 65 frames, as the paper has it for 10 Gbit/s; packets that cannot be marked are dropped.
    fn default() -> Self {
        Self { above_frames: 65, signal: Signal::MarkOrDrop }
    }
}

/// RED, by the names of Floyd and Jacobson 1993. Queue lengths are in frames, the one being sent included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RedConfig {
    /// `min_th`: below this average length nobody is told.
    pub average_frames_min: f64,
    /// `max_th`: from this average length on every packet is dropped, also one that could be marked (RFC 3168 7).
    pub average_frames_max: f64,
    /// `w_q`: how much each arriving packet moves the average towards the length that it finds, 0 to 1 and above 0.
    pub weight: f64,
    /// `max_p`: the probability as the average comes to its maximum.
    pub probability_max: f64,
    /// How packets are told between the two.
    pub signal: Signal,
}

impl Default for RedConfig {
    /// 5 and 15 frames, 0.002 and 2 %, as in the paper's simulations; drops.
    fn default() -> Self {
        Self {
            average_frames_min: 5.0,
            average_frames_max: 15.0,
            weight: 0.002,
            probability_max: 0.02,
            signal: Signal::Drop,
        }
    }
}

/// CoDel (RFC 8289).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDelConfig {
    /// TARGET: the wait that may stand.
    pub target: Duration,
    /// INTERVAL: how long it may be exceeded before the first packet is told; a worst round trip.
    pub interval: Duration,
    /// How packets are told.
    pub signal: Signal,
}

impl Default for CoDelConfig {
    /// 5 ms and 100 ms (RFC 8289 4.2, 4.3); drops.
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100), signal: Signal::Drop }
    }
}

impl Discipline {
    /// Checks the numbers.
    pub(crate) fn validate(&self) -> Result<(), LinkConfigError> {
        match self {
            Self::DropTail | Self::Step(_) => Ok(()),
            Self::Red(red) => red.validate(),
            Self::CoDel(codel) => codel.validate(),
        }
    }
}

impl RedConfig {
    fn validate(&self) -> Result<(), LinkConfigError> {
        let (min, max) = (self.average_frames_min, self.average_frames_max);
        if !(min.is_finite() && min >= 0.0) {
            return Err(LinkConfigError::Length { field: "discipline.average_frames_min", value: min });
        }
        if !(max.is_finite() && max > min) {
            return Err(LinkConfigError::Length { field: "discipline.average_frames_max", value: max });
        }
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return Err(LinkConfigError::Probability { field: "discipline.weight", value: self.weight });
        }
        if !(0.0..=1.0).contains(&self.probability_max) {
            let (field, value) = ("discipline.probability_max", self.probability_max);
            return Err(LinkConfigError::Probability { field, value });
        }
        Ok(())
    }
}

impl CoDelConfig {
    fn validate(&self) -> Result<(), LinkConfigError> {
        for (field, value) in [("discipline.target", self.target), ("discipline.interval", self.interval)] {
            if value.is_zero() {
                return Err(LinkConfigError::Zero { field });
            }
            if value > crate::config::DELAY_MAX {
                return Err(LinkConfigError::TooLong { field, value });
            }
        }
        Ok(())
    }
}
