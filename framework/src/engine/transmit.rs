//! The way out: deadlines, delayed decisions, and the ready lists, served by class and in turn.

use super::core::{Core, TIMER_FLOW, TIMER_REMNANT};
use super::flow::Slot;
use super::remnant::Remnants;
use super::{Engine, FlowId, PortId};
use crate::net::{Claim, Encapsulation, EngineIndex, NeighbourChange, NeighbourId, Net, Packet, Quote, Trouble};
use crate::time::Instant;
use crate::toolkit::{Entry as WheelEntry, Wheel};
use crate::transport::{Class, End, FlowError, LaneParts, RemnantInput, Transport, TroubleAnswer, TxStatus, Verdict};
use std::any::Any;
use std::task::Waker;

impl<T: Transport> Engine for Core<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn claim(&self) -> Claim {
        self.claim
    }

    fn set_index(&mut self, index: EngineIndex) {
        self.local.index = index;
    }

    fn receive(&mut self, lane: &mut LaneParts, net: &mut Net, batch: &mut Vec<Option<Packet>>) {
        self.receive_burst(lane, net, batch);
    }

    fn trouble(&mut self, lane: &mut LaneParts, net: &mut Net, quote: &Quote, trouble: &Trouble) {
        let Some(key) = self.transport.parse_quoted(quote) else { return };
        let Some(super::demux::Place::Flow(flow)) = self.find(&key) else { return };
        self.tell_trouble(lane, net, flow, Some(quote), trouble);
        self.serve_wakes();
    }

    fn neighbour(&mut self, lane: &mut LaneParts, net: &mut Net, change: &NeighbourChange) {
        let (neighbour, found) = match *change {
            NeighbourChange::Resolved(neighbour) => (neighbour, true),
            NeighbourChange::Failed(neighbour) => (neighbour, false),
        };
        if self.lane_parked.contains(&neighbour) {
            self.lane_parked.retain(|waits_for| *waits_for != neighbour);
            self.local.lane_tx = true;
        }
        let mut parked = std::mem::take(&mut self.parked);
        parked.retain(|&(waits_for, flow)| {
            if waits_for != neighbour {
                return self.slot(flow).is_some();
            }
            let classes = self.slot_mut(flow).map_or(0, |slot| std::mem::take(&mut slot.head.parked));
            for class in Class::ALL {
                if classes & class.bit() != 0 {
                    self.wake_flow(flow, class, 0);
                }
            }
            if classes != 0 && !found {
                self.tell_trouble(lane, net, flow, None, &Trouble::NeighbourFailed);
            }
            false
        });
        // Calls above may have parked flows again.
        parked.append(&mut self.parked);
        self.parked = parked;
        self.serve_wakes();
    }

    fn expire(&mut self, lane: &mut LaneParts, net: &mut Net) {
        self.expire_timers(lane, net);
        self.expire_pacing(lane.now);
        if self.local.lane_due <= lane.now {
            self.local.lane_due = Instant::NEVER;
            self.with_lane(lane, |transport, cx| transport.on_lane_deadline(cx));
        }
        self.serve_wakes();
    }

    fn settle(&mut self, lane: &mut LaneParts, net: &mut Net) {
        self.left_events = self.has_events();
        let mut settling = std::mem::take(&mut self.settling);
        for index in settling.drain(..) {
            let Some(Some(slot)) = self.slots.get_mut(index as usize) else { continue };
            // False if a flow that asked has ended, and another has its place.
            let asked = std::mem::replace(&mut slot.head.settling, false);
            if asked && slot.head.ready == 0 {
                self.with(lane, net, index, |transport, cx, conn, io, _| transport.settle(cx, conn, io));
            }
        }
        settling.append(&mut self.settling);
        self.settling = settling;
        self.serve_wakes();
    }

    fn transmit(&mut self, lane: &mut LaneParts, net: &mut Net, class: Class) {
        if class == Class::Control && std::mem::take(&mut self.local.lane_tx) {
            self.transmit_lane(lane, net);
        }
        let flows = self.flow_count();
        let Self { ready, slots, .. } = self;
        let Some(list) = ready.get_mut(class as usize) else { return };
        if list.len() > flows {
            // Some entries are of flows that have ended. While nothing can leave, nobody else would come by here.
            list.retain(|flow| is_live(slots, flow));
        }
        // Once around: what asks for more waits for the next turn, so that no flow and no class starves another.
        let mut in_vain = 0;
        for _ in 0..list.len() {
            let Some((flow, rank)) = self.ready.get_mut(class as usize).and_then(|list| list.pop()) else { break };
            let wants_more = self.transmit_flow(lane, net, class, flow, rank);
            if wants_more && !net.has_room() {
                in_vain += 1;
                if in_vain >= POLLS_WITHOUT_ROOM {
                    break;
                }
            }
        }
        if let Some(list) = self.ready.get_mut(class as usize) {
            self.again.drain(..).for_each(|(flow, rank)| list.push(flow, rank));
        }
        self.serve_wakes();
    }

    fn relieve(&mut self, lane: &LaneParts) {
        self.tell_starved(lane);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.local.lane_tx || !self.settling.is_empty() || self.ready.iter().any(|list| !list.is_empty()) {
            return Some(Instant::ZERO);
        }
        let lane_due = (self.local.lane_due != Instant::NEVER).then_some(self.local.lane_due);
        [self.wheel.next_deadline(), self.pacing.next_deadline(), lane_due].into_iter().flatten().min()
    }

    fn detach(&mut self, lane: &mut LaneParts, net: &mut Net, flow: FlowId) {
        self.let_go(lane, net, flow);
    }

    fn unlisten(&mut self, lane: &mut LaneParts, net: &mut Net, port: PortId) {
        self.stop_listening(lane, net, port);
    }

    fn take_woken(&mut self, woken: &mut Vec<Waker>, dropped: &mut Vec<Waker>) {
        self.wakers.take_woken(woken, dropped);
    }

    fn has_news(&self) -> bool {
        self.has_events() && !self.left_events
    }

    fn flows(&self) -> usize {
        self.flow_count()
    }

    fn remnants(&self) -> usize {
        self.remnants.len()
    }

    fn clear(&mut self, lane: &mut LaneParts, net: &mut Net) {
        for index in 0..self.slots.len() as u32 {
            if let Some(Some(slot)) = self.slots.get_mut(index as usize) {
                slot.head.attached = false;
                if slot.conn.is_none() {
                    self.free_slot(lane, index);
                }
            }
            self.finish(lane, net, index, End::Closed(Some(FlowError::Aborted)));
        }
        self.forget_remnants(net, |_| true);
        let ports: Vec<PortId> = self.ports.ids().map(|(id, _)| id).collect();
        for port in ports {
            self.stop_listening(lane, net, port);
        }
        self.events.clear();
        self.starved.clear();
        self.ready.iter_mut().for_each(|list| list.clear());
        self.parked.clear();
        self.lane_parked.clear();
        self.settling.clear();
        self.local.wake.clear();
        self.local.notices.clear();
        // Places remember what they left in the wheel: they go with it.
        self.slots.clear();
        self.free.clear();
        self.remnants = Remnants::default();
        self.wheel = Wheel::new(Wheel::TIMER_SHIFT);
        self.pacing = Wheel::new(Wheel::PACING_SHIFT);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl<T: Transport> Core<T> {
    fn tell_trouble(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        flow: FlowId,
        quote: Option<&Quote>,
        trouble: &Trouble,
    ) {
        let Some(path) = self.slot(flow).map(|slot| slot.head.path) else { return };
        let answer = self.with(lane, net, flow.index, |transport, cx, conn, io, _| {
            transport.on_trouble(cx, conn, io, quote, trouble)
        });
        if let (Some(TroubleAnswer::LowerMtu(mtu)), Some(path)) = (answer, path) {
            net.lower_mtu(path, mtu);
        }
    }

    fn expire_timers(&mut self, lane: &mut LaneParts, net: &mut Net) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(lane.now, &mut due);
        for entry in due.drain(..) {
            if entry.kind == TIMER_FLOW {
                self.expire_flow(lane, net, entry);
            } else {
                self.expire_remnant(lane, net, entry);
            }
        }
        self.due = due;
    }

    fn expire_flow(&mut self, lane: &mut LaneParts, net: &mut Net, entry: WheelEntry) {
        // Whoever armed it: entries are of places, and serve one flow after another.
        let Some(Some(slot)) = self.slots.get_mut(entry.index as usize) else { return };
        let head = &mut slot.head;
        // An entry that is no longer the one in force: an earlier one was armed since, and this one is left over.
        if head.wheel_at > lane.now {
            return;
        }
        head.wheel_at = std::mem::replace(&mut head.wheel_later, Instant::NEVER);
        if head.due > lane.now {
            // Moved later since: ride on. `with` arms it.
            self.with(lane, net, entry.index, |_, _, _, _, _| ());
            return;
        }
        head.due = Instant::NEVER;
        self.with(lane, net, entry.index, |transport, cx, conn, io, _| transport.on_deadline(cx, conn, io));
    }

    fn expire_remnant(&mut self, lane: &mut LaneParts, net: &mut Net, entry: WheelEntry) {
        let Self { remnants, transport, local, ports, .. } = self;
        let Some(slot) = remnants.get_mut(entry.index).filter(|slot| slot.wheel_at <= lane.now) else { return };
        slot.wheel_at = Instant::NEVER;
        if slot.until > lane.now {
            let until = slot.until;
            return self.keep_remnant(entry.index, until);
        }
        let listener = slot.port.and_then(|port| ports.get(port)).map(|port| &port.listener);
        let input = RemnantInput::Deadline(&slot.key);
        match transport.on_remnant(&mut lane.cx(local), &mut slot.remnant, input, listener) {
            Verdict::Keep { until } => self.keep_remnant(entry.index, until),
            Verdict::Gone | Verdict::Reopen | Verdict::Promote { .. } => self.forget_remnant(net, entry.index),
        }
    }

    /// Sets a remnant's deadline.
    pub(super) fn keep_remnant(&mut self, index: u32, until: Instant) {
        let Some(slot) = self.remnants.get_mut(index) else { return };
        slot.until = until;
        if until < slot.wheel_at {
            slot.wheel_at = until;
            self.wheel.insert(until, WheelEntry { index, generation: 0, kind: TIMER_REMNANT });
        }
    }

    fn expire_pacing(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.pacing.advance(now, &mut due);
        for entry in due.drain(..) {
            let flow = FlowId { index: entry.index, generation: entry.generation };
            let Some(class) = Class::ALL.into_iter().find(|class| *class as u8 == entry.kind) else { continue };
            if let Some(slot) = self.slot_mut(flow) {
                slot.head.paced &= !class.bit();
                self.wake_flow(flow, class, 0);
            }
        }
        self.due = due;
    }

    fn transmit_lane(&mut self, lane: &mut LaneParts, net: &mut Net) {
        let claim = self.claim;
        let mut out = net.batch(lane.now, claim.into());
        out.set_quantum(QUANTUM_BYTES);
        let status = self.transport.poll_lane_tx(&mut lane.cx(&mut self.local), &mut out);
        let (blocked, quantum_left) = (out.blocked(), out.bytes_left() > 0);
        if status != TxStatus::More {
            return;
        }
        let neighbour = blocked.and_then(|path| net.path_info(path)).and_then(|info| info.neighbour);
        match neighbour {
            // The rest waits for the neighbour's answer, unless it was something else that ended the call.
            Some(neighbour) if quantum_left && net.has_room() && self.lane_parked.len() < LANE_PARKED_MAX => {
                if !self.lane_parked.contains(&neighbour) {
                    self.lane_parked.push(neighbour);
                }
            }
            _ => self.local.lane_tx = true,
        }
    }

    /// Lets a flow send. Whether it could not send all that it wanted to.
    fn transmit_flow(&mut self, lane: &mut LaneParts, net: &mut Net, class: Class, id: FlowId, rank: u64) -> bool {
        // A flow that ended left its entry on the list; whoever has the slot now does not stand there by it.
        let Some(slot) = self.slot_mut(id) else { return false };
        slot.head.ready &= !class.bit();
        let (now, encapsulation) = (lane.now, Encapsulation::from(self.claim));
        let sent = self.with(lane, net, id.index, |transport, cx, conn, io, net| {
            let mut out = net.batch(now, encapsulation);
            out.set_quantum(QUANTUM_BYTES);
            let status = transport.poll_tx(cx, conn, io, class, &mut out);
            (status, out.blocked())
        });
        let Some((status, blocked)) = sent else { return false };
        if let Some(neighbour) = blocked.and_then(|path| net.path_info(path)).and_then(|info| info.neighbour) {
            self.park_flow(id, class, neighbour);
            return true;
        }
        match status {
            TxStatus::Idle => return false,
            TxStatus::More if rank == 0 => self.wake_flow(id, class, 0),
            TxStatus::More => self.serve_again(id, class, rank),
            TxStatus::PacedUntil(at) => self.pace_flow(id, class, at),
        }
        true
    }

    /// Puts a ranked flow back once this turn is over: at once, it would be the next again.
    fn serve_again(&mut self, flow: FlowId, class: Class, rank: u64) {
        let Some(slot) = self.slot_mut(flow) else { return };
        let head = &mut slot.head;
        if (head.ready | head.parked | head.paced) & class.bit() == 0 {
            head.ready |= class.bit();
            self.again.push((flow, rank));
        }
    }

    fn park_flow(&mut self, flow: FlowId, class: Class, neighbour: NeighbourId) {
        let Some(slot) = self.slot_mut(flow) else { return };
        if slot.head.ready & class.bit() != 0 {
            return; // it asked again meanwhile: it stands on the list already
        }
        let first = slot.head.parked == 0;
        slot.head.parked |= class.bit();
        if first {
            self.parked.push((neighbour, flow));
        }
    }

    fn pace_flow(&mut self, flow: FlowId, class: Class, at: Instant) {
        let Some(slot) = self.slot_mut(flow) else { return };
        // A flow that asked again meanwhile stands on the list already.
        if at != Instant::NEVER && slot.head.ready & class.bit() == 0 {
            slot.head.paced |= class.bit();
            let entry = WheelEntry { index: flow.index, generation: flow.generation, kind: class as u8 };
            self.pacing.insert(at, entry);
        }
    }
}

fn is_live<T: Transport>(slots: &[Option<Slot<T>>], flow: FlowId) -> bool {
    let slot = slots.get(flow.index as usize).and_then(Option::as_ref);
    slot.is_some_and(|slot| slot.head.generation == flow.generation && slot.conn.is_some())
}

/// What one flow may send in a turn, bytes: the largest segment that a device cuts.
const QUANTUM_BYTES: usize = 64 * 1024;
/// Flows asked per turn and class while no device takes anything: some may send over the own loopback.
const POLLS_WITHOUT_ROOM: usize = 32;
/// Neighbours that packets of no flow wait for at once; beyond, they are tried again at once.
const LANE_PARKED_MAX: usize = 64;
