//! The standard link: a queue with its discipline before a rate limit, a wire with delay behind it, and faults by chance, all
//! drawn from one seed.

use burstlane::time::Instant;

use crate::config::{LinkConfig, LinkConfigError};
use crate::dice::Dice;
use crate::model::{Damage, Deliveries, Delivery, Fate, LinkModel, Passing, frame_bytes_max};
use crate::queue::{Offer, Queue};

/// A link with the properties of a [`LinkConfig`].
#[derive(Clone, Debug)]
pub struct StandardLink {
    config: LinkConfig,
    frame_bytes_max: usize,
    dice: Dice,
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
            dice: Dice::new(seed),
            queue: Queue::new(&config),
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

    /// The wire behind the queue, for a frame that was offered at `from` and whose last bit enters the wire at `sent_at`.
    fn cross(&mut self, from: Instant, index: u64, sent_at: Instant, is_marked: bool) -> Fate {
        let scheduled = self.is_scheduled_to_drop(index);
        if self.dice.chance(self.config.loss) || scheduled {
            return Fate::Lost;
        }
        let mut arrives_at = sent_at + self.config.delay + self.dice.up_to(self.config.jitter);
        if !self.config.jitter_reorders {
            arrives_at = arrives_at.max(self.last_arrival);
        }
        self.last_arrival = arrives_at;
        if self.dice.chance(self.config.reorder) {
            arrives_at += self.config.reorder_delay;
        }
        let copies = 1 + usize::from(self.dice.chance(self.config.duplicate));
        let delay = arrives_at.since(from);
        let mut deliveries = Deliveries::new();
        for _ in 0..copies {
            // A packet that is damaged needs no mark: nobody will read it.
            let damage = match (self.dice.chance(self.config.corrupt), is_marked) {
                (true, _) => Damage::FlipBit(self.dice.next_u32()),
                (false, true) => Damage::MarkCongestion,
                (false, false) => Damage::None,
            };
            deliveries.push(Delivery { delay, damage });
        }
        Fate::Arrives(deliveries)
    }

    fn follow(&mut self, from: Instant, index: u64, offer: Offer) -> Fate {
        match offer {
            Offer::Full => Fate::QueueFull,
            Offer::Dropped => Fate::Dropped,
            Offer::Waits => Fate::Waits,
            Offer::Leaves { at, is_marked } => self.cross(from, index, at, is_marked),
        }
    }
}

impl LinkModel for StandardLink {
    fn transit(&mut self, now: Instant, frame: &Passing<'_>) -> Fate {
        if frame.packet_bytes > self.frame_bytes_max {
            return Fate::TooBig;
        }
        let offer = self.queue.offer(now, frame.bytes, &mut self.dice);
        self.follow(now, frame.index, offer)
    }

    fn next_release(&self) -> Option<Instant> {
        self.queue.next_release()
    }

    fn release(&mut self, at: Instant, frame: &Passing<'_>) -> Fate {
        let offer = self.queue.release(at, frame.bytes);
        self.follow(at, frame.index, offer)
    }

    fn ideal_frame_bytes_max(&self) -> Option<usize> {
        self.config.is_ideal().then_some(self.frame_bytes_max)
    }
}
