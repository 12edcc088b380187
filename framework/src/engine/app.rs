//! The application's side of an engine: opening, listening, accepting, events. What `socket`'s handles are made of; a
//! program that wants no handles drives this directly.

use super::FlowId;
use super::core::{Core, OVER};
use super::listen::PortId;
use super::remnant::RemnantSlot;
use crate::addr::{Endpoint, Ip};
use crate::net::{Claim, Net, PathId, PathInfo, RouteError};
use crate::socket::{AppOp, Ready, Wakers};
use crate::transport::{End, FlowError, LaneParts, Open, Opened, Transport};

/// Why a flow could not be opened is what it can end with, too.
pub type OpenError = FlowError;

/// Something the application may want to act on. Level is what counts: an event says "look again", and what is left undone
/// then is not told again.
#[derive(Debug)]
pub enum EngineEvent<N> {
    /// Flows wait at a listener: accept until none does.
    Acceptable(PortId),
    /// Something may be possible on a flow.
    Ready(FlowId, Ready),
    /// The protocol's own notice.
    Notice(Option<FlowId>, N),
}

impl<T: Transport> Core<T> {
    /// Takes new flows at `local`; its address may be [`Ip::ANY`], its port 0 (one is chosen).
    ///
    /// # Errors
    /// [`FlowError::InUse`], [`FlowError::NoPort`]; [`FlowError::Unreachable`] if the address is not ours.
    pub fn listen(&mut self, net: &mut Net, local: Endpoint, backlog: u32) -> Result<PortId, FlowError> {
        let local = self.take_port(net, local, Endpoint::default())?;
        match self.ports.add(local, backlog.max(1)) {
            Some(port) => Ok(port),
            None => {
                self.give_port_back(net, local.port);
                Err(FlowError::InUse)
            }
        }
    }

    /// Where a listener listens.
    #[must_use]
    pub fn listener(&self, port: PortId) -> Option<crate::transport::Listener> {
        self.ports.get(port).map(|port| port.listener)
    }

    /// Stops listening; flows that wait are aborted, half-open ones forgotten.
    pub fn stop_listening(&mut self, lane: &mut LaneParts, net: &mut Net, id: PortId) {
        let Some(port) = self.ports.remove(id) else { return };
        self.give_port_back(net, port.listener.local.port);
        self.wakers.forget_port(id);
        self.acceptable.retain(|other| *other != id);
        if port.listener.half_open > 0 {
            self.forget_remnants(net, |slot| slot.port == Some(id));
        }
        for flow in port.queue {
            self.app(lane, net, flow, AppOp::Abort);
            self.let_go(lane, net, flow);
        }
    }

    /// Forgets the remnants that `which` names, and gives back what they held.
    pub(super) fn forget_remnants(&mut self, net: &mut Net, which: impl Fn(&RemnantSlot<T::Key, T::Remnant>) -> bool) {
        for index in 0..self.remnants.places() {
            if self.remnants.get_mut(index).is_some_and(|slot| which(slot)) {
                self.forget_remnant(net, index);
            }
        }
    }

    /// The flow that waits longest at a listener.
    pub fn accept(&mut self, port: PortId) -> Option<FlowId> {
        loop {
            let port = self.ports.get_mut(port)?;
            let next = port.queue.pop_front();
            port.listener.queued = port.queue.len() as u32;
            if port.queue.is_empty() {
                port.told = false;
            }
            let flow = next?;
            let Some(slot) = self.slot_mut(flow).filter(|slot| slot.head.queued) else { continue };
            slot.head.queued = false;
            let over = slot.conn.is_none();
            // Whatever came while it waited is news to whoever has it now.
            self.emit(flow.index, if over { OVER } else { Ready::READABLE | Ready::WRITABLE });
            return Some(flow);
        }
    }

    /// Opens a flow to `remote`, from `local` if given (its port may be 0, its address [`Ip::ANY`]).
    ///
    /// # Errors
    /// See [`FlowError`]: no route, no port, taken, limits, or not what this transport does.
    pub fn connect(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        local: Option<Endpoint>,
        remote: Endpoint,
    ) -> Result<FlowId, FlowError> {
        if remote.ip.is_unspecified() {
            return Err(FlowError::Unreachable);
        }
        let wanted = local.unwrap_or_default();
        let source = (!wanted.ip.is_unspecified()).then_some(wanted.ip);
        let path = net.path(lane.now, source, remote.ip).map_err(|error| match error {
            RouteError::TableFull => FlowError::NoMemory,
            RouteError::NoRoute | RouteError::NotLocal | RouteError::NoSource => FlowError::Unreachable,
        })?;
        let info = net.path_info(path).ok_or(FlowError::Unreachable)?;
        let local = self.take_port_to(net, Endpoint::new(info.local, wanted.port), remote, Some(info))?;
        let open = Open { local, remote, path: Some(info) };
        let opened = self.with_lane(lane, |transport, cx| transport.connect(cx, &open));
        self.insert_opened(lane, net, opened, Some(path), local.port)
    }

    /// A flow without a peer at `local`: a bound datagram socket.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn bind(&mut self, lane: &mut LaneParts, net: &mut Net, local: Endpoint) -> Result<FlowId, FlowError> {
        let local = self.take_port(net, local, Endpoint::default())?;
        let open = Open { local, remote: Endpoint::default(), path: None };
        let opened = self.with_lane(lane, |transport, cx| transport.bind(cx, &open));
        self.insert_opened(lane, net, opened, None, local.port)
    }

    /// An operation of the application on a flow whose protocol is not over. `false` if it is.
    pub fn app(&mut self, lane: &mut LaneParts, net: &mut Net, flow: FlowId, op: AppOp<T::Op>) -> bool {
        self.app_all(lane, net, flow, [op])
    }

    /// Several operations on one flow, in this order and in one call: whoever answers what it reads has both to tell.
    /// `false` if the flow's protocol is over; what follows an operation that ends it is left out.
    pub fn app_all<const N: usize>(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        flow: FlowId,
        ops: [AppOp<T::Op>; N],
    ) -> bool {
        if self.slot(flow).is_none() {
            return false;
        }
        let done = self.with(lane, net, flow.index, |transport, cx, conn, io, _| {
            for op in ops {
                if !cx.is_ended() {
                    transport.on_app(cx, conn, io, op);
                }
            }
        });
        self.serve_wakes();
        done.is_some()
    }

    /// What the application sees of a flow, until it is detached.
    #[inline]
    pub fn io(&mut self, flow: FlowId) -> Option<&mut T::Io> {
        self.slot_mut(flow).map(|slot| &mut slot.io)
    }

    /// Reads a flow's protocol state.
    pub fn inspect<R>(&self, flow: FlowId, look: impl FnOnce(&T, &T::Conn) -> R) -> Option<R> {
        let conn = self.slot(flow)?.conn.as_ref()?;
        Some(look(&self.transport, conn))
    }

    /// Reads a flow's protocol state together with what the application sees of it.
    pub fn inspect_io<R>(&self, flow: FlowId, look: impl FnOnce(&T, &T::Conn, &T::Io) -> R) -> Option<R> {
        let slot = self.slot(flow)?;
        Some(look(&self.transport, slot.conn.as_ref()?, &slot.io))
    }

    /// The two ends of a flow, ours first; `None` once its protocol is over.
    #[must_use]
    pub fn endpoints(&self, flow: FlowId) -> Option<(Endpoint, Endpoint)> {
        let slot = self.slot(flow)?;
        Some(self.transport.endpoints(&slot.head.key, slot.conn.as_ref()?))
    }

    /// Whether the flow's protocol is over, and with what error. `None` while it lives.
    #[must_use]
    pub fn ended(&self, flow: FlowId) -> Option<Option<FlowError>> {
        match self.slot(flow) {
            Some(slot) if slot.conn.is_some() => None,
            Some(slot) => Some(slot.head.error),
            None => Some(Some(FlowError::Closed)),
        }
    }

    /// The application lets go of a flow: it is closed in good order behind its back ([`AppOp::Close`]), and its place is
    /// free when the protocol is done.
    pub fn let_go(&mut self, lane: &mut LaneParts, net: &mut Net, flow: FlowId) {
        let Some(slot) = self.slot_mut(flow).filter(|slot| slot.head.attached) else { return };
        slot.head.attached = false;
        slot.head.queued = false;
        if slot.conn.is_none() {
            return self.free_slot(lane, flow.index);
        }
        self.wakers.forget(flow);
        self.with(lane, net, flow.index, |transport, cx, conn, io, _| transport.on_app(cx, conn, io, AppOp::Close));
        self.serve_wakes();
    }

    /// Ends a flow at once without a word to the peer.
    pub fn kill(&mut self, lane: &mut LaneParts, net: &mut Net, flow: FlowId) {
        if self.slot(flow).is_some() {
            self.finish(lane, net, flow.index, End::Closed(Some(FlowError::Aborted)));
        }
    }

    /// Moves what happened into `events`: listeners first, then flows, then notices, each in the order in which they
    /// happened. A flow appears once, with all that happened to it; one that was let go does not appear.
    pub fn take_events(&mut self, events: &mut Vec<EngineEvent<T::Notice>>) {
        events.extend(self.acceptable.drain(..).map(EngineEvent::Acceptable));
        let mut flows = std::mem::take(&mut self.events);
        for flow in flows.drain(..) {
            let Some(slot) = self.slot_mut(flow) else { continue };
            let ready = std::mem::replace(&mut slot.head.events, Ready::NONE);
            if slot.head.attached {
                events.push(EngineEvent::Ready(flow, ready));
            }
        }
        self.events = flows;
        while let Some((flow, notice)) = self.local.notices.pop_front() {
            if flow.is_none_or(|flow| self.slot(flow).is_some_and(|slot| slot.head.attached)) {
                events.push(EngineEvent::Notice(flow, notice));
            }
        }
    }

    /// Wakers of asynchronous tasks.
    pub fn wakers(&mut self) -> &mut Wakers {
        &mut self.wakers
    }

    /// Keys in the table: flows, their aliases and remnants.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.local.demux.len()
    }

    /// A local endpoint with a port: the one asked for, or an ephemeral one.
    fn take_port(&mut self, net: &mut Net, local: Endpoint, remote: Endpoint) -> Result<Endpoint, FlowError> {
        if !local.ip.is_unspecified() && !net.is_local(local.ip) {
            return Err(FlowError::Unreachable);
        }
        let ip = if local.ip.is_unspecified() { Ip::ANY } else { local.ip };
        self.take_port_to(net, Endpoint::new(ip, local.port), remote, None)
    }

    fn take_port_to(
        &mut self,
        net: &mut Net,
        local: Endpoint,
        remote: Endpoint,
        path: Option<PathInfo>,
    ) -> Result<Endpoint, FlowError> {
        let port = if local.port != 0 {
            local.port
        } else {
            let Self { ephemeral, ports, transport, local: engine, claim, .. } = self;
            let in_udp = *claim == Claim::Udp;
            let udp = net.udp_ports();
            let taken = |port: u16| {
                let open = Open { local: Endpoint::new(local.ip, port), remote, path };
                ports.uses_port(port)
                    || in_udp && udp.lookup(port).is_some()
                    || transport.tuple_key(&open).is_some_and(|key| engine.demux.get(&key).is_some())
            };
            ephemeral.next(local.ip, remote, taken).ok_or(FlowError::NoPort)?
        };
        if self.claim == Claim::Udp && net.udp_ports().claim(port, self.local.index).is_err() {
            return Err(FlowError::InUse);
        }
        Ok(Endpoint::new(local.ip, port))
    }

    fn give_port_back(&mut self, net: &mut Net, port: u16) {
        if self.claim == Claim::Udp {
            net.udp_ports().release(port, self.local.index);
        }
    }

    /// A flow that the application opened, which then owns the port claimed for it; or the port is given back.
    fn insert_opened(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        opened: Result<Opened<T>, FlowError>,
        path: Option<PathId>,
        port: u16,
    ) -> Result<FlowId, FlowError> {
        let flow = opened.and_then(|opened| self.insert(lane, net, opened, path, None, None));
        self.serve_wakes();
        if self.claim == Claim::Udp {
            match flow.ok().and_then(|flow| self.slot_mut(flow)) {
                Some(slot) => slot.head.udp_port = port,
                None => self.give_port_back(net, port),
            }
        }
        flow
    }
}
