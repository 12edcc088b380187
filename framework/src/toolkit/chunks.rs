//! Chunks: buffer memory in two sizes, named by index, linked by index. Links and fill levels stand in side arrays, so
//! that following or freeing a chain touches none of its bytes. No accounting here: that is [`Mem`](super::mem::Mem).

/// A chunk by number; the top bit tells its size. Means something only to the [`Chunks`] that gave it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChunkId(u32);

impl ChunkId {
    /// No chunk: the end of a chain.
    pub(super) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    #[inline]
    fn is_large(self) -> bool {
        self.0 & LARGE_BIT != 0
    }

    #[inline]
    fn index(self) -> usize {
        (self.0 & !LARGE_BIT) as usize
    }
}

/// Which size of chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChunkSize {
    /// [`SMALL_BYTES`]: a request, a header, the start of something.
    Small,
    /// [`LARGE_BYTES`]: bulk.
    Large,
}

impl ChunkSize {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL_BYTES,
            Self::Large => LARGE_BYTES,
        }
    }
}

/// All chunks of a lane. Memory is taken from the system in slabs as it is first needed, and kept.
#[derive(Default)]
pub(super) struct Chunks {
    small: Class<SMALL_BYTES, SMALL_PER_SLAB>,
    large: Class<LARGE_BYTES, LARGE_PER_SLAB>,
}

impl Chunks {
    /// An empty chunk, the one freed last if there is one. `None` only when the numbers run out.
    #[inline]
    pub(super) fn alloc(&mut self, size: ChunkSize) -> Option<ChunkId> {
        match size {
            ChunkSize::Small => self.small.alloc().map(ChunkId),
            ChunkSize::Large => self.large.alloc().map(|index| ChunkId(index | LARGE_BIT)),
        }
    }

    /// Gives a chunk back and returns the next of its chain.
    #[inline]
    pub(super) fn free(&mut self, id: ChunkId) -> ChunkId {
        if id.is_large() { self.large.free(id.index()) } else { self.small.free(id.index()) }
    }

    /// Which size a chunk has.
    #[inline]
    pub(super) fn size(id: ChunkId) -> ChunkSize {
        if id.is_large() { ChunkSize::Large } else { ChunkSize::Small }
    }

    /// The bytes written so far.
    #[inline]
    pub(super) fn filled(&self, id: ChunkId) -> &[u8] {
        if id.is_large() { self.large.filled(id.index()) } else { self.small.filled(id.index()) }
    }

    /// How many bytes are written so far.
    #[inline]
    pub(super) fn filled_bytes(&self, id: ChunkId) -> usize {
        self.link(id).map_or(0, |link| usize::from(link.filled))
    }

    /// Bytes that [`append`](Self::append) can still take.
    #[inline]
    pub(super) fn room_bytes(&self, id: ChunkId) -> usize {
        self.link(id).map_or(0, |link| Self::size(id).bytes() - usize::from(link.filled))
    }

    /// Writes as much of `bytes` as there is room for behind what was written, and returns how much.
    #[inline]
    pub(super) fn append(&mut self, id: ChunkId, bytes: &[u8]) -> usize {
        if id.is_large() { self.large.append(id.index(), bytes) } else { self.small.append(id.index(), bytes) }
    }

    /// The next of the chain.
    #[inline]
    pub(super) fn next(&self, id: ChunkId) -> ChunkId {
        self.link(id).map_or(ChunkId::NONE, |link| link.next)
    }

    /// Links `next` behind `id`.
    #[inline]
    pub(super) fn set_next(&mut self, id: ChunkId, next: ChunkId) {
        let links = if id.is_large() { &mut self.large.links } else { &mut self.small.links };
        if let Some(link) = links.get_mut(id.index()) {
            link.next = next;
        }
    }

    #[inline]
    fn link(&self, id: ChunkId) -> Option<&Link> {
        let links = if id.is_large() { &self.large.links } else { &self.small.links };
        links.get(id.index())
    }

    /// Asks for the cache line of a chunk's link.
    #[inline]
    pub(super) fn prefetch_link(&self, id: ChunkId) {
        let links = if id.is_large() { &self.large.links } else { &self.small.links };
        crate::simd::prefetch_slice(links, id.index());
    }

    /// Chunks in use, by walking the free lists: for tests.
    pub(super) fn count_used(&self) -> (usize, usize) {
        (self.small.count_used(), self.large.count_used())
    }
}

/// Chunks of [`MEDIUM_BYTES`], by plain numbers. What streams hold has none of them, so they stand apart: telling three
/// sizes by an id costs a request and its reply over a stream 1.2 % more instructions.
pub(super) type MediumChunks = Class<MEDIUM_BYTES, MEDIUM_PER_SLAB>;

/// Chunks of one size: `BYTES` a chunk, `PER_SLAB` chunks a slab (a power of two).
pub(super) struct Class<const BYTES: usize, const PER_SLAB: usize> {
    slabs: Vec<Box<[u8]>>,
    links: Vec<Link>,
    free_head: ChunkId,
}

#[derive(Clone, Copy)]
struct Link {
    /// In use: the next of the chain. Free: the chunk freed before (its plain index).
    next: ChunkId,
    filled: u16,
}

impl<const BYTES: usize, const PER_SLAB: usize> Default for Class<BYTES, PER_SLAB> {
    fn default() -> Self {
        Self { slabs: Vec::new(), links: Vec::new(), free_head: ChunkId::NONE }
    }
}

impl<const BYTES: usize, const PER_SLAB: usize> Class<BYTES, PER_SLAB> {
    /// As those of [`Chunks`].
    #[inline]
    pub(super) fn alloc(&mut self) -> Option<u32> {
        let head = self.free_head;
        let Some(link) = self.links.get_mut(head.0 as usize) else { return self.grow() };
        self.free_head = link.next;
        *link = Link { next: ChunkId::NONE, filled: 0 };
        Some(head.0)
    }

    #[cold]
    fn grow(&mut self) -> Option<u32> {
        // The last number is `ChunkId::NONE`, and the top bit is taken.
        let index = u32::try_from(self.links.len()).ok().filter(|index| *index < !LARGE_BIT)?;
        if self.links.len() == self.slabs.len() * PER_SLAB {
            // Zeroed memory comes from the system untouched: a page becomes resident when it is first written.
            self.slabs.push(vec![0; BYTES * PER_SLAB].into_boxed_slice());
        }
        self.links.push(Link { next: ChunkId::NONE, filled: 0 });
        Some(index)
    }

    #[inline]
    pub(super) fn free(&mut self, index: usize) -> ChunkId {
        let Some(link) = self.links.get_mut(index) else { return ChunkId::NONE };
        let next = link.next;
        link.next = self.free_head;
        link.filled = 0;
        self.free_head = ChunkId(index as u32);
        next
    }

    #[inline]
    pub(super) fn filled(&self, index: usize) -> &[u8] {
        let start = index % PER_SLAB * BYTES;
        let filled = self.links.get(index).map_or(0, |link| usize::from(link.filled));
        self.slabs.get(index / PER_SLAB).and_then(|slab| slab.get(start..start + filled)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn append(&mut self, index: usize, bytes: &[u8]) -> usize {
        let Some(link) = self.links.get_mut(index) else { return 0 };
        let filled = usize::from(link.filled);
        let count = bytes.len().min(BYTES - filled);
        let start = index % PER_SLAB * BYTES + filled;
        let room = self.slabs.get_mut(index / PER_SLAB).and_then(|slab| slab.get_mut(start..start + count));
        let Some(room) = room else { return 0 };
        room.copy_from_slice(bytes.split_at(count).0);
        link.filled += count as u16;
        count
    }

    pub(super) fn count_used(&self) -> usize {
        let (mut free, mut at) = (0, self.free_head);
        while let Some(link) = self.links.get(at.0 as usize) {
            free += 1;
            at = link.next;
        }
        self.links.len() - free
    }
}

/// Bytes of a small chunk.
pub(super) const SMALL_BYTES: usize = 256;
/// Bytes of a medium chunk.
pub(super) const MEDIUM_BYTES: usize = 2 * 1024;
/// Bytes of a large chunk.
pub(super) const LARGE_BYTES: usize = 16 * 1024;

const SMALL_PER_SLAB: usize = 1024;
const MEDIUM_PER_SLAB: usize = 128;
const LARGE_PER_SLAB: usize = 16;
const LARGE_BIT: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunk_freed_last_comes_back_first_and_empty() {
        let mut chunks = Chunks::default();
        let ids: Vec<ChunkId> = (0..40)
            .map(|i| chunks.alloc(if i % 2 == 0 { ChunkSize::Small } else { ChunkSize::Large }).unwrap())
            .collect();
        for (i, id) in ids.iter().enumerate() {
            let want = Chunks::size(*id).bytes();
            assert_eq!(chunks.append(*id, &vec![i as u8; 20_000]), want);
            assert_eq!((chunks.room_bytes(*id), chunks.append(*id, b"more")), (0, 0));
        }
        for (i, id) in ids.iter().enumerate() {
            assert!(chunks.filled(*id).iter().all(|b| *b == i as u8));
        }
        chunks.set_next(ids[3], ids[0]);
        assert_eq!(chunks.free(ids[3]), ids[0]);
        assert_eq!(chunks.alloc(ChunkSize::Large), Some(ids[3]));
        assert_eq!((chunks.filled(ids[3]), chunks.next(ids[3])), (&[][..], ChunkId::NONE));
        assert_eq!(chunks.count_used(), (20, 20));
    }
}
