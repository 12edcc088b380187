//! [`RecvBuffer`]: received bytes in order, until the application takes them. A list of pieces, each either the frame
//! that brought it, read in place, or a chunk it was copied to. Frames are kept while their pool has plenty of slots;
//! when it gets low, payload moves to chunks, so that slow readers cannot starve the device of memory.

use super::mem::{Mem, NIL};
use crate::frame::Frame;

/// In-order received bytes. 12 bytes; empty, it holds no memory. Give it back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct RecvBuffer {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for RecvBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBuffer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }

    /// Bytes held.
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

    /// Takes a frame that was trimmed to its payload, which continues the stream.
    ///
    /// # Errors
    /// Gives the frame back, untouched, when the budget is gone: its bytes must not be acknowledged.
    #[inline]
    pub fn push(&mut self, mem: &mut Mem, frame: Frame) -> Result<(), Frame> {
        let bytes = frame.len();
        if bytes == 0 {
            return Ok(());
        }
        let frame = if mem.may_keep(&frame) {
            match mem.keep(frame) {
                Ok(node) => {
                    self.link(mem, node, bytes);
                    return Ok(());
                }
                Err(frame) => frame,
            }
        } else {
            frame
        };
        if self.push_copy(mem, frame.bytes()) { Ok(()) } else { Err(frame) }
    }

    /// Takes a copy of all of `bytes`, which continue the stream; `false`, and no change, when the budget is gone.
    #[must_use]
    pub fn push_copy(&mut self, mem: &mut Mem, bytes: &[u8]) -> bool {
        let tail_room = mem.node_room_bytes(self.tail);
        if !mem.can_copy(bytes.len().saturating_sub(tail_room)) {
            return false;
        }
        let appended = mem.append_to_node(self.tail, bytes);
        self.len += appended as u32;
        let mut rest = bytes.split_at(appended).1;
        while !rest.is_empty() {
            // `can_copy` promised it; were it wrong, what was taken so far would be a duplicate for the peer to resend.
            let Some((node, copied)) = mem.copy_to_node(rest, rest.len()) else { return false };
            self.link(mem, node, copied);
            rest = rest.split_at(copied).1;
        }
        true
    }

    /// Puts a node with `bytes` bytes behind the others.
    #[inline]
    pub(super) fn link(&mut self, mem: &mut Mem, node: u32, bytes: usize) {
        if self.tail == NIL {
            self.head = node;
        } else {
            mem.set_next_node(self.tail, node);
        }
        self.tail = node;
        self.len += bytes as u32;
    }

    /// The first bytes, as many as lie together: none only if there are none.
    #[inline]
    #[must_use]
    pub fn fill<'m>(&self, mem: &'m Mem) -> &'m [u8] {
        mem.node_bytes(self.head)
    }

    /// Drops up to `n_bytes` from the front: the application has read them.
    pub fn consume(&mut self, mem: &mut Mem, n_bytes: usize) {
        let mut left = n_bytes.min(self.len());
        self.len -= left as u32;
        while left > 0 {
            let here = mem.node_bytes(self.head).len();
            if here > left {
                mem.trim_node(self.head, left);
                return;
            }
            left -= here;
            self.drop_head(mem);
        }
    }

    /// Copies bytes from the front into `out`, drops them, and returns how many.
    pub fn read(&mut self, mem: &mut Mem, out: &mut [u8]) -> usize {
        let mut read = 0;
        while let Some(room) = out.get_mut(read..).filter(|room| !room.is_empty()) {
            let bytes = self.fill(mem);
            let count = bytes.len().min(room.len());
            if count == 0 {
                break;
            }
            room.split_at_mut(count).0.copy_from_slice(bytes.split_at(count).0);
            self.len -= count as u32;
            read += count;
            if count < bytes.len() {
                mem.trim_node(self.head, count);
                break;
            }
            self.drop_head(mem);
        }
        read
    }

    /// Takes the first piece as the frame that it is, if it is one: for readers without a copy. Its memory counts no
    /// longer here.
    pub fn take_frame(&mut self, mem: &mut Mem) -> Option<Frame> {
        let (frame, next) = mem.take_frame(self.head)?;
        self.len -= frame.len() as u32;
        self.set_head(next);
        Some(frame)
    }

    /// Takes out the first piece with its length, if it is not longer than `bytes_max`.
    pub(super) fn pop_node(&mut self, mem: &mut Mem, bytes_max: usize) -> Option<(u32, usize)> {
        let (node, bytes) = (self.head, self.fill(mem).len());
        if node == NIL || bytes > bytes_max {
            return None;
        }
        self.len -= bytes as u32;
        self.set_head(mem.next_node(node));
        mem.set_next_node(node, NIL);
        Some((node, bytes))
    }

    /// How many of the first `bytes` bytes lie in a piece that is longer: what taking them in pieces must copy.
    pub(super) fn bytes_to_copy(&self, mem: &Mem, bytes: usize) -> usize {
        let (mut node, mut left) = (self.head, bytes);
        while node != NIL {
            let Some(rest) = left.checked_sub(mem.node_bytes(node).len()) else { break };
            left = rest;
            node = mem.next_node(node);
        }
        left
    }

    /// Drops everything and gives the memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        while self.head != NIL {
            self.drop_head(mem);
        }
        self.len = 0;
    }

    fn drop_head(&mut self, mem: &mut Mem) {
        let next = mem.free_node(self.head);
        self.set_head(next);
    }

    fn set_head(&mut self, next: u32) {
        self.head = next;
        if next == NIL {
            self.tail = NIL;
        }
    }

    /// For tests: the length is that of the pieces, and none is empty.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self, mem: &Mem) {
        let (mut at, mut last, mut bytes) = (self.head, NIL, 0);
        while at != NIL {
            let here = mem.node_bytes(at).len();
            assert!(here > 0, "an empty piece");
            bytes += here;
            last = at;
            at = mem.next_node(at);
        }
        assert_eq!((last, bytes), (self.tail, self.len()), "end and bytes of the list");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FramePool, PoolConfig};
    use proptest::prelude::*;

    fn pool(slots: u32) -> FramePool {
        FramePool::new(PoolConfig { slots, slot_bytes: 2048, headroom: 64 })
    }

    fn frame(pool: &FramePool, bytes: &[u8]) -> Frame {
        let mut frame = pool.alloc().unwrap();
        assert!(frame.extend_from_slice(bytes));
        frame
    }

    #[test]
    fn payload_stays_in_its_frame_until_slots_get_scarce() {
        let (pool, mut mem, mut buffer) = (pool(8), Mem::new(1 << 20), RecvBuffer::new());
        for n in 0..8u8 {
            buffer.push(&mut mem, frame(&pool, &[n; 1400])).unwrap();
            buffer.check_invariants(&mem);
        }
        assert_eq!(pool.in_use(), 4, "half of the slots remain for the device");
        let mut out = [0; 20_000];
        assert_eq!(buffer.read(&mut mem, &mut out), 8 * 1400);
        assert!(out.chunks(1400).take(8).enumerate().all(|(n, c)| c.iter().all(|b| usize::from(*b) == n)));
        assert_eq!((pool.in_use(), mem.used_bytes()), (0, 0));
    }

    #[test]
    fn without_budget_the_frame_comes_back() {
        let (pool, mut mem, mut buffer) = (pool(8), Mem::new(600), RecvBuffer::new());
        buffer.push(&mut mem, frame(&pool, &[1; 300])).unwrap();
        buffer.push(&mut mem, frame(&pool, &[2; 212])).unwrap();
        let back = buffer.push(&mut mem, frame(&pool, &[3; 300])).unwrap_err();
        assert_eq!((back.bytes(), buffer.len()), (&[3; 300][..], 512));
        buffer.clear(&mut mem);
        assert_eq!(mem.used_bytes(), 0);
    }

    #[test]
    fn a_reader_may_take_the_frame_itself() {
        let (pool, mut mem, mut buffer) = (pool(8), Mem::new(1 << 20), RecvBuffer::new());
        buffer.push(&mut mem, frame(&pool, b"hello")).unwrap();
        buffer.consume(&mut mem, 1);
        assert_eq!(buffer.take_frame(&mut mem).unwrap().bytes(), b"ello");
        assert_eq!((buffer.len(), mem.used_bytes()), (0, 0));
        assert!(buffer.push_copy(&mut mem, b"copied") && buffer.take_frame(&mut mem).is_none());
        assert_eq!(buffer.fill(&mem), b"copied");
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            ops in prop::collection::vec((0u8..4, 0usize..3000), 1..120),
            slots in 1u32..40,
            budget in 0usize..60_000,
        ) {
            let (pool, mut mem, mut buffer) = (pool(slots), Mem::new(budget), RecvBuffer::new());
            let mut model: Vec<u8> = vec![];
            for (i, (op, n)) in ops.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..n).map(|j| (i * 17 + j) as u8).collect();
                match op {
                    0 | 1 => if let Some(mut f) = pool.alloc() {
                        let bytes = &bytes[..n.min(1900) >> (op * 4)];
                        prop_assert!(f.extend_from_slice(bytes));
                        match buffer.push(&mut mem, f) {
                            Ok(()) => model.extend(bytes),
                            Err(back) => {
                                prop_assert_eq!(back.bytes(), bytes);
                                prop_assert!(!mem.can_copy(bytes.len()));
                            }
                        }
                    }
                    2 => {
                        buffer.consume(&mut mem, n);
                        model.drain(..n.min(model.len()));
                    }
                    _ => {
                        let mut out = vec![0; n];
                        let read = buffer.read(&mut mem, &mut out);
                        prop_assert_eq!(read, n.min(model.len()));
                        prop_assert!(out[..read].iter().eq(model.drain(..read).as_slice()));
                    }
                }
                buffer.check_invariants(&mem);
                mem.check_invariants(0);
                prop_assert_eq!(buffer.len(), model.len());
                prop_assert!(model.starts_with(buffer.fill(&mem)));
                prop_assert!(mem.used_bytes() <= budget);
            }
            buffer.clear(&mut mem);
            prop_assert_eq!((mem.used_bytes(), pool.in_use()), (0, 0));
        }
    }
}
