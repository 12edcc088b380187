//! The event loop's middle: events of an engine to the services of its connections, for any stream transport.

use std::rc::Rc;
use std::time::Duration;

use burstlane::addr::{Endpoint, Ip};
use burstlane::engine::{EngineEvent, FlowId, PortId};
use burstlane::lane::EngineId;
use burstlane::socket::{Host, Listener, Stream, StreamIo};
use burstlane::time::Instant;
use burstlane::transport::Transport;

use crate::problem::Problem;
use crate::service::echo::{Discard, Echo};
use crate::service::http::page::Site;
use crate::service::http::server::HttpConn;
use crate::service::{Service, Status};

use super::{Socket, Summary};

/// The listeners and connections of one host.
pub struct Server<T: Transport<Io = StreamIo>> {
    host: Host,
    engine: EngineId<T>,
    listeners: Vec<(Listener<T>, Kind)>,
    /// By the flow's place.
    connections: Vec<Option<Connection<T>>>,
    open: usize,
    events: Vec<EngineEvent<T::Notice>>,
    /// Connections with more to do at once.
    again: Vec<FlowId>,
    next_sweep: Instant,
    site: Rc<Site>,
    accepted: u64,
}

/// What a port is for.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Http,
    Echo,
    Discard,
}

struct Connection<T: Transport<Io = StreamIo>> {
    socket: Socket<T>,
    service: Box<dyn Service>,
    active_at: Instant,
    is_queued: bool,
}

impl<T: Transport<Io = StreamIo>> Server<T> {
    /// Listens on all addresses of `host`.
    ///
    /// # Errors
    /// A port is taken.
    pub fn new(host: Host, engine: EngineId<T>, driver: &str, addresses: Vec<String>) -> Result<Self, Problem> {
        let listeners = [(80, Kind::Http), (7, Kind::Echo), (9, Kind::Discard)].map(|(port, kind)| {
            let listener = host.listen(engine, Endpoint::new(Ip::ANY, port), BACKLOG);
            listener.map(|l| (l, kind)).map_err(|e| Problem::new(format!("cannot listen on port {port}")).cause(e))
        });
        let listeners = listeners.into_iter().collect::<Result<_, _>>()?;
        let site = Rc::new(Site { driver: driver.to_owned(), addresses, ..Site::default() });
        Ok(Self {
            host,
            engine,
            listeners,
            connections: Vec::new(),
            open: 0,
            events: Vec::new(),
            again: Vec::new(),
            next_sweep: Instant::ZERO,
            site,
            accepted: 0,
        })
    }

    /// The application's part of a turn; whether there was something to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        let mut again = std::mem::take(&mut self.again);
        let mut events = std::mem::take(&mut self.events);
        self.host.take_events(self.engine, &mut events);
        let is_active = !again.is_empty() || !events.is_empty();
        for flow in again.drain(..) {
            self.pump(flow, now);
        }
        for event in events.drain(..) {
            match event {
                EngineEvent::Acceptable(port) => self.accept(port, now),
                EngineEvent::Ready(flow, _) => self.pump(flow, now),
                EngineEvent::Notice(..) => {}
            }
        }
        // The one in hand keeps its capacity; what was queued meanwhile joins it.
        again.append(&mut self.again);
        (self.again, self.events) = (again, events);
        if now >= self.next_sweep {
            self.sweep(now);
        }
        is_active || !self.again.is_empty()
    }

    /// Stops listening, closes all connections, and sums up.
    pub fn close(self) -> Summary {
        let (requests, refusals) = (self.site.requests.get(), self.site.refusals.get());
        Summary { connections: self.accepted, requests, refusals, drops: Vec::new() }
    }

    fn accept(&mut self, port: PortId, now: Instant) {
        while self.open < CONNECTIONS_MAX {
            let Some((listener, kind)) = self.listeners.iter().find(|(l, _)| l.id() == port) else { return };
            let kind = *kind;
            let Some(stream) = listener.accept() else { return };
            let flow = stream.id();
            let service = self.service(kind, &stream);
            let connection = Connection { socket: Socket(stream), service, active_at: now, is_queued: false };
            let place = flow.index as usize;
            if self.connections.len() <= place {
                self.connections.resize_with(place + 1, || None);
            }
            if let Some(slot) = self.connections.get_mut(place) {
                *slot = Some(connection);
            }
            self.accepted += 1;
            self.open += 1;
            self.pump(flow, now);
        }
    }

    fn service(&self, kind: Kind, stream: &Stream<T>) -> Box<dyn Service> {
        match kind {
            Kind::Http => {
                let ends = self.host.with(self.engine, |core, _, _| core.endpoints(stream.id()));
                let peer = ends.map_or_else(String::new, |(_, remote)| remote.to_string());
                Box::new(HttpConn::new(Rc::clone(&self.site), peer))
            }
            Kind::Echo => Box::new(Echo::new()),
            Kind::Discard => Box::new(Discard),
        }
    }

    fn pump(&mut self, flow: FlowId, now: Instant) {
        let Some(slot) = self.connections.get_mut(flow.index as usize) else { return };
        // A later connection in the same place is not meant.
        let Some(connection) = slot.as_mut().filter(|c| c.socket.0.id() == flow) else { return };
        connection.active_at = now;
        connection.is_queued = false;
        match connection.service.pump(&mut connection.socket) {
            Status::Waiting(_) => {}
            Status::Again => {
                connection.is_queued = true;
                self.again.push(flow);
            }
            Status::Done => self.end(flow.index as usize, false),
            Status::Broken => self.end(flow.index as usize, true),
        }
    }

    /// Lets go of a connection: in good order, or at once.
    fn end(&mut self, place: usize, abort: bool) {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::take) else { return };
        if abort {
            connection.socket.0.abort();
        }
        let was_full = self.open == CONNECTIONS_MAX;
        self.open -= 1;
        if was_full {
            // Those who wait at a listener were not told again.
            self.next_sweep = Instant::ZERO;
        }
    }

    /// Ends connections on which nothing happened for long, and takes those that had to wait for a place.
    fn sweep(&mut self, now: Instant) {
        self.next_sweep = now + SWEEP_EVERY;
        for place in 0..self.connections.len() {
            let is_idle = |c: &Connection<T>| !c.is_queued && now.since(c.active_at) > IDLE_TIMEOUT;
            if self.connections.get(place).and_then(Option::as_ref).is_some_and(is_idle) {
                self.end(place, true);
            }
        }
        self.next_sweep = now + SWEEP_EVERY;
        let ports: Vec<PortId> = self.listeners.iter().map(|(l, _)| l.id()).collect();
        ports.into_iter().for_each(|port| self.accept(port, now));
    }
}

/// Connections that may wait to be accepted, by port.
const BACKLOG: u32 = 1024;
/// Each has about 50 KiB of buffers.
const CONNECTIONS_MAX: usize = 4096;
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
