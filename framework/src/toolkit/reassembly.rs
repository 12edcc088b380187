//! [`Reassembly`]: received bytes that stand beyond a gap, by their offset in the stream (64 bits: whoever has shorter
//! sequence numbers extends them). What arrived first wins; what overlaps it is trimmed. It tells which ranges it holds,
//! also in the order in which a receiver reports them (RFC 2018 section 4: the range of the latest arrival first).
//!
//! What comes from a wire is bounded: pieces and bytes a flow, and the lane's budget. Beyond that, arrivals are dropped
//! and the outcome says so. What lies beyond the receive window should not be offered here at all.

use super::mem::{Mem, NIL};
use super::recv_buffer::RecvBuffer;
use crate::frame::Frame;
use arrayvec::ArrayVec;
use std::ops::Range;

/// Out-of-order bytes of one stream. 4 bytes; empty, it holds no memory. Give it back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct Reassembly {
    /// Position of the state in `Mem`, or `NIL`.
    held: u32,
}

/// How much one stream may hold beyond a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Pieces of memory (frames or chunks).
    pub pieces_max: usize,
    /// Bytes by what they cost: a kept frame costs its slot, a copy its chunks. Where a frame is too dear it is copied, where
    /// the copy is, it is dropped.
    pub cost_bytes_max: usize,
}

impl Default for ReassemblyLimits {
    /// 256 pieces, 4 MiB.
    fn default() -> Self {
        Self { pieces_max: 256, cost_bytes_max: 4 << 20 }
    }
}

/// What became of an arrival. Each of its bytes is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// Bytes that were not held before and are now.
    pub new_bytes: usize,
    /// Bytes that were held before.
    pub duplicate_bytes: usize,
    /// Bytes dropped because a bound or the budget is reached: they must not be reported as received.
    pub dropped_bytes: usize,
}

/// State of a stream that has a gap; lives in `Mem`.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// By rising offset, never overlapping.
    pieces: Vec<HeldPiece>,
    /// The same bytes, pieces that touch joined.
    ranges: Vec<HeldRange>,
    arrivals: u64,
    cost_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct HeldPiece {
    start: u64,
    end: u64,
    node: u32,
}

#[derive(Clone, Copy, Debug)]
struct HeldRange {
    start: u64,
    end: u64,
    /// Number of the arrival that touched it last.
    touched: u64,
}

impl Default for Reassembly {
    fn default() -> Self {
        Self::new()
    }
}

impl Reassembly {
    /// Nothing beyond a gap.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: NIL }
    }

    /// Whether nothing is held.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == NIL
    }

    /// Takes what is new of a frame that was trimmed to its payload, whose first byte stands at `offset`.
    pub fn insert(&mut self, mem: &mut Mem, offset: u64, frame: Frame, limits: &ReassemblyLimits) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(end) = offset.checked_add(frame.len() as u64).filter(|end| *end > offset) else { return outcome };
        let mut held = self.take(mem);
        held.arrivals += 1;
        let mut frame = Some(frame);
        let mut at = offset;
        while at < end {
            let index = held.pieces.partition_point(|piece| piece.end <= at);
            let next = held.pieces.get(index).copied();
            if let Some(piece) = next.filter(|piece| piece.start <= at) {
                let covered = piece.end.min(end);
                outcome.duplicate_bytes += (covered - at) as usize;
                at = covered;
                continue;
            }
            let gap = at..next.map_or(end, |piece| piece.start.min(end));
            let is_last = next.is_none_or(|piece| piece.end >= end || piece.start >= end);
            let stored = held.fill_gap(mem, index, &gap, offset, &mut frame, is_last, limits);
            outcome.new_bytes += stored;
            outcome.dropped_bytes += (gap.end - gap.start) as usize - stored;
            held.join_range(gap.start..gap.start + stored as u64);
            at = gap.end;
        }
        held.touch(offset..end);
        self.put(mem, held);
        outcome
    }

    /// Moves everything that continues the stream at `offset` to the end of `buffer`, which holds the bytes before, and
    /// returns how many bytes that were. What lies below `offset` is dropped: it came in order meanwhile.
    pub fn drain_into(&mut self, mem: &mut Mem, offset: u64, buffer: &mut RecvBuffer) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut held = self.take(mem);
        let mut next = offset;
        let mut drained = 0;
        while let Some(piece) = held.pieces.get(drained).filter(|piece| piece.start <= next) {
            drained += 1;
            held.cost_bytes = held.cost_bytes.saturating_sub(mem.node_charge_bytes(piece.node));
            if piece.end <= next {
                mem.free_node(piece.node);
                continue;
            }
            mem.trim_node(piece.node, (next - piece.start) as usize);
            buffer.link(mem, piece.node, (piece.end - next) as usize);
            next = piece.end;
        }
        held.pieces.drain(..drained);
        held.ranges.retain(|range| range.end > next);
        self.put(mem, held);
        (next - offset) as usize
    }

    /// The ranges held, by rising offset, none touching another.
    pub fn ranges<'m>(&self, mem: &'m Mem) -> impl DoubleEndedIterator<Item = Range<u64>> + use<'m> {
        let ranges = mem.held.get_at(self.held).map(|held| held.ranges.as_slice()).unwrap_or_default();
        ranges.iter().map(|range| range.start..range.end)
    }

    /// The first part of `range` that is held, none if nothing of it is.
    #[must_use]
    pub fn first_held(&self, mem: &Mem, range: &Range<u64>) -> Option<Range<u64>> {
        let ranges = mem.held.get_at(self.held).map(|held| held.ranges.as_slice()).unwrap_or_default();
        let held = ranges.get(ranges.partition_point(|held| held.end <= range.start))?;
        let part = held.start.max(range.start)..held.end.min(range.end);
        (!part.is_empty()).then_some(part)
    }

    /// Up to `N` ranges, that of the latest arrival first (RFC 2018 section 4).
    #[must_use]
    pub fn recent_ranges<const N: usize>(&self, mem: &Mem) -> ArrayVec<Range<u64>, N> {
        let ranges = mem.held.get_at(self.held).map(|held| held.ranges.as_slice()).unwrap_or_default();
        let mut best: ArrayVec<HeldRange, N> = ArrayVec::new();
        for range in ranges {
            let at = best.partition_point(|other| other.touched >= range.touched);
            if at == N {
                continue;
            }
            if best.is_full() {
                best.pop();
            }
            best.insert(at, *range);
        }
        best.into_iter().map(|range| range.start..range.end).collect()
    }

    /// Bytes held.
    #[must_use]
    pub fn buffered_bytes(&self, mem: &Mem) -> usize {
        self.ranges(mem).map(|range| (range.end - range.start) as usize).sum()
    }

    /// Drops everything and gives the memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        if self.is_empty() {
            return;
        }
        let mut held = self.take(mem);
        for piece in held.pieces.drain(..) {
            mem.free_node(piece.node);
        }
        self.put(mem, held);
    }

    /// Takes the state out of `mem`, which is then free to be used beside it.
    fn take(&mut self, mem: &mut Mem) -> Held {
        match mem.held.get_at_mut(self.held) {
            Some(held) => std::mem::take(held),
            None => mem.spare_held.pop().unwrap_or_default(),
        }
    }

    /// Puts the state back, or aside if nothing is held any more.
    fn put(&mut self, mem: &mut Mem, mut held: Held) {
        if held.pieces.is_empty() {
            if self.held != NIL {
                mem.held.remove_at(self.held);
                self.held = NIL;
            }
            held.ranges.clear();
            (held.arrivals, held.cost_bytes) = (0, 0);
            if mem.spare_held.len() < SPARES_MAX {
                mem.spare_held.push(held);
            }
        } else if let Some(place) = mem.held.get_at_mut(self.held) {
            *place = held;
        } else if let Ok(key) = mem.held.insert(held) {
            self.held = key.index;
        }
    }

    /// For tests: pieces are sorted and disjoint and as long as their bytes, ranges cover them exactly.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self, mem: &Mem) {
        let Some(held) = mem.held.get_at(self.held) else {
            assert!(self.is_empty(), "the state is gone");
            return;
        };
        assert!(!held.pieces.is_empty(), "empty state is put aside");
        let (mut joined, mut cost): (Vec<Range<u64>>, usize) = (vec![], 0);
        for piece in &held.pieces {
            assert_eq!(mem.node_bytes(piece.node).len() as u64, piece.end - piece.start, "bytes of a piece");
            cost += mem.node_charge_bytes(piece.node);
            match joined.last_mut() {
                Some(last) if last.end == piece.start => last.end = piece.end,
                last => {
                    assert!(last.is_none_or(|last| last.end < piece.start), "pieces overlap");
                    joined.push(piece.start..piece.end);
                }
            }
        }
        assert_eq!(cost, held.cost_bytes, "cost");
        assert!(self.ranges(mem).eq(joined), "ranges differ from pieces");
    }
}

impl Held {
    /// Stores the part `gap` of the frame that stands at `offset`, before piece `index`, and returns how many bytes of it
    /// from its start were stored. The frame itself can only be kept for its last gap.
    #[expect(clippy::too_many_arguments, reason = "one caller, which it keeps readable")]
    fn fill_gap(
        &mut self,
        mem: &mut Mem,
        index: usize,
        gap: &Range<u64>,
        offset: u64,
        frame: &mut Option<Frame>,
        is_last: bool,
        limits: &ReassemblyLimits,
    ) -> usize {
        let (skip, bytes) = ((gap.start - offset) as usize, (gap.end - gap.start) as usize);
        if is_last && let Some(kept) = frame.take_if(|frame| self.is_worth_keeping(mem, frame, bytes, limits)) {
            match self.keep(mem, index, gap, skip, kept) {
                Ok(()) => return bytes,
                Err(back) => return self.copy(mem, index, gap.start, back.bytes(), limits),
            }
        }
        let Some(frame) = frame else { return 0 };
        let wanted = frame.bytes().get(skip..skip + bytes).unwrap_or_default();
        self.copy(mem, index, gap.start, wanted, limits)
    }

    fn is_worth_keeping(&self, mem: &Mem, frame: &Frame, bytes: usize, limits: &ReassemblyLimits) -> bool {
        let slot_bytes = frame.pool().slot_len();
        mem.may_keep(frame)
            && bytes * 4 >= slot_bytes
            && self.pieces.len() < limits.pieces_max
            && self.cost_bytes + slot_bytes <= limits.cost_bytes_max
    }

    /// Keeps the frame, trimmed to the gap; gives it back so trimmed if the budget does not allow it.
    fn keep(
        &mut self,
        mem: &mut Mem,
        index: usize,
        gap: &Range<u64>,
        skip: usize,
        mut frame: Frame,
    ) -> Result<(), Frame> {
        frame.trim_front(skip);
        frame.truncate((gap.end - gap.start) as usize);
        let node = mem.keep(frame)?;
        self.add_piece(mem, index, gap.start, gap.end, node);
        Ok(())
    }

    /// Copies bytes into the chunk of the piece before, if they continue it, and into new ones. Returns how many.
    fn copy(&mut self, mem: &mut Mem, index: usize, start: u64, bytes: &[u8], limits: &ReassemblyLimits) -> usize {
        let mut copied = 0;
        if let Some(before) = index.checked_sub(1).and_then(|i| self.pieces.get_mut(i))
            && before.end == start
        {
            copied = mem.append_to_node(before.node, bytes);
            before.end += copied as u64;
        }
        let mut index = index;
        while let Some(rest) = bytes.get(copied..).filter(|rest| !rest.is_empty()) {
            let cost = Mem::chunk_cost_bytes(rest.len());
            if self.pieces.len() >= limits.pieces_max || self.cost_bytes + cost > limits.cost_bytes_max {
                break;
            }
            let Some((node, count)) = mem.copy_to_node(rest, rest.len()) else { break };
            let at = start + copied as u64;
            self.add_piece(mem, index, at, at + count as u64, node);
            copied += count;
            index += 1;
        }
        copied
    }

    fn add_piece(&mut self, mem: &Mem, index: usize, start: u64, end: u64, node: u32) {
        self.cost_bytes += mem.node_charge_bytes(node);
        self.pieces.insert(index.min(self.pieces.len()), HeldPiece { start, end, node });
    }

    /// Adds a range that was a gap, joined to those it touches.
    fn join_range(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|range| range.end < new.start);
        let to = self.ranges.partition_point(|range| range.start <= new.end);
        let touching = self.ranges.get(from..to).unwrap_or_default();
        let joined = HeldRange {
            start: touching.first().map_or(new.start, |first| first.start.min(new.start)),
            end: touching.last().map_or(new.end, |last| last.end.max(new.end)),
            touched: self.arrivals,
        };
        if let Some(first) = self.ranges.get_mut(from..to).and_then(|ranges| ranges.first_mut()) {
            *first = joined;
            self.ranges.drain(from + 1..to);
        } else {
            self.ranges.insert(from, joined);
        }
    }

    /// Marks the ranges that the latest arrival lies in, also where it brought nothing new.
    fn touch(&mut self, arrived: Range<u64>) {
        let from = self.ranges.partition_point(|range| range.end <= arrived.start);
        for range in self.ranges.iter_mut().skip(from).take_while(|range| range.start < arrived.end) {
            range.touched = self.arrivals;
        }
    }
}

/// Emptied states kept for the next gap, so that a gap costs no allocation.
const SPARES_MAX: usize = 64;

#[cfg(test)]
mod tests;
