//! [`RemoteFrame`]: a frame that left its lane, for a reader on another thread. It can be read, not written; when it is
//! dropped, wherever that is, its slot finds the way home by a list that the pool empties.
//!
//! Nothing here is unsafe by itself; what it relies on: the pool never makes a [`Frame`](super::Frame) of a slot in the
//! state `Detached` before the slot came back by [`Returns`], and only the drop of its one `RemoteFrame` puts it there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{FrameMeta, Region};

/// The bytes of a frame, readable on any thread. Counted as lent by its pool until it is dropped and the pool has looked
/// ([`FramePool::reclaim`](super::FramePool::reclaim)). It keeps the memory alive, also beyond its pool.
pub struct RemoteFrame {
    region: Arc<dyn Region>,
    returns: Arc<Returns>,
    slot: u32,
    /// Bytes from the start of the region.
    start: usize,
    len: usize,
    meta: FrameMeta,
}

impl RemoteFrame {
    /// `start` and `len` lie within the slot `slot` of `region`, which the caller has just taken out of its frame.
    pub(super) fn new(
        region: Arc<dyn Region>,
        returns: Arc<Returns>,
        slot: u32,
        (start, len): (usize, usize),
        meta: FrameMeta,
    ) -> Self {
        Self { region, returns, slot, start, len, meta }
    }

    /// The packet's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `new` was given a place inside a slot, and all slots lie inside the region (`FramePool::build`), which
        // `self` keeps alive, so the sum stays within one allocation.
        let at = unsafe { self.region.base().as_ptr().add(self.start) };
        // SAFETY: the bytes are initialised (`Region`). Nobody writes them while `self` lives: the slot's `Frame` is gone,
        // its state is `Detached`, and no other `Frame` is made of it before `drop` has posted it to `returns`. What the
        // lane wrote before is visible here, because whatever brought `self` to this thread synchronised with it.
        unsafe { std::slice::from_raw_parts(at, self.len) }
    }

    /// What is known of the packet beside its bytes.
    #[must_use]
    pub fn meta(&self) -> &FrameMeta {
        &self.meta
    }

    /// Length of the packet in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the packet has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for RemoteFrame {
    fn drop(&mut self) {
        self.returns.post(self.slot);
    }
}

impl fmt::Debug for RemoteFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFrame").field("slot", &self.slot).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Slots on their way home: a stack that any thread pushes to and the lane takes whole, so nothing pops one entry and no
/// number can come back between a look and an exchange. Each slot has a link of its own, so posting takes no memory.
pub(super) struct Returns {
    head: AtomicU32,
    links: Box<[AtomicU32]>,
}

impl Returns {
    /// For slots below `slots`.
    pub(super) fn new(slots: u32) -> Self {
        Self { head: AtomicU32::new(NIL), links: (0..slots).map(|_| AtomicU32::new(NIL)).collect() }
    }

    /// Puts a slot on the list. Each is on it at most once: its `RemoteFrame` is dropped once, and there is no second one
    /// before the lane has taken it off.
    fn post(&self, slot: u32) {
        let Some(link) = self.links.get(slot as usize) else { return };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            // Release: reads of the slot's bytes, and the link, come before the lane's `take_all`. Exchanges by other
            // threads after this one continue the release sequence.
            match self.head.compare_exchange_weak(head, slot, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether nothing waits; a moment later something may.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == NIL
    }

    /// Empties the list, slot by slot, into `each`. Only the lane calls this.
    pub(super) fn take_all(&self, mut each: impl FnMut(u32)) {
        // Acquire: pairs with `post`, so that the lane writes the bytes only after they were read.
        let mut slot = self.head.swap(NIL, Ordering::Acquire);
        while let Some(link) = self.links.get(slot as usize) {
            // Read before the slot is given on: once it is free, it may be detached and posted again.
            let next = link.load(Ordering::Relaxed);
            each(slot);
            slot = next;
        }
    }
}

const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use crate::frame::{Frame, FramePool, PoolConfig, RemoteFrame};
    use std::sync::mpsc;
    use std::thread;

    fn pool(slots: u32) -> FramePool {
        FramePool::new(PoolConfig { slots, slot_bytes: 256, headroom: 64 })
    }

    fn frame(pool: &FramePool, bytes: &[u8]) -> Frame {
        let mut frame = pool.alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        frame
    }

    #[test]
    fn a_detached_frame_is_lent_until_it_is_dropped_and_reclaimed() {
        let pool = pool(1);
        let remote = frame(&pool, b"far").detach();
        assert_eq!((pool.in_use(), pool.lent(), remote.bytes()), (0, 1, &b"far"[..]));
        assert!(pool.alloc().is_none());
        let claimed = crate::frame::Lent { slot: 0, offset: 0, len: 1 };
        assert!(pool.take_back(claimed).is_none(), "no device holds it");
        drop(remote);
        assert_eq!(pool.lent(), 1);
        pool.reclaim();
        assert_eq!((pool.in_use(), pool.lent()), (0, 0));
        drop(frame(&pool, b"again").detach());
        assert!(pool.alloc().is_some(), "a dry pool looks by itself");
    }

    #[test]
    fn a_detached_frame_outlives_its_pool() {
        let pool = pool(4);
        let remote = frame(&pool, b"left behind").detach();
        drop(pool);
        let read = thread::spawn(move || remote.bytes().to_vec()).join().unwrap();
        assert_eq!(read, b"left behind");
    }

    #[test]
    fn frames_read_by_other_threads_come_back_whole() {
        let pool = pool(16);
        let (out, readers): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (to, from) = mpsc::channel::<(u8, RemoteFrame)>();
                (to, thread::spawn(move || from.iter().filter(|(tag, f)| f.bytes() == [*tag; 150]).count()))
            })
            .unzip();
        let mut sent = 0;
        while sent < 3000 {
            pool.reclaim();
            let Some(mut f) = pool.alloc() else {
                thread::yield_now();
                continue;
            };
            assert!(f.extend_from_slice(&[sent as u8; 150]));
            out[sent % 3].send((sent as u8, f.detach())).unwrap();
            sent += 1;
        }
        drop(out);
        let whole: usize = readers.into_iter().map(|r| r.join().unwrap()).sum();
        pool.reclaim();
        assert_eq!((whole, pool.in_use(), pool.lent()), (3000, 0, 0));
        assert_eq!(std::iter::from_fn(|| pool.alloc()).collect::<Vec<_>>().len(), 16);
    }
}
