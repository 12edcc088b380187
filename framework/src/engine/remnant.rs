//! Remnants: what is left of flows that are not open yet or not open any more. Small, in a slab of their own.

use super::PortId;
use crate::time::Instant;

pub(crate) struct RemnantSlot<K, R> {
    pub(crate) key: K,
    pub(crate) remnant: R,
    pub(crate) generation: u32,
    /// The listener that counts it as half-open.
    pub(crate) port: Option<PortId>,
    /// Port that it holds in the host's table of UDP ports, 0 if none: packets for it are to come here.
    pub(crate) udp_port: u16,
    pub(crate) until: Instant,
    pub(crate) wheel_at: Instant,
}

/// Slab of remnants, reused last out first in.
pub(crate) struct Remnants<K, R> {
    slots: Vec<Option<RemnantSlot<K, R>>>,
    free: Vec<u32>,
    generation: u32,
}

impl<K, R> Default for Remnants<K, R> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), generation: 0 }
    }
}

impl<K, R> Remnants<K, R> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, mut slot: RemnantSlot<K, R>) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        slot.generation = self.generation;
        match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slots.get_mut(index as usize) {
                    *place = Some(slot);
                }
                index
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Where the next one will be.
    pub(crate) fn next_index(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.slots.len() as u32)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut RemnantSlot<K, R>> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Takes it out for a call into the transport; [`put`](Self::put) or [`forget`](Self::forget) must follow.
    pub(crate) fn take(&mut self, index: u32) -> Option<RemnantSlot<K, R>> {
        self.slots.get_mut(index as usize)?.take()
    }

    pub(crate) fn put(&mut self, index: u32, slot: RemnantSlot<K, R>) {
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
    }

    /// Frees the place of one that was taken.
    pub(crate) fn forget(&mut self, index: u32) {
        self.free.push(index);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &RemnantSlot<K, R>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index as u32, slot.as_ref()?)))
    }

    /// Places, free ones among them.
    pub(crate) fn places(&self) -> u32 {
        self.slots.len() as u32
    }
}
