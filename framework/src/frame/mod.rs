//! Packet memory: [`FramePool`], one contiguous region of fixed slots with headroom, and [`Frame`], an owned slot.
//!
//! A pool belongs to one interface on one lane and is `!Send`, like its frames. Free slots are a stack, so the slot
//! used last, still in the cache, is used next. Behind the stack may stand a [`Backend`] that owns the slots in truth
//! (AF_XDP's UMEM, DPDK's mempool): the stack is then a magazine, filled and emptied in batches.
//!
//! ```text
//!  slot     0                offset              offset+len          slot_bytes
//!           |<-- headroom -->|<---- bytes() ---->|<--- tailroom --->|
//! ```

mod detach;
mod meta;
mod pool;
mod region;

pub use detach::RemoteFrame;
pub use meta::{Checksum, FrameMeta};
pub use pool::{Backend, FramePool, PoolConfig};
pub use region::{HeapRegion, Region};

use std::fmt;

/// One slot of packet memory, owned: nobody else reads or writes it until it is dropped, which returns the slot to its
/// pool. Lengths are bytes.
pub struct Frame {
    pool: FramePool,
    slot: u32,
    offset: u32,
    len: u32,
    /// What is known of the packet beside its bytes.
    pub meta: FrameMeta,
}

impl Frame {
    /// The packet's bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.pool.slot_bytes_at(self.slot, self.offset, self.len)
    }

    /// The packet's bytes, to write.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.pool.slot_bytes_at_mut(self.slot, self.offset, self.len)
    }

    /// Length of the packet in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the packet has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that [`prepend`](Self::prepend) can still add in front.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.offset as usize
    }

    /// Bytes that [`append`](Self::append) can still add behind.
    #[inline]
    #[must_use]
    pub fn tailroom(&self) -> usize {
        self.pool.slot_len() - (self.offset + self.len) as usize
    }

    /// Grows the packet by `n` bytes in front and returns them; their content is whatever the slot held. `None`, and no
    /// change, when the headroom is smaller.
    #[inline]
    pub fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.headroom() {
            return None;
        }
        self.offset -= n as u32;
        self.len += n as u32;
        Some(self.pool.slot_bytes_at_mut(self.slot, self.offset, n as u32))
    }

    /// Grows the packet by `n` bytes behind and returns them; their content is whatever the slot held. `None`, and no
    /// change, when the tailroom is smaller.
    #[inline]
    pub fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.tailroom() {
            return None;
        }
        let at = self.offset + self.len;
        self.len += n as u32;
        Some(self.pool.slot_bytes_at_mut(self.slot, at, n as u32))
    }

    /// Drops up to `n` bytes from the front; they become headroom.
    #[inline]
    pub fn trim_front(&mut self, n: usize) {
        let n = n.min(self.len()) as u32;
        self.offset += n;
        self.len -= n;
    }

    /// Shortens the packet to at most `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Empties the packet and leaves `headroom` bytes in front of it (at most the slot).
    #[inline]
    pub fn reset(&mut self, headroom: usize) {
        self.offset = headroom.min(self.pool.slot_len()) as u32;
        self.len = 0;
        self.meta = FrameMeta::default();
    }

    /// Appends a copy of `bytes`; `false`, and no change, when they do not fit.
    #[inline]
    #[must_use]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> bool {
        match self.append(bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// The pool that the slot returns to.
    #[must_use]
    pub fn pool(&self) -> &FramePool {
        &self.pool
    }

    /// Declares the checksum unfinished: it covers everything from `start` on (bytes from the front of the packet), its
    /// field stands `field` bytes behind `start` and holds the pseudo-header's sum. The place is kept relative to the
    /// slot, so headers may be added and trimmed afterwards.
    #[inline]
    pub fn set_partial_checksum(&mut self, start: usize, field: usize) {
        self.meta.checksum = Checksum::Partial;
        self.meta.checksum_start = self.offset.wrapping_add(start as u32);
        self.meta.checksum_field = field as u16;
    }

    /// Where an unfinished checksum stands: bytes from the front to the first byte covered, and from there to the field.
    /// `None` if the checksum is not [`Checksum::Partial`] or what it covers was trimmed away.
    #[inline]
    #[must_use]
    pub fn partial_checksum(&self) -> Option<(usize, usize)> {
        if self.meta.checksum != Checksum::Partial {
            return None;
        }
        let start = self.meta.checksum_start.checked_sub(self.offset)?;
        (start < self.len).then_some((start as usize, self.meta.checksum_field as usize))
    }

    /// Hands the slot to a device and returns its number. Until [`FramePool::take_back`] it belongs to the device:
    /// nothing else can reach it, and the pool counts it as lent.
    #[must_use]
    pub fn lend(self) -> Lent {
        let lent = Lent { slot: self.slot, offset: self.offset, len: self.len };
        self.pool.mark_lent(self.slot);
        drop(self.into_pool());
        lent
    }

    /// Makes the frame readable on another thread, where it may be dropped, too. The pool counts it as lent until then.
    #[must_use]
    pub fn detach(self) -> RemoteFrame {
        let start = self.slot as usize * self.pool.slot_len() + self.offset as usize;
        let place = (start, self.len());
        let (slot, meta) = (self.slot, self.meta);
        let (region, returns) = (self.pool.region(), self.pool.returns());
        self.pool.mark_detached(slot);
        drop(self.into_pool());
        RemoteFrame::new(region, returns, slot, place, meta)
    }

    /// Ends the frame without returning its slot.
    fn into_pool(self) -> FramePool {
        let frame = std::mem::ManuallyDrop::new(self);
        // SAFETY: `frame` is never dropped nor used again, so its pool handle is moved out once; the other fields need no
        // drop.
        unsafe { std::ptr::read(&raw const frame.pool) }
    }
}

/// A slot that a device holds, and where in it the packet lies, as DMA descriptors want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Slot number.
    pub slot: u32,
    /// Bytes from the slot's start to the packet.
    pub offset: u32,
    /// Length of the packet in bytes.
    pub len: u32,
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        self.pool.put_back(self.slot);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("slot", &self.slot)
            .field("offset", &self.offset)
            .field("len", &self.len)
            .field("meta", &self.meta)
            .finish()
    }
}

#[cfg(test)]
mod tests;
