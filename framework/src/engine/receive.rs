//! One burst: parse everything, look everything up, chain the packets of one flow into a run, call once per flow.
//!
//! Packets that nobody knows are decided in the order of arrival and looked up *again* first, because an earlier packet of
//! the same burst may have made their flow. What is left of a run whose flow ended is judged anew, too. So a burst has
//! the effect of its packets coming one by one. (But for order between keys: what falls to a less specific key, because
//! the flow that had the exact one ended in this burst, comes behind that key's own packets.)

use super::core::Core;
use super::demux::Place;
use super::remnant::RemnantSlot;
use super::{FlowId, PortId};
use crate::addr::Endpoint;
use crate::net::{DropReason, Net, Packet, PathId, Unreachable};
use crate::socket::FlowIo;
use crate::time::Instant;
use crate::transport::run::{Item, NO_ITEM};
use crate::transport::{Class, FlowError, LaneParts, Opened, Parsed, RemnantInput, Run, Transport, Unmatched, Verdict};

/// Reused from burst to burst: nothing here allocates once it has grown. Both lists are parallel to the packets.
pub(super) struct Scratch<T: Transport> {
    items: Vec<Item<T::Meta>>,
    looked_up: Vec<LookedUp<T::Key>>,
    runs: Vec<RunHead>,
}

/// Whose a packet is.
#[derive(Clone, Copy)]
struct LookedUp<K> {
    key: K,
    hash: u64,
    place: Option<Place>,
    /// The local port, for a listener.
    port: u16,
}

#[derive(Clone, Copy)]
struct RunHead {
    flow: FlowId,
    first: u16,
    last: u16,
}

impl<T: Transport> Default for Scratch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), looked_up: Vec::new(), runs: Vec::new() }
    }
}

impl<T: Transport> Core<T> {
    /// See the module. `packets` is left empty.
    pub(super) fn receive_burst(&mut self, lane: &mut LaneParts, net: &mut Net, packets: &mut Vec<Option<Packet>>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        // A run's links are 16 bits; a lane's bursts are far smaller.
        packets.truncate(usize::from(NO_ITEM));
        self.parse_all(lane, packets, &mut scratch);
        self.look_up_all(&mut scratch);
        self.link_runs(lane, net, packets, &mut scratch);
        for at in 0..scratch.runs.len() {
            let Some(&run) = scratch.runs.get(at) else { break };
            self.call_run(lane, net, packets, &mut scratch, run);
        }
        packets.clear();
        scratch.items.clear();
        scratch.looked_up.clear();
        scratch.runs.clear();
        self.scratch = scratch;
        self.serve_wakes();
    }

    /// Packets that do not parse go no further.
    fn parse_all(&mut self, lane: &mut LaneParts, packets: &mut Vec<Option<Packet>>, scratch: &mut Scratch<T>) {
        let Scratch { items, looked_up, .. } = scratch;
        let mut kept = 0;
        for at in 0..packets.len() {
            let Some(Some(packet)) = packets.get(at) else { continue };
            match self.transport.parse(packet) {
                Ok(Parsed { key, meta, port, header_bytes }) => {
                    let hash = match looked_up.last() {
                        // Trains of one flow are common: hash once.
                        Some(last) if last.key == key => last.hash,
                        _ => self.local.demux.hash(&key),
                    };
                    items.push(Item { meta, header_bytes, next: NO_ITEM });
                    looked_up.push(LookedUp { key, hash, place: None, port });
                    if kept != at {
                        packets.swap(kept, at);
                    }
                    kept += 1;
                }
                Err(reason) => self.count(lane, reason),
            }
        }
        packets.truncate(kept);
    }

    fn look_up_all(&mut self, scratch: &mut Scratch<T>) {
        let mut last: Option<(T::Key, Option<Place>)> = None;
        for LookedUp { key, hash, place, .. } in &mut scratch.looked_up {
            *place = match last {
                Some((last_key, place)) if last_key == *key => place,
                _ => self.local.demux.get_hashed(*hash, key),
            };
            last = Some((*key, *place));
            match *place {
                Some(Place::Flow(flow)) => prefetch_at(&self.slots, flow.index),
                Some(Place::Remnant(index)) => self.remnants.prefetch(index),
                None => {}
            }
        }
    }

    fn link_runs(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        packets: &mut [Option<Packet>],
        scratch: &mut Scratch<T>,
    ) {
        let Scratch { looked_up, items, runs } = scratch;
        for (at, looked_up) in looked_up.iter().enumerate() {
            let flow = match looked_up.place {
                Some(Place::Flow(flow)) => Some(flow),
                _ => items.get(at).and_then(|item| self.judge(lane, net, packets, at, looked_up, &item.meta)),
            };
            if let Some(flow) = flow {
                self.append_to_run(items, runs, flow, at as u16);
            }
        }
    }

    fn append_to_run(&mut self, items: &mut [Item<T::Meta>], runs: &mut Vec<RunHead>, flow: FlowId, at: u16) {
        let next_run = runs.len();
        let Some(slot) = self.slot_mut(flow) else { return };
        match runs.get_mut(slot.head.run as usize) {
            Some(run) if run.flow == flow => {
                if let Some(last) = items.get_mut(run.last as usize) {
                    last.next = at;
                }
                run.last = at;
            }
            _ => {
                slot.head.run = next_run as u16;
                runs.push(RunHead { flow, first: at, last: at });
            }
        }
    }

    fn call_run(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        packets: &mut [Option<Packet>],
        scratch: &mut Scratch<T>,
        head: RunHead,
    ) {
        let mut at = head.first;
        if self.slot(head.flow).is_some() {
            let items = &scratch.items;
            self.with(lane, net, head.flow.index, |transport, cx, conn, io, _| {
                let mut run = Run { items, packets, at };
                transport.on_run(cx, conn, io, &mut run);
                at = run.at;
            });
        }
        if at == NO_ITEM {
            return;
        }
        let ended = self.slot(head.flow).is_none_or(|slot| slot.conn.is_none());
        while at != NO_ITEM {
            let Some(next) = scratch.items.get(at as usize).map(|item| item.next) else { break };
            if ended {
                self.judge_alone(lane, net, packets, scratch, at);
            } else if packets.get_mut(at as usize).and_then(Option::take).is_some() {
                self.count(lane, DropReason("engine: not taken by its flow"));
            }
            at = next;
        }
    }

    /// A packet that outlived the flow of its run: a run of its own.
    fn judge_alone(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        packets: &mut [Option<Packet>],
        scratch: &mut Scratch<T>,
        at: u16,
    ) {
        let Scratch { items, looked_up, .. } = scratch;
        let (Some(item), Some(looked_up)) = (items.get_mut(at as usize), looked_up.get(at as usize)) else { return };
        item.next = NO_ITEM;
        let meta = item.meta;
        // Twice: as a packet that comes alone, it may end the flow that it finds without being taken by it.
        for _ in 0..2 {
            let Some(flow) = self.judge(lane, net, packets, at as usize, looked_up, &meta) else { return };
            if self.slot(flow).is_none() {
                break;
            }
            let (items, left) = (&*items, &mut *packets);
            self.with(lane, net, flow.index, |transport, cx, conn, io, _| {
                transport.on_run(cx, conn, io, &mut Run { items, packets: left, at });
            });
            if packets.get(at as usize).is_none_or(Option::is_none) {
                return;
            }
            if self.slot(flow).is_some_and(|slot| slot.conn.is_some()) {
                break;
            }
        }
        self.count(lane, DropReason("engine: not taken by its flow"));
    }

    /// Decides on one packet with no known flow. Returns the flow that is to get it.
    fn judge(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        packets: &mut [Option<Packet>],
        at: usize,
        looked_up: &LookedUp<T::Key>,
        meta: &T::Meta,
    ) -> Option<FlowId> {
        let packet = packets.get_mut(at)?.as_ref()?;
        let port = looked_up.port;
        let judged = match self.find_hashed(looked_up.hash, &looked_up.key) {
            Some(Place::Flow(flow)) => return Some(flow),
            Some(Place::Remnant(index)) => self.judge_remnant(lane, net, index, port, meta, packet),
            None => self.judge_stranger(lane, net, port, meta, packet, None),
        };
        match judged {
            Judged::Flow(flow) => Some(flow),
            Judged::Done => None,
            Judged::Refused => {
                net.reject(lane.now, packets.get_mut(at)?.take()?, Unreachable::Port);
                None
            }
        }
    }

    pub(super) fn find(&self, key: &T::Key) -> Option<Place> {
        self.find_hashed(self.local.demux.hash(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &T::Key) -> Option<Place> {
        self.local.demux.get_hashed(hash, key).or_else(|| {
            let keys = self.transport.fallback_keys(key);
            keys.iter().flatten().find_map(|key| self.local.demux.get(key))
        })
    }

    fn judge_remnant(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        index: u32,
        number: u16,
        meta: &T::Meta,
        packet: &Packet,
    ) -> Judged {
        let Self { remnants, transport, local, ports, .. } = self;
        let Some(slot) = remnants.get_mut(index) else { return Judged::Done };
        // A remnant of no listener is told of the one that would take its place.
        let port = slot.port.or_else(|| ports.find(Endpoint::new(packet.dst.ip, number)));
        let listener = port.and_then(|port| ports.get(port)).map(|port| &port.listener);
        let input = RemnantInput::Packet(meta, packet);
        match transport.on_remnant(&mut lane.cx(local), &mut slot.remnant, input, listener) {
            Verdict::Keep { until } => {
                self.keep_remnant(index, until);
                Judged::Done
            }
            Verdict::Gone => {
                self.forget_remnant(net, index);
                Judged::Done
            }
            Verdict::Reopen => self.judge_stranger(lane, net, number, meta, packet, Some(index)),
            Verdict::Promote { conn, io, consumed } => {
                let Some(slot) = self.remnants.take(index) else { return Judged::Done };
                let (key, port) = (slot.key, slot.port);
                let path = self.path_back(lane, net, packet);
                let flow = self.take_in(lane, net, Opened { key, conn, io }, path, port, Some(Place::Remnant(index)));
                match flow {
                    Some(flow) if consumed => self.wake_flow(flow, Class::Control, 0),
                    // Its first packet is still to come, and will say what is owed.
                    Some(_) => {}
                    None => self.local.demux.remove(&key),
                }
                self.remnants.forget(index, slot.wheel_at);
                self.uncount_half_open(port);
                match flow.and_then(|flow| self.slot_mut(flow)) {
                    Some(flow) if flow.head.udp_port == 0 => flow.head.udp_port = slot.udp_port,
                    _ => self.release_udp_port(net, slot.udp_port),
                }
                flow.filter(|_| !consumed).map_or(Judged::Done, Judged::Flow)
            }
        }
    }

    fn judge_stranger(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        port: u16,
        meta: &T::Meta,
        packet: &Packet,
        predecessor: Option<u32>,
    ) -> Judged {
        let Self { transport, local, ports, remnants, limits, .. } = self;
        local.remnant_room = remnants.len() < limits.remnants_max;
        let port = ports.find(Endpoint::new(packet.dst.ip, port));
        let listener = port.and_then(|port| ports.get(port)).map(|port| &port.listener);
        let answer = transport.on_unmatched(&mut lane.cx(local), meta, packet, listener);
        if let Some(index) = predecessor {
            match answer {
                Unmatched::Remnant { key, remnant, until } if self.remnants.has_key(index, &key) => {
                    self.replace_remnant(net, index, remnant, port, until);
                    return Judged::Done;
                }
                _ => self.forget_remnant(net, index),
            }
        }
        match answer {
            Unmatched::Drop(reason) => {
                self.count(lane, reason);
                Judged::Done
            }
            Unmatched::Refuse(reason) => {
                self.count(lane, reason);
                Judged::Refused
            }
            Unmatched::Owed => Judged::Done,
            Unmatched::Remnant { key, remnant, until } => {
                let slot = RemnantSlot { key, remnant, port, udp_port: 0, until, wheel_at: Instant::NEVER };
                if !self.park(lane.now, slot, None) {
                    self.count(lane, DropReason("engine: no room for a remnant, or its key is taken"));
                }
                Judged::Done
            }
            Unmatched::Accept { flow, consumed } => {
                let path = self.path_back(lane, net, packet);
                let flow = self.take_in(lane, net, flow, path, port, None);
                flow.filter(|_| !consumed).map_or(Judged::Done, Judged::Flow)
            }
            Unmatched::Deliver(flow) => Judged::Flow(flow),
        }
    }

    /// A flow that a packet opened; it waits at its listener. `None`, counted, if it cannot be had.
    fn take_in(
        &mut self,
        lane: &mut LaneParts,
        net: &mut Net,
        mut flow: Opened<T>,
        path: Option<PathId>,
        port: Option<PortId>,
        successor_of: Option<Place>,
    ) -> Option<FlowId> {
        let has_room = port.is_none_or(|port| self.ports.get(port).is_some_and(|port| port.listener.has_room()));
        let refusal = if !has_room {
            Some(DropReason("engine: the listener's queue is full"))
        } else if path.is_none() {
            // Such a flow could never send, not even that it is over, and would stay for ever.
            Some(DropReason("engine: no path back to who opens a flow"))
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.transport.release(&mut lane.mem, &mut flow.conn);
            flow.io.release(&mut lane.mem);
            self.count(lane, reason);
            return None;
        }
        match self.insert(lane, net, flow, path, port, successor_of) {
            Ok(flow) => {
                if let Some(port) = port {
                    self.enqueue(flow, port);
                }
                Some(flow)
            }
            Err(FlowError::NoMemory) => {
                self.count(lane, DropReason("engine: too many flows"));
                None
            }
            Err(_) => {
                self.count(lane, DropReason("engine: the new flow's key is taken"));
                None
            }
        }
    }

    /// The path by which an answer to `packet` goes.
    fn path_back(&mut self, lane: &LaneParts, net: &mut Net, packet: &Packet) -> Option<PathId> {
        let Endpoint { ip: local, .. } = packet.dst;
        net.path(lane.now, Some(local), packet.src.ip).ok()
    }
}

#[inline]
pub(super) fn prefetch_at<P>(places: &[P], index: u32) {
    if let Some(place) = places.get(index as usize) {
        crate::simd::prefetch_all(place);
    }
}

enum Judged {
    /// The packet is this flow's.
    Flow(FlowId),
    /// It has been dealt with.
    Done,
    /// Its sender is to be told that nobody takes it.
    Refused,
}
