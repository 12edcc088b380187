//! The pool: who owns which slot, and the only place where slots become bytes.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::detach::Returns;
use super::{Frame, FrameMeta, HeapRegion, Lent, Region};

/// Shape of a pool of plain memory.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Slots; at least 1, less than 2^32.
    pub slots: u32,
    /// Bytes a slot, headroom included. Rounded up to 64.
    pub slot_bytes: u32,
    /// Bytes left in front of a newly allocated frame, for the headers that lower layers prepend.
    pub headroom: u32,
}

impl Default for PoolConfig {
    /// 4,096 slots of 2 KiB and a cache line with 128 bytes of headroom: 8 MiB, of which only what is used becomes resident.
    /// The odd line is for the cache: at a distance of 2 KiB the headers of all frames would share a few of its sets.
    fn default() -> Self {
        Self { slots: 4096, slot_bytes: 2048 + 64, headroom: 128 }
    }
}

/// Who owns the slots when the pool is only a magazine before a foreign allocator. Called once for many slots.
pub trait Backend {
    /// Moves up to `count` free slots into `out`. Fewer, also none, is an answer: the pool is then dry.
    fn refill(&mut self, out: &mut Vec<u32>, count: usize);
    /// Takes back all of `slots`, leaving the vector empty.
    fn recycle(&mut self, slots: &mut Vec<u32>);
}

/// A cheap handle to one lane's packet memory for one interface. Cloning it clones the handle.
#[derive(Clone)]
pub struct FramePool(Rc<Inner>);

struct Inner {
    base: *mut u8,
    slot_bytes: u32,
    headroom: u32,
    slots: u32,
    free: RefCell<Vec<u32>>,
    states: Box<[Cell<State>]>,
    in_use: Cell<u32>,
    lent: Cell<u32>,
    backend: Option<RefCell<Box<dyn Backend>>>,
    /// Slots on their way to the backend.
    recycled: RefCell<Vec<u32>>,
    /// Detached slots come home by this; made by the first.
    returns: OnceCell<Arc<Returns>>,
    /// Keeps the memory behind `base` alive.
    region: Arc<dyn Region>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    InUse,
    /// A device holds it.
    Lent,
    /// A `RemoteFrame` holds it. Counted as lent.
    Detached,
}

impl FramePool {
    /// A pool of plain memory.
    ///
    /// # Panics
    /// If there are no slots or the slots are too small for their headroom.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let slot_bytes = config.slot_bytes.next_multiple_of(64);
        let region = HeapRegion::new((config.slots as usize).saturating_mul(slot_bytes as usize));
        Self::build(Box::new(region), PoolConfig { slot_bytes, ..config }, None)
    }

    /// A pool over memory that something else gave and whose free slots `backend` keeps. `slot_bytes` is taken as it is:
    /// slot `n` begins at `n * slot_bytes`.
    ///
    /// # Panics
    /// If the region is smaller than the slots, or as [`new`](Self::new).
    #[must_use]
    pub fn foreign(region: Box<dyn Region>, config: PoolConfig, backend: Box<dyn Backend>) -> Self {
        Self::build(region, config, Some(RefCell::new(backend)))
    }

    fn build(region: Box<dyn Region>, config: PoolConfig, backend: Option<RefCell<Box<dyn Backend>>>) -> Self {
        let PoolConfig { slots, slot_bytes, headroom } = config;
        assert!(slots > 0, "a frame pool needs at least one slot");
        assert!(headroom < slot_bytes, "headroom of {headroom} leaves nothing of slots of {slot_bytes} bytes");
        let bytes = (slots as usize).checked_mul(slot_bytes as usize);
        assert!(bytes.is_some_and(|bytes| bytes <= region.len()), "the region is smaller than its slots");
        let free = if backend.is_some() { Vec::with_capacity(slots as usize) } else { (0..slots).rev().collect() };
        Self(Rc::new(Inner {
            base: region.base().as_ptr(),
            slot_bytes,
            headroom,
            slots,
            free: RefCell::new(free),
            states: vec![Cell::new(State::Free); slots as usize].into_boxed_slice(),
            in_use: Cell::new(0),
            lent: Cell::new(0),
            backend,
            recycled: RefCell::new(Vec::new()),
            returns: OnceCell::new(),
            region: Arc::from(region),
        }))
    }

    /// An empty frame with the pool's headroom, or `None` when the pool is dry.
    #[inline(always)] // Returned in memory and moved at once, its parts would be read before they are all written.
    #[must_use]
    pub fn alloc(&self) -> Option<Frame> {
        // In a statement of its own: within `match` the borrow would last into `refill`, which borrows too.
        let popped = self.0.free.borrow_mut().pop();
        let slot = match popped {
            Some(slot) => slot,
            None => self.refill()?,
        };
        Some(self.own(slot, self.0.headroom, 0))
    }

    /// A frame around a slot that a device gives back or fills: `lent.len` bytes at `lent.offset`. `None` if the slot was
    /// not lent or the place lies outside it, so a device that lies costs a packet and no more.
    #[must_use]
    pub fn take_back(&self, lent: Lent) -> Option<Frame> {
        if self.0.states.get(lent.slot as usize)?.get() != State::Lent {
            return None;
        }
        let end = lent.offset.checked_add(lent.len)?;
        if end > self.0.slot_bytes {
            return None;
        }
        self.0.lent.set(self.0.lent.get() - 1);
        Some(self.own(lent.slot, lent.offset, lent.len))
    }

    /// Bytes of a slot, headroom included.
    #[inline]
    #[must_use]
    pub fn slot_len(&self) -> usize {
        self.0.slot_bytes as usize
    }

    /// Payload and headers that fit behind the standard headroom.
    #[inline]
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        (self.0.slot_bytes - self.0.headroom) as usize
    }

    /// Headroom of a newly allocated frame, bytes.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.0.headroom as usize
    }

    /// Slots in all.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.0.slots as usize
    }

    /// Frames alive. With [`lent`](Self::lent) zero and this zero, nothing leaked.
    #[inline]
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.in_use.get() as usize
    }

    /// Slots that a device holds, or a frame that left its lane.
    #[inline]
    #[must_use]
    pub fn lent(&self) -> usize {
        self.0.lent.get() as usize
    }

    /// Whether more than half of the slots are out: whoever keeps received payload in its frames copies it out now.
    #[inline]
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.0.in_use.get() + self.0.lent.get() > self.0.slots / 2
    }

    /// Whether two handles name the same pool.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    fn own(&self, slot: u32, offset: u32, len: u32) -> Frame {
        self.set_state(slot, State::InUse);
        self.0.in_use.set(self.0.in_use.get() + 1);
        Frame { pool: self.clone(), slot, offset, len, meta: FrameMeta::default() }
    }

    /// Takes home the slots of detached frames that were dropped. A dry pool does it by itself; a lane does it once a turn.
    #[inline]
    pub fn reclaim(&self) {
        if let Some(returns) = self.0.returns.get()
            && !returns.is_empty()
        {
            returns.take_all(|slot| {
                debug_assert_eq!(self.0.states.get(slot as usize).map(Cell::get), Some(State::Detached));
                self.0.lent.set(self.0.lent.get() - 1);
                self.free_slot(slot);
            });
        }
    }

    #[cold]
    fn refill(&self) -> Option<u32> {
        self.reclaim();
        // In a statement of its own, as in `alloc`.
        let popped = self.0.free.borrow_mut().pop();
        if popped.is_some() {
            return popped;
        }
        let mut backend = self.0.backend.as_ref()?.borrow_mut();
        let mut free = self.0.free.borrow_mut();
        backend.refill(&mut free, MAGAZINE_SLOTS);
        // A backend that hands out a slot twice, or one that is not ours, would alias memory: such slots are refused.
        let states = &self.0.states;
        free.retain(|slot| states.get(*slot as usize).is_some_and(|state| state.get() == State::Free));
        free.sort_unstable();
        free.dedup();
        free.pop()
    }

    #[inline]
    pub(super) fn put_back(&self, slot: u32) {
        self.0.in_use.set(self.0.in_use.get() - 1);
        self.free_slot(slot);
    }

    #[inline]
    fn free_slot(&self, slot: u32) {
        self.set_state(slot, State::Free);
        let mut free = self.0.free.borrow_mut();
        free.push(slot);
        if self.0.backend.is_some() && free.len() >= 2 * MAGAZINE_SLOTS {
            drop(free);
            self.recycle();
        }
    }

    /// Gives the half of the magazine that was used longest ago back to the backend.
    #[cold]
    fn recycle(&self) {
        let Some(backend) = &self.0.backend else { return };
        let mut recycled = self.0.recycled.borrow_mut();
        recycled.extend(self.0.free.borrow_mut().drain(..MAGAZINE_SLOTS));
        backend.borrow_mut().recycle(&mut recycled);
        recycled.clear();
    }

    pub(super) fn mark_lent(&self, slot: u32) {
        self.set_state(slot, State::Lent);
        self.0.in_use.set(self.0.in_use.get() - 1);
        self.0.lent.set(self.0.lent.get() + 1);
    }

    pub(super) fn mark_detached(&self, slot: u32) {
        self.mark_lent(slot);
        self.set_state(slot, State::Detached);
    }

    pub(super) fn region(&self) -> Arc<dyn Region> {
        Arc::clone(&self.0.region)
    }

    pub(super) fn returns(&self) -> Arc<Returns> {
        Arc::clone(self.0.returns.get_or_init(|| Arc::new(Returns::new(self.0.slots))))
    }

    #[inline]
    fn set_state(&self, slot: u32, state: State) {
        if let Some(cell) = self.0.states.get(slot as usize) {
            cell.set(state);
        }
    }

    /// Only [`Frame`] calls this, with places inside its own slot.
    #[inline]
    pub(super) fn slot_bytes_at(&self, slot: u32, offset: u32, len: u32) -> &[u8] {
        debug_assert!(offset + len <= self.0.slot_bytes);
        let start = slot as usize * self.0.slot_bytes as usize + offset as usize;
        // SAFETY: `Frame` keeps `slot < slots` and `offset + len <= slot_bytes`, and `build` checked that all slots lie
        // inside the region, so the sum stays within one allocation.
        let at = unsafe { self.0.base.add(start) };
        // SAFETY: the bytes are initialised (`Region`). The state `InUse` is given to one `Frame` at a time (`own` is
        // reached only with a slot popped off the free list or marked lent), and the slice borrows that frame.
        unsafe { std::slice::from_raw_parts(at, len as usize) }
    }

    /// Only [`Frame`] calls this, through `&mut self`.
    #[inline]
    #[allow(clippy::mut_from_ref)] // The slot is owned by the `&mut Frame` that the caller holds.
    pub(super) fn slot_bytes_at_mut(&self, slot: u32, offset: u32, len: u32) -> &mut [u8] {
        debug_assert!(offset + len <= self.0.slot_bytes);
        let start = slot as usize * self.0.slot_bytes as usize + offset as usize;
        // SAFETY: as in `slot_bytes_at`.
        let at = unsafe { self.0.base.add(start) };
        // SAFETY: as in `slot_bytes_at`; exclusive, because the caller holds the slot's one `Frame` by `&mut`.
        unsafe { std::slice::from_raw_parts_mut(at, len as usize) }
    }
}

/// Slots moved between the magazine and its backend at a time.
const MAGAZINE_SLOTS: usize = 64;
