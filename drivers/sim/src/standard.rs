//! The standard link: a drop-tail queue before a rate limit, a wire with delay behind it, and faults by chance, all
//! drawn from one seed.

use std::collections::VecDeque;
use std::time::Duration;

use burstlane::time::{Instant, nanos};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::config::{LinkConfig, LinkConfigError};
use crate::model::{Damage, Deliveries, Delivery, Fate, LinkModel, Passing, frame_bytes_max};

/// A link with the properties of a [`LinkConfig`].
#[derive(Clone, Debug)]
pub struct StandardLink {
    config: LinkConfig,
    frame_bytes_max: usize,
    dice: ChaCha8Rng,
    queue: Queue,
    /// Arrival of the frame sent last, not counting what reordering held back.
    last_arrival: Instant,
    /// The entry of `config.drops` that is due next.
    next_drop: usize,
}

impl StandardLink {
    /// A link whose chances are drawn from `seed`.
    ///
    /// # Errors
    /// As [`LinkConfig::validate`].
    pub fn new(config: LinkConfig, seed: u64) -> Result<Self, LinkConfigError> {
        config.validate()?;
        Ok(Self {
            frame_bytes_max: frame_bytes_max(config.mtu),
            dice: ChaCha8Rng::seed_from_u64(seed),
            queue: Queue::default(),
            last_arrival: Instant::ZERO,
            next_drop: 0,
            config,
        })
    }

    /// [`new`](Self::new), in the box that a network takes.
    ///
    /// # Errors
    /// As [`LinkConfig::validate`].
    pub fn boxed(config: LinkConfig, seed: u64) -> Result<Box<dyn LinkModel>, LinkConfigError> {
        Ok(Box::new(Self::new(config, seed)?))
    }

    fn is_scheduled_to_drop(&mut self, index: u64) -> bool {
        while let Some(&due) = self.config.drops.get(self.next_drop) {
            if due > index {
                return false;
            }
            self.next_drop += 1;
            if due == index {
                return true;
            }
        }
        false
    }

    /// True with probability `p`. Draws only where there is a choice, so unused faults cost nothing.
    fn chance(&mut self, p: f64) -> bool {
        const ONE: f64 = (1_u64 << 53) as f64;
        p > 0.0 && ((self.dice.next_u64() >> 11) as f64) < p * ONE
    }

    /// Uniform in 0 to `max`, both included.
    fn up_to(&mut self, max: Duration) -> Duration {
        if max.is_zero() {
            return Duration::ZERO;
        }
        let span = u128::from(nanos(max)) + 1;
        Duration::from_nanos(((u128::from(self.dice.next_u64()) * span) >> 64) as u64)
    }
}

impl LinkModel for StandardLink {
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        if frame.packet_bytes > self.frame_bytes_max {
            return Fate::TooBig;
        }
        let Some(sent_at) = self.queue.send(&self.config, now, frame.bytes.len()) else { return Fate::QueueFull };
        let scheduled = self.is_scheduled_to_drop(frame.index);
        if self.chance(self.config.loss) || scheduled {
            return Fate::Lost;
        }
        let mut arrives_at = sent_at + self.config.delay + self.up_to(self.config.jitter);
        if !self.config.jitter_reorders {
            arrives_at = arrives_at.max(self.last_arrival);
        }
        self.last_arrival = arrives_at;
        if self.chance(self.config.reorder) {
            arrives_at += self.config.reorder_delay;
        }
        let copies = 1 + usize::from(self.chance(self.config.duplicate));
        let delay = arrives_at.since(now);
        let mut deliveries = Deliveries::new();
        for _ in 0..copies {
            let corrupt = self.chance(self.config.corrupt);
            let damage = if corrupt { Damage::FlipBit(self.dice.next_u32()) } else { Damage::None };
            deliveries.push(Delivery { delay, damage });
        }
        Fate::Arrives(deliveries)
    }

    fn ideal_frame_bytes_max(&self) -> Option<usize> {
        self.config.is_ideal().then_some(self.frame_bytes_max)
    }
}

/// The frames in front of a rate limit, as what they are to it: when each is out, and its size.
#[derive(Clone, Debug, Default)]
struct Queue {
    waiting: VecDeque<(Instant, usize)>,
    bytes: u64,
    free_at: Instant,
    /// What rounding to nanoseconds left over, in nanoseconds / rate, so that a long burst takes exactly its time.
    remainder: u64,
}

impl Queue {
    /// When the last bit of a frame offered now is out; `None` if there is no room for it.
    fn send(&mut self, config: &LinkConfig, now: Instant, frame_bytes: usize) -> Option<Instant> {
        let Some(rate) = config.rate_bits_per_s else { return Some(now) };
        while let Some(&(_, bytes)) = self.waiting.front().filter(|(out_at, _)| *out_at <= now) {
            self.bytes -= bytes as u64;
            self.waiting.pop_front();
        }
        let frames_full = config.queue_frames_max.is_some_and(|max| self.waiting.len() >= max as usize);
        let bytes_full = config.queue_bytes_max.is_some_and(|max| self.bytes + frame_bytes as u64 > max);
        if frames_full || (bytes_full && !self.waiting.is_empty()) {
            return None;
        }
        if self.free_at < now {
            self.free_at = now;
            self.remainder = 0;
        }
        // At most 64 KiB: 2^19 bits, 2^49 with the nanoseconds; the remainder is below the rate.
        let work = u128::from(frame_bytes as u64) * 8 * u128::from(NANOS_PER_SEC) + u128::from(self.remainder);
        self.remainder = (work % u128::from(rate)) as u64;
        self.free_at += Duration::from_nanos((work / u128::from(rate)) as u64);
        self.waiting.push_back((self.free_at, frame_bytes));
        self.bytes += frame_bytes as u64;
        Some(self.free_at)
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;
