//! One end of a simulated link, as a driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use burstlane::addr::Mac;
use burstlane::driver::{Capabilities, Driver, DriverError, ProtocolSet};
use burstlane::frame::{Frame, FramePool, PoolConfig};
use burstlane::time::Instant;

use crate::faults::{Faults, Half};
use crate::model::LinkModel;
use crate::multi_queue::Ring;
use crate::network::{Direction, LinkStats, Network, Pools};

/// What one end of a link is like.
#[derive(Clone, Debug)]
pub struct EndConfig {
    /// What it declares to the framework. Offloads cost nothing here: an unfinished checksum crosses as such and is
    /// trusted on the other side, and a frame to be cut crosses whole and arrives as one that was merged. On a link
    /// with faults such a frame shares one fate.
    pub capabilities: Capabilities,
    /// Its packet memory.
    pub pool: PoolConfig,
    /// Its memory for large frames.
    pub large_pool: Option<PoolConfig>,
    /// Frames that it takes in one burst.
    pub tx_room_frames: usize,
    /// Frames that wait in it to be fetched; what arrives beyond is lost. `None`: the pools of those who send bound it.
    pub rx_ring_frames: Option<usize>,
}

impl Default for EndConfig {
    fn default() -> Self {
        Self::host(1)
    }
}

impl EndConfig {
    /// A plain end, without offloads, whose Ethernet address ends in `number`.
    #[must_use]
    pub fn host(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        Self {
            capabilities: Capabilities { mac: Mac([2, 0, 0, 0, high, low]), ..Capabilities::default() },
            pool: PoolConfig::default(),
            large_pool: None,
            tx_room_frames: 1024,
            rx_ring_frames: None,
        }
    }

    /// The same end, completing checksums and cutting large frames of these IP protocols.
    #[must_use]
    pub fn with_offloads(mut self, segments: ProtocolSet) -> Self {
        self.capabilities.tx_checksum = true;
        self.capabilities.segments = segments;
        self.large_pool = Some(LARGE_POOL);
        self
    }

    /// The same end with another MTU, bytes. Slots grow where they must.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u32) -> Self {
        self.capabilities.mtu = mtu;
        let needed = mtu + 18 + self.pool.headroom;
        self.pool.slot_bytes = self.pool.slot_bytes.max(needed);
        self
    }
}

/// One end of a link. Dropping it ends the link: what is under way to it is discarded.
pub struct SimDriver {
    network: Network,
    capabilities: Capabilities,
    pools: Pools,
    outbound: Rc<RefCell<Direction>>,
    inbound: Rc<RefCell<Direction>>,
    rx_ring_frames: usize,
    faults: Rc<Faults>,
}

impl SimDriver {
    pub(crate) fn new(
        network: Network,
        config: EndConfig,
        pools: Pools,
        outbound: Rc<RefCell<Direction>>,
        inbound: Rc<RefCell<Direction>>,
    ) -> Self {
        let faults = Rc::new(Faults::new(network.clone(), config.tx_room_frames));
        let rx_ring_frames = config.rx_ring_frames.unwrap_or(usize::MAX);
        Self { network, capabilities: config.capabilities, pools, outbound, inbound, rx_ring_frames, faults }
    }

    /// The network that it belongs to.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A handle that stays with the test when the driver goes to its lane.
    #[must_use]
    pub fn handle(&self) -> EndHandle {
        let (outbound, inbound) = (self.outbound.clone(), self.inbound.clone());
        let first_at = inbound.borrow().first_arrival();
        EndHandle { outbound, inbound, first_at, faults: self.faults.clone(), pools: self.pools.clone(), ring: None }
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Takes the first `count` frames, of a sender with this memory.
    #[inline]
    pub(crate) fn send_from(&self, pools: &Pools, frames: &mut Vec<Frame>, count: usize) -> Result<(), DriverError> {
        self.faults.check_up()?;
        self.outbound.borrow_mut().send(self.network.now(), frames, count, pools.is_low());
        Ok(())
    }
}

impl Driver for SimDriver {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn pool(&self) -> &FramePool {
        &self.pools.normal
    }

    fn large_pool(&self) -> Option<&FramePool> {
        self.pools.large.as_ref()
    }

    #[inline]
    fn rx_burst(&mut self, frames: &mut Vec<Frame>, frames_max: usize) -> Result<(), DriverError> {
        let now = self.network.now();
        self.faults.keep_dry(&self.pools);
        let mut inbound = self.inbound.borrow_mut();
        if let Some(until) = self.faults.lost_until() {
            inbound.lose_due(until, 0);
        }
        self.faults.check_up()?;
        inbound.lose_due(now, self.rx_ring_frames);
        if self.faults.receives() {
            inbound.receive(now, frames, frames_max);
        }
        Ok(())
    }

    fn tx_room(&self) -> usize {
        self.faults.keep_dry(&self.pools);
        self.faults.tx_room()
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        let count = frames.len().min(self.faults.tx_room());
        self.send_from(&self.pools, frames, count)
    }

    fn is_up(&self) -> bool {
        self.faults.is_up()
    }
}

impl Drop for SimDriver {
    fn drop(&mut self) {
        self.inbound.borrow_mut().abandon();
    }
}

/// What a test holds of an end: its counters, its memory, and the means to make it misbehave.
#[derive(Clone)]
pub struct EndHandle {
    outbound: Rc<RefCell<Direction>>,
    inbound: Rc<RefCell<Direction>>,
    /// When the first frame arrives that was not fetched.
    first_at: Rc<Cell<Instant>>,
    faults: Rc<Faults>,
    pools: Pools,
    /// Of a queue of a device: what was steered to it.
    ring: Option<Ring>,
}

impl EndHandle {
    /// What became of the frames that this end sent.
    #[must_use]
    pub fn sent(&self) -> LinkStats {
        self.outbound.borrow().stats
    }

    /// What became of the frames sent to this end.
    #[must_use]
    pub fn received(&self) -> LinkStats {
        self.inbound.borrow().stats
    }

    /// Frames and lent slots of this end's pools that are not back, those that a fault withholds aside: zero when nothing
    /// leaks.
    #[must_use]
    pub fn frames_out(&self) -> usize {
        let out = |pool: &FramePool| pool.in_use() + pool.lent();
        out(&self.pools.normal) + self.pools.large.as_ref().map_or(0, out) - self.faults.drought.held()
    }

    /// Its packet memory: the pool for packets, and that for large frames.
    #[must_use]
    pub fn pools(&self) -> (&FramePool, Option<&FramePool>) {
        (&self.pools.normal, self.pools.large.as_ref())
    }

    /// Takes the interface down or up. While it is down, it answers [`DriverError::Down`], and what arrives is lost.
    pub fn set_up(&self, is_up: bool) {
        // Up from now on: what arrived before is lost all the same.
        self.take_down(if is_up { self.faults.now() } else { Instant::NEVER });
    }

    /// Takes the interface down until an instant.
    pub fn take_down(&self, until: Instant) {
        self.faults.take_down(until);
    }

    /// Stalls the device: it takes nothing, gives nothing, and says nothing.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.stall(Half::Both, if is_stalled { Instant::NEVER } else { Instant::ZERO });
    }

    /// Stalls half of the device until an instant, and all that an earlier stall said of that half is forgotten. What
    /// arrives waits, as far as the ring has room ([`EndConfig::rx_ring_frames`]); what should be sent finds no room.
    pub fn stall(&self, half: Half, until: Instant) {
        self.faults.stall(half, until);
    }

    /// Makes the packet memory, that for large frames, too, as good as dry until an instant: all free slots are taken
    /// now, and those that come back whenever the driver is called. What arrives lies in other memory and still comes in.
    pub fn exhaust_pool(&self, until: Instant) {
        self.faults.exhaust(&self.pools, until);
    }

    /// Keeps so many slots of the packet memory from its users from now on, fewer while they are in use; 0 gives all back.
    pub fn withhold_slots(&self, slots: usize) {
        self.faults.withhold(&self.pools, slots);
    }

    /// Changes how many frames it takes in a burst.
    pub fn set_tx_room(&self, frames: usize) {
        self.faults.tx_room_frames.set(frames);
    }

    /// Whether the driver would give frames now: some have arrived, and no fault keeps them.
    #[inline]
    #[must_use]
    pub fn has_due(&self) -> bool {
        let is_ringing = self.ring.as_ref().is_some_and(|ring| !ring.borrow().is_empty());
        (is_ringing || self.first_at.get() <= self.faults.now()) && self.faults.receives() && self.faults.is_up()
    }

    /// The handle of one queue of the device at this end.
    pub(crate) fn of_queue(self, faults: Rc<Faults>, pools: Pools, ring: Ring) -> Self {
        Self { faults, pools, ring: Some(ring), ..self }
    }

    /// Puts a frame in front of this end that nobody on the link sent: it arrives at `at`, past every model. `false` if the
    /// end's packet memory has no room for it.
    pub fn inject(&self, at: Instant, bytes: &[u8]) -> bool {
        self.inbound.borrow_mut().inject(at, bytes)
    }

    /// Replaces the model of what this end sends. Frames under way keep their fate.
    pub fn set_model(&self, model: Box<dyn LinkModel>) {
        self.outbound.borrow_mut().set_model(model);
    }
}

/// 128 slots of 64 KiB and room for headers: 8 MiB, of which what is used becomes resident.
const LARGE_POOL: PoolConfig = PoolConfig { slots: 128, slot_bytes: 65_536 + 256, headroom: 128 };
