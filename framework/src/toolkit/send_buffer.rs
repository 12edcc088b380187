//! [`SendBuffer`]: the bytes of a stream that the application wrote and the peer has not acknowledged, as a chain of
//! chunks. It knows nothing of sequence numbers: offset 0 is the oldest byte it holds (SND.UNA of a stream protocol).
//!
//! ```text
//!   head chunk                    cursor chunk                tail chunk
//!   |freed |<- offset 0 ...       |                            ... len |room|
//!          ^ head_start           ^ cursor_at, counted from the head chunk's first byte
//! ```
//!
//! Sending goes forward through the chain; the cursor remembers the chunk where the furthest read ended, so that the
//! next one starts there and not at the head.

use super::chunks::ChunkId;
use super::mem::Mem;
use arrayvec::ArrayVec;

/// Bytes to send, held until acknowledged. 24 bytes; empty, it holds no memory. Give it back with
/// [`clear`](Self::clear).
#[derive(Debug)]
pub struct SendBuffer {
    head: ChunkId,
    tail: ChunkId,
    len: u32,
    cursor: ChunkId,
    cursor_at: u32,
    head_start: u16,
}

impl Default for SendBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBuffer {
    /// Most slices that [`slices`](Self::slices) answers with. Eight large chunks are more than a segment of 64 KiB.
    pub const SLICES_MAX: usize = 8;

    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        let none = ChunkId::NONE;
        Self { head: none, tail: none, len: 0, cursor: none, cursor_at: 0, head_start: 0 }
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

    /// Takes a copy of as many of `bytes` as fit into `limit_bytes` held in all and into the lane's budget, and returns
    /// how many. Small writes share chunks.
    pub fn write(&mut self, mem: &mut Mem, bytes: &[u8], limit_bytes: usize) -> usize {
        let room = limit_bytes.min(LEN_MAX).saturating_sub(self.len());
        let mut rest = bytes.split_at(bytes.len().min(room)).0;
        let accepted_max = rest.len();
        loop {
            let copied = if self.tail.is_none() { 0 } else { mem.chunks.append(self.tail, rest) };
            rest = rest.split_at(copied).1;
            if rest.is_empty() || !self.add_chunk(mem, rest.len()) {
                break;
            }
        }
        let accepted = accepted_max - rest.len();
        self.len += accepted as u32;
        accepted
    }

    /// A first chunk as large as needed; those behind it are large, to keep the chain short.
    fn add_chunk(&mut self, mem: &mut Mem, want_bytes: usize) -> bool {
        let want_bytes = if self.head.is_none() { want_bytes } else { usize::MAX };
        let Some(id) = mem.alloc_chunk(want_bytes) else { return false };
        if self.head.is_none() {
            (self.head, self.head_start) = (id, 0);
            (self.cursor, self.cursor_at) = (id, 0);
        } else {
            mem.chunks.set_next(self.tail, id);
        }
        self.tail = id;
        true
    }

    /// The `len_bytes` bytes from `offset_bytes` on, if they lie together in the chunk where the last furthest read ended:
    /// what there is of small messages.
    #[inline]
    #[must_use]
    pub fn slice<'m>(&self, mem: &'m Mem, offset_bytes: usize, len_bytes: usize) -> Option<&'m [u8]> {
        let position = usize::from(self.head_start) + offset_bytes;
        let at = position.checked_sub(self.cursor_at as usize)?;
        mem.chunks.filled(self.cursor).get(at..at + len_bytes)
    }

    /// The `len_bytes` bytes from `offset_bytes` on, in order, in pieces. A prefix of what was asked if that is more than
    /// is held or lies in more than [`SLICES_MAX`](Self::SLICES_MAX) pieces. O(1) where the last furthest read ended.
    #[inline]
    pub fn slices<'m>(
        &mut self,
        mem: &'m Mem,
        offset_bytes: usize,
        len_bytes: usize,
    ) -> ArrayVec<&'m [u8], { Self::SLICES_MAX }> {
        let mut out = ArrayVec::new();
        let mut left = len_bytes.min(self.len().saturating_sub(offset_bytes));
        if left == 0 {
            return out;
        }
        let mut position = usize::from(self.head_start) + offset_bytes;
        let from_cursor = position >= self.cursor_at as usize;
        let (mut chunk, mut at) = if from_cursor { (self.cursor, self.cursor_at as usize) } else { (self.head, 0) };
        while !chunk.is_none() {
            let bytes = mem.chunks.filled(chunk);
            if let Some(rest) = bytes.get(position - at..).filter(|rest| !rest.is_empty()) {
                let piece = rest.split_at(rest.len().min(left)).0;
                out.push(piece);
                position += piece.len();
                left -= piece.len();
                if left == 0 || out.is_full() {
                    break;
                }
            }
            at += bytes.len();
            chunk = mem.chunks.next(chunk);
        }
        if from_cursor && !chunk.is_none() {
            (self.cursor, self.cursor_at) = (chunk, at as u32);
        }
        out
    }

    /// Drops up to `n_bytes` from the front: they are acknowledged.
    pub fn release_front(&mut self, mem: &mut Mem, n_bytes: usize) {
        if n_bytes >= self.len() {
            self.clear(mem);
            return;
        }
        self.len -= n_bytes as u32;
        let mut start = usize::from(self.head_start) + n_bytes;
        // Ends at the latest at the tail, which holds the bytes that remain.
        loop {
            let filled = mem.chunks.filled_bytes(self.head);
            if start < filled || self.head == self.tail {
                break;
            }
            start -= filled;
            let next = mem.free_chunk(self.head);
            if self.cursor == self.head {
                (self.cursor, self.cursor_at) = (next, 0);
            } else {
                self.cursor_at -= filled as u32;
            }
            self.head = next;
        }
        self.head_start = start as u16;
    }

    /// Drops everything and gives the memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        let mut chunk = self.head;
        while !chunk.is_none() {
            chunk = mem.free_chunk(chunk);
        }
        *self = Self::new();
    }

    /// Asks for the cache line that [`slices`](Self::slices) looks at first.
    #[inline]
    pub fn prefetch(&self, mem: &Mem) {
        mem.chunks.prefetch_link(self.cursor);
    }

    /// For tests: lengths and cursor agree with the chain.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self, mem: &Mem) {
        let (mut at, mut last, mut chunk, mut cursor_at) = (0, ChunkId::NONE, self.head, None);
        while !chunk.is_none() {
            if chunk == self.cursor {
                cursor_at = Some(at);
            }
            at += mem.chunks.filled_bytes(chunk);
            last = chunk;
            chunk = mem.chunks.next(chunk);
        }
        assert_eq!(last, self.tail, "the chain ends elsewhere");
        assert_eq!(at, self.len() + usize::from(self.head_start), "bytes in the chain");
        assert_eq!(cursor_at.unwrap_or(0), self.cursor_at as usize, "the cursor's place");
        assert_eq!(self.head.is_none(), self.is_empty(), "an empty buffer holds nothing");
        assert_eq!(self.cursor.is_none(), self.head.is_none(), "a cursor without a chain");
    }
}

/// So that lengths and cursor fit 32 bits.
const LEN_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_writes_share_a_small_chunk_and_bulk_takes_large_ones() {
        let (mut mem, mut buffer) = (Mem::new(1 << 20), SendBuffer::new());
        for _ in 0..4 {
            assert_eq!(buffer.write(&mut mem, &[7; 64], 1 << 20), 64);
        }
        assert_eq!(mem.used_bytes(), 256);
        assert_eq!(buffer.write(&mut mem, &[7; 64], 1 << 20), 64);
        assert_eq!(mem.used_bytes(), 256 + 16384);
        buffer.release_front(&mut mem, 320);
        assert_eq!((mem.used_bytes(), buffer.len()), (0, 0));
        assert!(size_of::<SendBuffer>() <= 24);
    }

    #[test]
    fn without_budget_a_write_is_refused_and_nothing_lost() {
        let (mut mem, mut buffer) = (Mem::new(1000), SendBuffer::new());
        assert_eq!(buffer.write(&mut mem, &[1; 5000], 1 << 20), 768);
        assert_eq!(buffer.write(&mut mem, &[1; 5000], 1 << 20), 0);
        assert_eq!(buffer.slices(&mem, 0, 5000).iter().map(|s| s.len()).sum::<usize>(), 768);
        buffer.release_front(&mut mem, 300);
        assert_eq!(buffer.write(&mut mem, &[1; 5000], 1 << 20), 256);
        buffer.clear(&mut mem);
        mem.check_invariants(0);
        assert_eq!(mem.used_bytes(), 0);
    }

    proptest! {
        #[test]
        fn it_holds_what_a_queue_of_bytes_holds(ops in prop::collection::vec((0u8..4, 0usize..50_000, 0usize..50_000), 1..60)) {
            let (mut mem, mut buffer) = (Mem::new(200_000), SendBuffer::new());
            let (mut model, mut sent) = (Vec::<u8>::new(), 0);
            for (i, (op, a, b)) in ops.into_iter().enumerate() {
                match op {
                    0 => {
                        let len = if i % 3 == 0 { a } else { a % 300 };
                        let bytes: Vec<u8> = (0..len).map(|j| (i * 31 + j) as u8).collect();
                        let limit = 100_000 + b;
                        let accepted = buffer.write(&mut mem, &bytes, limit);
                        prop_assert!(accepted == len || buffer.len() >= limit || mem.available_bytes() < 256);
                        model.extend(&bytes[..accepted]);
                    }
                    1 => {
                        let n = a.min(model.len());
                        buffer.release_front(&mut mem, n);
                        model.drain(..n);
                        sent = sent.max(n) - n;
                    }
                    _ => {
                        let offset = if op == 2 { sent } else { a };
                        let together = buffer.slice(&mem, offset, b).map(<[u8]>::to_vec);
                        let slices = buffer.slices(&mem, offset, b);
                        let got = slices.concat();
                        prop_assert!(together.is_none_or(|together| together == got));
                        let want = model.get(offset..).unwrap_or_default();
                        let want = &want[..want.len().min(b)];
                        prop_assert!(want.starts_with(&got));
                        prop_assert!(got.len() == want.len() || slices.is_full());
                        prop_assert!(slices.iter().all(|s| !s.is_empty()));
                        if op == 2 { sent += got.len(); }
                    }
                }
                buffer.check_invariants(&mem);
                mem.check_invariants(0);
                prop_assert_eq!(buffer.len(), model.len());
            }
            buffer.clear(&mut mem);
            prop_assert_eq!(mem.used_bytes(), 0);
        }
    }
}
