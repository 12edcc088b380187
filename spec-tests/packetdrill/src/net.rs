//! The host under test and its clock: [`World`]. Time stands still but for [`World::step`]; what the host sends waits, with
//! the time at which it left, for packetdrill to fetch it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use burstlane::addr::Ip;
use burstlane::driver::{Capabilities, Driver, DriverError};
use burstlane::engine::EngineEvent;
use burstlane::frame::{Frame, FramePool, PoolConfig};
use burstlane::lane::{EngineId, Lane, LaneConfig};
use burstlane::net::InterfaceConfig;
use burstlane::socket::Host;
use burstlane::time::Instant;
use burstlane_tcp::{Config, Tcp};

use crate::neighbours::{self, HOST, Sent};

/// A host, its device, and the time.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) engine: EngineId<Tcp>,
    pub(crate) now: Instant,
    device: Rc<RefCell<Device>>,
    /// IP packets that left, and when.
    sent: VecDeque<(Instant, Vec<u8>)>,
}

#[derive(Default)]
struct Device {
    to_host: VecDeque<Vec<u8>>,
    from_host: Vec<Vec<u8>>,
}

impl World {
    /// A host with these addresses; everybody else is its neighbour. `None` if the transport cannot be added.
    pub(crate) fn new(addresses: &[Ip], mtu: u32, config: Config) -> Option<Self> {
        let device = Rc::<RefCell<Device>>::default();
        let pool = FramePool::new(PoolConfig { slot_bytes: SLOT_BYTES, slots: FRAMES, ..PoolConfig::default() });
        let mut lane = Lane::new(LaneConfig::seeded(SEED));
        let addresses = addresses.iter().map(|ip| (*ip, 0)).collect();
        let wire = Wire { device: Rc::clone(&device), pool, mtu };
        lane.add_interface(Box::new(wire), InterfaceConfig { addresses, ..InterfaceConfig::default() });
        let engine = lane.add::<Tcp>(config).ok()?;
        let now = Instant::from_nanos(START_NANOS);
        Some(Self { host: Host::new(lane), engine, now, device, sent: VecDeque::new() })
    }

    /// An IP packet arrives. `false` if it is none.
    pub(crate) fn arrive(&mut self, packet: &[u8]) -> bool {
        let Some(frame) = neighbours::frame(packet) else { return false };
        self.device.borrow_mut().to_host.push_back(frame);
        self.run();
        true
    }

    /// The next packet that left, and when.
    pub(crate) fn take_sent(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// The host's next deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.host.next_deadline()
    }

    /// Time passes to `at`; nothing else is due before.
    pub(crate) fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.run();
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&self) -> Vec<EngineEvent<std::convert::Infallible>> {
        let mut events = vec![];
        self.host.take_events(self.engine, &mut events);
        events
    }

    /// Turns until nothing moves, at the present instant.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            let moved = self.host.receive(self.now) + self.host.transmit(self.now);
            let frames = std::mem::take(&mut self.device.borrow_mut().from_host);
            for frame in &frames {
                match neighbours::sort(frame) {
                    Sent::Packet(packet) => self.sent.push_back((self.now, packet.to_vec())),
                    Sent::Question(answer) => self.device.borrow_mut().to_host.push_back(answer),
                    Sent::Other => {}
                }
            }
            if moved == 0 && frames.is_empty() {
                return;
            }
        }
    }
}

struct Wire {
    device: Rc<RefCell<Device>>,
    pool: FramePool,
    mtu: u32,
}

impl Driver for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities { mac: HOST, mtu: self.mtu, ..Capabilities::default() }
    }

    fn pool(&self) -> &FramePool {
        &self.pool
    }

    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        let mut device = self.device.borrow_mut();
        for _ in 0..frames_max {
            let Some(bytes) = device.to_host.pop_front() else { break };
            // Without memory, or larger than the device takes, it is lost, as on any wire.
            let Some(mut frame) = self.pool.alloc() else { break };
            if frame.extend_from_slice(&bytes) {
                frames.push(frame);
            }
        }
        Ok(())
    }

    fn tx_room(&self) -> usize {
        BURST_FRAMES
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        self.device.borrow_mut().from_host.extend(frames.drain(..).map(|frame| frame.bytes().to_vec()));
        Ok(())
    }
}

/// Where the clock begins: not at zero, which some take for "never".
const START_NANOS: u64 = 1_000_000_000;
/// The same packets in every run.
const SEED: u64 = 1;
const BURST_FRAMES: usize = 256;
/// The device's memory, frames.
const FRAMES: u32 = 1024;
/// An IP packet of any size, whatever the MTU: scripts send segments as a device hands them up that has put them together.
/// And a link header, and headroom.
const SLOT_BYTES: u32 = 65_536 + 256;
/// Turns at one instant: more is a host that talks to itself.
const TURNS_MAX: u32 = 10_000;
