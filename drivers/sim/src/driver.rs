//! One end of a simulated link, as a driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use burstlane::addr::Mac;
use burstlane::driver::{Capabilities, Driver, DriverError, ProtocolSet};
use burstlane::frame::{Frame, FramePool, PoolConfig};

use crate::model::LinkModel;
use burstlane::time::Instant;

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
    switches: Rc<Switches>,
}

struct Switches {
    is_up: Cell<bool>,
    is_stalled: Cell<bool>,
    tx_room_frames: Cell<usize>,
}

impl SimDriver {
    pub(crate) fn new(
        network: Network,
        config: EndConfig,
        pools: Pools,
        outbound: Rc<RefCell<Direction>>,
        inbound: Rc<RefCell<Direction>>,
    ) -> Self {
        let switches = Switches {
            is_up: Cell::new(true),
            is_stalled: Cell::new(false),
            tx_room_frames: Cell::new(config.tx_room_frames),
        };
        let switches = Rc::new(switches);
        Self { network, capabilities: config.capabilities, pools, outbound, inbound, switches }
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
        EndHandle { outbound, inbound, switches: self.switches.clone(), pools: self.pools.clone() }
    }

    fn check_up(&self) -> Result<(), DriverError> {
        if self.switches.is_up.get() { Ok(()) } else { Err(DriverError::Down("switched off by the test".into())) }
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
        self.check_up()?;
        if !self.switches.is_stalled.get() {
            self.inbound.borrow_mut().receive(self.network.now(), frames, frames_max);
        }
        Ok(())
    }

    fn tx_room(&self) -> usize {
        if self.switches.is_stalled.get() || !self.switches.is_up.get() {
            return 0;
        }
        self.switches.tx_room_frames.get()
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Vec<Frame>) -> Result<(), DriverError> {
        self.check_up()?;
        let count = frames.len().min(self.tx_room());
        let copy = self.pools.is_low();
        self.outbound.borrow_mut().send(self.network.now(), frames, count, copy);
        Ok(())
    }

    fn is_up(&self) -> bool {
        self.switches.is_up.get()
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
    switches: Rc<Switches>,
    pools: Pools,
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

    /// Frames and lent slots of this end's pools that are not back: zero when nothing leaks.
    #[must_use]
    pub fn frames_out(&self) -> usize {
        let out = |pool: &FramePool| pool.in_use() + pool.lent();
        out(&self.pools.normal) + self.pools.large.as_ref().map_or(0, out)
    }

    /// Its packet memory: the pool for packets, and that for large frames.
    #[must_use]
    pub fn pools(&self) -> (&FramePool, Option<&FramePool>) {
        (&self.pools.normal, self.pools.large.as_ref())
    }

    /// Takes the interface down or up. While it is down, it answers [`DriverError::Down`].
    pub fn set_up(&self, is_up: bool) {
        self.switches.is_up.set(is_up);
    }

    /// Stalls the device: it takes nothing, gives nothing, and says nothing.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.switches.is_stalled.set(is_stalled);
    }

    /// Changes how many frames it takes in a burst.
    pub fn set_tx_room(&self, frames: usize) {
        self.switches.tx_room_frames.set(frames);
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
