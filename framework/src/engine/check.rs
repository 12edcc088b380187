//! What holds of an engine between any two calls: for tests, which ask after every step. Slow, and nothing else.

use std::collections::BTreeMap;

use super::FlowId;
use super::core::Core;
use super::demux::Place;
use crate::socket::Ready;
use crate::transport::{Class, Transport};

impl<T: Transport> Core<T> {
    /// For tests: every table of the engine agrees with every other.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self) {
        self.check_places();
        self.check_keys();
        self.check_lists();
        self.check_ports();
        self.wheel.check_invariants();
        self.pacing.check_invariants();
        assert!(self.local.wake.is_empty(), "wake-ups are served by the call that they came from");
        assert!(self.local.path_moves.is_empty(), "paths are moved by the call that they were set in");
        assert!(self.again.is_empty(), "ranked flows are put back at the end of a turn");
    }

    fn live(&self) -> impl Iterator<Item = (FlowId, &super::flow::Slot<T>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let slot = slot.as_ref()?;
            Some((FlowId { index: index as u32, generation: slot.head.generation }, slot))
        })
    }

    fn check_places(&self) {
        let mut free: Vec<u32> = self.free.iter().map(|place| place.index).collect();
        free.sort_unstable();
        let empty = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_none()).map(|(index, _)| index as u32);
        assert!(empty.eq(free.iter().copied()), "a place is free once, and then empty");
        for (id, slot) in self.live() {
            let head = &slot.head;
            assert_ne!(head.generation, 0, "{id:?}: 0 is no generation");
            assert!(slot.conn.is_some() || head.attached, "{id:?}: nobody needs this place any more");
            assert!(slot.conn.is_some() || head.path.is_none() && head.udp_port == 0, "{id:?}: held beyond its end");
            assert!(head.ready & head.parked == 0 && head.ready & head.paced == 0, "{id:?}: ready and waiting");
            assert!(slot.conn.is_none() || head.wheel_at <= head.due, "{id:?}: a deadline that nothing will wake");
            assert!(head.wheel_later >= head.wheel_at, "{id:?}: the wheel entry in force is the first");
        }
    }

    fn check_keys(&self) {
        let flows = self.live().filter(|(_, slot)| slot.conn.is_some());
        let mut keys = 0;
        for (id, slot) in flows {
            assert_eq!(self.local.demux.get(&slot.head.key), Some(Place::Flow(id)), "{id:?}: its first key");
            for key in self.local.aliases_of(id) {
                assert_eq!(self.local.demux.get(key), Some(Place::Flow(id)), "{id:?}: another key");
                keys += 1;
            }
            keys += 1;
        }
        for (index, slot) in self.remnants.iter() {
            assert_eq!(self.local.demux.get(&slot.key), Some(Place::Remnant(index)), "remnant {index}: its key");
            assert!(slot.wheel_at <= slot.until, "remnant {index}: a deadline that nothing will wake");
            keys += 1;
        }
        assert_eq!(self.local.demux.len(), keys, "keys that lead to nobody");
    }

    fn check_lists(&self) {
        for (class, list) in Class::ALL.iter().zip(&self.ready) {
            let mut entries = BTreeMap::<FlowId, u32>::new();
            list.flows().for_each(|flow| *entries.entry(flow).or_default() += 1);
            for (id, slot) in self.live().filter(|(_, slot)| slot.conn.is_some()) {
                let expected = u32::from(slot.head.ready & class.bit() != 0);
                assert_eq!(entries.get(&id).copied().unwrap_or(0), expected, "{id:?}: entries in {class:?}");
            }
        }
        let mut told = BTreeMap::<FlowId, u32>::new();
        self.events.iter().for_each(|flow| *told.entry(*flow).or_default() += 1);
        for (id, slot) in self.live() {
            let head = &slot.head;
            let parked = self.parked.iter().any(|(_, flow)| *flow == id);
            assert!(slot.conn.is_none() || head.parked == 0 || parked, "{id:?}: waits for no neighbour");
            assert!(!head.settling || self.settling.contains(&id.index), "{id:?}: will not be settled");
            let events = u32::from(head.events != Ready::NONE);
            assert_eq!(told.get(&id).copied().unwrap_or(0), events, "{id:?}: entries in the list of events");
        }
    }

    fn check_ports(&self) {
        let mut queued = 0;
        for (id, port) in self.ports.ids() {
            let half_open = self.remnants.iter().filter(|(_, slot)| slot.port == Some(id)).count();
            assert_eq!(port.listener.half_open as usize, half_open, "{id:?}: half-open");
            assert_eq!(port.listener.queued as usize, port.queue.len(), "{id:?}: waiting");
            assert!(port.queue.is_empty() || port.told, "{id:?}: nobody was told of those that wait");
            for flow in port.queue.iter().filter_map(|flow| self.slot(*flow)) {
                queued += usize::from(flow.head.queued);
            }
        }
        let waiting = self.live().filter(|(_, slot)| slot.head.queued).count();
        assert_eq!(waiting, queued, "flows that wait at no listener");
        for (_, slot) in self.remnants.iter() {
            assert!(
                slot.port.is_none_or(|port| self.ports.get(port).is_some()),
                "half-open at a listener that is gone"
            );
        }
    }
}
