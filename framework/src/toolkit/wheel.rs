//! [`Wheel`]: a hierarchical timer wheel after Varghese and Lauck (scheme 7), one per lane for deadlines and a finer one
//! for pacing. It never fires early, and late by less than a tick. It cancels nothing: whoever owns an entry looks,
//! when it fires, whether it is still meant (generation), and whether its deadline has moved later meanwhile (then it
//! inserts again). So an acknowledgement that moves a retransmission timeout touches no wheel.
//!
//! ```text
//!  tick      ... 23..18 | 17..12 | 11..6 | 5..0          64 slots a level; an entry stands at the level of the highest
//!  level           3    |   2    |   1   |  0            group of bits in which its tick differs from the present one
//! ```
//!
//! From that follow all orders: occupied slots of a level are later than the present one, and everything at a level is
//! earlier than everything at the next. So the next event is the lowest bit of the lowest occupied level, and a clock
//! that jumps by hours passes empty time in one step.

use crate::time::Instant;

/// What fires: whose timer, and which of its kinds. What the numbers mean is the owner's affair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Entry {
    /// Position of the owner in its slab.
    pub index: u32,
    /// Generation of the owner, so that the next tenant of the slot is not mistaken for it.
    pub generation: u32,
    /// Which engine, and which of its tables.
    pub kind: u8,
}

/// Deadlines of many owners. Inserting and firing are O(1), a cascade moves an entry at most once a level.
#[derive(Clone, Debug)]
pub struct Wheel {
    /// A tick is `1 << tick_shift` nanoseconds.
    tick_shift: u32,
    /// Everything up to this tick, itself included, has fired or stands in `overdue`.
    tick: u64,
    /// One bit a level: something stands there.
    occupied_levels: u32,
    /// One bit a slot, by level.
    occupied_slots: Box<[u64]>,
    /// `levels * 64` lists.
    slots: Box<[List]>,
    /// Entries whose time had come already when they were inserted; they fire at the next call.
    overdue: List,
    nodes: Vec<Node>,
    free_head: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Tick at which it fires.
    tick: u64,
    entry: Entry,
    next: u32,
}

/// First in, first out.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl Wheel {
    /// Ticks of about a millisecond: for retransmission, delayed acknowledgements, keep-alive.
    pub const TIMER_SHIFT: u32 = 20;
    /// Ticks of about 16 microseconds: for pacing.
    pub const PACING_SHIFT: u32 = 14;

    /// An empty wheel at the epoch with ticks of `1 << tick_shift` nanoseconds; `tick_shift` is taken as at least 1 and at
    /// most 32 (four seconds).
    #[must_use]
    pub fn new(tick_shift: u32) -> Self {
        let tick_shift = tick_shift.clamp(1, 32);
        // Rounding up can make one tick more than 64 - tick_shift bits hold.
        let levels = ((64 - tick_shift) / LEVEL_BITS + 1) as usize;
        Self {
            tick_shift,
            tick: 0,
            occupied_levels: 0,
            occupied_slots: vec![0; levels].into_boxed_slice(),
            slots: vec![List::EMPTY; levels * LEVEL_SLOTS].into_boxed_slice(),
            overdue: List::EMPTY,
            nodes: Vec::new(),
            free_head: NIL,
            len: 0,
        }
    }

    /// Lets `entry` fire at the first [`advance`](Self::advance) that reaches `at`, rounded up to a tick. A time already
    /// reached fires at the next call. [`Instant::NEVER`] is no deadline, and nothing is kept.
    #[inline]
    pub fn insert(&mut self, at: Instant, entry: Entry) {
        if at == Instant::NEVER {
            return;
        }
        let node = Node { tick: self.tick_at_or_after(at), entry, next: NIL };
        let index = match self.nodes.get_mut(self.free_head as usize) {
            Some(free) => {
                let index = self.free_head;
                self.free_head = free.next;
                *free = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.len += 1;
        self.place(index, node.tick);
    }

    /// Appends to `due` everything whose time has come at `now`, earliest tick first, within a tick in order of insertion.
    /// `now` never goes back; if it does, it is taken as what it was.
    #[inline]
    pub fn advance(&mut self, now: Instant, due: &mut Vec<Entry>) {
        let to = now.as_nanos() >> self.tick_shift;
        if self.len == 0 {
            self.tick = self.tick.max(to);
        } else if to > self.tick || self.overdue.head != NIL {
            self.advance_to(to, due);
        }
    }

    /// When [`advance`](Self::advance) is worth calling next: never later than the first entry fires; earlier, if that
    /// entry is far, by at most one call for each level. `None` if nothing is waiting.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = if self.overdue.head != NIL { self.tick } else { self.next_event()?.2 };
        Some(Instant::from_nanos(tick.saturating_mul(1 << self.tick_shift)))
    }

    /// Entries waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of a tick in nanoseconds: nothing fires later than this after its time.
    #[must_use]
    pub fn tick_nanos(&self) -> u64 {
        1 << self.tick_shift
    }

    #[inline]
    fn tick_at_or_after(&self, at: Instant) -> u64 {
        let nanos = at.as_nanos();
        let part = nanos & ((1 << self.tick_shift) - 1);
        (nanos >> self.tick_shift) + u64::from(part != 0)
    }

    #[inline(never)]
    fn advance_to(&mut self, to: u64, due: &mut Vec<Entry>) {
        let overdue = std::mem::replace(&mut self.overdue, List::EMPTY);
        self.empty_list(overdue, due);
        while let Some((level, slot, tick)) = self.next_event()
            && tick <= to
        {
            self.tick = tick;
            let list = self.take_slot(level, slot);
            self.empty_list(list, due);
        }
        self.tick = self.tick.max(to);
    }

    /// Lowest occupied slot of the lowest occupied level, and the tick at which it begins.
    #[inline]
    fn next_event(&self) -> Option<(u32, u32, u64)> {
        let level = self.occupied_levels.trailing_zeros();
        let slot = self.occupied_slots.get(level as usize)?.trailing_zeros();
        // The bits above the level are those of the present tick. The top level has none above, and may have no room to
        // shift by all of its bits.
        let above = self.tick.checked_shr((level + 1) * LEVEL_BITS).unwrap_or(0);
        let begin = (above << LEVEL_BITS | u64::from(slot)) << (level * LEVEL_BITS);
        Some((level, slot, begin))
    }

    /// Fires what is due at the present tick and places the rest anew, at a lower level than before.
    fn empty_list(&mut self, list: List, due: &mut Vec<Entry>) {
        let mut index = list.head;
        while let Some(node) = self.nodes.get_mut(index as usize) {
            let Node { tick, entry, next } = *node;
            if tick <= self.tick {
                due.push(entry);
                node.next = self.free_head;
                self.free_head = index;
                self.len -= 1;
            } else {
                node.next = NIL;
                self.place(index, tick);
            }
            index = next;
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a tick has at most levels * 6 bits (see `new`), a slot is below 64")]
    fn place(&mut self, index: u32, tick: u64) {
        if tick <= self.tick {
            self.overdue.push(index, &mut self.nodes);
            return;
        }
        let level = (tick ^ self.tick).ilog2() / LEVEL_BITS;
        let slot = (tick >> (level * LEVEL_BITS)) as usize % LEVEL_SLOTS;
        self.slots[level as usize * LEVEL_SLOTS + slot].push(index, &mut self.nodes);
        self.occupied_slots[level as usize] |= 1 << slot;
        self.occupied_levels |= 1 << level;
    }

    #[expect(clippy::indexing_slicing, reason = "level and slot come from `next_event`, off the bitmaps")]
    fn take_slot(&mut self, level: u32, slot: u32) -> List {
        let bits = &mut self.occupied_slots[level as usize];
        *bits &= !(1 << slot);
        if *bits == 0 {
            self.occupied_levels &= !(1 << level);
        }
        std::mem::replace(&mut self.slots[level as usize * LEVEL_SLOTS + slot as usize], List::EMPTY)
    }

    /// For tests: every entry stands where its tick says, and the bitmaps tell the truth.
    ///
    /// # Panics
    /// If not.
    #[expect(clippy::indexing_slicing, reason = "for tests")]
    pub fn check_invariants(&self) {
        let mut seen = 0;
        let mut walk = |list: &List, check: &dyn Fn(u64) -> bool| {
            let (mut at, mut last) = (list.head, NIL);
            while let Some(node) = self.nodes.get(at as usize) {
                assert!(check(node.tick), "an entry for tick {} stands wrong at {}", node.tick, self.tick);
                seen += 1;
                last = at;
                at = node.next;
            }
            assert_eq!((at, last), (NIL, list.tail), "end of a list");
        };
        walk(&self.overdue, &|tick| tick <= self.tick);
        for (i, list) in self.slots.iter().enumerate() {
            let (level, slot) = (i / LEVEL_SLOTS, i % LEVEL_SLOTS);
            assert_eq!(list.head != NIL, self.occupied_slots[level] >> slot & 1 == 1, "bit of slot {slot} at {level}");
            walk(list, &|tick| {
                tick > self.tick
                    && (tick ^ self.tick).ilog2() / LEVEL_BITS == level as u32
                    && (tick >> (level as u32 * LEVEL_BITS)) as usize % LEVEL_SLOTS == slot
            });
        }
        for (level, bits) in self.occupied_slots.iter().enumerate() {
            assert_eq!(*bits != 0, self.occupied_levels >> level & 1 == 1, "bit of level {level}");
        }
        assert_eq!(seen, self.len, "count of entries");
    }
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };

    #[inline]
    fn push(&mut self, index: u32, nodes: &mut [Node]) {
        match nodes.get_mut(self.tail as usize) {
            Some(tail) => tail.next = index,
            None => self.head = index,
        }
        self.tail = index;
    }
}

const LEVEL_BITS: u32 = 6;
const LEVEL_SLOTS: usize = 1 << LEVEL_BITS;
const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(n: u32) -> Entry {
        Entry { index: n, generation: n + 1, kind: n as u8 }
    }

    /// Times spread over all magnitudes, so that every level is used.
    fn spread() -> impl Strategy<Value = u64> {
        (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)
    }

    proptest! {
        #[test]
        fn it_fires_what_a_sorted_map_fires(
            shift in prop::sample::select(vec![Wheel::TIMER_SHIFT, Wheel::PACING_SHIFT, 1, 32]),
            ops in prop::collection::vec((0u8..3, spread()), 1..200),
        ) {
            let mut wheel = Wheel::new(shift);
            // By tick, then by order of insertion. An entry that comes late fires next, before all others.
            let mut model: BTreeMap<(u64, u32), Entry> = BTreeMap::new();
            let (mut now, mut n) = (0u64, 0);
            for (op, x) in ops {
                let at = if op == 0 { x } else { now.saturating_add(x) };
                if op < 2 {
                    wheel.insert(Instant::from_nanos(at), entry(n));
                    if at != u64::MAX {
                        let tick = (u128::from(at)).div_ceil(1 << shift) as u64;
                        model.insert((tick.max(now >> shift), n), entry(n));
                    }
                    n += 1;
                } else {
                    now = at;
                    let mut due = vec![];
                    wheel.advance(Instant::from_nanos(now), &mut due);
                    let later = model.split_off(&((now >> shift) + 1, 0));
                    prop_assert!(due.iter().eq(model.values()), "{due:?} {model:?}");
                    model = later;
                    due.clear();
                    wheel.advance(Instant::from_nanos(now / 2), &mut due);
                    prop_assert!(due.is_empty(), "a clock that goes back stands still");
                }
                wheel.check_invariants();
                prop_assert_eq!(wheel.len(), model.len());
                let first = model.keys().next().map(|k| u128::from(k.0) << shift);
                match (wheel.next_deadline(), first) {
                    (None, None) => {}
                    (Some(d), Some(first)) => prop_assert!(u128::from(d.as_nanos()) <= first),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }

        #[test]
        fn waking_at_every_deadline_fires_everything_after_few_calls(ats in prop::collection::vec(spread(), 1..50)) {
            let mut wheel = Wheel::new(Wheel::TIMER_SHIFT);
            for (i, at) in ats.iter().enumerate() {
                wheel.insert(Instant::from_nanos(at >> 1), entry(i as u32));
            }
            let (mut due, mut calls) = (vec![], 0);
            while let Some(at) = wheel.next_deadline() {
                wheel.advance(at, &mut due);
                calls += 1;
                prop_assert!(calls <= ats.len() * 8, "no progress");
            }
            prop_assert_eq!(due.len(), ats.len());
            for e in due {
                prop_assert!(e == entry(e.index));
            }
        }
    }

    #[test]
    fn steady_use_takes_no_memory() {
        let mut wheel = Wheel::new(Wheel::TIMER_SHIFT);
        let (mut due, mut now) = (Vec::with_capacity(64), Instant::ZERO);
        for i in 0..64 {
            wheel.insert(now, entry(i));
        }
        wheel.advance(now, &mut due);
        let nodes = wheel.nodes.len();
        for round in 0..1000u64 {
            for e in due.drain(..) {
                wheel.insert(now + crate::time::Duration::from_micros(777 * (round + 1)), e);
            }
            now += crate::time::Duration::from_millis(round * round);
            wheel.advance(now, &mut due);
        }
        assert_eq!((wheel.nodes.len(), wheel.len() + due.len()), (nodes, 64));
    }
}
