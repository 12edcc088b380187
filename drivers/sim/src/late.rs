//! A driver that treats memory as AF_XDP and DPDK do, over a simulated link. For proofs: if a stack works over it, it
//! does not take for granted what plain memory grants.
//!
//! - The slots are the device's: they come from its own free list in batches, and go back there.
//! - Slots to receive into are lent beforehand. When none is lent, what arrives is lost.
//! - A transmitted frame's bytes are read some time after it was handed over, and its slot comes back later still. Both
//!   times the bytes are compared with what they were: [`LateCounters::overwritten`] is zero, or somebody wrote to a slot
//!   that was not his.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use burstlane::driver::{Capabilities, Driver, DriverError, ProtocolSet};
use burstlane::frame::{Backend, Frame, FrameMeta, FramePool, HeapRegion, Lent, PoolConfig};
use burstlane::time::Instant;

use crate::driver::SimDriver;

/// Sizes and times of a [`LateDriver`].
#[derive(Clone, Copy, Debug)]
pub struct LateConfig {
    /// The device's memory.
    pub pool: PoolConfig,
    /// Slots that the device gives out at a time, at most.
    pub batch_slots: usize,
    /// Slots kept lent to receive into.
    pub rx_slots: usize,
    /// Frames handed over and not completed, at most.
    pub tx_slots: usize,
    /// From the handing over until the bytes are read.
    pub wire_delay: Duration,
    /// From then until the slot may come back.
    pub completion_delay: Duration,
    /// Calls of `reap` from then until it does come back.
    pub completion_reaps: u32,
}

impl Default for LateConfig {
    /// 1,024 slots, 64 of them to receive into; bytes are read after 5 us, slots back 50 us and three turns later.
    fn default() -> Self {
        Self {
            pool: PoolConfig { slots: 1024, ..PoolConfig::default() },
            batch_slots: 32,
            rx_slots: 64,
            tx_slots: 256,
            wire_delay: Duration::from_micros(5),
            completion_delay: Duration::from_micros(50),
            completion_reaps: 3,
        }
    }
}

/// A simulated end with foreign memory and late completion. It has no offloads, as such devices have none.
pub struct LateDriver {
    end: SimDriver,
    config: LateConfig,
    pool: FramePool,
    filled: VecDeque<Lent>,
    transmissions: VecDeque<Transmission>,
    counters: Rc<LateCounters>,
    burst: Vec<Frame>,
}

/// What a [`LateDriver`] counted, as it stands.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LateCounters {
    /// Frames handed over to send.
    pub taken: Cell<u64>,
    /// Frames whose slots came back.
    pub completed: Cell<u64>,
    /// Times that a frame's bytes had changed while the device held them.
    pub overwritten: Cell<u64>,
    /// Received and dropped: no slot was lent.
    pub rx_no_slot: Cell<u64>,
    /// Received and dropped: larger than a slot.
    pub rx_too_big: Cell<u64>,
    /// Batches of slots that the device gave out or took back.
    pub batches: Cell<u64>,
}

/// A frame that the device holds.
struct Transmission {
    lent: Lent,
    meta: FrameMeta,
    partial: Option<(usize, usize)>,
    bytes: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Its bytes are read at this time.
    Waiting { read_at: Instant },
    /// They were; the slot comes back when both are past.
    Sent { complete_at: Instant, reaps_left: u32 },
}

/// The device's own free list.
struct FreeList {
    free: Vec<u32>,
    batch_slots: usize,
    counters: Rc<LateCounters>,
}

impl Backend for FreeList {
    fn refill(&mut self, out: &mut Vec<u32>, count: usize) {
        let keep = self.free.len() - self.free.len().min(count).min(self.batch_slots);
        out.extend(self.free.drain(keep..));
        bump(&self.counters.batches);
    }

    fn recycle(&mut self, slots: &mut Vec<u32>) {
        self.free.append(slots);
        bump(&self.counters.batches);
    }
}

impl LateDriver {
    /// Puts a device with memory of its own behind `end`, whose memory becomes that of the wire.
    ///
    /// # Panics
    /// If the pool has no slots, or they are too small for their headroom.
    #[must_use]
    pub fn new(end: SimDriver, config: LateConfig) -> Self {
        let counters = Rc::new(LateCounters::default());
        let free = (0..config.pool.slots).collect();
        let backend = FreeList { free, batch_slots: config.batch_slots.max(1), counters: counters.clone() };
        let region = HeapRegion::new(config.pool.slots as usize * config.pool.slot_bytes as usize);
        let pool = FramePool::foreign(Box::new(region), config.pool, Box::new(backend));
        let (filled, transmissions) = (VecDeque::new(), VecDeque::new());
        let mut driver = Self { end, config, pool, filled, transmissions, counters, burst: Vec::new() };
        driver.fill();
        driver
    }

    /// The counters, for whoever watches the lane.
    #[must_use]
    pub fn counters(&self) -> Rc<LateCounters> {
        self.counters.clone()
    }

    /// The simulated end beneath.
    #[must_use]
    pub fn end(&self) -> &SimDriver {
        &self.end
    }

    /// Frames handed over that did not come back yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.transmissions.len()
    }

    /// Lends slots to receive into.
    fn fill(&mut self) {
        while self.filled.len() < self.config.rx_slots {
            let Some(frame) = self.pool.alloc() else { return };
            self.filled.push_back(frame.lend());
        }
    }

    /// The device writes a frame from the wire into a lent slot and gives it back.
    fn deliver(&mut self, arrived: &Frame) -> Option<Frame> {
        if arrived.len() > self.pool.frame_bytes_max() {
            bump(&self.counters.rx_too_big);
            return None;
        }
        let Some(lent) = self.filled.pop_front() else {
            bump(&self.counters.rx_no_slot);
            return None;
        };
        let mut frame = self.pool.take_back(Lent { len: arrived.len() as u32, ..lent })?;
        frame.bytes_mut().copy_from_slice(arrived.bytes());
        describe(&mut frame, arrived.meta, arrived.partial_checksum());
        Some(frame)
    }

    /// The device reads what is due, in order, and sends it.
    fn send_due(&mut self) -> Result<(), DriverError> {
        let now = self.end.network().now();
        for transmission in &mut self.transmissions {
            match transmission.stage {
                Stage::Sent { .. } => continue,
                Stage::Waiting { read_at } if read_at > now => break,
                Stage::Waiting { .. } => {}
            }
            let Some(mut copy) = self.end.pool().alloc() else { break };
            let Some(frame) = self.pool.take_back(transmission.lent) else { break };
            if frame.bytes() != transmission.bytes {
                bump(&self.counters.overwritten);
            }
            // A frame larger than the wire's slots is lost there, as on any wire that is too narrow.
            if copy.extend_from_slice(frame.bytes()) {
                describe(&mut copy, transmission.meta, transmission.partial);
                self.burst.push(copy);
            }
            transmission.lent = frame.lend();
            let complete_at = now + self.config.completion_delay;
            self.end.network().alarm(complete_at);
            transmission.stage = Stage::Sent { complete_at, reaps_left: self.config.completion_reaps };
        }
        let outcome = self.end.tx_burst(&mut self.burst);
        self.burst.clear();
        outcome
    }

    /// Gives back the slots of what is completed, in order.
    fn complete(&mut self) {
        let now = self.end.network().now();
        while let Some(transmission) = self.transmissions.front() {
            let Stage::Sent { complete_at, reaps_left: 0 } = transmission.stage else { return };
            if complete_at > now {
                return;
            }
            if self.pool.take_back(transmission.lent).is_none_or(|frame| frame.bytes() != transmission.bytes) {
                bump(&self.counters.overwritten);
            }
            bump(&self.counters.completed);
            self.transmissions.pop_front();
        }
    }
}

impl Driver for LateDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities { tx_checksum: false, segments: ProtocolSet::NONE, ..self.end.capabilities() }
    }

    fn pool(&self) -> &FramePool {
        &self.pool
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        self.send_due()?;
        self.fill();
        let mut arrived = std::mem::take(&mut self.burst);
        let outcome = self.end.rx_burst(&mut arrived, frames_max);
        frames.extend(arrived.drain(..).filter_map(|frame| self.deliver(&frame)));
        self.burst = arrived;
        self.fill();
        outcome
    }

    fn tx_room(&self) -> usize {
        self.config.tx_slots.saturating_sub(self.transmissions.len()).min(self.end.tx_room())
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        let count = frames.len().min(self.tx_room());
        let read_at = self.end.network().now() + self.config.wire_delay;
        self.end.network().alarm(read_at);
        for frame in frames.drain(..count) {
            bump(&self.counters.taken);
            let (meta, partial, bytes) = (frame.meta, frame.partial_checksum(), frame.bytes().to_vec());
            // Frames of another interface's memory cannot be sent from: such devices copy them.
            let frame = if frame.pool().is_same(&self.pool) { Some(frame) } else { copy_into(&self.pool, &bytes) };
            let Some(frame) = frame else { continue };
            let stage = Stage::Waiting { read_at };
            self.transmissions.push_back(Transmission { lent: frame.lend(), meta, partial, bytes, stage });
        }
        self.send_due()
    }

    fn reap(&mut self) {
        for transmission in &mut self.transmissions {
            if let Stage::Sent { reaps_left, .. } = &mut transmission.stage {
                *reaps_left = reaps_left.saturating_sub(1);
            }
        }
        // What is wrong with the link, the next burst says.
        let _ = self.send_due();
        self.complete();
        self.fill();
    }

    fn is_up(&self) -> bool {
        self.end.is_up()
    }
}

/// The device lets go of all slots.
impl Drop for LateDriver {
    fn drop(&mut self) {
        let held = self.filled.drain(..).chain(self.transmissions.drain(..).map(|t| t.lent));
        held.for_each(|lent| drop(self.pool.take_back(lent)));
    }
}

fn copy_into(pool: &FramePool, bytes: &[u8]) -> Option<Frame> {
    let mut frame = pool.alloc()?;
    frame.extend_from_slice(bytes).then_some(frame)
}

fn describe(frame: &mut Frame, meta: FrameMeta, partial: Option<(usize, usize)>) {
    frame.meta = meta;
    if let Some((start, field)) = partial {
        // The place is kept relative to the slot, and this is another slot.
        frame.set_partial_checksum(start, field);
    }
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EndConfig, Ideal, Network};

    fn late(config: LateConfig) -> (Network, LateDriver, SimDriver) {
        let net = Network::new();
        let (a, b) = net.link(EndConfig::host(1), EndConfig::host(2), Box::<Ideal>::default(), Box::<Ideal>::default());
        (net, LateDriver::new(a, config), b)
    }

    fn frame(pool: &FramePool, tag: u8) -> Option<Frame> {
        copy_into(pool, &[tag; 100])
    }

    #[test]
    fn slots_come_back_late_and_in_order() {
        let (net, mut late, mut peer) = late(LateConfig { completion_reaps: 2, ..LateConfig::default() });
        let mut burst = vec![frame(late.pool(), 1).unwrap(), frame(late.pool(), 2).unwrap()];
        late.tx_burst(&mut burst).unwrap();
        let mut got = vec![];
        peer.rx_burst(&mut got, 8).unwrap();
        assert!(got.is_empty(), "not read yet");
        net.advance(net.next_arrival().unwrap());
        late.reap();
        peer.rx_burst(&mut got, 8).unwrap();
        assert_eq!((got.len(), late.outstanding(), late.pool().lent()), (2, 2, 66));
        net.advance(net.next_arrival().unwrap());
        late.reap();
        assert_eq!(late.outstanding(), 2, "the time is past, but not the reaps");
        late.reap();
        assert_eq!((late.outstanding(), late.pool().in_use(), late.pool().lent()), (0, 0, 64));
    }

    #[test]
    fn a_device_without_slots_loses_what_arrives() {
        let small = PoolConfig { slots: 4, ..PoolConfig::default() };
        let (_, mut late, mut peer) = late(LateConfig { pool: small, rx_slots: 3, ..LateConfig::default() });
        peer.tx_burst(&mut (0..5).filter_map(|tag| frame(peer.pool(), tag)).collect()).unwrap();
        let mut got = vec![];
        late.rx_burst(&mut got, 8).unwrap();
        assert_eq!((got.len(), late.counters().rx_no_slot.get()), (3, 2));
        assert!(got.iter().zip(0..).all(|(f, tag)| f.bytes() == [tag; 100]));
        assert_eq!(late.pool().lent(), 1, "only one was left to lend");
        got.clear();
        late.reap();
        assert_eq!(late.pool().lent(), 3);
    }

    proptest! {
        #[test]
        fn nothing_leaks_and_nothing_is_overwritten(
            steps in proptest::collection::vec((0_u8..4, 1_u8..40), 1..150),
            slots in 100_u32..300,
        ) {
            let config = LateConfig {
                pool: PoolConfig { slots, ..PoolConfig::default() },
                tx_slots: 40,
                ..LateConfig::default()
            };
            let (net, mut late, mut peer) = late(config);
            let (mut tag, mut sent, mut got, mut kept) = (0_u8, vec![], vec![], vec![]);
            for (step, n) in steps {
                match step {
                    0 => {
                        let n = usize::from(n).min(late.tx_room());
                        let mut burst = vec![];
                        while burst.len() < n && let Some(f) = frame(late.pool(), tag) {
                            burst.push(f);
                            sent.push(tag);
                            tag = tag.wrapping_add(1);
                        }
                        late.tx_burst(&mut burst).unwrap();
                        prop_assert!(burst.is_empty());
                    }
                    1 => peer.tx_burst(&mut (0..n).filter_map(|t| frame(peer.pool(), t)).collect()).unwrap(),
                    2 => {
                        kept.clear();
                        late.rx_burst(&mut kept, usize::from(n)).unwrap();
                    }
                    _ => if let Some(at) = net.next_arrival() { net.advance(at) },
                }
                late.reap();
                peer.rx_burst(&mut got, 100).unwrap();
            }
            while late.outstanding() > 0 {
                if let Some(at) = net.next_arrival() { net.advance(at); }
                late.reap();
            }
            peer.rx_burst(&mut got, 10_000).unwrap();
            kept.clear();
            late.rx_burst(&mut kept, 10_000).unwrap();
            kept.clear();
            prop_assert_eq!(got.iter().map(|f| f.bytes()[0]).collect::<Vec<_>>(), sent);
            got.clear();
            let (counters, pool) = (late.counters(), late.pool().clone());
            prop_assert_eq!(counters.overwritten.get(), 0);
            prop_assert_eq!(counters.completed.get(), counters.taken.get());
            prop_assert_eq!(late.end().handle().frames_out() + peer.handle().frames_out(), 0);
            drop(late);
            prop_assert_eq!((pool.in_use(), pool.lent()), (0, 0));
            prop_assert_eq!(std::iter::from_fn(|| pool.alloc()).map(Frame::lend).count(), slots as usize);
        }
    }
}
