//! [`Host`]: the application's handle to a lane. Every operation borrows the lane for a moment; no handler, waker or
//! `Drop` of the application ever runs while it is borrowed.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::{Listener, MessageIo, MessageSocket, Stream, StreamIo};
use crate::addr::Endpoint;
use crate::engine::{Core, EngineEvent, FlowId, PortId};
use crate::lane::{EngineId, Lane};
use crate::net::{EngineIndex, Net};
use crate::time::Instant;
use crate::transport::{FlowError, LaneParts, Transport};

/// A lane, shared by the handles of one thread. Cloning it clones the handle.
///
/// A host does nothing by itself: whoever has it gives it turns, here by hand on a lane without devices, in a program by
/// [`RealTime`](crate::runtime::RealTime).
///
/// ```
/// use burstlane::addr::{Endpoint, Ip};
/// use burstlane::lane::{Lane, LaneConfig};
/// use burstlane::socket::{Host, StreamIo};
/// use burstlane::time::Instant;
/// use burstlane::transport::{FlowError, Transport};
///
/// /// Greets itself over any transport that carries streams.
/// fn greet<T: Transport<Io = StreamIo>>(config: T::Config) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
///     let mut lane = Lane::new(LaneConfig::seeded(1));
///     let engine = lane.add::<T>(config)?;
///     let host = Host::new(lane);
///     let listener = host.listen(engine, Endpoint::new(Ip::ANY, 7), 16)?;
///     let stream = host.connect(engine, Endpoint::new(Ip::v4([127, 0, 0, 1]), 7))?;
///     stream.write(b"hello")?;
///     let (mut accepted, mut heard) = (None, vec![0; 16]);
///     for turn in 0..10 {
///         let now = Instant::from_nanos(turn * 1_000_000);
///         host.receive(now);
///         accepted = accepted.or_else(|| listener.accept());
///         // Level counts: a stream may be readable when it is accepted, or after a later turn.
///         if let Some(Ok(bytes)) = accepted.as_ref().map(|stream| stream.read(&mut heard)) {
///             heard.truncate(bytes);
///             return Ok(heard);
///         }
///         host.transmit(now);
///     }
///     Err(FlowError::TimedOut.into())
/// }
/// ```
#[derive(Clone)]
pub struct Host(Rc<Inner>);

struct Inner {
    lane: RefCell<Lane>,
    /// What dropped handles leave to be done at the next turn.
    orphans: RefCell<Vec<Orphan>>,
    woken: Cell<Vec<Waker>>,
    /// When the blocking call under way gives up.
    alarm: Cell<Instant>,
    pump: RefCell<Option<Rc<dyn Pump>>>,
}

pub(super) enum Orphan {
    Flow(EngineIndex, FlowId),
    Listener(EngineIndex, PortId),
}

/// Whoever can make time pass for a blocking call: a loop over a real clock, or a simulated world.
pub trait Pump {
    /// Lets something happen: one turn of everything concerned, and a wait or a jump in time if there is nothing to do.
    ///
    /// # Errors
    /// Nothing can ever happen any more, or a device failed.
    fn pump(&self) -> io::Result<()>;

    /// The present time on the clock that drives the host; `None` if only the lane's last turn says.
    fn now(&self) -> Option<Instant> {
        None
    }
}

impl Host {
    /// A handle to `lane`.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self(Rc::new(Inner {
            lane: RefCell::new(lane),
            orphans: RefCell::default(),
            woken: Cell::default(),
            alarm: Cell::new(Instant::NEVER),
            pump: RefCell::default(),
        }))
    }

    /// The lane itself. Let go of it before any other call on the host or its handles.
    ///
    /// # Panics
    /// If it is borrowed already.
    #[must_use]
    pub fn lane(&self) -> RefMut<'_, Lane> {
        self.0.lane.borrow_mut()
    }

    /// First half of a turn; see [`Lane::receive`]. Wakes the tasks concerned.
    pub fn receive(&self, now: Instant) -> usize {
        self.collect_orphans();
        let received = self.lane().receive(now);
        self.wake();
        received
    }

    /// Second half of a turn; see [`Lane::transmit`]. Wakes the tasks concerned.
    pub fn transmit(&self, now: Instant) -> usize {
        self.collect_orphans();
        let sent = self.lane().transmit(now);
        self.wake();
        sent
    }

    /// When the next turn is due without a packet; see [`Lane::next_deadline`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.0.orphans.borrow().is_empty() {
            return Some(Instant::ZERO);
        }
        let alarm = Some(self.0.alarm.get()).filter(|at| *at != Instant::NEVER);
        [self.lane().next_deadline(), alarm].into_iter().flatten().min()
    }

    /// The time: the pump's clock, or without one the time of the lane's last turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        let pump = self.0.pump.borrow().clone();
        pump.and_then(|pump| pump.now()).unwrap_or_else(|| self.lane().now())
    }

    /// Says who makes time pass when a blocking call on this host waits.
    pub fn set_pump(&self, pump: Option<Rc<dyn Pump>>) {
        *self.0.pump.borrow_mut() = pump;
    }

    /// Lets time pass once.
    ///
    /// # Errors
    /// No pump was set, or as [`Pump::pump`].
    pub fn pump(&self) -> io::Result<()> {
        let pump = self.0.pump.borrow().clone();
        match pump {
            Some(pump) => pump.pump(),
            None => Err(io::Error::other("a blocking call needs `Host::set_pump`: nothing makes time pass here")),
        }
    }

    /// Takes new flows at `local`, up to `backlog` of them waiting.
    ///
    /// # Errors
    /// As [`Core::listen`].
    pub fn listen<T: Transport>(
        &self,
        engine: EngineId<T>,
        local: impl Into<Endpoint>,
        backlog: u32,
    ) -> Result<Listener<T>, FlowError> {
        let local = local.into();
        let port = self.with(engine, |core, _, net| core.listen(net, local, backlog))?;
        Ok(Listener::new(self.clone(), engine, port))
    }

    /// Opens a stream to `remote`. It can carry data once it is open ([`Ready::OPEN`](super::Ready::OPEN)); bytes written
    /// before wait.
    ///
    /// # Errors
    /// As [`Core::connect`].
    pub fn connect<T: Transport<Io = StreamIo>>(
        &self,
        engine: EngineId<T>,
        remote: impl Into<Endpoint>,
    ) -> Result<Stream<T>, FlowError> {
        let flow = self.open(engine, None, remote.into())?;
        Ok(Stream::new(self.clone(), engine, flow))
    }

    /// As [`connect`](Self::connect), from `local`: an address of this host or [`Ip::ANY`](crate::addr::Ip::ANY), and a port
    /// or 0.
    ///
    /// # Errors
    /// As [`Core::connect`].
    pub fn connect_from<T: Transport<Io = StreamIo>>(
        &self,
        engine: EngineId<T>,
        local: impl Into<Endpoint>,
        remote: impl Into<Endpoint>,
    ) -> Result<Stream<T>, FlowError> {
        let flow = self.open(engine, Some(local.into()), remote.into())?;
        Ok(Stream::new(self.clone(), engine, flow))
    }

    /// Opens a message flow to `remote`.
    ///
    /// # Errors
    /// As [`Core::connect`].
    pub fn connect_messages<T: Transport<Io = MessageIo>>(
        &self,
        engine: EngineId<T>,
        remote: impl Into<Endpoint>,
    ) -> Result<MessageSocket<T>, FlowError> {
        let flow = self.open(engine, None, remote.into())?;
        Ok(MessageSocket::new(self.clone(), engine, flow))
    }

    /// As [`connect_messages`](Self::connect_messages), from `local`: an address of this host or
    /// [`Ip::ANY`](crate::addr::Ip::ANY), and a port or 0.
    ///
    /// # Errors
    /// As [`Core::connect`].
    pub fn connect_messages_from<T: Transport<Io = MessageIo>>(
        &self,
        engine: EngineId<T>,
        local: impl Into<Endpoint>,
        remote: impl Into<Endpoint>,
    ) -> Result<MessageSocket<T>, FlowError> {
        let flow = self.open(engine, Some(local.into()), remote.into())?;
        Ok(MessageSocket::new(self.clone(), engine, flow))
    }

    /// A message socket at `local`, without a peer.
    ///
    /// # Errors
    /// As [`Core::bind`].
    pub fn bind<T: Transport<Io = MessageIo>>(
        &self,
        engine: EngineId<T>,
        local: impl Into<Endpoint>,
    ) -> Result<MessageSocket<T>, FlowError> {
        let local = local.into();
        let flow = self.with(engine, |core, lane, net| core.bind(lane, net, local))?;
        Ok(MessageSocket::new(self.clone(), engine, flow))
    }

    /// Opens a flow whatever its face; the caller owns it by its id and must end it by `Core::let_go`.
    ///
    /// # Errors
    /// As [`Core::connect`].
    pub fn open<T: Transport>(
        &self,
        engine: EngineId<T>,
        local: Option<Endpoint>,
        remote: Endpoint,
    ) -> Result<FlowId, FlowError> {
        self.with(engine, |core, lane, net| core.connect(lane, net, local, remote))
    }

    /// Moves what happened in an engine into `events`, which is the place to wait at for all flows and listeners at once.
    ///
    /// Take them in every turn, between [`receive`](Self::receive) and [`transmit`](Self::transmit). They are edges: one says
    /// that something has become possible, and the next comes when it has become so again. So read and write until
    /// `WouldBlock`, and accept until there is nobody. What comes of sending is there in the next turn, which is then
    /// [due](Self::next_deadline) at once. See [`Core::take_events`] for their order.
    pub fn take_events<T: Transport>(&self, engine: EngineId<T>, events: &mut Vec<EngineEvent<T::Notice>>) {
        self.with(engine, |core, _, _| core.take_events(events));
    }

    /// Works on an engine directly. `work` must not use the host or its handles.
    pub fn with<T: Transport, R>(
        &self,
        engine: EngineId<T>,
        work: impl FnOnce(&mut Core<T>, &mut LaneParts, &mut Net) -> R,
    ) -> R {
        let mut lane = self.lane();
        let (core, parts, net) = lane.engine(engine);
        work(core, parts, net)
    }

    pub(super) fn leave(&self, orphan: Orphan) {
        self.0.orphans.borrow_mut().push(orphan);
    }

    /// Tries `attempt` until it answers anything but `WouldBlock`, letting time pass in between, but not for longer than
    /// `timeout`.
    pub(super) fn block_on<R>(
        &self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let deadline = timeout.map(|timeout| self.now() + timeout);
        let mut over = None;
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if let Some(over) = over {
                return Err(over);
            }
            if deadline.is_some_and(|deadline| self.now() >= deadline) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let alarm = self.0.alarm.get();
            self.0.alarm.set(alarm.min(deadline.unwrap_or(Instant::NEVER)));
            // The last thing that ever happens may be what is waited for: one more try before giving up.
            over = self.pump().err();
            self.0.alarm.set(alarm);
        }
    }

    fn collect_orphans(&self) {
        if self.0.orphans.borrow().is_empty() {
            return;
        }
        // Taken out: letting go of a flow may drop what the application gave its transport, handles among it.
        let mut orphans = self.0.orphans.take();
        let mut lane = self.lane();
        for orphan in orphans.drain(..) {
            match orphan {
                Orphan::Flow(engine, flow) => lane.detach(engine, flow),
                Orphan::Listener(engine, port) => lane.unlisten(engine, port),
            }
        }
        drop(lane);
        let mut since = self.0.orphans.borrow_mut();
        if since.is_empty() {
            *since = orphans; // for its capacity
        }
    }

    fn wake(&self) {
        // A woken task may come back here at once, and a dropped one, too: nothing is borrowed meanwhile.
        let mut woken = self.0.woken.take();
        let mut dropped = Vec::new();
        self.lane().take_woken(&mut woken, &mut dropped);
        drop(dropped);
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.0.woken.set(woken);
    }
}
