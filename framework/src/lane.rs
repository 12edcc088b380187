//! A lane: one core's packet sources, network layer and engines, and the order in which they get their turn: receive,
//! timers, application, transmit. Nothing in it is shared and nothing locks.
//!
//! A turn is `receive`, then the application, then `transmit`. Whoever drives the lane reads the clock before each of the
//! two and hands the reading in: a real one in [`runtime`](crate::runtime), a virtual one in a simulation.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::addr::Ip;
use crate::driver::{Driver, DriverError};
use crate::engine::{Core, Engine, EngineLimits, FlowId, PortId};
use crate::frame::Frame;
use crate::net::{
    Counters, DuplicateClaim, EngineIndex, Input, InterfaceConfig, NeighbourChange, Net, NetConfig, NetifId, Packet,
    RouteError,
};
use crate::observe::{Direction, FrameTap, Observer, Observers};
use crate::time::Instant;
use crate::toolkit::Mem;
use crate::transport::{Class, LaneInfo, LaneParts, Transport};

/// Shape of a lane.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// Its number and how many the host has.
    pub lane: u16,
    /// Lanes of the host.
    pub lanes: u16,
    /// From this all randomness of the lane is drawn. The same seed and the same calls give the same packets.
    pub seed: [u8; 32],
    /// Most bytes in send and receive buffers that are not packet memory.
    pub buffer_bytes_max: usize,
    /// Most frames taken from a device at a time, 1 to 1,024: 32 to 256 are sensible.
    pub burst_frames: usize,
    /// Bounds of each engine.
    pub limits: EngineLimits,
    /// Bounds and times of the network layer.
    pub net: NetConfig,
}

impl LaneConfig {
    /// A lane whose behaviour repeats: for simulations and tests. Its secrets are no secrets.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut bytes = [0; 32];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self {
            lane: 0,
            lanes: 1,
            seed: bytes,
            buffer_bytes_max: 1 << 30,
            burst_frames: 64,
            limits: EngineLimits::default(),
            net: NetConfig::default(),
        }
    }
}

/// Which engine of a lane, and its transport.
pub struct EngineId<T> {
    index: EngineIndex,
    transport: PhantomData<fn() -> T>,
}

impl<T> EngineId<T> {
    /// Its place on the lane.
    #[must_use]
    pub fn index(self) -> EngineIndex {
        self.index
    }
}

impl<T> Clone for EngineId<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for EngineId<T> {}

struct Interface {
    id: NetifId,
    driver: Box<dyn Driver>,
    up: bool,
    /// Frames at the front of the outbox that the tap has seen in an earlier turn.
    tapped: usize,
    /// Its present trouble in receiving, and in sending, was reported.
    told: [bool; 2],
}

/// One core's stack.
pub struct Lane {
    config: LaneConfig,
    parts: LaneParts,
    net: Net,
    interfaces: Vec<Interface>,
    engines: Vec<Box<dyn Engine>>,
    /// Packets of the present burst, by engine.
    bursts: Vec<Vec<Option<Packet>>>,
    frames: Vec<Frame>,
    changes: Vec<NeighbourChange>,
    tap: Option<Box<dyn FrameTap>>,
    fault: Option<DriverError>,
    /// The last transmit had something to send and nothing left.
    stalled: bool,
    /// A driver took less than it had promised.
    left_over: bool,
    secrets: ChaCha8Rng,
}

impl Lane {
    /// A lane without interfaces and engines.
    #[must_use]
    pub fn new(config: LaneConfig) -> Self {
        let mut rng = ChaCha8Rng::from_seed(config.seed);
        let secrets = ChaCha8Rng::from_rng(&mut rng);
        let net = Net::new(config.net.clone(), rng.next_u64());
        let parts = LaneParts {
            now: Instant::ZERO,
            mem: Mem::new(config.buffer_bytes_max),
            rng,
            observers: Observers::default(),
            drops: Counters::default(),
        };
        Self {
            config,
            parts,
            net,
            interfaces: Vec::new(),
            engines: Vec::new(),
            bursts: Vec::new(),
            frames: Vec::new(),
            changes: Vec::new(),
            tap: None,
            fault: None,
            stalled: false,
            left_over: false,
            secrets,
        }
    }

    /// Adds a device queue and gives it addresses.
    pub fn add_interface(&mut self, driver: Box<dyn Driver>, config: InterfaceConfig) -> NetifId {
        let (small, large) = (driver.pool().clone(), driver.large_pool().cloned());
        let id = self.net.add_interface(driver.capabilities(), small, large, config);
        self.interfaces.push(Interface { id, driver, up: true, tapped: 0, told: [false; 2] });
        id
    }

    /// Packets to `network` go to `gateway`.
    ///
    /// # Errors
    /// The gateway is on no interface's network, or there are too many routes.
    pub fn add_route(&mut self, network: Ip, prefix_bits: u8, gateway: Ip) -> Result<(), RouteError> {
        self.net.add_route(network, prefix_bits, gateway)
    }

    /// Whether there is a device to receive from or to sleep on.
    #[must_use]
    pub fn has_interfaces(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Registers a transport. What it shares between lanes is made here.
    ///
    /// # Errors
    /// Another transport of this lane has the same claim, or the lane has 256 engines.
    pub fn add<T: Transport>(&mut self, config: T::Config) -> Result<EngineId<T>, DuplicateClaim> {
        let mut secret = [0; 32];
        self.secrets.fill_bytes(&mut secret);
        let shared = Arc::new(T::shared(&config, &secret));
        self.add_shared(config, shared)
    }

    /// Registers a transport that shares with others of its kind on the host's other lanes.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_shared<T: Transport>(
        &mut self,
        config: T::Config,
        shared: Arc<T::Shared>,
    ) -> Result<EngineId<T>, DuplicateClaim> {
        let index = EngineIndex(u8::try_from(self.engines.len()).map_err(|_| DuplicateClaim)?);
        let info = LaneInfo { lane: self.config.lane, lanes: self.config.lanes, seed: self.secrets.next_u64() };
        let mut core = Core::<T>::new(config, shared, info, self.config.limits);
        self.net.register(index, core.claim())?;
        core.set_index(index);
        self.engines.push(Box::new(core));
        self.bursts.push(Vec::new());
        Ok(EngineId { index, transport: PhantomData })
    }

    /// Sends every frame, received and sent, past `tap`.
    pub fn set_tap(&mut self, tap: Option<Box<dyn FrameTap>>) {
        self.tap = tap;
    }

    /// Sends every event to `observer`.
    pub fn set_observer(&mut self, observer: impl Observer + 'static) {
        self.parts.observers.attach(observer);
    }

    /// First half of a turn: takes a burst from each device, through the network layer to the engines, and serves the
    /// deadlines that have come. Returns how many frames came.
    pub fn receive(&mut self, now: Instant) -> usize {
        self.parts.now = now;
        let mut received = 0;
        for at in 0..self.interfaces.len() {
            received += self.receive_from(at);
        }
        received += self.receive_loopback();
        let Self { parts, net, engines, bursts, .. } = self;
        for (engine, burst) in engines.iter_mut().zip(bursts.iter_mut()) {
            if !burst.is_empty() {
                engine.receive(parts, net, burst);
            }
        }
        net.on_timers(now);
        for engine in engines.iter_mut() {
            engine.expire(parts, net);
        }
        self.tell_neighbours();
        received
    }

    /// Second half of a turn: what is owed leaves. Returns how many frames did.
    pub fn transmit(&mut self, now: Instant) -> usize {
        self.parts.now = now;
        let Self { parts, net, engines, interfaces, .. } = self;
        for interface in interfaces.iter_mut() {
            interface.driver.reap();
            net.set_room(interface.id, interface.driver.tx_room());
        }
        for engine in engines.iter_mut() {
            engine.settle(parts, net);
        }
        for class in Class::ALL {
            for engine in engines.iter_mut() {
                engine.transmit(parts, net, class);
            }
        }
        for engine in engines.iter_mut() {
            engine.relieve(parts);
        }
        self.tell_neighbours();
        self.left_over = false;
        let sent = (0..self.interfaces.len()).map(|at| self.send_to(at)).sum();
        self.stalled = sent == 0 && self.wants_to_send();
        sent
    }

    /// When the lane wants its next turn if no packet comes: at once ([`Instant::ZERO`]) if something waits to leave, or if
    /// there is something for the application, which took all events in its last turn, to be told of.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.net.has_loopback() || self.engines.iter().any(|engine| engine.has_news()) {
            return Some(Instant::ZERO);
        }
        let engines = self.engines.iter().filter_map(|engine| engine.next_deadline()).min();
        // What could not leave (no room, no packet memory, link down) is tried again soon, not at once for ever.
        let engines = engines.map(|at| if self.stalled { at.max(self.parts.now + STALL_POLL) } else { at });
        let left_over = self.left_over.then(|| self.parts.now + STALL_POLL);
        [engines, self.net.next_deadline(), left_over].into_iter().flatten().min()
    }

    fn wants_to_send(&self) -> bool {
        self.engines.iter().any(|engine| engine.next_deadline() == Some(Instant::ZERO))
    }

    /// Sleeps until a device has something or `timeout` has passed.
    ///
    /// # Errors
    /// The device is gone or down.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        match self.interfaces.as_mut_slice() {
            [] => Ok(()),
            [only] => only.driver.wait(timeout),
            // One descriptor can be slept on; the others are looked at once a millisecond.
            [first, ..] => first.driver.wait(Some(timeout.unwrap_or(POLL_SEVERAL).min(POLL_SEVERAL))),
        }
    }

    /// The last trouble with a device, once: it is told again only after the device was well in between.
    pub fn take_fault(&mut self) -> Option<DriverError> {
        self.fault.take()
    }

    /// The time of the present half-turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.parts.now
    }

    /// An engine, and what its calls need.
    ///
    /// # Panics
    /// If `id` is another lane's and there is no such engine here.
    #[expect(clippy::expect_used, reason = "a typed id is made only by `add`, with this type; documented")]
    pub fn engine<T: Transport>(&mut self, id: EngineId<T>) -> (&mut Core<T>, &mut LaneParts, &mut Net) {
        let core = self.engines.get_mut(usize::from(id.index.0)).and_then(|engine| engine.as_any().downcast_mut());
        (core.expect("this engine was registered on another lane"), &mut self.parts, &mut self.net)
    }

    /// The network layer.
    pub fn net(&mut self) -> &mut Net {
        &mut self.net
    }

    /// What transports dropped, by reason. The network layer's own count is in [`Net::counters`].
    #[must_use]
    pub fn drops(&self) -> &Counters {
        &self.parts.drops
    }

    /// Buffer memory in use, bytes.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.parts.mem.used_bytes()
    }

    /// Flows of all engines.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.engines.iter().map(|engine| engine.flows()).sum()
    }

    /// Remnants of all engines.
    #[must_use]
    pub fn remnants(&self) -> usize {
        self.engines.iter().map(|engine| engine.remnants()).sum()
    }

    /// Ends all flows, remnants and listeners silently and gives back what they held.
    pub fn clear(&mut self) {
        let Self { parts, net, engines, .. } = self;
        engines.iter_mut().for_each(|engine| engine.clear(parts, net));
    }

    pub(crate) fn detach(&mut self, engine: EngineIndex, flow: FlowId) {
        let Self { parts, net, engines, .. } = self;
        if let Some(engine) = engines.get_mut(usize::from(engine.0)) {
            engine.detach(parts, net, flow);
        }
    }

    pub(crate) fn unlisten(&mut self, engine: EngineIndex, port: PortId) {
        let Self { parts, net, engines, .. } = self;
        if let Some(engine) = engines.get_mut(usize::from(engine.0)) {
            engine.unlisten(parts, net, port);
        }
    }

    pub(crate) fn take_woken(&mut self, woken: &mut Vec<Waker>, dropped: &mut Vec<Waker>) {
        self.engines.iter_mut().for_each(|engine| engine.take_woken(woken, dropped));
    }

    fn receive_from(&mut self, at: usize) -> usize {
        let Some(Interface { id, driver, up, tapped, told: [told, _] }) = self.interfaces.get_mut(at) else { return 0 };
        let id = *id;
        let mut frames = std::mem::take(&mut self.frames);
        let result = driver.rx_burst(&mut frames, self.config.burst_frames.clamp(1, BURST_FRAMES_MAX));
        let is_up = result.is_ok() && driver.is_up();
        if *up != is_up {
            *up = is_up;
            self.net.set_link(id, is_up);
            *tapped = (*tapped).min(self.net.outbox(id).len());
        }
        note_fault(&mut self.fault, told, result);
        let received = frames.len();
        for frame in frames.drain(..) {
            if let Some(tap) = &mut self.tap {
                tap.frame(self.parts.now, id.0, Direction::In, frame.bytes(), None);
            }
            self.input(id, frame);
        }
        self.frames = frames;
        received
    }

    fn receive_loopback(&mut self) -> usize {
        if !self.net.has_loopback() {
            return 0;
        }
        let mut frames = std::mem::take(&mut self.frames);
        self.net.loopback(&mut frames);
        let received = frames.len();
        for frame in frames.drain(..) {
            self.input(NetifId::LOOPBACK, frame);
        }
        self.frames = frames;
        received
    }

    #[inline]
    fn input(&mut self, id: NetifId, frame: Frame) {
        let Self { parts, net, engines, bursts, .. } = self;
        let straight = |engine: EngineIndex, packet| {
            if let Some(burst) = bursts.get_mut(usize::from(engine.0)) {
                burst.push(Some(packet));
            }
        };
        match net.input_to(parts.now, id, frame, straight) {
            Input::Packet(engine, packet) => {
                if let Some(burst) = bursts.get_mut(usize::from(engine.0)) {
                    burst.push(Some(packet));
                }
            }
            Input::Trouble(engine, quote, trouble) => {
                if let Some(engine) = engines.get_mut(usize::from(engine.0)) {
                    engine.trouble(parts, net, &quote, &trouble);
                }
            }
            Input::Done => {}
        }
    }

    fn tell_neighbours(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        self.net.neighbour_changes(&mut changes);
        for change in changes.drain(..) {
            for engine in &mut self.engines {
                engine.neighbour(&mut self.parts, &mut self.net, &change);
            }
        }
        self.changes = changes;
    }

    fn send_to(&mut self, at: usize) -> usize {
        let Some(Interface { id, driver, tapped, told: [_, told], .. }) = self.interfaces.get_mut(at) else { return 0 };
        let outbox = self.net.outbox(*id);
        if outbox.is_empty() {
            return 0;
        }
        if let Some(tap) = &mut self.tap {
            for frame in outbox.iter().skip(*tapped) {
                tap.frame(self.parts.now, id.0, Direction::Out, frame.bytes(), None);
            }
        }
        let before = outbox.len();
        note_fault(&mut self.fault, told, driver.tx_burst(outbox));
        *tapped = outbox.len();
        self.left_over |= !outbox.is_empty();
        before - outbox.len()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Keeps trouble with a device to be told, unless it was.
fn note_fault(fault: &mut Option<DriverError>, told: &mut bool, result: Result<(), DriverError>) {
    match result {
        Ok(()) => *told = false,
        Err(error) => {
            // A device that is gone matters more than one that is down.
            if !std::mem::replace(told, true) && !matches!(fault, Some(DriverError::Gone(_))) {
                *fault = Some(error);
            }
        }
    }
}

/// A burst is worked on as a whole, and fits the cache: more frames wait in the device.
const BURST_FRAMES_MAX: usize = 1024;
/// How soon a lane tries again that could send nothing.
const STALL_POLL: Duration = Duration::from_millis(1);
/// How long a lane with several devices sleeps on the first before it looks at the others.
const POLL_SEVERAL: Duration = Duration::from_millis(1);

#[cfg(test)]
pub(crate) mod tests;
