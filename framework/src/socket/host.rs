//! [`Host`]: the application's handle to a lane. Every operation borrows the lane for a moment; no handler, waker or
//! `Drop` of the application ever runs while it is borrowed.

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::Waker;

use super::{Listener, MessageIo, MessageSocket, Stream, StreamIo};
use crate::addr::Endpoint;
use crate::engine::{Core, EngineEvent, FlowId, PortId};
use crate::lane::{EngineId, Lane};
use crate::net::{EngineIndex, Net};
use crate::time::Instant;
use crate::transport::{FlowError, LaneParts, Transport};

/// A lane, shared by the handles of one thread. Cloning it clones the handle.
#[derive(Clone)]
pub struct Host(Rc<Inner>);

struct Inner {
    lane: RefCell<Lane>,
    /// What dropped handles leave to be done at the next turn.
    orphans: RefCell<Vec<Orphan>>,
    woken: RefCell<Vec<Waker>>,
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
}

impl Host {
    /// A handle to `lane`.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self(Rc::new(Inner {
            lane: RefCell::new(lane),
            orphans: RefCell::default(),
            woken: RefCell::default(),
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
        self.lane().next_deadline()
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

    /// Tries `attempt` until it answers anything but `WouldBlock`, letting time pass in between.
    pub(super) fn block_on<R>(&self, mut attempt: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        let mut over = None;
        loop {
            match (attempt(), over) {
                (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => {}
                (Err(error), Some(over)) if error.kind() == io::ErrorKind::WouldBlock => return Err(over),
                (result, _) => return result,
            }
            // The last thing that ever happens may be what is waited for: one more try before giving up.
            over = self.pump().err();
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

    /// Moves what happened in an engine into `events`.
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

    fn collect_orphans(&self) {
        let mut orphans = self.0.orphans.borrow_mut();
        if orphans.is_empty() {
            return;
        }
        let mut lane = self.lane();
        for orphan in orphans.drain(..) {
            match orphan {
                Orphan::Flow(engine, flow) => lane.detach(engine, flow),
                Orphan::Listener(engine, port) => lane.unlisten(engine, port),
            }
        }
    }

    fn wake(&self) {
        // A woken task may come back here at once, so nothing is borrowed while it is told.
        let mut woken = self.0.woken.take();
        self.lane().take_woken(&mut woken);
        for waker in woken.drain(..) {
            waker.wake();
        }
        self.0.woken.replace(woken);
    }
}
