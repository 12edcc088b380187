//! A device with several queues: one end of a link, and a driver for each of a host's lanes. Packets are steered from the
//! end to the queues' rings by [`SteeringConfig`]; to the wrong one, if a test says so.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use burstlane::driver::{Capabilities, Driver, DriverError};
use burstlane::frame::{Frame, FramePool};

use crate::dice::Dice;
use crate::driver::{EndConfig, EndHandle, SimDriver};
use crate::faults::Faults;
use crate::network::Pools;
use crate::steering::{Destination, Steering, SteeringConfig};

/// The device behind the queues, for who watches and who makes it misbehave. Cloning clones the handle.
#[derive(Clone)]
pub struct MultiQueue(Rc<RefCell<Device>>);

/// One queue, as a lane's driver.
pub struct QueueDriver {
    device: Rc<RefCell<Device>>,
    queue: usize,
    capabilities: Capabilities,
    pools: Pools,
    faults: Rc<Faults>,
    ring: Ring,
}

/// What a device counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultiQueueStats {
    /// Frames that came to the device. Each has a number, from 0.
    pub received: u64,
    /// Those steered by what a queue had sent, and not by the hash.
    pub learned: u64,
    /// Those that went to another queue than they should have.
    pub missteered: u64,
    /// Copies made for other queues.
    pub copied: u64,
    /// Copies not made for want of packet memory.
    pub not_copied: u64,
    /// Dropped: the queue's ring was full, or the queue was down.
    pub missed: u64,
}

/// Frames that a queue's lane has not fetched yet.
pub(crate) type Ring = Rc<RefCell<VecDeque<Frame>>>;

struct Device {
    end: SimDriver,
    steering: Steering,
    queues: Vec<Queue>,
    stats: MultiQueueStats,
    /// Numbers of frames to mis-steer, and how many of the others.
    wrong: BTreeSet<u64>,
    wrong_fraction: f64,
    dice: Dice,
    arrived: Vec<Frame>,
}

struct Queue {
    ring: Ring,
    ring_frames: usize,
    pools: Pools,
}

impl MultiQueue {
    /// Makes a device with `queues` (at least 1) of `end`. Each queue has the packet memory, the room and the ring that
    /// `queue` says; the Ethernet address and the offloads are the end's.
    #[must_use]
    pub fn new(end: SimDriver, queues: u16, queue: &EndConfig, steering: SteeringConfig) -> (Self, Vec<QueueDriver>) {
        let count = usize::from(queues.max(1));
        let (network, capabilities) = (end.network().clone(), end.capabilities());
        let device = Rc::new(RefCell::new(Device {
            end,
            steering: Steering::new(steering, count),
            queues: Vec::new(),
            stats: MultiQueueStats::default(),
            wrong: BTreeSet::new(),
            wrong_fraction: 0.0,
            dice: Dice::new(0),
            arrived: Vec::new(),
        }));
        let drivers = (0..count).map(|number| {
            let (pools, ring) = (Pools::new(queue), Ring::default());
            let ring_frames = queue.rx_ring_frames.unwrap_or(usize::MAX);
            device.borrow_mut().queues.push(Queue { ring: ring.clone(), ring_frames, pools: pools.clone() });
            let faults = Rc::new(Faults::new(network.clone(), queue.tx_room_frames));
            let capabilities = capabilities.clone();
            QueueDriver { device: device.clone(), queue: number, capabilities, pools, faults, ring }
        });
        let drivers = drivers.collect();
        (Self(device), drivers)
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> MultiQueueStats {
        self.0.borrow().stats
    }

    /// The whole device's end of the link: its faults are all queues', its packet memory is none's.
    #[must_use]
    pub fn end(&self) -> EndHandle {
        self.0.borrow().end.handle()
    }

    /// Steers the frames of these numbers to the queue behind the right one, unless they go to every queue. They need not
    /// have come yet.
    pub fn missteer(&self, frames: impl IntoIterator<Item = u64>) {
        self.0.borrow_mut().wrong.extend(frames);
    }

    /// Steers this fraction of all frames, 0 to 1, wrongly from now on, by dice of this seed.
    pub fn missteer_fraction(&self, fraction: f64, seed: u64) {
        let mut device = self.0.borrow_mut();
        (device.wrong_fraction, device.dice) = (fraction, Dice::new(seed));
    }
}

impl Device {
    /// Takes from the wire what is there, and puts it into the rings.
    fn pull(&mut self) -> Result<(), DriverError> {
        let mut arrived = std::mem::take(&mut self.arrived);
        let outcome = self.end.rx_burst(&mut arrived, usize::MAX);
        for frame in arrived.drain(..) {
            self.steer(frame);
        }
        self.arrived = arrived;
        outcome
    }

    fn steer(&mut self, frame: Frame) {
        let number = self.stats.received;
        self.stats.received += 1;
        let queue = match self.steering.destination(frame.bytes()) {
            Destination::Every => return self.put_everywhere(frame),
            Destination::First => 0,
            Destination::Hashed(queue) => queue,
            Destination::Learned(queue) => {
                self.stats.learned += 1;
                queue
            }
        };
        // Short-circuiting would make the dice depend on the list.
        let is_wrong = self.dice.chance(self.wrong_fraction) | self.wrong.remove(&number);
        if is_wrong && self.queues.len() > 1 {
            self.stats.missteered += 1;
            self.put((queue + 1) % self.queues.len(), frame);
        } else {
            self.put(queue, frame);
        }
    }

    fn put_everywhere(&mut self, frame: Frame) {
        for number in 1..self.queues.len() {
            match self.queues.get(number).and_then(|queue| queue.pools.copy_of(&frame)) {
                Some(copy) => {
                    self.stats.copied += 1;
                    self.put(number, copy);
                }
                None => self.stats.not_copied += 1,
            }
        }
        self.put(0, frame);
    }

    fn put(&mut self, queue: usize, frame: Frame) {
        let Some(Queue { ring, ring_frames, .. }) = self.queues.get(queue) else { return };
        let mut ring = ring.borrow_mut();
        if ring.len() < *ring_frames {
            ring.push_back(frame);
        } else {
            self.stats.missed += 1;
        }
    }
}

impl QueueDriver {
    /// A handle that stays with the test when the driver goes to its lane: to the queue's memory and faults. What it tells
    /// of frames sent and received is the whole link's.
    #[must_use]
    pub fn handle(&self) -> EndHandle {
        let end = self.device.borrow().end.handle();
        end.of_queue(self.faults.clone(), self.pools.clone(), self.ring.clone())
    }
}

impl Driver for QueueDriver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn pool(&self) -> &FramePool {
        &self.pools.normal
    }

    fn large_pool(&self) -> Option<&FramePool> {
        self.pools.large.as_ref()
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        self.faults.keep_dry(&self.pools);
        let mut device = self.device.borrow_mut();
        let outcome = device.pull();
        let mut ring = self.ring.borrow_mut();
        if self.faults.lost_until().is_some() {
            device.stats.missed += ring.len() as u64;
            ring.clear();
        }
        self.faults.check_up()?;
        if self.faults.receives() {
            let count = ring.len().min(frames_max);
            frames.extend(ring.drain(..count));
        }
        outcome
    }

    fn tx_room(&self) -> usize {
        self.faults.keep_dry(&self.pools);
        self.faults.tx_room().min(self.device.borrow().end.tx_room())
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        self.faults.check_up()?;
        let count = frames.len().min(self.tx_room());
        let device = &mut *self.device.borrow_mut();
        for frame in frames.iter().take(count) {
            device.steering.learn(self.queue, frame.bytes());
        }
        device.end.send_from(&self.pools, frames, count)
    }

    fn is_up(&self) -> bool {
        self.faults.is_up() && self.device.borrow().end.is_up()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use burstlane::time::Instant;

    use super::*;
    use crate::{Half, Ideal, Network};

    fn device(queues: u16, queue: &EndConfig) -> (Network, SimDriver, MultiQueue, Vec<QueueDriver>) {
        let net = Network::new();
        let ideal = || Box::<Ideal>::default();
        let (peer, end) = net.link(EndConfig::host(1), EndConfig::host(2), ideal(), ideal());
        let (device, drivers) = MultiQueue::new(end, queues, queue, SteeringConfig::default());
        (net, peer, device, drivers)
    }

    /// UDP between 10.0.0.`from` and 10.0.0.`to`, or ARP if `from` is 0.
    fn frame(pool: &FramePool, from: u8, to: u8, ports: [u16; 2], tag: u8) -> Frame {
        let mut bytes = vec![0; 12];
        bytes.extend([8, if from == 0 { 6 } else { 0 }, 0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0]);
        bytes.extend([10, 0, 0, from, 10, 0, 0, to]);
        bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        bytes.extend([0, 9, 0, 0, tag]);
        let mut frame = pool.alloc().unwrap();
        assert!(frame.extend_from_slice(&bytes));
        frame
    }

    fn heard(driver: &mut QueueDriver) -> Vec<u8> {
        let mut frames = vec![];
        driver.rx_burst(&mut frames, 1000).unwrap();
        frames.iter().map(|frame| frame.bytes()[42]).collect()
    }

    proptest! {
        /// Whatever comes and goes wrong: each frame reaches one queue, or is counted; what one flow sends arrives in order
        /// unless it is mis-steered; and nothing leaks.
        #[test]
        fn every_frame_reaches_one_queue_or_is_counted(
            flows in proptest::collection::vec(0_u16..10, 1..200),
            wrong in proptest::collection::btree_set(0_u64..200, 0..5),
            fraction in prop_oneof![Just(0.0), 0.0..1.0_f64],
            ring in proptest::option::of(5_usize..50),
        ) {
            let queue = EndConfig { rx_ring_frames: ring, ..EndConfig::host(2) };
            let (_, mut peer, device, mut drivers) = device(3, &queue);
            device.missteer(wrong.iter().copied());
            device.missteer_fraction(fraction, 1);
            for (tag, flow) in flows.iter().enumerate() {
                peer.tx_burst(&mut vec![frame(peer.pool(), 1, 2, [*flow, 80], tag as u8)]).unwrap();
            }
            let heard: Vec<Vec<u8>> = drivers.iter_mut().map(heard).collect();
            let stats = device.stats();
            let total: usize = heard.iter().map(Vec::len).sum();
            prop_assert_eq!((stats.received, total as u64), (flows.len() as u64, flows.len() as u64 - stats.missed));
            prop_assert!(heard.iter().all(|tags| tags.is_sorted()));
            if fraction == 0.0 {
                prop_assert_eq!(stats.missteered, wrong.iter().filter(|n| **n < flows.len() as u64).count() as u64);
                for flow in 0..10 {
                    let of_flow = |tag: &&u8| flows[usize::from(**tag)] == flow && !wrong.contains(&u64::from(**tag));
                    let queues = heard.iter().filter(|tags| tags.iter().any(|tag| of_flow(&tag))).count();
                    prop_assert!(queues <= 1, "flow {flow} is in {queues} queues");
                }
            }
            if ring.is_none() {
                prop_assert_eq!(stats.missed, 0);
            }
            let out: usize = drivers.iter().map(|driver| driver.handle().frames_out()).sum();
            prop_assert_eq!(out + device.end().frames_out() + peer.handle().frames_out(), 0);
        }
    }

    #[test]
    fn answers_come_to_the_queue_that_asked() {
        let (_, mut peer, device, mut drivers) = device(4, &EndConfig::host(2));
        for port in 0..40_u16 {
            let asks = &mut drivers[usize::from(port % 4)];
            asks.tx_burst(&mut vec![frame(asks.pool(), 2, 1, [port, 80], 0)]).unwrap();
            peer.tx_burst(&mut vec![frame(peer.pool(), 1, 2, [80, port], port as u8)]).unwrap();
        }
        for (number, driver) in drivers.iter_mut().enumerate() {
            assert_eq!(heard(driver), (0..10).map(|n| n * 4 + number as u8).collect::<Vec<_>>());
        }
        let learned = device.stats().learned;
        assert!((20..40).contains(&learned), "{learned}: a quarter is right by chance");
    }

    #[test]
    fn neighbours_are_heard_by_all() {
        let (_, mut peer, device, mut drivers) = device(3, &EndConfig::host(2));
        drivers[2].handle().exhaust_pool(Instant::NEVER);
        peer.tx_burst(&mut vec![frame(peer.pool(), 0, 2, [0, 0], 7)]).unwrap();
        let heard: Vec<Vec<u8>> = drivers.iter_mut().map(heard).collect();
        assert_eq!(heard, [vec![7], vec![7], vec![]], "a dry queue gets no copy");
        assert_eq!((device.stats().copied, device.stats().not_copied), (1, 1));
    }

    #[test]
    fn a_stalled_queue_keeps_its_frames_and_hinders_no_other() {
        let (net, mut peer, device, mut drivers) =
            device(2, &EndConfig { rx_ring_frames: Some(3), ..EndConfig::host(2) });
        let until = Instant::from_nanos(1000);
        drivers[1].handle().stall(Half::Both, until);
        assert_eq!((drivers[0].tx_room(), drivers[1].tx_room()), (1024, 0));
        for tag in 0..20 {
            peer.tx_burst(&mut vec![frame(peer.pool(), 1, 2, [u16::from(tag), 80], tag)]).unwrap();
            heard(&mut drivers[0]);
            assert_eq!(heard(&mut drivers[1]), vec![0; 0]);
        }
        assert!(device.stats().missed > 0);
        assert!(!drivers[1].handle().has_due());
        net.advance(until);
        assert!(drivers[1].handle().has_due());
        assert_eq!(heard(&mut drivers[1]).len(), 3);
        device.end().set_up(false);
        assert!(drivers.iter().all(|driver| !driver.is_up() && driver.tx_room() == 0));
    }
}
