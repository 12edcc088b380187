//! A flow's place in the engine, and what the engine keeps of it beside the transport's own state.

use super::PortId;
use crate::net::PathId;
use crate::socket::Ready;
use crate::time::Instant;
use crate::transport::{FlowError, Transport};

/// Names a flow on its lane and in its engine. The generation tells it from later flows in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    /// The place, dense from 0: good as an index into an application's own table.
    pub index: u32,
    /// Which flow of that place.
    pub generation: u32,
}

/// A place without a flow. What the last one left in the wheel serves the next, so a place that changes hands a thousand
/// times a second does not leave as many entries to fire for nobody.
#[derive(Clone, Copy)]
pub(crate) struct Vacant {
    pub(crate) index: u32,
    pub(crate) wheel_at: Instant,
    pub(crate) wheel_later: Instant,
}

impl Vacant {
    /// The entries that still stand at `now`: the next one, and the one behind it.
    pub(crate) fn standing(self, now: Instant) -> (Instant, Instant) {
        let (at, later) = (standing(self.wheel_at, now), standing(self.wheel_later, now));
        if at == Instant::NEVER { (later, at) } else { (at, later) }
    }
}

/// When an entry for `at` will fire: never, if it may have fired by `now`.
pub(crate) fn standing(at: Instant, now: Instant) -> Instant {
    if at > now { at } else { Instant::NEVER }
}

/// A place for a flow. `io` outlives `conn`: what was received can be read after the protocol is done.
pub(crate) struct Slot<T: Transport> {
    pub(crate) head: Head<T::Key>,
    pub(crate) conn: Option<T::Conn>,
    pub(crate) io: T::Io,
}

/// The engine's part of a flow.
pub(crate) struct Head<K> {
    pub(crate) key: K,
    /// 0: the place is free.
    pub(crate) generation: u32,
    /// Run number of the present burst; true only if that run points back here (a sparse set: nothing to reset).
    pub(crate) run: u16,
    /// Ready lists it stands on, by class bit.
    pub(crate) ready: u8,
    /// Classes in which it waits for a neighbour.
    pub(crate) parked: u8,
    /// Classes in which it waits for the pacing wheel.
    pub(crate) paced: u8,
    /// What the application will be told at its next look.
    pub(crate) events: Ready,
    /// The application holds a handle, or the flow waits to be accepted.
    pub(crate) attached: bool,
    /// It waits in its listener's queue.
    pub(crate) queued: bool,
    /// It asked for `settle` this turn.
    pub(crate) settling: bool,
    /// Port claimed for it in the host's table of UDP ports, 0 if none.
    pub(crate) udp_port: u16,
    pub(crate) path: Option<PathId>,
    pub(crate) port: Option<PortId>,
    /// The flow's deadline.
    pub(crate) due: Instant,
    /// The wheel entry that is in force; later `due`s ride on it.
    pub(crate) wheel_at: Instant,
    /// A later entry that is known to stand in the wheel, to ride on once the one in force has fired: without it a near
    /// deadline that comes and goes would leave an entry for the far one each time.
    pub(crate) wheel_later: Instant,
    /// How it ended; meaningful once `conn` is gone.
    pub(crate) error: Option<FlowError>,
}

impl<K> Head<K> {
    pub(crate) fn new(key: K, generation: u32, path: Option<PathId>, port: Option<PortId>) -> Self {
        Self {
            key,
            generation,
            run: 0,
            ready: 0,
            parked: 0,
            paced: 0,
            events: Ready::NONE,
            attached: true,
            queued: false,
            settling: false,
            udp_port: 0,
            path,
            port,
            due: Instant::NEVER,
            wheel_at: Instant::NEVER,
            wheel_later: Instant::NEVER,
            error: None,
        }
    }
}
