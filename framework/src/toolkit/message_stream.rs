//! Messages in a stream: [`MessageStreamSender`] turns an application's messages into a stream of numbered bytes, and
//! [`MessageStreamReader`] turns ranges of such a stream, in any order, back into whole messages. Which ranges travel when
//! is another's concern ([`ReliableSender`](super::ReliableSender)), how they travel the protocol's.
//!
//! ```text
//!  | length: 4 | message | length: 4 | message |  ...  | end |
//!  0                                                    └ one unit more, so that the end is acknowledged, and repeated,
//!                                                         like the rest
//! ```
//!
//! So fragmentation is a matter of cutting a stream, and a message of any length needs no state of its own.

use super::{
    Field, FieldReader, FieldWriter, Mem, MessageError, MessageLimits, Reassembly, ReassemblyLimits, RecvBuffer,
    SendBuffer,
};
use crate::addr::Endpoint;
use crate::frame::Frame;
use crate::socket::{MessageIo, Ready};
use arrayvec::ArrayVec;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Where a packet's data belongs in a stream: all that its header has to say of it.
///
/// ```text
///  | end: 1 bit | offset: 63 |      big-endian
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamAt {
    /// Of the first byte; below 2^62.
    pub offset: u64,
    /// The stream ends behind the data.
    pub end: bool,
}

impl Field for StreamAt {
    fn read(fields: &mut FieldReader<'_>) -> Option<Self> {
        let word = fields.u64()?;
        let at = Self { offset: word & !END_BIT, end: word & END_BIT != 0 };
        (at.offset < 1 << 62).then_some(at)
    }

    fn write<const N: usize>(&self, out: &mut FieldWriter<N>) {
        out.u64(self.offset | if self.end { END_BIT } else { 0 });
    }
}

/// From messages to a stream. Give its memory back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct MessageStreamSender {
    /// From the oldest unacknowledged byte on.
    stream: SendBuffer,
    /// Offset behind `stream`.
    written: u64,
    /// How much of the application's next message, its length before it, was written to `stream`.
    moved_bytes: usize,
    /// Nothing will be written any more.
    finished: bool,
    held_bytes_max: usize,
}

impl MessageStreamSender {
    /// An empty stream that holds at most `held_bytes_max` unacknowledged bytes. What else the application wrote waits in
    /// its queue.
    #[must_use]
    pub const fn new(held_bytes_max: usize) -> Self {
        Self { stream: SendBuffer::new(), written: 0, moved_bytes: 0, finished: false, held_bytes_max }
    }

    /// Moves messages into the stream, as far as it has room, and ends it behind the last one if the application has
    /// finished. True if the application has room for more by that.
    pub fn take_from(&mut self, mem: &mut Mem, io: &mut MessageIo) -> bool {
        let mut took = false;
        while let Some(info) = io.tx.front(mem) {
            let mut step: ArrayVec<u8, COPY_BYTES> = ArrayVec::new();
            if let Some(at) = self.moved_bytes.checked_sub(LENGTH_BYTES) {
                for slice in io.tx.slices(mem, at, COPY_BYTES) {
                    let _ = step.try_extend_from_slice(slice);
                }
            } else {
                let length = (info.bytes as u32).to_be_bytes();
                step.extend(length.into_iter().skip(self.moved_bytes));
            }
            let written = self.stream.write(mem, &step, self.held_bytes_max);
            self.written += written as u64;
            self.moved_bytes += written;
            if self.moved_bytes == LENGTH_BYTES + info.bytes {
                io.tx.pop(mem);
                self.moved_bytes = 0;
                took = true;
            } else if written < step.len() {
                return took;
            }
        }
        self.finished |= io.tx_finished;
        took
    }

    /// Whether the stream has an end: nothing is added any more.
    #[inline]
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Where it stops now, its end included.
    #[inline]
    #[must_use]
    pub const fn stop(&self) -> u64 {
        self.written + self.finished as u64
    }

    /// The same for a peer that takes bytes up to `window`; the end takes no room.
    #[inline]
    #[must_use]
    pub fn stop_within(&self, window: u64) -> u64 {
        if self.written <= window { self.stop() } else { window }
    }

    /// The bytes of a range in parts, how many they are, and whether the end stands behind them. Less than the range if
    /// that lies in too many parts.
    pub fn slices<'m>(
        &mut self,
        mem: &'m Mem,
        range: &Range<u64>,
    ) -> (ArrayVec<&'m [u8], { SendBuffer::SLICES_MAX }>, usize, bool) {
        let wanted = range.end.min(self.written).saturating_sub(range.start) as usize;
        let slices = self.stream.slices(mem, range.start.saturating_sub(self.front()) as usize, wanted);
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        (slices, bytes, bytes == wanted && range.end > self.written)
    }

    /// Everything below `upto` was acknowledged.
    pub fn release(&mut self, mem: &mut Mem, upto: u64) {
        self.stream.release_front(mem, upto.min(self.written).saturating_sub(self.front()) as usize);
    }

    /// Gives all memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        self.stream.clear(mem);
    }

    fn front(&self) -> u64 {
        self.written - self.stream.len() as u64
    }
}

/// What a [`MessageStreamReader`] holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageStreamLimits {
    /// Longest message, bytes. Less than `window_bytes`.
    pub message_bytes_max: u32,
    /// Most bytes, of messages and their lengths, that the peer may send ahead of the application's reading.
    pub window_bytes: u32,
    /// Most messages that may wait for the application.
    pub messages_max: u32,
}

/// What the peer sent is no stream of messages: too long a message, data beyond the window or the end, an end within a
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the rules of a stream of messages")]
pub struct StreamError;

/// From a stream to messages. Give its memory back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct MessageStreamReader {
    limits: MessageStreamLimits,
    /// In order, not yet a whole message.
    stream: RecvBuffer,
    /// Out of order.
    pieces: Reassembly,
    /// Offset behind `stream`.
    next: u64,
    /// The length of the message that `stream` begins with, taken from it.
    message_bytes: Option<usize>,
    /// Where the stream ends, once known.
    end: Option<u64>,
    /// What the peer may send up to, as it was told.
    granted: u64,
    /// The application is gone: what comes is thrown away.
    discards: bool,
}

impl MessageStreamReader {
    /// An empty stream, of which the peer may send the first `window_bytes`.
    #[must_use]
    pub const fn new(limits: MessageStreamLimits) -> Self {
        let (stream, pieces, granted) = (RecvBuffer::new(), Reassembly::new(), limits.window_bytes as u64);
        Self { limits, stream, pieces, next: 0, message_bytes: None, end: None, granted, discards: false }
    }

    /// A range of the stream came; `frame` is trimmed to it. True if it was what came next; if not (a gap, a duplicate, the
    /// end), the peer should learn at once (RFC 5681 4.2).
    ///
    /// # Errors
    /// It lies beyond the window or the end, or the end lies before what came already.
    pub fn on_range(&mut self, mem: &mut Mem, at: StreamAt, mut frame: Frame) -> Result<bool, StreamError> {
        let StreamAt { offset, end } = at;
        let stop = offset.checked_add(frame.len() as u64).filter(|stop| *stop <= self.granted).ok_or(StreamError)?;
        if self.end.is_some_and(|known| stop > known || end && stop != known) {
            return Err(StreamError);
        }
        if end {
            let arrived = self.pieces.ranges(mem).next_back().map_or(self.next, |last| last.end);
            if stop < arrived {
                return Err(StreamError);
            }
            self.end = Some(stop);
        }
        let in_order = offset == self.next && self.pieces.is_empty();
        if offset > self.next {
            let cost_bytes_max = 2 * self.limits.window_bytes as usize;
            let limits = ReassemblyLimits { cost_bytes_max, pieces_max: PIECES_MAX };
            // What is dropped for want of memory is not acknowledged, so it comes again.
            let _ = self.pieces.insert(mem, offset, frame, &limits);
        } else if stop > self.next {
            frame.trim_front((self.next - offset) as usize);
            let bytes = frame.len() as u64;
            if self.stream.push(mem, frame).is_ok() {
                self.next += bytes;
                self.next += self.pieces.drain_into(mem, self.next, &mut self.stream) as u64;
            }
        }
        Ok(in_order && !end)
    }

    /// The first part of `range` that came and was kept.
    #[must_use]
    pub fn first_held(&self, mem: &Mem, range: &Range<u64>) -> Option<Range<u64>> {
        if range.start >= self.next {
            return self.pieces.first_held(mem, range);
        }
        let part = range.start..range.end.min(self.next);
        (!part.is_empty()).then_some(part)
    }

    /// Hands over the messages that are whole, and the end once they are all handed over. Returns what there is to tell.
    ///
    /// # Errors
    /// A message is too long, or the end cuts one.
    pub fn deliver_to(&mut self, mem: &mut Mem, io: &mut MessageIo, from: Endpoint) -> Result<Ready, StreamError> {
        let (messages_max, bytes_max) = (self.limits.messages_max as usize, self.limits.window_bytes as usize);
        let mut ready = Ready::NONE;
        if self.discards {
            // What was reported beyond a gap stays, so that nothing reported is taken back.
            self.stream.clear(mem);
            io.rx.clear(mem);
            self.message_bytes = None;
        }
        while let Some(bytes) = self.whole_message(mem)? {
            let limits = MessageLimits { messages_max, bytes_max };
            match io.rx.push_received(mem, from, 0, &mut self.stream, bytes, &limits) {
                Ok(()) => self.message_bytes = None,
                Err(MessageError::TooLong) => return Err(StreamError),
                Err(MessageError::Full | MessageError::NoMemory) => return Ok(ready), // until the application takes some
            }
            ready = ready | Ready::READABLE;
        }
        if self.is_complete() && !io.rx_finished {
            if self.message_bytes.is_some() || !self.stream.is_empty() {
                return Err(StreamError);
            }
            io.rx_finished = true;
            ready = ready | Ready::PEER_FINISHED | Ready::READABLE;
        }
        Ok(ready)
    }

    /// The length of the first message, if all of it is there.
    fn whole_message(&mut self, mem: &mut Mem) -> Result<Option<usize>, StreamError> {
        if self.message_bytes.is_none() && self.stream.len() >= LENGTH_BYTES {
            let mut length = [0; LENGTH_BYTES];
            self.stream.read(mem, &mut length);
            let bytes = u32::from_be_bytes(length);
            if bytes > self.limits.message_bytes_max {
                return Err(StreamError);
            }
            self.message_bytes = Some(bytes as usize);
        }
        Ok(self.message_bytes.filter(|bytes| *bytes <= self.stream.len()))
    }

    /// From now on what comes is thrown away: the application is gone.
    pub fn discard(&mut self) {
        self.discards = true;
    }

    /// Whether it is.
    #[must_use]
    pub const fn discards(&self) -> bool {
        self.discards
    }

    /// Whether the whole stream came.
    #[inline]
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == Some(self.next)
    }

    /// The stream came up to here, its end included: what to acknowledge.
    #[inline]
    #[must_use]
    pub fn upto(&self) -> u64 {
        self.next + u64::from(self.is_complete())
    }

    /// What else came, the latest arrivals first, the end included: what to acknowledge selectively.
    #[must_use]
    pub fn recent_ranges<const N: usize>(&self, mem: &Mem) -> ArrayVec<Range<u64>, N> {
        let mut ranges: ArrayVec<Range<u64>, N> = self.pieces.recent_ranges(mem);
        if let Some(end) = self.end.filter(|end| *end != self.next) {
            match ranges.iter_mut().find(|range| range.end == end) {
                Some(last) => last.end += 1,
                // If there is no room for it, the end is sent again, and no harm done.
                None => drop(ranges.try_push(end..end + 1)),
            }
        }
        ranges
    }

    /// What the peer may send up to: what is held and not taken counts against it. It never goes back.
    #[must_use]
    pub fn window(&self, io: &MessageIo) -> u64 {
        let lengths = (io.rx.len() + usize::from(self.message_bytes.is_some())) * LENGTH_BYTES;
        let held = self.stream.len() + io.rx.bytes() + lengths;
        (self.next + u64::from(self.limits.window_bytes)).saturating_sub(held as u64).max(self.granted)
    }

    /// The peer was told of this window.
    #[inline]
    pub fn on_granted(&mut self, window: u64) {
        self.granted = window;
    }

    /// Whether the window has opened by a quarter since the peer was told, which is worth telling.
    #[must_use]
    pub fn has_opened(&self, io: &MessageIo) -> bool {
        self.end.is_none() && self.window(io) - self.granted >= u64::from(self.limits.window_bytes / 4)
    }

    /// Gives all memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        self.stream.clear(mem);
        self.pieces.clear(mem);
    }
}

const END_BIT: u64 = 1 << 63;
/// In front of each message.
const LENGTH_BYTES: usize = 4;
/// Bytes moved from a message to the stream at a time.
const COPY_BYTES: usize = 2048;
/// Pieces of a stream that may wait beyond gaps.
const PIECES_MAX: usize = 4096;
