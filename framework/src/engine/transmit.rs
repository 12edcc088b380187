//! The way out: deadlines, delayed decisions, and the ready lists, served by class and in turn.

use super::core::{Core, TIMER_FLOW, TIMER_REMNANT};
use super::remnant::RemnantSlot;
use super::{Engine, FlowId, PortId};
use crate::net::{Claim, Encapsulation, EngineIndex, NeighbourChange, NeighbourId, Net, Packet, Quote, Trouble};
use crate::time::Instant;
use crate::toolkit::Entry as WheelEntry;
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
        let Some(super::demux::Place::Flow(flow)) = self.local.demux.get(&key) else { return };
        self.tell_trouble(lane, net, flow, Some(quote), trouble);
        self.serve_wakes();
    }

    fn neighbour(&mut self, lane: &mut LaneParts, net: &mut Net, change: &NeighbourChange) {
        let (neighbour, found) = match *change {
            NeighbourChange::Resolved(neighbour) => (neighbour, true),
            NeighbourChange::Failed(neighbour) => (neighbour, false),
        };
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
            if !found {
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
        let mut settling = std::mem::take(&mut self.settling);
        for index in settling.drain(..) {
            let Some(Some(slot)) = self.slots.get_mut(index as usize) else { continue };
            slot.head.settling = false;
            if slot.head.ready == 0 {
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
        // Once around: what asks for more waits for the next turn, so that no flow and no class starves another.
        let waiting = self.ready.get(class as usize).map_or(0, |list| list.len());
        for _ in 0..waiting {
            if !net.has_room() {
                break;
            }
            let Some((index, rank)) = self.ready.get_mut(class as usize).and_then(|list| list.pop()) else { break };
            self.transmit_flow(lane, net, class, index, rank);
        }
        self.serve_wakes();
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.local.lane_tx || self.ready.iter().any(|list| !list.is_empty()) {
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

    fn take_woken(&mut self, into: &mut Vec<Waker>) {
        self.wakers.take_woken(into);
    }

    fn has_events(&self) -> bool {
        !self.events.is_empty() || !self.acceptable.is_empty() || !self.local.notices.is_empty()
    }

    fn flows(&self) -> usize {
        self.slots.len() - self.free.len()
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
        let indices: Vec<u32> = self.remnants.indices().collect();
        for index in indices {
            if let Some(slot) = self.remnants.take(index) {
                self.forget_remnant(net, index, slot);
            }
        }
        self.events.clear();
        self.ready.iter_mut().for_each(|list| list.clear());
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
        let flow = FlowId { index: entry.index, generation: entry.generation };
        let Some(slot) = self.slot_mut(flow) else { return };
        let head = &mut slot.head;
        // An entry that is no longer the one in force: an earlier one was armed since, and this one is left over.
        if head.wheel_at > lane.now {
            return;
        }
        head.wheel_at = Instant::NEVER;
        if head.due > lane.now {
            // Moved later since: ride on. `with` arms it.
            self.with(lane, net, flow.index, |_, _, _, _, _| ());
            return;
        }
        head.due = Instant::NEVER;
        self.with(lane, net, flow.index, |transport, cx, conn, io, _| transport.on_deadline(cx, conn, io));
    }

    fn expire_remnant(&mut self, lane: &mut LaneParts, net: &mut Net, entry: WheelEntry) {
        let Some(slot) = self.remnants.get_mut(entry.index) else { return };
        if slot.generation != entry.generation || slot.wheel_at > lane.now {
            return;
        }
        let Some(mut slot) = self.remnants.take(entry.index) else { return };
        slot.wheel_at = Instant::NEVER;
        if slot.until > lane.now {
            let until = slot.until;
            return self.keep_remnant(entry.index, slot, until);
        }
        let listener = slot.port.and_then(|port| self.ports.get(port)).map(|port| port.listener);
        let verdict = self.with_lane(lane, |transport, cx| {
            transport.on_remnant(cx, &mut slot.remnant, RemnantInput::Deadline, listener.as_ref())
        });
        match verdict {
            Verdict::Keep { until } => self.keep_remnant(entry.index, slot, until),
            Verdict::Gone | Verdict::Reopen | Verdict::Promote { .. } => self.forget_remnant(net, entry.index, slot),
        }
    }

    /// Puts a remnant back that was taken out, with a new deadline.
    pub(super) fn keep_remnant(&mut self, index: u32, mut slot: RemnantSlot<T::Key, T::Remnant>, until: Instant) {
        slot.until = until;
        if until < slot.wheel_at {
            slot.wheel_at = until;
            self.wheel.insert(until, WheelEntry { index, generation: slot.generation, kind: TIMER_REMNANT });
        }
        self.remnants.put(index, slot);
    }

    fn expire_pacing(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.pacing.advance(now, &mut due);
        for entry in due.drain(..) {
            let flow = FlowId { index: entry.index, generation: entry.generation };
            let classes = self.slot_mut(flow).map_or(0, |slot| std::mem::take(&mut slot.head.paced));
            for class in Class::ALL {
                if classes & class.bit() != 0 {
                    self.wake_flow(flow, class, 0);
                }
            }
        }
        self.due = due;
    }

    fn transmit_lane(&mut self, lane: &mut LaneParts, net: &mut Net) {
        let claim = self.claim;
        let mut out = net.batch(lane.now, claim.into());
        out.set_quantum(QUANTUM_BYTES);
        let LaneParts { now, mem, rng, observers, drops } = lane;
        let mut cx = crate::transport::LaneCx { now: *now, mem, rng, observers, drops, local: &mut self.local };
        let status = self.transport.poll_lane_tx(&mut cx, &mut out);
        if status == TxStatus::More {
            self.local.lane_tx = true;
        }
    }

    fn transmit_flow(&mut self, lane: &mut LaneParts, net: &mut Net, class: Class, index: u32, rank: u64) {
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else { return };
        // A flow that ended left its place on the list; whoever has the slot now may not stand here.
        if slot.head.ready & class.bit() == 0 {
            return;
        }
        slot.head.ready &= !class.bit();
        let id = FlowId { index, generation: slot.head.generation };
        let (now, encapsulation) = (lane.now, Encapsulation::from(self.claim));
        let sent = self.with(lane, net, index, |transport, cx, conn, io, net| {
            let mut out = net.batch(now, encapsulation);
            out.set_quantum(QUANTUM_BYTES);
            let status = transport.poll_tx(cx, conn, io, class, &mut out);
            (status, out.blocked())
        });
        let Some((status, blocked)) = sent else { return };
        if let Some(neighbour) = blocked.and_then(|path| net.path_info(path)).and_then(|info| info.neighbour) {
            return self.park_flow(id, class, neighbour);
        }
        match status {
            TxStatus::Idle => {}
            TxStatus::More => self.wake_flow(id, class, rank),
            TxStatus::PacedUntil(at) => self.pace_flow(id, class, at),
        }
    }

    fn park_flow(&mut self, flow: FlowId, class: Class, neighbour: NeighbourId) {
        let Some(slot) = self.slot_mut(flow) else { return };
        let first = slot.head.parked == 0;
        slot.head.parked |= class.bit();
        if first {
            self.parked.push((neighbour, flow));
        }
    }

    fn pace_flow(&mut self, flow: FlowId, class: Class, at: Instant) {
        let Some(slot) = self.slot_mut(flow) else { return };
        slot.head.paced |= class.bit();
        let entry = WheelEntry { index: flow.index, generation: flow.generation, kind: TIMER_FLOW };
        self.pacing.insert(at, entry);
    }
}

/// What one flow may send in a turn, bytes: the largest segment that a device cuts.
const QUANTUM_BYTES: usize = 64 * 1024;
