//! [`Mem`]: the buffer memory of one lane, counted against one budget. Send and receive buffers, reassembly and message
//! queues hold only indices into it, so an idle flow holds nothing, and all of them are bounded together. When the
//! budget is gone, taking memory fails, and whoever asked pushes back (closes a window, refuses a write); nothing that
//! was accepted is lost and nothing panics.
//!
//! Buffers must be given back by name (`clear`) to the `Mem` they were filled from: they are plain numbers, and dropping
//! them frees nothing.

use super::chunks::{ChunkId, ChunkSize, Chunks, MEDIUM_BYTES, MediumChunks, SMALL_BYTES};
use super::message::Message;
use super::reassembly::Held;
use super::slab::Slab;
use crate::frame::Frame;

/// A lane's buffer memory. See the module's text.
pub struct Mem {
    pub(super) chunks: Chunks,
    /// For messages of middling length.
    medium: MediumChunks,
    nodes: Vec<Node>,
    free_node: u32,
    /// Headers of queued messages.
    pub(super) messages: Slab<Message>,
    /// Out-of-order state of the flows that have some now.
    pub(super) held: Slab<Held>,
    /// Emptied state, whose vectors keep their room.
    pub(super) spare_held: Vec<Held>,
    used_bytes: usize,
    budget_bytes: usize,
}

/// A piece of received data in a list.
struct Node {
    piece: Piece,
    next: u32,
}

/// Where received bytes lie.
pub(super) enum Piece {
    /// Nowhere: the node is free.
    Free,
    /// In the frame that brought them, trimmed to them.
    Frame(Frame),
    /// In a chunk, behind its first `start` bytes.
    Chunk { id: ChunkId, start: u16 },
    /// The same of a medium chunk.
    Medium { index: u32, start: u16 },
}

impl Mem {
    /// What the smallest piece of it costs.
    pub(crate) const CHUNK_BYTES_MIN: usize = SMALL_BYTES;

    /// What a lane gets if nobody says: 256 MiB.
    pub const DEFAULT_BUDGET_BYTES: usize = 256 << 20;

    /// Memory up to `budget_bytes`, taken from the system as it is needed.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self {
            chunks: Chunks::default(),
            medium: MediumChunks::default(),
            nodes: Vec::new(),
            free_node: NIL,
            messages: Slab::with_limit(u32::MAX),
            held: Slab::with_limit(u32::MAX),
            spare_held: Vec::new(),
            used_bytes: 0,
            budget_bytes,
        }
    }

    /// Bytes taken: chunks at their size, kept frames at the size of their slot.
    #[inline]
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Most bytes that can be taken.
    #[must_use]
    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Bytes that can still be taken. Windows that are offered to peers should not promise more.
    #[inline]
    #[must_use]
    pub fn available_bytes(&self) -> usize {
        self.budget_bytes.saturating_sub(self.used_bytes)
    }

    /// Changes the budget; what is taken stays taken.
    pub fn set_budget_bytes(&mut self, budget_bytes: usize) {
        self.budget_bytes = budget_bytes;
    }

    /// Counts `bytes` of memory that lies elsewhere (state of a flow, a kept frame) against the budget; `false`, and no
    /// change, if it does not allow them.
    #[inline]
    #[must_use]
    pub fn charge(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.available_bytes();
        if fits {
            self.used_bytes += bytes;
        }
        fits
    }

    /// Gives back what [`charge`](Self::charge) counted.
    #[inline]
    pub fn refund(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.used_bytes, "refunded more than was charged");
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// An empty chunk for `want_bytes`, large if a small one does not hold them, small if the budget allows no large one.
    #[inline]
    pub(super) fn alloc_chunk(&mut self, want_bytes: usize) -> Option<ChunkId> {
        if want_bytes > SMALL_BYTES
            && let Some(id) = self.alloc_chunk_of(ChunkSize::Large)
        {
            return Some(id);
        }
        self.alloc_chunk_of(ChunkSize::Small)
    }

    fn alloc_chunk_of(&mut self, size: ChunkSize) -> Option<ChunkId> {
        if size.bytes() > self.available_bytes() {
            return None;
        }
        let id = self.chunks.alloc(size)?;
        self.used_bytes += size.bytes();
        Some(id)
    }

    /// Gives a chunk back and returns the next of its chain.
    #[inline]
    pub(super) fn free_chunk(&mut self, id: ChunkId) -> ChunkId {
        self.refund(Chunks::size(id).bytes());
        self.chunks.free(id)
    }

    /// Whether `bytes` more fit into new chunks. Exact: a larger chunk costs what it holds unless it is the last one, and
    /// where none can be had small ones are taken.
    #[inline]
    pub(super) fn can_copy(&self, bytes: usize) -> bool {
        bytes.next_multiple_of(SMALL_BYTES) <= self.available_bytes()
    }

    /// Whether received payload may stay in its frame: while slots are plenty always; when they get scarce only if it
    /// fills a good part of its slot; when they are low never.
    #[inline]
    pub(super) fn may_keep(&self, frame: &Frame) -> bool {
        let pool = frame.pool();
        let out = pool.in_use() + pool.lent();
        out * 4 <= pool.slots() || (!pool.is_low() && frame.len() * 2 >= pool.slot_len())
    }

    /// A node around a frame, charged at the size of its slot.
    ///
    /// # Errors
    /// Gives the frame back when the budget does not allow it.
    #[inline]
    pub(super) fn keep(&mut self, frame: Frame) -> Result<u32, Frame> {
        if !self.charge(frame.pool().slot_len()) {
            return Err(frame);
        }
        Ok(self.add_node(Piece::Frame(frame)))
    }

    /// A node around as much of `bytes` as one new chunk holds, and how much that is. The chunk is chosen for `want_bytes`,
    /// because more may follow.
    pub(super) fn copy_to_node(&mut self, bytes: &[u8], want_bytes: usize) -> Option<(u32, usize)> {
        let id = self.alloc_chunk(want_bytes)?;
        let copied = self.chunks.append(id, bytes);
        Some((self.add_node(Piece::Chunk { id, start: 0 }), copied))
    }

    /// The same for a message, of which `want_bytes` are still to come: some few chunks that hold little more than them.
    pub(super) fn copy_message_to_node(&mut self, bytes: &[u8], want_bytes: usize) -> Option<(u32, usize)> {
        if (SMALL_WANT_BYTES + 1..=MEDIUM_WANT_BYTES).contains(&want_bytes)
            && MEDIUM_BYTES <= self.available_bytes()
            && let Some(index) = self.medium.alloc()
        {
            self.used_bytes += MEDIUM_BYTES;
            let copied = self.medium.append(index as usize, bytes);
            return Some((self.add_node(Piece::Medium { index, start: 0 }), copied));
        }
        self.copy_to_node(bytes, if want_bytes > SMALL_WANT_BYTES { want_bytes } else { SMALL_BYTES })
    }

    /// What the chunk that [`copy_to_node`](Self::copy_to_node) takes costs at most.
    pub(super) fn chunk_cost_bytes(want_bytes: usize) -> usize {
        if want_bytes > SMALL_BYTES { ChunkSize::Large.bytes() } else { ChunkSize::Small.bytes() }
    }

    /// Adds as much of `bytes` as there is room for to the chunk of a node; nothing if the node holds a frame.
    #[inline]
    pub(super) fn append_to_node(&mut self, node: u32, bytes: &[u8]) -> usize {
        match self.nodes.get(node as usize) {
            Some(Node { piece: Piece::Chunk { id, .. }, .. }) => {
                let id = *id;
                self.chunks.append(id, bytes)
            }
            Some(Node { piece: Piece::Medium { index, .. }, .. }) => {
                let index = *index as usize;
                self.medium.append(index, bytes)
            }
            _ => 0,
        }
    }

    /// Bytes that [`append_to_node`](Self::append_to_node) would take.
    #[inline]
    pub(super) fn node_room_bytes(&self, node: u32) -> usize {
        match self.nodes.get(node as usize) {
            Some(Node { piece: Piece::Chunk { id, .. }, .. }) => self.chunks.room_bytes(*id),
            Some(Node { piece: Piece::Medium { index, .. }, .. }) => {
                MEDIUM_BYTES - self.medium.filled(*index as usize).len()
            }
            _ => 0,
        }
    }

    fn add_node(&mut self, piece: Piece) -> u32 {
        let index = self.free_node;
        let fresh = Node { piece, next: NIL };
        if let Some(node) = self.nodes.get_mut(index as usize) {
            self.free_node = node.next;
            *node = fresh;
            return index;
        }
        // Bounded by the budget: each node stands for a chunk or a charged frame.
        self.nodes.push(fresh);
        self.nodes.len() as u32 - 1
    }

    /// Frees a node with its bytes and returns the next of its list.
    #[inline]
    pub(super) fn free_node(&mut self, index: u32) -> u32 {
        match self.take_node(index) {
            Some((Piece::Chunk { id, .. }, next)) => {
                self.free_chunk(id);
                next
            }
            Some((Piece::Medium { index, .. }, next)) => {
                self.refund(MEDIUM_BYTES);
                self.medium.free(index as usize);
                next
            }
            Some((Piece::Frame(_) | Piece::Free, next)) => next,
            None => NIL,
        }
    }

    /// Takes a frame out of its node, freeing the node; `None`, and no change, if it holds a chunk.
    pub(super) fn take_frame(&mut self, index: u32) -> Option<(Frame, u32)> {
        match self.nodes.get(index as usize)?.piece {
            Piece::Frame(_) => match self.take_node(index)? {
                (Piece::Frame(frame), next) => Some((frame, next)),
                (Piece::Chunk { .. } | Piece::Medium { .. } | Piece::Free, _) => None,
            },
            Piece::Chunk { .. } | Piece::Medium { .. } | Piece::Free => None,
        }
    }

    fn take_node(&mut self, index: u32) -> Option<(Piece, u32)> {
        let node = self.nodes.get_mut(index as usize)?;
        let piece = std::mem::replace(&mut node.piece, Piece::Free);
        let next = std::mem::replace(&mut node.next, self.free_node);
        self.free_node = index;
        if let Piece::Frame(frame) = &piece {
            let bytes = frame.pool().slot_len();
            self.refund(bytes);
        }
        Some((piece, next))
    }

    /// The bytes of a node.
    #[inline]
    pub(super) fn node_bytes(&self, index: u32) -> &[u8] {
        match self.nodes.get(index as usize) {
            Some(Node { piece: Piece::Frame(frame), .. }) => frame.bytes(),
            Some(Node { piece, .. }) => self.copied_bytes(piece),
            None => &[],
        }
    }

    /// The same of a piece that is no frame. Apart, so that the rest is inlined: frames are the most, by far.
    #[inline(never)]
    fn copied_bytes(&self, piece: &Piece) -> &[u8] {
        let (bytes, start) = match piece {
            Piece::Chunk { id, start } => (self.chunks.filled(*id), *start),
            Piece::Medium { index, start } => (self.medium.filled(*index as usize), *start),
            Piece::Frame(_) | Piece::Free => return &[],
        };
        bytes.get(usize::from(start)..).unwrap_or_default()
    }

    /// Bytes charged for a node.
    pub(super) fn node_charge_bytes(&self, index: u32) -> usize {
        match self.nodes.get(index as usize) {
            Some(Node { piece: Piece::Frame(frame), .. }) => frame.pool().slot_len(),
            Some(Node { piece: Piece::Chunk { id, .. }, .. }) => Chunks::size(*id).bytes(),
            Some(Node { piece: Piece::Medium { .. }, .. }) => MEDIUM_BYTES,
            Some(Node { piece: Piece::Free, .. }) | None => 0,
        }
    }

    /// Drops up to `n` bytes from the front of a node; it may become empty.
    #[inline]
    pub(super) fn trim_node(&mut self, index: u32, n: usize) {
        match self.nodes.get_mut(index as usize) {
            Some(Node { piece: Piece::Frame(frame), .. }) => frame.trim_front(n),
            Some(Node { piece: Piece::Chunk { id, start }, .. }) => {
                let filled = self.chunks.filled_bytes(*id);
                *start = (usize::from(*start).saturating_add(n)).min(filled) as u16;
            }
            Some(Node { piece: Piece::Medium { index, start }, .. }) => {
                let filled = self.medium.filled(*index as usize).len();
                *start = (usize::from(*start).saturating_add(n)).min(filled) as u16;
            }
            Some(Node { piece: Piece::Free, .. }) | None => {}
        }
    }

    /// The node behind a node.
    #[inline]
    pub(super) fn next_node(&self, index: u32) -> u32 {
        self.nodes.get(index as usize).map_or(NIL, |node| node.next)
    }

    /// Links `next` behind a node.
    #[inline]
    pub(super) fn set_next_node(&mut self, index: u32, next: u32) {
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.next = next;
        }
    }

    /// For tests: what is counted is what is taken. Charges that others made by hand count as `foreign_bytes`.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self, foreign_bytes: usize) {
        let (small, large) = self.chunks.count_used();
        let medium_bytes = self.medium.count_used() * MEDIUM_BYTES;
        let chunks = small * ChunkSize::Small.bytes() + medium_bytes + large * ChunkSize::Large.bytes();
        let frames: usize = self
            .nodes
            .iter()
            .map(|node| if let Piece::Frame(frame) = &node.piece { frame.pool().slot_len() } else { 0 })
            .sum();
        let messages = self.messages.len() * size_of::<Message>();
        assert_eq!(self.used_bytes, chunks + frames + messages + foreign_bytes, "bytes counted");
        let (mut free, mut at) = (0, self.free_node);
        while let Some(node) = self.nodes.get(at as usize) {
            assert!(matches!(node.piece, Piece::Free), "a free node holds bytes");
            free += 1;
            at = node.next;
        }
        assert_eq!(free, self.nodes.iter().filter(|n| matches!(n.piece, Piece::Free)).count(), "a node is lost");
    }
}

impl Default for Mem {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BUDGET_BYTES)
    }
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mem")
            .field("used_bytes", &self.used_bytes)
            .field("budget_bytes", &self.budget_bytes)
            .finish_non_exhaustive()
    }
}

/// No node: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// Of a message, what goes into small chunks: two waste less than a medium one.
const SMALL_WANT_BYTES: usize = 2 * SMALL_BYTES;
/// What goes into medium ones: some few waste less than a large one.
const MEDIUM_WANT_BYTES: usize = 4 * MEDIUM_BYTES;
