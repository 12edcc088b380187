//! What a device does wrong when a test says so: it stalls, its link goes down, its packet memory runs out. Faults end at
//! an instant, for which the clock stops, or when they are taken back.

use std::cell::{Cell, RefCell};

use burstlane::driver::DriverError;
use burstlane::frame::{Frame, FramePool};
use burstlane::time::Instant;

use crate::network::{Network, Pools};

/// Which half of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What comes from the wire.
    Receive,
    /// What goes there.
    Transmit,
    /// Both.
    Both,
}

/// The present faults of one device, or of one queue of it.
pub(crate) struct Faults {
    network: Network,
    down_until: Cell<Instant>,
    /// What arrived before it came up is yet to be lost.
    has_been_down: Cell<bool>,
    rx_stalled_until: Cell<Instant>,
    tx_stalled_until: Cell<Instant>,
    pub(crate) tx_room_frames: Cell<usize>,
    pub(crate) drought: Drought,
}

impl Faults {
    pub(crate) fn new(network: Network, tx_room_frames: usize) -> Self {
        Self {
            network,
            down_until: Cell::default(),
            has_been_down: Cell::default(),
            rx_stalled_until: Cell::default(),
            tx_stalled_until: Cell::default(),
            tx_room_frames: Cell::new(tx_room_frames),
            drought: Drought::default(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.network.now()
    }

    pub(crate) fn stall(&self, half: Half, until: Instant) {
        if half != Half::Transmit {
            self.rx_stalled_until.set(until);
        }
        if half != Half::Receive {
            self.tx_stalled_until.set(until);
        }
        self.wake_at(until);
    }

    pub(crate) fn take_down(&self, until: Instant) {
        self.down_until.set(until);
        if until > self.network.now() {
            self.has_been_down.set(true);
        }
        self.wake_at(until);
    }

    pub(crate) fn exhaust(&self, pools: &Pools, until: Instant) {
        self.drought.dry_until.set(until);
        self.drought.keep(self.network.now(), pools);
        self.wake_at(until);
    }

    pub(crate) fn withhold(&self, pools: &Pools, slots: usize) {
        self.drought.withheld_slots.set(slots);
        self.drought.keep(self.network.now(), pools);
    }

    /// Takes what came back to memory that is to be dry.
    #[inline]
    pub(crate) fn keep_dry(&self, pools: &Pools) {
        self.drought.keep(self.network.now(), pools);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.down_until.get() <= self.network.now()
    }

    pub(crate) fn check_up(&self) -> Result<(), DriverError> {
        if self.is_up() { Ok(()) } else { Err(DriverError::Down("switched off by the test".into())) }
    }

    pub(crate) fn receives(&self) -> bool {
        self.rx_stalled_until.get() <= self.network.now()
    }

    pub(crate) fn tx_room(&self) -> usize {
        let sends = self.tx_stalled_until.get() <= self.network.now() && self.is_up();
        if sends { self.tx_room_frames.get() } else { 0 }
    }

    /// Until when what arrived is lost, because the link was down: asked before each look at what arrived.
    pub(crate) fn lost_until(&self) -> Option<Instant> {
        if !self.has_been_down.get() {
            return None;
        }
        let now = self.network.now();
        self.has_been_down.set(self.down_until.get() > now);
        Some(self.down_until.get().min(now))
    }

    /// Now, because a fault begins or is taken back, and when it ends.
    fn wake_at(&self, until: Instant) {
        self.network.wake_all();
        if until != Instant::NEVER {
            self.network.alarm(until);
        }
    }
}

/// Packet memory that is kept from its users. Whoever needs it dry calls [`keep`](Self::keep) again and again: what comes
/// back is taken, too.
#[derive(Default)]
pub(crate) struct Drought {
    dry_until: Cell<Instant>,
    withheld_slots: Cell<usize>,
    held: RefCell<Vec<Frame>>,
    held_large: RefCell<Vec<Frame>>,
}

impl Drought {
    /// Holds as many slots as it should at `now`.
    #[inline]
    fn keep(&self, now: Instant, pools: &Pools) {
        if self.dry_until.get() == Instant::ZERO && self.withheld_slots.get() == 0 && self.held() == 0 {
            return;
        }
        let is_dry = self.dry_until.get() > now;
        let slots = if is_dry { usize::MAX } else { self.withheld_slots.get() };
        hold(&mut self.held.borrow_mut(), &pools.normal, slots);
        if let Some(large) = &pools.large {
            hold(&mut self.held_large.borrow_mut(), large, if is_dry { usize::MAX } else { 0 });
        }
    }

    /// Slots held.
    pub(crate) fn held(&self) -> usize {
        self.held.borrow().len() + self.held_large.borrow().len()
    }
}

fn hold(held: &mut Vec<Frame>, pool: &FramePool, slots: usize) {
    held.truncate(slots);
    while held.len() < slots
        && let Some(frame) = pool.alloc()
    {
        held.push(frame);
    }
}
