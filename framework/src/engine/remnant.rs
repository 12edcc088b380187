//! Remnants: what is left of flows that are not open yet or not open any more. Small, in a slab of their own.

use super::PortId;
use super::receive::prefetch_at;
use crate::time::Instant;

pub(crate) struct RemnantSlot<K, R> {
    pub(crate) key: K,
    pub(crate) remnant: R,
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
    /// Free places, and for when the wheel has, or had, an entry for each.
    free: Vec<(u32, Instant)>,
}

impl<K, R> Default for Remnants<K, R> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<K: PartialEq, R> Remnants<K, R> {
    /// Whether the remnant of a place has this key.
    pub(crate) fn has_key(&self, index: u32, key: &K) -> bool {
        self.slots.get(index as usize).and_then(Option::as_ref).is_some_and(|slot| slot.key == *key)
    }
}

impl<K, R> Remnants<K, R> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// An empty place, and for when the wheel has, or had, an entry for it; [`put`](Self::put) or
    /// [`forget`](Self::forget) must follow.
    pub(crate) fn reserve(&mut self) -> (u32, Instant) {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.places() - 1, Instant::NEVER)
        })
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut RemnantSlot<K, R>> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Takes it out; [`put`](Self::put) or [`forget`](Self::forget) must follow.
    pub(crate) fn take(&mut self, index: u32) -> Option<RemnantSlot<K, R>> {
        self.slots.get_mut(index as usize)?.take()
    }

    pub(crate) fn put(&mut self, index: u32, slot: RemnantSlot<K, R>) {
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
    }

    /// Frees a place that was taken or reserved.
    pub(crate) fn forget(&mut self, index: u32, wheel_at: Instant) {
        self.free.push((index, wheel_at));
    }

    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        prefetch_at(&self.slots, index);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &RemnantSlot<K, R>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index as u32, slot.as_ref()?)))
    }

    /// Places, free ones among them.
    pub(crate) fn places(&self) -> u32 {
        self.slots.len() as u32
    }
}
