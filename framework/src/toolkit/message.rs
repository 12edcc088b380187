//! [`MessageQueue`]: whole messages, first in, first out, each with an address and a word of its owner's. For datagram
//! sockets and for reliable messages. A message is taken whole or not at all; its bytes lie in frames that were kept or in
//! chunks, as [`RecvBuffer`]'s do.

use super::chunks::SMALL_BYTES;
use super::mem::{Mem, NIL};
use super::recv_buffer::RecvBuffer;
use crate::addr::Endpoint;
use crate::frame::Frame;
use arrayvec::ArrayVec;

/// Messages in order. 16 bytes; empty, it holds no memory. Give it back with [`clear`](Self::clear).
#[derive(Debug)]
pub struct MessageQueue {
    head: u32,
    tail: u32,
    messages: u32,
    bytes: u32,
}

/// How much one queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Messages.
    pub messages_max: usize,
    /// Bytes of messages.
    pub bytes_max: usize,
}

impl Default for MessageLimits {
    /// 1,024 messages, 256 KiB.
    fn default() -> Self {
        Self { messages_max: 1024, bytes_max: 256 << 10 }
    }
}

/// What a message carries beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageInfo {
    /// Length in bytes; a message may be empty.
    pub bytes: usize,
    /// Whom it came from or goes to.
    pub endpoint: Endpoint,
    /// What its owner noted with it.
    pub user: u32,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is longer than the queue may ever hold.
    #[error("the message is longer than its queue")]
    TooLong,
    /// The queue is full; later it may fit.
    #[error("the queue is full")]
    Full,
    /// The lane's buffer memory is gone; later it may fit.
    #[error("no buffer memory is left")]
    NoMemory,
}

/// Header of a queued message; lives in `Mem`.
#[derive(Debug)]
pub(super) struct Message {
    first: u32,
    last: u32,
    bytes: u32,
    user: u32,
    endpoint: Endpoint,
    next: u32,
}

impl Default for MessageQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MessageQueue {
    /// Most slices that [`slices`](Self::slices) answers with.
    pub const SLICES_MAX: usize = 8;

    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: NIL, tail: NIL, messages: 0, bytes: 0 }
    }

    /// Messages held.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Bytes of all messages held.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The memory that must be there for a copy of a message to be taken.
    pub(crate) const fn cost_bytes(bytes: usize) -> usize {
        size_of::<Message>() + bytes.next_multiple_of(SMALL_BYTES)
    }

    /// Puts in a copy of a message that lies in `parts`.
    ///
    /// # Errors
    /// [`MessageError`]; nothing was taken then.
    pub fn write_message(
        &mut self,
        mem: &mut Mem,
        endpoint: Endpoint,
        user: u32,
        parts: &[&[u8]],
        limits: &MessageLimits,
    ) -> Result<(), MessageError> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.check_room(bytes, limits)?;
        // Counted before the header is, so that what `can_copy` promises holds.
        if !mem.charge(size_of::<Message>()) {
            return Err(MessageError::NoMemory);
        }
        if !mem.can_copy(bytes) {
            mem.refund(size_of::<Message>());
            return Err(MessageError::NoMemory);
        }
        let mut message = Message::new(endpoint, user);
        let mut left = bytes;
        for part in parts {
            message.copy(mem, part, left);
            left -= part.len();
        }
        self.add(mem, message);
        Ok(())
    }

    /// Puts in a message that is the whole of a frame trimmed to it.
    ///
    /// # Errors
    /// [`MessageError`]; the frame is dropped then.
    pub fn push_frame(
        &mut self,
        mem: &mut Mem,
        endpoint: Endpoint,
        user: u32,
        frame: Frame,
        limits: &MessageLimits,
    ) -> Result<(), MessageError> {
        if frame.is_empty() || !mem.may_keep(&frame) {
            return self.write_message(mem, endpoint, user, &[frame.bytes()], limits);
        }
        let bytes = frame.len();
        self.check_room(bytes, limits)?;
        let node = match mem.keep(frame) {
            Ok(node) => node,
            Err(frame) => return self.write_message(mem, endpoint, user, &[frame.bytes()], limits),
        };
        if !mem.charge(size_of::<Message>()) {
            mem.free_node(node);
            return Err(MessageError::NoMemory);
        }
        let mut message = Message::new(endpoint, user);
        message.link(mem, node, bytes);
        self.add(mem, message);
        Ok(())
    }

    /// Puts in a message that is the first `bytes` bytes of `buffer`, and takes them from there. Pieces are moved; only the
    /// last one is copied, if the message ends within it.
    ///
    /// # Errors
    /// [`MessageError`]; `buffer` is as it was then. [`MessageError::Full`] also if it holds fewer bytes.
    pub fn push_received(
        &mut self,
        mem: &mut Mem,
        endpoint: Endpoint,
        user: u32,
        buffer: &mut RecvBuffer,
        bytes: usize,
        limits: &MessageLimits,
    ) -> Result<(), MessageError> {
        self.check_room(bytes, limits)?;
        if bytes > buffer.len() {
            return Err(MessageError::Full);
        }
        if !mem.charge(size_of::<Message>()) {
            return Err(MessageError::NoMemory);
        }
        if !mem.can_copy(buffer.bytes_to_copy(mem, bytes)) {
            mem.refund(size_of::<Message>());
            return Err(MessageError::NoMemory);
        }
        let mut message = Message::new(endpoint, user);
        let mut left = bytes;
        while left > 0 {
            if let Some((node, count)) = buffer.pop_node(mem, left) {
                message.link(mem, node, count);
                left -= count;
                continue;
            }
            // The message ends within this piece.
            let mut copy = ArrayVec::<u8, COPY_BYTES>::new();
            copy.extend(buffer.fill(mem).iter().copied().take(left.min(COPY_BYTES)));
            if copy.is_empty() {
                break; // Cannot be: the buffer holds `left` bytes.
            }
            message.copy(mem, &copy, left);
            buffer.consume(mem, copy.len());
            left -= copy.len();
        }
        self.add(mem, message);
        Ok(())
    }

    /// The first message.
    #[inline]
    #[must_use]
    pub fn front(&self, mem: &Mem) -> Option<MessageInfo> {
        mem.messages.get_at(self.head).map(Message::info)
    }

    /// Of the first message, the `len_bytes` bytes from `offset_bytes` on, in pieces: a prefix of what was asked if that is
    /// more than there are or lies in more than [`SLICES_MAX`](Self::SLICES_MAX) pieces.
    #[must_use]
    pub fn slices<'m>(
        &self,
        mem: &'m Mem,
        offset_bytes: usize,
        len_bytes: usize,
    ) -> ArrayVec<&'m [u8], { Self::SLICES_MAX }> {
        let mut out = ArrayVec::new();
        let (mut skip, mut left) = (offset_bytes, len_bytes);
        let mut node = mem.messages.get_at(self.head).map_or(NIL, |message| message.first);
        while node != NIL && left > 0 && !out.is_full() {
            let bytes = mem.node_bytes(node);
            if let Some(rest) = bytes.get(skip..).filter(|rest| !rest.is_empty()) {
                let piece = rest.split_at(rest.len().min(left)).0;
                left -= piece.len();
                out.push(piece);
            }
            skip = skip.saturating_sub(bytes.len());
            node = mem.next_node(node);
        }
        out
    }

    /// Copies the first message into `out`, as much of it as fits, and drops it. Answers with what it was and how many
    /// bytes were copied; fewer than the message has if `out` was too small.
    pub fn pop_into(&mut self, mem: &mut Mem, out: &mut [u8]) -> Option<(MessageInfo, usize)> {
        let mut node = mem.messages.get_at(self.head)?.first;
        let mut copied = 0;
        while node != NIL
            && let Some(room) = out.get_mut(copied..)
        {
            let bytes = mem.node_bytes(node);
            let count = bytes.len().min(room.len());
            room.split_at_mut(count).0.copy_from_slice(bytes.split_at(count).0);
            copied += count;
            node = mem.next_node(node);
        }
        Some((self.pop(mem)?, copied))
    }

    /// Drops the first message.
    pub fn pop(&mut self, mem: &mut Mem) -> Option<MessageInfo> {
        let message = mem.messages.remove_at(self.head)?;
        mem.refund(size_of::<Message>());
        let mut node = message.first;
        while node != NIL {
            node = mem.free_node(node);
        }
        self.head = message.next;
        if self.head == NIL {
            self.tail = NIL;
        }
        self.messages -= 1;
        self.bytes -= message.bytes;
        Some(message.info())
    }

    /// Drops everything and gives the memory back.
    pub fn clear(&mut self, mem: &mut Mem) {
        while self.pop(mem).is_some() {}
    }

    fn check_room(&self, bytes: usize, limits: &MessageLimits) -> Result<(), MessageError> {
        if bytes > limits.bytes_max.min(u32::MAX as usize / 2) {
            return Err(MessageError::TooLong);
        }
        if self.len() >= limits.messages_max || self.bytes() + bytes > limits.bytes_max {
            return Err(MessageError::Full);
        }
        Ok(())
    }

    fn add(&mut self, mem: &mut Mem, message: Message) {
        let bytes = message.bytes;
        // The slab's limit is above what the budget allows.
        let Ok(key) = mem.messages.insert(message) else { return };
        match mem.messages.get_at_mut(self.tail) {
            Some(tail) => tail.next = key.index,
            None => self.head = key.index,
        }
        self.tail = key.index;
        self.messages += 1;
        self.bytes += bytes;
    }

    /// For tests: counts agree with the list, lengths with the bytes.
    ///
    /// # Panics
    /// If not.
    pub fn check_invariants(&self, mem: &Mem) {
        let (mut at, mut last, mut messages, mut bytes) = (self.head, NIL, 0, 0);
        while let Some(message) = mem.messages.get_at(at) {
            let (mut node, mut end, mut here) = (message.first, NIL, 0);
            while node != NIL {
                here += mem.node_bytes(node).len();
                end = node;
                node = mem.next_node(node);
            }
            assert_eq!((end, here), (message.last, message.bytes as usize), "bytes of a message");
            messages += 1;
            bytes += here;
            last = at;
            at = message.next;
        }
        assert_eq!((last, messages, bytes), (self.tail, self.len(), self.bytes()), "the queue's counts");
    }
}

impl Message {
    fn new(endpoint: Endpoint, user: u32) -> Self {
        Self { first: NIL, last: NIL, bytes: 0, user, endpoint, next: NIL }
    }

    fn info(&self) -> MessageInfo {
        MessageInfo { bytes: self.bytes as usize, endpoint: self.endpoint, user: self.user }
    }

    fn link(&mut self, mem: &mut Mem, node: u32, bytes: usize) {
        if self.last == NIL {
            self.first = node;
        } else {
            mem.set_next_node(self.last, node);
        }
        self.last = node;
        self.bytes += bytes as u32;
    }

    /// Appends bytes, of `want_bytes` that are still to come with them. The caller knows that they fit (`can_copy`).
    fn copy(&mut self, mem: &mut Mem, bytes: &[u8], want_bytes: usize) {
        let mut want_bytes = want_bytes;
        let copied = mem.append_to_node(self.last, bytes);
        self.bytes += copied as u32;
        want_bytes -= copied;
        let mut rest = bytes.split_at(copied).1;
        while !rest.is_empty() {
            let Some((node, copied)) = mem.copy_message_to_node(rest, want_bytes) else { return };
            self.link(mem, node, copied);
            rest = rest.split_at(copied).1;
            want_bytes -= copied;
        }
    }
}

/// Bytes copied at a time from a receive buffer's last piece.
const COPY_BYTES: usize = 256;

#[cfg(test)]
mod tests;
