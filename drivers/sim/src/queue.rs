//! The queue before a rate limit: first in, first out, with its limits, its [discipline](crate::Discipline), and the exact time
//! that each frame takes.
//!
//! Where arrivals decide over packets, when a frame leaves is known as it comes. Where the head of the queue does (CoDel),
//! frames wait until they come there: [`Offer::Waits`], and [`release`](Queue::release) later.

use std::collections::VecDeque;
use std::time::Duration;

use burstlane::time::Instant;

use crate::config::LinkConfig;
use crate::dice::Dice;
use crate::discipline::{CoDel, Discipline, Red, StepConfig, Verdict};

/// The frames in front of a rate limit, as what they are to it: times and sizes.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// `None`: there is no queue.
    rate: Option<RateLimit>,
    frames_max: Option<u32>,
    bytes_max: Option<u64>,
    rule: Rule,
    /// Frames on their way out: when the last bit of each is, and its bytes.
    leaving: VecDeque<(Instant, u64)>,
    /// Frames whose way is not decided, behind those: when each came, and its bytes.
    waiting: VecDeque<(Instant, u64)>,
    /// Bytes of all, and of those that wait.
    bytes: u64,
    waiting_bytes: u64,
}

#[derive(Clone, Debug)]
enum Rule {
    DropTail,
    Step(StepConfig),
    Red(Red),
    CoDel(CoDel),
}

/// What becomes of a frame that is offered to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// There is no room for it.
    Full,
    /// The discipline drops it.
    Dropped,
    /// Its last bit is out then.
    Leaves { at: Instant, is_marked: bool },
    /// That is decided when it comes to the head.
    Waits,
}

impl Queue {
    pub(crate) fn new(config: &LinkConfig) -> Self {
        let rule = match config.discipline {
            Discipline::DropTail => Rule::DropTail,
            Discipline::Step(step) => Rule::Step(step),
            Discipline::Red(red) => Rule::Red(Red::new(red)),
            Discipline::CoDel(codel) => Rule::CoDel(CoDel::new(codel)),
        };
        Self {
            rate: config.rate_bits_per_s.map(RateLimit::new),
            frames_max: config.queue_frames_max,
            bytes_max: config.queue_bytes_max,
            rule,
            leaving: VecDeque::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            waiting_bytes: 0,
        }
    }

    /// Offers a frame at `now`.
    pub(crate) fn offer(&mut self, now: Instant, frame: &[u8], dice: &mut Dice) -> Offer {
        let Some(rate) = &mut self.rate else { return Offer::Leaves { at: now, is_marked: false } };
        while let Some((_, bytes)) = self.leaving.pop_front_if(|(out_at, _)| *out_at <= now) {
            self.bytes -= bytes;
        }
        let (frames, bytes) = (self.leaving.len() + self.waiting.len(), frame.len() as u64);
        let frames_full = self.frames_max.is_some_and(|max| frames >= max as usize);
        let bytes_full = self.bytes_max.is_some_and(|max| self.bytes + bytes > max);
        if frames_full || (bytes_full && frames > 0) {
            return Offer::Full;
        }
        let verdict = match &mut self.rule {
            Rule::DropTail => Verdict::Pass,
            Rule::Step(step) if frames > step.above_frames as usize => step.signal.on(frame),
            Rule::Step(_) => Verdict::Pass,
            Rule::Red(red) => red.judge(frames, now.since(rate.free_at), rate.time_of(bytes), frame, dice),
            Rule::CoDel(codel) => {
                codel.on_arrival(bytes);
                self.waiting.push_back((now, bytes));
                self.waiting_bytes += bytes;
                self.bytes += bytes;
                return Offer::Waits;
            }
        };
        if verdict == Verdict::Drop {
            return Offer::Dropped;
        }
        let at = rate.send(now, bytes);
        self.leaving.push_back((at, bytes));
        self.bytes += bytes;
        Offer::Leaves { at, is_marked: verdict == Verdict::Mark }
    }

    /// When the first frame that waits comes to the head.
    pub(crate) fn next_release(&self) -> Option<Instant> {
        let (came_at, _) = self.waiting.front()?;
        Some(self.rate.as_ref().map_or(*came_at, |rate| rate.free_at.max(*came_at)))
    }

    /// Takes the first frame that waits, which is `frame`, from the head at `at`.
    pub(crate) fn release(&mut self, at: Instant, frame: &[u8]) -> Offer {
        let Some((came_at, bytes)) = self.waiting.pop_front() else { return Offer::Dropped };
        self.waiting_bytes -= bytes;
        let (Rule::CoDel(codel), Some(rate)) = (&mut self.rule, &mut self.rate) else { return Offer::Dropped };
        let signal = codel.config().signal.on(frame);
        let verdict = codel.judge(at, at.since(came_at), self.waiting_bytes, signal);
        if verdict == Verdict::Drop {
            self.bytes -= bytes;
            return Offer::Dropped;
        }
        let out_at = rate.send(at, bytes);
        self.leaving.push_back((out_at, bytes));
        Offer::Leaves { at: out_at, is_marked: verdict == Verdict::Mark }
    }
}

/// So many bits a second, one frame after another.
#[derive(Clone, Debug)]
struct RateLimit {
    bits_per_s: u64,
    free_at: Instant,
    /// What rounding to nanoseconds left over, in nanoseconds / rate, so that a long burst takes exactly its time.
    remainder: u64,
}

impl RateLimit {
    fn new(bits_per_s: u64) -> Self {
        Self { bits_per_s, free_at: Instant::ZERO, remainder: 0 }
    }

    /// When the last bit of a frame is out whose turn it is, or will be, and that is there from `from` on.
    fn send(&mut self, from: Instant, bytes: u64) -> Instant {
        if self.free_at < from {
            self.free_at = from;
            self.remainder = 0;
        }
        let (rate, work) = (u128::from(self.bits_per_s), bit_nanos(bytes) + u128::from(self.remainder));
        self.remainder = (work % rate) as u64;
        self.free_at += Duration::from_nanos((work / rate) as u64);
        self.free_at
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos((bit_nanos(bytes) / u128::from(self.bits_per_s)) as u64)
    }
}

/// Of a frame's bits, times the nanoseconds of a second: at most 64 KiB, so 2^49.
fn bit_nanos(bytes: u64) -> u128 {
    u128::from(bytes) * 8 * u128::from(NANOS_PER_SEC)
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
