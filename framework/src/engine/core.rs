//! The engine's state, and the one way into a flow: [`Core::with`] borrows transport and flow for one call and applies
//! what the call asked for.

use std::sync::Arc;

use super::demux::Place;
use super::flow::{Slot, Vacant, standing};
use super::listen::Ports;
use super::local::Local;
use super::ready::ReadyList;
use super::receive::Scratch;
use super::remnant::{RemnantSlot, Remnants};
use super::starved::Starved;
use super::{FlowId, Head, PortId};
use crate::net::{Claim, DropReason, NeighbourId, Net, PathId};
use crate::observe::{Event, FlowRef};
use crate::socket::{FlowIo, Ready, Wakers};
use crate::time::Instant;
use crate::toolkit::{Entry as WheelEntry, PortPicker, Wheel};
use crate::transport::{Class, Context, End, FlowError, LaneCx, LaneInfo, LaneParts, Opened, Transport};

/// Bounds of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// Flows; more are refused.
    pub flows_max: usize,
    /// Remnants; more are forgotten at once.
    pub remnants_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { flows_max: 4 << 20, remnants_max: 1 << 20 }
    }
}

/// One transport on one lane, with all its flows.
pub struct Core<T: Transport> {
    pub(super) transport: T,
    pub(super) claim: Claim,
    pub(super) limits: EngineLimits,
    pub(super) slots: Vec<Option<Slot<T>>>,
    pub(super) free: Vec<Vacant>,
    generation: u32,
    pub(super) remnants: Remnants<T::Key, T::Remnant>,
    pub(super) local: Local<T>,
    pub(super) ports: Ports,
    pub(super) ephemeral: PortPicker,
    pub(super) ready: [ReadyList; 3],
    /// Ranked flows that have more than this turn gives them.
    pub(super) again: Vec<(FlowId, u64)>,
    /// Neighbours that packets of no flow wait for.
    pub(super) lane_parked: Vec<NeighbourId>,
    pub(super) wheel: Wheel,
    pub(super) pacing: Wheel,
    pub(super) due: Vec<WheelEntry>,
    /// Flows that wait for a neighbour.
    pub(super) parked: Vec<(NeighbourId, FlowId)>,
    pub(super) settling: Vec<u32>,
    pub(super) events: Vec<FlowId>,
    /// The application had its turn and left events: it does not take them, or made them itself.
    pub(super) left_events: bool,
    pub(super) acceptable: Vec<PortId>,
    pub(super) wakers: Wakers,
    pub(super) starved: Starved,
    pub(super) scratch: Scratch<T>,
}

impl<T: Transport> Core<T> {
    /// Bytes of a flow's place: the engine's part, the transport's state and the application's view, without buffers and
    /// what the transport keeps elsewhere.
    pub const FLOW_BYTES: usize = size_of::<Option<Slot<T>>>();

    /// An engine for `transport`, with its flows to come.
    #[must_use]
    pub fn new(config: T::Config, shared: Arc<T::Shared>, info: LaneInfo, limits: EngineLimits) -> Self {
        Self {
            claim: T::claim(&config),
            transport: T::new(config, shared, info),
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            remnants: Remnants::default(),
            local: Local::new(info.seed),
            ports: Ports::default(),
            ephemeral: PortPicker::new((info.seed, info.seed.rotate_left(32))),
            ready: Default::default(),
            again: Vec::new(),
            lane_parked: Vec::new(),
            wheel: Wheel::new(Wheel::TIMER_SHIFT),
            pacing: Wheel::new(Wheel::PACING_SHIFT),
            due: Vec::new(),
            parked: Vec::new(),
            settling: Vec::new(),
            events: Vec::new(),
            left_events: false,
            acceptable: Vec::new(),
            wakers: Wakers::default(),
            starved: Starved::default(),
            scratch: Scratch::default(),
        }
    }

    /// The transport.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    #[inline]
    pub(super) fn slot(&self, flow: FlowId) -> Option<&Slot<T>> {
        let slot = self.slots.get(flow.index as usize)?.as_ref()?;
        (slot.head.generation == flow.generation).then_some(slot)
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, flow: FlowId) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(flow.index as usize)?.as_mut()?;
        (slot.head.generation == flow.generation).then_some(slot)
    }

    /// Runs transport code on one flow, then applies what it asked for. `None` if the flow is gone or its protocol is
    /// over.
    #[inline]
    pub(super) fn with<R>(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        index: u32,
        call: impl FnOnce(&mut T, &mut Context<'_, T>, &mut T::Conn, &mut T::Io, &mut Net) -> R,
    ) -> Option<R> {
        let slot = self.slots.get_mut(index as usize)?.as_mut()?;
        let conn = slot.conn.as_mut()?;
        let id = FlowId { index, generation: slot.head.generation };
        let mut cx = Context {
            lane: lane.cx(&mut self.local),
            id,
            head: &mut slot.head,
            want: 0,
            settle: false,
            emit: Ready::NONE,
        };
        let result = call(&mut self.transport, &mut cx, conn, &mut slot.io, net);
        let Context { want, settle, emit, .. } = cx;
        let head = &mut slot.head;
        if settle && !head.settling {
            head.settling = true;
            self.settling.push(index);
        }
        let wanted = want & !(head.ready | head.parked | head.paced);
        if wanted != 0 {
            head.ready |= wanted;
            for (class, list) in self.ready.iter_mut().enumerate() {
                if wanted & 1 << class != 0 {
                    list.push(id, 0);
                }
            }
        }
        if head.due < head.wheel_at {
            if head.wheel_later == Instant::NEVER {
                head.wheel_later = head.wheel_at;
            }
            head.wheel_at = head.due;
            self.wheel.insert(head.due, WheelEntry { index, generation: 0, kind: TIMER_FLOW });
        }
        if emit != Ready::NONE {
            self.emit(index, emit);
        }
        if !self.local.path_moves.is_empty() {
            self.move_paths(net);
        }
        if let Some(end) = self.local.end.take() {
            self.finish(lane, net, index, end);
        }
        Some(result)
    }

    /// Runs transport code that concerns the lane.
    pub(super) fn with_lane<R>(
        &mut self,
        lane: &mut LaneParts,
        call: impl FnOnce(&mut T, &mut LaneCx<'_, T>) -> R,
    ) -> R {
        call(&mut self.transport, &mut lane.cx(&mut self.local))
    }

    /// Whether there are events to take.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty() || !self.acceptable.is_empty() || !self.local.notices.is_empty()
    }

    /// Tells the application, once per turn and flow.
    pub(super) fn emit(&mut self, index: u32, ready: Ready) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        let id = FlowId { index, generation: slot.head.generation };
        self.wakers.wake(id, ready);
        if slot.head.queued || !slot.head.attached {
            return; // `accept` reports whatever is there by then; nobody looks any more
        }
        let first = slot.head.events == Ready::NONE;
        slot.head.events = slot.head.events | ready;
        if first {
            if self.events.len() >= EVENTS_SLACK + 2 * self.flow_count() {
                self.forget_events();
            }
            self.events.push(id);
        }
    }

    /// An application that takes no events leaves those of flows that are gone by now.
    #[cold]
    fn forget_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        events.retain(|flow| self.slot(*flow).is_some());
        self.events = events;
    }

    pub(super) fn flow_count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn move_paths(&mut self, net: &mut Net) {
        for (from, to) in self.local.path_moves.drain(..) {
            net.hold(to);
            if let Some(from) = from {
                net.release(from);
            }
        }
    }

    /// A new flow, unless the lane's limit is reached or the key is taken by anybody but whom it succeeds.
    pub(super) fn insert(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        flow: Opened<T>,
        path: Option<PathId>,
        port: Option<PortId>,
        successor_of: Option<Place>,
    ) -> Result<FlowId, FlowError> {
        let Opened { key, mut conn, mut io } = flow;
        let full = self.flow_count() >= self.limits.flows_max;
        self.generation = self.generation.wrapping_add(1).max(1);
        let index = self.free.last().map_or(self.slots.len() as u32, |place| place.index);
        let id = FlowId { index, generation: self.generation };
        if full || !self.local.demux.insert_over(key, Place::Flow(id), successor_of) {
            self.transport.release(&mut lane.mem, &mut conn);
            io.release(&mut lane.mem);
            return Err(if full { FlowError::NoMemory } else { FlowError::InUse });
        }
        if let Some(path) = path {
            net.hold(path);
        }
        let ends = lane.observers.is_some().then(|| self.transport.endpoints(&key, &conn));
        let mut head = Head::new(key, self.generation, path, port);
        head.udp_port = self.share_udp_port(net, port);
        if let Some(vacant) = self.free.pop() {
            (head.wheel_at, head.wheel_later) = vacant.standing(lane.now);
        }
        let slot = Slot { head, conn: Some(conn), io };
        match self.slots.get_mut(index as usize) {
            Some(place) => *place = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        if successor_of.is_none() {
            self.wake_flow(id, Class::Control, 0);
        }
        if let Some((local, remote)) = ends {
            let flow = FlowRef { engine: self.local.index.0, index: id.index, generation: id.generation };
            lane.observers.emit(lane.now, || Event::FlowOpened { engine: T::NAME, flow, local, remote });
        }
        Ok(id)
    }

    /// A flow of a listener is one more user of its UDP port, which outlives the listener by that.
    fn share_udp_port(&self, net: &mut Net, port: Option<PortId>) -> u16 {
        let listener = port.filter(|_| self.claim == Claim::Udp).and_then(|port| self.ports.get(port));
        let number = listener.map_or(0, |port| port.listener.local.port);
        if number != 0 && net.udp_ports().claim(number, self.local.index).is_ok() { number } else { 0 }
    }

    pub(super) fn release_udp_port(&self, net: &mut Net, number: u16) {
        if number != 0 {
            net.udp_ports().release(number, self.local.index);
        }
    }

    /// Puts a flow on a ready list, unless it stands there or waits for something else.
    pub(super) fn wake_flow(&mut self, flow: FlowId, class: Class, rank: u64) {
        let Some(slot) = self.slot_mut(flow) else { return };
        let head = &mut slot.head;
        if (head.ready | head.parked | head.paced) & class.bit() == 0 {
            head.ready |= class.bit();
            if let Some(list) = self.ready.get_mut(class as usize) {
                list.push(flow, rank);
            }
        }
    }

    /// Serves the wake-ups that calls left behind.
    pub(super) fn serve_wakes(&mut self) {
        if self.local.wake.is_empty() {
            return;
        }
        let mut wake = std::mem::take(&mut self.local.wake);
        for (flow, class, rank) in wake.drain(..) {
            self.wake_flow(flow, class, rank);
        }
        self.local.wake = wake;
    }

    /// The protocol is done with a flow. The place stays while the application holds it, for what it has yet to read.
    pub(super) fn finish(&mut self, lane: &mut LaneParts, net: &mut Net, index: u32, end: End<T>) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        let Some(mut conn) = slot.conn.take() else { return };
        let id = FlowId { index, generation: slot.head.generation };
        let (key, path) = (slot.head.key, slot.head.path.take());
        let udp_port = std::mem::take(&mut slot.head.udp_port);
        let attached = slot.head.attached;
        self.transport.release(&mut lane.mem, &mut conn);
        if self.local.has_aliases() {
            self.local.remove_aliases(id);
        }
        if let Some(path) = path {
            net.release(path);
        }
        let error = match end {
            End::Closed(error) => {
                self.local.demux.remove(&key);
                self.release_udp_port(net, udp_port);
                error
            }
            End::Retired(remnant, until, error) => {
                // The remnant takes over the flow's hold on its UDP port.
                let slot = RemnantSlot { key, remnant, port: None, udp_port, until, wheel_at: Instant::NEVER };
                if !self.park(lane.now, slot, Some(Place::Flow(id))) {
                    self.local.demux.remove(&key);
                    self.release_udp_port(net, udp_port);
                }
                error
            }
        };
        let engine = self.local.index.0;
        lane.observers.emit(lane.now, || Event::FlowClosed {
            engine: T::NAME,
            flow: FlowRef { engine, index: id.index, generation: id.generation },
            reason: error.map_or("closed", FlowError::name),
        });
        if let Some(Some(slot)) = self.slots.get_mut(index as usize) {
            slot.head.error = error;
        }
        if attached {
            self.emit(index, OVER);
        } else {
            self.free_slot(lane, index);
        }
    }

    pub(super) fn free_slot(&mut self, lane: &mut LaneParts, index: u32) {
        if let Some(mut slot) = self.slots.get_mut(index as usize).and_then(Option::take) {
            slot.io.release(&mut lane.mem);
            let id = FlowId { index, generation: slot.head.generation };
            self.wakers.forget(id);
            self.starved.forget(id);
            let Head { wheel_at, wheel_later, .. } = slot.head;
            self.free.push(Vacant { index, wheel_at, wheel_later });
        }
    }

    /// Keeps a remnant, with the UDP port that it holds from then on, but no path: whoever forges addresses would fill the
    /// tables of paths and neighbours with them. `false` if there are too many, or its key is taken: it is forgotten.
    pub(super) fn park(
        &mut self,
        now: Instant,
        mut slot: RemnantSlot<T::Key, T::Remnant>,
        successor_of: Option<Place>,
    ) -> bool {
        if self.remnants.len() >= self.limits.remnants_max {
            return false;
        }
        let (index, wheel_at) = self.remnants.reserve();
        if !self.local.demux.insert_over(slot.key, Place::Remnant(index), successor_of) {
            self.remnants.forget(index, wheel_at);
            return false;
        }
        self.count_half_open(slot.port);
        slot.wheel_at = standing(wheel_at, now);
        let until = slot.until;
        self.remnants.put(index, slot);
        self.keep_remnant(index, until);
        true
    }

    /// Puts a remnant in the place, and under the key, of one that steps aside for it.
    pub(super) fn replace_remnant(
        &mut self,
        net: &mut Net,
        index: u32,
        remnant: T::Remnant,
        port: Option<PortId>,
        until: Instant,
    ) {
        let Some(slot) = self.remnants.get_mut(index) else { return };
        slot.remnant = remnant;
        let old_port = std::mem::replace(&mut slot.port, port);
        let old_udp_port = std::mem::take(&mut slot.udp_port);
        self.uncount_half_open(old_port);
        self.release_udp_port(net, old_udp_port);
        self.count_half_open(port);
        self.keep_remnant(index, until);
    }

    /// Frees a remnant's place, and what it held.
    pub(super) fn forget_remnant(&mut self, net: &mut Net, index: u32) {
        let Some(slot) = self.remnants.take(index) else { return };
        self.local.demux.remove(&slot.key);
        self.remnants.forget(index, slot.wheel_at);
        self.uncount_half_open(slot.port);
        self.release_udp_port(net, slot.udp_port);
    }

    fn count_half_open(&mut self, port: Option<PortId>) {
        if let Some(port) = port.and_then(|port| self.ports.get_mut(port)) {
            port.listener.half_open += 1;
        }
    }

    pub(super) fn uncount_half_open(&mut self, port: Option<PortId>) {
        if let Some(port) = port.and_then(|port| self.ports.get_mut(port)) {
            port.listener.half_open = port.listener.half_open.saturating_sub(1);
        }
    }

    /// Puts a new flow into its listener's queue.
    pub(super) fn enqueue(&mut self, flow: FlowId, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else { return };
        port.queue.push_back(flow);
        port.listener.queued = port.queue.len() as u32;
        if !std::mem::replace(&mut port.told, true) && !self.acceptable.contains(&id) {
            self.acceptable.push(id);
        }
        self.wakers.wake_port(id);
        if let Some(slot) = self.slot_mut(flow) {
            slot.head.queued = true;
        }
    }

    pub(super) fn count(&mut self, lane: &mut LaneParts, reason: DropReason) {
        lane.drops.add(reason);
        lane.observers.emit(lane.now, || Event::Dropped { reason: reason.0 });
    }
}

/// What an application is told of a flow whose protocol is over.
pub(super) const OVER: Ready = Ready::CLOSED.with(Ready::READABLE).with(Ready::WRITABLE);
/// Events kept for an application that does not take them, beyond two for each flow.
const EVENTS_SLACK: usize = 64;
/// Kinds of wheel entries.
pub(super) const TIMER_FLOW: u8 = 0;
pub(super) const TIMER_REMNANT: u8 = 1;
