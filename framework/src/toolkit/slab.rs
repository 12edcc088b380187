//! [`Slab`]: values in one dense array, named by index and generation, so that a stale name finds nothing instead of
//! the next tenant. The slot freed last, still in the cache, is used first. Not a hash table: the name comes from here.

use std::fmt;

/// The name of a value in a [`Slab`]: where it stands, and which of the slot's tenants it is. Eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Position in the slab.
    pub index: u32,
    /// Tenant of that position; even numbers are never given out, so `Key { index, generation: 0 }` finds nothing.
    pub generation: u32,
}

impl Key {
    /// A key that no slab gives out.
    pub const NONE: Self = Self { index: u32::MAX, generation: 0 };
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation / 2)
    }
}

/// Values of one type, dense, bounded, each with a generation-checked [`Key`]. A generation repeats after 2^31 tenants
/// of one slot.
///
/// ```
/// let mut slab = burstlane::toolkit::Slab::with_limit(2);
/// let a = slab.insert("a").unwrap();
/// assert_eq!(slab.remove(a), Some("a"));
/// let b = slab.insert("b").unwrap();
/// assert_eq!((a.index, slab.get(a), slab.get(b)), (b.index, None, Some(&"b")));
/// ```
#[derive(Clone, Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free_head: u32,
    len: u32,
    slots_max: u32,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    /// Odd while occupied; counts up at every change of tenancy.
    generation: u32,
    /// While free: the slot freed before this one.
    next_free: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// A slab for at most `slots_max` values at a time. Memory is taken as it fills.
    #[must_use]
    pub const fn with_limit(slots_max: u32) -> Self {
        Self { slots: Vec::new(), free_head: NIL, len: 0, slots_max }
    }

    /// Puts a value in and names it.
    ///
    /// # Errors
    /// Gives the value back when the slab is full.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        let index = self.free_head;
        let Some(slot) = self.slots.get_mut(index as usize) else { return self.grow(value) };
        slot.generation = slot.generation.wrapping_add(1);
        slot.value = Some(value);
        self.free_head = slot.next_free;
        self.len += 1;
        Ok(Key { index, generation: slot.generation })
    }

    #[cold]
    fn grow(&mut self, value: T) -> Result<Key, T> {
        if self.slots.len() >= self.slots_max as usize {
            return Err(value);
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 1, next_free: NIL, value: Some(value) });
        self.len += 1;
        Ok(Key { index, generation: 1 })
    }

    /// The value that `key` names, if it is still there.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// The value that `key` names, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// Takes the value out; `key` and its copies find nothing from now on.
    #[inline]
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = self.free_head;
        self.free_head = key.index;
        self.len -= 1;
        Some(value)
    }

    /// The value at a position, whichever tenant it is: for chains that are kept consistent by their owner.
    #[inline]
    #[must_use]
    pub fn get_at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    /// As [`get_at`](Self::get_at), to write.
    #[inline]
    pub fn get_at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// Takes out whatever stands at a position.
    pub fn remove_at(&mut self, index: u32) -> Option<T> {
        let key = self.key_at(index)?;
        self.remove(key)
    }

    /// The key of the present tenant of a position.
    #[inline]
    #[must_use]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let slot = self.slots.get(index as usize)?;
        slot.value.as_ref()?;
        Some(Key { index, generation: slot.generation })
    }

    /// Whether `key` still names a value.
    #[inline]
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Asks for the cache line of a slot that will be looked at a few steps later.
    #[inline]
    pub fn prefetch(&self, index: u32) {
        crate::simd::prefetch_slice(&self.slots, index as usize);
    }

    /// Values in the slab.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most values it holds at a time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.slots_max as usize
    }

    /// Whether the next insertion would fail.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len >= self.slots_max
    }

    /// One more than the highest position ever used.
    #[must_use]
    pub fn high_water(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All values, by rising index: an order that depends on nothing but the calls made.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().zip(0u32..).filter_map(|(slot, index)| {
            let value = slot.value.as_ref()?;
            Some((Key { index, generation: slot.generation }, value))
        })
    }

    /// As [`iter`](Self::iter), to write.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots.iter_mut().zip(0u32..).filter_map(|(slot, index)| {
            let value = slot.value.as_mut()?;
            Some((Key { index, generation: slot.generation }, value))
        })
    }

    /// For tests: the free list and the occupied slots are all slots, once each.
    ///
    /// # Panics
    /// If they are not.
    pub fn check_invariants(&self) {
        let occupied = self.slots.iter().filter(|s| s.value.is_some()).count();
        assert_eq!(occupied, self.len as usize, "count of values");
        assert!(self.slots.iter().all(|s| (s.generation % 2 == 1) == s.value.is_some()), "generation parity");
        let (mut free, mut at) = (0, self.free_head);
        while let Some(slot) = self.slots.get(at as usize) {
            assert!(slot.value.is_none(), "slot {at} is both free and occupied");
            free += 1;
            assert!(free <= self.slots.len(), "the free list has a ring");
            at = slot.next_free;
        }
        assert_eq!(at, NIL, "the free list leaves the slab");
        assert_eq!(free + occupied, self.slots.len(), "a slot is lost");
    }
}

const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_slot_freed_last_is_used_first() {
        let mut slab = Slab::with_limit(3);
        let keys: Vec<Key> = (0..3).map(|i| slab.insert(i).unwrap()).collect();
        assert_eq!(slab.insert(9), Err(9));
        slab.remove(keys[0]);
        slab.remove(keys[2]);
        assert_eq!(slab.insert(5).unwrap().index, 2);
        assert_eq!(slab.insert(6).unwrap().index, 0);
        assert_eq!(slab.get(Key::NONE), None);
    }

    proptest! {
        #[test]
        fn it_answers_as_a_map_does(ops in prop::collection::vec((0u8..5, any::<u16>()), 1..300), limit in 1u32..20) {
            let mut slab = Slab::with_limit(limit);
            let mut model: BTreeMap<Key, u16> = BTreeMap::new();
            let mut gone: Vec<Key> = vec![];
            for (op, n) in ops {
                let nth = model.keys().nth(n as usize % model.len().max(1)).copied();
                match (op, nth) {
                    (0 | 1, _) => match slab.insert(n) {
                        Ok(key) => prop_assert!(model.insert(key, n).is_none()),
                        Err(_) => prop_assert_eq!(model.len(), limit as usize),
                    },
                    (2, Some(key)) => {
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                        gone.push(key);
                    }
                    (3, Some(key)) => {
                        *slab.get_mut(key).unwrap() = n;
                        model.insert(key, n);
                    }
                    (_, Some(key)) => {
                        prop_assert_eq!(slab.get_at(key.index), model.get(&key));
                        prop_assert_eq!(slab.key_at(key.index), Some(key));
                    }
                    (_, None) => prop_assert!(slab.is_empty()),
                }
                slab.check_invariants();
                prop_assert_eq!((slab.len(), slab.limit()), (model.len(), limit as usize));
                prop_assert_eq!(slab.is_full(), model.len() == limit as usize);
                prop_assert!(model.keys().all(|k| slab.contains(*k)) && !gone.iter().any(|k| slab.contains(*k)));
                prop_assert!(slab.iter().map(|(k, v)| (k, *v)).eq(model.iter().map(|(k, v)| (*k, *v))));
                prop_assert!(gone.iter().all(|k| slab.get(*k).is_none()));
            }
        }
    }
}
