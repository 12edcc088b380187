//! The receiving half of a connection: from stream ranges in any order to whole messages, and what to acknowledge.
//!
//! The stream is the messages, each behind its length in four bytes. Its end counts as one byte more, so that it is
//! acknowledged, and repeated, like the rest.

use arrayvec::ArrayVec;
use burstlane::addr::Endpoint;
use burstlane::frame::Frame;
use burstlane::socket::{MessageIo, Ready};
use burstlane::time::{Duration, Instant, nanos};
use burstlane::toolkit::{Mem, MessageError, Reassembly, ReassemblyLimits, RecvBuffer};
use burstlane::transport::FlowError;
use std::ops::Range;

use crate::RudpConfig;
use crate::wire::{Builder, RANGES_MAX};

pub(crate) struct RecvSide {
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
    /// The highest packet number that arrived.
    pub(crate) largest: Option<u64>,
    /// When the oldest of what is not acknowledged came, and how many datagrams that are.
    news: Option<(Instant, u32)>,
    /// The news may not wait.
    pub(crate) urgent: bool,
    /// The application is gone: what comes is thrown away.
    pub(crate) discards: bool,
}

impl RecvSide {
    pub(crate) fn new(window_bytes: u32) -> Self {
        Self {
            stream: RecvBuffer::new(),
            pieces: Reassembly::new(),
            next: 0,
            message_bytes: None,
            end: None,
            granted: u64::from(window_bytes),
            largest: None,
            news: None,
            urgent: false,
            discards: false,
        }
    }

    /// A datagram came that is to be acknowledged: every second one at once (RFC 9000 13.2.2).
    pub(crate) fn on_eliciting(&mut self, now: Instant) {
        let (since, count) = self.news.unwrap_or((now, 0));
        self.news = Some((since, count + 1));
        self.urgent |= count + 1 >= 2;
    }

    /// A range of the stream came; `frame` is trimmed to it.
    pub(crate) fn on_stream(
        &mut self,
        mem: &mut Mem,
        offset: u64,
        mut frame: Frame,
        end: bool,
        config: &RudpConfig,
    ) -> Result<(), FlowError> {
        let stop = offset + frame.len() as u64;
        if stop > self.granted || self.end.is_some_and(|known| stop > known || end && stop != known) {
            return Err(FlowError::Protocol);
        }
        if end {
            self.end = (stop >= self.next).then_some(stop);
        }
        // Out of order, or a duplicate: the peer learns at once (RFC 5681 4.2).
        self.urgent |= end || offset != self.next || !self.pieces.is_empty();
        if offset > self.next {
            let cost_bytes_max = 2 * config.window_bytes as usize;
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
        Ok(())
    }

    /// Hands over the messages that are whole. Returns what there is to tell.
    pub(crate) fn deliver(
        &mut self,
        mem: &mut Mem,
        io: &mut MessageIo,
        from: Endpoint,
        config: &RudpConfig,
    ) -> Result<Ready, FlowError> {
        let limits = config.rx_limits();
        let mut ready = Ready::NONE;
        if self.discards {
            self.release(mem);
            io.rx.clear(mem);
            self.message_bytes = None;
        }
        loop {
            let bytes = match self.message_bytes {
                Some(bytes) => bytes,
                None if self.stream.len() >= LENGTH_BYTES => {
                    let mut length = [0; LENGTH_BYTES];
                    self.stream.read(mem, &mut length);
                    let bytes = u32::from_be_bytes(length);
                    if bytes > config.message_bytes_max {
                        return Err(FlowError::Protocol);
                    }
                    bytes as usize
                }
                None => break,
            };
            self.message_bytes = Some(bytes);
            if bytes > self.stream.len() {
                break;
            }
            match io.rx.push_received(mem, from, 0, &mut self.stream, bytes, &limits) {
                Ok(()) => self.message_bytes = None,
                Err(MessageError::TooLong) => return Err(FlowError::Protocol),
                Err(_) => break, // until the application takes some
            }
            ready = ready | Ready::READABLE;
        }
        if self.is_complete() && !io.rx_finished {
            match self.message_bytes {
                None if self.stream.is_empty() => {
                    io.rx_finished = true;
                    ready = ready | Ready::PEER_FINISHED | Ready::READABLE;
                }
                Some(bytes) if bytes <= self.stream.len() => {} // until the application takes some
                _ => return Err(FlowError::Protocol),           // the end cuts a message
            }
        }
        // A window that has opened by a quarter is worth telling of.
        let opened = self.window(io, config) - self.granted;
        self.urgent |= opened >= u64::from(config.window_bytes / 4) && self.end.is_none();
        Ok(ready)
    }

    /// Whether the whole stream came.
    pub(crate) fn is_complete(&self) -> bool {
        self.end == Some(self.next)
    }

    /// The stream came up to here, its end included.
    pub(crate) fn upto(&self) -> u64 {
        self.next + u64::from(self.is_complete())
    }

    /// Whether an acknowledgement is owed, now or later.
    pub(crate) fn has_news(&self) -> bool {
        self.urgent || self.news.is_some()
    }

    /// When it is due.
    pub(crate) fn ack_at(&self, delay: Duration) -> Instant {
        self.news.map_or(Instant::NEVER, |(since, _)| since + delay)
    }

    /// Puts the acknowledgement into a datagram. Returns what it grants, for [`on_acked`](Self::on_acked).
    pub(crate) fn write_ack(
        &self,
        mem: &Mem,
        io: &MessageIo,
        now: Instant,
        config: &RudpConfig,
        out: &mut Builder,
    ) -> u64 {
        let window = self.window(io, config);
        let mut ranges: ArrayVec<Range<u64>, RANGES_MAX> = self.pieces.recent_ranges(mem);
        if let Some(end) = self.end.filter(|end| *end != self.next) {
            match ranges.iter_mut().find(|range| range.end == end) {
                Some(last) => last.end += 1,
                // If there is no room for it, the end is sent again, and no harm done.
                None => drop(ranges.try_push(end..end + 1)),
            }
        }
        let delay = self.news.map_or(Duration::ZERO, |(since, _)| now.since(since));
        let delay_us = u32::try_from(nanos(delay) / 1_000).unwrap_or(u32::MAX);
        out.ack(self.largest.unwrap_or(0), delay_us, self.upto(), window, ranges.into_iter());
        window
    }

    /// An acknowledgement left that granted so much.
    pub(crate) fn on_acked(&mut self, window: u64) {
        (self.news, self.urgent, self.granted) = (None, false, window);
    }

    /// Gives all memory back.
    pub(crate) fn release(&mut self, mem: &mut Mem) {
        self.stream.clear(mem);
        self.pieces.clear(mem);
    }

    /// What the peer may send up to: what is held and not taken counts against it.
    fn window(&self, io: &MessageIo, config: &RudpConfig) -> u64 {
        let lengths = (io.rx.len() + usize::from(self.message_bytes.is_some())) * LENGTH_BYTES;
        let held = self.stream.len() + io.rx.bytes() + lengths;
        (self.next + u64::from(config.window_bytes)).saturating_sub(held as u64).max(self.granted)
    }
}

/// In front of each message in the stream.
pub(crate) const LENGTH_BYTES: usize = 4;
/// Pieces of a stream that may wait beyond gaps.
const PIECES_MAX: usize = 4096;
